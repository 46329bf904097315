"""An STDP sensor: exponential traces of pre- and of postsynaptic spikes, which pair-based learning rules read."""

from typing import NamedTuple

import torch
from torch import Tensor

from norse.torch.utils.pytree import StateTuple


class STDPSensorParameters(NamedTuple):
    """Parameters of an STDP sensor.

    Args:
        eta_p: what a presynaptic spike adds to its trace, dimensionless.
        eta_m: what a postsynaptic spike adds to its trace, dimensionless.
        tau_ac_inv: inverse anti-correlation time constant, 1/s; not used, both traces decay with tau_c_inv.
        tau_c_inv: inverse time constant of both traces, 1/s.

    Example:
        >>> STDPSensorParameters(tau_c_inv=torch.tensor(20.0)).tau_c_inv
        tensor(20.)
    """

    eta_p: Tensor = torch.tensor(1.0)
    eta_m: Tensor = torch.tensor(1.0)
    tau_ac_inv: Tensor = torch.tensor(10.0)
    tau_c_inv: Tensor = torch.tensor(10.0)


class STDPSensorState(StateTuple):
    """State of an STDP sensor.

    Args:
        a_pre: trace of the presynaptic spikes, [B, pre].
        a_post: trace of the postsynaptic spikes, [B, post].
    """

    a_pre: Tensor
    a_post: Tensor


STDP_SENSOR_DEFAULTS = STDPSensorParameters()


def stdp_sensor_step(
    z_pre: Tensor,
    z_post: Tensor,
    state: STDPSensorState,
    p: STDPSensorParameters = STDP_SENSOR_DEFAULTS,
    dt: float = 0.001,
) -> STDPSensorState:
    """One tick of an STDP sensor (forward Euler): traces that decay, and jump by η at a spike.

    a_pre' = (a_pre + dt τc⁻¹ (-a_pre)) + η₊ z_pre,  a_post' = (a_post + dt τc⁻¹ (-a_post)) + η₋ z_post

    Source: A. Morrison, M. Diesmann, W. Gerstner, "Phenomenological models of synaptic plasticity based on spike
    timing", Biol. Cybern. 98 (2008).

    Args:
        z_pre: presynaptic spikes, [B, pre] or any shape.
        z_post: postsynaptic spikes, [B, post] or any shape.
        state: (a_pre, a_post), broadcastable with z_pre and z_post.
        p: parameters.
        dt: time step in s.

    Returns:
        The new state.

    Example:
        >>> state = STDPSensorState(a_pre=torch.ones(2), a_post=torch.zeros(1))
        >>> stdp_sensor_step(torch.tensor([0.0, 1.0]), torch.tensor([1.0]), state)
        STDPSensorState(a_pre=tensor([0.9900, 1.9900]), a_post=tensor([1.]))
    """
    a_pre = (state.a_pre + dt * (p.tau_c_inv * (-state.a_pre))) + p.eta_p * z_pre
    a_post = (state.a_post + dt * (p.tau_c_inv * (-state.a_post))) + p.eta_m * z_post
    return STDPSensorState(a_pre=a_pre, a_post=a_post)
