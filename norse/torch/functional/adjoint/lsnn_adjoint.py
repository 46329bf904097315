"""Adjoint (EventProp) steps of leaky integrate-and-fire neurons with an adaptive threshold."""

from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.adjoint.eventprop import Adjoint, CurrentSynapse, at_spikes, reset_slope
from norse.torch.functional.lsnn import (
    LSNN_DEFAULTS,
    LSNNFeedForwardState,
    LSNNParameters,
    LSNNState,
    lsnn_feed_forward_step,
    lsnn_step,
)


def _rule(before: Any, z: Tensor, after: Any, g: Tensor, adjoint: Any, p: LSNNParameters, dt: float) -> tuple[Any]:
    v_before = p.tau_mem_inv * ((p.v_leak - before.v) + before.i)
    v_after = p.tau_mem_inv * ((p.v_leak - after.v) + before.i)
    b_before = p.tau_adapt_inv * (p.v_th - before.b)
    b_after = p.tau_adapt_inv * (p.v_th - after.b)
    v = adjoint.v - dt * p.tau_mem_inv * adjoint.v
    i = adjoint.i + dt * p.tau_syn_inv * (adjoint.v - adjoint.i)
    b = adjoint.b - dt * p.tau_adapt_inv * adjoint.b
    slope = reset_slope(p.reset_method, z, before.v, p.v_reset, p.v_th)
    change = (v_after - slope * v_before) * v + (b_after - b_before) * b + g
    later = at_spikes(z, torch.zeros_like(z), change, v_before - b_before)
    return (adjoint._replace(v=torch.where(z > 0, slope * v, v) + later, i=i, b=b - later),)


_SYNAPSE = CurrentSynapse(lambda adjoint: adjoint.i)
_LSNN = Adjoint(lsnn_step, LSNNState, _rule, _SYNAPSE, weights=2)
_LSNN_FEED_FORWARD = Adjoint(lsnn_feed_forward_step, LSNNFeedForwardState, _rule, _SYNAPSE)


class LSNNAdjointFunction(torch.autograd.Function):
    """`lsnn_adjoint_step` of (x, z, v, i, b, W_in, W_rec, p, dt), which gives (z, v, i, b)."""

    generate_vmap_rule = True
    forward = staticmethod(_LSNN.forward)
    setup_context = staticmethod(_LSNN.setup_context)
    backward = staticmethod(_LSNN.backward)


class LSNNFeedForwardAdjointFunction(torch.autograd.Function):
    """`lsnn_feed_forward_adjoint_step` of (x, v, i, b, p, dt), which gives (z, v, i, b)."""

    generate_vmap_rule = True
    forward = staticmethod(_LSNN_FEED_FORWARD.forward)
    setup_context = staticmethod(_LSNN_FEED_FORWARD.setup_context)
    backward = staticmethod(_LSNN_FEED_FORWARD.backward)


def lsnn_adjoint_step(
    input: Tensor,
    s: LSNNState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LSNNParameters = LSNN_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LSNNState]:
    """One tick of recurrently connected LSNN neurons with EventProp gradients: forward as `lsnn_step`, with Θ.

    The flow back, with λ the adjoints, is

    λi ← λi + dt τs⁻¹ (λv - λi),  λv ← λv - dt τm⁻¹ λv,  λb ← λb - dt τ_adapt⁻¹ λb

    A spike comes when v - b becomes positive, with the speed v̇⁻ - ḃ⁻, and changes the flow of v and, by the jump of b,
    that of b. So a spike, with g the gradient with respect to it and R' the slope of the reset (0 for reset_value, 1
    for reset_subtract), has

    κ = ((v̇⁺ - R'v̇⁻) λv + (ḃ⁺ - ḃ⁻) λb + g) / (v̇⁻ - ḃ⁻),  λv ← R'λv + κ,  λb ← λb - κ
    v̇ = τm⁻¹((v_leak - v) + i),  ḃ = τ_adapt⁻¹ (v_th - b)

    Weights, x and z get their gradients from λi as in `lif_adjoint_step`.

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, [B, input].
        s: (z, v, i, b), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters; its method and alpha are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> zeros = torch.zeros(1, 2)
        >>> state = LSNNState(z=zeros, v=torch.tensor([[0.0, 0.99]]), i=torch.full((1, 2), 3.0), b=torch.ones(1, 2))
        >>> z, state = lsnn_adjoint_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))
        >>> z
        tensor([[0., 1.]])
    """
    return _LSNN.call(LSNNAdjointFunction, input, s, (input_weights, recurrent_weights), p, dt)  # type: ignore[no-any-return]


def lsnn_feed_forward_adjoint_step(
    input: Tensor, s: LSNNFeedForwardState, p: LSNNParameters = LSNN_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LSNNFeedForwardState]:
    """One tick of LSNN neurons with EventProp gradients: forward as `lsnn_feed_forward_step`, with Θ.

    Backward as in `lsnn_adjoint_step`, with ∂L/∂x = λi.

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, the synapse's jump in this tick, [B, N] or any shape.
        s: (v, i, b), which together broadcast to the shape of x.
        p: parameters; its method and alpha are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes in the shape of the state, and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> state = LSNNFeedForwardState(v=torch.tensor([0.0, 0.99]), i=torch.full((2,), 3.0), b=torch.ones(2))
        >>> lsnn_feed_forward_adjoint_step(torch.zeros(2), state)[0]
        tensor([0., 1.])
    """
    return _LSNN_FEED_FORWARD.call(LSNNFeedForwardAdjointFunction, input, s, (), p, dt)  # type: ignore[no-any-return]
