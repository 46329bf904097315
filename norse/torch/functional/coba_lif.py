"""Leaky integrate-and-fire neurons with conductance-based synapses."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from norse.torch.functional.reset import ResetMethod, reset_value
from norse.torch.functional.surrogate import Alpha
from norse.torch.functional.threshold import threshold
from norse.torch.utils.pytree import StateTuple


class CobaLIFParameters(NamedTuple):
    """Parameters of a leaky integrate-and-fire neuron with conductance-based synapses.

    Args:
        tau_syn_exc_inv: inverse time constant of the excitatory conductance, 1/s (with dt in s).
        tau_syn_inh_inv: inverse time constant of the inhibitory conductance, 1/s.
        c_m_inv: inverse membrane capacitance: c_m⁻¹ times a conductance is in 1/s.
        g_l: leak conductance, in the unit of the state's g_e and g_i.
        e_rev_I: inhibitory reversal potential, mV.
        e_rev_E: excitatory reversal potential, mV.
        v_rest: resting potential, mV.
        v_reset: reset potential, mV.
        v_thresh: threshold potential, mV.
        method: surrogate derivative, see `norse.torch.functional.threshold.threshold`.
        alpha: sharpness of the surrogate.
        reset_method: what a spike does to the membrane: `reset_value`, `reset_subtract` or a function like them.

    Example:
        >>> CobaLIFParameters(v_rest=torch.tensor(-65.0)).v_rest
        tensor(-65.)
    """

    tau_syn_exc_inv: Tensor = torch.tensor(1 / 5)
    tau_syn_inh_inv: Tensor = torch.tensor(1 / 5)
    c_m_inv: Tensor = torch.tensor(5.0)
    g_l: Tensor = torch.tensor(0.25)
    e_rev_I: Tensor = torch.tensor(-100.0)
    e_rev_E: Tensor = torch.tensor(60.0)
    v_rest: Tensor = torch.tensor(-20.0)
    v_reset: Tensor = torch.tensor(-70.0)
    v_thresh: Tensor = torch.tensor(-10.0)
    method: str = "super"
    alpha: Alpha = 100.0
    reset_method: ResetMethod = reset_value


class CobaLIFState(StateTuple):
    """State of recurrent LIF neurons with conductance-based synapses.

    Args:
        z: the last tick's spikes, [B, N].
        v: membrane potential, [B, N].
        g_e: excitatory conductance, [B, N].
        g_i: inhibitory conductance, [B, N].
    """

    z: Tensor
    v: Tensor
    g_e: Tensor
    g_i: Tensor


class CobaLIFFeedForwardState(StateTuple):
    """State of LIF neurons with conductance-based synapses.

    Args:
        v: membrane potential, [B, N].
        g_e: excitatory conductance, [B, N].
        g_i: inhibitory conductance, [B, N].
    """

    v: Tensor
    g_e: Tensor
    g_i: Tensor


COBA_LIF_DEFAULTS = CobaLIFParameters()

default_bio_parameters = CobaLIFParameters(
    tau_syn_exc_inv=torch.tensor(1 / 0.3),
    tau_syn_inh_inv=torch.tensor(1 / 0.5),
    e_rev_E=torch.tensor(0.0),
    e_rev_I=torch.tensor(-70.0),
    v_thresh=torch.tensor(-50.0),
    v_reset=torch.tensor(-65.0),
    v_rest=torch.tensor(-65.0),
)
"""Biological parameters, times in ms, potentials in mV."""

default_bio_state = CobaLIFState(
    z=torch.tensor(0.0), v=torch.tensor(-65.0), g_e=torch.tensor(0.0), g_i=torch.tensor(0.0)
)
"""The state of one neuron at rest with `default_bio_parameters`; it broadcasts to any number of them."""


def coba_lif_feed_forward_step(
    input_tensor: Tensor,
    state: CobaLIFFeedForwardState,
    p: CobaLIFParameters = COBA_LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, CobaLIFFeedForwardState]:
    """One tick of leaky integrate-and-fire neurons with conductance-based synapses (forward Euler).

    c_m dv/dt = g_l (v_rest - v) + g_e (E_E - v) + g_i (E_I - v),  τ_E dg_e/dt = -g_e,  τ_I dg_i/dt = -g_i, with g_e
    jumping by the positive part of the input x, g_i by its negative part, and v reset by a spike:

    g_e' = j_e - dt τ_E⁻¹ j_e with j_e = g_e + relu(x),  g_i' = j_i - dt τ_I⁻¹ j_i with j_i = g_i + relu(-x),
    u = v + dt c_m⁻¹ (g_l (v_rest - v) + g_e' (E_E - v) + g_i' (E_I - v)),
    z = Θ(u - v_thresh),  v' = reset_method(z, u, v_reset, v_thresh)

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 3.1; R. Brette et al., "Simulation of networks of
    spiking neurons", J. Comput. Neurosci. 23 (2007), appendix B, benchmark 1.

    Args:
        input_tensor: x, the conductances' jump in this tick, [B, N] or any shape.
        state: (v, g_e, g_i), broadcastable with x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> state = CobaLIFFeedForwardState(v=torch.full((2,), -20.0), g_e=torch.zeros(2), g_i=torch.zeros(2))
        >>> z, state = coba_lif_feed_forward_step(torch.tensor([40.0, -40.0]), state)
        >>> z, state.v
        (tensor([1., 0.]), tensor([-70.0000, -35.9968]))
    """
    g_e = state.g_e + torch.relu(input_tensor)
    g_i = state.g_i + torch.relu(-input_tensor)
    return _membrane_step(state.v, g_e, g_i, p, dt)


def _membrane_step(
    v: Tensor, g_e: Tensor, g_i: Tensor, p: CobaLIFParameters, dt: float
) -> tuple[Tensor, CobaLIFFeedForwardState]:
    """What follows the jumps of the conductances."""
    g_e = g_e - dt * p.tau_syn_exc_inv * g_e
    g_i = g_i - dt * p.tau_syn_inh_inv * g_i
    current = p.g_l * (p.v_rest - v) + g_e * (p.e_rev_E - v) + g_i * (p.e_rev_I - v)
    u = v + dt * p.c_m_inv * current
    z = threshold(u - p.v_thresh, p.method, p.alpha)
    return z, CobaLIFFeedForwardState(v=p.reset_method(z, u, p.v_reset, p.v_thresh), g_e=g_e, g_i=g_i)


def coba_lif_step(
    input_spikes: Tensor,
    state: CobaLIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: CobaLIFParameters = COBA_LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, CobaLIFState]:
    """One tick of recurrently connected LIF neurons with conductance-based synapses.

    Positive weights W⁺ = relu(W) are excitatory, negative ones W⁻ = relu(-W) inhibitory:

    g_e jumps by W_in⁺ x + W_rec⁺ z,  g_i by W_in⁻ x + W_rec⁻ z, then as `coba_lif_feed_forward_step`

    Norse 1.1.0 drops the input's part of the jumps; here, both parts count.

    Args:
        input_spikes: x, [B, input].
        state: (z, v, g_e, g_i), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> state = CobaLIFState(z=torch.ones(1, 2), v=torch.zeros(1, 2), g_e=torch.zeros(1, 2), g_i=torch.zeros(1, 2))
        >>> w_rec = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
        >>> z, state = coba_lif_step(torch.ones(1, 3), state, torch.ones(2, 3), w_rec)
        >>> state.g_e, state.g_i
        (tensor([[2.9994, 3.9992]]), tensor([[0.9998, 0.0000]]))
    """
    g_e = state.g_e + linear(input_spikes, torch.relu(input_weights)) + linear(state.z, torch.relu(recurrent_weights))
    g_i = state.g_i + linear(input_spikes, torch.relu(-input_weights)) + linear(state.z, torch.relu(-recurrent_weights))
    z, inner = _membrane_step(state.v, g_e, g_i, p, dt)
    return z, CobaLIFState(z, *inner)
