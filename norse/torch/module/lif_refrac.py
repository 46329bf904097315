"""Leaky integrate-and-fire neurons with a refractory period as modules."""

from typing import Any

from norse.torch.functional.adjoint.lif_refrac_adjoint import (
    lif_refrac_adjoint_step,
    lif_refrac_adjoint_step_sparse,
    lif_refrac_feed_forward_adjoint_step,
)
from norse.torch.functional.lif_refrac import (
    LIF_REFRAC_DEFAULTS,
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    LIFRefracState,
    lif_refrac_feed_forward_step,
    lif_refrac_step,
    lif_refrac_step_sparse,
)
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell
from norse.torch.module.steps import Steps

_FEED_FORWARD = Steps(lif_refrac_feed_forward_step, adjoint=lif_refrac_feed_forward_adjoint_step)
_RECURRENT = Steps(lif_refrac_step, lif_refrac_step_sparse, lif_refrac_adjoint_step, lif_refrac_adjoint_step_sparse)


class LIFRefracCell(SNNCell):
    """One tick of leaky integrate-and-fire neurons with a refractory period.

    [B, N] -> [B, N]; see `lif_refrac_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks); the method "adjoint" of p.lif
            means EventProp gradients.
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
    steps = _FEED_FORWARD

    def __init__(self, p: LIFRefracParameters = LIF_REFRAC_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)


class LIFRefrac(SNN):
    """A layer of leaky integrate-and-fire neurons with a refractory period over time.

    [T, B, N] -> [T, B, N]; see `lif_refrac_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks); the method "adjoint" of p.lif
            means EventProp gradients.
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
    steps = _FEED_FORWARD

    def __init__(self, p: LIFRefracParameters = LIF_REFRAC_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)


class LIFRefracRecurrentCell(SNNRecurrentCell):
    """One tick of recurrently connected LIF neurons with a refractory period.

    [B, input] -> [B, hidden]; see `lif_refrac_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks); the method "adjoint" of p.lif
            means EventProp gradients.
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`. Sparse COO input gives sparse COO
            spikes.

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
    steps = _RECURRENT

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFRefracParameters = LIF_REFRAC_DEFAULTS, **kwargs: Any
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)


class LIFRefracRecurrent(SNNRecurrent):
    """A layer of recurrently connected LIF neurons with a refractory period over time.

    [T, B, input] -> [T, B, hidden]; see `lif_refrac_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials; the refractory period in ticks); the method "adjoint" of p.lif
            means EventProp gradients.
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`. Sparse COO
            input gives sparse COO spikes.

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
    steps = _RECURRENT

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFRefracParameters = LIF_REFRAC_DEFAULTS, **kwargs: Any
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)
