"""Adjoint (EventProp) steps of multi-compartment leaky integrate-and-fire neurons with a refractory period."""

from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.adjoint.eventprop import Adjoint
from norse.torch.functional.adjoint.membrane import MEMBRANE_SYNAPSE, membrane_rule
from norse.torch.functional.lif_mc_refrac import lif_mc_refrac_feed_forward_step, lif_mc_refrac_step
from norse.torch.functional.lif_refrac import (
    LIF_REFRAC_DEFAULTS,
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    LIFRefracState,
)


def _rule(
    before: Any, z: Tensor, after: Any, g: Tensor, adjoint: Any, p: LIFRefracParameters, dt: float, g_coupling: Tensor
) -> tuple[Any, Tensor]:
    new, to_coupling = membrane_rule(before, z, after, g, adjoint, p, dt, g_coupling / dt)
    return new, to_coupling / dt


_LIF_MC_REFRAC = Adjoint(lif_mc_refrac_step, LIFRefracState, _rule, MEMBRANE_SYNAPSE, weights=2)
_LIF_MC_REFRAC_FEED_FORWARD = Adjoint(
    lif_mc_refrac_feed_forward_step, LIFRefracFeedForwardState, _rule, MEMBRANE_SYNAPSE
)


class LIFMCRefracAdjointFunction(torch.autograd.Function):
    """`lif_mc_refrac_adjoint` of (x, z, v, i, rho, W_in, W_rec, G, p, dt), which gives (z, v, i, rho)."""

    generate_vmap_rule = True
    forward = staticmethod(_LIF_MC_REFRAC.forward)
    setup_context = staticmethod(_LIF_MC_REFRAC.setup_context)
    backward = staticmethod(_LIF_MC_REFRAC.backward)


class LIFMCRefracFeedForwardAdjointFunction(torch.autograd.Function):
    """`lif_mc_refrac_feed_forward_adjoint` of (x, v, i, rho, G, p, dt), which gives (z, v, i, rho)."""

    generate_vmap_rule = True
    forward = staticmethod(_LIF_MC_REFRAC_FEED_FORWARD.forward)
    setup_context = staticmethod(_LIF_MC_REFRAC_FEED_FORWARD.setup_context)
    backward = staticmethod(_LIF_MC_REFRAC_FEED_FORWARD.backward)


def lif_mc_refrac_adjoint(
    input: Tensor,
    s: LIFRefracState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    g_coupling: Tensor,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracState]:
    """One tick of recurrently connected refractory multi-compartment LIF neurons with EventProp gradients.

    Forward as `lif_mc_refrac_step`. Backward, `lif_mc_adjoint_step` and `lif_refrac_adjoint_step` together, with
    the coupling G / dt per second, which goes on in a refractory compartment:

    v̇ = r τm⁻¹((v_leak - v) + i) + G v / dt,  with r = 1 for a free compartment and 0 for a refractory one
    λi ← λi + dt τs⁻¹ (r λv - λi),  λv ← λv - r dt τm⁻¹ λv + Gᵀλv,  ∂L/∂G = λv vᵀ
    λρ ← -dt τm⁻¹((v_leak - v) + i) λv in the last tick of the refractory period, and stays so until the spike
    λv_k ← (v̇_k⁺ λv_k + Δ_k Σ_{m≠k} G_mk λv_m / dt - λρ_k / dt + g_k) / v̇_k⁻ for a spike of k, Δ_k = v_k⁺ - v_k⁻

    Weights, x and z get their gradients from λi as in `lif_adjoint_step`.

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, [B, input].
        s: (lif, rho), each field [B, hidden]; lif.z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        g_coupling: G, [hidden, hidden], what passes between compartments in one tick.
        p: parameters; the method and alpha of p.lif are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> from norse.torch.functional.lif import LIFState
        >>> lif = LIFState(z=torch.zeros(1, 2), v=torch.full((1, 2), 0.99), i=torch.full((1, 2), 3.0))
        >>> state = LIFRefracState(lif, rho=torch.tensor([[0.0, 2.0]]))
        >>> w, g = torch.ones(2, 3), torch.zeros(2, 2)
        >>> z, state = lif_mc_refrac_adjoint(torch.ones(1, 3), state, w, torch.zeros(2, 2), g)
        >>> z, state.rho
        (tensor([[1., 0.]]), tensor([[5., 1.]]))
    """
    weights = (input_weights, recurrent_weights, g_coupling)
    return _LIF_MC_REFRAC.call(LIFMCRefracAdjointFunction, input, s, weights, p, dt)  # type: ignore[no-any-return]


def lif_mc_refrac_feed_forward_adjoint(
    input: Tensor,
    s: LIFRefracFeedForwardState,
    g_coupling: Tensor,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracFeedForwardState]:
    """One tick of refractory multi-compartment LIF neurons with EventProp gradients.

    Forward as `lif_mc_refrac_feed_forward_step`, backward as in `lif_mc_refrac_adjoint`, with ∂L/∂x = λi.

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, the synapse's jump in this tick, [B, N].
        s: (lif, rho); v must have all N compartments.
        g_coupling: G, [N, N], what passes between compartments in one tick.
        p: parameters; the method and alpha of p.lif are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, N], and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> from norse.torch.functional.lif import LIFFeedForwardState
        >>> lif = LIFFeedForwardState(v=torch.full((1, 2), 0.99), i=torch.full((1, 2), 3.0))
        >>> state = LIFRefracFeedForwardState(lif, rho=torch.tensor([[0.0, 2.0]]))
        >>> lif_mc_refrac_feed_forward_adjoint(torch.zeros(1, 2), state, torch.zeros(2, 2))[0]
        tensor([[1., 0.]])
    """
    function = LIFMCRefracFeedForwardAdjointFunction
    return _LIF_MC_REFRAC_FEED_FORWARD.call(function, input, s, (g_coupling,), p, dt)  # type: ignore[no-any-return]
