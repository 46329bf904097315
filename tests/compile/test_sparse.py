"""Event-driven synapses: equal to dense ones up to rounding, whatever is active, on any number of threads."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import norse
import norse.torch as snn
from norse.backends.cpu import synapse
from norse.backends.cpu.events import find_events
from norse.backends.cpu.synapse import Linear, weight_gradient

DTYPES = [torch.float32, torch.float64]


def active(rows: int, inputs: int, density: float, analog: bool, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(rows * inputs)
    x = (torch.rand(rows, inputs, generator=generator) < density).to(dtype)
    return x * torch.randn(rows, inputs, generator=generator, dtype=dtype) if analog else x


def close(ours: Tensor, theirs: Tensor) -> None:
    tolerance = 2e-6 if ours.dtype == torch.float32 else 1e-14
    scale = theirs.abs().max().item()
    torch.testing.assert_close(ours, theirs, atol=tolerance * max(scale, 1), rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("analog", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("rows", "inputs", "neurons", "density"),
    [
        (1, 1, 1, 1.0),
        (3, 5, 2, 0.0),  # nothing is active
        (7, 64, 16, 1.0),  # everything is
        (33, 65, 64, 0.1),
        (40, 129, 65, 0.3),
        (5, 63, 200, 0.2),
        (2000, 40, 10, 0.2),  # rows are cut into parts
        (600, 300, 33, 0.05),
    ],
)
def test_outputs_and_gradients_are_those_of_a_dense_layer(
    rows: int, inputs: int, neurons: int, density: float, bias: bool, analog: bool, dtype: torch.dtype
) -> None:
    x = active(rows, inputs, density, analog, dtype).requires_grad_()
    torch.manual_seed(0)
    layer = nn.Linear(inputs, neurons, bias=bias, dtype=dtype)
    made, expected = Linear(True)(x, layer.weight, layer.bias), layer(x)
    assert "LinearBackward" in made.grad_fn.name()
    close(made, expected)
    grad = torch.randn_like(expected)
    leaves = (x, *layer.parameters())
    ours, theirs = (torch.autograd.grad(y, leaves, grad) for y in (made, expected))
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


@pytest.mark.parametrize("analog", [False, True])
@pytest.mark.parametrize(("rows", "neurons"), [(3000, 8), (500, 300)])
def test_results_do_not_depend_on_the_number_of_threads(rows: int, neurons: int, analog: bool) -> None:
    x = active(rows, 200, 0.1, analog, torch.float32)
    weight = torch.randn(neurons, 200, requires_grad=True)
    grad = torch.randn(rows, neurons)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        made = Linear(True)(x, weight)
        found.append((made.detach(), *torch.autograd.grad(made, weight, grad)))
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_what_is_no_number_stays_none() -> None:
    x = torch.zeros(4, 70)
    x[1, 3], x[2, 69] = float("nan"), float("inf")
    weight = torch.rand(5, 70) + 0.1
    torch.testing.assert_close(Linear(True)(x, weight), functional.linear(x, weight), equal_nan=True)


def test_auto_is_torchs_own_layer_where_most_is_active_and_event_driven_where_little_is() -> None:
    weight = torch.randn(256, 512, requires_grad=True)
    dense, sparse = torch.rand(400, 512), active(400, 512, 0.02, False, torch.float32)
    assert torch.equal(Linear("auto")(dense, weight), functional.linear(dense, weight))
    assert "LinearBackward" in Linear("auto")(sparse, weight).grad_fn.name()
    few = active(2, 512, 0.02, False, torch.float32)
    assert torch.equal(Linear("auto")(few, weight), functional.linear(few, weight)), "of few rows torch is done at once"


def test_weight_gradients_are_of_what_is_active_where_that_is_cheaper() -> None:
    gradient, activity = torch.randn(500, 300), active(500, 200, 0.05, False, torch.float32)
    close(weight_gradient(gradient, activity), gradient.t() @ activity)
    dense = torch.rand(500, 200)
    assert torch.equal(weight_gradient(gradient, dense), gradient.t() @ dense)


def test_an_input_may_have_any_leading_dimensions_and_strides() -> None:
    x = active(6 * 7, 40, 0.2, False, torch.float32).reshape(7, 6, 40).transpose(0, 1)
    weight, bias = torch.randn(40, 9).t(), torch.randn(18)[::2]
    close(Linear(True)(x, weight, bias), functional.linear(x, weight, bias))


def test_what_it_is_not_for_is_torchs() -> None:
    x, weight = active(30, 40, 0.2, False, torch.float32), torch.randn(9, 40)
    with torch.autocast("cpu"):
        assert Linear(True)(x, weight).dtype == torch.bfloat16
    assert Linear(True)(x.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16
    assert Linear(True)(x[0], weight).shape == (9,)
    assert Linear(True)(x[:0], weight).shape == (0, 9)
    with pytest.raises(RuntimeError, match="shapes"):
        Linear(True)(x, weight[:, 1:])


def test_a_second_derivative_is_refused() -> None:
    x, weight = active(30, 40, 0.2, False, torch.float32), torch.randn(9, 40, requires_grad=True)
    with pytest.raises(RuntimeError, match="differentiated twice"):
        torch.autograd.grad(Linear(True)(x, weight).square().sum(), weight, create_graph=True)


@pytest.mark.parametrize("sparse", [True, "auto", False])
def test_a_compiled_network_has_eagers_gradients(sparse: bool) -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(
        nn.Linear(100, 80),
        snn.LIF(),
        nn.Linear(80, 70, bias=False),
        snn.LIFRecurrent(70, 30),
        nn.Linear(30, 5),
        snn.LI(),
    ).double()
    x = active(40 * 6, 100, 0.1, False, torch.float64).reshape(40, 6, 100) * 30
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

    monkeypatch.setattr(synapse, "find_events", refuse)
    model = snn.SequentialState(nn.Linear(512, 256), snn.LIF())
    norse.compile(model, exact=True)(torch.zeros(20, 30, 512))
    with pytest.raises(AssertionError, match="looks for events"):
        norse.compile(model)(torch.zeros(20, 30, 512))


def test_bad_settings_are_told() -> None:
    with pytest.raises(ValueError, match="argument sparse: expects True, False or 'auto', got 'yes'"):
        norse.compile(snn.LIF(), sparse="yes")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("batch", "hidden"), [(1, 1), (3, 5), (9, 63), (17, 64), (2, 130)])
def test_recurrent_products_over_samples_together_are_eagers(batch: int, hidden: int, dtype: torch.dtype) -> None:
    """Some rows have few events and some many: each is summed in its own way, with those beside it or alone."""
    torch.manual_seed(0)
    model = snn.LIFRecurrent(20, hidden).to(dtype)
    model.input_weights.data *= 12
    x = torch.rand(12, batch, 20, dtype=dtype) * torch.linspace(0.1, 3, batch, dtype=dtype)[:, None]
    results = []
    for net in (model, norse.compile(model)):
        model.zero_grad()
        given = x.clone().requires_grad_()
        z, state = net(given)
        (z.sum() + state.v.sum()).backward()
        results.append((z.detach(), given.grad, model.input_weights.grad.clone(), model.recurrent_weights.grad.clone()))
    assert 0 < results[0][0].mean() < 1
    assert torch.equal(results[0][0], results[1][0])
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for ours, theirs in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance * theirs.abs().max().clamp(min=1).item(), rtol=0)


@pytest.mark.parametrize("density", [0.01, 0.5, 1.0])
def test_events_are_given_up_exactly_where_they_are_too_many(density: float) -> None:
    rows = (torch.rand(3000, 70, generator=torch.Generator().manual_seed(0)) < density).float()
    count = int(rows.sum())
    assert find_events(rows, count - 1) is None
    found = find_events(rows, count)
    assert found is not None
    assert found.index.numel() == count
