"""Leaky integrators and LIF neurons, integrated exactly from spike to spike: the exponential integrator.

A membrane with constant input decays exponentially to where it rests, and so does a synaptic current to zero, which
forward Euler follows in straight lines. These steps are the solution itself, for any dt. There is a spike a tick at
most. Without a synapse the moment of the crossing has a closed form too, and the reset acts from there; with one, it
acts at the tick's end.
"""

import math

import torch
from torch import Tensor

from norse.torch.functional.leaky_integrator import LI_DEFAULTS, LIParameters, LIState
from norse.torch.functional.leaky_integrator_box import LI_BOX_DEFAULTS, LIBoxParameters, LIBoxState
from norse.torch.functional.lif import LIF_DEFAULTS, LIFFeedForwardState, LIFParameters, LIFState
from norse.torch.functional.lif_box import LIF_BOX_DEFAULTS, LIFBoxFeedForwardState, LIFBoxParameters, LIFBoxState
from norse.torch.functional.recurrent import recurrent_step
from norse.torch.functional.reset import DetachedReset
from norse.torch.functional.threshold import threshold


def li_box_feed_forward_step_exponential(
    input_tensor: Tensor, state: LIBoxState, p: LIBoxParameters = LI_BOX_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIBoxState]:
    """One tick of leaky integrators without a synapse, exact for an input that is constant during the tick.

    τm dv/dt = (v_leak - v) + x:  v' = v + (1 - exp(-dt τm⁻¹)) ((v_leak - v) + x)

    Source: S. Rotter, M. Diesmann, "Exact digital simulation of time-invariant linear systems with applications to
    neuronal modeling", Biol. Cybern. 81 (1999).

    Args:
        input_tensor: x, the current, [B, N] or any shape.
        state: (v,), broadcastable with x.
        p: parameters.
        dt: time step in s.

    Returns:
        The membrane potential v' in the shape of x, and the new state.

    Example:
        >>> li_box_feed_forward_step_exponential(torch.ones(2), LIBoxState(v=torch.zeros(2)))[0]  # 1 - exp(-0.1)
        tensor([0.0952, 0.0952])
    """
    v = _relaxed(state.v, p.v_leak, input_tensor, p.tau_mem_inv, dt)
    return v, LIBoxState(v=v)


def lif_box_feed_forward_step_exponential(
    input_tensor: Tensor, state: LIFBoxFeedForwardState, p: LIFBoxParameters = LIF_BOX_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIFBoxFeedForwardState]:
    """One tick of LIF neurons without a synapse, exact for an input that is constant during the tick.

    With the rest v∞ = v_leak + x: u = v + (1 - exp(-dt τm⁻¹)) (v∞ - v),  z = Θ(u - v_th).

    A membrane that crosses v_th does so when exp(-t τm⁻¹) = (v∞ - v_th) / (v∞ - v), is reset there, and goes on until
    the tick's end. What is left of a difference by then is f = exp(-dt τm⁻¹) (v∞ - v) / (v∞ - v_th), so

    v' = reset_method(z, u, v∞ + f (v_reset - v∞), f v_th), by default (1 - z) u + z (v∞ + f (v_reset - v∞))

    A membrane that starts above v_th crosses it at once, f = exp(-dt τm⁻¹).

    Source: as `li_box_feed_forward_step_exponential`.

    Args:
        input_tensor: x, the current, [B, N] or any shape.
        state: (v,), broadcastable with x.
        p: parameters.
        dt: time step in s.

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> state = LIFBoxFeedForwardState(v=torch.zeros(2))
        >>> z, state = lif_box_feed_forward_step_exponential(torch.tensor([1.0, 11.0]), state)
        >>> z, state.v
        (tensor([0., 1.]), tensor([0.0952, 0.0515]))
    """
    rest = p.v_leak + input_tensor
    u = _relaxed(state.v, p.v_leak, input_tensor, p.tau_mem_inv, dt)
    z = threshold(u - p.v_th, p.method, p.alpha)
    reaches = rest > p.v_th
    ratio = torch.where(reaches, (rest - state.v) / torch.where(reaches, rest - p.v_th, 1.0), 1.0)
    left = _exp(-dt * p.tau_mem_inv) * (1.0 + torch.relu(ratio - 1.0))
    left = 1.0 - torch.relu(1.0 - left)  # above 1 only where nothing crosses
    return z, LIFBoxFeedForwardState(v=p.reset_method(z, u, rest + left * (p.v_reset - rest), left * p.v_th))


def lif_box_step_exponential(
    input_tensor: Tensor,
    state: LIFBoxState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFBoxParameters = LIF_BOX_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFBoxState]:
    """One tick of recurrently connected neurons: `lif_box_feed_forward_step_exponential` of W_in x + W_rec z.

    Args:
        input_tensor: x, [B, input].
        state: (z, v), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step in s.

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> state = LIFBoxState(z=torch.ones(1, 2), v=torch.zeros(1, 2))
        >>> lif_box_step_exponential(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))[1].v
        tensor([[0.4758, 0.4758]])
    """
    step, inner = lif_box_feed_forward_step_exponential, LIFBoxFeedForwardState
    return recurrent_step(step, inner, input_tensor, state, input_weights, recurrent_weights, p, dt)


def li_feed_forward_step_exponential(
    input_tensor: Tensor, state: LIState, p: LIParameters = LI_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIState]:
    """One tick of leaky integrators with exponential synapses, exact for inputs that are jumps at ticks.

    τm dv/dt = (v_leak - v) + i,  τs di/dt = -i, with i jumping by the input x at the tick's begin. With a = dt τm⁻¹,
    b = dt τs⁻¹:

    j = i + x,  v' = v + (1 - exp(-a)) (v_leak - v) + a (exp(-b) - exp(-a)) / (a - b) j,  i' = exp(-b) j

    where a = b makes a exp(-a) of the factor of j, its limit.

    Source: as `li_box_feed_forward_step_exponential`.

    Args:
        input_tensor: x, the synapse's jump in this tick, [B, N] or any shape.
        state: (v, i), broadcastable with x.
        p: parameters.
        dt: time step in s.

    Returns:
        The membrane potential v' in the shape of x, and the new state.

    Example:
        >>> state = LIState(v=torch.zeros(2), i=torch.zeros(2))
        >>> v, state = li_feed_forward_step_exponential(torch.ones(2), state)
        >>> v, state.i  # (exp(-0.1) - exp(-0.2)), exp(-0.2)
        (tensor([0.0861, 0.0861]), tensor([0.8187, 0.8187]))
    """
    v, i = _driven(state.v, state.i + input_tensor, p.v_leak, p.tau_mem_inv, p.tau_syn_inv, dt)
    return v, LIState(v=v, i=i)


def lif_feed_forward_step_exponential(
    input_spikes: Tensor, state: LIFFeedForwardState, p: LIFParameters = LIF_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIFFeedForwardState]:
    """One tick of LIF neurons with exponential synapses, exact between spikes: those of other neurons, and their own.

    u and i' as v' and i' in `li_feed_forward_step_exponential`, z = Θ(u - v_th),
    v' = reset_method(z, u, v_reset, v_th)

    Source: as `li_box_feed_forward_step_exponential`.

    Args:
        input_spikes: x, the synapse's jump in this tick, [B, N] or any shape.
        state: (v, i), broadcastable with x.
        p: parameters.
        dt: time step in s.

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> state = LIFFeedForwardState(v=torch.zeros(2), i=torch.zeros(2))
        >>> lif_feed_forward_step_exponential(torch.tensor([1.0, 12.0]), state)[0]
        tensor([0., 1.])
    """
    u, i = _driven(state.v, state.i + input_spikes, p.v_leak, p.tau_mem_inv, p.tau_syn_inv, dt)
    z = threshold(u - p.v_th, p.method, p.alpha)
    return z, LIFFeedForwardState(v=p.reset_method(z, u, p.v_reset, p.v_th), i=i)


def lif_step_exponential(
    input_spikes: Tensor,
    state: LIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFState]:
    """One tick of recurrently connected LIF neurons: `lif_feed_forward_step_exponential` of W_in x + W_rec z.

    No gradient flows through the spikes in the reset (z is detached there).

    Args:
        input_spikes: x, [B, input].
        state: (z, v, i), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step in s.

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> state = LIFState(z=torch.ones(1, 2), v=torch.zeros(1, 2), i=torch.zeros(1, 2))
        >>> lif_step_exponential(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))[1].v
        tensor([[0.4305, 0.4305]])
    """
    detached = p._replace(reset_method=DetachedReset(p.reset_method))
    step, inner = lif_feed_forward_step_exponential, LIFFeedForwardState
    return recurrent_step(step, inner, input_spikes, state, input_weights, recurrent_weights, detached, dt)


def _relaxed(v: Tensor, v_leak: Tensor, x: Tensor, rate: Tensor, dt: float) -> Tensor:
    """The membrane after a tick of constant input."""
    return v + -_expm1(-dt * rate) * ((v_leak - v) + x)


def _driven(
    v: Tensor, jumped: Tensor, v_leak: Tensor, membrane: Tensor, synapse: Tensor, dt: float
) -> tuple[Tensor, Tensor]:
    """The membrane and the current after a tick in which the current decays from what it jumped to."""
    a, b = dt * membrane, dt * synapse
    # (exp(-b) - exp(-a)) / (a - b) = exp(-a) expm1(a - b) / (a - b), which loses no digits where a and b are close
    share = a * _exp(-a) * _expm1_over(a - b)
    return v + -_expm1(-a) * (v_leak - v) + share * jumped, _exp(-b) * jumped


def _exp(x: Tensor) -> Tensor:
    return torch.exp(x) if isinstance(x, Tensor) else math.exp(x)  # type: ignore[return-value]


def _expm1(x: Tensor) -> Tensor:
    return torch.expm1(x) if isinstance(x, Tensor) else math.expm1(x)  # type: ignore[return-value]


def _expm1_over(x: Tensor) -> Tensor:
    """(exp(x) - 1) / x, and 1 at 0, with a derivative there."""
    if not isinstance(x, Tensor):
        return math.expm1(x) / x if x else 1.0
    small = torch.abs(x) < 1e-6
    apart = torch.where(small, 1.0, x)
    return torch.where(small, 1.0 + x / 2, torch.expm1(apart) / apart)
