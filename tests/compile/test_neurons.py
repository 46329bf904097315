"""Each neuron, compiled, gives eager's bits and gradients: as a layer, as a cell, recurrent, and written by a user.

Given equal currents, a compiled loop is bit-identical to eager. Where recurrent weights are in the loop, the sum over
neurons may be taken in another order: `exact=True` keeps eager's, and without it one tick is compared at a time.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn

from .comparison import (
    assert_close_results,
    assert_compiles_to_the_same,
    assert_native,
    assert_same_gradients,
    assert_spikes_and_silence,
    observe,
    tick_by_tick,
)
from .neurons import (
    FEED_FORWARD,
    RECURRENT,
    USER_STEPS,
    ThreeTimes,
    UserParameters,
    UserRecurrentState,
    UserState,
    currents,
    learnt,
    recurrent,
    recurrent_zeros,
    states,
    zeros,
    zeros_over_time,
)

DTYPES = [torch.float64, torch.float32]
SHAPES = [(), (5,), (1, 5)]  # of learnt parameters: one for all neurons, and one each
NO_GRADIENT = {"LIFBox, reset by subtraction": ("neuron.v_reset",)}  # a reset by subtraction does not read it

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float64", "float32"])
parameter_shapes = pytest.mark.parametrize("shape", SHAPES, ids=["0-d", "[N]", "[1, N]"])


class TestALayer:
    @dtypes
    @pytest.mark.parametrize("name", FEED_FORWARD)
    def test_gives_eagers_bits_and_gradients(self, name: str, dtype: torch.dtype) -> None:
        layer, _, make = FEED_FORWARD[name]
        model = layer(p=learnt(make, (), dtype))
        compiled = assert_compiles_to_the_same(
            model, currents(name, 30, 3, 5, dtype=dtype), without_gradient=NO_GRADIENT.get(name, ())
        )
        assert_native(compiled)

    @dtypes
    @pytest.mark.parametrize("name", FEED_FORWARD)
    def test_gives_them_for_a_given_state(self, name: str, dtype: torch.dtype) -> None:
        layer, _, make = FEED_FORWARD[name]
        model = layer(p=learnt(make, (5,), dtype))
        state = states(layer.state_type, 3, 5, dtype=dtype)
        compiled = assert_compiles_to_the_same(
            model, currents(name, 30, 3, 5, dtype=dtype), state, without_gradient=NO_GRADIENT.get(name, ())
        )
        assert_native(compiled)

    @parameter_shapes
    @pytest.mark.parametrize("name", ["LIF", "LIFBox", "LI"])
    def test_learns_time_constants_of_any_shape(self, name: str, shape: tuple[int, ...]) -> None:
        layer, _, make = FEED_FORWARD[name]
        assert_compiles_to_the_same(layer(p=learnt(make, shape)), currents(name, 30, 3, 5))

    @pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1)], ids=str)
    def test_learns_a_time_constant_for_each_channel(self, shape: tuple[int, ...]) -> None:
        layer, _, make = FEED_FORWARD["LIF"]
        assert_compiles_to_the_same(layer(p=learnt(make, shape)), currents("LIF", 20, 2, 4, 3, 5))

    def test_without_gradients_gives_eagers_bits(self) -> None:
        with torch.no_grad():
            compiled = assert_compiles_to_the_same(snn.LIF(), currents("LIF", 30, 3, 5), backward=False)
        assert_native(compiled)


class TestACell:
    @dtypes
    @pytest.mark.parametrize("name", FEED_FORWARD)
    def test_called_at_every_tick_gives_eagers_bits_and_gradients(self, name: str, dtype: torch.dtype) -> None:
        _, cell, make = FEED_FORWARD[name]
        compiled = assert_compiles_to_the_same(
            cell(p=learnt(make, (5,), dtype)),
            currents(name, 12, 3, 5, dtype=dtype),
            call=tick_by_tick,
            without_gradient=NO_GRADIENT.get(name, ()),
        )
        assert_native(compiled)

    @dtypes
    def test_with_a_linear_synapse_gives_eagers_bits_and_gradients(self, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        cell = snn.LILinearCell(4, 5, p=learnt(snn.LILinearCell(1, 1).p._replace, (), dtype)).to(dtype)
        x = currents("LI", 12, 3, 4, dtype=dtype)
        compiled = assert_compiles_to_the_same(cell, x, call=tick_by_tick)
        assert "native" in compiled.explain()


class TestARecurrentLayer:
    @dtypes
    @pytest.mark.parametrize("name", RECURRENT)
    def test_that_is_exact_gives_eagers_bits_and_gradients(self, name: str, dtype: torch.dtype) -> None:
        layer, _, make = RECURRENT[name]
        torch.manual_seed(0)
        model = layer(4, 5, p=learnt(make, (5,), dtype)).to(dtype)
        assert_compiles_to_the_same(
            model,
            currents(name, 25, 3, 4, dtype=dtype),
            states(layer.state_type, 3, 5, dtype=dtype),
            without_gradient=NO_GRADIENT.get(name, ()),
            exact=True,
        )

    @dtypes
    @pytest.mark.parametrize("name", RECURRENT)
    def test_started_at_each_tick_from_eagers_state_gives_eagers_next_one(self, name: str, dtype: torch.dtype) -> None:
        layer, _, make = RECURRENT[name]
        torch.manual_seed(0)
        model = layer(4, 5, p=make()).to(dtype)
        x = currents(name, 25, 3, 4, dtype=dtype)
        state = states(layer.state_type, 3, 5, dtype=dtype)
        assert_spikes_and_silence(model, x, state)
        compiled, rounding = norse.compile(copy.deepcopy(model)), 20 * torch.finfo(dtype).eps
        for tick in x.split(1):
            eager = observe(model, tick, state, backward=False)
            assert_close_results(observe(compiled, tick, state, backward=False), eager, rounding)
            state = eager.results[1]
        assert_native(compiled)

    @pytest.mark.parametrize("name", RECURRENT)
    def test_has_eagers_gradients_in_float64(self, name: str) -> None:
        """In float64 no potential of these 25 ticks is so close to its threshold that the order of a sum decides."""
        layer, _, make = RECURRENT[name]
        torch.manual_seed(0)
        model = layer(4, 5, p=learnt(make, (5,))).double()
        x, state = currents(name, 25, 3, 4), states(layer.state_type, 3, 5)
        assert_spikes_and_silence(model, x, state)
        eager = observe(copy.deepcopy(model), x, state)
        compiled = norse.compile(model)
        ours = observe(compiled, x, state)
        assert torch.equal(ours.results[0], eager.results[0])
        assert_close_results(ours, eager, 1e-13)
        assert_same_gradients(ours, eager, NO_GRADIENT.get(name, ()))
        assert_native(compiled)

    def test_with_autapses_learns_them(self) -> None:
        torch.manual_seed(0)
        model = snn.LIFRecurrent(4, 5, p=learnt(snn.LIFCell().p._replace, ()), autapses=True).double()
        compiled = assert_compiles_to_the_same(model, currents("LIF", 25, 3, 4), exact=True)
        gradient = observe(compiled, currents("LIF", 25, 3, 4)).gradients["recurrent_weights"]
        assert gradient is not None and gradient.diagonal().any()

    def test_without_autapses_gives_the_diagonal_no_gradient(self) -> None:
        torch.manual_seed(0)
        compiled = norse.compile(snn.LIFRecurrent(4, 5, p=learnt(snn.LIFCell().p._replace, ())).double())
        gradient = observe(compiled, currents("LIF", 25, 3, 4)).gradients["recurrent_weights"]
        assert gradient is not None and gradient.any() and not gradient.diagonal().any()


class TestARecurrentCell:
    @dtypes
    @pytest.mark.parametrize("name", RECURRENT)
    def test_called_at_every_tick_gives_eagers_bits_and_gradients(self, name: str, dtype: torch.dtype) -> None:
        """A cell's synapses are torch's own calls, so nothing is summed in another order, exact or not."""
        _, cell, make = RECURRENT[name]
        torch.manual_seed(0)
        assert_compiles_to_the_same(
            cell(4, 5, p=learnt(make, (5,), dtype)).to(dtype),
            currents(name, 12, 3, 4, dtype=dtype),
            call=tick_by_tick,
            without_gradient=NO_GRADIENT.get(name, ()),
        )


def user_layer(step: Callable[..., Any], dtype: torch.dtype = torch.float64, **options: Any) -> snn.SNN:
    return snn.SNN(step, zeros_over_time, learnt(UserParameters, (5,), dtype), **options)


class TestAStepThatAUserWrote:
    @dtypes
    @pytest.mark.parametrize("name", USER_STEPS)
    def test_as_a_layer_gives_eagers_bits_and_gradients(self, name: str, dtype: torch.dtype) -> None:
        x, state = currents(name, 20, 3, 5, dtype=dtype), states(UserState, 3, 5, dtype=dtype)
        compiled = assert_compiles_to_the_same(user_layer(USER_STEPS[name], dtype), x, state)
        assert_native(compiled)

    @pytest.mark.parametrize("name", USER_STEPS)
    def test_as_a_cell_gives_eagers_bits_and_gradients(self, name: str) -> None:
        cell = snn.SNNCell(USER_STEPS[name], zeros, learnt(UserParameters, (5,)))
        compiled = assert_compiles_to_the_same(cell, currents(name, 12, 3, 5), call=tick_by_tick)
        assert_native(compiled)

    @pytest.mark.parametrize("name", USER_STEPS)
    def test_as_an_exact_recurrent_layer_gives_eagers_bits_and_gradients(self, name: str) -> None:
        torch.manual_seed(0)
        layer = snn.SNNRecurrent(
            recurrent(USER_STEPS[name]), recurrent_zeros(5, True), 4, 5, learnt(UserParameters, (5,))
        ).double()
        state = states(UserRecurrentState, 3, 5)
        assert_compiles_to_the_same(layer, currents(name, 20, 3, 4), state, exact=True)

    @pytest.mark.parametrize("name", USER_STEPS)
    def test_as_a_recurrent_layer_has_eagers_gradients(self, name: str) -> None:
        torch.manual_seed(0)
        layer = snn.SNNRecurrent(
            recurrent(USER_STEPS[name]), recurrent_zeros(5, True), 4, 5, learnt(UserParameters, (5,))
        ).double()
        x, state = currents(name, 20, 3, 4), states(UserRecurrentState, 3, 5)
        assert_spikes_and_silence(layer, x, state)
        eager = observe(copy.deepcopy(layer), x, state)
        compiled = norse.compile(layer)
        ours = observe(compiled, x, state)
        assert torch.equal(ours.results[0], eager.results[0])
        assert_same_gradients(ours, eager)
        assert_native(compiled)

    @pytest.mark.parametrize("name", USER_STEPS)
    def test_as_a_recurrent_cell_gives_eagers_bits_and_gradients(self, name: str) -> None:
        torch.manual_seed(0)
        cell = snn.SNNRecurrentCell(
            recurrent(USER_STEPS[name]), recurrent_zeros(5, False), 4, 5, learnt(UserParameters, (5,))
        ).double()
        assert_compiles_to_the_same(cell, currents(name, 12, 3, 4), call=tick_by_tick)

    def test_keeps_its_odd_backward(self) -> None:
        """Without its own derivative the spike's gradient would be zero."""

        def step(x: Tensor, state: UserState, p: UserParameters, dt: float) -> tuple[Tensor, UserState]:
            return ThreeTimes.apply(x - p.v_th), state

        x = currents("", 4, 2, 5).requires_grad_()
        z, _ = norse.compile(snn.SNN(step, zeros_over_time, UserParameters()))(x)
        z.sum().backward()
        assert x.grad is not None and torch.equal(x.grad, torch.full_like(x, 3.0))


class TestAConvolutionalNetwork:
    @dtypes
    def test_learns_channels_time_constants(self, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        lif = FEED_FORWARD["LIF"][2]
        model = snn.SequentialState(
            snn.Lift(nn.Conv2d(1, 4, 3)),
            snn.LIF(p=learnt(lif, (4, 1, 1), dtype)),
            snn.Lift(nn.AvgPool2d(2)),
            nn.Flatten(2),
            nn.Linear(36, 3),
            snn.LIF(p=learnt(lif, (3,), dtype)),
        ).to(dtype)
        nn.init.normal_(model[4].weight, 0.2)
        compiled = assert_compiles_to_the_same(model, 40 * currents("", 15, 2, 1, 8, 8, dtype=dtype), exact=True)
        assert "native" in compiled.explain()
