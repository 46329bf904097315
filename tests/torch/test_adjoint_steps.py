"""Adjoint (EventProp) steps: against finite differences of spike times, and the published equations event by event."""

import functools
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

import norse
import norse.torch as snn
from norse.torch.functional.adjoint.coba_lif_adjoint import coba_lif_adjoint_step, coba_lif_feed_forward_adjoint_step
from norse.torch.functional.adjoint.lif_adjoint import lif_adjoint_step, lif_feed_forward_adjoint_step
from norse.torch.functional.adjoint.lif_mc_adjoint import lif_mc_adjoint_step, lif_mc_feed_forward_adjoint_step
from norse.torch.functional.adjoint.lif_mc_refrac_adjoint import (
    lif_mc_refrac_adjoint,
    lif_mc_refrac_feed_forward_adjoint,
)
from norse.torch.functional.adjoint.lif_refrac_adjoint import (
    lif_refrac_adjoint_step,
    lif_refrac_feed_forward_adjoint_step,
)
from norse.torch.functional.adjoint.lsnn_adjoint import lsnn_adjoint_step, lsnn_feed_forward_adjoint_step
from norse.torch.functional.coba_lif import (
    CobaLIFFeedForwardState,
    CobaLIFParameters,
    CobaLIFState,
    coba_lif_feed_forward_step,
    coba_lif_step,
)
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, LIFState, lif_feed_forward_step, lif_step
from norse.torch.functional.lif_ex import LIFExParameters
from norse.torch.functional.lif_mc import lif_mc_feed_forward_step, lif_mc_step
from norse.torch.functional.lif_mc_refrac import lif_mc_refrac_feed_forward_step, lif_mc_refrac_step
from norse.torch.functional.lif_refrac import (
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    LIFRefracState,
    lif_refrac_feed_forward_step,
    lif_refrac_step,
)
from norse.torch.functional.lsnn import (
    LSNNFeedForwardState,
    LSNNParameters,
    LSNNState,
    lsnn_feed_forward_step,
    lsnn_step,
)
from norse.torch.functional.reset import reset_subtract, reset_value
from norse.torch.module.coba_lif import CobaLIFFeedForward, CobaLIFRecurrent
from norse.torch.module.lif import LIF, LIFCell, LIFRecurrent, LIFRecurrentCell
from norse.torch.module.lif_ex import LIFExCell
from norse.torch.module.lif_mc import LIFMC, LIFMCRecurrent
from norse.torch.module.lif_mc_refrac import LIFMCRefrac, LIFMCRefracRecurrent
from norse.torch.module.lif_refrac import LIFRefrac, LIFRefracCell, LIFRefracRecurrent
from norse.torch.module.lsnn import LSNN, LSNNRecurrent

TAU_M, TAU_S, TAU_ADAPT = 0.010, 0.005, 0.1
FACTOR = -TAU_S / TAU_M  # of the weights' gradient, where g is the derivative of a loss of spike times


# ---- an ODE solver with events: neurons in continuous time ---------------------------------------------------------


class Neurons(NamedTuple):
    """dy/dt = flow(y, held); an event where guard(y, held) turns positive: y, held = event(y, held, neuron)."""

    flow: Callable[..., Any]
    guard: Callable[..., Any]
    event: Callable[..., Any]


def spikes_of(neurons: Neurons, y: Any, duration: float, h: float = 2e-4) -> list[tuple[float, int, Any]]:
    """(time, neuron, y before) of all spikes: Runge-Kutta of order 4 between events, events by bisection."""

    def after(y: Any, s: float, held: Any) -> Any:
        k1 = neurons.flow(y, held)
        k2 = neurons.flow(y + s / 2 * k1, held)
        k3 = neurons.flow(y + s / 2 * k2, held)
        k4 = neurons.flow(y + s * k3, held)
        return y + s / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    held, now, found = np.zeros(y.shape[1], bool), 0.0, []
    while now < duration:
        low, high = 0.0, h
        event = (neurons.guard(after(y, h, held), held) > 0).any()
        for _ in range(45 if event else 0):
            middle = (low + high) / 2
            crossed = (neurons.guard(after(y, middle, held), held) > 0).any()
            low, high = (low, middle) if crossed else (middle, high)
        y, now = after(y, high, held), now + high
        if event:
            neuron = int(np.argmax(neurons.guard(y, held)))
            if not held[neuron]:
                found.append((now, neuron, y))
            y, held = neurons.event(y, held, neuron)
    return found


def _change(y: Any, field: int, neuron: int, value: float) -> Any:
    y = y.copy()
    y[field, neuron] = value
    return y


def lif_neurons(subtract: bool = False) -> Neurons:
    return Neurons(
        lambda y, held: np.stack([(y[1] - y[0]) / TAU_M, -y[1] / TAU_S]),
        lambda y, held: y[0] - 1,
        lambda y, held, n: (_change(y, 0, n, y[0, n] - 1 if subtract else 0.0), held),
    )


def coupled_neurons(coupling: Any) -> Neurons:
    return Neurons(
        lambda y, held: np.stack([(y[1] - y[0]) / TAU_M + coupling @ y[0], -y[1] / TAU_S]),
        lambda y, held: y[0] - 1,
        lambda y, held, n: (_change(y, 0, n, 0.0), held),
    )


def refractory_neurons(period: float, coupling: Any = 0) -> Neurons:
    """y: v, i, what is left of the refractory period in s."""

    def event(y: Any, held: Any, n: int) -> Any:
        new = held.copy()
        new[n] = not held[n]
        return _change(_change(y, 0, n, y[0, n] if held[n] else 0.0), 2, n, 0.0 if held[n] else period), new

    return Neurons(
        lambda y, held: np.stack(
            [np.where(held, 0, (y[1] - y[0]) / TAU_M) + np.dot(coupling, y[0]), -y[1] / TAU_S, -1.0 * held]
        ),
        lambda y, held: np.where(held, -y[2], y[0] - 1),
        event,
    )


def adaptive_neurons(beta: float, subtract: bool = False) -> Neurons:
    return Neurons(
        lambda y, held: np.stack([(y[1] - y[0]) / TAU_M, -y[1] / TAU_S, (1 - y[2]) / TAU_ADAPT]),
        lambda y, held: y[0] - y[2],
        lambda y, held, n: (
            _change(_change(y, 0, n, y[0, n] - 1 if subtract else 0.0), 2, n, y[2, n] + beta),
            held,
        ),
    )


def conductance_neurons() -> Neurons:
    """v in mV, leak 100/s; excitatory and inhibitory conductances with time constants of 5 and 4 ms."""
    return Neurons(
        lambda y, held: np.stack(
            [100 * (-65 - y[0]) + 100 * y[1] * (0 - y[0]) + 100 * y[2] * (-80 - y[0]), -200 * y[1], -250 * y[2]]
        ),
        lambda y, held: y[0] + 50,
        lambda y, held, n: (_change(y, 0, n, -65.0), held),
    )


# ---- gradients of spike times --------------------------------------------------------------------------------------

WEIGHTS = np.array([[9.0, 1.5], [7.0, 1.0]])  # of two neurons, for two inputs: 1 and 2
INPUT = np.array([1.0, 2.0])
LOSS = {(0, 0): 1.0, (0, 1): -0.6, (1, 0): 0.4}  # a loss Σ c t: c by neuron and place of the spike
PERIOD = 0.002  # refractory, in s
COUPLING = np.array([[-30.0, 30.0], [60.0, -60.0]])  # between compartments, in 1/s


def loss_of(spikes: list[tuple[float, int, Any]]) -> float:
    times = {neuron: [t for t, n, _ in spikes if n == neuron] for neuron in (0, 1)}
    return sum(c * times[neuron][place] for (neuron, place), c in LOSS.items())


def finite_difference(loss: Callable[[Any], float], at: Any, h: float = 1e-5) -> Any:
    result = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[place] += h
        down[place] -= h
        result[place] = (loss(up) - loss(down)) / (2 * h)
    return result


def adjoint_gradients(
    step: Callable[..., Any], state: Any, weights: tuple[Any, ...], p: Any, dt: float, duration: float
) -> list[Any]:
    """Gradients of the loss's spikes with respect to weights: INPUT arrives in the first tick."""
    weights = tuple(torch.tensor(w, requires_grad=True) for w in weights)
    x, spikes = torch.tensor(INPUT)[None], []
    for _ in range(round(duration / dt)):
        z, state = step(x, state, *weights, p, dt)
        x = torch.zeros_like(x)
        spikes.append(z[0])
    z = torch.stack(spikes)
    g = torch.zeros_like(z)
    for (neuron, place), c in LOSS.items():
        g[z[:, neuron].nonzero()[place], neuron] = c
    return list(torch.autograd.grad(z, weights, g, allow_unused=True))


def zeros(n: int) -> list[torch.Tensor]:
    return [torch.zeros(1, 2, dtype=torch.float64) for _ in range(n)]


def assert_converges(adjoint: Callable[[float], Any], exact: Any, dts: tuple[float, float] = (2e-4, 4e-5)) -> None:
    """The error is O(dt)."""
    scale = np.abs(exact).max()
    coarse, fine = (np.abs(adjoint(dt).numpy() - exact).max() / scale for dt in dts)
    assert coarse < 0.5
    assert fine < 0.08
    assert fine < coarse / 3


DURATION = 0.015


def exact_gradient(neurons: Neurons, start: Callable[[Any], Any]) -> Any:
    return finite_difference(lambda w: loss_of(spikes_of(neurons, start(w @ INPUT), DURATION)), WEIGHTS)


def recurrent(step: Any, state: Any, p: Any, *couplings: Any) -> Callable[[float], Any]:
    def gradient(dt: float) -> Any:
        weights = (WEIGHTS, np.zeros((2, 2)), *couplings)
        return adjoint_gradients(step, state, weights, p(dt) if callable(p) else p, dt, DURATION)[0]

    return gradient


@pytest.mark.parametrize("subtract", [False, True])
def test_lif_has_the_gradient_of_its_spike_times(subtract: bool) -> None:
    p = LIFParameters(reset_method=reset_subtract if subtract else reset_value)
    adjoint = recurrent(lif_adjoint_step, LIFState(*zeros(3)), p)
    exact = exact_gradient(lif_neurons(subtract), lambda i: np.stack([0 * i, i]))
    assert_converges(lambda dt: FACTOR * adjoint(dt), exact)


def test_refractory_neurons_have_the_gradient_of_their_spike_times() -> None:
    """The second spike's time depends on when the refractory period ends, and on the current then."""

    def p(dt: float) -> LIFRefracParameters:
        return LIFRefracParameters(LIFParameters(), rho_reset=torch.tensor(PERIOD / dt))

    adjoint = recurrent(lif_refrac_adjoint_step, LIFRefracState(LIFState(*zeros(3)), *zeros(1)), p)
    exact = exact_gradient(refractory_neurons(PERIOD), lambda i: np.stack([0 * i, i, 0 * i]))
    assert_converges(lambda dt: FACTOR * adjoint(dt), exact)


def test_without_a_refractory_period_a_refractory_neuron_is_a_lif_neuron() -> None:
    p = LIFRefracParameters(LIFParameters(), rho_reset=torch.tensor(0.0))
    refractory = recurrent(lif_refrac_adjoint_step, LIFRefracState(LIFState(*zeros(3)), *zeros(1)), p)
    plain = recurrent(lif_adjoint_step, LIFState(*zeros(3)), LIFParameters())
    torch.testing.assert_close(refractory(2e-4), plain(2e-4), rtol=0, atol=0)


def test_coupled_membranes_have_the_gradient_of_their_spike_times() -> None:
    adjoint = recurrent(lif_mc_adjoint_step, LIFState(*zeros(3)), LIFParameters(), COUPLING)
    exact = exact_gradient(coupled_neurons(COUPLING), lambda i: np.stack([0 * i, i]))
    assert_converges(lambda dt: FACTOR * adjoint(dt), exact)


def test_the_coupling_has_the_gradient_of_the_spike_times() -> None:
    start = np.stack([0 * INPUT, WEIGHTS @ INPUT])
    exact = finite_difference(lambda g: loss_of(spikes_of(coupled_neurons(g), start, DURATION)), COUPLING, 1e-2)

    def adjoint(dt: float) -> Any:
        weights = (WEIGHTS, np.zeros((2, 2)), COUPLING)
        return -adjoint_gradients(lif_mc_adjoint_step, LIFState(*zeros(3)), weights, LIFParameters(), dt, DURATION)[2]

    assert_converges(adjoint, exact)


def test_coupled_refractory_membranes_have_the_gradient_of_their_spike_times() -> None:
    def adjoint(dt: float) -> Any:
        p = LIFRefracParameters(LIFParameters(), rho_reset=torch.tensor(PERIOD / dt))
        state = LIFRefracState(LIFState(*zeros(3)), *zeros(1))
        return FACTOR * recurrent(lif_mc_refrac_adjoint, state, p, dt * COUPLING)(dt)

    exact = exact_gradient(refractory_neurons(PERIOD, COUPLING), lambda i: np.stack([0 * i, i, 0 * i]))
    assert_converges(adjoint, exact)


@pytest.mark.parametrize("subtract", [False, True])
def test_adaptive_thresholds_have_the_gradient_of_their_spike_times(subtract: bool) -> None:
    reset = reset_subtract if subtract else reset_value
    p = LSNNParameters(tau_adapt_inv=torch.tensor(1 / TAU_ADAPT), beta=torch.tensor(0.3), reset_method=reset)
    state = LSNNState(*zeros(3), torch.ones(1, 2, dtype=torch.float64))
    adjoint = recurrent(lsnn_adjoint_step, state, p)
    exact = exact_gradient(adaptive_neurons(0.3, subtract), lambda i: np.stack([0 * i, i, 1 + 0 * i]))
    assert_converges(lambda dt: FACTOR * adjoint(dt), exact)


def test_conductances_have_the_gradient_of_their_spike_times() -> None:
    p = CobaLIFParameters(
        tau_syn_exc_inv=torch.tensor(200.0),
        tau_syn_inh_inv=torch.tensor(250.0),
        c_m_inv=torch.tensor(100.0),
        g_l=torch.tensor(1.0),
        e_rev_E=torch.tensor(0.0),
        e_rev_I=torch.tensor(-80.0),
        v_rest=torch.tensor(-65.0),
        v_reset=torch.tensor(-65.0),
        v_thresh=torch.tensor(-50.0),
    )
    weights = np.array([[5.0, -0.4], [3.5, -0.2]])  # excitatory and inhibitory
    zero = torch.zeros(1, 2, dtype=torch.float64)
    state = CobaLIFState(z=zero, v=zero - 65, g_e=zero, g_i=zero)

    def loss(w: Any) -> float:
        jump = [0 * INPUT - 65, np.maximum(w, 0) @ INPUT, np.maximum(-w, 0) @ INPUT]
        return loss_of(spikes_of(conductance_neurons(), np.stack(jump), DURATION))

    def adjoint(dt: float) -> Any:
        return -adjoint_gradients(coba_lif_adjoint_step, state, (weights, np.zeros((2, 2))), p, dt, DURATION)[0]

    assert_converges(adjoint, finite_difference(loss, weights))


# ---- the published equations, event by event -----------------------------------------------------------------------

CHAIN_IN = np.array([[7.0], [0.5], [0.2]])  # the first neuron drives the second, and both drive the third
CHAIN = np.array([[0.0, -0.8, 0.4], [3.5, 0.0, -0.3], [1.0, 4.0, 0.0]])
CHAIN_LOSS = (1.0, -0.5)  # of the third neuron's spikes


def chain_spikes(w_in: Any, w_rec: Any) -> list[tuple[float, int, Any]]:
    flow, guard, _ = lif_neurons()
    event = lambda y, held, n: (_change(y, 0, n, 0.0) + np.stack([0 * y[0], w_rec[:, n]]), held)  # noqa: E731
    current = w_in[:, 0]
    return spikes_of(Neurons(flow, guard, event), np.stack([0 * current, current]), DURATION)


def chain_loss(w_in: Any, w_rec: Any) -> float:
    times = [t for t, n, _ in chain_spikes(w_in, w_rec) if n == 2]
    return sum(c * t for c, t in zip(CHAIN_LOSS, times, strict=False))


def event_by_event(coupling: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    """Gradients (W_in, W_rec) by Wunderlich & Pehle, table 1; `coupling(λV, λI)` acts through weights on who spiked."""
    adjoint_v, adjoint_i, to_rec, now = np.zeros(3), np.zeros(3), np.zeros((3, 3)), DURATION
    spikes = chain_spikes(CHAIN_IN, CHAIN)
    outputs = [place for place, spike in enumerate(spikes) if spike[1] == 2]
    loss = dict(zip(outputs, CHAIN_LOSS, strict=False))

    def back(v: Any, i: Any, s: float) -> tuple[Any, Any]:
        slow, fast = np.exp(-s / TAU_M), np.exp(-s / TAU_S)
        return v * slow, i * fast + v * TAU_M / (TAU_M - TAU_S) * (slow - fast)

    for place, (t, n, y) in reversed(list(enumerate(spikes))):
        adjoint_v, adjoint_i = back(adjoint_v, adjoint_i, now - t)
        now = t
        speed = y[1, n] - 1  # τm V̇ before the spike; after it y[1, n]
        to_rec[:, n] -= TAU_S * adjoint_i
        coupled = CHAIN[:, n] @ coupling(adjoint_v, adjoint_i)
        adjoint_v[n] = (y[1, n] * adjoint_v[n] + coupled + loss.get(place, 0.0)) / speed
    adjoint_v, adjoint_i = back(adjoint_v, adjoint_i, now)
    return -TAU_S * adjoint_i[:, None], to_rec


def test_the_published_equations_have_the_gradient_of_a_networks_spike_times() -> None:
    """That is: they are written down right above."""
    to_in, to_rec = event_by_event(lambda v, i: v - i)
    np.testing.assert_allclose(to_in, finite_difference(lambda w: chain_loss(w, CHAIN), CHAIN_IN), rtol=1e-3)
    exact = finite_difference(lambda w: chain_loss(CHAIN_IN, w), CHAIN)
    np.testing.assert_allclose(to_rec, exact, rtol=1e-3, atol=1e-9)


def test_a_networks_gradients_are_the_event_by_event_equations_with_norses_coupling() -> None:
    """Norse has τm λI where the published equations have λV - λI: the only difference."""
    exact = event_by_event(lambda v, i: TAU_M * i)

    def adjoint(dt: float) -> list[Any]:
        w_in, w_rec = (torch.tensor(w, requires_grad=True) for w in (CHAIN_IN, CHAIN))
        state = LIFState(*(torch.zeros(1, 3, dtype=torch.float64) for _ in range(3)))
        x, spikes = torch.ones(1, 1, dtype=torch.float64), []
        for _ in range(round(DURATION / dt)):
            z, state = lif_adjoint_step(x, state, w_in, w_rec, dt=dt)
            x = torch.zeros_like(x)
            spikes.append(z[0])
        z = torch.stack(spikes)
        g = torch.zeros_like(z)
        g[z[:, 2].nonzero()[: len(CHAIN_LOSS), 0], 2] = torch.tensor(CHAIN_LOSS, dtype=torch.float64)
        return list(torch.autograd.grad(z, (w_in, w_rec), g))

    coarse, fine = adjoint(1e-4), adjoint(2e-5)
    for exactly, *found in zip(exact, coarse, fine, strict=True):
        for neuron in range(3):  # those far from the output have small gradients, which must be right too
            scale = np.abs(exactly[neuron]).max()
            errors = [np.abs(FACTOR * w[neuron].numpy() - exactly[neuron]).max() / scale for w in found]
            assert errors[1] < 0.05
            assert errors[1] < errors[0] / 3


# ---- every step ----------------------------------------------------------------------------------------------------


class Model(NamedTuple):
    recurrent: tuple[Any, Any]  # adjoint and plain step
    feed_forward: tuple[Any, Any]
    state: Callable[[Any, Any], Any]  # of v and the further fields, recurrent
    feed_forward_state: Callable[[Any, Any], Any]
    p: Any
    couplings: int = 0


def _lif(v: Any, i: Any) -> Any:
    return LIFState(torch.zeros_like(v), v, i)


MODELS = {
    "lif": Model(
        (lif_adjoint_step, lif_step),
        (lif_feed_forward_adjoint_step, lif_feed_forward_step),
        _lif,
        LIFFeedForwardState,
        LIFParameters(method="adjoint"),
    ),
    "lif_refrac": Model(
        (lif_refrac_adjoint_step, lif_refrac_step),
        (lif_refrac_feed_forward_adjoint_step, lif_refrac_feed_forward_step),
        lambda v, i: LIFRefracState(_lif(v, i), torch.tensor([2.0, 0.0, 0.0, 0.0])),
        lambda v, i: LIFRefracFeedForwardState(LIFFeedForwardState(v, i), torch.tensor([2.0, 0.0, 0.0, 0.0])),
        LIFRefracParameters(LIFParameters(method="adjoint")),
    ),
    "lif_mc": Model(
        (lif_mc_adjoint_step, lif_mc_step),
        (lif_mc_feed_forward_adjoint_step, lif_mc_feed_forward_step),
        _lif,
        LIFFeedForwardState,
        LIFParameters(method="adjoint"),
        1,
    ),
    "lif_mc_refrac": Model(
        (lif_mc_refrac_adjoint, lif_mc_refrac_step),
        (lif_mc_refrac_feed_forward_adjoint, lif_mc_refrac_feed_forward_step),
        lambda v, i: LIFRefracState(_lif(v, i), torch.tensor([2.0, 0.0, 0.0, 0.0])),
        lambda v, i: LIFRefracFeedForwardState(LIFFeedForwardState(v, i), torch.tensor([2.0, 0.0, 0.0, 0.0])),
        LIFRefracParameters(LIFParameters(method="adjoint")),
        1,
    ),
    "lsnn": Model(
        (lsnn_adjoint_step, lsnn_step),
        (lsnn_feed_forward_adjoint_step, lsnn_feed_forward_step),
        lambda v, i: LSNNState(torch.zeros_like(v), v, i, torch.ones_like(v)),
        lambda v, i: LSNNFeedForwardState(v, i, torch.ones_like(v)),
        LSNNParameters(method="adjoint"),
    ),
    "coba_lif": Model(
        (coba_lif_adjoint_step, coba_lif_step),
        (coba_lif_feed_forward_adjoint_step, coba_lif_feed_forward_step),
        lambda v, i: CobaLIFState(torch.zeros_like(v), v, i, 0.1 * i),
        lambda v, i: CobaLIFFeedForwardState(v, i, 0.1 * i),
        CobaLIFParameters(method="adjoint", v_thresh=torch.tensor(1.0), v_reset=torch.tensor(0.0)),
    ),
}

each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def _without_method(p: Any) -> Any:
    return p._replace(method="heaviside") if hasattr(p, "method") else p._replace(lif=_without_method(p.lif))


def _ticks(step: Any, x: Any, state: Any, weights: Any, p: Any) -> Any:
    outputs = []
    for tick in x:
        z, state = step(tick, state, *weights, p)
        outputs.append(z)
    return torch.stack(outputs), state


def _example(model: Model, dtype: torch.dtype, form: str) -> tuple[Any, Any, Any]:
    generator = torch.Generator().manual_seed(1)
    random = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)  # noqa: E731
    v, i = 0.3 * random(2, 4), 2 * random(2, 4).abs()
    weights = [0.05 * random(4, 4) for _ in range(model.couplings)]
    if form == "recurrent":
        return 3 * random(20, 2, 3), model.state(v, i), [2 * random(4, 3), random(4, 4), *weights]
    return 2 * random(20, 2, 4), model.feed_forward_state(v, i), weights


@each_model
@pytest.mark.parametrize("form", ["recurrent", "feed_forward"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_is_the_plain_step_to_the_bit(model: Model, form: str, dtype: torch.dtype) -> None:
    x, state, weights = _example(model, dtype, form)
    adjoint, plain = getattr(model, form)
    z, last = _ticks(adjoint, x, state, weights, model.p)
    expected, expected_last = _ticks(plain, x, state, weights, _without_method(model.p))
    assert 0 < z.sum() < z.numel()
    assert type(last) is type(expected_last)
    for ours, theirs in zip(
        tree_leaves((z, last)),
        tree_leaves((expected, expected_last)),
        strict=True,
    ):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("model", [model for name, model in MODELS.items() if name != "lif_mc"])
def test_a_recurrent_step_without_recurrent_weights_has_the_gradients_of_the_feed_forward_step(model: Model) -> None:
    """But for lif_mc, which couples membranes after its LIF in one form and before it in the other."""
    x, _, weights = _example(model, torch.float64, "recurrent")
    w_in, _, *couplings = weights
    one_to_one = torch.eye(4, dtype=torch.float64)
    current = torch.nn.functional.linear(x, w_in).abs()
    found = []
    for step, start, others in (
        (model.recurrent[0], model.state, [one_to_one, torch.zeros_like(one_to_one), *couplings]),
        (model.feed_forward[0], model.feed_forward_state, couplings),
    ):
        source = current.clone().requires_grad_()
        v, i = (0.3 * torch.ones(2, 4, dtype=torch.float64)).requires_grad_(), torch.ones(2, 4, dtype=torch.float64)
        z, _ = _ticks(step, source, start(v, i), others, model.p)
        loss = (z * torch.linspace(-1, 1, z.numel(), dtype=z.dtype).view_as(z)).sum()
        found.append(torch.autograd.grad(loss, (source, v)))
        assert z.sum() > 0
    for recurrent_gradient, feed_forward_gradient in zip(*found, strict=True):
        torch.testing.assert_close(recurrent_gradient, feed_forward_gradient)


@each_model
@pytest.mark.parametrize("form", ["recurrent", "feed_forward"])
def test_gradients_of_a_batch_are_those_of_its_parts_by_vmap(model: Model, form: str) -> None:
    x, state, weights = _example(model, torch.float64, form)
    step = getattr(model, form)[0]

    def loss(x: Any, *weights: Any) -> Any:
        z, _ = _ticks(step, x, state, weights, model.p)
        return (z * torch.linspace(-1, 1, z.numel(), dtype=z.dtype).view_as(z)).sum()

    xs = torch.stack([x, -x, 0.5 * x])
    together = torch.func.vmap(torch.func.grad(loss, tuple(range(1 + len(weights)))), (0, *[None] * len(weights)))
    for place, gradients in enumerate(zip(*together(xs, *weights), strict=True)):
        inputs = [tensor.clone().requires_grad_() for tensor in (xs[place], *weights)]
        for ours, alone in zip(gradients, torch.autograd.grad(loss(*inputs), inputs), strict=True):
            torch.testing.assert_close(ours, alone)


def test_one_tick_is_the_equations_of_the_sheet() -> None:
    """Three neurons of which the middle one spikes."""
    z, v = torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.99, 0.2]])
    i, x = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[1.0, 1.0]])
    w_in, w_rec = (
        torch.tensor([[1.0, -1.0], [2.0, -1.0], [0.5, 0.5]]),
        torch.tensor([[0.0, 2, 1], [1, 0, -1], [3, 1, 0]]),
    )
    inputs = [tensor.requires_grad_() for tensor in (x, z, v, i, w_in, w_rec)]
    spikes, new = lif_adjoint_step(x, LIFState(z, v, i), w_in, w_rec)
    assert spikes.tolist() == [[0, 1, 0]]
    g, to_v, to_i = torch.tensor([[0.3, 0.4, 0.5]]), torch.tensor([[0.1, 0.2, 0.7]]), torch.tensor([[1.0, 2.0, 3.0]])
    found = torch.autograd.grad([spikes, new.v, new.i], inputs, [g, to_v, to_i])
    after_i = to_i + 0.2 * (to_v - to_i)
    decayed = 0.9 * to_v
    spiked = (300 * decayed[0, 1] + 0.4) / (100 * (3 - 0.99))  # v = 0 after it
    after_v = torch.tensor([[decayed[0, 0], spiked, decayed[0, 2]]])
    expected = (after_i @ w_in, after_i @ w_rec, after_v, after_i, to_i.T @ x, to_i.T @ z)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_spike_that_its_own_input_alone_made_has_no_gradient_of_its_time() -> None:
    """v̇ was 0 before it."""
    v = torch.zeros(1, requires_grad=True)
    z, state = lif_feed_forward_adjoint_step(torch.tensor([100.0]), LIFFeedForwardState(v, torch.zeros(1)))
    (z + state.v).backward()
    assert z == 1
    assert v.grad == 0


@each_model
def test_learnt_parameters_are_refused(model: Model) -> None:
    x, state, weights = _example(model, torch.float32, "feed_forward")
    rate = torch.tensor(100.0, requires_grad=True)
    name = "c_m_inv" if hasattr(model.p, "c_m_inv") else "tau_mem_inv"
    inner = model.p._replace(**{name: rate}) if hasattr(model.p, name) else None
    p = inner or model.p._replace(lif=model.p.lif._replace(tau_mem_inv=rate))
    with pytest.raises(ValueError, match=rf"AdjointFunction|Function: argument p\..*{name}: expects a constant"):
        model.feed_forward[0](x[0], state, *weights, p)
    with torch.no_grad():
        model.feed_forward[0](x[0], state, *weights, p)


# ---- modules -------------------------------------------------------------------------------------------------------

SIZES = (3, 4)
MODULES: dict[str, Callable[[Any], Any]] = {
    "LIFCell": lambda method: LIFCell(LIFParameters(method=method)),
    "LIF": lambda method: LIF(LIFParameters(method=method)),
    "LIFRecurrentCell": lambda method: LIFRecurrentCell(*SIZES, LIFParameters(method=method)),
    "LIFRecurrent": lambda method: LIFRecurrent(*SIZES, LIFParameters(method=method)),
    "LIFRefracCell": lambda method: LIFRefracCell(LIFRefracParameters(LIFParameters(method=method))),
    "LIFRefrac": lambda method: LIFRefrac(LIFRefracParameters(LIFParameters(method=method))),
    "LIFRefracRecurrent": lambda method: LIFRefracRecurrent(*SIZES, LIFRefracParameters(LIFParameters(method=method))),
    "LIFMC": lambda method: LIFMC(3, LIFParameters(method=method)),
    "LIFMCRecurrent": lambda method: LIFMCRecurrent(*SIZES, LIFParameters(method=method)),
    "LIFMCRefrac": lambda method: LIFMCRefrac(3, LIFRefracParameters(LIFParameters(method=method))),
    "LIFMCRefracRecurrent": lambda method: LIFMCRefracRecurrent(
        *SIZES, LIFRefracParameters(LIFParameters(method=method))
    ),
    "CobaLIFFeedForward": lambda method: CobaLIFFeedForward(CobaLIFParameters(method=method)),
    "CobaLIFRecurrent": lambda method: CobaLIFRecurrent(*SIZES, CobaLIFParameters(method=method)),
    "LSNN": lambda method: LSNN(adjoint=method == "adjoint"),
    "LSNNRecurrent": lambda method: LSNNRecurrent(*SIZES, adjoint=method == "adjoint"),
}
each_module = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)


@each_module
def test_the_method_adjoint_gives_a_module_the_adjoint_step(make: Any) -> None:
    adjoint, plain = make("adjoint"), make("super")
    plain.load_state_dict(adjoint.state_dict())
    strength = 60.0 if "Coba" in type(adjoint).__name__ else 4.0
    x = strength * torch.rand(20, 2, 3, generator=torch.Generator().manual_seed(1))
    x = x[0] if type(adjoint).__name__.endswith("Cell") else x
    x.requires_grad_()
    z, _ = adjoint(x)
    assert torch.equal(z, plain(x)[0])
    assert z.grad_fn is not None
    assert "adjoint" in adjoint.activation.__name__
    assert "adjoint" not in plain.activation.__name__


@each_module
def test_a_copy_of_an_adjoint_module_has_its_gradients(make: Any) -> None:
    module = make("adjoint")
    x = 4.0 * torch.rand(20, 2, 3, generator=torch.Generator().manual_seed(1))
    x = x[0] if type(module).__name__.endswith("Cell") else x
    x.requires_grad_()
    found = []
    for each in (module, pickle.loads(pickle.dumps(module))):
        z, state = each(x)
        loss = z.sum() + sum(leaf.sum() for leaf in tree_leaves(state))
        found.append(torch.autograd.grad(loss, (x, *each.parameters()), allow_unused=True))
    assert_equal = functools.partial(torch.testing.assert_close, rtol=0, atol=0)
    for ours, theirs in zip(*found, strict=True):
        assert_equal(ours, theirs)


@pytest.mark.parametrize(
    ("make", "p"),
    [
        (snn.LIFBoxCell, snn.LIFBoxParameters(method="adjoint")),
        (LSNN, LSNNParameters(method="adjoint")),
        (LIFExCell, LIFExParameters(method="adjoint")),
    ],
)
def test_neurons_without_an_adjoint_method_refuse_it(make: Any, p: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"{make.__name__}: argument p\.method: expects one of super.*, got 'adjoint'"
    ):
        make(p)


def test_an_unknown_method_is_told_of_the_adjoint() -> None:
    with pytest.raises(ValueError, match=r"LIF: argument p\.method: expects one of super.*adjoint, got 'exact'"):
        LIF(LIFParameters(method="exact"))


@pytest.mark.parametrize("kind", [LIF, LIFRefrac])
def test_compiled_models_have_the_adjoint_gradients_in_native_loops(kind: Any) -> None:
    p = LIFParameters(method="adjoint")
    model = snn.SequentialState(torch.nn.Linear(3, 4), kind(p if kind is LIF else LIFRefracParameters(p)))
    compiled = norse.compile(model)
    x = 8.0 * torch.rand(20, 2, 3, generator=torch.Generator().manual_seed(1))
    found = [torch.autograd.grad(run(x)[0].sum(), list(model.parameters())) for run in (model, compiled)]
    for eager, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, eager)
    assert "one native loop over T" in str(compiled.explain())


def test_compiled_models_take_sparse_input_as_the_eager_one_does() -> None:
    model = snn.SequentialState(LIFRecurrent(3, 4))
    compiled = norse.compile(model)
    x = 8.0 * (torch.rand(20, 2, 3, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    for _ in range(2):  # before and after dense input
        z, _ = compiled(x.to_sparse())
        assert z.is_sparse
        assert torch.equal(z.to_dense(), model(x)[0])
        assert torch.equal(compiled(x)[0], model(x)[0])
