"""A convolution and the loop behind it in one pass, and spikes as events through pooling, shapes and concatenation:
eager's spikes and gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import norse
import norse.torch as snn
from norse.backends.cpu.events import Bits, Events
from norse.backends.cpu.fused_layer import FusedLayers
from norse.backends.cpu.pooling import pool_events

from .comparison import observe
from .fused import exact, fused_steps, kept_bytes, linear, spikes, watch

DTYPES = [torch.float32, torch.float64]


def convolution(inputs: int, outputs: int, kernel: Any, rank: int = 2, **options: Any) -> nn.Module:
    layer = (nn.Conv1d, nn.Conv2d)[rank - 1](inputs, outputs, kernel, **options)
    return exact(layer, layer.weight[0].numel())


def same(model: nn.Module, x: Tensor) -> list[tuple[bool, bool]]:
    """Checks a compiled model against eager; returns what was fused, and what of it left its spikes out of memory."""
    compiled = norse.compile(model, sparse=True, memory="fast")
    compiled(x)
    made = watch(compiled)
    ours, theirs = observe(compiled, x), observe(model, x)
    for a, b in zip(ours.leaves, theirs.leaves, strict=True):
        assert a is b is None or torch.equal(a, b)
    assert ours.leaves[0].any()
    tolerance = 1e-5 if x.dtype == torch.float32 else 1e-12
    for name, gradient in theirs.gradients.items():
        assert gradient is not None
        scale = gradient.abs().max().item()
        torch.testing.assert_close(ours.gradients[name], gradient, atol=tolerance * scale, rtol=0)
    return made


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "3 x 3": ((2, 12, 11), {"outputs": 5, "kernel": 3}),
    "two vectors of channels": ((3, 9, 9), {"outputs": 40, "kernel": 3, "padding": 1, "bias": False}),
    "several strips": ((2, 40, 70), {"outputs": 17, "kernel": (5, 1)}),
    "groups": ((4, 8, 10), {"outputs": 6, "kernel": 3, "groups": 2, "bias": False}),
    "strides and dilation": ((2, 17, 16), {"outputs": 3, "kernel": 3, "stride": (2, 3), "dilation": 2}),
    "same": ((1, 7, 7), {"outputs": 2, "kernel": 3, "padding": "same"}),
    "one dimension": ((3, 30), {"outputs": 4, "kernel": 5, "rank": 1, "padding": 2}),
    "one pixel": ((1, 3, 3), {"outputs": 1, "kernel": 3}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_spikes_states_and_gradients_are_eagers(kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    sizes, options = CONVOLUTIONS[kind]
    layer = convolution(sizes[0], **options).to(dtype)
    model = snn.Lift(snn.SequentialState(layer, snn.LIFCell()))
    assert same(model, spikes(40, 3, *sizes, density=0.3, dtype=dtype)) == [(True, False)]


def lifted(*layers: nn.Module) -> nn.Module:
    return snn.Lift(snn.SequentialState(*layers))


BETWEEN: dict[str, Callable[[], list[nn.Module]]] = {
    "average": lambda: [nn.AvgPool2d(2)],
    "average of rectangles": lambda: [nn.AvgPool2d((4, 2))],
    "largest": lambda: [nn.MaxPool2d(2)],
    "largest of windows that overlap": lambda: [nn.MaxPool2d(3, 2, 1)],
    "largest of averages": lambda: [nn.AvgPool2d(2), nn.MaxPool2d(2, stride=1)],
    "average of averages": lambda: [nn.AvgPool2d(2), nn.AvgPool2d((1, 2))],
    "nothing": lambda: [nn.Identity()],
    "shapes": lambda: [nn.Flatten(2), nn.Unflatten(2, (10, 14))],
}


@pytest.mark.parametrize("kind", BETWEEN)
@pytest.mark.parametrize("dtype", DTYPES)
def test_spikes_pass_other_layers_as_events(kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    layers = BETWEEN[kind]()
    model = lifted(
        convolution(2, 9, 3), snn.LIFCell(), *layers, convolution(9, 7, 2), snn.LIFCell(), nn.Flatten(),
        nn.LazyLinear(5), snn.LICell(),
    ).to(dtype)  # fmt: skip
    x = spikes(30, 2, 2, 12, 16, density=0.2, dtype=dtype)
    model(x)
    exact(model.lifted_module[-2], 50)
    assert same(model, x) == [(True, True), (True, True), (True, False)]


@pytest.mark.parametrize("layer", [nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(2)])
def test_in_one_dimension(layer: nn.Module) -> None:
    torch.manual_seed(3)
    model = lifted(convolution(2, 9, 3, rank=1), snn.LIFCell(), layer, convolution(9, 7, 2, rank=1), snn.LIFCell())
    assert same(model, spikes(30, 2, 2, 40, density=0.3)) == [(True, True), (True, False)]


class Branches(nn.Module):
    """Two layers of spikes beside each other."""

    def __init__(self, dim: int, function: Callable[..., Tensor] = torch.cat) -> None:
        super().__init__()
        self.dim, self.function = dim, function
        self.a, self.b = convolution(2, 4, 3), convolution(2, 4, 3)
        self.lif, self.other, self.last = snn.LIFCell(), snn.LIFCell(), snn.LIFCell()
        self.c = convolution(4 if dim in (2, -1) else 8, 3, 3)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        first, second, third = (None,) * 3 if state is None else state
        z, first = self.lif(self.a(x), first)
        y, second = self.other(self.b(x), second)
        joined = self.function([functional.avg_pool2d(z, 2), functional.max_pool2d(y, 2)], dim=self.dim)
        out, third = self.last(self.c(joined), third)
        return out, (first, second, third)


@pytest.mark.parametrize("dim", [1, 2, -1])
def test_branches_are_joined_as_events(dim: int) -> None:
    torch.manual_seed(4)
    made = same(snn.Lift(Branches(dim)), spikes(30, 2, 2, 14, 14, density=0.2))
    assert sorted(made) == [(True, False), (True, True), (True, True)]


def test_a_layer_that_runs_dense_has_its_input_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there are too many events."""
    torch.manual_seed(5)
    model = lifted(
        convolution(2, 9, 3), snn.LIFCell(), nn.AvgPool2d(2), convolution(9, 7, 2), snn.LIFCell(), nn.MaxPool2d(2),
        nn.Flatten(), linear(7 * 2 * 3, 5), snn.LICell(),
    )  # fmt: skip
    synapse = FusedLayers._synapse
    monkeypatch.setattr(
        FusedLayers,
        "_synapse",
        lambda self, call: None if call.weight.shape[1] in (9, 42) else synapse(self, call),
    )
    assert same(model, spikes(30, 2, 2, 12, 16, density=0.2)) == [(True, True), (False, False), (False, False)]


def test_what_the_backend_does_not_pool_has_its_input_in_memory() -> None:
    torch.manual_seed(6)
    for layer in (nn.AvgPool2d(4, 2), nn.MaxPool2d(2, dilation=2), nn.LPPool2d(1, 2)):
        model = lifted(convolution(2, 9, 3), snn.LIFCell(), layer, convolution(9, 7, 2), snn.LIFCell())
        assert same(model, spikes(30, 2, 2, 12, 16, density=0.2))[0] == (True, False)


class Reads(nn.Module):
    """Pooled spikes that the user sees as well."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.lif, self.out = convolution(2, 4, 3), convolution(4, 3, 3), snn.LIFCell(), snn.LIFCell()

    def forward(self, x: Tensor, state: Any = None) -> Any:
        first, second = (None, None) if state is None else state
        z, first = self.lif(self.a(x), first)
        pooled = functional.max_pool2d(z, 2)
        y, second = self.out(self.b(pooled), second)
        return pooled + 0 * y.sum(), (first, second)


def test_what_is_also_read_otherwise_is_in_memory() -> None:
    torch.manual_seed(7)
    assert same(snn.Lift(Reads()), spikes(30, 2, 2, 14, 14, density=0.2)) == [(True, False), (True, False)]


def test_negative_numbers_are_pooled_by_torch() -> None:
    """Of spikes and what else is read: zeros may be larger than what is not zero."""
    layer, x = nn.MaxPool2d(2), torch.zeros(1, 1, 2, 2)
    assert pool_events(layer, x, Bits.zeros(1, 4).events) is not None
    negative = Events(torch.tensor([0, 1]).int(), torch.tensor([1]).int(), torch.tensor([-1.0]), 4)
    assert pool_events(layer, x, negative) is None


class Loop(nn.Module):
    """A loop over time that the user writes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.lif, self.out = convolution(2, 6, 3), convolution(6, 4, 2), snn.LIFCell(), snn.LIFCell()

    def forward(self, x: Tensor, state: Any = None) -> Any:
        first, second = (None, None) if state is None else state
        made = []
        for tick in x:
            z, first = self.lif(self.a(tick), first)
            y, second = self.out(self.b(functional.avg_pool2d(z, 2)), second)
            made.append(y)
        return torch.stack(made), (first, second)


def test_a_state_that_is_given_goes_on() -> None:
    torch.manual_seed(8)
    model = Loop()
    x = spikes(50, 2, 2, 12, 12, density=0.2)
    compiled = norse.compile(model, sparse=True)
    whole, _ = model(x)
    first, state = compiled(x[:20])
    second, _ = compiled(x[20:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert len(fused_steps(compiled)) == 2


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(9)
    model = lifted(
        convolution(2, 20, 3), snn.LIFCell(), nn.MaxPool2d(3, 2, 1), convolution(20, 33, 3), snn.LIFCell(),
        nn.AvgPool2d(2), nn.Flatten(), linear(33 * 5 * 5, 10), snn.LICell(),
    )  # fmt: skip
    x = spikes(40, 5, 2, 26, 26)
    compiled = norse.compile(model, sparse=True)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        seen = observe(compiled, x)
        found.append([x for x in (*seen.leaves, *seen.gradients.values()) if isinstance(x, Tensor)])
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_backward_keeps_events_and_one_number_a_neuron_and_tick() -> None:
    """Of the first layer the potential before the reset alone: currents, spikes and pooled spikes are in no memory."""
    torch.manual_seed(10)
    model = lifted(convolution(2, 16, 3), snn.LIFCell(), nn.AvgPool2d(2), convolution(16, 8, 3), snn.LIFCell())
    ticks, batch, size = 40, 4, 26
    x = spikes(ticks, batch, 2, size, size, density=0.02)
    compiled = norse.compile(model, sparse=True)
    compiled(x)
    kept = kept_bytes(compiled, x)
    first, second = (ticks * batch * 4 * n for n in (16 * 24 * 24, 8 * 10 * 10))
    assert first + second <= kept < 1.3 * (first + second)


def test_in_pieces_of_time() -> None:
    torch.manual_seed(11)
    model = lifted(convolution(2, 6, 3), snn.LIFCell(), nn.AvgPool2d(2), convolution(6, 4, 2), snn.LIFCell())
    x = spikes(60, 2, 2, 12, 12, density=0.2)
    compiled = norse.compile(model, sparse=True, memory="low")
    ours, theirs = observe(compiled, x), observe(model, x)
    assert torch.equal(ours.leaves[0], theirs.leaves[0])
    for name, gradient in theirs.gradients.items():
        torch.testing.assert_close(ours.gradients[name], gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layers", ["linear", "convolution"])
def test_quantised_layers_are_fused(layers: str) -> None:
    torch.manual_seed(12)
    if layers == "linear":
        model: nn.Module = snn.SequentialState(linear(30, 20), snn.LIF(), linear(20, 4), snn.LI())
        x = spikes(40, 3, 30, density=0.3)
    else:
        model = lifted(convolution(2, 6, 3), snn.LIFCell(), nn.AvgPool2d(2), convolution(6, 4, 2), snn.LICell())
        x = spikes(40, 3, 2, 12, 12, density=0.3)
    quantised = norse.quantize(model, bits=8, example_input=x)
    compiled = norse.compile(quantised, sparse=True)
    compiled(x)
    made = watch(compiled)
    torch.testing.assert_close(compiled(x)[0], quantised(x)[0], atol=1e-4, rtol=1e-5)
    assert made == [(True, True), (True, False)]
    assert len(fused_steps(compiled)) == 2
