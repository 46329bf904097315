"""Multi-compartment leaky integrate-and-fire neurons: LIF neurons whose membranes are coupled."""

from torch import Tensor
from torch.nn.functional import linear

from norse.torch.functional.lif import (
    LIF_DEFAULTS,
    LIFFeedForwardState,
    LIFParameters,
    LIFState,
    lif_feed_forward_step,
    lif_step,
)


def lif_mc_feed_forward_step(
    input_tensor: Tensor,
    state: LIFFeedForwardState,
    g_coupling: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFFeedForwardState]:
    """One tick of leaky integrate-and-fire neurons whose membranes are coupled: first the coupling, then the LIF.

    v ← v + dt G v, then as `lif_feed_forward_step`. Off its diagonal, G holds the conductances between compartments
    (over their capacitances); with rows that sum to 0, it evens out differences of potential.

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 3.2.

    Args:
        input_tensor: x, the synapse's jump in this tick, [B, N].
        state: (v, i); v must have all N compartments.
        g_coupling: G, [N, N], in 1/s.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes (0 or 1) [B, N], and the new state.

    Example:
        >>> import torch
        >>> g = 100 * torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
        >>> state = LIFFeedForwardState(v=torch.tensor([[0.5, 0.0]]), i=torch.zeros(1, 2))
        >>> z, state = lif_mc_feed_forward_step(torch.zeros(1, 2), state, g)
        >>> state.v  # 0.45 and 0.05, of which a tenth leaks
        tensor([[0.4050, 0.0450]])
    """
    v = state.v + dt * linear(state.v, g_coupling)
    return lif_feed_forward_step(input_tensor, LIFFeedForwardState(v=v, i=state.i), p, dt)


def lif_mc_step(
    input_tensor: Tensor,
    state: LIFState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    g_coupling: Tensor,
    p: LIFParameters = LIF_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFState]:
    """One tick of recurrently connected LIF neurons whose membranes are coupled: first the LIF, then the coupling.

    As `lif_step`, then v' ← v' + dt G v', after the reset. No gradient flows through the spikes in the reset.

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 3.2.

    Args:
        input_tensor: x, [B, input].
        state: (z, v, i), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        g_coupling: G, [hidden, hidden], in 1/s.
        p: parameters.
        dt: time step, in the unit of the time constants (s by default).

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> import torch
        >>> g = 100 * torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
        >>> state = LIFState(z=torch.zeros(1, 2), v=torch.tensor([[0.5, 0.0]]), i=torch.zeros(1, 2))
        >>> z, state = lif_mc_step(torch.zeros(1, 3), state, torch.ones(2, 3), torch.ones(2, 2), g)
        >>> state.v
        tensor([[0.4050, 0.0450]])
    """
    z, state = lif_step(input_tensor, state, input_weights, recurrent_weights, p, dt)
    return z, state._replace(v=state.v + dt * linear(state.v, g_coupling))
