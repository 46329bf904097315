"""Whatever users write, as CUDA text that the shim runs: loops, feedback, steps, networks."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse.torch as snn

from ..compile.comparison import assert_close_results, assert_spikes_and_silence, observe
from ..compile.neurons import UserParameters, UserState, currents, learnt, states, zeros_over_time
from ..compile.test_feedback import STEPPED, trace
from ..compile.test_steps import (
    CLOCKED,
    FUNCTIONS,
    STEPS,
    assert_eagers_gradients,
    coupled,
    through_a_bias,
    through_computed_weights,
)
from ..compile.test_user_loops import WAYS, Layers, assert_alike, sequence
from .models import through_shim


def named(functions: Any) -> Any:
    return {"argvalues": functions, "ids": lambda function: function.__name__.replace("_", " ")}


@pytest.mark.parametrize("way", **named([*WAYS, *STEPPED, trace]))
def test_a_loop_that_a_user_wrote_is_eagers(way: Any) -> None:
    """Also one that keeps sums and maxima, and one whose feedback cuts it into native ticks."""
    eager = Layers(way).double()
    compiled = through_shim(eager)
    for length, batch in ((10, 2), (12, 3), (5, 1)):
        assert_alike(compiled, eager, sequence(way, length, batch))
    assert "norse_forward" in compiled.code


def everything(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    """All functions of torch that kernels know, in one step: one kernel to build."""
    made = [function(x, s, p, dt) for function in FUNCTIONS]
    z = sum(out for out, _ in made)
    return z, UserState(sum(state.v for _, state in made) / 8, sum(state.trace for _, state in made) / 8)


@pytest.mark.parametrize(
    "step", **named([everything, CLOCKED[0], *(STEPS[name] for name in ("delays its input", "computes it twice"))])
)
def test_a_step_that_a_user_wrote_is_eagers(step: Any) -> None:
    layer = snn.SNN(step, zeros_over_time, learnt(UserParameters, (5,)))
    x, state = currents("", 9, 3, 5), states(UserState, 3, 5)
    assert_eagers(layer, x, state)


@pytest.mark.parametrize("step", **named([through_a_bias, through_computed_weights]))
def test_neurons_that_a_user_connects_are_eagers(step: Any) -> None:
    """A product with a matrix inside of the loop, whose neurons wait for each other."""
    assert_eagers(coupled(step), currents("", 9, 4, 8), states(UserState, 4, 8))


def test_a_network_of_convolutions_learns_as_eager_does() -> None:
    torch.manual_seed(0)
    p = snn.LIFParameters(alpha=torch.tensor(10.0))
    network = snn.SequentialState(
        snn.Lift(nn.Conv2d(1, 4, 3)),
        snn.LIF(p),
        snn.Lift(nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 6))),
        snn.LIFRecurrent(6, 6, p),
        snn.LI(),
    ).double()
    with torch.no_grad():
        network[0].lifted_module.weight.mul_(4)
        network[2].lifted_module[2].weight.mul_(8)
    x = 8 * currents("", 12, 2, 1, 6, 6)
    assert_spikes_and_silence(network, x)
    assert_eagers(network, x, call=lambda model, x, _: model(x)[0])


@pytest.mark.parametrize("shape", [(0, 3, 5), (1, 3, 5), (6, 0, 5)], ids=["T = 0", "T = 1", "B = 0"])
def test_sequences_may_be_short_and_batches_empty(shape: tuple[int, ...]) -> None:
    eager = snn.LIFRecurrent(5, 5, learnt(snn.LIFParameters, ()), record_states=True).double()
    x = 4 * currents("", *shape)
    ours, theirs = (observe(model, x, backward=False) for model in (through_shim(eager), eager))
    assert_close_results(ours, theirs, 1e-13)


def assert_eagers(module: nn.Module, x: Tensor, state: Any = None, **options: Any) -> None:
    theirs = observe(copy.deepcopy(module), x, state, **options)
    compiled = through_shim(module)
    ours = observe(compiled, x, state, **options)
    assert_close_results(ours, theirs, 1e-12)
    assert_eagers_gradients(ours.gradients, theirs.gradients)
    assert "__global__ void norse_backward" in compiled.code
