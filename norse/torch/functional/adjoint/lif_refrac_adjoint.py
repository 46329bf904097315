"""Adjoint (EventProp) steps of leaky integrate-and-fire neurons with a refractory period."""

import torch
from torch import Tensor

from norse.torch.functional.adjoint.eventprop import Adjoint
from norse.torch.functional.adjoint.membrane import MEMBRANE_SYNAPSE, membrane_rule
from norse.torch.functional.lif_refrac import (
    LIF_REFRAC_DEFAULTS,
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    LIFRefracState,
    lif_refrac_feed_forward_step,
    lif_refrac_step,
    lif_refrac_step_sparse,
)

_LIF_REFRAC = Adjoint(lif_refrac_step, LIFRefracState, membrane_rule, MEMBRANE_SYNAPSE, weights=2)
_LIF_REFRAC_SPARSE = Adjoint(lif_refrac_step_sparse, LIFRefracState, membrane_rule, MEMBRANE_SYNAPSE, weights=2)
_LIF_REFRAC_FEED_FORWARD = Adjoint(
    lif_refrac_feed_forward_step, LIFRefracFeedForwardState, membrane_rule, MEMBRANE_SYNAPSE
)


class LIFAdjointRefracFunction(torch.autograd.Function):
    """`lif_refrac_adjoint_step` of (x, z, v, i, rho, W_in, W_rec, p, dt), which gives (z, v, i, rho)."""

    generate_vmap_rule = True
    forward = staticmethod(_LIF_REFRAC.forward)
    setup_context = staticmethod(_LIF_REFRAC.setup_context)
    backward = staticmethod(_LIF_REFRAC.backward)


class LIFSparseAdjointRefracFunction(torch.autograd.Function):
    """`lif_refrac_adjoint_step_sparse` of (x, z, v, i, rho, W_in, W_rec, p, dt), which gives (z, v, i, rho)."""

    forward = staticmethod(_LIF_REFRAC_SPARSE.forward)
    setup_context = staticmethod(_LIF_REFRAC_SPARSE.setup_context)
    backward = staticmethod(_LIF_REFRAC_SPARSE.backward)


class LIFAdjointRefracFeedForwardFunction(torch.autograd.Function):
    """`lif_refrac_feed_forward_adjoint_step` of (x, v, i, rho, p, dt), which gives (z, v, i, rho)."""

    generate_vmap_rule = True
    forward = staticmethod(_LIF_REFRAC_FEED_FORWARD.forward)
    setup_context = staticmethod(_LIF_REFRAC_FEED_FORWARD.setup_context)
    backward = staticmethod(_LIF_REFRAC_FEED_FORWARD.backward)


def lif_refrac_adjoint_step(
    input: Tensor,
    s: LIFRefracState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracState]:
    """One tick of recurrently connected refractory LIF neurons with EventProp gradients: forward as `lif_refrac_step`.

    A free neuron goes back in time as in `lif_adjoint_step`. While it is refractory, v stands still and i doesn't act
    on it:

    λi' = λi - dt τs⁻¹ λi,  λv' = λv

    The end of the refractory period is an event too: it comes later by as much as ρ is larger, and v starts with
    v̇⁺ = τm⁻¹((v_leak - v) + i) then. Its last tick has

    λρ' = -dt v̇⁺ λv

    which stays λρ until the spike that began the period, whose potential it decides in place of the flow after it:

    λv' = (g - λρ / dt) / v̇⁻,  λρ' = 0

    Weights, x and z get their gradients from λi as in `lif_adjoint_step`.

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, [B, input].
        s: (lif, rho), each field [B, hidden]; lif.z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
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
        >>> z, state = lif_refrac_adjoint_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.zeros(2, 2))
        >>> z, state.rho
        (tensor([[1., 0.]]), tensor([[5., 1.]]))
    """
    weights = (input_weights, recurrent_weights)
    return _LIF_REFRAC.call(LIFAdjointRefracFunction, input, s, weights, p, dt)  # type: ignore[no-any-return]


def lif_refrac_adjoint_step_sparse(
    input: Tensor,
    s: LIFRefracState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracState]:
    """`lif_refrac_adjoint_step` of sparse input: forward as `lif_refrac_step_sparse`, backward the same.

    Args:
        input: x, [B, input], sparse COO.
        s: (lif, rho), each field [B, hidden]; lif.z sparse COO or not.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters; the method and alpha of p.lif are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], sparse COO, and the new state with them.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> from norse.torch.functional.lif import LIFState
        >>> lif = LIFState(z=torch.zeros(1, 2), v=torch.full((1, 2), 0.99), i=torch.full((1, 2), 3.0))
        >>> state = LIFRefracState(lif, rho=torch.tensor([[0.0, 2.0]]))
        >>> x = torch.ones(1, 3).to_sparse()
        >>> z, state = lif_refrac_adjoint_step_sparse(x, state, torch.ones(2, 3), torch.zeros(2, 2))
        >>> z.is_sparse, z.to_dense()
        (True, tensor([[1., 0.]]))
    """
    function, weights = LIFSparseAdjointRefracFunction, (input_weights, recurrent_weights)
    return _LIF_REFRAC_SPARSE.call(function, input, s, weights, p, dt)  # type: ignore[no-any-return]


def lif_refrac_feed_forward_adjoint_step(
    input: Tensor,
    s: LIFRefracFeedForwardState,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracFeedForwardState]:
    """One tick of refractory LIF neurons with EventProp gradients: forward as `lif_refrac_feed_forward_step`.

    Backward as in `lif_refrac_adjoint_step`, with ∂L/∂x = λi'.

    Source: derived as T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
    neural networks", Scientific Reports 11 (2021), 12829, do for LIF neurons.

    Args:
        input: x, the synapse's jump in this tick, [B, N] or any shape.
        s: (lif, rho), broadcastable with x.
        p: parameters; the method and alpha of p.lif are not used. They get no gradient.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes in the shape of x, and the new state.

    Raises:
        ValueError: if a parameter requires grad.

    Example:
        >>> from norse.torch.functional.lif import LIFFeedForwardState
        >>> lif = LIFFeedForwardState(v=torch.full((2,), 0.99), i=torch.full((2,), 3.0))
        >>> state = LIFRefracFeedForwardState(lif, rho=torch.tensor([0.0, 2.0]))
        >>> lif_refrac_feed_forward_adjoint_step(torch.zeros(2), state)[0]
        tensor([1., 0.])
    """
    function = LIFAdjointRefracFeedForwardFunction
    return _LIF_REFRAC_FEED_FORWARD.call(function, input, s, (), p, dt)  # type: ignore[no-any-return]
