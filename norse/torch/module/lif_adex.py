"""Adaptive exponential leaky integrate-and-fire neurons as modules."""

from typing import Any

from norse.torch.functional.lif_adex import (
    LIF_ADEX_DEFAULTS,
    LIFAdExFeedForwardState,
    LIFAdExParameters,
    LIFAdExState,
    lif_adex_feed_forward_step,
    lif_adex_step,
)
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell


class LIFAdExCell(SNNCell):
    """One tick of adaptive exponential leaky integrate-and-fire neurons.

    [B, N] -> [B, N]; see `lif_adex_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFAdExFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> z, state = LIFAdExCell()(torch.ones(8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFAdExFeedForwardState

    def __init__(self, p: LIFAdExParameters = LIF_ADEX_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_adex_feed_forward_step, self.initial_state, p, **kwargs)


class LIFAdEx(SNN):
    """A layer of adaptive exponential leaky integrate-and-fire neurons over time.

    [T, B, N] -> [T, B, N]; see `lif_adex_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFAdExFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> z, state = LIFAdEx()(torch.ones(100, 8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([100, 8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFAdExFeedForwardState

    def __init__(self, p: LIFAdExParameters = LIF_ADEX_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_adex_feed_forward_step, self.initial_state, p, **kwargs)


class LIFAdExRecurrentCell(SNNRecurrentCell):
    """One tick of recurrently connected AdEx neurons, [B, input] -> [B, hidden]; see `lif_adex_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFAdExState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> z, state = LIFAdExRecurrentCell(3, 4)(torch.ones(8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([8, 4]), torch.Size([8, 4]))
    """

    state_type = LIFAdExState

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFAdExParameters = LIF_ADEX_DEFAULTS, **kwargs: Any
    ) -> None:
        super().__init__(lif_adex_step, self.initial_state, input_size, hidden_size, p, **kwargs)


class LIFAdExRecurrent(SNNRecurrent):
    """A layer of recurrently connected AdEx neurons over time, [T, B, input] -> [T, B, hidden]; see `lif_adex_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFAdExState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> z, state = LIFAdExRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([100, 8, 4]), torch.Size([8, 4]))
    """

    state_type = LIFAdExState

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFAdExParameters = LIF_ADEX_DEFAULTS, **kwargs: Any
    ) -> None:
        super().__init__(lif_adex_step, self.initial_state, input_size, hidden_size, p, **kwargs)
