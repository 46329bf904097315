"""Leaky integrators without a synapse as modules."""

from typing import Any

from norse.torch.functional.leaky_integrator_box import (
    LI_BOX_DEFAULTS,
    LIBoxParameters,
    LIBoxState,
    li_box_feed_forward_step,
)
from norse.torch.module.snn import SNN, SNNCell


class LIBoxCell(SNNCell):
    """One tick of leaky integrators without a synapse, [B, N] -> [B, N]; see `li_box_feed_forward_step`.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (membrane potentials, LIBoxState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> LIBoxCell()(torch.ones(8, 3))[0].shape
        torch.Size([8, 3])
    """

    state_type = LIBoxState

    def __init__(self, p: LIBoxParameters = LI_BOX_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(li_box_feed_forward_step, self.initial_state, p, **kwargs)


class LIBox(SNN):
    """A layer of leaky integrators without a synapse over time, [T, B, N] -> [T, B, N]; see `li_box_feed_forward_step`.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        dt: time step in s.

    Returns:
        `forward(input_tensor, state=None)` gives (membrane potentials, LIBoxState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> LIBox()(torch.ones(100, 8, 3))[0].shape
        torch.Size([100, 8, 3])
    """

    state_type = LIBoxState
    scalar_rest = True

    def __init__(self, p: LIBoxParameters = LI_BOX_DEFAULTS, dt: float = 0.001) -> None:
        super().__init__(li_box_feed_forward_step, self.initial_state, p, dt=dt)
