"""LSNN neurons: leaky integrate-and-fire neurons whose threshold adapts to their spikes."""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from norse.torch.functional.reset import ResetMethod, reset_value
from norse.torch.functional.rest import RestsAt
from norse.torch.functional.surrogate import Alpha
from norse.torch.functional.threshold import threshold
from norse.torch.utils.pytree import StateTuple


class LSNNParameters(NamedTuple):
    """Parameters of a leaky integrate-and-fire neuron with an adaptive threshold.

    Args:
        tau_syn_inv: inverse synaptic time constant, 1/s (1/ms in `bio_default`).
        tau_mem_inv: inverse membrane time constant, 1/s (1/ms in `bio_default`).
        tau_adapt_inv: inverse time constant of the adaptation, 1/s (1/ms in `bio_default`).
        v_leak: leak potential (dimensionless; mV in `bio_default`).
        v_th: threshold potential without adaptation, in the unit of v_leak.
        v_reset: reset potential, in the unit of v_leak.
        beta: what a spike adds to the threshold, in the unit of v_leak.
        method: surrogate derivative, see `norse.torch.functional.threshold.threshold`.
        alpha: sharpness of the surrogate.
        reset_method: what a spike does to the membrane: `reset_value`, `reset_subtract` or a function like them. It is
            told v_th, not the adapted threshold.

    Example:
        >>> LSNNParameters(beta=torch.tensor(0.5)).beta
        tensor(0.5000)
    """

    tau_syn_inv: Tensor = torch.tensor(200.0)
    tau_mem_inv: Tensor = torch.tensor(100.0)
    tau_adapt_inv: Tensor = torch.tensor(1 / 800)
    v_leak: Tensor = torch.tensor(0.0)
    v_th: Tensor = torch.tensor(1.0)
    v_reset: Tensor = torch.tensor(0.0)
    beta: Tensor = torch.tensor(1.8)
    method: str = "super"
    alpha: Alpha = 100.0
    reset_method: ResetMethod = reset_value

    @classmethod
    def bio_default(cls) -> "LSNNParameters":
        """Biological values, times in ms, potentials in mV."""
        return cls(
            tau_syn_inv=torch.tensor(1 / 2),
            tau_mem_inv=torch.tensor(1 / 10),
            tau_adapt_inv=torch.tensor(1 / 100),
            v_leak=torch.tensor(-70.0),
            v_th=torch.tensor(-55.0),
            v_reset=torch.tensor(-70.0),
            beta=torch.tensor(0.5),
        )


class LSNNState(StateTuple):
    """State of recurrent LSNN neurons.

    Args:
        z: the last tick's spikes, [B, N].
        v: membrane potential, [B, N].
        i: synaptic current, [B, N].
        b: threshold (in `ada_lif_step`: adaptation current), [B, N].
    """

    z: Tensor
    v: Annotated[Tensor, RestsAt("v_leak")]
    i: Tensor
    b: Annotated[Tensor, RestsAt("v_th")]


class LSNNFeedForwardState(StateTuple):
    """State of LSNN neurons.

    Args:
        v: membrane potential, [B, N].
        i: synaptic current, [B, N].
        b: threshold, [B, N].
    """

    v: Annotated[Tensor, RestsAt("v_leak")]
    i: Tensor
    b: Annotated[Tensor, RestsAt("v_th")]


LSNN_DEFAULTS = LSNNParameters()


def lsnn_feed_forward_step(
    input_tensor: Tensor,
    state: LSNNFeedForwardState,
    p: LSNNParameters = LSNN_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LSNNFeedForwardState]:
    """One tick of leaky integrate-and-fire neurons with an adaptive threshold (forward Euler).

    τm dv/dt = (v_leak - v) + i,  τs di/dt = -i,  τ_adapt db/dt = v_th - b, with i jumping by the input x (which acts on
    the membrane from the next tick on), b by β at a spike, and v reset by it:

    u = v + dt τm⁻¹ ((v_leak - v) + i),  i₁ = i - dt τs⁻¹ i,  b₁ = b + dt τ_adapt⁻¹ (v_th - b),
    z = Θ(u - b₁),  v' = reset_method(z, u, v_reset, v_th),  i' = i₁ + x,  b' = b₁ + z β

    Source: G. Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons",
    arXiv:1803.09574.

    Args:
        input_tensor: x, the synapse's jump in this tick, [B, N] or any shape.
        state: (v, i, b), which together broadcast to the shape of x.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes (0 or 1) in the shape of the state, and the new state.

    Example:
        >>> state = LSNNFeedForwardState(v=torch.zeros(2), i=torch.tensor([1.0, 11.0]), b=torch.ones(2))
        >>> z, state = lsnn_feed_forward_step(torch.zeros(2), state)
        >>> z, state.v, state.b
        (tensor([0., 1.]), tensor([0.1000, 0.0000]), tensor([1.0000, 2.8000]))
    """
    return _adaptive_step(input_tensor, state, p, dt)


def _adaptive_step(
    x: Tensor, state: LSNNFeedForwardState, p: LSNNParameters, dt: float, detached: bool = False
) -> tuple[Tensor, LSNNFeedForwardState]:
    """`lsnn_feed_forward_step`; detached: no gradient flows through what its spikes do to v and b."""
    u = state.v + dt * p.tau_mem_inv * ((p.v_leak - state.v) + state.i)
    i = state.i - dt * p.tau_syn_inv * state.i
    b = state.b + dt * p.tau_adapt_inv * (p.v_th - state.b)
    z = threshold(u - b, p.method, p.alpha)
    effect = z.detach() if detached else z
    v = p.reset_method(effect, u, p.v_reset, p.v_th)
    return z, LSNNFeedForwardState(v=v, i=i + x, b=b + effect * p.beta)


def lsnn_step(
    input_tensor: Tensor,
    state: LSNNState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LSNNParameters = LSNN_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LSNNState]:
    """One tick of recurrently connected LSNN neurons: `lsnn_feed_forward_step` of W_in x + W_rec z.

    No gradient flows through the spikes in the reset and in the adaptation (z is detached in v' and b').

    Args:
        input_tensor: x, [B, input].
        state: (z, v, i, b), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> zeros = torch.zeros(1, 2)
        >>> state = LSNNState(z=torch.ones(1, 2), v=zeros, i=zeros, b=torch.ones(1, 2))
        >>> z, state = lsnn_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))
        >>> state.i
        tensor([[5., 5.]])
    """
    inner = LSNNFeedForwardState(v=state.v, i=state.i, b=state.b)
    z, (v, i, b) = _adaptive_step(linear(input_tensor, input_weights), inner, p, dt, detached=True)
    return z, LSNNState(z=z, v=v, i=i + linear(state.z, recurrent_weights), b=b)


def ada_lif_step(
    input_tensor: Tensor,
    state: LSNNState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LSNNParameters = LSNN_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LSNNState]:
    """One tick of recurrently connected LIF neurons with an adaptation current instead of an adaptive threshold.

    τ_adapt db/dt = -b, with b jumping by β at a spike and acting against the synaptic current; it starts at 0:

    u = v + dt τm⁻¹ (((v_leak - v) + i) - b),  i' = i - dt τs⁻¹ i + W_in x + W_rec z,  b₁ = b - dt τ_adapt⁻¹ b,
    z' = Θ(u - v_th),  v' = u - z' (v_th - v_reset),  b' = b₁ + z' β

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 6.1.

    Args:
        input_tensor: x, [B, input].
        state: (z, v, i, b), each [B, hidden]; z are the last tick's spikes, b the adaptation current.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters; its reset_method is not used.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> state = LSNNState(*torch.zeros(4, 1, 2))._replace(i=torch.tensor([[1.0, 11.0]]))
        >>> z, state = ada_lif_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))
        >>> z, state.v, state.b
        (tensor([[0., 1.]]), tensor([[0.1000, 0.1000]]), tensor([[0.0000, 1.8000]]))
    """
    u = state.v + dt * p.tau_mem_inv * (((p.v_leak - state.v) + state.i) - state.b)
    i = state.i - dt * p.tau_syn_inv * state.i
    b = state.b - dt * p.tau_adapt_inv * state.b
    z = threshold(u - p.v_th, p.method, p.alpha)
    return z, LSNNState(
        z=z,
        v=u - z * (p.v_th - p.v_reset),
        i=i + linear(input_tensor, input_weights) + linear(state.z, recurrent_weights),
        b=b + z * p.beta,
    )
