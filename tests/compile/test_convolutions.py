"""Event-driven convolutions: equal to dense ones up to rounding, whatever is active, on any number of threads."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.backends.cpu import convolution
from norse.backends.cpu.convolution import Convolution
from norse.backends.cpu.convolution_costs import Costs, Pass, costs
from norse.backends.cpu.patches import Shape

DTYPES = [torch.float32, torch.float64]


def active(sizes: tuple[int, ...], density: float, analog: bool, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(len(sizes))
    x = (torch.rand(sizes, generator=generator) < density).to(dtype)
    return x * torch.randn(sizes, generator=generator, dtype=dtype) if analog else x


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.stride() == theirs.stride()
    tolerance = 5e-6 if ours.dtype == torch.float32 else 2e-14
    scale = theirs.abs().max().item()
    torch.testing.assert_close(ours, theirs, atol=tolerance * max(scale, 1), rtol=0)


def same_as_dense(layer: Any, x: Tensor) -> None:
    """Outputs, and the gradients of input, weight and bias."""
    x = x.requires_grad_()
    made, expected = Convolution(True)(layer, x), layer(x)
    assert made.grad_fn.name() != expected.grad_fn.name(), "torch ran it"
    close(made, expected)
    grad = torch.randn(expected.shape, dtype=x.dtype)
    leaves = (x, *layer.parameters())
    ours, theirs = (torch.autograd.grad(y, leaves, grad) for y in (made, expected))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.shape, b.shape)
        close(a.contiguous(), b.contiguous())


TWO_DIMENSIONS = [
    ((2, 3, 8, 9), (3, 4, 3), {}),
    ((1, 1, 1, 1), (1, 1, 1), {}),
    ((3, 2, 34, 34), (2, 16, 3), {}),
    ((2, 5, 14, 16), (5, 33, 3), {"padding": 1}),  # a block of channels that is not full
    ((2, 2, 70, 11), (2, 20, 3), {"padding": (0, 2), "bias": False}),  # strips of rows
    ((5, 3, 40, 130), (3, 7, 5), {"padding": "same"}),  # rows of more than a word of bits
    ((2, 3, 9, 9), (3, 4, (2, 4)), {"padding": "same"}),  # more on one side than on the other
    ((2, 3, 9, 10), (3, 4, 3), {"padding": "valid", "stride": 2}),
    ((2, 3, 12, 11), (3, 4, 3), {"stride": (3, 2), "padding": 2}),
    ((2, 3, 12, 15), (3, 4, 3), {"dilation": (2, 3), "padding": 3}),
    ((2, 3, 13, 14), (3, 4, 3), {"stride": 2, "dilation": 2, "padding": 1}),
    ((2, 3, 13, 14), (3, 4, 2), {"stride": 4}),  # inputs that reach nothing
    ((3, 8, 9, 9), (8, 12, 3), {"groups": 4, "padding": 1}),
    ((2, 6, 9, 9), (6, 6, 3), {"groups": 6}),
    ((2, 3, 9, 7), (3, 4, (9, 7)), {}),  # one output
    ((2, 3, 2, 2), (3, 4, 3), {"padding": 2}),  # smaller than the kernel
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(("sizes", "layer", "options"), TWO_DIMENSIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("analog", "density"), [(False, 0.1), (True, 0.3), (True, 1.0), (False, 0.0)])
def test_outputs_and_gradients_are_those_of_a_dense_layer(
    sizes: tuple[int, ...],
    layer: tuple[Any, ...],
    options: dict[str, Any],
    analog: bool,
    density: float,
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    same_as_dense(nn.Conv2d(*layer, **options, dtype=dtype), active(sizes, density, analog, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("analog", [False, True])
@pytest.mark.parametrize(
    ("sizes", "layer", "options"),
    [
        ((4, 3, 20), (3, 5, 3), {}),
        ((4, 3, 200), (3, 20, 5), {"padding": 2, "stride": 2}),
        ((4, 4, 21), (4, 6, 4), {"padding": "same", "dilation": 3, "groups": 2, "bias": False}),
    ],
)
def test_of_one_dimension_too(
    sizes: tuple[int, ...], layer: tuple[Any, ...], options: dict[str, Any], analog: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    same_as_dense(nn.Conv1d(*layer, **options, dtype=dtype), active(sizes, 0.2, analog, dtype))


@pytest.mark.parametrize("analog", [False, True])
@pytest.mark.parametrize(("samples", "outputs"), [(40, 8), (3, 200)])
def test_results_do_not_depend_on_the_number_of_threads(samples: int, outputs: int, analog: bool) -> None:
    x = active((samples, 4, 20, 30), 0.1, analog, torch.float32)
    layer = nn.Conv2d(4, outputs, 3)
    grad = torch.randn(samples, outputs, 18, 28)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        made = Convolution(True)(layer, x)
        found.append((made.detach(), *torch.autograd.grad(made, layer.weight, grad)))
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_what_is_no_number_reaches_what_it_reaches_in_torch() -> None:
    x = torch.zeros(3, 2, 10, 12)
    x[0, 1, 0, 0], x[1, 0, 5, 6], x[2, 1, 9, 3] = float("nan"), float("inf"), float("nan")
    layer = nn.Conv2d(2, 5, 3)
    nn.init.uniform_(layer.weight, 0.1, 1)
    made, expected = Convolution(True)(layer, x), layer(x)
    torch.testing.assert_close(made, expected, equal_nan=True)
    grad = torch.rand_like(expected) + 0.1
    ours, theirs = (torch.autograd.grad(y, layer.weight, grad)[0] for y in (made, expected))
    torch.testing.assert_close(ours, theirs, equal_nan=True)


def test_of_an_input_whose_weights_alone_learn_only_the_events_are_kept() -> None:
    x = active((50, 2, 34, 34), 0.03, False, torch.float32)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):  # type: ignore[func-returns-value]
        Convolution(True)(nn.Conv2d(2, 16, 3), x)
    assert kept
    assert sum(t.nbytes for t in kept) < x.nbytes / 10


def test_auto_is_torchs_own_layer_where_most_is_active_and_event_driven_where_little_is() -> None:
    layer = nn.Conv2d(16, 32, 3)
    dense, sparse = torch.rand(20, 16, 20, 20), active((20, 16, 20, 20), 0.005, False, torch.float32)
    assert torch.equal(Convolution("auto")(layer, dense), layer(dense))
    assert Convolution("auto")(layer, sparse).grad_fn.name() != layer(sparse).grad_fn.name()
    few = sparse[:1, :, :4, :4]
    assert torch.equal(Convolution("auto")(layer, few), layer(few)), "of few values torch is done at once"


def test_the_most_events_are_where_both_ways_cost_the_same() -> None:
    """By hand: 10 outputs."""
    shape = Shape(1, 1, 2, 1, (1, 12), (1, 10), (1, 3), (1, 1), (0, 0), (1, 1))
    made = Costs(forward=Pass(event=3, output=2, dense=9), weights=Pass(event=4, output=5, dense=12))
    assert made.most_events(shape, learns=False) == 10 * (9 - 2) // 3
    assert made.most_events(shape, learns=True) == 10 * (9 + 12 - 2 - 5) // (3 + 4)


def test_what_is_measured_is_of_the_same_kind() -> None:
    """Channels, kernel and stride are the layer's; batches of any size, and images of about its size, are alike."""
    shape = Shape(64, 1, 2, 8, (34, 33), (17, 17), (3, 3), (2, 2), (1, 1), (1, 1))
    alike = replace(shape, samples=3, size=(40, 41), out=(20, 21))
    assert costs(shape) is costs(alike)
    assert costs(replace(shape, outputs=16)) is not costs(shape)
    for each in (costs(shape).forward, costs(shape).weights):
        assert min(each.event, each.output, each.dense) > 0


def test_what_it_is_not_for_is_torchs() -> None:
    layer, x = nn.Conv2d(3, 4, 3), active((2, 3, 8, 8), 0.2, False, torch.float32)
    sparse = Convolution(True)
    with torch.autocast("cpu"):
        assert sparse(layer, x).dtype == torch.bfloat16
    assert torch.equal(sparse(layer, x[0]), layer(x[0]))
    assert sparse(layer, x[:0]).shape == (0, 4, 6, 6)
    circular = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")
    assert torch.equal(sparse(circular, x), circular(x))
    with pytest.raises(RuntimeError, match=r"[Kk]ernel size"):
        sparse(layer, x[..., :2])
    with pytest.raises(RuntimeError, match="channels"):
        sparse(layer, x[:, :2])


def test_inputs_and_gradients_may_have_any_strides() -> None:
    layer = nn.Conv2d(3, 4, 3)
    x = active((8, 7, 2, 3), 0.3, True, torch.float32).permute(2, 3, 0, 1).requires_grad_()
    made, expected = Convolution(True)(layer, x), layer(x)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)
    grad = torch.randn(6, 5, 4, 2).permute(3, 2, 0, 1)
    leaves = (x, *layer.parameters())
    ours, theirs = (torch.autograd.grad(y, leaves, grad) for y in (made, expected))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_a_second_derivative_is_refused() -> None:
    layer, x = nn.Conv2d(3, 4, 3), active((2, 3, 8, 8), 0.2, False, torch.float32)
    with pytest.raises(RuntimeError, match="differentiated twice"):
        torch.autograd.grad(Convolution(True)(layer, x).square().sum(), layer.weight, create_graph=True)


@pytest.mark.parametrize("sparse", [True, "auto", False])
def test_a_compiled_network_has_eagers_gradients(sparse: bool) -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(
        snn.Lift(nn.Conv2d(2, 6, 3, padding=1)),
        snn.LIF(),
        snn.Lift(nn.AvgPool2d(2)),
        snn.Lift(nn.Conv2d(6, 20, 3, stride=2, bias=False)),
        snn.LIF(),
        snn.Lift(nn.Flatten()),
        snn.Lift(nn.Unflatten(1, (4, 20))),
        snn.Lift(nn.Conv1d(4, 3, 5)),
        snn.LI(),
    ).double()
    x = active((30, 4, 2, 12, 12), 0.1, False, torch.float64) * 20
    results = []
    for net in (model, norse.compile(model, sparse=sparse)):
        model.zero_grad()
        z, _ = net(x)
        z.square().sum().backward()
        results.append([z.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    assert all(result.abs().sum() > 0 for result in results[0])
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10 * theirs.abs().max().item(), rtol=0)


def test_exact_never_is_event_driven(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("it looks for events")

    monkeypatch.setattr(convolution, "find_events", refuse)
    model = snn.SequentialState(snn.Lift(nn.Conv2d(8, 16, 3)), snn.LIF())
    x = torch.zeros(20, 4, 8, 16, 16)
    norse.compile(model, exact=True)(x)
    norse.compile(model, sparse=False)(x)
    with pytest.raises(AssertionError, match="looks for events"):
        norse.compile(model)(x)
