"""LIF neurons with conductance-based synapses: the equations against numpy, and where their potential settles."""

import numpy as np
import pytest
import torch

from norse.torch.functional.coba_lif import (
    CobaLIFFeedForwardState,
    CobaLIFParameters,
    CobaLIFState,
    coba_lif_feed_forward_step,
    coba_lif_step,
    default_bio_parameters,
    default_bio_state,
)
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.coba_lif import (
    CobaLIFCell,
    CobaLIFFeedForward,
    CobaLIFFeedForwardCell,
    CobaLIFRecurrent,
    CobaLIFRecurrentCell,
)

TICKS = 80
MILLISECONDS = default_bio_parameters._replace(tau_syn_exc_inv=torch.tensor(1 / 5.0), tau_syn_inh_inv=torch.tensor(0.1))


def float64(parameters):
    return type(parameters)(*(f.double() if isinstance(f, torch.Tensor) else f for f in parameters))


def reference(jump_e, jump_i, v, g_e, g_i, p, dt):
    """One tick -> spikes, (v, g_e, g_i), written from the equations."""
    exc, inh, c, g_l, e_i, e_e, rest, reset, th = (float(value) for value in p[:9])
    g_e = (g_e + jump_e) * (1 - dt * exc)
    g_i = (g_i + jump_i) * (1 - dt * inh)
    u = v + dt * c * (g_l * (rest - v) + g_e * (e_e - v) + g_i * (e_i - v))
    fired = u > th
    return fired.astype(float), (np.where(fired, reset, u), g_e, g_i)


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("p", "dt", "mean", "spread"), [(CobaLIFParameters(), 0.001, 0.2, 2.0), (MILLISECONDS, 0.1, 0.004, 0.006)]
)
def test_the_feed_forward_step_is_the_equations(p, dt, mean, spread):
    currents = np.random.default_rng(0).normal(mean, spread, (TICKS, 2, 5))
    rest = np.full((2, 5), float(p.v_rest))
    start = CobaLIFFeedForwardState(*map(torch.tensor, (rest, 0 * rest, 0 * rest)))
    z, states = CobaLIFFeedForward(float64(p), dt=dt, record_states=True)(torch.tensor(currents), start)
    state, total = (rest, 0 * rest, 0 * rest), 0
    for tick, x in enumerate(currents):
        spikes, state = reference(np.maximum(x, 0), np.maximum(-x, 0), *state, p, dt)
        np.testing.assert_array_equal(z[tick].numpy(), spikes)
        for ours, theirs in zip(states, state, strict=True):
            assert_close(ours[tick], theirs)
        total += spikes.sum()
    assert 5 < total < currents.size / 2


def test_the_recurrent_step_excites_by_positive_and_inhibits_by_negative_weights_of_inputs_and_spikes():
    random = np.random.default_rng(1)
    xs = (random.random((TICKS, 2, 3)) < 0.3).astype(float)
    w_in, w_rec = random.normal(0.01, 0.015, (4, 3)), random.normal(-0.02, 0.02, (4, 4))
    layer = CobaLIFRecurrent(
        3,
        4,
        float64(MILLISECONDS),
        dt=0.1,
        input_weights=torch.tensor(w_in),
        recurrent_weights=torch.tensor(w_rec),
        record_states=True,
    )
    z, states = layer(torch.tensor(xs), default_bio_state.double())
    last, state, total = np.zeros((2, 4)), (np.full((2, 4), -65.0), np.zeros((2, 4)), np.zeros((2, 4))), 0
    for tick, x in enumerate(xs):
        jump_e = x @ np.where(w_in > 0, w_in, 0).T + last @ np.where(w_rec > 0, w_rec, 0).T
        jump_i = -x @ np.where(w_in < 0, w_in, 0).T - last @ np.where(w_rec < 0, w_rec, 0).T
        last, state = reference(jump_e, jump_i, *state, MILLISECONDS, 0.1)
        np.testing.assert_array_equal(z[tick].detach().numpy(), last)
        for ours, theirs in zip(states, (last, *state), strict=True):
            assert_close(ours[tick], theirs)
        total += last.sum()
    assert 5 < total < z.numel() / 2


def test_both_the_inputs_and_the_last_spikes_reach_the_conductances():
    """Norse 1.1.0 drops the inputs."""
    zero = torch.zeros(1, 1)
    state = CobaLIFState(z=torch.ones(1, 1), v=zero - 65, g_e=zero, g_i=zero)
    p = CobaLIFParameters(tau_syn_exc_inv=torch.tensor(0.0), tau_syn_inh_inv=torch.tensor(0.0))
    _, state = coba_lif_step(torch.ones(1, 2), state, torch.tensor([[2.0, -3.0]]), torch.tensor([[5.0]]), p)
    assert state.g_e.item() == 7
    assert state.g_i.item() == 3


@pytest.mark.parametrize(("g_e", "g_i"), [(0.0, 0.0), (0.02, 0.0), (0.0, 0.3), (0.05, 0.4), (0.06, 0.1)])
def test_constant_conductances_settle_where_the_currents_balance(g_e, g_i):
    """v∞ = (g_l v_rest + g_e E_e + g_i E_i) / (g_l + g_e + g_i)."""
    p = MILLISECONDS._replace(tau_syn_exc_inv=torch.tensor(0.0), tau_syn_inh_inv=torch.tensor(0.0))
    state = CobaLIFFeedForwardState(*(torch.full((1,), value).double() for value in (-65.0, g_e, g_i)))
    z, state = CobaLIFFeedForward(p, dt=0.1)(torch.zeros(500, 1, dtype=torch.float64), state)
    expected = (0.25 * -65 + g_e * 0 + g_i * -70) / (0.25 + g_e + g_i)
    assert expected < -50, "below threshold"
    assert z.sum() == 0
    assert state.v.item() == pytest.approx(expected, abs=1e-5)


def test_a_stronger_conductance_makes_a_shorter_time_constant():
    """τ = c_m / (g_l + g_i): the membrane's distance from v∞ shrinks by e in that time."""
    p = MILLISECONDS._replace(tau_syn_inh_inv=torch.tensor(0.0))
    dt = 0.001
    for g_i in (0.0, 1.0, 4.0):
        ticks = round(1 / (5 * (0.25 + g_i)) / dt)
        state = CobaLIFFeedForwardState(*(torch.full((1,), value).double() for value in (-55.0, 0.0, g_i)))
        _, last = CobaLIFFeedForward(p, dt=dt)(torch.zeros(ticks, 1, dtype=torch.float64), state)
        settled = (0.25 * -65 + g_i * -70) / (0.25 + g_i)
        assert (last.v.item() - settled) / (-55 - settled) == pytest.approx(np.exp(-1), rel=0.02)


def test_conductances_decay_with_their_own_time_constants():
    zero = torch.zeros(1, dtype=torch.float64)
    state = CobaLIFFeedForwardState(zero - 65, zero + 0.01, zero + 0.01)
    _, last = CobaLIFFeedForward(float64(MILLISECONDS), dt=0.01)(torch.zeros(1000, 1, dtype=torch.float64), state)
    assert last.g_e.item() == pytest.approx(0.01 * np.exp(-10 / 5), rel=0.01)
    assert last.g_i.item() == pytest.approx(0.01 * np.exp(-10 / 10), rel=0.01)


def test_inhibition_silences_a_neuron_that_excitation_makes_fire():
    def count(inhibition):
        w = torch.tensor([[0.05, -inhibition]])
        layer = CobaLIFRecurrent(2, 1, MILLISECONDS, dt=0.05, input_weights=w, recurrent_weights=torch.zeros(1, 1))
        every_millisecond = (torch.arange(400) % 20 == 0).float()[:, None, None].expand(-1, 1, 2)
        return layer(every_millisecond, default_bio_state)[0].sum()

    assert count(0.0) > 10
    assert count(0.2) == 0


def test_a_reset_by_subtraction_lowers_the_membrane_by_the_threshold():
    zero = torch.zeros(1)
    p = CobaLIFParameters(v_thresh=torch.tensor(10.0), reset_method=reset_subtract, c_m_inv=torch.tensor(0.0))
    z, state = coba_lif_feed_forward_step(zero, CobaLIFFeedForwardState(zero + 25, zero, zero), p)
    assert (z.item(), state.v.item()) == (1, 15)


def test_excitation_and_inhibition_learn_from_their_own_signs():
    cell = CobaLIFCell(1, 2, input_weights=torch.nn.Parameter(torch.tensor([[0.5], [-0.5]])))
    _, state = cell(torch.ones(1, 1))
    for conductance, expected in ((state.g_e, [1.0, 0.0]), (state.g_i, [0.0, -1.0])):
        (gradient,) = torch.autograd.grad(conductance.sum(), cell.input_weights, retain_graph=True)
        assert gradient.flatten().tolist() == pytest.approx(expected, abs=1e-3)


class TestModules:
    @pytest.mark.parametrize("module", [CobaLIFCell, CobaLIFRecurrent])
    def test_weights_start_at_the_scale_of_their_inputs_and_autapses_are_kept(self, module):
        torch.manual_seed(0)
        layer = module(400, 100)
        assert layer.input_weights.shape == (100, 400)
        assert layer.input_weights.std().item() == pytest.approx(1 / 20, rel=0.05)
        assert layer.recurrent_weights.std().item() == pytest.approx(1 / 10, rel=0.05)
        assert (layer.recurrent_weights.diagonal() != 0).all()
        assert (module(4, 4, autapses=False).recurrent_weights.diagonal() == 0).all()

    def test_the_time_step_is_the_fourth_argument(self):
        p = CobaLIFParameters()
        assert CobaLIFCell(3, 4, p, 0.002).dt == CobaLIFRecurrent(3, 4, p, 0.002).dt == 0.002

    @pytest.mark.parametrize(
        "module", [CobaLIFCell(3, 4), CobaLIFRecurrent(3, 4), CobaLIFFeedForwardCell(), CobaLIFFeedForward()]
    )
    def test_all_starts_at_zero(self, module):
        assert all((field == 0).all() for field in module.initial_state(torch.ones(5, 2, 3)))

    def test_the_recurrent_cell_has_the_usual_name_too(self):
        assert CobaLIFRecurrentCell is CobaLIFCell

    def test_the_biological_state_stands_for_any_number_of_neurons(self):
        x = (torch.rand(30, 2, 3) < 0.5).float()
        layer = CobaLIFRecurrent(3, 4, default_bio_parameters, dt=0.1)
        small, _ = layer(x, default_bio_state)
        full, _ = layer(x, default_bio_state.broadcast(torch.zeros(2, 4)))
        assert torch.equal(small, full)

    def test_biological_parameters(self):
        p = default_bio_parameters
        assert [value.item() for value in p[:9]] == pytest.approx([1 / 0.3, 2, 5, 0.25, -70, 0, -65, -65, -50])
        assert [value.item() for value in default_bio_state] == [0, -65, 0, 0]
