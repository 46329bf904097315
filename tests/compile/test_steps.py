"""What a user's step may do with its state and derivatives: hand it on, swap it, delay it, compute a thing twice."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

import norse
import norse.torch as snn

from .comparison import assert_close_results, assert_same_results, observe
from .neurons import Bell, ThreeTimes, UserParameters, UserState, currents, learnt, states, zeros_over_time

Step = Callable[..., tuple[Tensor, UserState]]


class Negative(torch.autograd.Function):
    """The input itself, with a derivative of -2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return -2 * g


class ProductAndSum(torch.autograd.Function):
    """Two results, a number among the arguments, and a derivative that is not theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, k: float) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, y)
        ctx.k = k
        return x * y, x + y

    @staticmethod
    def backward(ctx: Any, g: Tensor, h: Tensor) -> tuple[Tensor, Tensor, None]:
        x, y = ctx.saved_tensors
        return g * y * ctx.k + h, g * x, None


def hands_it_on(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    return ThreeTimes.apply(x - s.trace), UserState(s.v * p.leak + x * p.v_th, s.trace)


def clones_it(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    return ThreeTimes.apply(x - s.trace), UserState(s.v * p.leak + x * p.v_th, s.trace.clone())


def swaps_it(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    return ThreeTimes.apply(p.leak * x + s.v - p.v_th), UserState(s.trace, s.v)


def delays_its_input(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    return ThreeTimes.apply(p.leak * s.v - p.v_th), UserState(s.trace, x)


def gives_its_old_state(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    return s.v, UserState(p.leak * s.trace + x, p.v_th * s.v)


def gives_its_input(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    return x, UserState(p.leak * s.v + p.v_th * x, x)


def keeps_one_value_twice(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    v = p.leak * s.v + x
    return v * p.v_th, UserState(v, v)


def computes_it_twice(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    """Three times the same sum: each has a gradient of its own."""
    v = p.leak * s.v + x
    z = Bell.apply(v - p.v_th)
    return z, UserState((p.leak * s.v + x) * (1 - z) + 0.5 * (v - p.v_th), p.leak * s.v + x)


def masks_like_its_spike(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    """The mask is computed as the spike is, but has no derivative."""
    v = p.leak * s.v + x
    z = Bell.apply(v - p.v_th)
    mask = (v - p.v_th > 0).to(x.dtype)
    return z, UserState(v * (1 - mask), v)


def has_two_derivatives_for_one_value(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    v = p.leak * s.v + x - p.v_th
    return Bell.apply(v), UserState(v - ThreeTimes.apply(v), s.trace + Bell.apply(v))


def turns_gradients_round(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    v = Negative.apply(p.leak * s.v + x)
    return Bell.apply(v - p.v_th), UserState(v, Negative.apply(s.trace))


def has_a_function_of_two(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    product, total = ProductAndSum.apply(x, s.v, 3.0)
    return product, UserState(total * p.leak, p.v_th * s.trace + product)


def multiplies_by_decisions(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    return x * (s.v > p.v_th), UserState(p.leak * s.v + p.v_th * x * (x > 0), s.trace * (x < 0.5))


STEPS = {
    step.__name__.replace("_", " "): step
    for step in (
        hands_it_on,
        clones_it,
        swaps_it,
        delays_its_input,
        gives_its_old_state,
        gives_its_input,
        keeps_one_value_twice,
        computes_it_twice,
        masks_like_its_spike,
        has_two_derivatives_for_one_value,
        turns_gradients_round,
        has_a_function_of_two,
        multiplies_by_decisions,
    )
}


def assert_eagers_gradients(ours: dict[str, Tensor | None], eager: dict[str, Tensor | None]) -> None:
    """Where eager has none, a compiled loop may have zeros."""
    assert any(gradient is not None and gradient.any() for gradient in eager.values())
    for name, theirs in eager.items():
        mine = ours[name]
        if theirs is None or not theirs.any():
            assert mine is None or not mine.any(), name
        else:
            assert mine is not None, name
            assert (mine - theirs).abs().max() < 1e-10 * theirs.abs().max(), name


@pytest.mark.parametrize("record", [False, True], ids=["", "recorded"])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_that(name: str, record: bool) -> None:
    layer = snn.SNN(STEPS[name], zeros_over_time, learnt(UserParameters, (5,)), record_states=record)
    x, state = currents("", 9, 3, 5), states(UserState, 3, 5)
    eager = observe(copy.deepcopy(layer), x, state)
    compiled = norse.compile(layer)
    ours = observe(compiled, x, state)
    assert_same_results(ours, eager)
    assert_eagers_gradients(ours.gradients, eager.gradients)
    assert "native loop" in compiled.explain() and "eager" not in compiled.explain(), compiled.explain()


@pytest.mark.parametrize("name", STEPS)
def test_with_no_ticks_a_step_leaves_its_state_when_it(name: str) -> None:
    layer = snn.SNN(STEPS[name], zeros_over_time, learnt(UserParameters, (5,)))
    x, state = currents("", 0, 3, 5), states(UserState, 3, 5)
    ours = observe(norse.compile(layer), x, state, backward=False)
    assert_same_results(ours, observe(layer, x, state, backward=False))
    assert torch.equal(ours.results[1].v, state.v) and torch.equal(ours.results[1].trace, state.trace)


def delayed_synapse(x: Tensor, s: UserState, w_in: Tensor, w_rec: Tensor, p: UserParameters, dt: float) -> Any:
    """A synapse of the last tick's input: not on a cycle, and yet behind a register."""
    return p.v_th * linear(s.v, w_in), UserState(x, p.leak * s.trace + linear(x, w_rec))


def synapses_around_a_corner(x: Tensor, s: UserState, w_in: Tensor, w_rec: Tensor, p: UserParameters, dt: float) -> Any:
    """A cycle of two ticks through two synapses, and one weight read in several places."""
    v = 0.3 * x + linear(s.trace, w_in)
    return p.v_th * linear(s.v, w_rec), UserState(v, p.leak * linear(s.v, w_in) + linear(x, w_rec))


def synapse_of_its_new_state(x: Tensor, s: UserState, w_in: Tensor, w_rec: Tensor, p: UserParameters, dt: float) -> Any:
    v = p.leak * s.v + linear(x, w_in)
    return linear(v, w_rec), UserState(v, p.v_th * s.trace + linear(v, w_rec))


def rectified_weights(x: Tensor, s: UserState, w_in: Tensor, w_rec: Tensor, p: UserParameters, dt: float) -> Any:
    v = p.leak * s.v + linear(x, torch.relu(w_in)) + linear(s.trace, w_rec)
    return p.v_th * v, UserState(v, Bell.apply(v))


@pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
@pytest.mark.parametrize(
    "step",
    [delayed_synapse, synapses_around_a_corner, synapse_of_its_new_state, rectified_weights],
    ids=lambda step: step.__name__.replace("_", " "),
)
def test_a_recurrent_step_with_a(step: Step, exact: bool) -> None:
    # Sizes with which every tick starts at a multiple of 64 bytes: the bits of torch's own products depend on that, and
    # eager multiplies a delayed input where it lies.
    torch.manual_seed(0)
    layer = snn.SNNRecurrent(step, zeros_over_time, 8, 8, learnt(UserParameters, (8,)), autapses=True).double()
    x, state = currents("", 9, 4, 8), states(UserState, 4, 8)
    eager = observe(copy.deepcopy(layer), x, state)
    ours = observe(norse.compile(layer, exact=exact), x, state)
    if exact:
        assert_same_results(ours, eager)
    assert_close_results(ours, eager, 1e-13)
    assert_eagers_gradients(ours.gradients, eager.gradients)


def is_bounded_above(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    v = torch.clamp(p.leak * s.v + x, max=50 * p.v_th)
    return v, UserState(v, s.trace)


def is_bounded_below(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    v = torch.clamp_min(p.leak * s.v + x, -50 * p.v_th)
    return v, UserState(v, s.trace)


def is_bounded(x: Tensor, s: UserState, p: UserParameters, dt: float) -> Any:
    v = torch.clamp(s.v + x, -50 * p.v_th, 60 * p.leak)
    return v, UserState(v, s.trace)


@pytest.mark.parametrize("shape", [(), (5,)], ids=["0-d", "[N]"])
@pytest.mark.parametrize("step", [is_bounded_above, is_bounded_below, is_bounded], ids=lambda step: step.__name__)
def test_a_bound_has_a_gradient_where_it_holds(step: Step, shape: tuple[int, ...]) -> None:
    layer = snn.SNN(step, zeros_over_time, learnt(UserParameters, shape))
    x = 40 * torch.randn(20, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    eager = observe(copy.deepcopy(layer), x)
    compiled = norse.compile(layer)
    ours = observe(compiled, x)
    assert_same_results(ours, eager)
    assert_eagers_gradients(ours.gradients, eager.gradients)
    assert "native loop" in compiled.explain(), compiled.explain()
