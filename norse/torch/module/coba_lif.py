"""Leaky integrate-and-fire neurons with conductance-based synapses as modules.

`CobaLIFCell` is a recurrent cell, as Norse has it; the cell without weights is `CobaLIFFeedForwardCell`.
"""

from typing import Any

from torch import Tensor

from norse.torch.functional.adjoint.coba_lif_adjoint import coba_lif_adjoint_step, coba_lif_feed_forward_adjoint_step
from norse.torch.functional.coba_lif import (
    COBA_LIF_DEFAULTS,
    CobaLIFFeedForwardState,
    CobaLIFParameters,
    CobaLIFState,
    coba_lif_feed_forward_step,
    coba_lif_step,
)
from norse.torch.module.recurrent import RecurrentNeuron
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell
from norse.torch.module.steps import Steps

_FEED_FORWARD = Steps(coba_lif_feed_forward_step, adjoint=coba_lif_feed_forward_adjoint_step)
_RECURRENT = Steps(coba_lif_step, adjoint=coba_lif_adjoint_step)


class _ScaledByInputs(RecurrentNeuron):
    """Its weights start as randn divided by the root of the number of inputs that a neuron has through them."""

    def register_weights(
        self, name: str, given: Tensor | None, shape: tuple[int, ...], scale: float | None = None
    ) -> None:
        super().register_weights(name, given, shape, max(shape[1], 1) ** -0.5)


class CobaLIFCell(_ScaledByInputs, SNNRecurrentCell):
    """One tick of recurrently connected LIF neurons with conductance-based synapses, [B, input] -> [B, hidden].

    See `coba_lif_step` for the equations. Without a given state, all of it starts at 0, the membrane too.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (mV); the method "adjoint" means EventProp gradients.
        dt: time step, in the unit of the time constants.
        input_weights: [hidden, input]; None means learnt ones that start as randn / √input.
        recurrent_weights: [hidden, hidden]; None means learnt ones that start as randn / √hidden.
        autapses: whether a neuron may be connected to itself (by default, it may).
        kwargs: activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, CobaLIFState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> z, state = CobaLIFCell(3, 4)(torch.ones(8, 3))
        >>> z.shape, state.g_e.shape
        (torch.Size([8, 4]), torch.Size([8, 4]))
    """

    state_type = CobaLIFState
    steps = _RECURRENT

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: CobaLIFParameters = COBA_LIF_DEFAULTS,
        dt: float = 0.001,
        input_weights: Tensor | None = None,
        recurrent_weights: Tensor | None = None,
        autapses: bool = True,
        **kwargs: Any,
    ) -> None:
        weights = (input_weights, recurrent_weights, autapses)
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, *weights, dt=dt, **kwargs)


CobaLIFRecurrentCell = CobaLIFCell


class CobaLIFRecurrent(_ScaledByInputs, SNNRecurrent):
    """A layer of recurrently connected LIF neurons with conductance-based synapses, [T, B, input] -> [T, B, hidden].

    See `coba_lif_step` for the equations. Without a given state, all of it starts at 0, the membrane too.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters (mV); the method "adjoint" means EventProp gradients.
        dt: time step, in the unit of the time constants.
        input_weights: [hidden, input]; None means learnt ones that start as randn / √input.
        recurrent_weights: [hidden, hidden]; None means learnt ones that start as randn / √hidden.
        autapses: whether a neuron may be connected to itself (by default, it may).
        kwargs: activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, CobaLIFState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> z, state = CobaLIFRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape, state.g_e.shape
        (torch.Size([100, 8, 4]), torch.Size([8, 4]))
    """

    state_type = CobaLIFState
    steps = _RECURRENT

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: CobaLIFParameters = COBA_LIF_DEFAULTS,
        dt: float = 0.001,
        input_weights: Tensor | None = None,
        recurrent_weights: Tensor | None = None,
        autapses: bool = True,
        **kwargs: Any,
    ) -> None:
        weights = (input_weights, recurrent_weights, autapses)
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, input_size, hidden_size, p, *weights, dt=dt, **kwargs)


class CobaLIFFeedForwardCell(SNNCell):
    """One tick of LIF neurons with conductance-based synapses, [B, N] -> [B, N]; see `coba_lif_feed_forward_step`.

    Without a given state, all of it starts at 0, the membrane too.

    Args:
        p: parameters (mV); the method "adjoint" means EventProp gradients.
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, CobaLIFFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> z, state = CobaLIFFeedForwardCell()(torch.ones(8, 3))
        >>> z.shape, state.g_e.shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    state_type = CobaLIFFeedForwardState
    steps = _FEED_FORWARD

    def __init__(self, p: CobaLIFParameters = COBA_LIF_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)


class CobaLIFFeedForward(SNN):
    """A layer of LIF neurons with conductance-based synapses, [T, B, N] -> [T, B, N]; see `coba_lif_feed_forward_step`.

    Without a given state, all of it starts at 0, the membrane too.

    Args:
        p: parameters (mV); the method "adjoint" means EventProp gradients.
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, CobaLIFFeedForwardState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> z, state = CobaLIFFeedForward()(torch.ones(100, 8, 3))
        >>> z.shape, state.g_e.shape
        (torch.Size([100, 8, 3]), torch.Size([8, 3]))
    """

    state_type = CobaLIFFeedForwardState
    steps = _FEED_FORWARD

    def __init__(self, p: CobaLIFParameters = COBA_LIF_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)
