"""Exponential leaky integrate-and-fire neurons as modules."""

from typing import Any

from norse.torch.functional.lif_ex import (
    LIF_EX_DEFAULTS,
    LIFExFeedForwardState,
    LIFExParameters,
    LIFExState,
    lif_ex_feed_forward_step,
    lif_ex_step,
)
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell


class LIFExCell(SNNCell):
    """One tick of exponential leaky integrate-and-fire neurons, [B, N] -> [B, N]; see `lif_ex_feed_forward_step`.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFExFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> z, state = LIFExCell()(torch.ones(8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFExFeedForwardState

    def __init__(self, p: LIFExParameters = LIF_EX_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_ex_feed_forward_step, self.initial_state, p, **kwargs)


class LIFEx(SNN):
    """A layer of exponential leaky integrate-and-fire neurons over time.

    [T, B, N] -> [T, B, N]; see `lif_ex_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFExFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> z, state = LIFEx()(torch.ones(100, 8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([100, 8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFExFeedForwardState

    def __init__(self, p: LIFExParameters = LIF_EX_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_ex_feed_forward_step, self.initial_state, p, **kwargs)


class LIFExRecurrentCell(SNNRecurrentCell):
    """One tick of recurrently connected exponential LIF neurons, [B, input] -> [B, hidden]; see `lif_ex_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFExState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> z, state = LIFExRecurrentCell(3, 4)(torch.ones(8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([8, 4]), torch.Size([8, 4]))
    """

    state_type = LIFExState

    def __init__(self, input_size: int, hidden_size: int, p: LIFExParameters = LIF_EX_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_ex_step, self.initial_state, input_size, hidden_size, p, **kwargs)


class LIFExRecurrent(SNNRecurrent):
    """A layer of recurrently connected exponential LIF neurons over time.

    [T, B, input] -> [T, B, hidden]; see `lif_ex_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFExState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> z, state = LIFExRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([100, 8, 4]), torch.Size([8, 4]))
    """

    state_type = LIFExState

    def __init__(self, input_size: int, hidden_size: int, p: LIFExParameters = LIF_EX_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_ex_step, self.initial_state, input_size, hidden_size, p, **kwargs)
