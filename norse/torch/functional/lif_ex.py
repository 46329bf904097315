"""Exponential leaky integrate-and-fire neurons with an exponential synapse."""

import math
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from norse.torch.functional.recurrent import recurrent_step
from norse.torch.functional.reset import ResetMethod, reset_value
from norse.torch.functional.rest import RestsAt
from norse.torch.functional.surrogate import Alpha
from norse.torch.functional.threshold import threshold
from norse.torch.utils.pytree import StateTuple


class LIFExParameters(NamedTuple):
    """Parameters of an exponential leaky integrate-and-fire neuron.

    Args:
        delta_T: Δ_T, width of the spike's onset, in the unit of v_leak; 0 means none, as in `bio_default`.
        tau_syn_inv: inverse synaptic time constant, 1/s (1/ms in `bio_default`).
        tau_mem_inv: inverse membrane time constant, 1/s (1/ms in `bio_default`).
        v_leak: leak potential (dimensionless; mV in `bio_default`).
        v_th: threshold potential, where the exponential current is Δ_T and the neuron spikes, in the unit of v_leak.
        v_reset: reset potential, in the unit of v_leak.
        method: surrogate derivative, see `norse.torch.functional.threshold.threshold`.
        alpha: sharpness of the surrogate.
        reset_method: what a spike does to the membrane: `reset_value`, `reset_subtract` or a function like them.

    Example:
        >>> LIFExParameters(delta_T=torch.tensor(0.25)).delta_T
        tensor(0.2500)
    """

    delta_T: Tensor = torch.tensor(0.5)
    tau_syn_inv: Tensor = torch.tensor(200.0)
    tau_mem_inv: Tensor = torch.tensor(100.0)
    v_leak: Tensor = torch.tensor(0.0)
    v_th: Tensor = torch.tensor(1.0)
    v_reset: Tensor = torch.tensor(0.0)
    method: str = "super"
    alpha: Alpha = 100.0
    reset_method: ResetMethod = reset_value

    @classmethod
    def bio_default(cls) -> "LIFExParameters":
        """Biological values, times in ms, potentials in mV."""
        return cls(
            delta_T=torch.tensor(0.0),
            tau_syn_inv=torch.tensor(1 / 2),
            tau_mem_inv=torch.tensor(1 / 10),
            v_leak=torch.tensor(-70.0),
            v_th=torch.tensor(-55.0),
            v_reset=torch.tensor(-70.0),
        )


class LIFExState(StateTuple):
    """State of recurrent exponential leaky integrate-and-fire neurons.

    Args:
        z: the last tick's spikes, [B, N].
        v: membrane potential, [B, N].
        i: synaptic current, [B, N].
    """

    z: Tensor
    v: Annotated[Tensor, RestsAt("v_leak")]
    i: Tensor


class LIFExFeedForwardState(StateTuple):
    """State of exponential leaky integrate-and-fire neurons.

    Args:
        v: membrane potential, [B, N]; 0 if not given (modules start at v_leak).
        i: synaptic current, [B, N]; 0 if not given.
    """

    v: Annotated[Tensor, RestsAt("v_leak")] = torch.tensor(0.0)
    i: Tensor = torch.tensor(0.0)


LIF_EX_DEFAULTS = LIFExParameters()
LIF_EX_ZERO = LIFExFeedForwardState()


def exponential_current(v: Tensor, v_th: Tensor, delta_T: Tensor | float) -> Tensor:
    """The current that starts a spike, Δ_T exp((v - v_th) / Δ_T); 0 where Δ_T = 0.

    The narrower the onset, the closer the neuron is to one with a hard threshold: below it the current goes to 0 with
    Δ_T, and so do its derivatives, above it without bound. A potential above threshold spikes anyway, so that Δ_T = 0
    is taken as no current at all, below and above, in numbers and derivatives.

    Source: N. Fourcaud-Trocmé, D. Hansel, C. van Vreeswijk, N. Brunel, "How Spike Generation Mechanisms Determine the
    Neuronal Response to Fluctuating Inputs", J. Neurosci. 23 (2003).

    Args:
        v: membrane potential, [B, N] or any shape.
        v_th: threshold potential, broadcastable with v.
        delta_T: Δ_T, broadcastable with v; some neurons may have 0 and others not.

    Returns:
        The current, in the unit of v.

    Example:
        >>> exponential_current(torch.tensor([0.5, 1.0, 1.0]), torch.tensor(1.0), torch.tensor([0.5, 0.5, 0.0]))
        tensor([0.1839, 0.5000, 0.0000])
    """
    if not isinstance(delta_T, Tensor):
        delta_T = torch.full_like(v, delta_T)
    no_onset = delta_T == 0
    # exp(-inf) = 0 has the derivative 0; a division by 0 would have none, even where its quotient is not used.
    exponent = torch.where(no_onset, -math.inf, (v - v_th) / torch.where(no_onset, 1.0, delta_T))
    return delta_T * torch.exp(exponent)


def lif_ex_feed_forward_step(
    input_spikes: Tensor,
    state: LIFExFeedForwardState = LIF_EX_ZERO,
    p: LIFExParameters = LIF_EX_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFExFeedForwardState]:
    """One tick of exponential leaky integrate-and-fire neurons (forward Euler).

    τm dv/dt = (v_leak - v) + Δ_T exp((v - v_th) / Δ_T) + i,  τs di/dt = -i, with i jumping by the input x and v reset
    by a spike:

    j = i + x,  u = v + dt τm⁻¹ ((v_leak - v) + Δ_T exp((v - v_th) / Δ_T) + j),  i' = j - dt τs⁻¹ j,
    z = Θ(u - v_th),  v' = reset_method(z, u, v_reset, v_th), by default (1 - z) u + z v_reset

    With Δ_T = 0 the exponential current is 0 (see `exponential_current`): the neuron of `lif_feed_forward_step`.

    Source: N. Fourcaud-Trocmé, D. Hansel, C. van Vreeswijk, N. Brunel, "How Spike Generation Mechanisms Determine the
    Neuronal Response to Fluctuating Inputs", J. Neurosci. 23 (2003).

    Args:
        input_spikes: x, the synapse's jump in this tick, [B, N] or any shape.
        state: (v, i), broadcastable with x; all 0 if not given.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> z, state = lif_ex_feed_forward_step(torch.tensor([1.0, 11.0]))
        >>> z, state.v
        (tensor([0., 1.]), tensor([0.1068, 0.0000]))
    """
    i_jump = state.i + input_spikes
    onset = exponential_current(state.v, p.v_th, p.delta_T)
    u = state.v + dt * p.tau_mem_inv * ((p.v_leak - state.v) + onset + i_jump)
    i = i_jump + (-dt * p.tau_syn_inv * i_jump)
    z = threshold(u - p.v_th, p.method, p.alpha)
    return z, LIFExFeedForwardState(v=p.reset_method(z, u, p.v_reset, p.v_th), i=i)


def lif_ex_step(
    input_tensor: Tensor,
    state: LIFExState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFExParameters = LIF_EX_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFExState]:
    """One tick of recurrently connected exponential LIF neurons: `lif_ex_feed_forward_step` of W_in x + W_rec z.

    Args:
        input_tensor: x, [B, input].
        state: (z, v, i), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> state = LIFExState(z=torch.ones(1, 2), v=torch.zeros(1, 2), i=torch.zeros(1, 2))
        >>> z, state = lif_ex_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))
        >>> state.v
        tensor([[0.5068, 0.5068]])
    """
    return recurrent_step(
        lif_ex_feed_forward_step, LIFExFeedForwardState, input_tensor, state, input_weights, recurrent_weights, p, dt
    )


def lif_ex_current_encoder(
    input_current: Tensor, voltage: Tensor, p: LIFExParameters = LIF_EX_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, Tensor]:
    """One tick of exponential LIF neurons without a synapse: turns a current into spikes.

    u = v + dt τm⁻¹ ((v_leak - v) + Δ_T exp((v - v_th) / Δ_T) + x),  z = Θ(u - v_th),  v' = u - z (u - v_reset)

    Args:
        input_current: x, [B, N] or any shape.
        voltage: v, broadcastable with x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes in the shape of x, and the new membrane potential.

    Example:
        >>> lif_ex_current_encoder(torch.tensor([4.0, 11.0]), torch.tensor([0.5, 0.5]))
        (tensor([0., 1.]), tensor([0.8684, 0.0000]))
    """
    onset = exponential_current(voltage, p.v_th, p.delta_T)
    u = voltage + dt * p.tau_mem_inv * ((p.v_leak - voltage) + onset + input_current)
    z = threshold(u - p.v_th, p.method, p.alpha)
    return z, u - z * (u - p.v_reset)
