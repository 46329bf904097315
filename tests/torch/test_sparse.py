"""Sparse COO input: sparse spikes, and all numbers and gradients of the dense computation."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import norse
import norse.torch as snn
from norse.torch.functional.adjoint.lif_adjoint import lif_adjoint_step_sparse
from norse.torch.functional.lif import LIFParameters, LIFState, lif_step, lif_step_sparse
from norse.torch.functional.lif_refrac import LIFRefracParameters
from norse.torch.functional.lift import over_time
from norse.torch.functional.sparse import linear_of, stack, unbind
from norse.torch.module.lif import LIF, LIFCell, LIFRecurrent, LIFRecurrentCell
from norse.torch.module.lif_box import LIFBoxCell
from norse.torch.module.lif_refrac import LIFRefracCell, LIFRefracRecurrent, LIFRefracRecurrentCell

T, B, N, HIDDEN = 12, 3, 6, 5
DENSITIES = (0.0, 0.05, 0.3, 1.0)


def spikes(density: float, *shape: int, strength: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return strength * (torch.rand(*shape, generator=generator) < density).float()


def dense(x: Tensor) -> Tensor:
    return x.to_dense(masked_grad=False) if x.is_sparse else x


def _recurrent(kind: Any, p: Any = None) -> Any:
    """Weights in eighths: sums of them are exact in every order."""
    generator = torch.Generator().manual_seed(3)
    layer = kind(N, HIDDEN) if p is None else kind(N, HIDDEN, p)
    with torch.no_grad():
        for weights in layer.parameters():
            weights.copy_(torch.randint(-24, 48, weights.shape, generator=generator) / 8)
    return layer


ADJOINT = LIFParameters(method="adjoint")
CELLS: dict[str, Callable[[], Any]] = {
    "LIFCell": LIFCell,
    "LIFRecurrentCell": lambda: _recurrent(LIFRecurrentCell),
    "LIFRefracRecurrentCell": lambda: _recurrent(LIFRefracRecurrentCell),
    "LIFCell adjoint": lambda: LIFCell(ADJOINT),
    "LIFRecurrentCell adjoint": lambda: _recurrent(LIFRecurrentCell, ADJOINT),
    "LIFRefracRecurrentCell adjoint": lambda: _recurrent(LIFRefracRecurrentCell, LIFRefracParameters(ADJOINT)),
}
LAYERS: dict[str, Callable[[], Any]] = {
    "LIF": LIF,
    "LIFRecurrent": lambda: _recurrent(LIFRecurrent),
    "LIFRefracRecurrent": lambda: _recurrent(LIFRefracRecurrent),
    "LIF adjoint": lambda: LIF(ADJOINT),
    "LIFRecurrent adjoint": lambda: _recurrent(LIFRecurrent, ADJOINT),
    "LIFRefracRecurrent adjoint": lambda: _recurrent(LIFRefracRecurrent, LIFRefracParameters(ADJOINT)),
    "Lift": lambda: snn.Lift(LIFCell()),
    "chain": lambda: snn.SequentialState(LIF(), _recurrent(LIFRecurrent)),
}
each_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def assert_same(ours: Any, dense_ones: Any, atol: float = 0.0) -> None:
    for x, y in zip(tree_leaves(ours), tree_leaves(dense_ones), strict=True):
        if x is y is None:  # Lift's state before the first tick
            continue
        torch.testing.assert_close(dense(x), y, rtol=atol, atol=atol)


@each_cell
@pytest.mark.parametrize("density", DENSITIES)
def test_a_cell_gives_sparse_spikes_equal_to_the_dense_ones(cell: Any, density: float) -> None:
    neurons, x = cell(), spikes(density, B, N, strength=16.0)
    state, expected_state, count = None, None, 0
    for _ in range(3):
        z, state = neurons(x.to_sparse(), state)
        expected, expected_state = neurons(x, expected_state)
        assert z.is_sparse
        assert_same((z, state), (expected, expected_state), 1e-6)
        assert torch.equal(dense(z), expected)
        if "Recurrent" in type(neurons).__name__:
            assert (state.lif if hasattr(state, "lif") else state).z.is_sparse
        count += int(z.sum())
    assert (count > 0) == (x.sum() > 0)


@each_layer
@pytest.mark.parametrize("density", DENSITIES)
def test_a_layer_over_time_gives_sparse_spikes_equal_to_the_dense_ones(layer: Any, density: float) -> None:
    neurons, x = layer(), spikes(density, T, B, N, strength=16.0)
    z, state = neurons(x.to_sparse())
    expected, expected_state = neurons(x)
    assert z.is_sparse
    assert z.is_coalesced()
    assert torch.equal(dense(z), expected)
    assert_same(state, expected_state, 1e-5)


@each_layer
def test_gradients_are_those_of_the_dense_input(layer: Any) -> None:
    """Also of weights that act on a spike through neurons that stayed silent."""
    neurons = layer().double()
    found = []
    for kind in (Tensor.to_sparse, Tensor.clone):
        x = spikes(0.2, T, B, N, strength=8.0).double().requires_grad_()
        z, state = neurons(kind(x))
        loss = (dense(z) * torch.linspace(-1, 1, z.numel(), dtype=z.dtype).view(z.shape)).sum()
        loss = loss + sum(dense(leaf).sum() for leaf in tree_leaves(state))
        found.append(torch.autograd.grad(loss, (x, *neurons.parameters()), allow_unused=True))
    assert found[1][0].count_nonzero() > 0.2 * T * B * N  # of silent inputs too
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(dense(ours), expected)


@each_layer
@pytest.mark.parametrize("ticks", [0, 1])
def test_few_ticks(layer: Any, ticks: int) -> None:
    x = spikes(0.5, ticks, B, N, strength=16.0)
    z, state = layer()(x.to_sparse())
    expected, expected_state = layer()(x)
    assert z.is_sparse
    assert z.shape == expected.shape
    assert_same((z, state), (expected, expected_state), 1e-6)


@each_layer
def test_input_that_is_not_coalesced(layer: Any) -> None:
    once = spikes(0.3, T, B, N, strength=8.0).to_sparse()
    indices, values = once.indices().flip(1), once.values()
    twice = torch.sparse_coo_tensor(torch.cat([indices, indices], 1), torch.cat([values, values]), once.shape)
    assert not twice.is_coalesced()
    assert_same(layer()(twice), layer()(2 * once.to_dense()), 1e-5)


@pytest.mark.parametrize(
    "layer", [LIF, lambda **kwargs: LIFRecurrent(N, HIDDEN, **kwargs)], ids=["LIF", "LIFRecurrent"]
)
@pytest.mark.parametrize("ticks", [0, T])
def test_recorded_states_are_those_of_the_dense_input(layer: Any, ticks: int) -> None:
    neurons, x = layer(record_states=True), spikes(0.3, ticks, B, N, strength=8.0)
    assert_same(neurons(x.to_sparse()), neurons(x), 1e-5)


def test_random_weights_differ_by_rounding_only() -> None:
    neurons, x = LIFRecurrent(N, HIDDEN), spikes(0.3, T, B, N)
    assert_same(neurons(x.to_sparse())[1], neurons(x)[1], 1e-5)


def test_a_dense_tick_may_follow_a_sparse_one() -> None:
    cell, x = _recurrent(LIFRecurrentCell), spikes(0.5, B, N, strength=16.0)
    _, sparse_state = cell(x.to_sparse())
    _, state = cell(x)
    assert_same(cell(x, sparse_state), cell(x, state), 1e-6)


@pytest.mark.parametrize("step", [lif_step_sparse, lif_adjoint_step_sparse])
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_a_step_takes_no_batch_or_several_batch_dimensions(step: Any, shape: tuple[int, ...]) -> None:
    x = spikes(0.5, *shape, N, strength=16.0)
    cell = _recurrent(LIFRecurrentCell)
    weights = [w.detach() for w in cell.parameters()]
    state = LIFState(*torch.zeros(3, *shape, HIDDEN))
    assert_same(step(x.to_sparse(), state, *weights), lif_step(x, state, *weights), 1e-6)


def test_float64_stays_float64() -> None:
    z, state = LIFRecurrent(N, HIDDEN).double()(spikes(0.3, T, B, N).double().to_sparse())
    assert {leaf.dtype for leaf in tree_leaves((z, state))} == {torch.float64}


@pytest.mark.parametrize("cell", [LIFBoxCell, LIFRefracCell])
def test_neurons_without_a_sparse_step_say_so(cell: Any) -> None:
    x = spikes(0.5, B, N).to_sparse()
    with pytest.raises(
        TypeError, match=f"{cell.__name__}: argument input_tensor: expects a dense tensor, got torch.sp"
    ):
        cell()(x)


def test_a_layer_of_torch_that_takes_none_is_named() -> None:
    x = spikes(0.5, T, B, N).to_sparse()
    model = snn.SequentialState(LIF(), torch.nn.Linear(N, HIDDEN), LIF())
    told = rf"module 1 \(Linear\): expects a dense tensor, got torch\.sparse_coo of shape \[{T}, {B}, {N}\]"
    for called in (model, snn.SequentialState(model), norse.compile(model)):
        with pytest.raises(TypeError, match=told):
            called(x)
    with pytest.raises(TypeError, match=r"Lift: Conv1d: expects a dense tensor, got torch\.sparse_coo of shape"):
        snn.Lift(torch.nn.Conv1d(B, 2, 3))(x)


def test_errors_of_dense_inputs_are_torchs_own() -> None:
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        snn.SequentialState(LIF(), torch.nn.Linear(N + 1, HIDDEN))(spikes(0.5, T, B, N))


def test_a_lifted_linear_layer_takes_sparse_spikes_and_has_the_gradients_of_dense_ones() -> None:
    """Those of silent neurons too: what drives them is made of dense parameters."""
    found = []
    for sparse in (False, True):
        torch.manual_seed(0)
        first, linear = _recurrent(LIFRecurrent, LIFParameters(alpha=torch.tensor(10.0))), torch.nn.Linear(HIDDEN, 4)
        x = spikes(0.3, T, B, N)
        z, _ = first(x.to_sparse() if sparse else x)
        assert z.is_sparse == sparse
        out = snn.Lift(linear)(z)
        assert not out.is_sparse
        (out * torch.arange(out.numel()).view(out.shape)).sum().backward()
        found.append([out, *(parameter.grad for parameter in (*first.parameters(), *linear.parameters()))])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-4)


def test_other_sparse_layouts_are_refused() -> None:
    with pytest.raises(TypeError, match=r"LIFCell: .* expects a dense or sparse COO tensor, got torch\.sparse_csr"):
        LIFCell()(spikes(0.5, B, N).to_sparse_csr())


def test_a_step_of_the_users_own_comes_before_the_models() -> None:
    cell = LIFCell(activation_sparse=lambda x, state, p, dt: ("mine", state))
    assert cell(spikes(0.5, B, N).to_sparse())[0] == "mine"


def test_users_neurons_take_sparse_input_as_they_like() -> None:
    counter = snn.SNNCell(lambda x, s, p, dt: (x, s + x.sum()), lambda x: torch.zeros(()), p=None)
    assert counter(spikes(1.0, B, N).to_sparse())[1] == B * N


def test_the_product_with_a_sparse_matrix_has_the_gradients_of_the_dense_one() -> None:
    x, w = spikes(0.3, B, N).double(), torch.randn(HIDDEN, N, dtype=torch.float64, requires_grad=True)
    source = x.to_sparse().requires_grad_()
    g = torch.randn(B, HIDDEN, dtype=torch.float64)
    to_x, to_w = torch.autograd.grad(linear_of(source, w), (source, w), g)
    torch.testing.assert_close(to_x.to_dense(), g @ w)
    torch.testing.assert_close(to_w, g.T @ x)


def test_a_sequence_taken_apart_and_put_together_is_the_same() -> None:
    x = spikes(0.3, T, B, N).to_sparse()
    assert torch.equal(stack(unbind(x)).to_dense(), x.to_dense())
    assert [part.to_dense().tolist() for part in unbind(x)] == x.to_dense().tolist()


def test_gradients_flow_where_only_some_ticks_are_used() -> None:
    source = spikes(0.3, T, B, N).requires_grad_()
    dense(unbind(source.to_sparse())[4]).sum().backward()
    assert source.grad is not None
    assert source.grad[4].eq(1).all()
    assert source.grad.sum() == B * N


def test_lifted_functions_take_sparse_sequences() -> None:
    z, last = over_time(lambda x, s: (x, s + x.to_dense().sum()), spikes(0.3, T, B, N).to_sparse(), torch.zeros(()))
    assert z.is_sparse
    assert z.sum() == last
