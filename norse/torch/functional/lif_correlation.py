"""Recurrent LIF neurons with a correlation sensor at each of their synapses."""

from typing import NamedTuple

from torch import Tensor

from norse.torch.functional.correlation_sensor import (
    CORRELATION_SENSOR_DEFAULTS,
    CorrelationSensorParameters,
    CorrelationSensorState,
    correlation_sensor_step,
)
from norse.torch.functional.lif import LIF_DEFAULTS, LIFParameters, LIFState, lif_step
from norse.torch.utils.pytree import StateTuple


class LIFCorrelationParameters(NamedTuple):
    """Parameters of LIF neurons whose synapses have correlation sensors.

    Args:
        lif_parameters: of the neurons.
        input_correlation_parameters: of the sensors between inputs and neurons.
        recurrent_correlation_parameters: of the sensors between neurons and neurons.

    Example:
        >>> LIFCorrelationParameters().input_correlation_parameters.tau_c_inv
        tensor(10.)
    """

    lif_parameters: LIFParameters = LIF_DEFAULTS
    input_correlation_parameters: CorrelationSensorParameters = CORRELATION_SENSOR_DEFAULTS
    recurrent_correlation_parameters: CorrelationSensorParameters = CORRELATION_SENSOR_DEFAULTS


class LIFCorrelationState(StateTuple):
    """State of LIF neurons whose synapses have correlation sensors.

    Args:
        lif_state: (z, v, i) of the neurons, each [B, hidden].
        input_correlation_state: of the sensors between inputs and neurons, each field [B, input, hidden].
        recurrent_correlation_state: of the sensors between neurons and neurons, each field [B, hidden, hidden].
    """

    lif_state: LIFState
    input_correlation_state: CorrelationSensorState
    recurrent_correlation_state: CorrelationSensorState


LIF_CORRELATION_DEFAULTS = LIFCorrelationParameters()


def lif_correlation_step(
    input_tensor: Tensor,
    state: LIFCorrelationState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: LIFCorrelationParameters = LIF_CORRELATION_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, LIFCorrelationState]:
    """One tick of recurrent LIF neurons and of the correlation sensors at their synapses.

    `lif_step` gives the spikes z'; then `correlation_sensor_step` with pre = x, post = z' for the input synapses, and
    with pre = z (the last tick's spikes, which arrive now), post = z' for the recurrent ones.

    Source: S. Friedmann et al., "Demonstrating hybrid learning in a flexible neuromorphic hardware system", IEEE
    Trans. Biomed. Circuits Syst. 11 (2017).

    Args:
        input_tensor: x, [B, input].
        state: of the neurons and the sensors.
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: parameters.
        dt: time step in s.

    Returns:
        Spikes [B, hidden], and the new state.

    Example:
        >>> import torch
        >>> zeros = torch.zeros
        >>> state = LIFCorrelationState(
        ...     LIFState(*zeros(3, 1, 2)),
        ...     CorrelationSensorState(*zeros(3, 1, 3, 2)),
        ...     CorrelationSensorState(*zeros(3, 1, 2, 2)),
        ... )
        >>> z, state = lif_correlation_step(torch.ones(1, 3), state, torch.ones(2, 3), torch.ones(2, 2))
        >>> state.lif_state.v, state.input_correlation_state.correlation_trace.sum()
        (tensor([[0.3000, 0.3000]]), tensor(6.))
    """
    z, lif_state = lif_step(input_tensor, state.lif_state, input_weights, recurrent_weights, p.lif_parameters, dt)
    return z, LIFCorrelationState(
        lif_state=lif_state,
        input_correlation_state=correlation_sensor_step(
            input_tensor, z, state.input_correlation_state, p.input_correlation_parameters, dt
        ),
        recurrent_correlation_state=correlation_sensor_step(
            state.lif_state.z, z, state.recurrent_correlation_state, p.recurrent_correlation_parameters, dt
        ),
    )
