"""Adjoint (EventProp) steps of leaky integrate-and-fire neurons."""

import torch
from torch import Tensor

from norse.torch.functional.adjoint.eventprop import Adjoint
from norse.torch.functional.adjoint.membrane import MEMBRANE_SYNAPSE, membrane_rule
from norse.torch.functional.lif import (
    LIF_DEFAULTS,
    LIFFeedForwardState,
    LIFParameters,
    LIFState,
    lif_feed_forward_step,
    lif_feed_forward_step_sparse,
    lif_step,
    lif_step_sparse,
)

_LIF = Adjoint(lif_step, LIFState, membrane_rule, MEMBRANE_SYNAPSE, weights=2)
_LIF_SPARSE = Adjoint(lif_step_sparse, LIFState, membrane_rule, MEMBRANE_SYNAPSE, weights=2)
_LIF_FEED_FORWARD = Adjoint(lif_feed_forward_step, LIFFeedForwardState, membrane_rule, MEMBRANE_SYNAPSE)
_LIF_FEED_FORWARD_SPARSE = Adjoint(lif_feed_forward_step_sparse, LIFFeedForwardState, membrane_rule, MEMBRANE_SYNAPSE)


class LIFAdjointFunction(torch.autograd.Function):
    """`lif_adjoint_step` of (x, z, v, i, W_in, W_rec, p, dt), which gives (z, v, i)."""

    generate_vmap_rule = True
    forward = staticmethod(_LIF.forward)
    setup_context = staticmethod(_LIF.setup_context)
    backward = staticmethod(_LIF.backward)


class LIFSparseAdjointFunction(torch.autograd.Function):
    """`lif_adjoint_step_sparse` of (x, z, v, i, W_in, W_rec, p, dt), which gives (z, v, i)."""

    forward = staticmethod(_LIF_SPARSE.forward)
    setup_context = staticmethod(_LIF_SPARSE.setup_context)
    backward = staticmethod(_LIF_SPARSE.backward)


class LIFFeedForwardAdjointFunction(torch.autograd.Function):
    """`lif_feed_forward_adjoint_step` of (x, v, i, p, dt), which gives (z, v, i)."""

    generate_vmap_rule = True
    forward = staticmethod(_LIF_FEED_FORWARD.forward)
    setup_context = staticmethod(_LIF_FEED_FORWARD.setup_context)
    backward = staticmethod(_LIF_FEED_FORWARD.backward)


class LIFFeedForwardSparseAdjointFunction(torch.autograd.Function):
    """`lif_feed_forward_adjoint_step_sparse` of (x, v, i, p, dt), which gives (z, v, i)."""

    forward = staticmethod(_LIF_FEED_FORWARD_SPARSE.forward)
    setup_context = staticmethod(_LIF_FEED_FORWARD_SPARSE.setup_context)
    backward = staticmethod(_LIF_FEED_FORWARD_SPARSE.backward)


def lif_adjoint_step(
    input: Tensor,
    s: LIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFState]:
    """One tick of recurrently connected LIF neurons with EventProp gradients: forward as `lif_step`, with Θ.

    Backward, with λ the adjoints, g the gradient with respect to z', and v̇⁻, v̇⁺ = τm⁻¹((v_leak - v) + i) for v before
    and after the tick (i before it):

    λi' = λi + dt τs⁻¹ (λv - λi),  λv' = (1 - z') λv₁ + z' (v̇⁺ λv₁ + g) / v̇⁻ with λv₁ = λv - dt τm⁻¹ λv,
    ∂L/∂W_in = λiᵀ x,  ∂L/∂W_rec = λiᵀ z,  ∂L/∂x = λi' W_in,  ∂L/∂z = λi' W_rec

    where a spike that no finite v̇⁻ led to (its tick's input alone did) has λv' = 0. If g is ∂L/∂t of a loss of spike
    times, then ∂L/∂W_in is -τm / τs times its gradient as dt → 0. The published equations have (λv - λi) W / τm where
    ∂L/∂z has λi' W_rec; so the gradient through a spike to the neuron that fired it is Norse's, not theirs.

    Source: T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking neural
    networks", Scientific Reports 11 (2021), 12829.

    Args:
        input: x, [B, input].
        s: (z, v, i), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters; its method and alpha are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> w = torch.ones(2, 3, requires_grad=True)
        >>> state = LIFState(z=torch.zeros(1, 2), v=torch.tensor([[0.0, 0.99]]), i=torch.full((1, 2), 3.0))
        >>> z, state = lif_adjoint_step(torch.ones(1, 3), state, w, torch.zeros(2, 2))
        >>> z
        tensor([[0., 1.]], grad_fn=<LIFAdjointFunctionBackward>)
    """
    return _LIF.call(LIFAdjointFunction, input, s, (input_weights, recurrent_weights), p, dt)  # type: ignore[no-any-return]


def lif_adjoint_step_sparse(
    input: Tensor,
    s: LIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFState]:
    """`lif_adjoint_step` of sparse input: forward as `lif_step_sparse`, backward the same.

    Args:
        input: x, [B, input], sparse COO.
        s: (z, v, i), each [B, hidden]; z sparse COO or not.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters; its method and alpha are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], sparse COO, and the new state with them.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> state = LIFState(z=torch.zeros(1, 2), v=torch.tensor([[0.0, 0.99]]), i=torch.full((1, 2), 3.0))
        >>> z, state = lif_adjoint_step_sparse(torch.ones(1, 3).to_sparse(), state, torch.ones(2, 3), torch.ones(2, 2))
        >>> z.is_sparse, z.to_dense()
        (True, tensor([[0., 1.]]))
    """
    weights = (input_weights, recurrent_weights)
    return _LIF_SPARSE.call(LIFSparseAdjointFunction, input, s, weights, p, dt)  # type: ignore[no-any-return]


def lif_feed_forward_adjoint_step(
    input: Tensor, s: LIFFeedForwardState, p: LIFParameters = LIF_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIFFeedForwardState]:
    """One tick of LIF neurons with EventProp gradients: forward as `lif_feed_forward_step`, with Θ.

    Backward as in `lif_adjoint_step`, with ∂L/∂x = λi'.

    Source: T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking neural
    networks", Scientific Reports 11 (2021), 12829.

    Args:
        input: x, the synapse's jump in this tick, [B, N] or any shape.
        s: (v, i), broadcastable with x.
        p: parameters; its method and alpha are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes in the shape of x, and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> v = torch.tensor([0.5, 0.99], requires_grad=True)
        >>> z, _ = lif_feed_forward_adjoint_step(torch.zeros(2), LIFFeedForwardState(v=v, i=torch.full((2,), 2.99)))
        >>> z.sum().backward()  # the spike is later by 1 / v̇ = 5 ms per unit of v
        >>> v.grad
        tensor([0.0000, 0.0050])
    """
    return _LIF_FEED_FORWARD.call(LIFFeedForwardAdjointFunction, input, s, (), p, dt)  # type: ignore[no-any-return]


def lif_feed_forward_adjoint_step_sparse(
    input: Tensor, s: LIFFeedForwardState, p: LIFParameters = LIF_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIFFeedForwardState]:
    """`lif_feed_forward_adjoint_step` of sparse input: forward as `lif_feed_forward_step_sparse`, backward the same.

    Args:
        input: x, the synapse's jump in this tick, sparse COO, of any shape.
        s: (v, i), broadcastable with x.
        p: parameters; its method and alpha are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes in the shape of x, sparse COO, and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> state = LIFFeedForwardState(v=torch.tensor([0.5, 0.99]), i=torch.full((2,), 2.99))
        >>> z, state = lif_feed_forward_adjoint_step_sparse(torch.zeros(2).to_sparse(), state)
        >>> z.to_dense()
        tensor([0., 1.])
    """
    function = LIFFeedForwardSparseAdjointFunction
    return _LIF_FEED_FORWARD_SPARSE.call(function, input, s, (), p, dt)  # type: ignore[no-any-return]
