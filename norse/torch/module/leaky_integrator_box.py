"""Leaky integrators without a synapse as modules."""

from typing import Any

from norse.torch.functional.exponential import li_box_feed_forward_step_exponential
from norse.torch.functional.leaky_integrator_box import (
    LI_BOX_DEFAULTS,
    LIBoxParameters,
    LIBoxState,
    li_box_feed_forward_step,
)
from norse.torch.module.snn import SNN, SNNCell
from norse.torch.module.steps import Steps

_FEED_FORWARD = Steps(li_box_feed_forward_step, exponential=li_box_feed_forward_step_exponential)


class LIBoxCell(SNNCell):
    """One tick of leaky integrators without a synapse, [B, N] -> [B, N]; see `li_box_feed_forward_step`.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt and activation_sparse, as in `SNNCell`; integrator="exponential" is exact, where "euler" is not.

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
    steps = _FEED_FORWARD

    def __init__(self, p: LIBoxParameters = LI_BOX_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)


class LIBox(SNN):
    """A layer of leaky integrators without a synapse over time, [T, B, N] -> [T, B, N]; see `li_box_feed_forward_step`.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        dt: time step in s.
        integrator: "euler", or "exponential", which is exact.

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
    steps = _FEED_FORWARD
    scalar_rest = True

    def __init__(self, p: LIBoxParameters = LI_BOX_DEFAULTS, dt: float = 0.001, integrator: str = "euler") -> None:
        step, kwargs = self.steps.chosen(p, {"dt": dt, "integrator": integrator})
        super().__init__(step, self.initial_state, p, **kwargs)
