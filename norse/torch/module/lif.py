"""Leaky integrate-and-fire neurons as modules."""

from typing import Any

from norse.torch.functional.adjoint.lif_adjoint import (
    lif_adjoint_step,
    lif_adjoint_step_sparse,
    lif_feed_forward_adjoint_step,
    lif_feed_forward_adjoint_step_sparse,
)
from norse.torch.functional.exponential import lif_feed_forward_step_exponential, lif_step_exponential
from norse.torch.functional.lif import (
    LIF_DEFAULTS,
    LIFFeedForwardState,
    LIFParameters,
    LIFState,
    lif_feed_forward_step,
    lif_feed_forward_step_sparse,
    lif_step,
    lif_step_sparse,
)
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell
from norse.torch.module.steps import Steps

_FEED_FORWARD = Steps(
    lif_feed_forward_step,
    lif_feed_forward_step_sparse,
    lif_feed_forward_adjoint_step,
    lif_feed_forward_adjoint_step_sparse,
    lif_feed_forward_step_exponential,
)
_RECURRENT = Steps(lif_step, lif_step_sparse, lif_adjoint_step, lif_adjoint_step_sparse, lif_step_exponential)


class LIFCell(SNNCell):
    """One tick of leaky integrate-and-fire neurons, [B, N] -> [B, N]; see `lif_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" means EventProp gradients.
        kwargs: dt and activation_sparse, as in `SNNCell`; integrator="exponential" is exact between spikes, where
            "euler" is not. Sparse COO input gives sparse COO
            spikes.

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
    steps = _FEED_FORWARD

    def __init__(self, p: LIFParameters = LIF_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)


class LIF(SNN):
    """A layer of leaky integrate-and-fire neurons over time, [T, B, N] -> [T, B, N]; see `lif_feed_forward_step`.

    Args:
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" means EventProp gradients.
        kwargs: dt, activation_sparse and record_states, as in `SNN`; integrator as in `LIFCell`. Sparse COO input gives
            sparse COO spikes.

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
    steps = _FEED_FORWARD

    def __init__(self, p: LIFParameters = LIF_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)


class LIFRecurrentCell(SNNRecurrentCell):
    """One tick of recurrently connected LIF neurons, [B, input] -> [B, hidden]; see `lif_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" means EventProp gradients.
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`. Sparse COO input gives sparse COO
            spikes.

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
    steps = _RECURRENT

    def __init__(self, input_size: int, hidden_size: int, p: LIFParameters = LIF_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)


class LIFRecurrent(SNNRecurrent):
    """A layer of recurrently connected LIF neurons over time, [T, B, input] -> [T, B, hidden]; see `lif_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" means EventProp gradients.
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`. Sparse COO
            input gives sparse COO spikes.

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
    steps = _RECURRENT

    def __init__(self, input_size: int, hidden_size: int, p: LIFParameters = LIF_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)
