"""EventProp steps, compiled: results and gradients of eager, in native loops that keep at spikes what is read there."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

import norse
import norse.torch as snn
from norse.backends.cuda import ShimBackend
from norse.compiler.module import CompiledModule
from norse.compiler.schedule import Options
from norse.torch.functional.coba_lif import CobaLIFParameters
from norse.torch.functional.lif_refrac import LIFRefracParameters
from norse.torch.functional.lsnn import LSNNParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.coba_lif import CobaLIFFeedForward, CobaLIFRecurrent
from norse.torch.module.lif_mc import LIFMC, LIFMCRecurrent
from norse.torch.module.lif_mc_refrac import LIFMCRefrac, LIFMCRefracRecurrent

INPUTS, HIDDEN = 5, 12


def double(p: Any) -> Any:
    return pytree.tree_map(lambda leaf: leaf.double() if isinstance(leaf, Tensor) else leaf, p)


LIF = double(snn.LIFParameters(method="adjoint"))
REFRACTORY = double(LIFRefracParameters(snn.LIFParameters(method="adjoint")))
COBA = double(
    CobaLIFParameters(*map(torch.tensor, (200.0, 250.0, 100.0, 1.0, -80.0, 0.0, -65.0, -65.0, -50.0)), method="adjoint")
)
LSNN = double(LSNNParameters(reset_method=reset_subtract))

FEED_FORWARD: dict[str, Callable[[], nn.Module]] = {
    "LIF": lambda: snn.LIF(LIF),
    "LIF, reset_subtract": lambda: snn.LIF(LIF._replace(reset_method=reset_subtract)),
    "LIFRefrac": lambda: snn.LIFRefrac(REFRACTORY),
    "LSNN": lambda: snn.LSNN(LSNN, adjoint=True),
    "CobaLIF": lambda: CobaLIFFeedForward(COBA),
    "LIFMC": lambda: LIFMC(HIDDEN, p=LIF),
    "LIFMCRefrac": lambda: LIFMCRefrac(HIDDEN, p=REFRACTORY),
}
RECURRENT: dict[str, Callable[[], nn.Module]] = {
    "LIFRecurrent": lambda: snn.LIFRecurrent(INPUTS, HIDDEN, LIF),
    "LIFRecurrent, square": lambda: snn.LIFRecurrent(HIDDEN, HIDDEN, LIF),
    "LIFRefracRecurrent": lambda: snn.LIFRefracRecurrent(INPUTS, HIDDEN, REFRACTORY),
    "LSNNRecurrent": lambda: snn.LSNNRecurrent(INPUTS, HIDDEN, LSNN, adjoint=True),
    "CobaLIFRecurrent": lambda: CobaLIFRecurrent(INPUTS, HIDDEN, COBA),
    "LIFMCRecurrent": lambda: LIFMCRecurrent(INPUTS, HIDDEN, p=LIF),
    "LIFMCRefracRecurrent": lambda: LIFMCRefracRecurrent(INPUTS, HIDDEN, p=REFRACTORY),
}
MODELS = FEED_FORWARD | RECURRENT


def made(name: str) -> nn.Module:
    torch.manual_seed(1)
    model = MODELS[name]().double()
    if name == "CobaLIFRecurrent":
        model.recurrent_weights.data.mul_(0.02)
    if hasattr(model, "g_coupling"):
        model.g_coupling.data.mul_(0.001 if "Refrac" in name else 20.0)
    return model


def input_of(name: str, ticks: int = 60, samples: int = 3) -> Tensor:
    features = INPUTS if name in RECURRENT and "square" not in name else HIDDEN
    generator = torch.Generator().manual_seed(ticks)
    x = torch.randn(ticks, samples, features, generator=generator, dtype=torch.float64)
    return 0.15 * x + 0.05 if "Coba" in name else 3 * x


def gradients(model: nn.Module, x: Tensor, state: Any = None) -> tuple[list[Tensor], dict[str, Tensor | None]]:
    """Results, and the gradients of a weighted sum of all of them: of the input, the state and the parameters."""
    x = x.clone().requires_grad_()
    leaves, structure = pytree.tree_flatten(state)
    leaves = [leaf.clone().requires_grad_() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    results = [leaf for leaf in pytree.tree_leaves(model(x, pytree.tree_unflatten(leaves, structure)))]
    generator = torch.Generator().manual_seed(2)
    loss = sum((r * torch.randn(r.shape, generator=generator, dtype=r.dtype)).sum() for r in results)
    wanted = {"x": x, **{f"state{k}": leaf for k, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}}
    wanted |= {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return [r.detach() for r in results], dict(zip(wanted, found, strict=True))


def assert_alike(compiled: nn.Module, eager: nn.Module, x: Tensor, state: Any = None, exactly: bool = False) -> None:
    (ours, our_gradients), (theirs, their_gradients) = (gradients(m, x, state) for m in (compiled, eager))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.0 if exactly else 1e-10)
    for name, expected in their_gradients.items():
        found = our_gradients[name]
        assert (found is None) == (expected is None), name
        if found is not None and expected is not None:
            scale = float(expected.abs().max()) if expected.numel() else 0.0
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * (scale or 1.0), msg=name)


@pytest.mark.parametrize("name", MODELS)
def test_a_native_loop_has_the_results_and_gradients_of_eager(name: str) -> None:
    eager = made(name)
    compiled = norse.compile(copy.deepcopy(eager), fullgraph=True)
    x = input_of(name)
    exactly = name in FEED_FORWARD and "MC" not in name  # products are summed in another order
    assert_alike(compiled, eager, x, exactly=exactly)
    z, state = eager(x)
    assert 0.005 < float(z.detach().mean()) < 0.5  # something happened
    assert "one native loop over T" in str(compiled.explain())
    given = pytree.tree_map(lambda leaf: leaf.detach(), state)
    builds = len(compiled.code)
    for ticks, samples in ((1, 3), (7, 3), (20, 3)):
        assert_alike(compiled, eager, input_of(name, ticks, samples), given, exactly)
    assert_alike(compiled, eager, input_of(name, 30, 5), exactly=exactly)
    assert len(compiled.code) == builds  # another T or B builds nothing


@pytest.mark.parametrize("name", ["LIF", "LIFRecurrent"])
def test_without_ticks_the_state_is_the_one_that_was_given(name: str) -> None:
    eager = made(name)
    compiled = norse.compile(copy.deepcopy(eager))
    given = pytree.tree_map(lambda leaf: leaf.detach(), eager(input_of(name))[1])
    z, state = compiled(input_of(name)[:0], given)
    assert z.shape == (0, 3, HIDDEN)
    assert all(torch.equal(a, b) for a, b in zip(state, given, strict=True))


@pytest.mark.parametrize("name", ["LIF", "LIFRefracRecurrent", "LSNN", "LIFMC"])
def test_pieces_of_time_equal_one_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, x = norse.compile(made(name)), input_of(name)
    whole = gradients(compiled, x)
    monkeypatch.setattr("norse.backends.at_spikes._PIECE", 7 * 3 * HIDDEN)  # of seven ticks, and one of four
    pieces = gradients(compiled, x)
    for one, other in zip(whole[0], pieces[0], strict=True):
        assert torch.equal(one, other)
    for one, other in zip(whole[1].values(), pieces[1].values(), strict=True):
        assert torch.equal(one, other)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["LIF", "LIFRefrac", "LSNNRecurrent", "CobaLIFRecurrent", "LIFMC"])
def test_the_text_for_cuda_computes_the_same(name: str) -> None:
    eager = made(name)
    compiled = CompiledModule(copy.deepcopy(eager), Options((ShimBackend(threads=8),)), fullgraph=True)
    assert_alike(compiled, eager, input_of(name, 20))


def test_learnt_parameters_are_refused_as_in_eager() -> None:
    compiled, x = norse.compile(snn.LIF(snn.LIFParameters(method="adjoint"))), torch.ones(3, 2, 4)
    compiled(x)
    compiled.p.tau_mem_inv.requires_grad_()
    try:
        with pytest.raises(ValueError, match=r"argument p\.tau_mem_inv: expects a constant"):
            compiled(x)
        with torch.no_grad():
            assert compiled(x)[0].shape == x.shape
    finally:
        compiled.p.tau_mem_inv.requires_grad_(False)
    learnt = snn.LIFParameters(method="adjoint", v_th=nn.Parameter(torch.tensor(1.0)))
    with pytest.raises(ValueError, match=r"argument p\.v_th: expects a constant"):
        norse.compile(snn.LIF(learnt))(x)


def test_exactly_the_bits_of_eager_where_they_are_asked_for() -> None:
    eager = made("LIFRecurrent")
    assert_alike(norse.compile(copy.deepcopy(eager), exact=True), eager, input_of("LIFRecurrent"), exactly=True)


@pytest.mark.parametrize("name", ["LIFRecurrent", "LSNN"])
def test_checkpoints_compute_again_what_they_did_not_keep(name: str) -> None:
    model = made(name)
    compiled, x = norse.compile(copy.deepcopy(model), fullgraph=True), input_of(name).requires_grad_()
    expected = torch.autograd.grad(model(x)[0].sum(), x)[0]
    z, _ = checkpoint(compiled, x, use_reentrant=False)  # its first call, too
    torch.testing.assert_close(torch.autograd.grad(z.sum(), x)[0], expected, rtol=0, atol=1e-10)


def test_an_exported_program_has_the_gradients_too() -> None:
    compiled, x = norse.compile(made("LIFRecurrent")), input_of("LIFRecurrent")
    expected = gradients(compiled, x)
    exported = torch.export.export(compiled, (x,), strict=False).module()
    x = x.clone().requires_grad_()
    z, _ = exported(x)
    assert torch.equal(z, expected[0][0])


# ---- the equations ---------------------------------------------------------------------------------------------------


def published_gradient(weights: Tensor, x: Tensor, seeds: Tensor, p: Any, dt: float) -> Tensor:
    """dL/dW of LIF neurons behind a layer W, written anew: forward Euler, then λ from the last tick to the first.

    Wunderlich & Pehle (2021), table 1 and eq. 5, with the jump λ_V⁺ -> λ_V⁻ = (V̇⁺ λ_V⁺ + ∂L/∂t) / V̇⁻ at spikes.
    """
    tau_m, tau_s, threshold = 1 / float(p.tau_mem_inv), 1 / float(p.tau_syn_inv), float(p.v_th)
    ticks, samples, neurons = seeds.shape
    v, i = torch.zeros(2, samples, neurons, dtype=torch.float64)
    spikes: list[dict[tuple[int, int], tuple[float, float]]] = []
    for t in range(ticks):
        jumped = i + x[t] @ weights.T
        u = v + dt / tau_m * (jumped - v)
        fired = u > threshold
        after = torch.where(fired, 0.0, u)
        places = [(int(b), int(n)) for b, n in fired.nonzero()]
        rates = {
            place: (float(i[place] - v[place]) / tau_m, float(i[place] - after[place]) / tau_m) for place in places
        }
        spikes.append(rates)
        v, i = after, jumped * (1 - dt / tau_s)
    total = torch.zeros_like(weights)
    lambda_v, lambda_i = torch.zeros(2, samples, neurons, dtype=torch.float64)
    for t in reversed(range(ticks)):
        flow_v = lambda_v * (1 - dt / tau_m)
        lambda_i = lambda_i + dt / tau_s * (lambda_v - lambda_i)
        for place, (before, after_rate) in spikes[t].items():
            flow_v[place] = (after_rate * float(flow_v[place]) + float(seeds[t][place])) / before
        lambda_v = flow_v
        total += torch.einsum("bn,bk->nk", lambda_i, x[t])
    return total


def test_the_compiled_gradient_is_that_of_the_equations() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(INPUTS, HIDDEN, bias=False).double()
    layer.weight.data.mul_(4.0)
    x = (torch.rand(80, 3, INPUTS) < 0.2).double()
    seeds = torch.randn(80, 3, HIDDEN, dtype=torch.float64)
    compiled = norse.compile(snn.SequentialState(layer, snn.LIF(LIF)), fullgraph=True)
    z, _ = compiled(x)
    assert z.sum() > 20
    (found,) = torch.autograd.grad((z * seeds).sum(), layer.weight)
    expected = published_gradient(layer.weight.detach(), x, seeds, LIF, 0.001)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


# ---- memory ----------------------------------------------------------------------------------------------------------


def bytes_kept(model: nn.Module, x: Tensor) -> tuple[int, int]:
    """What autograd keeps for backward beside the input and the weights; and how many spikes there were."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        z, _ = model(x)
    for known in (x, *model.parameters()):
        kept.pop(known.untyped_storage().data_ptr(), None)
    return sum(kept.values()), int(z.sum())


@pytest.mark.parametrize(("make", "values", "bits"), [(snn.LIF, 2, 1), (snn.LIFRefrac, 3, 5)])
def test_what_is_kept_for_backward_follows_the_number_of_spikes(make: Any, values: int, bits: int) -> None:
    p = snn.LIFParameters(method="adjoint")
    compiled = norse.compile(make(p if make is snn.LIF else LIFRefracParameters(p)))
    ticks, samples, neurons = shape = (400, 4, 128)
    bytes_of: dict[float, tuple[int, int]] = {}
    for rate in (0.0, 0.02, 0.05):
        active = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.6 * rate
        x = (8.0 * active).requires_grad_()
        bytes_kept(compiled, x)  # traces
        bytes_of[rate] = bytes_kept(compiled, x)
        if rate:
            assert 0.5 * rate < bytes_of[rate][1] / x.numel() < 2 * rate
    silent, _ = bytes_of[0.0]
    elements = ticks * samples * neurons
    assert silent <= bits * elements / 8 + 4096
    for found, spikes in (bytes_of[0.02], bytes_of[0.05]):
        assert found - silent <= 4 * values * spikes
        assert found - silent >= 4 * spikes
        assert found < 0.25 * 4 * values * elements  # what dense values would take
