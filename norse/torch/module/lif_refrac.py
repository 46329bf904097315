"""Leaky integrate-and-fire neurons with a refractory period as modules."""

from typing import Any

from norse.torch.functional.lif_refrac import (
    LIF_REFRAC_DEFAULTS,
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    LIFRefracState,
    lif_refrac_feed_forward_step,
    lif_refrac_step,
)
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell


class LIFRefracCell(SNNCell):
    """One tick of leaky integrate-and-fire neurons with a refractory period.

    [B, N] -> [B, N]; see `lif_refrac_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks).
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFRefracFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> z, state = LIFRefracCell()(torch.ones(8, 3))
        >>> z.shape, state.lif.v.shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFRefracFeedForwardState

    def __init__(self, p: LIFRefracParameters = LIF_REFRAC_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_refrac_feed_forward_step, self.initial_state, p, **kwargs)


class LIFRefrac(SNN):
    """A layer of leaky integrate-and-fire neurons with a refractory period over time.

    [T, B, N] -> [T, B, N]; see `lif_refrac_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks).
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFRefracFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> z, state = LIFRefrac()(torch.ones(100, 8, 3))
        >>> z.shape, state.lif.v.shape
        (torch.Size([100, 8, 3]), torch.Size([8, 3]))
    """

    state_type = LIFRefracFeedForwardState

    def __init__(self, p: LIFRefracParameters = LIF_REFRAC_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(lif_refrac_feed_forward_step, self.initial_state, p, **kwargs)


class LIFRefracRecurrentCell(SNNRecurrentCell):
    """One tick of recurrently connected LIF neurons with a refractory period.

    [B, input] -> [B, hidden]; see `lif_refrac_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks).
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFRefracState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> z, state = LIFRefracRecurrentCell(3, 4)(torch.ones(8, 3))
        >>> z.shape, state.lif.v.shape
        (torch.Size([8, 4]), torch.Size([8, 4]))
    """

    state_type = LIFRefracState

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFRefracParameters = LIF_REFRAC_DEFAULTS, **kwargs: Any
    ) -> None:
        super().__init__(lif_refrac_step, self.initial_state, input_size, hidden_size, p, **kwargs)


class LIFRefracRecurrent(SNNRecurrent):
    """A layer of recurrently connected LIF neurons with a refractory period over time.

    [T, B, input] -> [T, B, hidden]; see `lif_refrac_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks).
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFRefracState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> z, state = LIFRefracRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape, state.lif.v.shape
        (torch.Size([100, 8, 4]), torch.Size([8, 4]))
    """

    state_type = LIFRefracState

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFRefracParameters = LIF_REFRAC_DEFAULTS, **kwargs: Any
    ) -> None:
        super().__init__(lif_refrac_step, self.initial_state, input_size, hidden_size, p, **kwargs)
