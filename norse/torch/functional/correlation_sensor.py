"""Correlation sensors: every synapse sees the order of the spikes on its two sides, as on analog neuromorphic chips."""

from typing import NamedTuple

import torch
from torch import Tensor

from norse.torch.functional.heaviside import heaviside
from norse.torch.utils.pytree import StateTuple


class CorrelationSensorParameters(NamedTuple):
    """Parameters of correlation sensors.

    Args:
        eta_p: what a presynaptic spike adds to the correlation trace, dimensionless.
        eta_m: what a postsynaptic spike adds to the anti-correlation trace, dimensionless.
        tau_ac_inv: inverse time constant of the anti-correlation trace, 1/s.
        tau_c_inv: inverse time constant of the correlation trace, 1/s.

    Example:
        >>> CorrelationSensorParameters(tau_c_inv=torch.tensor(20.0)).tau_c_inv
        tensor(20.)
    """

    eta_p: Tensor = torch.tensor(1.0)
    eta_m: Tensor = torch.tensor(1.0)
    tau_ac_inv: Tensor = torch.tensor(10.0)
    tau_c_inv: Tensor = torch.tensor(10.0)


class CorrelationSensorState(StateTuple):
    """State of correlation sensors, one for every pair of neurons.

    Args:
        post_pre: 1 where the last spike was post, 0 where it was pre (or both came at once), [B, pre, post].
        correlation_trace: [B, pre, post].
        anti_correlation_trace: [B, pre, post].
    """

    post_pre: Tensor
    correlation_trace: Tensor
    anti_correlation_trace: Tensor


CORRELATION_SENSOR_DEFAULTS = CorrelationSensorParameters()


def correlation_sensor_step(
    z_pre: Tensor,
    z_post: Tensor,
    state: CorrelationSensorState,
    p: CorrelationSensorParameters = CORRELATION_SENSOR_DEFAULTS,
    dt: float = 0.001,
) -> CorrelationSensorState:
    """One tick of the correlation sensors between two groups of neurons (forward Euler).

    The correlation trace c decays only from a pre spike to the next post spike, the anti-correlation trace d only from
    a post spike to the next pre spike. With s = post_pre:

    c' = c + (1 - s) dt τc⁻¹ (-c) + η₊ z_pre,  d' = d + s dt τac⁻¹ (-d) + η₋ z_post,  s' = Θ(s + z_post - z_pre)

    Source: S. Friedmann et al., "Demonstrating hybrid learning in a flexible neuromorphic hardware system", IEEE
    Trans. Biomed. Circuits Syst. 11 (2017).

    Args:
        z_pre: presynaptic spikes, [B, pre].
        z_post: postsynaptic spikes, [B, post].
        state: (post_pre, correlation_trace, anti_correlation_trace), each [B, pre, post].
        p: parameters.
        dt: time step in s.

    Returns:
        The new state.

    Example:
        >>> zeros = torch.zeros(1, 2, 1)
        >>> state = CorrelationSensorState(zeros, zeros, zeros)
        >>> state = correlation_sensor_step(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0]]), state)
        >>> state = correlation_sensor_step(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0]]), state)
        >>> state.correlation_trace[0, :, 0], state.anti_correlation_trace[0, :, 0]
        (tensor([0.9900, 0.0000]), tensor([1., 1.]))
    """
    pre, post = z_pre.unsqueeze(-1), z_post.unsqueeze(-2)
    s, c, d = state.post_pre, state.correlation_trace, state.anti_correlation_trace
    return CorrelationSensorState(
        post_pre=heaviside(s + post - pre),
        correlation_trace=c + (1 - s) * dt * p.tau_c_inv * (-c) + p.eta_p * pre,
        anti_correlation_trace=d + s * dt * p.tau_ac_inv * (-d) + p.eta_m * post,
    )


def correlation_based_update(
    ts: int,
    linear_update: torch.nn.Module,
    weights: Tensor,
    correlation_state: CorrelationSensorState,
    learning_rate: float,
    ts_frequency: int,
) -> Tensor:
    """Updates weights from what the correlation sensors saw, in every ts_frequency-th tick, and resets the sensors.

    w' = w + learning_rate · linear_update([c, d]), where [c, d] are all correlation traces, then all anti-correlation
    traces, as one vector. Both traces of `correlation_state` are then set to zero, in place. No gradient flows back
    into linear_update: it is the learning rule, not what learns.

    Args:
        ts: the tick's number.
        linear_update: turns the vector [2 · B · pre · post] into one of [post · pre], row by row of the weights.
        weights: w, [post, pre].
        correlation_state: state of the sensors, each field [B, pre, post].
        learning_rate: how much of the update is added.
        ts_frequency: number of ticks from one update to the next, at least 1.

    Returns:
        The new weights [post, pre]; in all other ticks the given ones.

    Raises:
        ValueError: if ts_frequency is less than 1, or shapes don't fit.

    Example:
        >>> state = CorrelationSensorState(*(torch.ones(1, 3, 2) for _ in range(3)))
        >>> w = correlation_based_update(100, torch.nn.Linear(12, 6), torch.zeros(2, 3), state, 0.1, ts_frequency=50)
        >>> w.shape, state.correlation_trace.sum()
        (torch.Size([2, 3]), tensor(0.))
    """
    if ts_frequency < 1:
        raise ValueError(f"correlation_based_update: argument ts_frequency: expects at least 1, got {ts_frequency}")
    if ts % ts_frequency != 0:
        return weights
    c, d = correlation_state.correlation_trace, correlation_state.anti_correlation_trace
    if weights.dim() != 2 or c.shape[-2:] != (weights.shape[1], weights.shape[0]):
        raise ValueError(
            f"correlation_based_update: argument weights: expects shape [post, pre] for traces of shape "
            f"[B, pre, post] = {list(c.shape)}, got {list(weights.shape)}"
        )
    update: Tensor = linear_update(torch.cat([c.flatten(), d.flatten()])).detach()
    if update.numel() != weights.numel():
        raise ValueError(
            f"correlation_based_update: argument linear_update: expects to return {weights.numel()} numbers, one for "
            f"each weight, got shape {list(update.shape)}"
        )
    with torch.no_grad():
        c.zero_()
        d.zero_()
    return weights + learning_rate * update.reshape(weights.shape)
