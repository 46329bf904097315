"""Networks of convolutions, pooling, shapes and concatenation that nobody thought of, and what else was found about
them: eager's spikes and gradients.

With NORSE_EVENT_NETWORKS=500 there are as many.
"""

import os
import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import norse
import norse.torch as snn
from norse.backends.cpu import events, fused_layer, pooling
from norse.backends.cpu.fused_layer import FusedLayers
from norse.compiler.backend import BackendUnavailable, FusedCall, FusedResults
from norse.compiler.steps.fused_layer import CarryingStep

from .comparison import observe
from .event_networks import draw
from .fused import exact, linear, spikes, watch

COUNT = int(os.environ.get("NORSE_EVENT_NETWORKS", "16"))
FIRST = 0 if COUNT == 16 else 1000


def same(model: nn.Module, x: Tensor, **options: Any) -> tuple[list[tuple[bool, bool]], int]:
    """Checks a compiled model against eager; returns what was fused, and through how many nodes spikes may pass."""
    compiled = norse.compile(model, sparse=True, **{"memory": "fast", **options})
    compiled(x)
    made = watch(compiled) if compiled.variant.staged is None else []
    ours, theirs = observe(compiled, x), observe(model, x)
    for a, b in zip(ours.leaves, theirs.leaves, strict=True):
        assert a is b is None or (a.dtype == b.dtype and torch.equal(a, b))
    tolerance = 1e-4 if x.dtype == torch.float32 else 1e-10
    for name, theirs_of in theirs.gradients.items():
        ours_of = ours.gradients[name]
        if theirs_of is None or ours_of is None:  # of a leaf that only reaches what no gradient leads to
            assert all(gradient is None or not gradient.any() for gradient in (ours_of, theirs_of))
        else:
            assert (ours_of - theirs_of).abs().max() <= tolerance * theirs_of.abs().max(), name
    return made, sum(len(step.carriers) for step in compiled.variant.fused if isinstance(step, CarryingStep))


def test_random_networks_are_eager() -> None:
    fused = hidden = carried = 0
    for seed in range(FIRST, FIRST + COUNT):
        model, x = draw(seed)
        made, carriers = same(model, x)
        fused, hidden = fused + sum(did for did, _ in made), hidden + sum(left for _, left in made)
        carried += carriers
    assert min(fused, carried) > COUNT
    assert hidden > COUNT // 4


def test_so_they_are_where_the_backend_takes_some_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it refuses, torch runs, on values that are then in memory."""
    choose = random.Random(0)

    def sometimes(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: None if choose.random() < 0.4 else function(self, *args, **kwargs)

    for name in ("_synapse", "pool", "join"):
        monkeypatch.setattr(FusedLayers, name, sometimes(getattr(FusedLayers, name)))
    for seed in range(FIRST, FIRST + COUNT):
        same(*draw(seed))


def test_so_they_are_in_pieces_of_time() -> None:
    for seed in range(FIRST, FIRST + COUNT // 4):
        same(*draw(seed), memory="low")


# ---- what was found ----------------------------------------------------------------------------------


class Chain(nn.Module):
    """Two convolutions with something between, and a loop over time; a second branch if the function takes two."""

    def __init__(self, between: Callable[..., Tensor], channels: int = 4, branches: int = 1) -> None:
        super().__init__()
        self.between, self.branches = between, branches
        self.first = nn.ModuleList(exact(nn.Conv2d(2, 4, 3), 18) for _ in range(branches))
        self.neurons = nn.ModuleList(snn.LIFCell() for _ in range(branches))
        self.second, self.last = exact(nn.Conv2d(channels, 3, 2), 4 * channels), snn.LIFCell()

    def forward(self, x: Tensor) -> Tensor:
        states: list[Any] = [None] * self.branches
        last, made = None, []
        for tick in x:
            found = []
            for k in range(self.branches):
                z, states[k] = self.neurons[k](self.first[k](tick.to(self.first[k].weight.dtype)), states[k])
                found.append(z)
            out, last = self.last(self.second(self.between(*found)), last)
            made.append(out)
        return torch.stack(made)


class Read(Chain):
    """Which gives the first neurons' spikes as well."""

    def forward(self, x: Tensor) -> Any:
        first, last, made, spikes = None, None, [], []
        for tick in x:
            z, first = self.neurons[0](self.first[0](tick), first)
            out, last = self.last(self.second(self.between(z)), last)
            made.append(out)
            spikes.append(z)
        return torch.stack(made), torch.stack(spikes)


def frames() -> Tensor:
    return spikes(20, 2, 2, 12, 12, density=0.3)


def test_autocast_is_torchs() -> None:
    """The currents are then of another dtype than the input."""
    torch.manual_seed(1)
    model, x = Chain(lambda z: functional.max_pool2d(z, 2)), frames()
    compiled = norse.compile(model, sparse=True)
    compiled(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = compiled(x), model(x)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert torch.equal(ours, theirs)


def test_spikes_of_two_dtypes_are_joined_by_torch() -> None:
    torch.manual_seed(2)
    model = Chain(lambda a, b: torch.cat([a, b], 1), 8, branches=2)
    model.first[1].double()
    model.second.double()
    made, _ = same(model, frames())
    assert [did for did, _ in made] == [True] * 3


@pytest.mark.parametrize("to", [torch.float32, torch.float64])
@pytest.mark.parametrize("network", [Chain, Read])
def test_spikes_of_another_dtype_than_the_currents_are_in_memory(network: type[Chain], to: torch.dtype) -> None:
    def step(x: Tensor, v: Tensor, p: Any, dt: float) -> tuple[Tensor, Tensor]:
        v = 0.875 * v + x
        return (v > 1).to(to), torch.where(v > 1, 0, v)

    torch.manual_seed(2)
    model = network(lambda z: functional.max_pool2d(z, 2))
    model.neurons[0] = snn.SNNCell(step, torch.zeros_like, None)
    model.first.to(torch.float32 if to == torch.float64 else torch.float64)
    model.second.to(to)
    x = frames().to(model.first[0].weight.dtype)
    compiled = norse.compile(model, sparse=True)
    compiled(x)
    made = watch(compiled)
    for a, b in zip(observe(compiled, x).leaves, observe(model, x).leaves, strict=True):
        assert a.dtype == b.dtype == to
        assert torch.equal(a, b)
    assert made == [(True, False)] * 2


@pytest.mark.parametrize("pool", [functional.avg_pool2d, torch.max_pool2d])
def test_a_stride_of_nothing_is_the_windows(pool: Callable[..., Tensor]) -> None:
    torch.manual_seed(3)
    made, _ = same(Chain(lambda z: pool(z, 2, ())), frames())
    assert made[0] == (True, True)


def test_too_many_events_for_32_bits_are_pooled_and_joined_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    model = Chain(lambda a, b: torch.cat([functional.max_pool2d(a, 3, 1), b[..., 1:-1, 1:-1]], 1), 8, branches=2)
    monkeypatch.setattr(pooling, "MOST_EVENTS", 1000)
    assert same(model, frames())[0]
    model = Chain(lambda a, b: torch.cat([a, b], 1), 8, branches=2)
    monkeypatch.setattr(fused_layer, "MOST_EVENTS", 700)
    assert same(model, frames())[0]
    assert events.MOST_EVENTS < 2**31


def test_a_backward_reads_what_a_checkpoint_makes_again() -> None:
    """Nothing but the list of saved tensors holds it then."""
    torch.manual_seed(5)
    model, x = Chain(lambda z: functional.max_pool2d(z, 2)), frames()
    compiled = norse.compile(model, sparse=True)
    compiled(x)
    parameters = list(model.parameters())
    plain = torch.autograd.grad(compiled(x).sum(), parameters)
    again = torch.autograd.grad(checkpoint(compiled, x, use_reentrant=False).sum(), parameters)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_events_are_freed_with_the_tensor_that_they_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(6)
    layers = [layer for _ in range(4) for layer in (linear(20, 20), snn.LIF())]
    compiled, x = norse.compile(snn.SequentialState(*layers), sparse=True), spikes(20, 3, 20)
    made: list[Any] = []
    alive: list[int] = []
    call = FusedLayers.__call__

    def watched(self: FusedLayers, given: FusedCall) -> FusedResults | None:
        alive.append(sum(train() is not None for train in made))
        found = call(self, given)
        if found is not None and found.spikes is not None:
            made.append(weakref.ref(found.spikes.events))
        return found

    with torch.no_grad():
        compiled(x)
        monkeypatch.setattr(FusedLayers, "__call__", watched)
        compiled(x)
    assert alive == [0, 1, 1, 1]


@pytest.mark.parametrize("missing", ["convolution", "lists", "pooling"])
def test_without_a_compiler_for_what_was_not_built_yet_torch_runs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop alone may be in the cache."""
    torch.manual_seed(7)
    model, x = Chain(lambda z: functional.max_pool2d(z, 2)), frames()
    compiled = norse.compile(model, sparse=True)
    compiled(x)
    made = watch(compiled)
    load = fused_layer.load_runtime

    def refuse(name: str, dtype: torch.dtype | None = None) -> Any:
        if name == missing:
            raise BackendUnavailable("no compiler")
        return load(name, dtype)

    def refuse_pooling(dtype: torch.dtype) -> Any:
        raise BackendUnavailable("no compiler")

    monkeypatch.setattr(fused_layer, "load_runtime", refuse)
    if missing == "pooling":
        monkeypatch.setattr(pooling, "_library", refuse_pooling)
    fused_layer._is_built.cache_clear()
    assert torch.equal(compiled(x), model(x))
    fused_layer._is_built.cache_clear()
    assert made == ([(True, True), (True, False)] if missing == "pooling" else [(False, False)] * 2)


def test_a_state_made_of_the_input_has_a_gradient_to_it() -> None:
    torch.manual_seed(8)
    like = snn.LIFCell()

    def start(x: Tensor) -> Any:
        state = like.initial_state(x)
        return state._replace(v=0.5 * x)

    cell = snn.SNNCell(like.activation, start, like.p)
    model = snn.Lift(snn.SequentialState(exact(nn.Conv2d(2, 4, 3), 18), cell)).double()
    same(model, frames().double())
