"""Izhikevich neurons, and the spiking behaviours for which he gave parameters."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from norse.torch.functional.surrogate import Alpha
from norse.torch.functional.threshold import threshold
from norse.torch.utils.pytree import StateTuple


class IzhikevichParameters(NamedTuple):
    """Parameters of an Izhikevich neuron; potentials in mV, and times in ms but for τ⁻¹.

    Args:
        a: rate of the recovery variable, 1/ms.
        b: how much the recovery variable follows the potential.
        c: potential after a spike, mV.
        d: what a spike adds to the recovery variable.
        sq: quadratic coefficient of dv/dt, 1/(mV ms).
        mn: linear coefficient of dv/dt, 1/ms.
        bias: constant part of dv/dt, mV/ms.
        v_th: the spike's peak, from which the neuron is reset, mV.
        tau_inv: model time (ms) in a unit of dt (s by default): with 250 and dt = 0.001, a tick is 0.25 ms.
        method: surrogate derivative, see `norse.torch.functional.threshold.threshold`.
        alpha: sharpness of the surrogate.

    Example:
        >>> IzhikevichParameters(a=0.02, b=0.2, c=-65, d=8).v_th
        30
    """

    a: float | Tensor
    b: float | Tensor
    c: float | Tensor
    d: float | Tensor
    sq: float | Tensor = 0.04
    mn: float | Tensor = 5
    bias: float | Tensor = 140
    v_th: float | Tensor = 30
    tau_inv: float | Tensor = 250
    method: str = "super"
    alpha: Alpha = 100.0


class IzhikevichState(StateTuple):
    """State of Izhikevich neurons.

    Args:
        v: membrane potential, mV, [B, N].
        u: recovery variable, [B, N].
    """

    v: Tensor
    u: Tensor


class IzhikevichRecurrentState(StateTuple):
    """State of recurrent Izhikevich neurons.

    Args:
        z: the last tick's spikes, [B, N].
        v: membrane potential, mV, [B, N].
        u: recovery variable, [B, N].
    """

    z: Tensor
    v: Tensor
    u: Tensor


class IzhikevichSpikingBehavior(NamedTuple):
    """A way of spiking: parameters, and the state to start from.

    Args:
        p: parameters.
        s: state before the first tick.

    Example:
        >>> tonic_spiking.p.a, tonic_spiking.s.u
        (0.02, tensor(-14.))
    """

    p: IzhikevichParameters
    s: IzhikevichState


def create_izhikevich_spiking_behavior(
    a: float,
    b: float,
    c: float,
    d: float,
    v_rest: float,
    u_rest: float,
    tau_inv: float = 250,
    mn: float = 5,
    bias: float = 140,
) -> IzhikevichSpikingBehavior:
    """A spiking behaviour from the parameters that tell it from others.

    Args:
        a: rate of the recovery variable, 1/ms.
        b: how much the recovery variable follows the potential.
        c: potential after a spike, mV.
        d: what a spike adds to the recovery variable.
        v_rest: potential before the first tick, v₀, mV.
        u_rest: potential at which the recovery variable stands before the first tick: u₀ = b · u_rest, mV.
        tau_inv: model time (ms) in a unit of dt.
        mn: linear coefficient of dv/dt, 1/ms.
        bias: constant part of dv/dt, mV/ms.

    Returns:
        The behaviour; v₀ requires grad.

    Example:
        >>> create_izhikevich_spiking_behavior(a=0.02, b=0.2, c=-65, d=8, v_rest=-70, u_rest=-70).s
        IzhikevichState(v=tensor(-70., requires_grad=True), u=tensor(-14.))
    """
    return IzhikevichSpikingBehavior(
        p=IzhikevichParameters(a=a, b=b, c=c, d=d, mn=mn, bias=bias, tau_inv=tau_inv),
        s=IzhikevichState(v=torch.tensor(float(v_rest), requires_grad=True), u=b * torch.tensor(float(u_rest))),
    )


def _behavior(
    a: float, b: float, c: float, d: float, rest: float, tau_inv: float = 250, mn: float = 5, bias: float = 140
) -> IzhikevichSpikingBehavior:
    return create_izhikevich_spiking_behavior(a, b, c, d, rest, rest, tau_inv, mn, bias)


# E. M. Izhikevich, "Which model to use for cortical spiking neurons?", IEEE Trans. Neural Netw. 15 (2004), fig. 1 and
# the program published with it. Class 1 and integrator: dv/dt of their own (its eq. 4.1 v + 108 instead of 5 v + 140).
tonic_spiking = _behavior(0.02, 0.2, -65, 6, -70)
phasic_spiking = _behavior(0.02, 0.25, -65, 6, -64)
tonic_bursting = _behavior(0.02, 0.2, -50, 2, -70)
phasic_bursting = _behavior(0.02, 0.25, -55, 0.05, -64, tau_inv=200)
mixed_mode = _behavior(0.02, 0.2, -55, 4, -70)
spike_frequency_adaptation = _behavior(0.01, 0.2, -65, 8, -70)
class_1_exc = _behavior(0.02, -0.1, -55, 6, -60, mn=4.1, bias=108)
class_2_exc = _behavior(0.2, 0.26, -65, 0, -64)
spike_latency = _behavior(0.02, 0.2, -65, 6, -70)
subthreshold_oscillation = _behavior(0.05, 0.26, -60, 0, -62)
resonator = _behavior(0.1, 0.26, -60, -1, -62)
integrator = _behavior(0.02, -0.1, -55, 6, -60, mn=4.1, bias=108)
rebound_spike = _behavior(0.03, 0.25, -60, 4, -64, tau_inv=200)
rebound_burst = _behavior(0.03, 0.25, -52, 0, -64, tau_inv=200)
threshold_variability = _behavior(0.03, 0.25, -60, 4, -64)
bistability = _behavior(0.1, 0.26, -60, 0, -61)
dap = _behavior(1.0, 0.2, -60, -21, -70, tau_inv=100)
accomodation = create_izhikevich_spiking_behavior(0.02, 1.0, -55, 4, v_rest=-65, u_rest=-16, tau_inv=500)
inhibition_induced_spiking = _behavior(-0.02, -1.0, -60, 8, -63.8)
inhibition_induced_bursting = _behavior(-0.026, -1.0, -45, -2, -63.8)


def izhikevich_feed_forward_step(
    input_current: Tensor,
    s: IzhikevichState,
    p: IzhikevichParameters,
    dt: float = 0.001,
) -> tuple[Tensor, IzhikevichState]:
    """One tick of Izhikevich neurons (forward Euler).

    dv/dt = sq v² + mn v + bias - u + x,  du/dt = a (b v - u), both times τ⁻¹; a spike sets v to c and adds d to u:

    v₁ = v + τ⁻¹ dt (sq v² + mn v + bias - u + x),  u₁ = u + τ⁻¹ dt a (b v - u),
    z = Θ(v₁ - v_th),  v' = (1 - z) v₁ + z c,  u' = (1 - z) u₁ + z (u₁ + d)

    Source: E. M. Izhikevich, "Simple model of spiking neurons", IEEE Trans. Neural Netw. 14 (2003); "Which model to use
    for cortical spiking neurons?", IEEE Trans. Neural Netw. 15 (2004).

    Args:
        input_current: x, [B, N] or any shape.
        s: (v, u), broadcastable with x.
        p: parameters.
        dt: time step, s.

    Returns:
        Spikes (0 or 1) in the shape of x, and the new state.

    Example:
        >>> s = IzhikevichState(v=torch.tensor([-70.0, 25.0]), u=torch.tensor([-14.0, -14.0]))
        >>> z, s = izhikevich_feed_forward_step(torch.zeros(2), s, tonic_spiking.p)
        >>> z, s.v
        (tensor([0., 1.]), tensor([-70., -65.]))
    """
    return _spike_and_recover(_drift(s.v, s.u, p) + input_current, s.v, s.u, p, dt)


def izhikevich_recurrent_step(
    input_current: Tensor,
    s: IzhikevichRecurrentState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: IzhikevichParameters,
    dt: float = 0.001,
) -> tuple[Tensor, IzhikevichRecurrentState]:
    """One tick of recurrently connected Izhikevich neurons: `izhikevich_feed_forward_step` of W_in x + W_rec z.

    Args:
        input_current: x, [B, input].
        s: (z, v, u), each [B, hidden]; z are the last tick's spikes.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step, s.

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> s = IzhikevichRecurrentState(z=torch.ones(1, 2), v=torch.full((1, 2), -70.0), u=torch.full((1, 2), -14.0))
        >>> z, s = izhikevich_recurrent_step(torch.ones(1, 3), s, torch.ones(2, 3), torch.ones(2, 2), tonic_spiking.p)
        >>> s.v
        tensor([[-68.7500, -68.7500]])
    """
    drive = _drift(s.v, s.u, p) + linear(input_current, input_weights) + linear(s.z, recurrent_weights)
    z, inner = _spike_and_recover(drive, s.v, s.u, p, dt)
    return z, IzhikevichRecurrentState(z, *inner)


def _drift(v: Tensor, u: Tensor, p: IzhikevichParameters) -> Tensor:
    """dv/dt without input."""
    return p.sq * (v * v) + p.mn * v + p.bias - u


def _spike_and_recover(
    drive: Tensor, v: Tensor, u: Tensor, p: IzhikevichParameters, dt: float
) -> tuple[Tensor, IzhikevichState]:
    """What follows dv/dt."""
    v_new = v + p.tau_inv * dt * drive
    u_new = u + p.tau_inv * dt * p.a * (p.b * v - u)
    z = threshold(v_new - p.v_th, p.method, p.alpha)
    return z, IzhikevichState(v=(1 - z) * v_new + z * p.c, u=(1 - z) * u_new + z * (u_new + p.d))
