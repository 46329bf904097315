"""Integrate-and-fire neurons: a membrane without a leak."""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from norse.torch.functional.recurrent import recurrent_step
from norse.torch.functional.reset import ResetMethod, reset_value
from norse.torch.functional.rest import RestsAt
from norse.torch.functional.surrogate import Alpha
from norse.torch.functional.threshold import threshold
from norse.torch.utils.pytree import StateTuple


class IAFParameters(NamedTuple):
    """Parameters of an integrate-and-fire neuron.

    Args:
        v_th: threshold potential (dimensionless; mV in `bio_default`).
        v_reset: reset potential, in the unit of v_th.
        method: surrogate derivative, see `norse.torch.functional.threshold.threshold`.
        alpha: sharpness of the surrogate.
        reset_method: what a spike does to the membrane: `reset_value`, `reset_subtract`, `reset_subtract_bounded`,
            with which v does not fall below -v_th either, or a function like them.

    Example:
        >>> IAFParameters().v_th
        tensor(1.)
    """

    v_th: Tensor = torch.tensor(1.0)
    v_reset: Tensor = torch.tensor(0.0)
    method: str = "super"
    alpha: Alpha = torch.tensor(100.0)
    reset_method: ResetMethod = reset_value

    @classmethod
    def bio_default(cls) -> "IAFParameters":
        """Biological values, potentials in mV."""
        return cls(v_th=torch.tensor(-55.0), v_reset=torch.tensor(-70.0))


class IAFState(StateTuple):
    """State of recurrent integrate-and-fire neurons.

    Args:
        z: the last tick's spikes, [B, N].
        v: membrane potential, [B, N].
    """

    z: Tensor
    v: Annotated[Tensor, RestsAt("v_reset")]


class IAFFeedForwardState(StateTuple):
    """State of integrate-and-fire neurons.

    Args:
        v: membrane potential, [B, N].
    """

    v: Annotated[Tensor, RestsAt("v_reset")]


IAF_DEFAULTS = IAFParameters()


def iaf_feed_forward_step(
    input_spikes: Tensor,
    state: IAFFeedForwardState,
    p: IAFParameters = IAF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, IAFFeedForwardState]:
    """One tick of integrate-and-fire neurons.

    u = v + x,  z = Θ(u - v_th),  v' = reset_method(z, u, v_reset, v_th), by default (1 - z) u + z v_reset

    Source: L. Lapicque, J. Physiol. Pathol. Gen. 9 (1907); W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3.

    Args:
        input_spikes: x, the membrane's jump in this tick, [B, N] or any shape.
        state: v, broadcastable with x.
        p: parameters.
        dt: time step in s (an integrator without a leak doesn't depend on it).

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> z, state = iaf_feed_forward_step(torch.tensor([0.4, 1.4]), IAFFeedForwardState(v=torch.zeros(2)))
        >>> z, state.v
        (tensor([0., 1.]), tensor([0.4000, 0.0000]))
    """
    u = state.v + input_spikes
    z = threshold(u - p.v_th, p.method, p.alpha)
    return z, IAFFeedForwardState(v=p.reset_method(z, u, p.v_reset, p.v_th))


def iaf_step(
    input_spikes: Tensor,
    state: IAFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: IAFParameters = IAF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, IAFState]:
    """One tick of recurrently connected integrate-and-fire neurons: `iaf_feed_forward_step` of W_in x + W_rec z.

    Args:
        input_spikes: x, [B, input].
        state: (z, v), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step in s.

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> state = IAFState(z=torch.zeros(1, 2), v=torch.zeros(1, 2))
        >>> z, state = iaf_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.zeros(2, 2))
        >>> z
        tensor([[1., 1.]])
    """
    return recurrent_step(
        iaf_feed_forward_step, IAFFeedForwardState, input_spikes, state, input_weights, recurrent_weights, p, dt
    )
