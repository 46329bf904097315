"""Adjoint (EventProp) steps of multi-compartment leaky integrate-and-fire neurons."""

import torch
from torch import Tensor

from norse.torch.functional.adjoint.eventprop import Adjoint
from norse.torch.functional.adjoint.membrane import MEMBRANE_SYNAPSE, membrane_rule
from norse.torch.functional.lif import LIF_DEFAULTS, LIFFeedForwardState, LIFParameters, LIFState
from norse.torch.functional.lif_mc import lif_mc_feed_forward_step, lif_mc_step

_LIF_MC = Adjoint(lif_mc_step, LIFState, membrane_rule, MEMBRANE_SYNAPSE, weights=2)
_LIF_MC_FEED_FORWARD = Adjoint(lif_mc_feed_forward_step, LIFFeedForwardState, membrane_rule, MEMBRANE_SYNAPSE)


class LIFMCAdjointFunction(torch.autograd.Function):
    """`lif_mc_adjoint_step` of (x, z, v, i, W_in, W_rec, G, p, dt), which gives (z, v, i)."""

    generate_vmap_rule = True
    forward = staticmethod(_LIF_MC.forward)
    setup_context = staticmethod(_LIF_MC.setup_context)
    backward = staticmethod(_LIF_MC.backward)


class LIFMCFeedForwardAdjointFunction(torch.autograd.Function):
    """`lif_mc_feed_forward_adjoint_step` of (x, v, i, G, p, dt), which gives (z, v, i)."""

    generate_vmap_rule = True
    forward = staticmethod(_LIF_MC_FEED_FORWARD.forward)
    setup_context = staticmethod(_LIF_MC_FEED_FORWARD.setup_context)
    backward = staticmethod(_LIF_MC_FEED_FORWARD.backward)


def lif_mc_adjoint_step(
    input: Tensor,
    s: LIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    g_coupling: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFState]:
    """One tick of recurrently connected multi-compartment LIF neurons with EventProp gradients, else as `lif_mc_step`.

    The membrane v̇ = τm⁻¹((v_leak - v) + i) + G v has the flow back

    λi ← λi + dt τs⁻¹ (λv - λi),  λv ← λv - dt τm⁻¹ λv + dt Gᵀλv,  ∂L/∂G = dt λv vᵀ

    A spike of compartment k moves its potential by Δ_k = v_k⁺ - v_k⁻, and so changes the flow of those coupled to it:

    λv_k ← (v̇_k⁺ λv_k + Δ_k Σ_{m≠k} G_mk λv_m + g_k) / v̇_k⁻

    Weights, x and z get their gradients from λi as in `lif_adjoint_step`. (With its factor: where a loss of spike times
    has ∂L/∂W_in as -τm / τs times the gradient, it has ∂L/∂G as -1 times it.)

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, [B, input].
        s: (z, v, i), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        g_coupling: G, [hidden, hidden], in 1/s.
        p: parameters; its method and alpha are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> g = torch.tensor([[-100.0, 100.0], [100.0, -100.0]], requires_grad=True)
        >>> state = LIFState(z=torch.zeros(1, 2), v=torch.tensor([[0.5, 0.0]]), i=torch.zeros(1, 2))
        >>> z, state = lif_mc_adjoint_step(torch.zeros(1, 3), state, torch.ones(2, 3), torch.ones(2, 2), g)
        >>> state.v[0, 1].backward()
        >>> g.grad
        tensor([[0.0000, 0.0000],
                [0.0005, 0.0000]])
    """
    weights = (input_weights, recurrent_weights, g_coupling)
    return _LIF_MC.call(LIFMCAdjointFunction, input, s, weights, p, dt)  # type: ignore[no-any-return]


def lif_mc_feed_forward_adjoint_step(
    input: Tensor,
    s: LIFFeedForwardState,
    g_coupling: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFFeedForwardState]:
    """One tick of multi-compartment LIF neurons with EventProp gradients: forward as `lif_mc_feed_forward_step`.

    Backward as in `lif_mc_adjoint_step`, with ∂L/∂x = λi.

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, the synapse's jump in this tick, [B, N].
        s: (v, i); v must have all N compartments.
        g_coupling: G, [N, N], in 1/s.
        p: parameters; its method and alpha are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, N], and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> g = 100 * torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
        >>> v = torch.tensor([[0.5, 0.0]], requires_grad=True)
        >>> _, state = lif_mc_feed_forward_adjoint_step(torch.zeros(1, 2), LIFFeedForwardState(v, torch.zeros(1, 2)), g)
        >>> state.v[0, 1].backward()
        >>> v.grad
        tensor([[0.1000, 0.8000]])
    """
    function = LIFMCFeedForwardAdjointFunction
    return _LIF_MC_FEED_FORWARD.call(function, input, s, (g_coupling,), p, dt)  # type: ignore[no-any-return]
