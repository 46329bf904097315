"""Multi-compartment leaky integrate-and-fire neurons as modules."""

from typing import Any

from torch import Tensor

from norse.torch.functional.adjoint.lif_mc_adjoint import lif_mc_adjoint_step, lif_mc_feed_forward_adjoint_step
from norse.torch.functional.lif import LIF_DEFAULTS, LIFFeedForwardState, LIFParameters, LIFState
from norse.torch.functional.lif_mc import lif_mc_feed_forward_step, lif_mc_step
from norse.torch.module.compartments import Compartments, FeedForwardCompartments
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell
from norse.torch.module.steps import Steps

_FEED_FORWARD = Steps(lif_mc_feed_forward_step, adjoint=lif_mc_feed_forward_adjoint_step)
_RECURRENT = Steps(lif_mc_step, adjoint=lif_mc_adjoint_step)


class LIFMCCell(FeedForwardCompartments, SNNCell):
    """One tick of LIF neurons whose membranes are coupled, [B, N] -> [B, N]; see `lif_mc_feed_forward_step`.

    Args:
        hidden_size: N, number of compartments.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" means EventProp gradients.
        g_coupling: [N, N], s⁻¹; None means a learnt one that starts as randn / √N.
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`; ValueError if the input has not N features or g_coupling another shape.

    Example:
        >>> import torch
        >>> z, state = LIFMCCell(3)(torch.ones(8, 3))
        >>> z.shape
        torch.Size([8, 3])
    """

    state_type = LIFFeedForwardState
    steps = _FEED_FORWARD
    scalar_rest = False

    def __init__(
        self, hidden_size: int, p: LIFParameters = LIF_DEFAULTS, g_coupling: Tensor | None = None, **kwargs: Any
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)
        self.couple(hidden_size, g_coupling)


class LIFMC(FeedForwardCompartments, SNN):
    """A layer of LIF neurons whose membranes are coupled, [T, B, N] -> [T, B, N]; see `lif_mc_feed_forward_step`.

    Args:
        hidden_size: N, number of compartments.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" means EventProp gradients.
        g_coupling: [N, N], s⁻¹; None means a learnt one that starts as randn / √N.
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`; ValueError if the input has not N features or g_coupling another shape.

    Example:
        >>> import torch
        >>> z, state = LIFMC(3)(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 3])
    """

    state_type = LIFFeedForwardState
    steps = _FEED_FORWARD

    def __init__(
        self, hidden_size: int, p: LIFParameters = LIF_DEFAULTS, g_coupling: Tensor | None = None, **kwargs: Any
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)
        self.couple(hidden_size, g_coupling)


class LIFMCRecurrentCell(Compartments, SNNRecurrentCell):
    """One tick of recurrently connected LIF neurons with coupled membranes, [B, input] -> [B, hidden]; `lif_mc_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" means EventProp gradients.
        g_coupling: [hidden, hidden], s⁻¹; None means a learnt one that starts as randn / √hidden.
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`; ValueError if g_coupling has another shape.

    Example:
        >>> import torch
        >>> z, state = LIFMCRecurrentCell(3, 4)(torch.ones(8, 3))
        >>> z.shape
        torch.Size([8, 4])
    """

    weight_names = (*SNNRecurrentCell.weight_names, "g_coupling")
    state_type = LIFState
    steps = _RECURRENT

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: LIFParameters = LIF_DEFAULTS,
        g_coupling: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)
        self.couple(hidden_size, g_coupling)


class LIFMCRecurrent(Compartments, SNNRecurrent):
    """A layer of recurrently connected LIF neurons with coupled membranes, [T, B, input] -> [T, B, hidden].

    See `lif_mc_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (s⁻¹, dimensionless potentials); the method "adjoint" means EventProp gradients.
        g_coupling: [hidden, hidden], s⁻¹; None means a learnt one that starts as randn / √hidden.
        kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`; ValueError if g_coupling has another shape.

    Example:
        >>> import torch
        >>> z, state = LIFMCRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 4])
    """

    weight_names = (*SNNRecurrent.weight_names, "g_coupling")
    state_type = LIFState
    steps = _RECURRENT

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: LIFParameters = LIF_DEFAULTS,
        g_coupling: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, **kwargs)
        self.couple(hidden_size, g_coupling)
