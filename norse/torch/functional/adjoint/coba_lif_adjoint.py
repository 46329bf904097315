"""Adjoint (EventProp) steps of leaky integrate-and-fire neurons with conductance-based synapses."""

from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.adjoint.eventprop import Adjoint, at_spikes, outer
from norse.torch.functional.coba_lif import (
    COBA_LIF_DEFAULTS,
    CobaLIFFeedForwardState,
    CobaLIFParameters,
    CobaLIFState,
    coba_lif_feed_forward_step,
    coba_lif_step,
)


class _ConductanceSynapse:
    """g_e jumps by W⁺ x and g_i by W⁻ x, or by the positive and the negative part of x."""

    def to_input(self, adjoint: Any, x: Tensor, weights: Tensor | None) -> Tensor:
        if weights is None:
            jump: Tensor = torch.where(x > 0, adjoint.g_e, 0.0) - torch.where(x < 0, adjoint.g_i, 0.0)
            return jump
        excitatory = torch.matmul(adjoint.g_e, torch.relu(weights))
        return excitatory + torch.matmul(adjoint.g_i, torch.relu(-weights))

    def to_weights(self, adjoint: Any, x: Tensor, weights: Tensor) -> Tensor:
        return (weights > 0) * outer(adjoint.g_e, x) - (weights < 0) * outer(adjoint.g_i, x)


def _rule(
    before: Any, z: Tensor, after: Any, g: Tensor, adjoint: Any, p: CobaLIFParameters, dt: float
) -> tuple[Any, ...]:
    def rate(v: Tensor) -> Tensor:
        synaptic: Tensor = before.g_e * (p.e_rev_E - v) + before.g_i * (p.e_rev_I - v)
        return p.c_m_inv * (p.g_l * (p.v_rest - v) + synaptic)

    conductance = p.g_l + before.g_e + before.g_i
    v = adjoint.v - dt * p.c_m_inv * conductance * adjoint.v
    to_g_e = p.c_m_inv * (p.e_rev_E - before.v) * adjoint.v
    to_g_i = p.c_m_inv * (p.e_rev_I - before.v) * adjoint.v
    new = adjoint._replace(
        v=at_spikes(z, v, rate(after.v) * v + g, rate(before.v)),
        g_e=adjoint.g_e + dt * (to_g_e - p.tau_syn_exc_inv * adjoint.g_e),
        g_i=adjoint.g_i + dt * (to_g_i - p.tau_syn_inh_inv * adjoint.g_i),
    )
    return (new,)


_COBA_LIF = Adjoint(coba_lif_step, CobaLIFState, _rule, _ConductanceSynapse(), weights=2)
_COBA_LIF_FEED_FORWARD = Adjoint(coba_lif_feed_forward_step, CobaLIFFeedForwardState, _rule, _ConductanceSynapse())


class CobaLIFAdjointFunction(torch.autograd.Function):
    """`coba_lif_adjoint_step` of (x, z, v, g_e, g_i, W_in, W_rec, p, dt), which gives (z, v, g_e, g_i)."""

    generate_vmap_rule = True
    forward = staticmethod(_COBA_LIF.forward)
    setup_context = staticmethod(_COBA_LIF.setup_context)
    backward = staticmethod(_COBA_LIF.backward)


class CobaLIFFeedForwardAdjointFunction(torch.autograd.Function):
    """`coba_lif_feed_forward_adjoint_step` of (x, v, g_e, g_i, p, dt), which gives (z, v, g_e, g_i)."""

    generate_vmap_rule = True
    forward = staticmethod(_COBA_LIF_FEED_FORWARD.forward)
    setup_context = staticmethod(_COBA_LIF_FEED_FORWARD.setup_context)
    backward = staticmethod(_COBA_LIF_FEED_FORWARD.backward)


def coba_lif_adjoint_step(
    input: Tensor,
    s: CobaLIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: CobaLIFParameters = COBA_LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, CobaLIFState]:
    """One tick of recurrently connected conductance-based LIF neurons with EventProp gradients, as `coba_lif_step`.

    The membrane v̇ = c_m⁻¹ (g_l (v_rest - v) + g_e (E_E - v) + g_i (E_I - v)) has the flow back

    λv ← λv - dt c_m⁻¹ (g_l + g_e + g_i) λv
    λe ← λe + dt (c_m⁻¹ (E_E - v) λv - τ_E⁻¹ λe),  λi ← λi + dt (c_m⁻¹ (E_I - v) λv - τ_I⁻¹ λi)

    and a spike, with g the gradient with respect to it, λv ← (v̇⁺ λv + g) / v̇⁻. All λ are gradients (that of a synapse
    in `lif_adjoint_step` is τm / τs times one). With W⁺ = relu(W), W⁻ = relu(-W),

    ∂L/∂W_in = Θ(W_in) λeᵀx - Θ(-W_in) λiᵀx,  ∂L/∂x = λe W_in⁺ + λi W_in⁻, and the same of W_rec and z,

    with the λ after the tick for weights, before it for x and z.

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, [B, input].
        s: (z, v, g_e, g_i), each [B, hidden]; z are the last tick's spikes.
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
        >>> state = CobaLIFState(z=zeros, v=torch.tensor([[-20.0, -10.1]]), g_e=zeros + 3, g_i=zeros)
        >>> coba_lif_adjoint_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.zeros(2, 2))[0]
        tensor([[0., 1.]])
    """
    weights = (input_weights, recurrent_weights)
    return _COBA_LIF.call(CobaLIFAdjointFunction, input, s, weights, p, dt)  # type: ignore[no-any-return]


def coba_lif_feed_forward_adjoint_step(
    input: Tensor, s: CobaLIFFeedForwardState, p: CobaLIFParameters = COBA_LIF_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, CobaLIFFeedForwardState]:
    """One tick of conductance-based LIF neurons with EventProp gradients: forward as `coba_lif_feed_forward_step`.

    Backward as in `coba_lif_adjoint_step`, with ∂L/∂x = λe where x > 0 and -λi where x < 0.

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, the conductances' jump in this tick, [B, N] or any shape.
        s: (v, g_e, g_i), broadcastable with x.
        p: parameters; its method and alpha are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes in the shape of x, and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> state = CobaLIFFeedForwardState(v=torch.tensor([-20.0, -10.1]), g_e=torch.full((2,), 3.0), g_i=torch.zeros(2))
        >>> coba_lif_feed_forward_adjoint_step(torch.zeros(2), state)[0]
        tensor([0., 1.])
    """  # noqa: E501
    return _COBA_LIF_FEED_FORWARD.call(CobaLIFFeedForwardAdjointFunction, input, s, (), p, dt)  # type: ignore[no-any-return]
