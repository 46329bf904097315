"""Izhikevich neurons: the equations against numpy, and the behaviours of his figure.

Currents, times and time steps are those of the program that draws figure 1 of E. M. Izhikevich, "Which model to use for
cortical spiking neurons?" (2004), unless a test says otherwise. That program lets u follow the new v; here, as in
Norse, it follows the old one, so that times differ by some ms.
"""

import numpy as np
import pytest
import torch

from norse.torch.functional import izhikevich as behaviours
from norse.torch.functional.izhikevich import (
    IzhikevichParameters,
    IzhikevichRecurrentState,
    IzhikevichSpikingBehavior,
    IzhikevichState,
    create_izhikevich_spiking_behavior,
    izhikevich_feed_forward_step,
    izhikevich_recurrent_step,
    tonic_spiking,
)
from norse.torch.module.izhikevich import Izhikevich, IzhikevichCell, IzhikevichRecurrent, IzhikevichRecurrentCell

FORMS = [(IzhikevichCell, ()), (Izhikevich, ()), (IzhikevichRecurrentCell, (3, 4)), (IzhikevichRecurrent, (3, 4))]

# (a, b, c, d), v₀, u₀, (mn, bias), τ⁻¹
TABLE = {
    "tonic_spiking": ((0.02, 0.2, -65, 6), -70, -14, (5, 140), 250),
    "phasic_spiking": ((0.02, 0.25, -65, 6), -64, -16, (5, 140), 250),
    "tonic_bursting": ((0.02, 0.2, -50, 2), -70, -14, (5, 140), 250),
    "phasic_bursting": ((0.02, 0.25, -55, 0.05), -64, -16, (5, 140), 200),
    "mixed_mode": ((0.02, 0.2, -55, 4), -70, -14, (5, 140), 250),
    "spike_frequency_adaptation": ((0.01, 0.2, -65, 8), -70, -14, (5, 140), 250),
    "class_1_exc": ((0.02, -0.1, -55, 6), -60, 6, (4.1, 108), 250),
    "class_2_exc": ((0.2, 0.26, -65, 0), -64, -16.64, (5, 140), 250),
    "spike_latency": ((0.02, 0.2, -65, 6), -70, -14, (5, 140), 250),
    "subthreshold_oscillation": ((0.05, 0.26, -60, 0), -62, -16.12, (5, 140), 250),
    "resonator": ((0.1, 0.26, -60, -1), -62, -16.12, (5, 140), 250),
    "integrator": ((0.02, -0.1, -55, 6), -60, 6, (4.1, 108), 250),
    "rebound_spike": ((0.03, 0.25, -60, 4), -64, -16, (5, 140), 200),
    "rebound_burst": ((0.03, 0.25, -52, 0), -64, -16, (5, 140), 200),
    "threshold_variability": ((0.03, 0.25, -60, 4), -64, -16, (5, 140), 250),
    "bistability": ((0.1, 0.26, -60, 0), -61, -15.86, (5, 140), 250),
    "dap": ((1, 0.2, -60, -21), -70, -14, (5, 140), 100),
    "accomodation": ((0.02, 1, -55, 4), -65, -16, (5, 140), 500),
    "inhibition_induced_spiking": ((-0.02, -1, -60, 8), -63.8, 63.8, (5, 140), 250),
    "inhibition_induced_bursting": ((-0.026, -1, -45, -2), -63.8, 63.8, (5, 140), 250),
}


def reference(name, currents, v, u, dt=0.001):
    """[T, ...] -> spikes [T, ...], v [T, ...], u [T, ...], written from the paper's equations."""
    (a, b, c, d), _, _, (mn, bias), rate = TABLE[name]
    spikes, vs, us = [], [], []
    for x in currents:
        v, u = v + rate * dt * (0.04 * v**2 + mn * v + bias - u + x), u + rate * dt * a * (b * v - u)
        fired = v > 30
        v, u = np.where(fired, c, v), np.where(fired, u + d, u)
        spikes.append(fired), vs.append(v), us.append(u)
    return np.array(spikes, dtype=float), np.array(vs), np.array(us)


class TestEquations:
    @pytest.mark.parametrize("name", TABLE)
    def test_every_behaviour_has_the_papers_parameters(self, name):
        (a, b, c, d), v, u, (mn, bias), rate = TABLE[name]
        behaviour = getattr(behaviours, name)
        assert behaviour.p == IzhikevichParameters(a, b, c, d, mn=mn, bias=bias, tau_inv=rate)
        assert behaviour.p[4:9] == (0.04, mn, bias, 30, rate)
        torch.testing.assert_close(behaviour.s.v.detach(), torch.tensor(float(v)))
        torch.testing.assert_close(behaviour.s.u, torch.tensor(float(u)))
        assert behaviour.s.v.requires_grad
        assert behaviour.s.v.is_leaf

    def test_no_behaviour_is_missing(self):
        assert {k for k, v in vars(behaviours).items() if isinstance(v, IzhikevichSpikingBehavior)} == set(TABLE)

    @pytest.mark.parametrize("name", ["tonic_spiking", "tonic_bursting", "class_1_exc", "resonator", "dap"])
    def test_the_step_is_the_equations(self, name):
        currents = np.random.default_rng(0).normal(5.0, 40.0, (120, 2, 5))
        _, v0, u0, *_ = TABLE[name]
        start = [np.full((2, 5), float(value)) for value in (v0, u0)]
        layer = Izhikevich(getattr(behaviours, name), record_states=True)
        z, states = layer(torch.tensor(currents), IzhikevichState(*map(torch.tensor, start)))
        spikes, v, u = reference(name, currents, *start)
        assert 0 < spikes.sum() < spikes.size / 2
        np.testing.assert_array_equal(z.numpy(), spikes)
        np.testing.assert_allclose(states.v.numpy(), v, rtol=1e-9)
        np.testing.assert_allclose(states.u.numpy(), u, rtol=1e-9)

    def test_the_recurrent_step_is_driven_by_inputs_and_last_spikes(self):
        random = np.random.default_rng(1)
        xs, w_in, w_rec = random.random((120, 2, 3)), random.normal(15, 20, (4, 3)), random.normal(0, 60, (4, 4))
        s = IzhikevichRecurrentState(*(torch.full((2, 4), value, dtype=torch.float64) for value in (0.0, -70, -14)))
        z, v, u = np.zeros((2, 4)), np.full((2, 4), -70.0), np.full((2, 4), -14.0)
        count = 0
        for x in xs:
            ours, s = izhikevich_recurrent_step(
                torch.tensor(x), s, torch.tensor(w_in), torch.tensor(w_rec), tonic_spiking.p
            )
            (z,), (v,), (u,) = reference("tonic_spiking", (x @ w_in.T + z @ w_rec.T)[None], v, u)
            np.testing.assert_array_equal(ours.numpy(), z)
            np.testing.assert_allclose(s.v.numpy(), v, rtol=1e-9)
            np.testing.assert_allclose(s.u.numpy(), u, rtol=1e-9)
            assert torch.equal(s.z, ours)
            count += z.sum()
        assert 10 < count < 400

    def test_without_input_a_resting_neuron_stays_at_rest(self):
        """-70 mV is a fixed point: 0.04 · 4900 - 350 + 140 + 14 = 0."""
        z, state = Izhikevich(tonic_spiking)(torch.zeros(400, 1, dtype=torch.float64))
        assert z.sum() == 0
        assert state.v.item() == pytest.approx(-70, abs=1e-9)

    def test_the_gradient_of_a_spike_is_the_surrogates(self):
        s = IzhikevichState(v=torch.tensor(29.0), u=torch.tensor(0.0))
        x = torch.tensor(-317.64, requires_grad=True)  # to about the peak
        z, _ = izhikevich_feed_forward_step(x, s, tonic_spiking.p)
        z.backward()
        v = 29 + 0.25 * (0.04 * 29**2 + 5 * 29 + 140 - 317.64)
        assert x.grad.item() == pytest.approx(0.25 / (100 * abs(v - 30) + 1) ** 2, rel=1e-3)

    def test_a_behaviour_of_ones_own(self):
        behaviour = create_izhikevich_spiking_behavior(0.1, 0.3, -60, 5, v_rest=-62, u_rest=-50, tau_inv=100)
        assert behaviour.p == IzhikevichParameters(0.1, 0.3, -60, 5, tau_inv=100)
        assert behaviour.s.v.item() == -62
        assert behaviour.s.u.item() == pytest.approx(-15)


def stimulated(name, step, duration, current):
    """Times (ms) of the spikes of a neuron that is given `current(t)`; all times, and its potential at them."""
    behaviour = getattr(behaviours, name)
    times = np.arange(round(duration / step) + 1) * step
    currents = torch.tensor([[float(current(t))] for t in times], dtype=torch.float64)
    with torch.no_grad():
        z, states = Izhikevich(behaviour, dt=step / behaviour.p.tau_inv, record_states=True)(currents)
    return times[z[:, 0].numpy() > 0], times, states.v[:, 0].numpy()


def stepping(start, height):
    return lambda t: height if t > start else 0.0


def pulses(height, length, *starts):
    return lambda t: height if any(start < t < start + length for start in starts) else 0.0


class TestThePapersFigure:
    def test_tonic_spiking_goes_on_regularly(self):
        spikes, *_ = stimulated("tonic_spiking", 0.25, 400, stepping(10, 14))
        assert len(spikes) > 10
        assert np.diff(spikes)[3:] == pytest.approx(np.diff(spikes)[-1], abs=0.5)

    def test_phasic_spiking_is_one_spike_at_the_onset(self):
        spikes, *_ = stimulated("phasic_spiking", 0.25, 200, stepping(20, 0.5))
        assert len(spikes) == 1

    def test_tonic_bursting_is_groups_of_spikes_with_silence_between(self):
        spikes, *_ = stimulated("tonic_bursting", 0.25, 220, stepping(22, 15))
        gaps = np.diff(spikes)
        assert (gaps > 20).sum() == 3  # four bursts
        assert gaps[gaps < 20].max() < 6
        bursts = [len(burst) for burst in np.split(spikes, np.nonzero(gaps > 20)[0] + 1)]
        assert bursts[1:] == [6, 6, 6]

    def test_phasic_bursting_is_one_burst_at_the_onset(self):
        spikes, *_ = stimulated("phasic_bursting", 0.2, 400, stepping(20, 0.6))
        assert 5 <= len(spikes) <= 8
        assert np.diff(spikes).max() < 10

    def test_mixed_mode_is_a_burst_and_then_single_spikes(self):
        spikes, *_ = stimulated("mixed_mode", 0.25, 160, stepping(16, 10))
        gaps = np.diff(spikes)
        assert len(spikes) == 6
        assert gaps[:2].max() < 5
        assert gaps[2:].min() > 30

    def test_spike_frequency_adaptation_lengthens_the_gaps(self):
        spikes, *_ = stimulated("spike_frequency_adaptation", 0.25, 85, stepping(8.5, 30))
        assert len(spikes) == 6
        assert (np.diff(np.diff(spikes)[:-1]) > 0).all()

    def test_class_1_fires_slowly_at_a_weak_current_and_faster_with_a_growing_one(self):
        spikes, *_ = stimulated("class_1_exc", 0.25, 300, lambda t: 0.075 * max(t - 30, 0))
        rates = 1000 / np.diff(spikes)
        assert (np.diff(rates) > 0).all()
        assert rates[0] < 30
        assert rates[-1] > 2 * rates[0]

    def test_class_2_starts_at_a_high_rate(self):
        spikes, *_ = stimulated("class_2_exc", 0.25, 300, lambda t: -0.5 + 0.015 * max(t - 30, 0))
        rates = 1000 / np.diff(spikes)
        assert rates[0] > 45
        assert rates[-1] < 2.2 * rates[0]

    def test_spike_latency_delays_the_spike_long_behind_a_short_pulse(self):
        spikes, *_ = stimulated("spike_latency", 0.2, 100, pulses(7.04, 3, 10))
        assert len(spikes) == 1
        assert spikes[0] - 13 > 9

    def test_subthreshold_oscillation_follows_a_spike(self):
        spikes, times, v = stimulated("subthreshold_oscillation", 0.25, 200, pulses(2, 5, 20))
        assert len(spikes) == 1
        after = v[times > spikes[0] + 10] - v[-1]
        crossings = np.nonzero(np.diff(np.sign(after)))[0]
        assert len(crossings) >= 4
        assert np.diff(times[crossings[:5]]).max() < 40

    def test_a_resonator_answers_to_the_right_gap_not_to_the_shorter_one(self):
        spikes, *_ = stimulated("resonator", 0.25, 400, pulses(0.65, 4, 40, 60, 280, 320))
        assert len(spikes) == 1
        assert 320 < spikes[0] < 345

    def test_an_integrator_answers_to_the_shorter_gap(self):
        spikes, *_ = stimulated("integrator", 0.25, 100, pulses(9, 2, 100 / 11, 100 / 11 + 5, 70, 80))
        assert len(spikes) == 1
        assert 100 / 11 + 5 < spikes[0] < 70

    def test_a_rebound_spike_follows_inhibition(self):
        spikes, *_ = stimulated("rebound_spike", 0.2, 200, pulses(-15, 5, 20))
        assert len(spikes) == 1
        assert spikes[0] > 25

    def test_a_rebound_burst_follows_inhibition(self):
        spikes, *_ = stimulated("rebound_burst", 0.2, 300, pulses(-15, 5, 20))
        assert len(spikes) > 5
        assert spikes[0] > 25
        assert np.diff(spikes).max() < 12

    def test_threshold_variability_inhibition_makes_the_same_pulse_strong_enough(self):
        def current(t):
            return pulses(1, 5, 10, 80)(t) + pulses(-6, 5, 70)(t)

        spikes, *_ = stimulated("threshold_variability", 0.25, 100, current)
        assert len(spikes) == 1
        assert spikes[0] > 80

    def test_bistability_one_pulse_starts_the_spikes_and_another_ends_them(self):
        """The second pulse must meet the right phase: at 208 ms instead of the figure's 216."""
        spikes, *_ = stimulated("bistability", 0.25, 500, lambda t: 0.24 + pulses(1, 5, 37.5, 208)(t))
        assert len(spikes) == 5
        assert spikes[0] > 37.5
        assert spikes[-1] < 208
        forever, *_ = stimulated("bistability", 0.25, 500, lambda t: 0.24 + pulses(1, 5, 37.5)(t))
        assert len(forever) > 10
        assert forever[-1] > 450

    def test_a_depolarising_after_potential_follows_a_spike(self):
        """With a current of -2 besides the figure's pulse, and 25 instead of 20, without which it spikes again."""
        spikes, times, v = stimulated("dap", 0.1, 80, lambda t: 25.0 - 2 if abs(t - 10) < 1 else -2.0)
        assert len(spikes) == 1
        after = v[times > spikes[0]]
        assert after.max() > -60 + 2  # above the reset
        assert after[-1] < -70

    def test_accommodation_a_fast_ramp_is_answered_and_a_slow_one_to_the_same_height_is_not(self):
        """The figure's program has another du/dt here, a b (v + 65); with a (b v - u), the neuron rests at x = -49."""
        fast, *_ = stimulated("accomodation", 0.5, 600, lambda t: -49 + 2 * min(max(t - 300, 0) / 12.5, 1))
        slow, *_ = stimulated("accomodation", 0.5, 900, lambda t: -49 + 2 * min(max(t - 300, 0) / 200, 1))
        assert len(fast) == 1
        assert len(slow) == 0

    def test_inhibition_induces_spiking(self):
        spikes, *_ = stimulated("inhibition_induced_spiking", 0.5, 350, lambda t: 75.0 if 50 <= t <= 250 else 80.0)
        assert 3 <= len(spikes) <= 4
        assert spikes[0] > 50
        assert spikes[-1] < 260
        never, *_ = stimulated("inhibition_induced_spiking", 0.5, 350, lambda t: 80.0)
        assert len(never) == 0

    def test_inhibition_induces_a_burst(self):
        """Which, with u following the old v, does not end: each spike lowers u (d = -2), and a < 0 keeps it low."""
        spikes, *_ = stimulated("inhibition_induced_bursting", 0.5, 120, lambda t: 75.0 if t >= 50 else 80.0)
        assert spikes[0] > 80
        assert np.diff(spikes).max() < 4
        never, *_ = stimulated("inhibition_induced_bursting", 0.5, 350, lambda t: 80.0)
        assert len(never) == 0


class TestModules:
    @pytest.mark.parametrize("module", [IzhikevichCell, Izhikevich])
    def test_starts_from_the_behaviours_state_as_numbers(self, module):
        state = module(tonic_spiking).initial_state(torch.ones(5, 2, 3))
        assert (state.v.item(), state.u.item()) == (-70, -14)
        assert state.v.requires_grad
        assert not state.u.requires_grad
        assert state.v is not tonic_spiking.s.v

    @pytest.mark.parametrize(("module", "shape"), [(IzhikevichRecurrentCell, (5, 2, 4)), (IzhikevichRecurrent, (2, 4))])
    def test_starts_from_the_behaviours_state_in_full_shape(self, module, shape):
        state = module(3, 4, tonic_spiking).initial_state(torch.ones(5, 2, 3, dtype=torch.float64))
        assert all(field.shape == shape and field.dtype == torch.float64 for field in state)
        assert state.z.sum() == 0
        assert (state.v == -70).all()

    def test_learning_leaves_the_behaviour_as_it_is(self):
        z, _ = Izhikevich(tonic_spiking)(torch.full((40, 2), 14.0))
        z.sum().backward()
        assert tonic_spiking.s.v.grad is None

    @pytest.mark.parametrize(("module", "sizes"), FORMS)
    def test_a_module_tells_its_spiking_method(self, module, sizes):
        behaviour = module(*sizes, tonic_spiking).spiking_method
        assert isinstance(behaviour, IzhikevichSpikingBehavior)
        assert behaviour == tonic_spiking

    def test_the_recurrent_layer_takes_weights_by_position(self):
        w_in, w_rec = torch.ones(4, 3), torch.ones(4, 4)
        layer = IzhikevichRecurrent(3, 4, tonic_spiking, w_in, w_rec, True, dt=0.002)
        assert layer.input_weights is w_in
        assert layer.recurrent_weights.diagonal().sum() == 4
        assert layer.dt == 0.002

    @pytest.mark.parametrize(("module", "sizes"), FORMS)
    @pytest.mark.parametrize("wrong", [tonic_spiking.p, tonic_spiking.s, "tonic_spiking", None, float])
    def test_a_spiking_method_of_the_wrong_type(self, module, sizes, wrong):
        message = r"argument spiking_method: expects an IzhikevichSpikingBehavior such as .*tonic_spiking, got"
        with pytest.raises(TypeError, match=f"{module.__name__}: {message} {type(wrong).__name__}"):
            module(*sizes, wrong)

    def test_a_behaviour_of_the_wrong_parts(self):
        with pytest.raises(
            TypeError, match=r"IzhikevichCell: argument spiking_method.p: expects IzhikevichParameters, got"
        ):
            IzhikevichCell(IzhikevichSpikingBehavior(tonic_spiking.s, tonic_spiking.p))

    def test_a_time_step_that_is_longer_than_the_models_millisecond_warns(self):
        with pytest.warns(UserWarning, match=r"Izhikevich: dt=0.01 is larger than the time constant 1 / p.tau_inv"):
            Izhikevich(tonic_spiking, dt=0.01)

    def test_each_neuron_may_have_parameters_of_its_own(self):
        p = tonic_spiking.p._replace(c=torch.tensor([-65.0, -50.0]), d=torch.tensor([6.0, 2.0]))
        mixed, _ = Izhikevich(IzhikevichSpikingBehavior(p, tonic_spiking.s))(torch.full((800, 2), 15.0))
        for neuron, name in enumerate(("tonic_spiking", "tonic_bursting")):
            alone, _ = Izhikevich(getattr(behaviours, name))(torch.full((800, 1), 15.0))
            assert torch.equal(mixed[:, neuron], alone[:, 0])
