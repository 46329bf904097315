"""Leaky integrate-and-fire neurons as modules."""

from typing import Any

from norse.torch.functional.lif import (
    LIF_DEFAULTS,
    LIFFeedForwardState,
    LIFParameters,
    LIFState,
    lif_feed_forward_step,
    lif_step,
)
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell


class LIFCell(SNNCell):
    """One tick of leaky integrate-and-fire neurons, [B, N] -> [B, N]; see `lif_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> z, state = LIFCell()(torch.ones(8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFFeedForwardState

    def __init__(self, p: LIFParameters = LIF_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_feed_forward_step, self.initial_state, p, **kwargs)


class LIF(SNN):
    """A layer of leaky integrate-and-fire neurons over time, [T, B, N] -> [T, B, N]; see `lif_feed_forward_step`.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> z, state = LIF()(torch.ones(100, 8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([100, 8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFFeedForwardState

    def __init__(self, p: LIFParameters = LIF_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_feed_forward_step, self.initial_state, p, **kwargs)


class LIFRecurrentCell(SNNRecurrentCell):
    """One tick of recurrently connected LIF neurons, [B, input] -> [B, hidden]; see `lif_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> z, state = LIFRecurrentCell(3, 4)(torch.ones(8, 3))
        >>> z.shape
        torch.Size([8, 4])
    """

    state_type = LIFState

    def __init__(self, input_size: int, hidden_size: int, p: LIFParameters = LIF_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_step, self.initial_state, input_size, hidden_size, p, **kwargs)


class LIFRecurrent(SNNRecurrent):
    """A layer of recurrently connected LIF neurons over time, [T, B, input] -> [T, B, hidden]; see `lif_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> z, state = LIFRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 4])
    """

    state_type = LIFState

    def __init__(self, input_size: int, hidden_size: int, p: LIFParameters = LIF_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_step, self.initial_state, input_size, hidden_size, p, **kwargs)
