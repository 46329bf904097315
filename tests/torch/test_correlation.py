"""Correlation sensors against numpy, synapse by synapse, and neurons that have them against their parts."""

import copy

import numpy as np
import pytest
import torch

from norse.torch.functional.correlation_sensor import (
    CorrelationSensorParameters,
    CorrelationSensorState,
    correlation_based_update,
    correlation_sensor_step,
)
from norse.torch.functional.lif import LIFParameters, LIFState, lif_step
from norse.torch.functional.lif_correlation import LIFCorrelationParameters, LIFCorrelationState, lif_correlation_step
from norse.torch.module.lif_correlation import LIFCorrelation, LIFCorrelationRecurrent, LIFCorrelationRecurrentCell

DT = 0.002
ETA_P, ETA_M, TAU_AC_INV, TAU_C_INV = 0.3, 0.7, 30.0, 90.0
P = CorrelationSensorParameters(*(torch.tensor(x, dtype=torch.float64) for x in (ETA_P, ETA_M, TAU_AC_INV, TAU_C_INV)))


class Synapse:
    """One sensor, in words: what it does depends on which side spiked last."""

    def __init__(self, eta_p, eta_m):
        self.eta_p, self.eta_m = eta_p, eta_m
        self.last_was_post, self.correlation, self.anti_correlation = False, 0.0, 0.0

    def tick(self, pre, post):
        if self.last_was_post:
            self.anti_correlation -= DT * TAU_AC_INV * self.anti_correlation
        else:
            self.correlation -= DT * TAU_C_INV * self.correlation
        self.correlation += self.eta_p * pre
        self.anti_correlation += self.eta_m * post
        if pre != post:
            self.last_was_post = bool(post)


class Sensors:
    """Sensors between all pairs of neurons of a batch."""

    def __init__(self, *shape, eta_p=ETA_P, eta_m=ETA_M):
        self.synapses = np.array([Synapse(eta_p, eta_m) for _ in range(np.prod(shape))]).reshape(shape)

    def tick(self, z_pre, z_post):
        for b, pre, post in np.ndindex(self.synapses.shape):
            self.synapses[b, pre, post].tick(float(z_pre[b, pre]), float(z_post[b, post]))

    def assert_equal(self, state):
        for name, field in zip(("last_was_post", "correlation", "anti_correlation"), state, strict=True):
            expected = np.vectorize(lambda synapse, name=name: float(getattr(synapse, name)))(self.synapses)
            np.testing.assert_allclose(field.detach().numpy(), expected, rtol=1e-12, atol=1e-300)


def no_correlations(*shape):
    return CorrelationSensorState(*torch.zeros(3, *shape, dtype=torch.float64))


def spikes(*shape, seed=0, rate=0.2):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).double()


class TestCorrelationSensor:
    def test_every_synapse_sees_its_own_two_neurons(self):
        z_pre, z_post = spikes(60, 2, 3), spikes(60, 2, 4, seed=1)
        state, sensors = no_correlations(2, 3, 4), Sensors(2, 3, 4)
        for pre, post in zip(z_pre, z_post, strict=True):
            state = correlation_sensor_step(pre, post, state, P, DT)
            sensors.tick(pre, post)
            sensors.assert_equal(state)
        assert 0 < state.post_pre.sum() < state.post_pre.numel()

    @pytest.mark.parametrize("lag", [1, 5, 20])
    def test_the_trace_of_a_pair_is_the_exponential_of_its_lag_and_is_held_from_then_on(self, lag):
        def traces(z_pre, z_post):
            state = no_correlations(1, 1, 1)
            for tick in range(lag + 50):
                pre, post = (torch.full((1, 1), float(tick == at)).double() for at in (z_pre, z_post))
                state = correlation_sensor_step(pre, post, state, P, DT)
            return state.correlation_trace.item(), state.anti_correlation_trace.item()

        assert traces(0, lag)[0] == pytest.approx(ETA_P * (1 - DT * TAU_C_INV) ** lag, rel=1e-12)
        assert traces(lag, 0)[1] == pytest.approx(ETA_M * (1 - DT * TAU_AC_INV) ** lag, rel=1e-12)

    def test_sensors_are_vectorised_and_have_gradients(self):
        z_pre, z_post = spikes(4, 3), spikes(4, 2, seed=1)
        state = CorrelationSensorState(*spikes(3, 4, 3, 2, seed=2))
        batched = torch.func.vmap(correlation_sensor_step)(z_pre, z_post, state)
        for ours, expected in zip(batched, correlation_sensor_step(z_pre, z_post, state), strict=True):
            torch.testing.assert_close(ours, expected)
        slope = torch.func.grad(lambda z: correlation_sensor_step(z, z_post, state, P).correlation_trace.sum())(z_pre)
        torch.testing.assert_close(slope, torch.full_like(z_pre, 2 * ETA_P))  # each neuron has two synapses


class TestCorrelationBasedUpdate:
    @pytest.fixture
    def state(self):
        return CorrelationSensorState(*torch.rand(3, 2, 3, 2, generator=torch.Generator().manual_seed(0)))

    def test_weights_move_by_what_the_rule_makes_of_all_traces(self, state):
        rule, w = torch.nn.Linear(24, 6), torch.randn(2, 3)
        a, b = rule.weight.detach().numpy(), rule.bias.detach().numpy()
        seen = np.concatenate([trace.numpy().ravel() for trace in state[1:]])
        expected = w.numpy() + 0.1 * (a @ seen + b).reshape(2, 3)
        np.testing.assert_allclose(correlation_based_update(50, rule, w, state, 0.1, 25).numpy(), expected, rtol=1e-5)

    def test_an_update_resets_the_traces_but_not_the_order_of_spikes(self, state):
        order = state.post_pre.clone()
        correlation_based_update(0, torch.nn.Linear(24, 6), torch.zeros(2, 3), state, 0.1, 1)
        assert torch.equal(state.post_pre, order)
        assert state.correlation_trace.count_nonzero() == state.anti_correlation_trace.count_nonzero() == 0

    def test_between_updates_nothing_happens(self, state):
        w, before = torch.randn(2, 3), copy.deepcopy(state)
        for ts in (1, 24, 26):
            assert correlation_based_update(ts, torch.nn.Linear(24, 6), w, state, 0.1, 25) is w
        assert all(map(torch.equal, state, before))

    def test_weights_get_a_gradient_and_the_rule_does_not(self, state):
        rule, w = torch.nn.Linear(24, 6), torch.randn(2, 3, requires_grad=True)
        correlation_based_update(0, rule, w, state, 0.1, 1).sum().backward()
        assert torch.equal(w.grad, torch.ones(2, 3))
        assert rule.weight.grad is None

    @pytest.mark.parametrize(
        ("weights", "outputs", "frequency", "message"),
        [
            ((2, 3), 6, 0, "ts_frequency: expects at least 1, got 0"),
            ((3, 2), 6, 1, r"weights: expects shape \[post, pre\] .* \[2, 3, 2\], got \[3, 2\]"),
            ((2, 3), 5, 1, r"linear_update: expects to return 6 numbers, .*, got shape \[5\]"),
        ],
    )
    def test_what_does_not_fit_is_named_and_resets_nothing(self, state, weights, outputs, frequency, message):
        with pytest.raises(ValueError, match=f"correlation_based_update: argument {message}"):
            correlation_based_update(0, torch.nn.Linear(24, outputs), torch.zeros(weights), state, 0.1, frequency)
        assert state.correlation_trace.count_nonzero() > 0


class TestLIFCorrelation:
    p = LIFCorrelationParameters(
        lif_parameters=LIFParameters(v_leak=torch.tensor(0.25)),
        input_correlation_parameters=P,
        recurrent_correlation_parameters=P._replace(eta_p=P.eta_m, eta_m=P.eta_p),
    )
    w_in = 3 * torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    w_rec = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).fill_diagonal_(0)
    x = spikes(40, 2, 3, seed=4, rate=0.5)

    def test_neurons_are_lif_neurons_and_synapses_see_what_arrives_and_what_leaves(self):
        zeros = torch.zeros(2, 4).double()
        lif = LIFState(zeros, zeros + 0.25, zeros)
        at_input, at_recurrent = Sensors(2, 3, 4), Sensors(2, 4, 4, eta_p=ETA_M, eta_m=ETA_P)
        neurons, state, count = LIFCorrelation(3, 4, self.p, dt=DT), None, 0.0
        for x in self.x:
            z, state = neurons(x, self.w_in, self.w_rec, state)
            arriving = lif.z
            expected, lif = lif_step(x, lif, self.w_in, self.w_rec, self.p.lif_parameters, DT)
            at_input.tick(x, expected)
            at_recurrent.tick(arriving, expected)
            assert torch.equal(z, expected)
            assert all(map(torch.equal, state.lif_state, lif))
            at_input.assert_equal(state.input_correlation_state)
            at_recurrent.assert_equal(state.recurrent_correlation_state)
            count += z.sum().item()
        assert 20 < count < 40 * 2 * 4

    def test_all_forms_agree(self):
        state = None
        neurons = LIFCorrelation(3, 4, self.p, dt=DT)
        for x in self.x:
            z, state = neurons(x, self.w_in, self.w_rec, state)
        weights = {"input_weights": self.w_in, "recurrent_weights": self.w_rec}
        cell = LIFCorrelationRecurrentCell(3, 4, self.p, dt=DT, **weights)
        of_cell = None
        for x in self.x:
            z_cell, of_cell = cell(x, of_cell)
        layer = LIFCorrelationRecurrent(3, 4, self.p, dt=DT, record_states=True, **weights)
        z_layer, of_layer = layer(self.x)
        assert torch.equal(z, z_cell)
        assert torch.equal(z, z_layer[-1])
        for part, of_the_cell, over_time in zip(state, of_cell, of_layer, strict=True):
            assert all(map(torch.equal, part, of_the_cell))
            assert all(torch.equal(a, b[-1]) for a, b in zip(part, over_time, strict=True))

    def test_a_state_can_be_moved_as_a_whole_and_given_to_a_layer(self):
        layer = LIFCorrelationRecurrent(3, 4)
        _, state = layer(self.x.float())
        moved = state.to(torch.float64)
        assert moved.input_correlation_state.correlation_trace.dtype == torch.float64
        halves = layer(self.x[20:].float(), layer(self.x[:20].float())[1])[1]
        torch.testing.assert_close(halves.input_correlation_state, state.input_correlation_state)

    def test_neurons_start_at_rest_with_a_gradient_and_the_inputs_dtype(self):
        lif, at_input, at_recurrent = LIFCorrelation(3, 4, self.p).initial_state(self.x[0])
        assert lif.v.tolist() == [[0.25] * 4] * 2
        assert lif.v.requires_grad
        assert at_input.post_pre.shape == (2, 3, 4)
        assert at_recurrent.post_pre.shape == (2, 4, 4)
        assert {field.dtype for part in (lif, at_input, at_recurrent) for field in part} == {torch.float64}

    def test_weights_learn_from_correlations_and_from_gradients(self):
        w_in = self.w_in.clone().requires_grad_()
        neurons, state = LIFCorrelation(3, 4, self.p, dt=DT), None
        for x in self.x[:10]:
            z, state = neurons(x, w_in, self.w_rec, state)
        z.sum().backward()
        assert w_in.grad.abs().sum() > 0

    def test_parameters_move_and_learn_with_the_module(self):
        v_th = torch.nn.Parameter(torch.tensor(2.0))
        neurons = LIFCorrelation(3, 4, LIFCorrelationParameters(LIFParameters(v_th=v_th)))
        assert [p.shape for p in neurons.parameters()] == [v_th.shape]
        assert neurons.double().p.input_correlation_parameters.tau_c_inv.dtype == torch.float64

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"dt": 0.0}, "dt: expects a time step above 0"),
            ({"p": p._replace(lif_parameters=LIFParameters(method="none"))}, "p.lif_parameters.method: expects one of"),
            (
                {"p": p._replace(input_correlation_parameters=P._replace(tau_c_inv=torch.tensor(-1.0)))},
                "p.input_correlation_parameters.tau_c_inv: expects an inverse time constant of at least 0",
            ),
        ],
    )
    @pytest.mark.parametrize("form", [LIFCorrelation, LIFCorrelationRecurrentCell, LIFCorrelationRecurrent])
    def test_parameters_that_no_neuron_can_have_are_refused(self, form, arguments, message):
        with pytest.raises(ValueError, match=f"{form.__name__}: argument {message}"):
            form(3, 4, **arguments)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"x": torch.ones(2, 5)}, r"input_tensor: expects shape \[2, 3\], got \[2, 5\]"),
            ({"w_in": torch.ones(3, 4)}, r"input_weights: expects shape \[4, 3\], got \[3, 4\]"),
            ({"w_rec": torch.ones(3, 3)}, r"recurrent_weights: expects shape \[4, 4\], got \[3, 3\]"),
        ],
    )
    def test_inputs_and_weights_of_other_sizes_are_refused(self, changed, message):
        fitting = {"x": torch.ones(2, 3), "w_in": torch.ones(4, 3), "w_rec": torch.ones(4, 4)}
        with pytest.raises(ValueError, match=f"LIFCorrelation: argument {message}"):
            LIFCorrelation(3, 4)(*(fitting | changed).values(), None)

    @pytest.mark.parametrize("form", ["LIFCorrelation", "LIFCorrelationRecurrentCell", "LIFCorrelationRecurrent"])
    def test_a_state_of_another_model_or_shape_is_refused(self, form):
        def call(state):
            x = self.x[0].float()
            if form == "LIFCorrelation":
                return LIFCorrelation(3, 4)(x, torch.ones(4, 3), torch.ones(4, 4), state)
            if form == "LIFCorrelationRecurrentCell":
                return LIFCorrelationRecurrentCell(3, 4)(x, state)
            return LIFCorrelationRecurrent(3, 4)(self.x.float(), state)

        zeros = torch.zeros(2, 4)
        lif, at_recurrent = LIFState(zeros, zeros, zeros), no_correlations(2, 4, 4)
        with pytest.raises(TypeError, match=f"{form}: argument state: expects LIFCorrelationState with fields"):
            call(lif)
        with pytest.raises(TypeError, match=r"argument state.input_correlation_state: expects CorrelationSensorState"):
            call(LIFCorrelationState(lif, lif, at_recurrent))
        with pytest.raises(ValueError, match=r"post_pre: expects a shape .*\[2, 3, 4\], got \[2, 4, 3\]"):
            call(LIFCorrelationState(lif, no_correlations(2, 4, 3), at_recurrent))

    def test_the_step_is_vectorised_over_networks(self):
        def step(x, w_in, w_rec, state):
            return lif_correlation_step(x, state, w_in, w_rec, self.p, DT)

        w_in, w_rec = self.w_in.repeat(2, 1, 1) * torch.tensor([1.0, 5.0])[:, None, None], self.w_rec.repeat(2, 1, 1)
        state = LIFCorrelation(3, 4, self.p, dt=DT).initial_state(self.x[0])
        z, _ = torch.func.vmap(step, in_dims=(None, 0, 0, None))(self.x[0], w_in, w_rec, state)
        assert torch.equal(z, torch.stack([step(self.x[0], a, b, state)[0] for a, b in zip(w_in, w_rec, strict=True)]))
