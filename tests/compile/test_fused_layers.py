"""A linear layer and the loop behind it in one pass: eager's spikes and gradients, without the currents in memory."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.backends.cpu import synapse
from norse.backends.cpu.costs import Costs
from norse.backends.cpu.events import count_bits, product_where
from norse.backends.cpu.fused_layer import FusedLayers
from norse.compiler.backend import FusedCall, FusedResults

from .comparison import observe
from .fused import fused_steps, kept_bytes, linear, spikes, watch

DTYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("ticks", "batch", "sizes"),
    [(40, 3, (30, 70, 20, 5)), (7, 1, (5, 1, 3)), (300, 2, (9, 65)), (3, 40, (20, 130, 600)), (20, 1, (6, 4))],
)
def test_spikes_states_and_gradients_are_eagers(
    ticks: int, batch: int, sizes: tuple[int, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    for place, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers += [linear(inputs, outputs, bool(place % 2), dtype), snn.LIF()]
    model = snn.SequentialState(*layers)
    x = spikes(ticks, batch, sizes[0], density=0.3, dtype=dtype)
    compiled = norse.compile(model, sparse=True)
    compiled(x)
    made = watch(compiled)
    ours, theirs = observe(compiled, x), observe(model, x)
    last = len(sizes) - 2
    assert made == [(True, place < last) for place in range(last + 1)]  # the last layer's spikes are the user's
    for a, b in zip(ours.leaves, theirs.leaves, strict=True):
        assert a is b is None or torch.equal(a, b)
    assert ours.leaves[0].any()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for name, gradient in theirs.gradients.items():
        assert gradient is not None
        scale = gradient.abs().max().item()
        torch.testing.assert_close(ours.gradients[name], gradient, atol=tolerance * scale, rtol=0)


NEURONS = {
    "LIFBox": snn.LIFBox,
    "IAF": snn.IAF,
    "LIFRefrac": snn.LIFRefrac,
    "LSNN": snn.LSNN,
    "Izhikevich": lambda: snn.Izhikevich(snn.tonic_spiking),
    "learnt": lambda: snn.LIF(snn.LIFParameters(tau_mem_inv=nn.Parameter(torch.linspace(50, 150, 20)))),
    "LI": snn.LI,
    "CobaLIF": snn.CobaLIFFeedForward,
}


@pytest.mark.parametrize("kind", NEURONS)
def test_any_neuron_may_stand_behind_the_layer(kind: str) -> None:
    torch.manual_seed(2)
    model = snn.SequentialState(linear(30, 20), NEURONS[kind](), linear(20, 4), snn.LI())
    x = spikes(60, 3, 30, density=0.2)
    compiled = norse.compile(model, sparse=True)
    ours, theirs = observe(compiled, x), observe(model, x)
    assert len(fused_steps(compiled)) == 2
    for a, b in zip(ours.leaves, theirs.leaves, strict=True):
        assert b is not None or a is None
        if b is not None:
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)
    for name, gradient in theirs.gradients.items():
        if gradient is None:
            assert ours.gradients[name] is None
        else:
            scale = max(gradient.abs().max().item(), 1e-30)
            torch.testing.assert_close(ours.gradients[name], gradient, atol=1e-4 * scale, rtol=0)


def test_a_state_that_is_given_goes_on(dtype: torch.dtype = torch.float64) -> None:
    torch.manual_seed(3)
    model = snn.SequentialState(linear(30, 20, dtype=dtype), snn.LIF(), linear(20, 8, dtype=dtype), snn.LIF())
    x = spikes(50, 3, 30, density=0.2, dtype=dtype)
    compiled = norse.compile(model, sparse=True)
    whole, _ = model(x)
    first, state = compiled(x[:20])
    second, _ = compiled(x[20:], state)
    assert torch.equal(torch.cat([first, second]), whole)


def test_what_is_also_read_otherwise_is_in_memory() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.lif, self.b, self.out = linear(30, 20), snn.LIF(), linear(20, 20), snn.LIF()

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            z, _ = self.lif(self.a(x))
            y, _ = self.out(self.b(z))
            return y, z

    torch.manual_seed(4)
    model, x = Skip(), spikes(40, 3, 30, density=0.2)
    compiled = norse.compile(model, sparse=True)
    compiled(x)
    made = watch(compiled)
    assert all(torch.equal(a, b) for a, b in zip(compiled(x), model(x), strict=True))
    assert made == [(True, False), (True, False)]


def test_spikes_out_of_memory_come_back_for_a_dense_layer() -> None:
    torch.manual_seed(5)
    model = snn.SequentialState(linear(30, 20), snn.LIF(), linear(20, 8), snn.LIF())
    x = spikes(40, 3, 30, density=0.2)
    compiled = norse.compile(model, sparse=True)
    compiled(x)
    first, second = fused_steps(compiled)

    class Refuses(FusedLayers):
        def __call__(self, call: FusedCall) -> FusedResults | None:
            return None

    second.fuses = Refuses(True)
    assert not first.in_memory
    ours, theirs = observe(compiled, x), observe(model, x)
    assert torch.equal(ours.leaves[0], theirs.leaves[0])
    for name, gradient in theirs.gradients.items():
        torch.testing.assert_close(ours.gradients[name], gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("reads", ["values", "shape"])
def test_an_initial_state_made_of_currents_has_them_in_memory(reads: str) -> None:
    def initial(x: Tensor) -> Tensor:
        return x[0] * 0.5 if reads == "values" else torch.ones_like(x[0])

    def step(x: Tensor, v: Tensor, p: Any, dt: float) -> tuple[Tensor, Tensor]:
        v = 0.5 * v + x
        return v, v

    torch.manual_seed(6)
    model = snn.SequentialState(linear(30, 20), snn.SNN(step, initial, p=None))
    x = spikes(40, 3, 30, density=0.2)
    compiled = norse.compile(model, sparse=True)
    for _ in range(2):
        assert torch.equal(compiled(x)[0], model(x)[0])
    assert len(fused_steps(compiled)) == (reads == "shape")


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(7)
    model = snn.SequentialState(linear(300, 600), snn.LIF(), linear(600, 33), snn.LIF())
    x = spikes(50, 20, 300)
    compiled = norse.compile(model, sparse=True)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        seen = observe(compiled, x)
        found.append([x for x in (*seen.leaves, *seen.gradients.values()) if isinstance(x, Tensor)])
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_random_numbers_are_the_same_fused_or_not() -> None:
    def noisy(x: Tensor, v: Tensor, p: Any, dt: float) -> tuple[Tensor, Tensor]:
        v = 0.5 * v + x + torch.rand_like(v)
        return v, v

    torch.manual_seed(8)
    model = snn.SequentialState(linear(64, 64), snn.SNN(noisy, lambda x: torch.zeros_like(x[0]), p=None))
    x = spikes(40, 3, 64)
    found = []
    for sparse in (True, False):
        compiled = norse.compile(model, sparse=sparse)
        compiled(x)
        torch.manual_seed(9)
        found.append(compiled(x)[0])
    assert torch.equal(*found)


def test_backward_keeps_events_and_one_number_a_neuron_and_tick() -> None:
    """Of T B N numbers each: eager keeps the spikes and the currents' kin; of the first layer ours keeps the potential
    before the reset alone."""
    torch.manual_seed(10)
    ticks, batch, n = 100, 8, 128
    model = snn.SequentialState(linear(n, n), snn.LIF(), linear(n, n), snn.LIF())
    x = spikes(ticks, batch, n, density=0.02)
    compiled = norse.compile(model, sparse=True)
    compiled(x)
    kept = kept_bytes(compiled, x)
    one = ticks * batch * n * 4
    assert 2 * one <= kept < 2.5 * one


class Boxcar(torch.autograd.Function):
    """A user's surrogate derivative, 1 within 0.3 of the threshold."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        (v,) = ctx.saved_tensors
        return g * (v.abs() < 0.3).to(g.dtype)


class SuperSpike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        (v,) = ctx.saved_tensors
        return g / (100.0 * v.abs() + 1.0) ** 2


class CutSuperSpike(SuperSpike):
    """With a derivative that is zero where it would be below 0.01: where |v| > 0.09."""

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        (v,) = ctx.saved_tensors
        return torch.where(v.abs() > 0.09, torch.zeros_like(g), SuperSpike.backward(ctx, g))


def step_with(function: Any) -> Any:
    def step(x: Tensor, state: tuple[Tensor, Tensor], p: Any, dt: float) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        v, i = state
        i = i + x
        v = v + 0.1 * (i - v)
        z = function.apply(v - 1.0)
        return z, ((1 - z) * v, 0.8 * i)

    return step


def two_zeros(x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(x[0]), torch.zeros_like(x[0])


def network(neuron: Any) -> nn.Module:
    torch.manual_seed(11)
    return snn.SequentialState(
        linear(30, 100, dtype=torch.float64), neuron(), linear(100, 70, dtype=torch.float64), neuron()
    )


def same_gradients(ours: Any, theirs: Any) -> None:
    assert torch.equal(ours.leaves[0], theirs.leaves[0])
    for (name, ours_), theirs_ in zip(ours.gradients.items(), theirs.gradients.values(), strict=True):
        assert theirs_ is not None
        assert theirs_.any(), name
        torch.testing.assert_close(ours_, theirs_, atol=1e-11 * theirs_.abs().max().item(), rtol=0)


def count_products(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The part of a gradient that each product computes which is not of whole matrices."""
    parts: list[float] = []

    def counted(bits: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
        parts.append(count_bits(bits) / (grad.shape[0] * weight.shape[1]))
        return product_where(bits, grad, weight)

    monkeypatch.setattr(synapse, "product_where", counted)
    return parts


@pytest.mark.parametrize("kind", ["triangle", "user"])
def test_gradients_are_computed_only_where_the_surrogate_is_not_zero(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(
        lambda: (
            snn.LIF(snn.LIFParameters(method="triangle"))
            if kind == "triangle"
            else snn.SNN(step_with(Boxcar), two_zeros, p=None)
        )
    )
    monkeypatch.setattr(Costs, "most_wanted", lambda self, values: values)
    parts = count_products(monkeypatch)
    x = spikes(60, 3, 30, density=0.2, dtype=torch.float64)
    same_gradients(observe(norse.compile(model, sparse=True), x), observe(model, x))
    assert len(parts) == 1  # the gradient of the hidden spikes
    assert 0 < parts[0] < 0.8


def test_the_cutoff_is_where_a_derivative_counts_as_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Costs, "most_wanted", lambda self, values: values)
    parts = count_products(monkeypatch)
    x = spikes(60, 3, 30, density=0.2, dtype=torch.float64)
    whole = network(lambda: snn.SNN(step_with(SuperSpike), two_zeros, p=None))
    compiled = norse.compile(whole, sparse=True, surrogate_cutoff=0.01)
    by_hand = network(lambda: snn.SNN(step_with(CutSuperSpike), two_zeros, p=None))
    same_gradients(observe(compiled, x), observe(by_hand, x))
    assert len(parts) == 1
    assert 0 < parts[0] < 0.3
    same_gradients(observe(norse.compile(whole, sparse=False, surrogate_cutoff=0.01), x), observe(by_hand, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "inputs", "neurons"), [(1, 1, 1), (50, 130, 33), (7, 64, 1000), (300, 200, 16)])
def test_single_products_are_those_of_the_matrices(rows: int, inputs: int, neurons: int, dtype: torch.dtype) -> None:
    torch.manual_seed(12)
    wanted = torch.rand(rows, -(-inputs // 64) * 64) < 0.2
    wanted[:, inputs:] = False
    words = (wanted.view(rows, -1, 64).long() << torch.arange(64)).sum(-1)
    grad, weight = torch.randn(rows, neurons, dtype=dtype), torch.randn(neurons, inputs, dtype=dtype)
    expected = torch.where(wanted[:, :inputs], grad @ weight, torch.zeros((), dtype=dtype))
    assert count_bits(words) == int(wanted.sum())
    tolerance = 2e-4 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(product_where(words, grad, weight), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("cutoff", [-1.0, float("nan"), float("inf"), "0.1", True])
def test_a_cutoff_that_is_none_is_refused(cutoff: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="argument surrogate_cutoff: expects a number from 0"):
        norse.compile(snn.LIF(), surrogate_cutoff=cutoff)
