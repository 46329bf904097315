"""Leaky integrate-and-fire neurons with an absolute refractory period."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from norse.torch.functional.lif import (
    LIF_DEFAULTS,
    LIFFeedForwardState,
    LIFParameters,
    LIFState,
    lif_feed_forward_step,
    lif_step,
)
from norse.torch.functional.threshold import threshold
from norse.torch.utils.pytree import StateTuple


class LIFRefracParameters(NamedTuple):
    """Parameters of a leaky integrate-and-fire neuron with a refractory period.

    Args:
        lif: the leaky integrate-and-fire neuron's; its method and alpha are the refractory mask's too.
        rho_reset: length of the refractory period, in ticks.

    Example:
        >>> LIFRefracParameters(rho_reset=torch.tensor(2.0)).rho_reset
        tensor(2.)
    """

    lif: LIFParameters = LIF_DEFAULTS
    rho_reset: Tensor = torch.tensor(5.0)


class LIFRefracState(StateTuple):
    """State of recurrent leaky integrate-and-fire neurons with a refractory period.

    Args:
        lif: (z, v, i), each [B, N]; z are the spikes that the refractory period let through.
        rho: what is left of the refractory period, in ticks, [B, N].
    """

    lif: LIFState
    rho: Tensor


class LIFRefracFeedForwardState(StateTuple):
    """State of leaky integrate-and-fire neurons with a refractory period.

    Args:
        lif: (v, i), each [B, N].
        rho: what is left of the refractory period, in ticks, [B, N].
    """

    lif: LIFFeedForwardState
    rho: Tensor


LIF_REFRAC_DEFAULTS = LIFRefracParameters()


def refractory_update(
    rho: Tensor, v: Tensor, z_new: Tensor, v_new: Tensor, p: Any, rho_reset: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Keeps neurons silent, and their potential where it was, for some ticks after a spike.

    m = Θ(ρ),  v' = (1 - m) v_new + m v,  z' = (1 - m) z_new,  ρ' = (1 - z') relu(ρ - m) + z' ρ_reset

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3: the dynamics is interrupted for an absolute
    refractory time.

    Args:
        rho: ρ, what is left of the refractory period, in ticks, [B, N] or any shape.
        v: membrane potential before the tick.
        z_new: spikes of the neuron without a refractory period.
        v_new: membrane potential of the neuron without a refractory period.
        p: the neuron's parameters, of which method and alpha give m its surrogate derivative.
        rho_reset: ρ_reset, length of the refractory period, in ticks.

    Returns:
        v', z' and ρ'.

    Example:
        >>> one, rho = torch.ones(3), torch.tensor([0.0, 1.0, 5.0])
        >>> refractory_update(rho, 0.5 * one, one, 0 * one, LIFParameters(), torch.tensor(5.0))
        (tensor([0.0000, 0.5000, 0.5000]), tensor([1., 0., 0.]), tensor([5., 0., 4.]))
    """
    refractory = threshold(rho, p.method, p.alpha)
    v = (1 - refractory) * v_new + refractory * v
    z = (1 - refractory) * z_new
    return v, z, (1 - z) * torch.relu(rho - refractory) + z * rho_reset


def compute_refractory_update(
    state: LIFRefracState | LIFRefracFeedForwardState,
    z_new: Tensor,
    v_new: Tensor,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
) -> tuple[Tensor, Tensor, Tensor]:
    """`refractory_update` for the state and parameters of these neurons.

    Args:
        state: (lif, rho) before the tick.
        z_new: spikes of the neuron without a refractory period, [B, N].
        v_new: membrane potential of the neuron without a refractory period, [B, N].
        p: parameters.

    Returns:
        The membrane potential, the spikes and ρ after the tick.

    Example:
        >>> state = LIFRefracFeedForwardState(LIFFeedForwardState(v=torch.zeros(1), i=torch.zeros(1)), rho=torch.ones(1))
        >>> compute_refractory_update(state, torch.ones(1), torch.ones(1))
        (tensor([0.]), tensor([0.]), tensor([0.]))
    """  # noqa: E501
    return refractory_update(state.rho, state.lif.v, z_new, v_new, p.lif, p.rho_reset)


def lif_refrac_feed_forward_step(
    input_tensor: Tensor,
    state: LIFRefracFeedForwardState,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracFeedForwardState]:
    """One tick of leaky integrate-and-fire neurons with a refractory period.

    `lif_feed_forward_step`, and then `refractory_update`: after a spike, ρ_reset ticks (5 by default) without one in
    which v stays where it is, while the synaptic current goes on.

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3.

    Args:
        input_tensor: x, the synapse's jump in this tick, [B, N] or any shape.
        state: (lif, rho), broadcastable with x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> zeros, spikes = torch.zeros(1), []
        >>> state = LIFRefracFeedForwardState(LIFFeedForwardState(v=zeros, i=zeros), rho=zeros)
        >>> for _ in range(8):
        ...     z, state = lif_refrac_feed_forward_step(torch.tensor([11.0]), state)
        ...     spikes.append(int(z))
        >>> spikes
        [1, 0, 0, 0, 0, 0, 1, 0]
    """
    z, lif = lif_feed_forward_step(input_tensor, state.lif, p.lif, dt)
    v, z, rho = compute_refractory_update(state, z, lif.v, p)
    return z, LIFRefracFeedForwardState(lif=lif._replace(v=v), rho=rho)


def lif_refrac_step(
    input_tensor: Tensor,
    state: LIFRefracState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracState]:
    """One tick of recurrently connected LIF neurons with a refractory period: `lif_step`, then `refractory_update`.

    No gradient flows through the spikes in the reset, as in `lif_step`.

    Args:
        input_tensor: x, [B, input].
        state: (lif, rho), each field [B, hidden]; lif.z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> zeros = torch.zeros(1, 2)
        >>> state = LIFRefracState(LIFState(z=zeros, v=zeros, i=zeros), rho=torch.tensor([[0.0, 1.0]]))
        >>> z, state = lif_refrac_step(torch.ones(1, 3), state, 4 * torch.ones(2, 3), torch.zeros(2, 2))
        >>> z, state.rho
        (tensor([[1., 0.]]), tensor([[5., 0.]]))
    """
    z, lif = lif_step(input_tensor, state.lif, input_weights, recurrent_weights, p.lif, dt)
    v, z, rho = compute_refractory_update(state, z, lif.v, p)
    return z, LIFRefracState(lif=lif._replace(z=z, v=v), rho=rho)


def lif_refrac_step_sparse(
    input_tensor: Tensor,
    state: LIFRefracState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFRefracState]:
    """`lif_refrac_step` of sparse input, with sparse spikes, as `lif_step_sparse` is of `lif_step`.

    Args:
        input_tensor: x, [B, input], sparse COO.
        state: (lif, rho), each field [B, hidden]; lif.z, the last tick's spikes, sparse COO or not.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], sparse COO, and the new state with them.

    Example:
        >>> zeros = torch.zeros(1, 2)
        >>> state = LIFRefracState(LIFState(z=zeros, v=zeros, i=zeros), rho=torch.tensor([[0.0, 1.0]]))
        >>> x = torch.tensor([[0.0, 0.0, 3.0]]).to_sparse()
        >>> z, state = lif_refrac_step_sparse(x, state, 4 * torch.ones(2, 3), torch.zeros(2, 2))
        >>> z.is_sparse, z.to_dense()
        (True, tensor([[1., 0.]]))
    """
    z, state = lif_refrac_step(input_tensor, state, input_weights, recurrent_weights, p, dt)
    z = z.to_sparse()
    return z, state._replace(lif=state.lif._replace(z=z))
