"""Neurons with a refractory period: their equations, how long they are silent, and their nested states."""

import copy
import io
import pickle

import pytest
import torch

from norse.torch.functional import lif_adex_refrac, lif_refrac
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, LIFState
from norse.torch.functional.lif_adex import LIFAdExFeedForwardState, LIFAdExParameters, LIFAdExState
from norse.torch.functional.lif_adex_refrac import (
    LIFAdExRefracFeedForwardState,
    LIFAdExRefracParameters,
    LIFAdExRefracState,
    lif_adex_refrac_feed_forward_step,
    lif_adex_refrac_step,
)
from norse.torch.functional.lif_refrac import (
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    LIFRefracState,
    lif_refrac_feed_forward_step,
    lif_refrac_step,
)
from norse.torch.module.lif import LIF, LIFRecurrent
from norse.torch.module.lif_adex import LIFAdEx, LIFAdExRecurrent
from norse.torch.module.lif_adex_refrac import (
    LIFAdExRefrac,
    LIFAdExRefracCell,
    LIFAdExRefracRecurrent,
    LIFAdExRefracRecurrentCell,
)
from norse.torch.module.lif_refrac import LIFRefrac, LIFRefracCell, LIFRefracRecurrent, LIFRefracRecurrentCell

TICKS, BATCH, INPUTS, NEURONS = 80, 2, 3, 7

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
models = pytest.mark.parametrize("model", ["LIFRefrac", "LIFAdExRefrac"])

INNER = {"LIFRefrac": LIFParameters, "LIFAdExRefrac": LIFAdExParameters}
PARAMETERS = {"LIFRefrac": LIFRefracParameters, "LIFAdExRefrac": LIFAdExRefracParameters}
LAYER = {"LIFRefrac": LIFRefrac, "LIFAdExRefrac": LIFAdExRefrac}
CELL = {"LIFRefrac": LIFRefracCell, "LIFAdExRefrac": LIFAdExRefracCell}
RECURRENT = {"LIFRefrac": LIFRefracRecurrent, "LIFAdExRefrac": LIFAdExRefracRecurrent}
RECURRENT_CELL = {"LIFRefrac": LIFRefracRecurrentCell, "LIFAdExRefrac": LIFAdExRefracRecurrentCell}
WITHOUT = {
    "LIFRefrac": (LIF, LIFRecurrent),
    "LIFAdExRefrac": (LIFAdEx, LIFAdExRecurrent),
}
"""The same neurons without a refractory period."""


def unusual(model, dtype=torch.float64):
    """Parameters of every neuron's own, none of them a default."""
    g = torch.Generator().manual_seed(1)

    def between(low, high):
        return low + (high - low) * torch.rand(NEURONS, generator=g, dtype=dtype)

    shared = {
        "tau_syn_inv": between(100, 250),
        "tau_mem_inv": between(50, 150),
        "v_leak": between(-0.2, 0.2),
        "v_th": between(0.6, 1.2),
        "v_reset": between(-0.5, 0.0),
    }
    adaptive = {
        "adaptation_current": between(1, 6),
        "adaptation_spike": between(0.05, 0.5),
        "tau_ada_inv": between(2, 40),
        "delta_T": between(0.1, 0.6),
    }
    inner = INNER[model](**shared, **(adaptive if model == "LIFAdExRefrac" else {}))
    return PARAMETERS[model](inner, rho_reset=torch.arange(NEURONS).to(dtype))


def reference_tick(x, v, i, a, rho, p, rho_reset, dt):
    """The equations in their published order; a neuron without adaptation has a = 0 and no exponential term."""
    j = i + x
    inside = (p.v_leak - v) + j
    if hasattr(p, "delta_T"):
        inside = (p.v_leak - v) + p.delta_T * torch.exp((v - p.v_th) / p.delta_T) + j - a
    u = v + dt * p.tau_mem_inv * inside
    i = j + (-dt * p.tau_syn_inv * j)
    spike = (u > p.v_th).to(u.dtype)
    if hasattr(p, "delta_T"):
        a = a + dt * p.tau_ada_inv * (p.adaptation_current * (v - p.v_leak) - a)
        a = a + spike * p.adaptation_spike
    reset = (1 - spike) * u + spike * p.v_reset
    m = (rho > 0).to(u.dtype)
    z = (1 - m) * spike
    rho = (1 - z) * torch.clamp(rho - m, min=0) + z * rho_reset
    return z, (1 - m) * reset + m * v, i, a, rho


def fields_of(state):
    """(v, i, a or nothing, rho) of a nested state with or without z."""
    inner = state[0]
    return [inner.v, inner.i, getattr(inner, "a", None), state.rho]


def leaves(state):
    return [*state[0], state.rho]


class TestEquations:
    @dtypes
    @models
    def test_a_layer_is_its_equations_bit_for_bit(self, model, dtype):
        p, dt = unusual(model, dtype), 0.002
        xs = torch.randn(TICKS, BATCH, NEURONS, generator=torch.Generator().manual_seed(2), dtype=dtype) * 2 + 0.8
        z, states = LAYER[model](p, dt=dt, record_states=True)(xs)
        zero = torch.zeros_like(xs[0])
        v, i, a, rho = p[0].v_leak + zero, zero, zero, zero
        spikes, expected = [], []
        for x in xs:
            spike, v, i, a, rho = reference_tick(x, v, i, a, rho, p[0], p.rho_reset, dt)
            spikes.append(spike)
            expected.append((v, i, a, rho))
        assert 0.05 < z.mean() < 0.95
        assert torch.equal(z, torch.stack(spikes))
        for ours, theirs in zip(fields_of(states), zip(*expected, strict=True), strict=True):
            assert ours is None or ours.dtype == dtype
            assert ours is None or torch.equal(ours, torch.stack(theirs))

    @dtypes
    @models
    def test_a_recurrent_layer_feeds_back_the_spikes_that_were_let_through(self, model, dtype):
        p, g = unusual(model, dtype), torch.Generator().manual_seed(3)
        xs = torch.rand(TICKS, BATCH, INPUTS, generator=g, dtype=dtype)
        w_in = torch.randn(NEURONS, INPUTS, generator=g, dtype=dtype) + 1
        w_rec = torch.randn(NEURONS, NEURONS, generator=g, dtype=dtype)
        layer = RECURRENT[model](
            INPUTS, NEURONS, p, input_weights=w_in, recurrent_weights=w_rec, autapses=True, record_states=True
        )
        z, states = layer(xs)
        zero = torch.zeros(BATCH, NEURONS, dtype=dtype)
        spike, v, i, a, rho = zero, p[0].v_leak + zero, zero, zero, zero
        spikes, expected = [], []
        for x in xs:
            spike, v, i, a, rho = reference_tick(x @ w_in.T + spike @ w_rec.T, v, i, a, rho, p[0], p.rho_reset, 0.001)
            spikes.append(spike)
            expected.append((v, i, a, rho))
        assert 0.02 < z.mean() < 0.95
        assert torch.equal(z, torch.stack(spikes))
        assert torch.equal(states[0].z, z)
        for ours, theirs in zip(fields_of(states), zip(*expected, strict=True), strict=True):
            assert ours is None or torch.equal(ours, torch.stack(theirs))

    @pytest.mark.parametrize(
        ("module", "state"),
        [
            (lif_refrac, LIFRefracFeedForwardState(LIFFeedForwardState(v=torch.zeros(1), i=torch.zeros(1)), None)),
            (lif_adex_refrac, LIFAdExRefracFeedForwardState(LIFAdExFeedForwardState(v=torch.zeros(1)), None)),
        ],
    )
    def test_the_update_gives_potential_spikes_and_what_is_left_of_the_period(self, module, state):
        inner = state[0]._replace(v=torch.tensor([0.1, 0.2, 0.3, 0.4]))
        state = state._replace(rho=torch.tensor([0.0, 0.0, 3.0, 0.5]), **{state._fields[0]: inner})
        z, v = torch.tensor([0.0, 1.0, 1.0, 0.0]), torch.tensor([0.7, 0.0, 0.0, 0.9])
        v, z, rho = module.compute_refractory_update(state, z, v)
        assert v.tolist() == pytest.approx([0.7, 0.0, 0.3, 0.4])
        assert z.tolist() == [0, 1, 0, 0]
        assert rho.tolist() == [0, 5, 2, 0]


class TestTheRefractoryPeriod:
    @pytest.mark.parametrize(("length", "silent"), [(0.0, 0), (1.0, 1), (2.5, 3), (5.0, 5)])
    @models
    def test_a_neuron_under_strong_drive_is_silent_for_exactly_that_many_ticks(self, model, length, silent):
        """Each tick takes 1 from ρ; the neuron spikes again in the first tick that finds ρ = 0."""
        layer = LAYER[model](PARAMETERS[model](rho_reset=torch.tensor(length)), record_states=True)
        z, states = layer(torch.full((20, 1), 50.0))
        expected = [float(tick % (silent + 1) == 0) for tick in range(20)]
        assert z[:, 0].tolist() == expected
        left = [max(length - tick % (silent + 1), 0.0) for tick in range(20)]
        assert states.rho[:, 0].tolist() == left

    @models
    def test_each_neuron_may_have_its_own(self, model):
        layer = LAYER[model](PARAMETERS[model](rho_reset=torch.tensor([1.0, 3.0])))
        z, _ = layer(torch.full((8, 2), 50.0))
        assert z.T.tolist() == [[1, 0, 1, 0, 1, 0, 1, 0], [1, 0, 0, 0, 1, 0, 0, 0]]

    @models
    def test_of_no_tick_is_none(self, model):
        """Without it, all is as in the neurons that have none, bit for bit."""
        plain, plain_recurrent = WITHOUT[model]
        p = PARAMETERS[model](rho_reset=torch.tensor(0.0))
        x = 2 * torch.rand(TICKS, BATCH, INPUTS, generator=torch.Generator().manual_seed(4))
        recurrent = RECURRENT[model](INPUTS, NEURONS, p)
        weights = {"input_weights": recurrent.input_weights, "recurrent_weights": recurrent.recurrent_weights}
        for ours, theirs in (
            (LAYER[model](p), plain()),
            (recurrent, plain_recurrent(INPUTS, NEURONS, **weights)),
        ):
            z, state = ours(x)
            expected, last = theirs(x)
            assert 0 < z.mean() < 1
            assert torch.equal(z, expected)
            assert all(map(torch.equal, state[0], last))

    @models
    def test_holds_the_potential_while_the_synapse_goes_on(self, model):
        cell = CELL[model](PARAMETERS[model](INNER[model](v_reset=torch.tensor(-0.5))))
        _, state = cell(torch.tensor([50.0]))
        potentials, currents = [], []
        for _ in range(7):
            _, state = cell(torch.zeros(1), state)
            potentials.append(state[0].v.item())
            currents.append(state[0].i.item())
        assert potentials[:5] == [-0.5] * 5
        assert potentials[5] > -0.5
        assert currents == pytest.approx([50 * 0.8 ** (tick + 2) for tick in range(7)], rel=1e-5)

    @models
    def test_may_be_under_way_at_the_start(self, model):
        layer = LAYER[model]()
        start = layer.initial_state(torch.zeros(9, 1))._replace(rho=torch.tensor([3.0]))
        z, _ = layer(torch.full((9, 1), 50.0), start)
        assert z[:, 0].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]

    def test_does_not_keep_the_adaptation_from_jumping(self):
        """The jump is that of the neuron without a refractory period: every tick whose drive is strong enough."""
        p = LIFAdExParameters(adaptation_current=torch.tensor(0.0), adaptation_spike=torch.tensor(0.5))
        layer = LIFAdExRefrac(LIFAdExRefracParameters(p), record_states=True)
        z, states = layer(torch.full((6, 1), 50.0))
        expected, a = [], 0.0
        for _ in range(6):
            a = a * (1 - 0.002) + 0.5
            expected.append(a)
        assert z[:, 0].tolist() == [1, 0, 0, 0, 0, 0]
        assert states.lif_adex.a[:, 0].tolist() == pytest.approx(expected, rel=1e-5)


class TestGradientsThroughTheReset:
    """Only lif_refrac_step detaches the spike there, because lif_step does."""

    @staticmethod
    def slope(step, state):
        x = torch.tensor([[11.0]], requires_grad=True)
        step(x, state)[1][0].v.sum().backward()
        return x.grad.item()

    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    through_the_spike = -1.1 / (100 * 0.1 + 1) ** 2 * 0.1  # -u σ'(u - v_th) du/dx with u = 1.1

    def test_is_none_in_recurrent_lif_neurons(self):
        state = LIFRefracState(LIFState(self.zero, self.zero, self.zero), self.zero)
        assert self.slope(lambda x, s: lif_refrac_step(x, s, self.one, self.zero), state) == 0.0

    def test_is_the_surrogates_in_lif_neurons(self):
        state = LIFRefracFeedForwardState(LIFFeedForwardState(self.zero, self.zero), self.zero)
        assert self.slope(lif_refrac_feed_forward_step, state) == pytest.approx(self.through_the_spike, rel=1e-4)

    def test_is_the_surrogates_in_adaptive_neurons(self):
        p = LIFAdExRefracParameters(LIFAdExParameters(delta_T=torch.tensor(0.0)))
        state = LIFAdExRefracFeedForwardState(LIFAdExFeedForwardState(), self.zero)
        slope = self.slope(lambda x, s: lif_adex_refrac_feed_forward_step(x, s, p), state)
        assert slope == pytest.approx(self.through_the_spike, rel=1e-4)
        recurrent = LIFAdExRefracState(LIFAdExState(self.zero, self.zero, self.zero, self.zero), self.zero)
        slope = self.slope(lambda x, s: lif_adex_refrac_step(x, s, self.one, self.zero, p), recurrent)
        assert slope == pytest.approx(self.through_the_spike, rel=1e-4)


class TestModules:
    @models
    def test_one_tick_at_a_time_is_all_at_once(self, model):
        x = 4 * torch.rand(20, BATCH, INPUTS, generator=torch.Generator().manual_seed(5))
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
            assert z.any()
            assert torch.equal(z, torch.stack(outputs))
            assert all(map(torch.equal, leaves(last), leaves(state)))

    @models
    def test_a_sequence_may_be_given_in_pieces(self, model):
        layer = RECURRENT[model](INPUTS, NEURONS)
        x = 4 * torch.rand(20, BATCH, INPUTS)
        whole, last = layer(x)
        first, state = layer(x[:7])
        second, state = layer(x[7:], state)
        assert torch.equal(whole, torch.cat([first, second]))
        assert all(map(torch.equal, leaves(last), leaves(state)))

    @models
    def test_a_batch_is_its_samples_one_by_one(self, model):
        x = 2 * torch.rand(TICKS, 5, NEURONS, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
        layer = LAYER[model](unusual(model))
        z, state = layer(x)
        assert 0 < z.mean() < 1
        for sample in range(5):
            alone, last = layer(x[:, sample])
            assert torch.equal(z[:, sample], alone)
            assert all(torch.equal(f[sample], g) for f, g in zip(leaves(state), leaves(last), strict=True))

    @models
    def test_recorded_states_are_nested_as_one_state_is(self, model):
        x = 2 * torch.rand(20, BATCH, NEURONS)
        z, states = RECURRENT[model](NEURONS, NEURONS, record_states=True)(x)
        assert type(states)._fields == (RECURRENT[model].state_type._fields[0], "rho")
        assert type(states[0]) is type(RECURRENT[model](NEURONS, NEURONS)(x)[1][0])
        assert all(field.shape == (20, BATCH, NEURONS) for field in leaves(states))
        assert torch.equal(states[0].z, z)

    @models
    def test_neurons_start_at_rest(self, model):
        p = PARAMETERS[model](INNER[model](v_leak=torch.tensor(-0.5)))
        x = torch.ones(4, BATCH, INPUTS)
        for module, shape in (
            (CELL[model](p), ()),
            (LAYER[model](p), (BATCH, INPUTS)),
            (RECURRENT[model](INPUTS, NEURONS, p), (BATCH, NEURONS)),
        ):
            inner, rho = module.initial_state(x[0] if module.axes[:1] != ("T",) else x)
            assert inner.v.shape == shape
            assert (inner.v == -0.5).all()
            assert inner.v.requires_grad
            assert not any(field.any() for name, field in inner._asdict().items() if name != "v")
            assert not rho.any()

    @models
    def test_nested_parameters_are_learnt(self, model):
        threshold = torch.nn.Parameter(torch.tensor(0.9))
        no_onset = {"delta_T": torch.tensor(0.0)} if model == "LIFAdExRefrac" else {}
        layer = LAYER[model](PARAMETERS[model](INNER[model](v_th=threshold, alpha=torch.tensor(2.0), **no_onset)))
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        z, _ = layer(torch.full((1, 1), 5.0))
        (-z.sum()).backward()
        optimizer.step()
        # u = 0.5, and dz/dv_th is the surrogate's -1 / (α |u - v_th| + 1)²
        assert threshold.item() == pytest.approx(0.9 - 0.1 / (2 * 0.4 + 1) ** 2)
        assert layer.p[0].v_th is threshold

    @models
    def test_nested_parameters_are_saved_pickled_and_copied(self, model):
        def build(v_th):
            inner = INNER[model](v_th=torch.nn.Parameter(torch.tensor(v_th)))
            return RECURRENT[model](INPUTS, NEURONS, PARAMETERS[model](inner, torch.nn.Parameter(torch.tensor(3.0))))

        layer, other, x = build(0.7), build(1.0), torch.rand(TICKS, BATCH, INPUTS)
        inner = PARAMETERS[model]._fields[0]
        saved = {f"neuron.{inner}.v_th", "neuron.rho_reset", "input_weights", "recurrent_weights"}
        assert set(layer.state_dict()) == saved
        file = io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file))
        z, _ = layer(x)
        assert z.any()
        for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert torch.equal(twin(x)[0], z)
            assert twin.p[0].v_th is not layer.p[0].v_th

    @models
    def test_a_module_and_its_states_can_be_float64(self, model):
        layer, x = LAYER[model]().double(), torch.rand(5, NEURONS)
        _, state = layer(x.double())
        assert all(field.dtype == torch.float64 for field in leaves(state))
        assert all(field.dtype == torch.float32 for field in leaves(state.float()))

    @models
    def test_backpropagation_through_time_can_be_cut_off_between_sequences(self, model):
        layer, x = LAYER[model](), torch.rand(5, NEURONS, requires_grad=True)
        _, state = layer(x)
        assert state.rho.requires_grad
        assert not any(field.requires_grad for field in leaves(state.detach()))


class TestBadInput:
    def test_a_state_of_a_neuron_without_a_refractory_period_is_refused(self):
        state = LIFFeedForwardState(v=torch.zeros(3), i=torch.zeros(3))
        expected = "LIFRefracCell: argument state: expects LIFRefracFeedForwardState with fields lif, rho, got LIFFeed"
        with pytest.raises(TypeError, match=expected):
            LIFRefracCell()(torch.ones(3), state)
        with pytest.raises(TypeError, match=r"LIFRefracRecurrentCell: .* expects LIFRefracState .* got LIFState"):
            LIFRefracRecurrentCell(3, 3)(torch.ones(3), LIFState(*(torch.zeros(3) for _ in range(3))))

    def test_a_nested_state_of_another_neuron_is_refused(self):
        state = LIFRefracFeedForwardState(LIFAdExFeedForwardState(), torch.zeros(3))
        with pytest.raises(TypeError, match=r"LIFRefrac: argument state.lif: expects LIFFeedForwardState .* v, i, a"):
            LIFRefrac()(torch.ones(2, 3), state)
        with pytest.raises(TypeError, match=r"argument state.lif: expects LIFFeedForwardState .* got Tensor"):
            LIFRefrac()(torch.ones(2, 3), LIFRefracFeedForwardState(torch.zeros(3), torch.zeros(3)))

    @models
    def test_a_nested_state_of_another_size_is_refused(self, model):
        layer = LAYER[model]()
        state = layer.initial_state(torch.ones(2, 4))
        with pytest.raises(
            ValueError, match=rf"{model}: argument state\.lif\w*\.v: .* broadcasts with \[3\], got \[4\]"
        ):
            layer(torch.ones(2, 3), state)

    @models
    def test_nested_parameters_are_checked(self, model):
        inner = PARAMETERS[model]._fields[0]
        with pytest.raises(ValueError, match=rf"argument p\.{inner}\.method: expects one of .* got 'supra'"):
            CELL[model](PARAMETERS[model](INNER[model](method="supra")))
        with pytest.raises(ValueError, match=rf"argument p\.{inner}\.tau_mem_inv: .* at least 0, got -1"):
            CELL[model](PARAMETERS[model](INNER[model](tau_mem_inv=torch.tensor(-1.0))))
