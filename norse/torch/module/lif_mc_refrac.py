"""Multi-compartment leaky integrate-and-fire neurons with a refractory period as modules."""

from typing import Any

from torch import Tensor

from norse.torch.functional.adjoint.lif_mc_refrac_adjoint import (
    lif_mc_refrac_adjoint,
    lif_mc_refrac_feed_forward_adjoint,
)
from norse.torch.functional.lif_mc_refrac import lif_mc_refrac_feed_forward_step, lif_mc_refrac_step
from norse.torch.functional.lif_refrac import (
    LIF_REFRAC_DEFAULTS,
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    LIFRefracState,
)
from norse.torch.module.compartments import Compartments, FeedForwardCompartments
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell
from norse.torch.module.steps import Steps

_FEED_FORWARD = Steps(lif_mc_refrac_feed_forward_step, adjoint=lif_mc_refrac_feed_forward_adjoint)
_RECURRENT = Steps(lif_mc_refrac_step, adjoint=lif_mc_refrac_adjoint)


class LIFMCRefracCell(FeedForwardCompartments, SNNCell):
    """One tick of refractory LIF neurons with coupled membranes, [B, N] -> [B, N].

    See `lif_mc_refrac_feed_forward_step` for the equations.

    Args:
        hidden_size: N, number of compartments.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" of p.lif means EventProp gradients.
        g_coupling: [N, N], of one tick; None means a learnt one that starts as randn / √N.
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFRefracFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`; ValueError if the input has not N features or g_coupling another shape.

    Example:
        >>> import torch
        >>> z, state = LIFMCRefracCell(3)(torch.ones(8, 3))
        >>> z.shape
        torch.Size([8, 3])
    """

    state_type = LIFRefracFeedForwardState
    steps = _FEED_FORWARD
    scalar_rest = False

    def __init__(
        self,
        hidden_size: int,
        p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
        g_coupling: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)
        self.couple(hidden_size, g_coupling)


class LIFMCRefrac(FeedForwardCompartments, SNN):
    """A layer of refractory LIF neurons with coupled membranes over time, [T, B, N] -> [T, B, N].

    See `lif_mc_refrac_feed_forward_step` for the equations.

    Args:
        hidden_size: N, number of compartments.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" of p.lif means EventProp gradients.
        g_coupling: [N, N], of one tick; None means a learnt one that starts as randn / √N.
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFRefracFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`; ValueError if the input has not N features or g_coupling another shape.

    Example:
        >>> import torch
        >>> z, state = LIFMCRefrac(3)(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 3])
    """

    state_type = LIFRefracFeedForwardState
    steps = _FEED_FORWARD

    def __init__(
        self,
        hidden_size: int,
        p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
        g_coupling: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)
        self.couple(hidden_size, g_coupling)


class LIFMCRefracRecurrentCell(Compartments, SNNRecurrentCell):
    """One tick of recurrently connected refractory LIF neurons with coupled membranes, [B, input] -> [B, hidden].

    See `lif_mc_refrac_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" of p.lif means EventProp gradients.
        g_coupling: [hidden, hidden], of one tick; None means a learnt one that starts as randn / √hidden.
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFRefracState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`; ValueError if g_coupling has another shape.

    Example:
        >>> import torch
        >>> z, state = LIFMCRefracRecurrentCell(3, 4)(torch.ones(8, 3))
        >>> z.shape
        torch.Size([8, 4])
    """

    weight_names = (*SNNRecurrentCell.weight_names, "g_coupling")
    state_type = LIFRefracState
    steps = _RECURRENT

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
        g_coupling: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)
        self.couple(hidden_size, g_coupling)


class LIFMCRefracRecurrent(Compartments, SNNRecurrent):
    """A layer of recurrently connected refractory LIF neurons with coupled membranes, [T, B, input] -> [T, B, hidden].

    See `lif_mc_refrac_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" of p.lif means EventProp gradients.
        g_coupling: [hidden, hidden], of one tick; None means a learnt one that starts as randn / √hidden.
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFRefracState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`; ValueError if g_coupling has another shape.

    Example:
        >>> import torch
        >>> z, state = LIFMCRefracRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 4])
    """

    weight_names = (*SNNRecurrent.weight_names, "g_coupling")
    state_type = LIFRefracState
    steps = _RECURRENT

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: LIFRefracParameters = LIF_REFRAC_DEFAULTS,
        g_coupling: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)
        self.couple(hidden_size, g_coupling)
