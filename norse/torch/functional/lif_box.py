"""Leaky integrate-and-fire neurons without a synapse: the input is the current."""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from norse.torch.functional.recurrent import recurrent_step
from norse.torch.functional.reset import ResetMethod, reset_value
from norse.torch.functional.rest import RestsAt
from norse.torch.functional.surrogate import Alpha
from norse.torch.functional.threshold import threshold
from norse.torch.utils.pytree import StateTuple


class LIFBoxParameters(NamedTuple):
    """Parameters of a leaky integrate-and-fire neuron without a synapse.

    Args:
        tau_mem_inv: inverse membrane time constant, 1/s.
        v_leak: leak potential (dimensionless).
        v_th: threshold potential.
        v_reset: reset potential.
        method: surrogate derivative, see `norse.torch.functional.threshold.threshold`.
        alpha: sharpness of the surrogate.
        reset_method: what a spike does to the membrane: `reset_value`, `reset_subtract` or a function like them.

    Example:
        >>> LIFBoxParameters().tau_mem_inv
        tensor(100.)
    """

    tau_mem_inv: Tensor = torch.tensor(100.0)
    v_leak: Tensor = torch.tensor(0.0)
    v_th: Tensor = torch.tensor(1.0)
    v_reset: Tensor = torch.tensor(0.0)
    method: str = "super"
    alpha: Alpha = torch.tensor(100.0)
    reset_method: ResetMethod = reset_value


class LIFBoxState(StateTuple):
    """State of recurrent leaky integrate-and-fire neurons without a synapse.

    Args:
        z: the last tick's spikes, [B, N].
        v: membrane potential, [B, N].
    """

    z: Tensor
    v: Annotated[Tensor, RestsAt("v_leak")]


class LIFBoxFeedForwardState(StateTuple):
    """State of leaky integrate-and-fire neurons without a synapse.

    Args:
        v: membrane potential, [B, N].
    """

    v: Annotated[Tensor, RestsAt("v_leak")]


LIF_BOX_DEFAULTS = LIFBoxParameters()


def lif_box_feed_forward_step(
    input_tensor: Tensor,
    state: LIFBoxFeedForwardState,
    p: LIFBoxParameters = LIF_BOX_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFBoxFeedForwardState]:
    """One tick of leaky integrate-and-fire neurons without a synapse (forward Euler).

    u = v + dt τm⁻¹ (x + v_leak - v),  z = Θ(u - v_th),  v' = reset_method(z, u, v_reset, v_th)

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3.

    Args:
        input_tensor: x, the current, [B, N] or any shape.
        state: (v,), broadcastable with x.
        p: parameters.
        dt: time step in s.

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> z, state = lif_box_feed_forward_step(torch.tensor([1.0, 11.0]), LIFBoxFeedForwardState(v=torch.zeros(2)))
        >>> z, state.v
        (tensor([0., 1.]), tensor([0.1000, 0.0000]))
    """
    u = state.v + dt * p.tau_mem_inv * (input_tensor + p.v_leak - state.v)
    z = threshold(u - p.v_th, p.method, p.alpha)
    return z, LIFBoxFeedForwardState(v=p.reset_method(z, u, p.v_reset, p.v_th))


def lif_box_step(
    input_tensor: Tensor,
    state: LIFBoxState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFBoxParameters = LIF_BOX_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFBoxState]:
    """One tick of recurrently connected neurons: `lif_box_feed_forward_step` of W_in x + W_rec z.

    Args:
        input_tensor: x, [B, input].
        state: (z, v), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step in s.

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> state = LIFBoxState(z=torch.ones(1, 2), v=torch.zeros(1, 2))
        >>> lif_box_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))[1].v
        tensor([[0.5000, 0.5000]])
    """
    return recurrent_step(
        lif_box_feed_forward_step, LIFBoxFeedForwardState, input_tensor, state, input_weights, recurrent_weights, p, dt
    )
