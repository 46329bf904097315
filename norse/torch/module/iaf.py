"""Integrate-and-fire neurons as modules."""

from typing import Any

from norse.torch.functional.iaf import (
    IAF_DEFAULTS,
    IAFFeedForwardState,
    IAFParameters,
    IAFState,
    iaf_feed_forward_step,
    iaf_step,
)
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell


class IAFCell(SNNCell):
    """One tick of integrate-and-fire neurons, [B, N] -> [B, N].

    See `iaf_feed_forward_step` for the equations.

    Args:
        p: parameters (dimensionless potentials).
        dt: time step in s.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, IAFFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> IAFCell()(torch.ones(8, 3))[0].shape
        torch.Size([8, 3])
    """

    state_type = IAFFeedForwardState

    def __init__(self, p: IAFParameters = IAF_DEFAULTS, dt: float = 0.001) -> None:
        super().__init__(iaf_feed_forward_step, self.initial_state, p, dt=dt)


class IAF(SNN):
    """A layer of integrate-and-fire neurons over time, [T, B, N] -> [T, B, N].

    See `iaf_feed_forward_step` for the equations.

    Args:
        p: parameters (dimensionless potentials).
        dt: time step in s.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, IAFFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> IAF()(torch.ones(100, 8, 3))[0].shape
        torch.Size([100, 8, 3])
    """

    state_type = IAFFeedForwardState
    scalar_rest = True

    def __init__(self, p: IAFParameters = IAF_DEFAULTS, dt: float = 0.001) -> None:
        super().__init__(iaf_feed_forward_step, self.initial_state, p, dt=dt)


class IAFRecurrentCell(SNNRecurrentCell):
    """One tick of recurrently connected integrate-and-fire neurons.

    [B, input] -> [B, hidden]; see `iaf_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (dimensionless potentials).
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, IAFState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> IAFRecurrentCell(3, 4)(torch.ones(8, 3))[0].shape
        torch.Size([8, 4])
    """

    state_type = IAFState

    def __init__(self, input_size: int, hidden_size: int, p: IAFParameters = IAF_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(iaf_step, self.initial_state, input_size, hidden_size, p, **kwargs)


class IAFRecurrent(SNNRecurrent):
    """A layer of recurrently connected integrate-and-fire neurons over time.

    [T, B, input] -> [T, B, hidden]; see `iaf_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (dimensionless potentials).
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, IAFState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> IAFRecurrent(3, 4)(torch.ones(100, 8, 3))[0].shape
        torch.Size([100, 8, 4])
    """

    state_type = IAFState

    def __init__(self, input_size: int, hidden_size: int, p: IAFParameters = IAF_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(iaf_step, self.initial_state, input_size, hidden_size, p, **kwargs)
