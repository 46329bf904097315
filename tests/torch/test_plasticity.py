"""Plastic synapses against closed forms and against numpy, written synapse by synapse."""

import copy
import pickle

import numpy as np
import pytest
import torch

from norse.torch.functional.stdp import STDPParameters, STDPState, stdp_step_conv2d, stdp_step_linear
from norse.torch.functional.stdp_sensor import STDPSensorParameters, STDPSensorState, stdp_sensor_step
from norse.torch.functional.tsodyks_makram import TsodyksMakramParameters, TsodyksMakramState, stp_step

DT = 0.001


def spikes(*shape, seed=0, rate=0.3):
    return (np.random.default_rng(seed).random(shape) < rate).astype(float)


def assert_equal(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-12, atol=1e-15)


def double(value):
    return torch.tensor(value, dtype=torch.float64)


class TestSTDP:
    TAU_PRE, TAU_POST, A_PRE, A_POST = 0.02, 0.04, 1.5, 0.5

    def parameters(self, **others):
        return STDPParameters(
            a_pre=double(self.A_PRE),
            a_post=double(self.A_POST),
            tau_pre_inv=double(1 / self.TAU_PRE),
            tau_post_inv=double(1 / self.TAU_POST),
            **others,
        )

    def change_of_a_pair(self, lag, dt=DT):
        """How one post spike `lag` ticks after one pre spike moves a weight, with η₊ = 2 and η₋ = 3."""
        p = self.parameters(eta_plus=2.0, eta_minus=3.0, hardbound=False)
        state, w = STDPState(torch.zeros(1, 1), torch.zeros(1, 1)), torch.zeros(1, 1, dtype=torch.float64)
        pre, post = max(-lag, 0), max(lag, 0)
        for tick in range(abs(lag) + 5):
            z_pre, z_post = (torch.full((1, 1), float(tick == at), dtype=torch.float64) for at in (pre, post))
            w, state = stdp_step_linear(z_pre, z_post, w, state, p, dt)
        return w.item()

    @pytest.mark.parametrize("lag", [1, 2, 7, 40])
    def test_a_post_spike_after_a_pre_spike_strengthens_by_the_decayed_trace(self, lag):
        k = DT / self.TAU_PRE
        assert self.change_of_a_pair(lag) == pytest.approx(2 * self.A_PRE * k * (1 - k) ** lag, rel=1e-12)

    @pytest.mark.parametrize("lag", [1, 2, 7, 40])
    def test_a_post_spike_before_a_pre_spike_weakens_by_the_decayed_trace(self, lag):
        k = DT / self.TAU_POST
        assert self.change_of_a_pair(-lag) == pytest.approx(-3 * self.A_POST * k * (1 - k) ** lag, rel=1e-12)

    def test_traces_are_updated_before_weights_so_spikes_of_one_tick_make_a_pair_in_both_orders(self):
        expected = DT * (2 * self.A_PRE / self.TAU_PRE - 3 * self.A_POST / self.TAU_POST)
        assert self.change_of_a_pair(0) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("time", [-0.05, -0.01, 0.01, 0.05])
    def test_the_window_becomes_exponential_with_smaller_steps(self, time):
        def relative_error(dt):
            change = self.change_of_a_pair(round(time / dt), dt) / dt
            if time > 0:
                return change / (2 * self.A_PRE / self.TAU_PRE * np.exp(-time / self.TAU_PRE)) - 1
            return change / (-3 * self.A_POST / self.TAU_POST * np.exp(time / self.TAU_POST)) - 1

        coarse, fine = relative_error(5e-4), relative_error(2.5e-4)
        assert abs(fine) < 0.02
        assert coarse / fine == pytest.approx(2, rel=0.1)  # explicit Euler is of first order

    @pytest.mark.parametrize("hardbound", [True, False])
    @pytest.mark.parametrize("algorithm", ["additive", "additive_step", "multiplicative_pow", "multiplicative_relu"])
    def test_a_linear_layer_is_its_synapses_one_by_one(self, algorithm, hardbound):
        w_min, w_max, mu, eta = -0.2, 0.7, 0.5, (0.9, 0.6)
        depends = {
            "additive": lambda room: 1.0,
            "additive_step": lambda room: float(room > 0),
            "multiplicative_pow": lambda room: room**mu,
            "multiplicative_relu": lambda room: max(room, 0.0),
        }[algorithm]
        p = self.parameters(
            w_min=w_min,
            w_max=double(w_max),
            eta_plus=eta[0],
            eta_minus=double(eta[1]),
            stdp_algorithm=algorithm,
            mu=mu,
            hardbound=hardbound,
        )
        # Beyond the bounds there is no root of what is left, so there weights start inside and, unbounded, stop soon.
        rooted = algorithm == "multiplicative_pow"
        ticks = 4 if rooted and not hardbound else 30
        z_pre, z_post = spikes(ticks, 3, 4, seed=1), spikes(ticks, 3, 2, seed=2)
        w = np.random.default_rng(3).uniform(0.1 if rooted else -0.4, 0.4 if rooted else 0.9, (2, 4))
        ours, state = torch.tensor(w), STDPState(torch.zeros(3, 4), torch.zeros(3, 2))
        t_pre, t_post = np.zeros((3, 4)), np.zeros((3, 2))
        bounded = 0
        for pre, post in zip(z_pre, z_post, strict=True):
            ours, state = stdp_step_linear(torch.tensor(pre), torch.tensor(post), ours, state, p, DT)
            t_pre += DT / self.TAU_PRE * (self.A_PRE * pre - t_pre)
            t_post += DT / self.TAU_POST * (self.A_POST * post - t_post)
            old = w.copy()
            for o, i in np.ndindex(w.shape):
                up = sum(post[b, o] * t_pre[b, i] for b in range(3))
                down = sum(t_post[b, o] * pre[b, i] for b in range(3))
                w[o, i] += eta[0] * depends(w_max - old[o, i]) * up - eta[1] * depends(old[o, i] - w_min) * down
            if hardbound:
                bounded += int(((w < w_min) | (w > w_max)).sum())
                w = w.clip(w_min, w_max)
            assert_equal(ours, w)
        assert_equal(state.t_pre, t_pre)
        assert_equal(state.t_post, t_post)
        assert bounded > 0 or rooted or not hardbound

    @pytest.mark.parametrize(
        ("stride", "padding", "dilation"),
        [(1, 0, 1), (2, 1, 1), (1, 2, 2), (3, 1, 2), ((2, 1), (0, 2), (1, 2)), ((4, 3), 0, 1)],
    )
    def test_a_convolution_is_its_synapses_one_by_one(self, stride, padding, dilation):
        p = self.parameters(
            eta_plus=0.4,
            eta_minus=0.3,
            stdp_algorithm="multiplicative_relu",
            convolutional=True,
            stride=stride,
            padding=padding,
            dilation=dilation,
        )
        w = np.random.default_rng(4).uniform(0.2, 0.8, (3, 2, 3, 2))
        shape = torch.nn.functional.conv2d(
            torch.zeros(2, 2, 8, 9), torch.zeros(3, 2, 3, 2), None, stride, padding, dilation
        )
        z_pre, z_post = spikes(4, 2, 2, 8, 9, seed=5), spikes(4, *shape.shape, seed=6)
        ours, state = torch.tensor(w), STDPState(torch.zeros(2, 2, 8, 9), torch.zeros(shape.shape))
        t_pre, t_post = np.zeros(z_pre.shape[1:]), np.zeros(z_post.shape[1:])
        (sh, sw), (ph, pw), (dh, dw) = (np.broadcast_to(g, 2) for g in (stride, padding, dilation))
        for pre, post in zip(z_pre, z_post, strict=True):
            ours, state = stdp_step_conv2d(torch.tensor(pre), torch.tensor(post), ours, state, p, DT)
            t_pre += DT / self.TAU_PRE * (self.A_PRE * pre - t_pre)
            t_post += DT / self.TAU_POST * (self.A_POST * post - t_post)
            up, down = np.zeros(w.shape), np.zeros(w.shape)
            for y, x in np.ndindex(post.shape[2:]):
                for i, j in np.ndindex(w.shape[2:]):
                    r, c = sh * y + dh * i - ph, sw * x + dw * j - pw
                    if 0 <= r < pre.shape[2] and 0 <= c < pre.shape[3]:
                        up[:, :, i, j] += np.einsum("bo,bc->oc", post[:, :, y, x], t_pre[:, :, r, c])
                        down[:, :, i, j] += np.einsum("bo,bc->oc", t_post[:, :, y, x], pre[:, :, r, c])
            w = (w + 0.4 * np.maximum(1 - w, 0) * up - 0.3 * np.maximum(w, 0) * down).clip(0, 1)
            assert_equal(ours, w)

    def test_a_convolution_over_single_pixels_is_a_linear_layer(self):
        z_pre, z_post, w = (
            torch.tensor(spikes(5, 3)),
            torch.tensor(spikes(5, 2, seed=1)),
            torch.full((2, 3), 0.5).double(),
        )
        p = self.parameters(eta_plus=1.0, eta_minus=0.5)
        linear, _ = stdp_step_linear(z_pre, z_post, w, STDPState(torch.zeros(5, 3), torch.zeros(5, 2)), p)
        pixel = (..., None, None)
        state = STDPState(torch.zeros(5, 3, 1, 1), torch.zeros(5, 2, 1, 1))
        conv, _ = stdp_step_conv2d(z_pre[pixel], z_post[pixel], w[pixel], state, p)
        torch.testing.assert_close(conv[..., 0, 0], linear)
        assert not torch.equal(linear, w)

    @pytest.mark.parametrize("as_bound", [float, torch.tensor])
    def test_hard_bounds_keep_weights_between_them_and_can_be_taken_away(self, as_bound):
        def outcome(z_pre, z_post, w, **others):
            p = STDPParameters(w_min=-1.0, w_max=as_bound(2.0), eta_plus=1e3, eta_minus=0.0, **others)
            return stdp_step_linear(z_pre, z_post, w, STDPState(torch.zeros(1, 1), torch.zeros(1, 1)), p)[0].item()

        one = torch.ones(1, 1)
        assert outcome(one, one, one) == 2.0
        assert outcome(one, one, one, hardbound=False) == pytest.approx(21.0)
        assert outcome(0 * one, one, -5 * one) == -1.0

    def test_the_state_object_is_updated_and_returned(self):
        state = STDPState(torch.zeros(1, 2), torch.zeros(1, 3))
        before = state.t_pre
        _, returned = stdp_step_linear(torch.ones(1, 2), torch.ones(1, 3), torch.zeros(3, 2), state)
        assert returned is state
        assert state.t_pre.tolist() == [pytest.approx([0.02, 0.02])]
        assert before.sum() == 0  # the old trace is another tensor's business

    def test_an_unknown_algorithm_is_refused_at_construction(self):
        with pytest.raises(ValueError, match=r"stdp_algorithm: expects one of additive, .*, got 'hebb'"):
            STDPParameters(stdp_algorithm="hebb")

    def test_parameters_can_be_copied_and_pickled(self):
        p = STDPParameters(eta_plus=0.25, stdp_algorithm="multiplicative_pow", mu=2.0)
        w = torch.tensor([0.0, 0.5, 1.0])
        for twin in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
            assert torch.equal(twin.A_plus(w), torch.tensor([0.25, 0.0625, 0.0]))

    def test_populations_of_layers_are_vectorised_and_learning_rates_have_gradients(self):
        z_pre, z_post = torch.tensor(spikes(6, 5, 3)), torch.tensor(spikes(6, 5, 2, seed=1))
        w = torch.full((6, 2, 3), 0.5).double()

        def step(z_pre, z_post, w, eta=0.1):
            state = STDPState(torch.zeros_like(z_pre), torch.zeros_like(z_post))
            return stdp_step_linear(z_pre, z_post, w, state, self.parameters(eta_plus=eta, eta_minus=0.2))[0]

        batched = torch.func.vmap(step)(z_pre, z_post, w)
        torch.testing.assert_close(batched, torch.stack([step(*one) for one in zip(z_pre, z_post, w, strict=True)]))
        slope = torch.func.grad(lambda eta: step(z_pre[0], z_post[0], w[0], eta).sum())(double(0.1))
        pairs = (z_post[0].sum(1) * z_pre[0].sum(1)).sum()  # of the same tick, the only ones
        torch.testing.assert_close(slope, pairs * self.A_PRE * DT / self.TAU_PRE)

    @pytest.mark.parametrize(
        ("z_pre", "z_post", "t_pre", "message"),
        [
            ((4, 2), (4, 2), (4, 2), r"z_pre: expects shape \[\*, 3\], got \[4, 2\]"),
            ((3,), (2,), (3,), r"z_pre: expects shape \[\*, 3\], got \[3\]"),
            ((4, 3), (1, 2), (4, 3), r"z_post: expects shape \[4, 2\], got \[1, 2\]"),
            ((4, 3), (4, 2), (5, 3), r"state_stdp.t_pre: expects a shape that broadcasts to \[4, 3\], got \[5, 3\]"),
        ],
    )
    def test_shapes_that_do_not_fit_are_named(self, z_pre, z_post, t_pre, message):
        state = STDPState(torch.zeros(t_pre), torch.zeros(1))
        with pytest.raises(ValueError, match=f"stdp_step_linear: argument {message}"):
            stdp_step_linear(torch.ones(z_pre), torch.ones(z_post), torch.ones(2, 3), state)

    def test_a_convolutions_output_must_have_its_size(self):
        state = STDPState(torch.zeros(1), torch.zeros(1))
        with pytest.raises(ValueError, match=r"z_post: expects shape \[1, 3, 4, 3\], got \[1, 3, 5, 5\]"):
            p = STDPParameters(padding=(1, 0), stride=2)
            stdp_step_conv2d(torch.ones(1, 2, 7, 7), torch.ones(1, 3, 5, 5), torch.ones(3, 2, 3, 3), state, p)


class TestSTDPSensor:
    def test_a_trace_is_the_sum_of_all_spikes_decayed_since(self):
        p = STDPSensorParameters(*(double(x) for x in (0.3, 0.7, 999.0, 30.0)))  # tau_ac_inv has no part in it
        z_pre, z_post = spikes(25, 2, 3), spikes(25, 2, 4, seed=1)
        state = STDPSensorState(torch.zeros(2, 3).double(), torch.zeros(2, 4).double())
        for pre, post in zip(torch.tensor(z_pre), torch.tensor(z_post), strict=True):
            state = stdp_sensor_step(pre, post, state, p, dt=0.002)
        decay = (1 - 0.002 * 30.0) ** np.arange(24, -1, -1)
        assert_equal(state.a_pre, 0.3 * np.einsum("t,tbn->bn", decay, z_pre))
        assert_equal(state.a_post, 0.7 * np.einsum("t,tbn->bn", decay, z_post))

    def test_the_sensors_traces_make_the_window_of_stdp(self):
        """w += z_post a_pre - a_post z_pre, as a user writes it, is stdp_step_linear with a dt τ⁻¹ = η."""
        k, w = DT * 20.0, torch.full((2, 3), 0.5).double()
        sensor = STDPSensorState(torch.zeros(1, 3).double(), torch.zeros(1, 2).double())
        p_sensor = STDPSensorParameters(double(k), double(k), double(0.0), double(20.0))
        p_stdp, state = (
            STDPParameters(eta_plus=1.0, eta_minus=1.0, hardbound=False),
            STDPState(*map(torch.zeros_like, sensor)),
        )
        p_stdp.tau_pre_inv = p_stdp.tau_post_inv = double(20.0)
        expected = w
        for pre, post in zip(torch.tensor(spikes(20, 1, 3)), torch.tensor(spikes(20, 1, 2, seed=1)), strict=True):
            sensor = stdp_sensor_step(pre, post, sensor, p_sensor)
            w = w + post.T @ sensor.a_pre - sensor.a_post.T @ pre
            expected, state = stdp_step_linear(pre, post, expected, state, p_stdp)
        torch.testing.assert_close(w, expected)
        assert not torch.equal(w, torch.full((2, 3), 0.5).double())


def released_by_a_regular_train(rate, p, dt, count):
    """What each of `count` spikes at `rate` Hz releases, from a rested synapse."""
    interval = round(1 / (rate * dt))
    state, released = TsodyksMakramState(u=double(0.0), x=double(1.0)), []
    for tick in range((count - 1) * interval + 1):
        y, state = stp_step(double(float(tick % interval == 0)), state, p, dt)
        if tick % interval == 0:
            released.append(y.item())
        else:
            assert y == 0
    return np.array(released)


class TestTsodyksMarkram:
    DEPRESSING = TsodyksMakramParameters(tau_f_inv=1 / 0.05, tau_d_inv=1 / 0.75, U=0.45)
    FACILITATING = TsodyksMakramParameters(tau_f_inv=1 / 0.75, tau_d_inv=1 / 0.05, U=0.15)

    @staticmethod
    def stationary(rate, p):
        """Markram, Wang, Tsodyks 1998: what a spike releases in the steady state of a regular train."""
        u = p.U / (1 - (1 - p.U) * np.exp(-p.tau_f_inv / rate))
        recovery = np.exp(-p.tau_d_inv / rate)
        return u * (1 - recovery) / (1 - (1 - u) * recovery)

    @pytest.mark.parametrize("p", [DEPRESSING, FACILITATING])
    @pytest.mark.parametrize("rate", [5, 20])
    def test_a_regular_train_reaches_the_closed_forms_steady_state(self, p, rate):
        count = 2 * rate + 20
        coarse, fine = (
            released_by_a_regular_train(rate, p, dt, count)[-1] / self.stationary(rate, p) - 1 for dt in (1e-3, 5e-4)
        )
        assert abs(fine) < 0.01
        assert coarse / fine == pytest.approx(2, rel=0.1)  # explicit Euler is of first order

    def test_the_first_spike_releases_the_utilisation(self):
        assert released_by_a_regular_train(20, self.DEPRESSING, DT, 1).tolist() == [0.45]

    def test_a_depressing_synapse_releases_less_with_every_spike(self):
        assert (np.diff(released_by_a_regular_train(20, self.DEPRESSING, DT, 8)) < 0).all()

    def test_a_facilitating_synapse_releases_more_and_then_tires(self):
        p = self.FACILITATING._replace(tau_d_inv=1 / 0.3)
        released = released_by_a_regular_train(30, p, DT, 30)
        peak = released.argmax()
        assert 0 < peak < 5
        assert (np.diff(released[: peak + 1]) > 0).all()
        assert released[-1] < 0.8 * released[peak]

    def test_what_is_released_is_what_recovers_whatever_the_spikes(self):
        """Resources are conserved: Σ released + x_end - x_start = Σ recovered."""
        z = torch.tensor(spikes(300, 4, rate=0.1))
        state, released, recovered = TsodyksMakramState(u=torch.zeros(4).double(), x=torch.ones(4).double()), 0.0, 0.0
        for spike in z:
            recovered = recovered + DT * self.DEPRESSING.tau_d_inv * (1 - state.x)
            y, state = stp_step(spike, state, self.DEPRESSING, DT)
            released = released + y
            assert ((state.u >= 0) & (state.u <= 1) & (state.x >= 0) & (state.x <= 1)).all()
        torch.testing.assert_close(1 + recovered - released, state.x)
