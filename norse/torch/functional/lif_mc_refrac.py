"""Multi-compartment leaky integrate-and-fire neurons with a refractory period."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from norse.torch.functional.lif import LIFFeedForwardState, LIFState
from norse.torch.functional.lif_refrac import (
    LIF_REFRAC_DEFAULTS,
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    LIFRefracState,
)
from norse.torch.functional.threshold import threshold


def lif_mc_refrac_feed_forward_step(
    input_tensor: Tensor,
    state: LIFRefracFeedForwardState,
    g_coupling: Tensor,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracFeedForwardState]:
    """One tick of leaky integrate-and-fire neurons with a refractory period whose membranes are coupled.

    During the ρ_reset ticks after a spike, leak and synapse don't act on the membrane; the coupling does. The input x
    acts on the membrane from the next tick on:

    m = Θ(ρ),  u = v + ((1 - m) dt τm⁻¹ ((v_leak - v) + i) + G v),  i' = (i - dt τs⁻¹ i) + x,
    z = Θ(u - v_th),  v' = reset_method(z, u, v_reset, v_th),  ρ' = (1 - z) relu(ρ - m) + z ρ_reset

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3 and 3.2.

    Args:
        input_tensor: x, the synapse's jump in this tick, [B, N].
        state: (lif, rho); v must have all N compartments.
        g_coupling: G, [N, N], what passes between compartments in one tick (dt is not applied to it).
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes (0 or 1) [B, N], and the new state.

    Example:
        >>> g = torch.tensor([[-0.1, 0.1], [0.1, -0.1]])
        >>> lif = LIFFeedForwardState(v=torch.tensor([[0.5, 0.0]]), i=torch.zeros(1, 2))
        >>> state = LIFRefracFeedForwardState(lif, rho=torch.tensor([[3.0, 0.0]]))
        >>> z, state = lif_mc_refrac_feed_forward_step(torch.zeros(1, 2), state, g)
        >>> state.lif.v, state.rho  # the first compartment is refractory: it doesn't leak
        (tensor([[0.4500, 0.0500]]), tensor([[2., 0.]]))
    """
    v, i, rho = state.lif.v, state.lif.i, state.rho
    refractory = threshold(rho, p.lif.method, p.lif.alpha)
    own = (1 - refractory) * dt * p.lif.tau_mem_inv * ((p.lif.v_leak - v) + i)
    u = v + (own + linear(v, g_coupling))
    z = threshold(u - p.lif.v_th, p.lif.method, p.lif.alpha)
    lif = LIFFeedForwardState(
        v=p.lif.reset_method(z, u, p.lif.v_reset, p.lif.v_th),
        i=i - dt * p.lif.tau_syn_inv * i + input_tensor,
    )
    rho = (1 - z) * torch.relu(rho - refractory) + z * p.rho_reset
    return z, LIFRefracFeedForwardState(lif=lif, rho=rho)


def lif_mc_refrac_step(
    input_tensor: Tensor,
    state: LIFRefracState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    g_coupling: Tensor,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracState]:
    """One tick of recurrently connected multi-compartment LIF neurons with a refractory period.

    `lif_mc_refrac_feed_forward_step` of W_in x + W_rec z.

    Args:
        input_tensor: x, [B, input].
        state: (lif, rho), each field [B, hidden]; lif.z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        g_coupling: G, [hidden, hidden], what passes between compartments in one tick.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> zeros = torch.zeros(1, 2)
        >>> state = LIFRefracState(LIFState(z=torch.ones(1, 2), v=zeros, i=zeros), rho=zeros)
        >>> z, state = lif_mc_refrac_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2), torch.zeros(2, 2))
        >>> state.lif.i
        tensor([[5., 5.]])
    """  # noqa: E501
    inner = LIFRefracFeedForwardState(LIFFeedForwardState(v=state.lif.v, i=state.lif.i), rho=state.rho)
    z, (lif, rho) = lif_mc_refrac_feed_forward_step(linear(input_tensor, input_weights), inner, g_coupling, p, dt)
    i = lif.i + linear(state.lif.z, recurrent_weights)
    return z, LIFRefracState(LIFState(z=z, v=lif.v, i=i), rho=rho)
