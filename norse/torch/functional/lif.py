"""Leaky integrate-and-fire neurons with an exponential synapse."""

from functools import partial
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from norse.torch.functional.lift import over_time
from norse.torch.functional.recurrent import recurrent_step
from norse.torch.functional.reset import DetachedReset, ResetMethod, reset_value
from norse.torch.functional.rest import RestsAt
from norse.torch.functional.sparse import to_dense
from norse.torch.functional.surrogate import Alpha
from norse.torch.functional.threshold import threshold
from norse.torch.utils.pytree import StateTuple


class LIFParameters(NamedTuple):
    """Parameters of a leaky integrate-and-fire neuron.

    Args:
        tau_syn_inv: inverse synaptic time constant, 1/s (1/ms in `bio_default`).
        tau_mem_inv: inverse membrane time constant, 1/s (1/ms in `bio_default`).
        v_leak: leak potential (dimensionless; mV in `bio_default`).
        v_th: threshold potential, in the unit of v_leak.
        v_reset: reset potential, in the unit of v_leak.
        method: surrogate derivative, see `norse.torch.functional.threshold.threshold`.
        alpha: sharpness of the surrogate.
        reset_method: what a spike does to the membrane: `reset_value`, `reset_subtract` or a function like them.

    Example:
        >>> LIFParameters(tau_mem_inv=torch.tensor(50.0)).tau_mem_inv
        tensor(50.)
    """

    tau_syn_inv: Tensor = torch.tensor(200.0)
    tau_mem_inv: Tensor = torch.tensor(100.0)
    v_leak: Tensor = torch.tensor(0.0)
    v_th: Tensor = torch.tensor(1.0)
    v_reset: Tensor = torch.tensor(0.0)
    method: str = "super"
    alpha: Alpha = torch.tensor(100.0)
    reset_method: ResetMethod = reset_value

    @classmethod
    def bio_default(cls) -> "LIFParameters":
        """Biological values, times in ms, potentials in mV."""
        return cls(
            tau_syn_inv=torch.tensor(1 / 2),
            tau_mem_inv=torch.tensor(1 / 10),
            v_leak=torch.tensor(-70.0),
            v_th=torch.tensor(-55.0),
            v_reset=torch.tensor(-70.0),
        )


class LIFState(StateTuple):
    """State of recurrent leaky integrate-and-fire neurons.

    Args:
        z: the last tick's spikes, [B, N].
        v: membrane potential, [B, N].
        i: synaptic current, [B, N].
    """

    z: Tensor
    v: Annotated[Tensor, RestsAt("v_leak")]
    i: Tensor


class LIFFeedForwardState(StateTuple):
    """State of leaky integrate-and-fire neurons.

    Args:
        v: membrane potential, [B, N].
        i: synaptic current, [B, N].
    """

    v: Annotated[Tensor, RestsAt("v_leak")]
    i: Tensor


LIF_DEFAULTS = LIFParameters()


def lif_feed_forward_step(
    input_spikes: Tensor,
    state: LIFFeedForwardState,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFFeedForwardState]:
    """One tick of leaky integrate-and-fire neurons (forward Euler).

    τm dv/dt = (v_leak - v) + i,  τs di/dt = -i, with i jumping by the input x and v reset by a spike:

    j = i + x,  u = v + dt τm⁻¹ ((v_leak - v) + j),  i' = j - dt τs⁻¹ j,
    z = Θ(u - v_th),  v' = reset_method(z, u, v_reset, v_th), by default (1 - z) u + z v_reset

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3 and 3.1; E. Neftci, H. Mostafa, F. Zenke,
    "Surrogate Gradient Learning in Spiking Neural Networks", IEEE Signal Process. Mag. 36 (2019).

    Args:
        input_spikes: x, the synapse's jump in this tick, [B, N] or any shape.
        state: (v, i), broadcastable with x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> state = LIFFeedForwardState(v=torch.zeros(2), i=torch.zeros(2))
        >>> z, state = lif_feed_forward_step(torch.tensor([1.0, 11.0]), state)
        >>> z, state.v
        (tensor([0., 1.]), tensor([0.1000, 0.0000]))
    """
    i_jump = state.i + input_spikes
    u = state.v + dt * p.tau_mem_inv * ((p.v_leak - state.v) + i_jump)
    i = i_jump + (-dt * p.tau_syn_inv * i_jump)
    z = threshold(u - p.v_th, p.method, p.alpha)
    return z, LIFFeedForwardState(v=p.reset_method(z, u, p.v_reset, p.v_th), i=i)


def lif_feed_forward_step_sparse(
    input_tensor: Tensor,
    state: LIFFeedForwardState,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFFeedForwardState]:
    """`lif_feed_forward_step` of sparse input, with sparse spikes.

    z has the gradients of the dense step, also where it is 0 and not stored: use `z.to_dense(masked_grad=False)`
    (torch's `z.to_dense()` drops those).

    Args:
        input_tensor: x, the synapse's jump in this tick, sparse COO, [B, N] or any shape.
        state: (v, i), broadcastable with x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes in the shape of x, sparse COO, and the new state.

    Example:
        >>> state = LIFFeedForwardState(v=torch.zeros(3), i=torch.zeros(3))
        >>> z, state = lif_feed_forward_step_sparse(torch.tensor([0.0, 0.0, 11.0]).to_sparse(), state)
        >>> z.is_sparse, z.indices()
        (True, tensor([[2]]))
    """
    z, state = lif_feed_forward_step(to_dense(input_tensor), state, p, dt)
    return z.to_sparse(), state


def lif_step(
    input_spikes: Tensor,
    state: LIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFState]:
    """One tick of recurrently connected LIF neurons: `lif_feed_forward_step` of W_in x + W_rec z.

    No gradient flows through the spikes in the reset (z is detached there).

    Args:
        input_spikes: x, [B, input].
        state: (z, v, i), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> state = LIFState(z=torch.ones(1, 2), v=torch.zeros(1, 2), i=torch.zeros(1, 2))
        >>> z, state = lif_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))
        >>> state.v
        tensor([[0.5000, 0.5000]])
    """
    return recurrent_step(
        lif_feed_forward_step,
        LIFFeedForwardState,
        input_spikes,
        state,
        input_weights,
        recurrent_weights,
        p._replace(reset_method=DetachedReset(p.reset_method)),
        dt,
    )


def lif_step_sparse(
    input_spikes: Tensor,
    state: LIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFState]:
    """`lif_step` of sparse input, with sparse spikes: W_in x and W_rec z cost as much as there are spikes.

    z has the gradients of the dense step, also where it is 0 and not stored: use `z.to_dense(masked_grad=False)`
    (torch's `z.to_dense()` drops those).

    Args:
        input_spikes: x, [B, input], sparse COO.
        state: (z, v, i), each [B, hidden]; z, the last tick's spikes, sparse COO or not.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], sparse COO, and the new state with them.

    Example:
        >>> state = LIFState(*torch.zeros(3, 1, 2))
        >>> x = torch.tensor([[0.0, 0.0, 11.0]]).to_sparse()
        >>> z, state = lif_step_sparse(x, state, torch.tensor([[1.0, 1.0, 0.5], [1.0, 1.0, 1.0]]), torch.ones(2, 2))
        >>> z.indices(), state.z is z
        (tensor([[0],
                [1]]), True)
    """
    z, state = lif_step(input_spikes, state, input_weights, recurrent_weights, p, dt)
    z = z.to_sparse()
    return z, state._replace(z=z)


def lif_step_integral(
    input_tensor: Tensor,
    state: LIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFState]:
    """`lif_step` over a sequence, of which only the last tick's spikes are returned.

    Args:
        input_tensor: x, [T, B, input], T >= 1.
        state: (z, v, i), each [B, hidden].
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        The last tick's spikes [B, hidden], and the last state.

    Raises:
        ValueError: if there is no tick.

    Example:
        >>> zeros = torch.zeros(1, 2)
        >>> z, state = lif_step_integral(torch.ones(9, 1, 3), LIFState(zeros, zeros, zeros), torch.ones(2, 3), torch.ones(2, 2))
        >>> z.shape
        torch.Size([1, 2])
    """  # noqa: E501
    if input_tensor.shape[0] == 0:
        raise ValueError("lif_step_integral: expects at least one tick, got input of shape [0, ...]")
    for x in input_tensor:
        z, state = lif_step(x, state, input_weights, recurrent_weights, p, dt)
    return z, state


def lif_feed_forward_integral(
    input_tensor: Tensor, state: LIFFeedForwardState, p: LIFParameters = LIF_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, LIFFeedForwardState]:
    """`lif_feed_forward_step` over a sequence.

    Args:
        input_tensor: x, [T, B, N].
        state: (v, i), broadcastable with [B, N].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes of all ticks, [T, B, N], and the last state.

    Example:
        >>> state = LIFFeedForwardState(v=torch.zeros(2), i=torch.zeros(2))
        >>> lif_feed_forward_integral(torch.full((9, 2), 2.0), state)[0].sum(0)
        tensor([3., 3.])
    """
    return over_time(partial(lif_feed_forward_step, p=p, dt=dt), input_tensor, state)


def lif_current_encoder(
    input_current: Tensor, voltage: Tensor, p: LIFParameters = LIF_DEFAULTS, dt: float = 0.001
) -> tuple[Tensor, Tensor]:
    """One tick of LIF neurons without a synapse: turns a current into spikes.

    u = v + dt τm⁻¹ ((v_leak - v) + x),  z = Θ(u - v_th),  v' = u - z (u - v_reset)

    Args:
        input_current: x, [B, N] or any shape.
        voltage: v, broadcastable with x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes in the shape of x, and the new membrane potential.

    Example:
        >>> lif_current_encoder(torch.tensor([5.0, 11.0]), torch.tensor([0.5, 0.5]))
        (tensor([0., 1.]), tensor([0.9500, 0.0000]))
    """
    u = voltage + dt * p.tau_mem_inv * ((p.v_leak - voltage) + input_current)
    z = threshold(u - p.v_th, p.method, p.alpha)
    return z, u - z * (u - p.v_reset)
