"""Leaky integrate-and-fire neurons without a synapse as modules."""

from typing import Any

from norse.torch.functional.exponential import lif_box_feed_forward_step_exponential, lif_box_step_exponential
from norse.torch.functional.lif_box import (
    LIF_BOX_DEFAULTS,
    LIFBoxFeedForwardState,
    LIFBoxParameters,
    LIFBoxState,
    lif_box_feed_forward_step,
    lif_box_step,
)
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell
from norse.torch.module.steps import Steps

_FEED_FORWARD = Steps(lif_box_feed_forward_step, exponential=lif_box_feed_forward_step_exponential)
_RECURRENT = Steps(lif_box_step, exponential=lif_box_step_exponential)


class LIFBoxCell(SNNCell):
    """One tick of LIF neurons without a synapse, [B, N] -> [B, N].

    See `lif_box_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        dt: time step in s.
        integrator: "euler", or "exponential", which is exact between spikes.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFBoxFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> LIFBoxCell()(torch.ones(8, 3))[0].shape
        torch.Size([8, 3])
    """

    state_type = LIFBoxFeedForwardState
    steps = _FEED_FORWARD

    def __init__(self, p: LIFBoxParameters = LIF_BOX_DEFAULTS, dt: float = 0.001, integrator: str = "euler") -> None:
        step, kwargs = self.steps.chosen(p, {"dt": dt, "integrator": integrator})
        super().__init__(step, self.initial_state, p, **kwargs)


class LIFBox(SNN):
    """A layer of LIF neurons without a synapse over time, [T, B, N] -> [T, B, N].

    See `lif_box_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        dt: time step in s.
        integrator: "euler", or "exponential", which is exact between spikes.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFBoxFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> LIFBox()(torch.ones(100, 8, 3))[0].shape
        torch.Size([100, 8, 3])
    """

    state_type = LIFBoxFeedForwardState
    steps = _FEED_FORWARD
    scalar_rest = True

    def __init__(self, p: LIFBoxParameters = LIF_BOX_DEFAULTS, dt: float = 0.001, integrator: str = "euler") -> None:
        step, kwargs = self.steps.chosen(p, {"dt": dt, "integrator": integrator})
        super().__init__(step, self.initial_state, p, **kwargs)


class LIFBoxRecurrentCell(SNNRecurrentCell):
    """One tick of recurrently connected LIF neurons without a synapse.

    [B, input] -> [B, hidden]; see `lif_box_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFBoxState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> LIFBoxRecurrentCell(3, 4)(torch.ones(8, 3))[0].shape
        torch.Size([8, 4])
    """

    state_type = LIFBoxState
    steps = _RECURRENT

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFBoxParameters = LIF_BOX_DEFAULTS, **kwargs: Any
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)


class LIFBoxRecurrent(SNNRecurrent):
    """A layer of recurrently connected LIF neurons without a synapse over time.

    [T, B, input] -> [T, B, hidden]; see `lif_box_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFBoxState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> LIFBoxRecurrent(3, 4)(torch.ones(100, 8, 3))[0].shape
        torch.Size([100, 8, 4])
    """

    state_type = LIFBoxState
    steps = _RECURRENT

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFBoxParameters = LIF_BOX_DEFAULTS, **kwargs: Any
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)
