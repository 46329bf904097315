"""Short-term plasticity of Tsodyks and Markram: synapses that facilitate and tire."""

from typing import NamedTuple

from torch import Tensor

from norse.torch.utils.pytree import StateTuple


class TsodyksMakramParameters(NamedTuple):
    """Parameters of a synapse with short-term plasticity.

    Args:
        tau_f_inv: inverse time constant of facilitation, 1/s.
        tau_s_inv: inverse time constant of the synaptic current, 1/s; not used by `stp_step`, whose output is the
            input of a neuron with a synapse of its own.
        tau_d_inv: inverse time constant of recovery from depression, 1/s.
        U: how much a spike raises utilisation, of what is left to 1; between 0 and 1.

    Example:
        >>> TsodyksMakramParameters(U=0.15).U
        0.15
    """

    tau_f_inv: float | Tensor = 1 / 50e-3
    tau_s_inv: float | Tensor = 1 / 20e-3
    tau_d_inv: float | Tensor = 1 / 750e-3
    U: float | Tensor = 0.45


class TsodyksMakramState(StateTuple):
    """State of synapses with short-term plasticity.

    Args:
        u: utilisation, the fraction of its resources that a spike releases, [B, N].
        x: resources that are available, between 0 and 1, [B, N]; 1 in a rested synapse.
    """

    u: Tensor
    x: Tensor


def stp_step(
    z: Tensor, s: TsodyksMakramState, p: TsodyksMakramParameters, dt: float = 0.001
) -> tuple[Tensor, TsodyksMakramState]:
    """One tick of synapses with short-term plasticity (forward Euler).

    du/dt = -u / τf + U (1 - u) z,  dx/dt = (1 - x) / τd - u x z, where a spike first raises u, then releases u x:

    u' = u - dt τf⁻¹ u + U (1 - u) z,  y = u' x z,  x' = x + dt τd⁻¹ (1 - x) - y

    Source: H. Markram, Y. Wang, M. Tsodyks, "Differential signaling via the same axon of neocortical pyramidal
    neurons", PNAS 95 (1998); M. Tsodyks, K. Pawelzik, H. Markram, Neural Comput. 10 (1998).

    Args:
        z: presynaptic spikes, [B, N] or any shape.
        s: (u, x), broadcastable with z.
        p: parameters.
        dt: time step in s.

    Returns:
        What the spikes release, y, in the shape of z (multiply by the weights), and the new state.

    Example:
        >>> import torch
        >>> state = TsodyksMakramState(u=torch.zeros(2), x=torch.ones(2))
        >>> y, state = stp_step(torch.tensor([0.0, 1.0]), state, TsodyksMakramParameters())
        >>> y, state.x
        (tensor([0.0000, 0.4500]), tensor([1.0000, 0.5500]))
    """
    u = s.u - dt * p.tau_f_inv * s.u + p.U * (1 - s.u) * z
    released = u * s.x * z
    x = s.x + dt * p.tau_d_inv * (1 - s.x) - released
    return released, TsodyksMakramState(u=u, x=x)
