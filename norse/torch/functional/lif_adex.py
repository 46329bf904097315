"""Adaptive exponential leaky integrate-and-fire neurons with an exponential synapse."""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from norse.torch.functional.lif_ex import exponential_current
from norse.torch.functional.recurrent import recurrent_step
from norse.torch.functional.reset import ResetMethod, reset_value
from norse.torch.functional.rest import RestsAt
from norse.torch.functional.surrogate import Alpha
from norse.torch.functional.threshold import threshold
from norse.torch.utils.pytree import StateTuple


class LIFAdExParameters(NamedTuple):
    """Parameters of an adaptive exponential leaky integrate-and-fire neuron.

    Args:
        adaptation_current: c_a, how strongly the adaptation follows the potential, dimensionless.
        adaptation_spike: a_spike, the adaptation's jump at a spike, in the unit of v_leak.
        delta_T: Δ_T, width of the spike's onset, in the unit of v_leak; 0 means none.
        tau_ada_inv: inverse time constant of the adaptation, 1/s (1/ms in `bio_default`).
        tau_syn_inv: inverse synaptic time constant, 1/s (1/ms in `bio_default`).
        tau_mem_inv: inverse membrane time constant, 1/s (1/ms in `bio_default`).
        v_leak: leak potential (dimensionless; mV in `bio_default`).
        v_th: threshold potential, where the exponential current is Δ_T and the neuron spikes, in the unit of v_leak.
        v_reset: reset potential, in the unit of v_leak.
        method: surrogate derivative, see `norse.torch.functional.threshold.threshold`.
        alpha: sharpness of the surrogate.
        reset_method: what a spike does to the membrane: `reset_value`, `reset_subtract` or a function like them.

    Example:
        >>> LIFAdExParameters(adaptation_spike=torch.tensor(0.1)).adaptation_spike
        tensor(0.1000)
    """

    adaptation_current: Tensor = torch.tensor(4.0)
    adaptation_spike: Tensor = torch.tensor(0.02)
    delta_T: Tensor = torch.tensor(0.5)
    tau_ada_inv: Tensor = torch.tensor(2.0)
    tau_syn_inv: Tensor = torch.tensor(200.0)
    tau_mem_inv: Tensor = torch.tensor(100.0)
    v_leak: Tensor = torch.tensor(0.0)
    v_th: Tensor = torch.tensor(1.0)
    v_reset: Tensor = torch.tensor(0.0)
    method: str = "super"
    alpha: Alpha = 100.0
    reset_method: ResetMethod = reset_value

    @classmethod
    def bio_default(cls) -> "LIFAdExParameters":
        """Biological values, times in ms, potentials in mV."""
        return cls(
            adaptation_current=torch.tensor(0.0),
            adaptation_spike=torch.tensor(0.01),
            delta_T=torch.tensor(2.0),
            tau_ada_inv=torch.tensor(1 / 100),
            tau_syn_inv=torch.tensor(1 / 2),
            tau_mem_inv=torch.tensor(1 / 10),
            v_leak=torch.tensor(-70.0),
            v_th=torch.tensor(-55.0),
            v_reset=torch.tensor(-70.0),
        )


class LIFAdExState(StateTuple):
    """State of recurrent adaptive exponential leaky integrate-and-fire neurons.

    Args:
        z: the last tick's spikes, [B, N].
        v: membrane potential, [B, N].
        i: synaptic current, [B, N].
        a: adaptation, [B, N].
    """

    z: Tensor
    v: Annotated[Tensor, RestsAt("v_leak")]
    i: Tensor
    a: Tensor


class LIFAdExFeedForwardState(StateTuple):
    """State of adaptive exponential leaky integrate-and-fire neurons.

    Args:
        v: membrane potential, [B, N]; 0 if not given (modules start at v_leak).
        i: synaptic current, [B, N]; 0 if not given.
        a: adaptation, [B, N]; 0 if not given.
    """

    v: Annotated[Tensor, RestsAt("v_leak")] = torch.tensor(0.0)
    i: Tensor = torch.tensor(0.0)
    a: Tensor = torch.tensor(0.0)


LIF_ADEX_DEFAULTS = LIFAdExParameters()
LIF_ADEX_ZERO = LIFAdExFeedForwardState()


def lif_adex_feed_forward_step(
    input_spikes: Tensor,
    state: LIFAdExFeedForwardState = LIF_ADEX_ZERO,
    p: LIFAdExParameters = LIF_ADEX_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFAdExFeedForwardState]:
    """One tick of adaptive exponential leaky integrate-and-fire neurons (forward Euler).

    τm dv/dt = (v_leak - v) + Δ_T exp((v - v_th) / Δ_T) + i - a,  τa da/dt = c_a (v - v_leak) - a,  τs di/dt = -i, with
    i jumping by the input x, v reset by a spike, and a jumping by a_spike:

    j = i + x,  u = v + dt τm⁻¹ ((v_leak - v) + Δ_T exp((v - v_th) / Δ_T) + j - a),  i' = j - dt τs⁻¹ j,
    z = Θ(u - v_th),  v' = reset_method(z, u, v_reset, v_th), by default (1 - z) u + z v_reset,
    a' = a + dt τa⁻¹ (c_a (v - v_leak) - a) + z a_spike

    With Δ_T = 0 the exponential current is 0, see `exponential_current`.

    Source: R. Brette, W. Gerstner, "Adaptive Exponential Integrate-and-Fire Model as an Effective Description of
    Neuronal Activity", J. Neurophysiol. 94 (2005).

    Args:
        input_spikes: x, the synapse's jump in this tick, [B, N] or any shape.
        state: (v, i, a), broadcastable with x; all 0 if not given.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> z, state = lif_adex_feed_forward_step(torch.tensor([1.0, 11.0]))
        >>> z, state.v, state.a
        (tensor([0., 1.]), tensor([0.1068, 0.0000]), tensor([0.0000, 0.0200]))
    """
    i_jump = state.i + input_spikes
    onset = exponential_current(state.v, p.v_th, p.delta_T)
    u = state.v + dt * p.tau_mem_inv * ((p.v_leak - state.v) + onset + i_jump - state.a)
    i = i_jump + (-dt * p.tau_syn_inv * i_jump)
    a = state.a + dt * p.tau_ada_inv * (p.adaptation_current * (state.v - p.v_leak) - state.a)
    z = threshold(u - p.v_th, p.method, p.alpha)
    v = p.reset_method(z, u, p.v_reset, p.v_th)
    return z, LIFAdExFeedForwardState(v=v, i=i, a=a + z * p.adaptation_spike)


def lif_adex_step(
    input_spikes: Tensor,
    state: LIFAdExState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFAdExParameters = LIF_ADEX_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFAdExState]:
    """One tick of recurrently connected AdEx neurons: `lif_adex_feed_forward_step` of W_in x + W_rec z.

    Args:
        input_spikes: x, [B, input].
        state: (z, v, i, a), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> zeros = torch.zeros(1, 2)
        >>> state = LIFAdExState(z=torch.ones(1, 2), v=zeros, i=zeros, a=zeros)
        >>> z, state = lif_adex_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))
        >>> state.v
        tensor([[0.5068, 0.5068]])
    """
    return recurrent_step(
        lif_adex_feed_forward_step,
        LIFAdExFeedForwardState,
        input_spikes,
        state,
        input_weights,
        recurrent_weights,
        p,
        dt,
    )


def lif_adex_current_encoder(
    input_current: Tensor,
    voltage: Tensor,
    adaptation: Tensor,
    p: LIFAdExParameters = LIF_ADEX_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, Tensor, Tensor]:
    """One tick of AdEx neurons without a synapse: turns a current into spikes.

    u = v + dt τm⁻¹ ((v_leak - v) + Δ_T exp((v - v_th) / Δ_T) + x - a),  z = Θ(u - v_th),  v' = u - z (u - v_reset),
    a' = τa⁻¹ (c_a (v' - v_leak) - a) + z a_spike

    As in Norse, a' is the adaptation's rate of change plus its jump, not its integral over dt, which only
    `lif_adex_feed_forward_step` computes.

    Args:
        input_current: x, [B, N] or any shape.
        voltage: v, broadcastable with x.
        adaptation: a, broadcastable with x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes in the shape of x, the new membrane potential and the new adaptation.

    Example:
        >>> lif_adex_current_encoder(torch.tensor([4.0, 20.0]), torch.tensor([0.5, 0.5]), torch.tensor([0.3, 0.3]))
        (tensor([0., 1.]), tensor([0.8384, 0.0000]), tensor([ 6.1072, -0.5800]))
    """
    onset = exponential_current(voltage, p.v_th, p.delta_T)
    u = voltage + dt * p.tau_mem_inv * ((p.v_leak - voltage) + onset + input_current - adaptation)
    z = threshold(u - p.v_th, p.method, p.alpha)
    v = u - z * (u - p.v_reset)
    return z, v, p.tau_ada_inv * (p.adaptation_current * (v - p.v_leak) - adaptation) + z * p.adaptation_spike
