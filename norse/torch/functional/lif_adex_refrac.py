"""Adaptive exponential leaky integrate-and-fire neurons with an absolute refractory period."""

from typing import NamedTuple

import torch
from torch import Tensor

from norse.torch.functional.lif_adex import (
    LIF_ADEX_DEFAULTS,
    LIFAdExFeedForwardState,
    LIFAdExParameters,
    LIFAdExState,
    lif_adex_feed_forward_step,
    lif_adex_step,
)
from norse.torch.functional.lif_refrac import refractory_update
from norse.torch.utils.pytree import StateTuple


class LIFAdExRefracParameters(NamedTuple):
    """Parameters of an adaptive exponential leaky integrate-and-fire neuron with a refractory period.

    Args:
        lif_adex: the neuron's without a refractory period; its method and alpha are the refractory mask's too.
        rho_reset: length of the refractory period, in ticks.

    Example:
        >>> LIFAdExRefracParameters(rho_reset=torch.tensor(2.0)).rho_reset
        tensor(2.)
    """

    lif_adex: LIFAdExParameters = LIF_ADEX_DEFAULTS
    rho_reset: Tensor = torch.tensor(5.0)


class LIFAdExRefracState(StateTuple):
    """State of recurrent adaptive exponential leaky integrate-and-fire neurons with a refractory period.

    Args:
        lif_adex: (z, v, i, a), each [B, N]; z are the spikes that the refractory period let through.
        rho: what is left of the refractory period, in ticks, [B, N].
    """

    lif_adex: LIFAdExState
    rho: Tensor


class LIFAdExRefracFeedForwardState(StateTuple):
    """State of adaptive exponential leaky integrate-and-fire neurons with a refractory period.

    Args:
        lif_adex: (v, i, a), each [B, N].
        rho: what is left of the refractory period, in ticks, [B, N].
    """

    lif_adex: LIFAdExFeedForwardState
    rho: Tensor


LIF_ADEX_REFRAC_DEFAULTS = LIFAdExRefracParameters()


def compute_refractory_update(
    state: LIFAdExRefracState | LIFAdExRefracFeedForwardState,
    z_new: Tensor,
    v_new: Tensor,
    p: LIFAdExRefracParameters = LIF_ADEX_REFRAC_DEFAULTS,
) -> tuple[Tensor, Tensor, Tensor]:
    """`refractory_update` for the state and parameters of these neurons.

    Args:
        state: (lif_adex, rho) before the tick.
        z_new: spikes of the neuron without a refractory period, [B, N].
        v_new: membrane potential of the neuron without a refractory period, [B, N].
        p: parameters.

    Returns:
        The membrane potential, the spikes and ρ after the tick.

    Example:
        >>> state = LIFAdExRefracFeedForwardState(LIFAdExFeedForwardState(), rho=torch.ones(1))
        >>> compute_refractory_update(state, torch.ones(1), torch.ones(1))
        (tensor([0.]), tensor([0.]), tensor([0.]))
    """
    return refractory_update(state.rho, state.lif_adex.v, z_new, v_new, p.lif_adex, p.rho_reset)


def lif_adex_refrac_feed_forward_step(
    input_tensor: Tensor,
    state: LIFAdExRefracFeedForwardState,
    p: LIFAdExRefracParameters = LIF_ADEX_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFAdExRefracFeedForwardState]:
    """One tick of adaptive exponential leaky integrate-and-fire neurons with a refractory period.

    `lif_adex_feed_forward_step`, and then `refractory_update`: after a spike, ρ_reset ticks (5 by default) without one
    in which v stays where it is. Synaptic current and adaptation go on; where the drive alone would make a refractory
    neuron spike, the adaptation jumps, though there is no spike.

    Source: R. Brette, W. Gerstner, "Adaptive Exponential Integrate-and-Fire Model as an Effective Description of
    Neuronal Activity", J. Neurophysiol. 94 (2005); W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3.

    Args:
        input_tensor: x, the synapse's jump in this tick, [B, N] or any shape.
        state: (lif_adex, rho), broadcastable with x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> state, spikes = LIFAdExRefracFeedForwardState(LIFAdExFeedForwardState(), rho=torch.zeros(1)), []
        >>> for _ in range(8):
        ...     z, state = lif_adex_refrac_feed_forward_step(torch.tensor([11.0]), state)
        ...     spikes.append(int(z))
        >>> spikes
        [1, 0, 0, 0, 0, 0, 1, 0]
    """
    z, lif_adex = lif_adex_feed_forward_step(input_tensor, state.lif_adex, p.lif_adex, dt)
    v, z, rho = compute_refractory_update(state, z, lif_adex.v, p)
    return z, LIFAdExRefracFeedForwardState(lif_adex=lif_adex._replace(v=v), rho=rho)


def lif_adex_refrac_step(
    input_tensor: Tensor,
    state: LIFAdExRefracState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFAdExRefracParameters = LIF_ADEX_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFAdExRefracState]:
    """One tick of recurrently connected AdEx neurons with a refractory period: `lif_adex_step`, `refractory_update`.

    Args:
        input_tensor: x, [B, input].
        state: (lif_adex, rho), each field [B, hidden]; lif_adex.z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> zeros = torch.zeros(1, 2)
        >>> state = LIFAdExRefracState(LIFAdExState(zeros, zeros, zeros, zeros), rho=torch.tensor([[0.0, 1.0]]))
        >>> z, state = lif_adex_refrac_step(torch.ones(1, 3), state, 4 * torch.ones(2, 3), torch.zeros(2, 2))
        >>> z, state.rho
        (tensor([[1., 0.]]), tensor([[5., 0.]]))
    """
    z, lif_adex = lif_adex_step(input_tensor, state.lif_adex, input_weights, recurrent_weights, p.lif_adex, dt)
    v, z, rho = compute_refractory_update(state, z, lif_adex.v, p)
    return z, LIFAdExRefracState(lif_adex=lif_adex._replace(z=z, v=v), rho=rho)
