"""Exponential and adaptive exponential neurons: their equations, what theory says of them, and their modules."""

import copy
import io
import math
import pickle

import numpy as np
import pytest
import torch

from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
from norse.torch.functional.lif_adex import (
    LIFAdExFeedForwardState,
    LIFAdExParameters,
    LIFAdExState,
    lif_adex_current_encoder,
    lif_adex_feed_forward_step,
    lif_adex_step,
)
from norse.torch.functional.lif_ex import (
    LIFExFeedForwardState,
    LIFExParameters,
    LIFExState,
    exponential_current,
    lif_ex_current_encoder,
    lif_ex_feed_forward_step,
    lif_ex_step,
)
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.lif import LIF
from norse.torch.module.lif_adex import LIFAdEx, LIFAdExCell, LIFAdExRecurrent, LIFAdExRecurrentCell
from norse.torch.module.lif_ex import LIFEx, LIFExCell, LIFExRecurrent, LIFExRecurrentCell

TICKS, BATCH, INPUTS, NEURONS = 60, 2, 3, 7

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
models = pytest.mark.parametrize("model", ["LIFEx", "LIFAdEx"])

PARAMETERS = {"LIFEx": LIFExParameters, "LIFAdEx": LIFAdExParameters}
LAYER = {"LIFEx": LIFEx, "LIFAdEx": LIFAdEx}
CELL = {"LIFEx": LIFExCell, "LIFAdEx": LIFAdExCell}
RECURRENT = {"LIFEx": LIFExRecurrent, "LIFAdEx": LIFAdExRecurrent}
RECURRENT_CELL = {"LIFEx": LIFExRecurrentCell, "LIFAdEx": LIFAdExRecurrentCell}


def unusual(model, dtype=torch.float64):
    """Parameters of every neuron's own, none of them a default."""
    g = torch.Generator().manual_seed(1)
    spread = {
        name: torch.rand(NEURONS, generator=g, dtype=dtype)
        for name in PARAMETERS[model]._fields
        if name not in ("method", "alpha", "reset_method")
    }
    ranges = {
        "adaptation_current": (1.0, 6.0),
        "adaptation_spike": (0.05, 0.5),
        "tau_ada_inv": (2.0, 40.0),
        "delta_T": (0.1, 0.6),
        "tau_syn_inv": (100.0, 250.0),
        "tau_mem_inv": (50.0, 150.0),
        "v_leak": (-0.2, 0.2),
        "v_th": (0.6, 1.2),
        "v_reset": (-0.5, 0.0),
    }
    return PARAMETERS[model](**{n: ranges[n][0] + (ranges[n][1] - ranges[n][0]) * u for n, u in spread.items()})


def float64(parameters):
    return type(parameters)(*(f.double() if isinstance(f, torch.Tensor) else f for f in parameters))


def reference_tick(x, v, i, a, p, dt):
    """The equations in their published order; a neuron without adaptation has a = 0."""
    j = i + x
    inside = (p.v_leak - v) + p.delta_T * torch.exp((v - p.v_th) / p.delta_T) + j - a
    u = v + dt * p.tau_mem_inv * inside
    z = (u > p.v_th).to(u.dtype)
    if hasattr(p, "tau_ada_inv"):
        a = a + dt * p.tau_ada_inv * (p.adaptation_current * (v - p.v_leak) - a)
        a = a + z * p.adaptation_spike
    return z, (1 - z) * u + z * p.v_reset, j + (-dt * p.tau_syn_inv * j), a


def fields_of(state):
    """(v, i, a) of a state with or without z and a."""
    return [state.v, state.i, *([state.a] if hasattr(state, "a") else [])]


class TestEquations:
    @dtypes
    @models
    def test_a_layer_is_its_equations_bit_for_bit(self, model, dtype):
        p, dt = unusual(model, dtype), 0.002
        xs = torch.randn(TICKS, BATCH, NEURONS, generator=torch.Generator().manual_seed(2), dtype=dtype) * 2 + 0.8
        z, states = LAYER[model](p, dt=dt, record_states=True)(xs)
        v, i, a = p.v_leak.expand(BATCH, -1), torch.zeros_like(xs[0]), torch.zeros_like(xs[0])
        spikes, expected = [], []
        for x in xs:
            spike, v, i, a = reference_tick(x, v, i, a, p, dt)
            spikes.append(spike)
            expected.append((v, i, a))
        assert 0.05 < z.mean() < 0.95
        assert torch.equal(z, torch.stack(spikes))
        for ours, theirs in zip(fields_of(states), zip(*expected, strict=True), strict=False):
            assert ours.dtype == dtype
            assert torch.equal(ours, torch.stack(theirs))

    @dtypes
    @models
    def test_a_recurrent_layer_is_driven_by_its_inputs_and_its_last_spikes(self, model, dtype):
        p, g = unusual(model, dtype), torch.Generator().manual_seed(3)
        xs = torch.rand(TICKS, BATCH, INPUTS, generator=g, dtype=dtype)
        w_in = torch.randn(NEURONS, INPUTS, generator=g, dtype=dtype) + 1
        w_rec = torch.randn(NEURONS, NEURONS, generator=g, dtype=dtype)
        layer = RECURRENT[model](
            INPUTS, NEURONS, p, input_weights=w_in, recurrent_weights=w_rec, autapses=True, record_states=True
        )
        z, states = layer(xs)
        zero = torch.zeros(BATCH, NEURONS, dtype=dtype)
        spike, v, i, a = zero, p.v_leak + zero, zero, zero
        spikes, expected = [], []
        for x in xs:
            spike, v, i, a = reference_tick(x @ w_in.T + spike @ w_rec.T, v, i, a, p, 0.001)
            spikes.append(spike)
            expected.append((v, i, a))
        assert 0.05 < z.mean() < 0.95
        assert torch.equal(z, torch.stack(spikes))
        assert torch.equal(states.z, z)
        for ours, theirs in zip(fields_of(states), zip(*expected, strict=True), strict=False):
            assert torch.equal(ours, torch.stack(theirs))

    @pytest.mark.parametrize("step", [lif_ex_feed_forward_step, lif_adex_feed_forward_step])
    def test_a_step_without_a_state_starts_from_zero(self, step):
        x = torch.tensor([1.0, 11.0])
        z, state = step(x)
        again, _ = step(x)
        assert z.tolist() == again.tolist() == [0.0, 1.0]
        # v = 0.1 · (0.5 e⁻² + x), above 1 for the second neuron
        torch.testing.assert_close(state.v, torch.tensor([0.1 * (0.5 * math.exp(-2) + 1), 0.0]))

    def test_a_spike_may_lower_the_membrane_by_the_threshold_instead(self):
        x, reset = torch.tensor([11.0, 21.0]), {"delta_T": torch.tensor(0.0), "reset_method": reset_subtract}
        _, ex = lif_ex_feed_forward_step(x, p=LIFExParameters(**reset))
        _, adex = lif_adex_feed_forward_step(x, p=LIFAdExParameters(**reset))
        torch.testing.assert_close(ex.v, torch.tensor([0.1, 1.1]))
        torch.testing.assert_close(adex.v, ex.v)

    def test_the_current_encoders_spike_reset_and_adapt(self):
        x, v, a = (np.array(values) for values in ([4.0, 11.0, -3.0], [0.5, 0.5, 0.9], [0.3, -0.2, 0.1]))
        potentials = {"v_leak": torch.tensor(0.125), "v_reset": torch.tensor(-0.25)}
        toward = 0.125 - v + 0.5 * np.exp((v - 1) / 0.5) + x
        z = np.array([0.0, 1.0, 0.0])
        ours = lif_ex_current_encoder(torch.tensor(x), torch.tensor(v), float64(LIFExParameters(**potentials)))
        np.testing.assert_allclose(ours[0], z)
        np.testing.assert_allclose(ours[1], np.where(z, -0.25, v + 0.1 * toward), rtol=1e-12)
        ours = lif_adex_current_encoder(*map(torch.tensor, (x, v, a)), float64(LIFAdExParameters(**potentials)))
        after = np.where(z, -0.25, v + 0.1 * (toward - a))
        np.testing.assert_allclose(ours[0], z)
        np.testing.assert_allclose(ours[1], after, rtol=1e-12)
        np.testing.assert_allclose(ours[2], 2 * (4 * (after - 0.125) - a) + 0.02 * z, rtol=1e-6)  # 0.02 is a float32

    @pytest.mark.parametrize(
        ("parameters", "expected"),
        [
            (LIFExParameters, {"delta_T": 0}),
            (
                LIFAdExParameters,
                {"adaptation_current": 0, "adaptation_spike": 0.01, "delta_T": 2, "tau_ada_inv": 0.01},
            ),
        ],
    )
    def test_biological_defaults(self, parameters, expected):
        bio = parameters.bio_default()
        expected = expected | {"tau_syn_inv": 0.5, "tau_mem_inv": 0.1, "v_leak": -70, "v_th": -55, "v_reset": -70}
        assert {name: round(float(getattr(bio, name)), 6) for name in expected} == expected

    @models
    def test_a_biological_neuron_rests_without_and_spikes_with_a_current(self, model):
        layer = LAYER[model](PARAMETERS[model].bio_default(), dt=0.1)
        current = torch.tensor([0.0, 0.7, 0.8]).expand(3000, 3)  # a synapse turns them into 20 times as much
        z, state = layer(current)
        # below and above the rheobase, v_th - v_leak - Δ_T: 15 mV, and 13 mV in AdEx
        expected = [False, model == "LIFAdEx", True]
        assert z.any(0).tolist() == expected
        assert state.v[0].item() == pytest.approx(-70, abs=2e-2)  # 2 e^{-7.5} = 1 µV above rest


class TestTheOnsetOfASpike:
    def test_a_neuron_spikes_above_the_rheobase_and_not_below(self):
        """The smallest current that makes it spike is v_th - v_leak - Δ_T (Fourcaud-Trocmé et al. 2003)."""
        p = LIFExParameters(delta_T=torch.tensor([0.0, 0.2, 0.5]), v_leak=torch.tensor(-0.3))
        rheobase = 1.0 + 0.3 - p.delta_T
        for excess, spikes in ((-0.02, False), (0.02, True)):
            v, spiked = torch.full((3,), -0.3), torch.zeros(3)
            for _ in range(1500):
                z, v = lif_ex_current_encoder(rheobase + excess, v, p)
                spiked = spiked + z
            assert (spiked > 0).tolist() == [spikes] * 3

    @models
    def test_euler_converges_to_the_differential_equation(self, model):
        """Against Runge-Kutta of 4th order with steps of 10 µs, up to a potential that rises ever faster."""
        d, v_th, tau_m, tau_s = 0.5, 1.0, 100.0, 200.0
        c, tau_a = (4.0, 20.0) if model == "LIFAdEx" else (0.0, 0.0)

        def slope(y):
            v, i, a = y
            dv = tau_m * (-v + d * math.exp((v - v_th) / d) + i - a)
            return np.array([dv, -tau_s * i, tau_a * (c * v - a)])

        i_start = 3.6 if model == "LIFAdEx" else 3.2
        y, h, length = np.array([0.0, i_start, 0.0]), 1e-5, 0.012
        for _ in range(round(length / h)):
            k1 = slope(y)
            k2 = slope(y + h / 2 * k1)
            k3 = slope(y + h / 2 * k2)
            k4 = slope(y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        assert 0.5 < y[0] < 1.0

        p = float64(PARAMETERS[model](**({"tau_ada_inv": torch.tensor(tau_a)} if model == "LIFAdEx" else {})))
        errors = []
        for dt in (1e-4, 5e-5):
            layer = LAYER[model](p, dt=dt)
            zeros = layer.state_type(*(torch.zeros(1, dtype=torch.float64) for _ in layer.state_type._fields))
            start = zeros._replace(i=torch.tensor([i_start], dtype=torch.float64))
            z, state = layer(torch.zeros(round(length / dt), 1, dtype=torch.float64), start)
            assert not z.any()
            errors.append([abs(float(ours) - theirs) for ours, theirs in zip(fields_of(state), y, strict=False)])
        assert max(errors[1]) < 0.01
        for coarse, fine in zip(*errors, strict=True):
            assert coarse / fine == pytest.approx(2, abs=0.15)  # an error of first order halves with the step

    def test_the_exponential_current_has_the_derivatives_of_its_formula(self):
        g = torch.Generator().manual_seed(4)
        v, v_th, width = (torch.rand(6, generator=g, dtype=torch.float64) + shift for shift in (0.0, 0.5, 0.2))
        inputs = [tensor.requires_grad_() for tensor in (v, v_th, width)]
        assert torch.autograd.gradcheck(exponential_current, inputs)
        expected = width.detach() * torch.exp((v - v_th).detach() / width.detach())
        torch.testing.assert_close(exponential_current(v, v_th, width).detach(), expected, rtol=1e-14, atol=0)


class TestNoOnset:
    """Δ_T = 0: the exponential current is 0, also where the formula divides by zero or overflows."""

    @dtypes
    def test_makes_the_neuron_a_leaky_integrate_and_fire_neuron(self, dtype):
        x = 2 * torch.rand(TICKS, NEURONS, generator=torch.Generator().manual_seed(5), dtype=dtype)
        z, state = LIFEx(LIFExParameters(delta_T=torch.tensor(0.0, dtype=dtype)))(x)
        expected, last = LIF()(x)
        assert 0 < z.mean() < 1
        assert torch.equal(z, expected)
        assert torch.equal(state.v, last.v)
        assert torch.equal(state.i, last.i)

    def test_makes_the_membrane_decay_geometrically(self):
        state = LIFExFeedForwardState(v=torch.tensor([0.9, -3.0], dtype=torch.float64), i=torch.zeros(2))
        p = LIFExParameters(delta_T=torch.tensor(0.0))
        _, states = LIFEx(p, record_states=True)(torch.zeros(40, 2, dtype=torch.float64), state)
        expected = np.outer((1 - 0.1) ** np.arange(1, 41), [0.9, -3.0])
        np.testing.assert_allclose(states.v.numpy(), expected, rtol=1e-6)  # 0.1 is τ⁻¹ in float32 times dt

    def test_may_hold_for_some_neurons_and_not_for_others(self):
        x = 1.5 * torch.rand(TICKS, 4, generator=torch.Generator().manual_seed(6))
        mixed = torch.tensor([0.0, 0.5, 0.0, 0.25])
        z, state = LIFEx(LIFExParameters(delta_T=mixed))(x)
        for neuron, width in enumerate(mixed):
            alone, last = LIFEx(LIFExParameters(delta_T=width))(x[:, neuron])
            assert 0 < alone.mean() < 1
            assert torch.equal(z[:, neuron], alone)
            assert torch.equal(state.v[neuron], last.v)

    def test_is_no_current_below_at_or_far_above_the_threshold(self):
        v = torch.tensor([-1e30, 0.0, 1.0, 2.0, 1e30])
        assert exponential_current(v, torch.tensor(1.0), torch.tensor(0.0)).tolist() == [0.0] * 5
        assert exponential_current(v, torch.tensor(1.0), 0.0).tolist() == [0.0] * 5

    def test_leaves_all_gradients_finite(self):
        v = torch.tensor([-1e30, 0.0, 1.0, 2.0, 0.0], requires_grad=True)
        width = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.5], requires_grad=True)
        exponential_current(v, torch.tensor(1.0), width).sum().backward()
        assert v.grad.tolist() == [0, 0, 0, 0, pytest.approx(math.exp(-2))]
        # d/dΔ (Δ e^{(v - v_th)/Δ}) = e^{(v - v_th)/Δ} (1 - (v - v_th)/Δ); its limit at 0 is 0 below the threshold
        assert width.grad.tolist() == [0, 0, 0, 0, pytest.approx(3 * math.exp(-2))]

    @models
    def test_can_be_trained_through(self, model):
        p = PARAMETERS[model](delta_T=torch.nn.Parameter(torch.tensor([0.0, 0.5, 0.0])))
        layer, x = LAYER[model](p), torch.full((TICKS, 3), 0.6, requires_grad=True)
        z, _ = layer(x)
        z.sum().backward()
        assert z.any(0).all()
        assert x.grad.isfinite().all()
        assert x.grad.any(0).all()
        assert layer.p.delta_T.grad.isfinite().all()
        assert layer.p.delta_T.grad[1] != 0

    def test_a_width_may_be_a_python_number(self):
        x = torch.tensor([1.0, 9.0])
        number, tensor = LIFExParameters(delta_T=0.5), LIFExParameters(delta_T=torch.tensor(0.5))
        assert torch.equal(lif_ex_feed_forward_step(x, p=number)[1].v, lif_ex_feed_forward_step(x, p=tensor)[1].v)


class TestAdaptation:
    def test_a_subthreshold_current_leads_to_the_fixed_point_of_the_linear_system(self):
        """v* - v_leak = j / (1 + c_a) and a* = c_a (v* - v_leak): the onset of width 0.02 is e^{-25} there."""
        c_a, x, v_leak = torch.tensor([0.0, 1.0, 4.0], dtype=torch.float64), 0.1, -0.1
        p = LIFAdExParameters(
            adaptation_current=c_a,
            delta_T=torch.tensor(0.02),
            tau_ada_inv=torch.tensor(20.0),
            v_leak=torch.tensor(v_leak, dtype=torch.float64),
        )
        z, state = LIFAdEx(p)(torch.full((1500, 3), x, dtype=torch.float64))
        current = x / 0.2  # in equilibrium with the synapse's decay by a fifth a tick
        assert not z.any()
        torch.testing.assert_close(state.v - v_leak, current / (1 + c_a), rtol=1e-5, atol=0)
        torch.testing.assert_close(state.a, c_a * current / (1 + c_a), rtol=1e-5, atol=1e-12)

    def test_a_spike_raises_it_by_a_fixed_amount(self):
        p = LIFAdExParameters(adaptation_spike=torch.tensor(0.25))
        state = LIFAdExFeedForwardState(v=torch.tensor([0.5, 0.5]), i=torch.zeros(2), a=torch.tensor([0.1, 0.1]))
        z, state = lif_adex_feed_forward_step(torch.tensor([0.0, 20.0]), state, p)
        assert z.tolist() == [0.0, 1.0]
        # a + dt τa⁻¹ (c_a v - a) from the potential before the tick, then the jump
        silent = 0.1 + 0.001 * 2 * (4 * 0.5 - 0.1)
        torch.testing.assert_close(state.a, torch.tensor([silent, silent + 0.25]))

    def test_intervals_between_spikes_grow_to_a_steady_state(self):
        jump, rate = 0.12, 10.0
        p = LIFAdExParameters(
            adaptation_current=torch.tensor(0.0),
            adaptation_spike=torch.tensor(jump),
            tau_ada_inv=torch.tensor(rate),
            delta_T=torch.tensor(0.2),
        )
        z, states = LIFAdEx(p, record_states=True)(torch.full((1200, 1), 0.5, dtype=torch.float64))
        spikes = z[:, 0].nonzero()[:, 0]
        intervals = spikes.diff()
        assert (intervals.diff() >= 0).all()
        assert intervals[-1] > 1.5 * intervals[0]
        assert intervals[-20:].unique().numel() == 1
        # In the steady state a spike gives the adaptation what it loses in an interval.
        peak = jump / (1 - (1 - 0.001 * rate) ** int(intervals[-1]))
        assert states.a[spikes[-1], 0].item() == pytest.approx(peak, rel=1e-4)

    def test_without_adaptation_intervals_stay_as_they_are(self):
        p = LIFAdExParameters(adaptation_current=torch.tensor(0.0), adaptation_spike=torch.tensor(0.0))
        z, _ = LIFAdEx(p)(torch.full((600, 1), 0.5))
        expected, _ = LIFEx()(torch.full((600, 1), 0.5))
        intervals = z[100:, 0].nonzero()[:, 0].diff()
        assert intervals.unique().numel() == 1
        assert torch.equal(z, expected)


class TestGradientsThroughTheReset:
    """A spike's gradient reaches v' through the reset in both models, also in their recurrent steps."""

    u, surrogate = 1.1, 1 / (100 * 0.1 + 1) ** 2

    @staticmethod
    def slope(step, state):
        x = torch.tensor([[11.0]], requires_grad=True)
        step(x, state)[1].v.sum().backward()
        return x.grad.item()

    @pytest.mark.parametrize("recurrent", [False, True])
    @models
    def test_is_the_surrogates(self, model, recurrent):
        zero, one = torch.zeros(1, 1), torch.ones(1, 1)
        p = PARAMETERS[model](delta_T=torch.tensor(0.0))
        if recurrent:
            step, state_type = {"LIFEx": (lif_ex_step, LIFExState), "LIFAdEx": (lif_adex_step, LIFAdExState)}[model]
            slope = self.slope(lambda x, s: step(x, s, one, zero, p), state_type(*[zero] * len(state_type._fields)))
        else:
            step, state = {
                "LIFEx": (lif_ex_feed_forward_step, LIFExFeedForwardState()),
                "LIFAdEx": (lif_adex_feed_forward_step, LIFAdExFeedForwardState()),
            }[model]
            slope = self.slope(lambda x, s: step(x, s, p), state)
        assert slope == pytest.approx(-self.u * self.surrogate * 0.1, rel=1e-4)  # z = 1: only the spike's share


class TestModules:
    @models
    def test_one_tick_at_a_time_is_all_at_once(self, model):
        x = 4 * torch.rand(20, BATCH, INPUTS, generator=torch.Generator().manual_seed(7))
        layer = RECURRENT[model](INPUTS, NEURONS)
        weights = {"input_weights": layer.input_weights, "recurrent_weights": layer.recurrent_weights}
        pairs = [
            (LAYER[model](), CELL[model]()),
            (layer, RECURRENT_CELL[model](INPUTS, NEURONS, **weights)),
        ]
        for many, one_tick in pairs:
            z, last = many(x)
            state, outputs = None, []
            for tick in x:
                output, state = one_tick(tick, state)
                outputs.append(output)
            assert torch.equal(z, torch.stack(outputs))
            assert all(map(torch.equal, last, state))

    @models
    def test_a_batch_is_its_samples_one_by_one(self, model):
        x = torch.rand(TICKS, 5, NEURONS, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
        layer = LAYER[model](unusual(model))
        z, state = layer(x)
        assert 0 < z.mean() < 1
        for sample in range(5):
            alone, last = layer(x[:, sample])
            assert torch.equal(z[:, sample], alone)
            assert all(torch.equal(f[sample], g) for f, g in zip(state, last, strict=True))
        mapped, _ = torch.func.vmap(layer, in_dims=1, out_dims=(1, 0))(x)
        assert torch.equal(mapped, z)

    @models
    def test_neurons_start_at_rest(self, model):
        p = PARAMETERS[model](v_leak=torch.tensor(-0.5))
        x = torch.ones(4, BATCH, INPUTS)
        for module, shape in (
            (CELL[model](p), ()),
            (LAYER[model](p), (BATCH, INPUTS)),
            (RECURRENT[model](INPUTS, NEURONS, p), (BATCH, NEURONS)),
        ):
            state = module.initial_state(x[0] if module.axes[:1] != ("T",) else x)
            assert state.v.shape == shape
            assert (state.v == -0.5).all()
            assert state.v.requires_grad
            others = [field for name, field in state._asdict().items() if name != "v"]
            assert len(others) == len(state) - 1
            assert not any(field.any() for field in others)

    @models
    def test_learnt_parameters_are_saved_pickled_and_copied(self, model):
        learnt = {"delta_T": torch.nn.Parameter(torch.tensor(0.3)), "v_th": torch.nn.Parameter(torch.tensor(0.7))}
        layer, x = RECURRENT[model](INPUTS, NEURONS, PARAMETERS[model](**learnt)), torch.rand(TICKS, BATCH, INPUTS)
        assert {"neuron.delta_T", "neuron.v_th", "input_weights", "recurrent_weights"} == set(layer.state_dict())
        other = RECURRENT[model](
            INPUTS,
            NEURONS,
            PARAMETERS[model](delta_T=torch.nn.Parameter(torch.ones(())), v_th=torch.nn.Parameter(torch.ones(()))),
        )
        file = io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file))
        for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert torch.equal(twin(x)[0], layer(x)[0])
            assert twin.p.delta_T is not layer.p.delta_T

    def test_a_state_of_another_model_is_refused(self):
        state = LIFExFeedForwardState(v=torch.zeros(3), i=torch.zeros(3))
        with pytest.raises(TypeError, match=r"LIFAdExCell: argument state: expects LIFAdExFeedForwardState .* v, i, a"):
            LIFAdExCell()(torch.ones(3), state)

    def test_a_step_agrees_with_the_leaky_neurons_where_both_have_the_same_equation(self):
        """Far below the threshold the onset is nothing: LIFEx, LIFAdEx without adaptation and LIF are one neuron."""
        x, v = torch.tensor([0.1, 0.2], dtype=torch.float64), torch.tensor([-9.0, -8.0], dtype=torch.float64)
        narrow = torch.tensor(0.01)
        _, lif = lif_feed_forward_step(x, LIFFeedForwardState(v=v, i=x), LIFParameters())
        _, ex = lif_ex_feed_forward_step(x, LIFExFeedForwardState(v=v, i=x), LIFExParameters(delta_T=narrow))
        _, adex = lif_adex_feed_forward_step(
            x, LIFAdExFeedForwardState(v=v, i=x, a=0 * x), LIFAdExParameters(delta_T=narrow)
        )
        assert torch.equal(lif.v, ex.v)
        assert torch.equal(lif.v, adex.v)
