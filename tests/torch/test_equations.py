"""Every model's equations against numpy in float64, and against closed-form solutions."""

import numpy as np
import pytest
import torch

import norse.torch as snn


def lif_reference(xs, v, i, tau_syn_inv=200.0, tau_mem_inv=100.0, v_leak=0.0, v_th=1.0, v_reset=0.0, dt=0.001):
    """[T, N] -> spikes [T, N], last v, last i."""
    spikes = []
    for x in xs:
        i = i + x
        v = v + dt * tau_mem_inv * (v_leak - v + i)
        i = i * (1 - dt * tau_syn_inv)
        fired = v > v_th
        v = np.where(fired, v_reset, v)
        spikes.append(fired)
    return np.array(spikes, dtype=float), v, i


def recurrent_reference(tick, xs, w_in, w_rec, *state):
    """Feeds `tick(current [1, ...], *state) -> spikes [1, ...], *state` with W_in x + W_rec z."""
    z = np.zeros((xs.shape[1], w_in.shape[0]))
    outputs = []
    for x in xs:
        zs, *state = tick((x @ w_in.T + z @ w_rec.T)[None], *state)
        z = zs[0]
        outputs.append(z)
    return np.array(outputs), *state


def lif_box_reference(xs, v, tau_mem_inv=100.0, v_leak=0.0, v_th=1.0, v_reset=0.0, dt=0.001, subtract=False):
    """[T, N] -> spikes [T, N], last v."""
    spikes = []
    for x in xs:
        v = v + dt * tau_mem_inv * (v_leak - v + x)
        fired = v > v_th
        v = np.where(fired, v - v_th if subtract else v_reset, v)
        spikes.append(fired)
    return np.array(spikes, dtype=float), v


def iaf_reference(xs, v, v_th=1.0, v_reset=0.0):
    """[T, N] -> spikes [T, N], last v."""
    spikes = []
    for x in xs:
        v = v + x
        fired = v > v_th
        v = np.where(fired, v_reset, v)
        spikes.append(fired)
    return np.array(spikes, dtype=float), v


TICKS, NEURONS = 60, 7


def float64(parameters):
    return type(parameters)(*(f.double() if isinstance(f, torch.Tensor) else f for f in parameters))


@pytest.fixture
def currents():
    return np.random.default_rng(0).normal(1.0, 2.0, (TICKS, NEURONS))


def assert_equal(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-12, atol=1e-12)


def test_lif_is_its_equations(currents):
    p = snn.LIFParameters(
        tau_syn_inv=torch.tensor(150.0),
        tau_mem_inv=torch.tensor(80.0),
        v_leak=torch.tensor(0.25),
        v_th=torch.tensor(0.75),
        v_reset=torch.tensor(-0.5),
    )
    z, state = snn.LIF(float64(p), dt=0.002)(torch.tensor(currents))
    spikes, v, i = lif_reference(currents, 0.25, 0.0, 150.0, 80.0, 0.25, 0.75, -0.5, dt=0.002)
    assert 0 < spikes.sum() < spikes.size
    assert_equal(z, spikes)
    assert_equal(state.v, v)
    assert_equal(state.i, i)


def test_recurrent_lif_is_driven_by_its_inputs_and_its_last_spikes():
    random = np.random.default_rng(1)
    xs, w_in, w_rec = random.random((TICKS, 2, 3)), random.normal(0, 3, (4, 3)), random.normal(0, 3, (4, 4))
    np.fill_diagonal(w_rec, 0)
    layer = snn.LIFRecurrent(
        3,
        4,
        float64(snn.LIFParameters()),
        input_weights=torch.tensor(w_in),
        recurrent_weights=torch.tensor(w_rec),
    )
    z, state = layer(torch.tensor(xs))
    spikes, v, i = recurrent_reference(lif_reference, xs, w_in, w_rec, np.zeros((2, 4)), np.zeros((2, 4)))
    assert 0 < spikes.sum() < spikes.size
    assert_equal(z, spikes)
    assert_equal(state.z, spikes[-1])
    assert_equal(state.v, v)
    assert_equal(state.i, i)


@pytest.mark.parametrize("reset", [snn.reset_value, snn.reset_subtract])
def test_lif_box_is_its_equations(currents, reset):
    currents = 3 * currents
    p = float64(snn.LIFBoxParameters(reset_method=reset, v_reset=torch.tensor(-0.25)))
    cell, state, spikes = snn.LIFBoxCell(p), None, []
    for x in torch.tensor(currents):
        z, state = cell(x, state)
        spikes.append(z)
    expected, v = lif_box_reference(currents, 0.0, v_reset=-0.25, subtract=reset is snn.reset_subtract)
    assert 0 < expected.sum() < expected.size
    assert_equal(torch.stack(spikes), expected)
    assert_equal(state.v, v)


def test_iaf_is_its_equations_and_starts_at_its_reset(currents):
    p = float64(snn.IAFParameters(v_reset=torch.tensor(-0.25)))
    z, state = snn.IAF(p)(torch.tensor(currents))
    expected, v = iaf_reference(currents, -0.25, v_reset=-0.25)
    assert 0 < expected.sum() < expected.size
    assert_equal(z, expected)
    assert_equal(state.v, v)


@pytest.mark.parametrize(
    ("layer", "parameters", "tick"),
    [
        (snn.IAFRecurrent, snn.IAFParameters(), iaf_reference),
        (snn.LIFBoxRecurrent, snn.LIFBoxParameters(), lif_box_reference),
    ],
)
def test_recurrent_layers_feed_their_spikes_back(layer, parameters, tick):
    random = np.random.default_rng(2)
    xs, w_in, w_rec = random.random((TICKS, 2, 3)), random.normal(1, 3, (4, 3)), random.normal(0, 1, (4, 4))
    weights = {"input_weights": torch.tensor(w_in), "recurrent_weights": torch.tensor(w_rec)}
    z, state = layer(3, 4, float64(parameters), autapses=True, **weights)(torch.tensor(xs))
    spikes, v = recurrent_reference(tick, xs, w_in, w_rec, np.zeros((2, 4)))
    assert 0 < spikes.sum() < spikes.size
    assert_equal(z, spikes)
    assert_equal(state.v, v)


def test_a_leaky_integrator_without_input_decays_geometrically():
    n, v0, i0 = 40, 3.0, 2.0
    p = float64(snn.LIBoxParameters())
    state = snn.LIBoxState(v=torch.tensor([v0], dtype=torch.float64))
    trace, _ = snn.LIBox(p)(torch.zeros(n, 1, dtype=torch.float64), state)
    assert_equal(trace[:, 0], v0 * (1 - 0.1) ** np.arange(1, n + 1))
    state = snn.LIState(v=torch.tensor([0.0], dtype=torch.float64), i=torch.tensor([i0], dtype=torch.float64))
    trace, state = snn.LI(float64(snn.LIParameters()))(torch.zeros(n, 1, dtype=torch.float64), state)
    assert_equal(state.i, [i0 * 0.8**n])
    # v_n = Σ_k 0.9^(n-1-k) · 0.1 · i0 · 0.8^k = i0 · (0.9^n - 0.8^n)
    assert_equal(trace[:, 0], i0 * (0.9 ** np.arange(1, n + 1) - 0.8 ** np.arange(1, n + 1)))


def test_a_leaky_integrator_converges_to_a_constant_current():
    trace, _ = snn.LIBox(float64(snn.LIBoxParameters(v_leak=torch.tensor(-1.0))))(torch.full((2000, 3), 2.5).double())
    assert_equal(trace[-1], [1.5] * 3)


def test_a_linear_cell_is_weights_in_front_of_a_leaky_integrator():
    linear, plain = snn.LILinearCell(3, 4), snn.LICell()
    x = torch.randn(2, 3)
    v, state = linear(x)
    v, state = linear(x, state)
    current = x @ linear.input_weights.T
    expected, _ = plain(current, plain(current)[1])
    torch.testing.assert_close(v, expected)
    torch.testing.assert_close(
        snn.li_box_step(x, snn.LIBoxState(torch.zeros(4)), linear.input_weights)[0], 0.1 * current
    )


def test_the_integrals_are_the_steps_in_a_loop():
    torch.manual_seed(0)
    x, w_in, w_rec = torch.rand(30, 2, 3), 5 * torch.rand(4, 3), torch.randn(4, 4)
    zero = torch.zeros(2, 4)
    state = snn.LIFState(zero, zero, zero)
    z, last = snn.lif_step_integral(x, state, w_in, w_rec)
    for tick in x:
        expected, state = snn.lif_step(tick, state, w_in, w_rec)
    assert torch.equal(z, expected)
    assert all(map(torch.equal, last, state))
    zs, last = snn.lif_feed_forward_integral(20 * x, snn.LIFFeedForwardState(torch.zeros(()), torch.zeros(())))
    expected, state = snn.LIF()(20 * x)
    assert zs.sum() > 0
    assert torch.equal(zs, expected)
    assert torch.equal(last.v, state.v)
    with pytest.raises(ValueError, match="at least one tick"):
        snn.lif_step_integral(x[:0], state, w_in, w_rec)


def test_the_current_encoder_spikes_and_resets():
    z, v = snn.lif_current_encoder(torch.tensor([5.0, 11.0]), torch.tensor(0.5))
    assert z.tolist() == [0, 1]
    torch.testing.assert_close(v, torch.tensor([0.95, 0.0]))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (snn.LIFParameters, {"tau_syn_inv": 0.5, "tau_mem_inv": 0.1, "v_leak": -70, "v_th": -55, "v_reset": -70}),
        (snn.LIParameters, {"tau_syn_inv": 0.5, "tau_mem_inv": 0.1, "v_leak": -70}),
        (snn.IAFParameters, {"v_th": -55, "v_reset": -70}),
    ],
)
def test_biological_defaults(parameters, expected):
    bio = parameters.bio_default()
    assert {name: round(float(getattr(bio, name)), 6) for name in expected} == expected


class TestGradientsThroughTheReset:
    """A spike's gradient reaches v' through the reset, except in lif_step, which detaches z there."""

    @staticmethod
    def slope(step, state):
        x = torch.tensor([[11.0]], requires_grad=True)
        step(x, state)[1].v.sum().backward()
        return x.grad.item()

    def test_lif_step_detaches_the_spike(self):
        one, zero = torch.ones(1, 1), torch.zeros(1, 1)
        slope = self.slope(lambda x, s: snn.lif_step(x, s, one, zero), snn.LIFState(zero, zero, zero))
        assert slope == 0.0  # v' = (1 - z) u + z v_reset with z = 1 held constant

    def test_the_feed_forward_step_does_not(self):
        zero = torch.zeros(1, 1)
        slope = self.slope(snn.lif_feed_forward_step, snn.LIFFeedForwardState(zero, zero))
        u, surrogate = 1.1, 1 / (100 * 0.1 + 1) ** 2
        assert slope == pytest.approx(-u * surrogate * 0.1, rel=1e-4)

    def test_iaf_and_lif_box_steps_do_not(self):
        one, zero = torch.ones(1, 1), torch.zeros(1, 1)
        iaf = self.slope(lambda x, s: snn.iaf_step(x, s, one, zero), snn.IAFState(zero, zero))
        assert iaf == pytest.approx(-11 / (100 * 10 + 1) ** 2, rel=1e-4)
        box = self.slope(lambda x, s: snn.lif_box_step(x, s, one, zero), snn.LIFBoxState(zero, zero))
        assert box == pytest.approx(-1.1 * 0.1 / 11**2, rel=1e-4)
