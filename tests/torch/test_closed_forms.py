"""Membranes, rates and resets against what can be worked out on paper: continuous solutions and exact tick counts."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import norse.torch as snn
from norse.torch.functional.coba_lif import CobaLIFFeedForwardState, CobaLIFParameters
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters
from norse.torch.functional.lif_refrac import LIFRefracFeedForwardState, LIFRefracParameters
from norse.torch.functional.lsnn import LSNNFeedForwardState, LSNNParameters
from norse.torch.functional.reset import reset_subtract, reset_value
from norse.torch.module.coba_lif import CobaLIFFeedForward
from norse.torch.module.lif_refrac import LIFRefrac
from norse.torch.module.lsnn import LSNN

from .neurons import FORMS, Form, tensors

TAU = 0.01  # s: the default membrane's time constant


def double(value: Any) -> Any:
    """Of a nest of named tuples, all numbers as float64 tensors."""
    if hasattr(value, "_fields"):
        return type(value)(*map(double, value))
    if isinstance(value, float | int | Tensor):
        return torch.as_tensor(value, dtype=torch.float64)
    return value


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def intervals(spikes: Tensor) -> list[np.ndarray]:
    """Of each neuron of [T, N], the ticks between successive spikes."""
    return [np.diff(np.flatnonzero(column)) for column in spikes.detach().numpy().T]


# ---- decay -----------------------------------------------------------------------------------------------------------


def decay(model: str, ticks: int, dt: float, v0: float) -> Tensor:
    """The last membrane potential of a neuron that starts at v0 and gets no input."""
    x, v = zeros(ticks, 1), zeros(1) + v0
    if model == "LI":
        return snn.LI(double(snn.LIParameters()), dt=dt)(x, snn.LIState(v, zeros(1)))[1].v
    if model == "LIBox":
        return snn.LIBox(double(snn.LIBoxParameters()), dt=dt)(x, snn.LIBoxState(v))[1].v
    if model == "LIF":
        return snn.LIF(double(LIFParameters()), dt=dt)(x, LIFFeedForwardState(v, zeros(1)))[1].v
    if model == "LIFBox":
        return snn.LIFBox(double(LIFBoxParameters()), dt=dt)(x, LIFBoxFeedForwardState(v))[1].v
    if model == "LIFRefrac":
        state = LIFRefracFeedForwardState(LIFFeedForwardState(v, zeros(1)), zeros(1))
        return LIFRefrac(double(LIFRefracParameters()), dt=dt)(x, state)[1].lif.v
    assert model == "LSNN"
    return LSNN(double(LSNNParameters()), dt=dt)(x, LSNNFeedForwardState(v, zeros(1), zeros(1) + 1))[1].v


LEAKY = ["LI", "LIBox", "LIF", "LIFBox", "LIFRefrac", "LSNN"]


@pytest.mark.parametrize("model", LEAKY)
def test_a_membrane_decays_by_the_same_factor_every_tick(model):
    for ticks, dt in ((1, 1e-3), (7, 1e-3), (30, 2e-3)):
        assert decay(model, ticks, dt, 0.9).item() == pytest.approx(0.9 * (1 - dt / TAU) ** ticks, rel=1e-12)


@pytest.mark.parametrize("model", LEAKY)
def test_and_so_exponentially_with_an_error_that_is_proportional_to_the_time_step(model):
    """After one time constant: |(1 - dt/τ)^(τ/dt) - 1/e| = dt/2τe + O(dt²)."""
    errors = [abs(decay(model, round(TAU / dt), dt, 0.9).item() - 0.9 / math.e) for dt in (1e-3, 5e-4, 2.5e-4)]
    for dt, error in zip((1e-3, 5e-4, 2.5e-4), errors, strict=True):
        assert error == pytest.approx(0.9 * dt / (2 * TAU * math.e), rel=0.1)


def test_a_pulse_through_a_synapse_is_the_difference_of_two_exponentials():
    """v(t) = i₀ τs/(τm - τs) (e^(-t/τm) - e^(-t/τs)): 7 times finer ticks, a 7 times smaller error."""
    tau_syn = 0.005
    errors = []
    for dt in (7e-4, 1e-4):
        ticks = round(0.021 / dt)
        state = LIFFeedForwardState(zeros(1), zeros(1) + 0.5)
        _, states = snn.LIF(double(LIFParameters()), dt=dt, record_states=True)(zeros(ticks, 1), state)
        t = dt * np.arange(1, ticks + 1)
        exact = 0.5 * tau_syn / (TAU - tau_syn) * (np.exp(-t / TAU) - np.exp(-t / tau_syn))
        errors.append(np.abs(states.v[:, 0].numpy() - exact).max())
    assert 0 < errors[1] < 0.01
    assert errors[0] / errors[1] == pytest.approx(7, rel=0.15)


def test_an_adaptive_threshold_jumps_at_a_spike_and_decays_back():
    p = LSNNParameters(tau_adapt_inv=torch.tensor(20.0), beta=torch.tensor(1.75))
    state = LSNNFeedForwardState(zeros(1) + 5.0, zeros(1), zeros(1) + 1.0)  # far above threshold: spikes at once
    z, states = LSNN(double(p), record_states=True)(zeros(50, 1), state)
    assert z[:, 0].tolist() == [1.0] + [0.0] * 49
    np.testing.assert_allclose(states.b[:, 0], 1 + 1.75 * 0.98 ** np.arange(50), rtol=1e-12)


def test_a_constant_conductance_pulls_the_membrane_to_the_mean_of_the_reversal_potentials():
    """c dv/dt = g_l (v_rest - v) + g_e (E_e - v) + g_i (E_i - v): v∞ = Σ g E / Σ g, τ = c / Σ g."""
    p = CobaLIFParameters(
        tau_syn_exc_inv=torch.tensor(0.0), tau_syn_inh_inv=torch.tensor(0.0), v_thresh=torch.tensor(1e9)
    )
    g_l, g_e, g_i = 0.25, 1.5, 0.75
    start = CobaLIFFeedForwardState(zeros(1) - 70, zeros(1) + g_e, zeros(1) + g_i)
    _, states = CobaLIFFeedForward(double(p), record_states=True)(zeros(400, 1), start)
    limit = (g_l * -20 + g_e * 60 + g_i * -100) / (g_l + g_e + g_i)
    factor = 1 - 0.001 * 5 * (g_l + g_e + g_i)
    np.testing.assert_allclose(states.v[:, 0], limit + (-70 - limit) * factor ** np.arange(1, 401), rtol=1e-10)


# ---- rates at constant current ---------------------------------------------------------------------------------------


def period(current: np.ndarray, tau: float = TAU, leak: float = 0.0, th: float = 1.0, reset: float = 0.0) -> np.ndarray:
    """Seconds between the spikes of τ dv/dt = (v_leak - v) + I: τ ln((v∞ - v_reset) / (v∞ - v_th))."""
    target = leak + current
    return tau * np.log((target - reset) / (target - th))


def ticks_to_spike(current: np.ndarray, dt: float, th: float = 1.0) -> np.ndarray:
    """Of the discrete membrane from 0: the first n with I (1 - (1 - dt/τ)^n) > v_th."""
    return np.floor(np.log(1 - th / current) / np.log(1 - dt / TAU)) + 1


def steady_synapse(current: Tensor, dt: float, tau_syn: float = 0.005) -> Tensor:
    """The input per tick under which a synapse stands at a current after its jump: what leaks away is replaced."""
    return current * dt / tau_syn


def spikes_of(model: str, current: Tensor, ticks: int, dt: float, reset: Any = reset_value) -> Tensor:
    """Spikes [T, N] of neurons that start at 0 under constant currents [N] into the membrane."""
    n = current.shape[0]
    x = steady_synapse(current, dt)
    inputs = (current if model == "LIFBox" else x).expand(ticks, n)
    if model == "LIFBox":
        p: Any = LIFBoxParameters(reset_method=reset)
        return snn.LIFBox(double(p), dt=dt)(inputs, LIFBoxFeedForwardState(zeros(n)))[0]
    lif = LIFParameters(reset_method=reset)
    if model == "LIF":
        return snn.LIF(double(lif), dt=dt)(inputs, LIFFeedForwardState(zeros(n), current - x))[0]
    if model == "LIFRefrac":
        state = LIFRefracFeedForwardState(LIFFeedForwardState(zeros(n), current - x), zeros(n))
        return LIFRefrac(double(LIFRefracParameters(lif)), dt=dt)(inputs, state)[0]
    assert model == "LSNN"  # its membrane sees the synapse before the jump
    p = LSNNParameters(beta=torch.tensor(0.0), reset_method=reset)
    return LSNN(double(p), dt=dt)(inputs, LSNNFeedForwardState(zeros(n), current + 0, zeros(n) + 1))[0]


CURRENTS = torch.tensor([1.05, 1.2, 1.7, 2.5, 4.0, 7.3], dtype=torch.float64)


@pytest.mark.parametrize(("model", "pause"), [("LIFBox", 0), ("LIF", 0), ("LSNN", 0), ("LIFRefrac", 5)])
def test_the_f_i_curve_is_the_analytic_one(model, pause):
    """Ticks between spikes: exactly those of the discrete membrane, and within a tick and dt/τ of the continuous."""
    dt = 2e-4
    gaps = intervals(spikes_of(model, CURRENTS, 800, dt))
    exact = ticks_to_spike(CURRENTS.numpy(), dt) + pause
    continuous = period(CURRENTS.numpy()) / dt + pause
    for gap, expected, ideal in zip(gaps, exact, continuous, strict=True):
        assert len(gap) >= 2
        assert set(gap) == {expected}
        assert abs(expected - ideal) <= 1 + ideal * dt / TAU


@pytest.mark.parametrize("model", ["LIFBox", "LIF", "LSNN", "LIFRefrac"])
def test_a_neuron_never_fires_at_or_below_its_rheobase(model):
    currents = torch.tensor([0.2, 0.9, 0.999, 1.0], dtype=torch.float64)
    assert spikes_of(model, currents, 300, 1e-3).sum() == 0


def test_the_rate_saturates_at_one_spike_per_refractory_period():
    spikes = spikes_of("LIFRefrac", torch.tensor([1e6], dtype=torch.float64), 60, 1e-3)
    assert set(intervals(spikes)[0]) == {6}  # 5 ticks without a spike, then one


def test_biological_neurons_fire_at_the_analytic_rate():
    """In ms and mV: from -70 to -55 mV, τm = 10 ms."""
    dt = 0.01  # ms
    current = torch.tensor([16.0, 20.0, 30.0], dtype=torch.float64)  # mV
    x = steady_synapse(current, dt, tau_syn=2.0)
    state = LIFFeedForwardState(zeros(3) - 70, current - x)
    spikes, _ = snn.LIF(double(LIFParameters.bio_default()), dt=dt)(x.expand(6000, 3), state)
    expected = period(current.numpy(), tau=10.0, leak=-70.0, th=-55.0, reset=-70.0)
    for gap, ideal in zip(intervals(spikes), expected, strict=True):
        assert gap.mean() * dt == pytest.approx(ideal, rel=2e-3)


def test_an_integrator_without_a_leak_counts_its_input():
    """From 0, above v_th = 1 after floor(1 / x) + 1 ticks, for x that are sums of powers of 2: no rounding."""
    x = torch.tensor([1 / 8, 3 / 16, 1 / 2, 5 / 8, 1.0, 1.5], dtype=torch.float64)
    spikes, _ = snn.IAF(double(snn.IAFParameters()))(x.expand(64, 6))
    assert [set(gap) for gap in intervals(spikes)] == [{9}, {6}, {3}, {2}, {2}, {1}]


def test_subtracting_the_threshold_loses_no_charge():
    """Without a leak, all input is in the spikes and in what is left: T x = n v_th + v, 0 < v <= v_th."""
    x = torch.tensor([1 / 8, 3 / 16, 5 / 16, 1 / 2, 7 / 8], dtype=torch.float64)
    ticks = 77
    layer = snn.IAF(double(snn.IAFParameters(reset_method=reset_subtract)))
    spikes, state = layer(x.expand(ticks, 5))
    assert spikes.sum(0).tolist() == [math.ceil(ticks * each) - 1 for each in x.tolist()]
    torch.testing.assert_close(spikes.sum(0) + state.v, ticks * x, rtol=0, atol=1e-12)


def test_reset_by_subtraction_fires_at_the_analytic_rate_too():
    """The potential at a spike is hardly above the threshold, so that both resets lead to v = 0."""
    dt, ticks = 1e-4, 3000
    spikes = spikes_of("LIFBox", CURRENTS, ticks, dt, reset_subtract)
    gaps = [gap.mean() * dt for gap in intervals(spikes)]
    np.testing.assert_allclose(gaps, period(CURRENTS.numpy()), rtol=2 * dt / TAU)


def test_what_a_leaky_neuron_takes_in_is_in_its_spikes_and_in_what_is_left():
    """With reset by subtraction: Σ dt/τ (I - v) = n v_th + v."""
    layer = snn.LIFBox(double(LIFBoxParameters(reset_method=reset_subtract)))
    layer.record_states = True
    z, states = layer(CURRENTS.expand(300, 6))
    before = torch.cat([zeros(1, 6), states.v[:-1]])
    inflow = (0.1 * (CURRENTS - before)).sum(0)
    torch.testing.assert_close(z.sum(0), inflow - states.v[-1])


# ---- a user's own reset ----------------------------------------------------------------------------------------------


class Recorded:
    """A user's reset: back to a third of the way, and a note of what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, ...]] = []

    def __call__(self, z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
        self.calls.append((z, v, reset, th))
        return v - z * (v - reset) / 3


def parameters_with(p: Any, **changes: Any) -> Any:
    """Parameters whose fields of these names are changed, wherever they are nested."""
    own = {name: value for name, value in changes.items() if name in p._fields}
    nested = {
        name: parameters_with(value, **changes)
        for name, value in zip(p._fields, p, strict=True)
        if is_parameters(value)
    }
    return p._replace(**own, **nested)


def is_parameters(value: Any) -> bool:
    return hasattr(value, "_fields")


def has_reset(p: Any) -> bool:
    return "reset_method" in p._fields or any(has_reset(value) for value in p if is_parameters(value))


def membrane(state: Any) -> Tensor:
    """v of a state, wherever it is nested."""
    return state.v if hasattr(state, "v") else membrane(state[0])


LIF_FAMILY = [form for form in FORMS if has_reset(form.model.parameters())]


def test_every_integrate_and_fire_model_lets_the_user_choose_its_reset():
    assert {form.model.file for form in FORMS if form.model.spikes} - {form.model.file for form in LIF_FAMILY} == {
        "izhikevich"  # whose reset is a part of its equations
    }


def one_tick(form: Form, **changes: Any) -> tuple[Tensor, Any, Any]:
    """A tick of neurons without coupling, driven far above threshold: spikes, state, module."""
    module = form.make(parameters_with(form.model.parameters(), **changes), torch.float64)
    if hasattr(module, "g_coupling"):
        with torch.no_grad():
            module.g_coupling.zero_()
    with torch.no_grad():
        for weights in module.parameters():
            weights.abs_()
    x = torch.full((1, 2, form.features), 50 * form.model.drive, dtype=torch.float64)
    state = None
    if form.model.file in ("lsnn", "lif_mc_refrac"):  # their membranes see the synapse one tick later
        state = module(x if form.over_time else x[0])[1]
    output, state = module(x if form.over_time else x[0], state)
    return output, state, module


@pytest.mark.parametrize("form", LIF_FAMILY, ids=str)
def test_a_users_reset_is_given_spikes_potential_reset_and_threshold_and_decides(form):
    u = membrane(one_tick(form, reset_method=lambda z, v, reset, th: v, v_reset=torch.tensor(-0.5))[1])
    reset = Recorded()
    z, state, module = one_tick(form, reset_method=reset, v_reset=torch.tensor(-0.5))
    p = module.p
    while not hasattr(p, "v_reset"):
        p = p[0]
    torch.testing.assert_close(membrane(state), u - (u + 0.5) / 3)
    assert (z == 1).all()
    given_z, given_v, given_reset, given_th = reset.calls[-1]
    assert (given_z == 1).all()
    torch.testing.assert_close(given_v, u)
    assert given_reset.item() == -0.5
    assert given_th.item() == (p.v_thresh if hasattr(p, "v_thresh") else p.v_th).item()


@pytest.mark.parametrize("form", LIF_FAMILY, ids=str)
def test_subtracting_the_threshold_works_for_every_model(form):
    _, silent, _ = one_tick(form, v_th=torch.tensor(1e9), v_thresh=torch.tensor(1e9))
    z, state, _ = one_tick(form, reset_method=reset_subtract, v_th=torch.tensor(0.75), v_thresh=torch.tensor(0.75))
    assert (z == 1).all()
    if "Ex" not in form.name:  # whose onset depends on the threshold
        torch.testing.assert_close(membrane(state), membrane(silent) - 0.75)
    assert all(leaf.isfinite().all() for leaf in tensors(state))


# ---- the surrogate in every model ------------------------------------------------------------------------------------

SURROGATES = {
    "super": lambda d, a: 1 / (a * d.abs() + 1) ** 2,
    "tanh": lambda d, a: 1 / torch.cosh(a * d) ** 2,
    "triangle": lambda d, a: a * (1 - d.abs()).clamp(min=0),
    "circ": lambda d, a: a**3 / (a**2 + d**2) ** 1.5,
    "heavi_erfc": lambda d, a: 2 / math.sqrt(math.pi) * torch.exp(-((a * d) ** 2)),
}
CELLS_OF_THE_FAMILY = [form for form in LIF_FAMILY if not form.over_time]


def near_threshold(state: Any, v: Tensor) -> Any:
    """A state of zeros but for the membrane, and for LSNN's threshold at 1."""
    values = {"v": v, "b": torch.ones_like(v)}
    return type(state)(
        *(
            near_threshold(field, v) if hasattr(field, "_fields") else values.get(name, torch.zeros_like(field))
            for name, field in zip(state._fields, state, strict=True)
        )
    )


@pytest.mark.parametrize("method", SURROGATES)
@pytest.mark.parametrize("form", CELLS_OF_THE_FAMILY, ids=str)
def test_the_derivative_of_every_models_spike_is_the_chosen_surrogates(form, method):
    """dz/dv = σ'(u - v_th) du/dv; where a reset does nothing, v' = u."""
    changes = {"method": method, "alpha": 1.75, "reset_method": lambda z, v, reset, th: v}
    p = parameters_with(form.model.parameters(), **changes, v_th=torch.tensor(1.0), v_thresh=torch.tensor(1.0))
    module = form.make(p, torch.float64)
    if hasattr(module, "g_coupling"):
        with torch.no_grad():
            module.g_coupling.zero_()
    v = torch.linspace(0.4, 1.9, 2 * 4, dtype=torch.float64).reshape(2, 4).requires_grad_()
    state = near_threshold(form.state(module, dtype=torch.float64), v)
    z, new = module(torch.zeros(2, form.features, dtype=torch.float64), state)
    u = membrane(new)
    assert 0 < z.sum() < 8
    (slope,) = torch.autograd.grad(z.sum(), v, retain_graph=True)
    (through,) = torch.autograd.grad(u.sum(), v)
    torch.testing.assert_close(slope, SURROGATES[method](u - 1, 1.75) * through)
