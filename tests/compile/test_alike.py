"""Neurons that are alike are traced, lowered and built once; those that are not, are not."""

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.backends.cpu.build import BUILDS
from norse.compiler.trace import model as trace_of_model
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.threshold import METHODS, super_fn

from .comparison import assert_compiles_to_the_same


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions that were traced, since the test began."""
    found: list[Any] = []
    original = trace_of_model.trace_neuron

    def record(module: Any, arguments: tuple[Any, ...]) -> Any:
        found.append(module.activation)
        return original(module, arguments)

    monkeypatch.setattr(trace_of_model, "trace_neuron", record)
    return found


def chain(*widths: int) -> nn.Module:
    """Weights are large enough that spikes lead to spikes."""
    torch.manual_seed(3)
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [nn.Linear(before, after), snn.LIF(LIFParameters(alpha=torch.tensor(10.0)))]
        nn.init.normal_(parts[-2].weight, std=3)
    return snn.SequentialState(*parts)


def test_layers_of_any_width_share_a_trace_and_a_kernel(traced: list[Any]) -> None:
    compiled = assert_compiles_to_the_same(chain(5, 7, 9, 11), 2 * torch.rand(30, 2, 5))
    assert len(traced) <= 1  # none if an earlier test had such a neuron
    assert len({program.key for step in compiled._called().steps for _, program in getattr(step, "built", [])}) == 1


def test_an_equal_model_is_not_traced_again(traced: list[Any]) -> None:
    x = 2 * torch.rand(30, 2, 5)
    first, second = norse.compile(chain(5, 7)), norse.compile(chain(5, 7))
    first(x)
    traced.clear()
    assert torch.equal(first(x)[0], second(x)[0])
    assert not traced


@pytest.mark.parametrize("before", [nn.Tanh(), nn.Linear(3, 3), nn.ReLU()], ids=lambda layer: type(layer).__name__)
def test_what_comes_before_a_neuron_is_not_in_its_kernel(before: nn.Module) -> None:
    x = torch.rand(6, 2, 3)
    norse.compile(snn.SequentialState(nn.Sigmoid(), snn.LI()))(x.clone().requires_grad_())
    builds = BUILDS.compiled + BUILDS.found
    assert_compiles_to_the_same(snn.SequentialState(before, snn.LI()), x)
    assert BUILDS.compiled + BUILDS.found == builds


def test_neurons_with_another_surrogate_threshold_or_time_step_are_not_alike() -> None:
    """One after the other in one process, each is compared with eager."""
    x = 4 * torch.rand(9, 2, 5)
    for p in (LIFParameters(), LIFParameters(method="triangle"), LIFParameters(v_th=torch.full((5,), 0.4))):
        for dt in (0.001, 0.002):
            assert_compiles_to_the_same(snn.LIF(p._replace(alpha=torch.tensor(10.0)), dt=dt), x)


def test_a_spike_function_that_takes_the_name_of_another_is_traced_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    x = 4 * torch.rand(9, 2, 5)

    def compare(function: Callable[[Tensor, Any], Tensor]) -> None:
        monkeypatch.setitem(METHODS, "own", function)
        assert_compiles_to_the_same(snn.LIF(LIFParameters(method="own", alpha=torch.tensor(10.0))), x)

    compare(super_fn)
    compare(lambda x, alpha: super_fn(x - 0.2, alpha))


def test_a_users_step_reads_what_there_is_when_it_is_traced() -> None:
    gain = [1.0]

    def step(x: Tensor, state: Tensor, p: Any, dt: float) -> tuple[Tensor, Tensor]:
        state = state + gain[0] * x
        return state, state

    x = torch.rand(6, 2, 3)
    for gain[0] in (1.0, 2.0):
        layer = snn.SNN(step, lambda x: x.new_zeros(2, 3), ())
        assert torch.equal(norse.compile(copy.deepcopy(layer))(x)[0], layer(x)[0])


@pytest.mark.parametrize("cell", [snn.LSNNCell, snn.LIFCell, snn.LIFAdExCell])
def test_a_first_tick_requires_a_gradient_where_eagers_does(cell: type[nn.Module]) -> None:
    """The potential that it starts from requires one, so eager's spikes do, though the input does not reach them."""
    x = torch.rand(2, 3, requires_grad=True)
    (z, state), (ours, our_state) = cell()(x), norse.compile(cell())(x)
    eager_leaves, our_leaves = (z, *state), (ours, *our_state)
    assert [leaf.requires_grad for leaf in our_leaves] == [leaf.requires_grad for leaf in eager_leaves]
    sums = [sum(leaf.sum() for leaf in leaves if leaf.requires_grad) for leaves in (our_leaves, eager_leaves)]
    found, expected = (torch.autograd.grad(total, x)[0] for total in sums)
    torch.testing.assert_close(found, expected)
