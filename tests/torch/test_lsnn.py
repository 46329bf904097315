"""LSNN neurons: the equations against numpy, and how their threshold adapts."""

import math

import numpy as np
import pytest
import torch

from norse.torch.functional.adjoint.lsnn_adjoint import lsnn_adjoint_step, lsnn_feed_forward_adjoint_step
from norse.torch.functional.lsnn import (
    LSNNFeedForwardState,
    LSNNParameters,
    LSNNState,
    ada_lif_step,
    lsnn_feed_forward_step,
    lsnn_step,
)
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.lsnn import LSNN, LSNNCell, LSNNRecurrent, LSNNRecurrentCell

TICKS = 80
OTHER = LSNNParameters(*(torch.tensor(value) for value in (150.0, 80.0, 20.0, 0.25, 0.75, -0.5, 0.6)))


def float64(parameters):
    return type(parameters)(*(f.double() if isinstance(f, torch.Tensor) else f for f in parameters))


def reference(currents, state, p, dt):
    """One current [B, N] after another -> spikes, (v, i, b) of every tick, written from the equations."""
    syn, mem, adapt, leak, th, reset, beta = (float(value) for value in p[:7])
    v, i, b = state
    for x in currents:
        u = v + dt * mem * (leak - v + i)
        i = i * (1 - dt * syn) + x
        b = b + dt * adapt * (th - b)
        fired = u > b
        v = np.where(fired, reset, u)
        b = b + beta * fired
        yield fired.astype(float), (v, i, b)


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("p", [LSNNParameters(), OTHER])
def test_lsnn_is_its_equations(p):
    currents = np.random.default_rng(0).normal(1.0, 2.0, (TICKS, 2, 5))
    z, states = LSNN(float64(p), dt=0.002, record_states=True)(torch.tensor(currents))
    start = (np.full((2, 5), float(p.v_leak)), np.zeros((2, 5)), np.full((2, 5), float(p.v_th)))
    total = 0
    for tick, (spikes, expected) in enumerate(reference(currents, start, p, 0.002)):
        np.testing.assert_array_equal(z[tick].detach().numpy(), spikes)
        for ours, theirs in zip(states, expected, strict=True):
            assert_close(ours[tick], theirs)
        total += spikes.sum()
    assert 10 < total < currents.size / 2


def test_recurrent_lsnn_is_driven_by_its_inputs_and_its_last_spikes():
    random = np.random.default_rng(1)
    xs, w_in, w_rec = random.random((TICKS, 2, 3)), random.normal(0.5, 1, (4, 3)), random.normal(0, 3, (4, 4))
    np.fill_diagonal(w_rec, 0)
    weights = {"input_weights": torch.tensor(w_in), "recurrent_weights": torch.tensor(w_rec)}
    z, states = LSNNRecurrent(3, 4, float64(OTHER), record_states=True, **weights)(torch.tensor(xs))
    last, state = np.zeros((2, 4)), (np.full((2, 4), 0.25), np.zeros((2, 4)), np.full((2, 4), 0.75))
    total = 0
    for tick, x in enumerate(xs):
        ((last, state),) = reference((x @ w_in.T + last @ w_rec.T)[None], state, OTHER, 0.001)
        np.testing.assert_array_equal(z[tick].detach().numpy(), last)
        for ours, theirs in zip(states, (last, *state), strict=True):
            assert_close(ours[tick], theirs)
        total += last.sum()
    assert 10 < total < z.numel() / 2


def test_ada_lif_is_its_equations():
    random = np.random.default_rng(2)
    xs, w_in, w_rec = random.random((TICKS, 2, 3)), random.normal(1, 2, (4, 3)), random.normal(0, 2, (4, 4))
    p, dt, total = OTHER, 0.001, 0
    syn, mem, adapt, leak, th, reset, beta = (float(value) for value in p[:7])
    state = LSNNState(*(torch.zeros(2, 4, dtype=torch.float64) for _ in range(4)))
    z, v, i, b = (np.zeros((2, 4)) for _ in range(4))
    for x in xs:
        u = v + dt * mem * (leak - v + i - b)
        i = i * (1 - dt * syn) + x @ w_in.T + z @ w_rec.T
        z = (u > th).astype(float)
        v = u - z * (th - reset)
        b = b * (1 - dt * adapt) + beta * z
        ours, state = ada_lif_step(torch.tensor(x), state, torch.tensor(w_in), torch.tensor(w_rec), float64(p), dt)
        np.testing.assert_array_equal(ours.numpy(), z)
        for field, theirs in zip(state, (z, v, i, b), strict=True):
            assert_close(field, theirs)
        total += z.sum()
    assert 10 < total < xs.shape[0] * 4


class TestAdaptation:
    def test_the_threshold_of_a_silent_neuron_decays_exponentially_to_v_th(self):
        p = LSNNParameters(tau_adapt_inv=torch.tensor(1 / 0.05))
        ticks = 100
        state = LSNNFeedForwardState(v=torch.tensor([0.0]), i=torch.tensor([0.0]), b=torch.tensor([2.8]))
        _, last = LSNN(p)(torch.zeros(ticks, 1), state)
        assert last.b.item() - 1 == pytest.approx(1.8 * math.exp(-ticks * 0.001 / 0.05), rel=0.03)  # Euler's error

    def test_a_spike_raises_the_threshold_by_beta(self):
        state = LSNNFeedForwardState(v=torch.tensor([0.0]), i=torch.tensor([20.0]), b=torch.tensor([1.0]))
        z, state = lsnn_feed_forward_step(torch.zeros(1), state, LSNNParameters(beta=torch.tensor(0.7)))
        assert z.item() == 1
        assert state.b.item() == pytest.approx(1.7)

    def test_the_rate_falls_under_a_constant_current_and_not_without_beta(self):
        def gaps(beta):
            current = torch.full((1500, 1), 0.8)
            z, _ = LSNN(LSNNParameters(beta=torch.tensor(beta), tau_adapt_inv=torch.tensor(2.0)))(current)
            return z[:, 0].nonzero()[:, 0].diff()

        adapted, regular = gaps(0.2), gaps(0.0)
        assert len(adapted) > 10
        assert (adapted[1:10].diff() >= 0).all()
        assert adapted[-1] > 3 * adapted[0]
        assert set(regular[2:].tolist()) <= {int(regular[-1]), int(regular[-1]) + 1}

    def test_the_input_acts_on_the_membrane_from_the_next_tick_on(self):
        cell = LSNNCell()
        _, state = cell(torch.tensor([5.0]))
        assert state.v.item() == 0
        _, state = cell(torch.tensor([0.0]), state)
        assert state.v.item() == pytest.approx(0.5)

    def test_a_reset_by_subtraction_lowers_the_membrane_by_v_th(self):
        state = LSNNFeedForwardState(v=torch.tensor([0.0]), i=torch.tensor([20.0]), b=torch.tensor([1.5]))
        _, state = lsnn_feed_forward_step(torch.zeros(1), state, LSNNParameters(reset_method=reset_subtract))
        assert state.v.item() == pytest.approx(1.0)  # 2 - 1


class TestGradients:
    """u = 1.01 and b₁ = 1: the surrogate is 1 / (100 · 0.01 + 1)² = 1/4; ∂u/∂v = 0.9."""

    def start(self, dtype=torch.float64):
        v = torch.tensor([[1.01 / 0.9]], dtype=dtype, requires_grad=True)
        zero = torch.zeros(1, 1, dtype=dtype)
        return v, zero, torch.ones(1, 1, dtype=dtype)

    def test_flow_through_the_spike_into_reset_and_threshold_of_the_feed_forward_step(self):
        v, zero, one = self.start()
        z, state = lsnn_feed_forward_step(zero, LSNNFeedForwardState(v, zero, one), float64(LSNNParameters()))
        (by_z,), (by_v,), (by_b,) = (
            torch.autograd.grad(out.sum(), v, retain_graph=True) for out in (z, state.v, state.b)
        )
        assert by_z.item() == pytest.approx(0.9 / 4, rel=1e-6)
        assert by_v.item() == pytest.approx(-1.01 * 0.9 / 4, rel=1e-6)
        assert by_b.item() == pytest.approx(1.8 * 0.9 / 4, rel=1e-6)

    def test_do_not_in_the_recurrent_step(self):
        v, zero, one = self.start()
        z, state = lsnn_step(zero, LSNNState(zero, v, zero, one), one, zero, float64(LSNNParameters()))
        (by_z,) = torch.autograd.grad(z.sum(), v, retain_graph=True)
        (by_v,) = torch.autograd.grad(state.v.sum(), v)
        assert by_z.item() == pytest.approx(0.9 / 4, rel=1e-6)
        assert by_v.item() == 0
        assert not state.b.requires_grad

    @pytest.mark.parametrize(
        ("module", "sizes", "plain", "adjoint"),
        [
            (LSNNCell, (), lsnn_feed_forward_step, lsnn_feed_forward_adjoint_step),
            (LSNN, (), lsnn_feed_forward_step, lsnn_feed_forward_adjoint_step),
            (LSNNRecurrentCell, (3, 4), lsnn_step, lsnn_adjoint_step),
            (LSNNRecurrent, (3, 4), lsnn_step, lsnn_adjoint_step),
        ],
    )
    def test_are_the_adjoint_steps_where_asked_for(self, module, sizes, plain, adjoint):
        assert module(*sizes).activation is plain
        assert module(*sizes, adjoint=True).activation is adjoint

    def test_of_the_adjoint_layer_are_others_for_the_same_spikes(self):
        x = 3 * torch.rand(60, 2, 3)
        gradients = []
        for adjoint in (False, True):
            torch.manual_seed(0)
            layer = LSNNRecurrent(3, 4, adjoint=adjoint)
            z, _ = layer(x)
            z.sum().backward()
            gradients.append((z.detach(), layer.input_weights.grad))
        assert torch.equal(gradients[0][0], gradients[1][0])
        assert gradients[0][0].sum() > 0
        assert gradients[1][1].abs().sum() > 0
        assert not torch.allclose(gradients[0][1], gradients[1][1])


def test_biological_defaults():
    p = LSNNParameters.bio_default()
    expected = (1 / 2, 1 / 10, 1 / 100, -70.0, -55.0, -70.0, 0.5)
    assert [value.item() for value in p[:7]] == pytest.approx(expected)
    state = LSNN(p, dt=0.1).initial_state(torch.zeros(5, 2))
    assert (state.v == -70).all()
    assert (state.b == -55).all()


class TestInitialState:
    def test_is_v_leak_zero_and_v_th(self):
        for module in (LSNNCell(OTHER), LSNN(OTHER), LSNNRecurrentCell(3, 3, OTHER), LSNNRecurrent(3, 3, OTHER)):
            state = module.initial_state(torch.ones(5, 2, 3))
            assert (state.v == 0.25).all()
            assert (state.i == 0).all()
            assert (state.b == 0.75).all()
            assert state.v.requires_grad

    def test_v_and_b_are_numbers_in_a_cell_and_full_elsewhere(self):
        x = torch.ones(5, 2, 3)
        assert [field.shape for field in LSNNCell().initial_state(x)] == [(), (5, 2, 3), ()]
        assert [field.shape for field in LSNN().initial_state(x)] == [(2, 3)] * 3
        assert [field.shape for field in LSNNRecurrent(3, 4).initial_state(x)] == [(2, 4)] * 4

    def test_a_given_state_of_numbers_stands_for_all_neurons(self):
        """Though the first spikes don't depend on the first input, from which they could take their shape."""
        state = LSNNFeedForwardState(*(torch.tensor(value) for value in (0.5, 3.0, 1.0)))
        z, last = LSNN()(torch.ones(4, 2, 3), state)
        assert z.shape == (4, 2, 3)
        assert last.b.shape == (2, 3)
        z, last = LSNNCell()(torch.ones(2, 3), state)
        assert z.shape == last.v.shape == (2, 3)
