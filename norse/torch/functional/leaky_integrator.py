"""Leaky integrators with an exponential synapse: a membrane that never spikes."""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from norse.torch.functional.rest import RestsAt
from norse.torch.utils.pytree import StateTuple


class LIParameters(NamedTuple):
    """Parameters of a leaky integrator.

    Args:
        tau_syn_inv: inverse synaptic time constant, 1/s (1/ms in `bio_default`).
        tau_mem_inv: inverse membrane time constant, 1/s (1/ms in `bio_default`).
        v_leak: leak potential (dimensionless; mV in `bio_default`).

    Example:
        >>> LIParameters().tau_mem_inv
        tensor(100.)
    """

    tau_syn_inv: Tensor = torch.tensor(200.0)
    tau_mem_inv: Tensor = torch.tensor(100.0)
    v_leak: Tensor = torch.tensor(0.0)

    @classmethod
    def bio_default(cls) -> "LIParameters":
        """Biological values, times in ms, potentials in mV."""
        return cls(tau_syn_inv=torch.tensor(1 / 2), tau_mem_inv=torch.tensor(1 / 10), v_leak=torch.tensor(-70.0))


class LIState(StateTuple):
    """State of leaky integrators.

    Args:
        v: membrane potential, [B, N].
        i: synaptic current, [B, N].
    """

    v: Annotated[Tensor, RestsAt("v_leak")]
    i: Tensor


LI_DEFAULTS = LIParameters()


def li_feed_forward_step(
    input_tensor: Tensor, state: LIState, p: LIParameters = LI_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIState]:
    """One tick of leaky integrators (forward Euler).

    τm dv/dt = (v_leak - v) + i,  τs di/dt = -i, with i jumping by the input x:

    j = i + x,  v' = v + dt τm⁻¹ ((v_leak - v) + j),  i' = j - dt τs⁻¹ j

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3 and 3.1.

    Args:
        input_tensor: x, the synapse's jump in this tick, [B, N] or any shape.
        state: (v, i), broadcastable with x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        The membrane potential v' in the shape of x, and the new state.

    Example:
        >>> v, state = li_feed_forward_step(torch.ones(2), LIState(v=torch.zeros(2), i=torch.zeros(2)))
        >>> v, state.i
        (tensor([0.1000, 0.1000]), tensor([0.8000, 0.8000]))
    """
    i_jump = state.i + input_tensor
    v = state.v + dt * p.tau_mem_inv * ((p.v_leak - state.v) + i_jump)
    i = i_jump + (-dt * p.tau_syn_inv * i_jump)
    return v, LIState(v=v, i=i)


def li_step(
    input_spikes: Tensor, state: LIState, input_weights: Tensor, p: LIParameters = LI_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIState]:
    """One tick of leaky integrators behind a linear synapse: `li_feed_forward_step` of W_in x.

    Args:
        input_spikes: x, [B, input].
        state: (v, i), each [B, hidden].
        input_weights: W_in, [hidden, input].
        p: parameters.
        dt: time step in s.

    Returns:
        The membrane potential [B, hidden], and the new state.

    Example:
        >>> state = LIState(v=torch.zeros(1, 2), i=torch.zeros(1, 2))
        >>> li_step(torch.ones(1, 3), state, torch.ones(2, 3))[0]
        tensor([[0.3000, 0.3000]])
    """
    return li_feed_forward_step(linear(input_spikes, input_weights), state, p, dt)
