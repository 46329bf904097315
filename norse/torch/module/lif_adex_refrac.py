"""Adaptive exponential leaky integrate-and-fire neurons with a refractory period as modules."""

from typing import Any

from norse.torch.functional.lif_adex_refrac import (
    LIF_ADEX_REFRAC_DEFAULTS,
    LIFAdExRefracFeedForwardState,
    LIFAdExRefracParameters,
    LIFAdExRefracState,
    lif_adex_refrac_feed_forward_step,
    lif_adex_refrac_step,
)
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell


class LIFAdExRefracCell(SNNCell):
    """One tick of adaptive exponential leaky integrate-and-fire neurons with a refractory period.

    [B, N] -> [B, N]; see `lif_adex_refrac_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks).
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFAdExRefracFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> z, state = LIFAdExRefracCell()(torch.ones(8, 3))
        >>> z.shape, state.lif_adex.v.shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFAdExRefracFeedForwardState

    def __init__(self, p: LIFAdExRefracParameters = LIF_ADEX_REFRAC_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_adex_refrac_feed_forward_step, self.initial_state, p, **kwargs)


class LIFAdExRefrac(SNN):
    """A layer of adaptive exponential leaky integrate-and-fire neurons with a refractory period over time.

    [T, B, N] -> [T, B, N]; see `lif_adex_refrac_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks).
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFAdExRefracFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> z, state = LIFAdExRefrac()(torch.ones(100, 8, 3))
        >>> z.shape, state.lif_adex.v.shape
        (torch.Size([100, 8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFAdExRefracFeedForwardState

    def __init__(self, p: LIFAdExRefracParameters = LIF_ADEX_REFRAC_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_adex_refrac_feed_forward_step, self.initial_state, p, **kwargs)


class LIFAdExRefracRecurrentCell(SNNRecurrentCell):
    """One tick of recurrently connected AdEx neurons with a refractory period.

    [B, input] -> [B, hidden]; see `lif_adex_refrac_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks).
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFAdExRefracState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> z, state = LIFAdExRefracRecurrentCell(3, 4)(torch.ones(8, 3))
        >>> z.shape, state.lif_adex.v.shape
        (torch.Size([8, 4]), torch.Size([8, 4]))
    """

    state_type = LIFAdExRefracState

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFAdExRefracParameters = LIF_ADEX_REFRAC_DEFAULTS, **kwargs: Any
    ) -> None:
        super().__init__(lif_adex_refrac_step, self.initial_state, input_size, hidden_size, p, **kwargs)


class LIFAdExRefracRecurrent(SNNRecurrent):
    """A layer of recurrently connected AdEx neurons with a refractory period over time.

    [T, B, input] -> [T, B, hidden]; see `lif_adex_refrac_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks).
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFAdExRefracState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> z, state = LIFAdExRefracRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape, state.lif_adex.v.shape
        (torch.Size([100, 8, 4]), torch.Size([8, 4]))
    """

    state_type = LIFAdExRefracState

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFAdExRefracParameters = LIF_ADEX_REFRAC_DEFAULTS, **kwargs: Any
    ) -> None:
        super().__init__(lif_adex_refrac_step, self.initial_state, input_size, hidden_size, p, **kwargs)
