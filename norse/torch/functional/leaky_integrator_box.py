"""Leaky integrators without a synapse: the input is the current."""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from norse.torch.functional.rest import RestsAt
from norse.torch.utils.pytree import StateTuple


class LIBoxParameters(NamedTuple):
    """Parameters of a leaky integrator without a synapse.

    Args:
        tau_mem_inv: inverse membrane time constant, 1/s.
        v_leak: leak potential (dimensionless).

    Example:
        >>> LIBoxParameters().tau_mem_inv
        tensor(100.)
    """

    tau_mem_inv: Tensor = torch.tensor(100.0)
    v_leak: Tensor = torch.tensor(0.0)


class LIBoxState(StateTuple):
    """State of leaky integrators without a synapse.

    Args:
        v: membrane potential, [B, N].
    """

    v: Annotated[Tensor, RestsAt("v_leak")]


LI_BOX_DEFAULTS = LIBoxParameters()


def li_box_feed_forward_step(
    input_tensor: Tensor, state: LIBoxState, p: LIBoxParameters = LI_BOX_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIBoxState]:
    """One tick of leaky integrators without a synapse (forward Euler).

    τm dv/dt = (v_leak - v) + x:  v' = v + dt τm⁻¹ ((v_leak - v) + x)

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3.

    Args:
        input_tensor: x, the current, [B, N] or any shape.
        state: (v,), broadcastable with x.
        p: parameters.
        dt: time step in s.

    Returns:
        The membrane potential v' in the shape of x, and the new state.

    Example:
        >>> li_box_feed_forward_step(torch.ones(2), LIBoxState(v=torch.zeros(2)))[0]
        tensor([0.1000, 0.1000])
    """
    v = state.v + dt * p.tau_mem_inv * ((p.v_leak - state.v) + input_tensor)
    return v, LIBoxState(v=v)


def li_box_step(
    input_spikes: Tensor,
    state: LIBoxState,
    input_weights: Tensor,
    p: LIBoxParameters = LI_BOX_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIBoxState]:
    """One tick of leaky integrators behind a linear synapse without memory: `li_box_feed_forward_step` of W_in x.

    Args:
        input_spikes: x, [B, input].
        state: (v,), [B, hidden].
        input_weights: W_in, [hidden, input].
        p: parameters.
        dt: time step in s.

    Returns:
        The membrane potential [B, hidden], and the new state.

    Example:
        >>> li_box_step(torch.ones(1, 3), LIBoxState(v=torch.zeros(1, 2)), torch.ones(2, 3))[0]
        tensor([[0.3000, 0.3000]])
    """
    return li_box_feed_forward_step(linear(input_spikes, input_weights), state, p, dt)
