"""LSNN neurons, which have an adaptive threshold, as modules."""

from typing import Any

from norse.torch.functional.adjoint.lsnn_adjoint import lsnn_adjoint_step, lsnn_feed_forward_adjoint_step
from norse.torch.functional.lsnn import (
    LSNN_DEFAULTS,
    LSNNFeedForwardState,
    LSNNParameters,
    LSNNState,
    lsnn_feed_forward_step,
    lsnn_step,
)
from norse.torch.module.full_state import FullState
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell


class LSNNCell(FullState, SNNCell):
    """One tick of neurons with an adaptive threshold, [B, N] -> [B, N]; see `lsnn_feed_forward_step`.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        adjoint: whether gradients are those of the adjoint equations (`lsnn_feed_forward_adjoint_step`).
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LSNNFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> z, state = LSNNCell()(torch.ones(8, 3))
        >>> z.shape, state.b.shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    state_type = LSNNFeedForwardState

    def __init__(self, p: LSNNParameters = LSNN_DEFAULTS, adjoint: bool = False, **kwargs: Any) -> None:
        step = lsnn_feed_forward_adjoint_step if adjoint else lsnn_feed_forward_step
        super().__init__(step, self.initial_state, p, **kwargs)


class LSNN(FullState, SNN):
    """A layer of neurons with an adaptive threshold over time, [T, B, N] -> [T, B, N]; see `lsnn_feed_forward_step`.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        adjoint: whether gradients are those of the adjoint equations (`lsnn_feed_forward_adjoint_step`).
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LSNNFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> z, state = LSNN()(torch.ones(100, 8, 3))
        >>> z.shape, state.b.shape
        (torch.Size([100, 8, 3]), torch.Size([8, 3]))
    """

    state_type = LSNNFeedForwardState

    def __init__(self, p: LSNNParameters = LSNN_DEFAULTS, adjoint: bool = False, **kwargs: Any) -> None:
        step = lsnn_feed_forward_adjoint_step if adjoint else lsnn_feed_forward_step
        super().__init__(step, self.initial_state, p, **kwargs)


class LSNNRecurrentCell(FullState, SNNRecurrentCell):
    """One tick of recurrently connected neurons with an adaptive threshold, [B, input] -> [B, hidden]; see `lsnn_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        adjoint: whether gradients are those of the adjoint equations (`lsnn_adjoint_step`).
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LSNNState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> z, state = LSNNRecurrentCell(3, 4)(torch.ones(8, 3))
        >>> z.shape
        torch.Size([8, 4])
    """

    state_type = LSNNState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: LSNNParameters = LSNN_DEFAULTS,
        adjoint: bool = False,
        **kwargs: Any,
    ) -> None:
        step = lsnn_adjoint_step if adjoint else lsnn_step
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)


class LSNNRecurrent(FullState, SNNRecurrent):
    """A layer of recurrently connected neurons with an adaptive threshold over time, [T, B, input] -> [T, B, hidden].

    See `lsnn_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials).
        adjoint: whether gradients are those of the adjoint equations (`lsnn_adjoint_step`).
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LSNNState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> z, state = LSNNRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 4])
    """

    state_type = LSNNState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: LSNNParameters = LSNN_DEFAULTS,
        adjoint: bool = False,
        **kwargs: Any,
    ) -> None:
        step = lsnn_adjoint_step if adjoint else lsnn_step
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)
