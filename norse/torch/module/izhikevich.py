"""Izhikevich neurons as modules."""

from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.izhikevich import (
    IzhikevichParameters,
    IzhikevichRecurrentState,
    IzhikevichSpikingBehavior,
    IzhikevichState,
    izhikevich_feed_forward_step,
    izhikevich_recurrent_step,
)
from norse.torch.module.initial import potential
from norse.torch.module.neuron import Neuron
from norse.torch.module.shapes import tick_shape
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell


class _Behaving(Neuron):
    """Starts from its spiking behaviour's state; stands in front of a form."""

    start: IzhikevichState

    @property
    def spiking_method(self) -> IzhikevichSpikingBehavior:
        """The spiking behaviour, with the parameters as they are now."""
        return IzhikevichSpikingBehavior(self.p, self.start)

    def initial_state(self, input_tensor: Tensor) -> IzhikevichState | IzhikevichRecurrentState:
        """The spiking behaviour's state, on tensors of its own."""
        shape = tick_shape(self, input_tensor)
        rest = None if self.scalar_rest else shape
        v = potential(self.start.v, input_tensor, rest)
        u = potential(self.start.u, input_tensor, rest, requires_grad=False)
        if self.state_type is IzhikevichState:
            return IzhikevichState(v=v, u=u)
        z = torch.zeros(shape, dtype=input_tensor.dtype, device=input_tensor.device)
        return IzhikevichRecurrentState(z=z, v=v, u=u)

    def parameters_of(self, spiking_method: Any) -> IzhikevichParameters:
        """The parameters of a spiking behaviour, which it must be.

        Raises:
            TypeError: if it is none.
        """
        if not isinstance(spiking_method, IzhikevichSpikingBehavior):
            raise TypeError(
                f"{type(self).__name__}: argument spiking_method: expects an IzhikevichSpikingBehavior such as "
                f"norse.torch.functional.izhikevich.tonic_spiking, got {type(spiking_method).__name__}"
            )
        for name, kind in (("p", IzhikevichParameters), ("s", IzhikevichState)):
            if not isinstance(getattr(spiking_method, name), kind):
                raise TypeError(
                    f"{type(self).__name__}: argument spiking_method.{name}: expects {kind.__name__}, "
                    f"got {type(getattr(spiking_method, name)).__name__}"
                )
        return spiking_method.p


class IzhikevichCell(_Behaving, SNNCell):
    """One tick of Izhikevich neurons, [B, N] -> [B, N]; see `izhikevich_feed_forward_step` for the equations.

    Args:
        spiking_method: a spiking behaviour: parameters, and the state to start from.
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, IzhikevichState).

    Raises:
        TypeError: if spiking_method is no IzhikevichSpikingBehavior.
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> from norse.torch.functional.izhikevich import tonic_spiking
        >>> z, state = IzhikevichCell(tonic_spiking)(torch.ones(8, 3))
        >>> z.shape, state.v.shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    state_type = IzhikevichState

    def __init__(self, spiking_method: IzhikevichSpikingBehavior, **kwargs: Any) -> None:
        p = self.parameters_of(spiking_method)
        super().__init__(izhikevich_feed_forward_step, self.initial_state, p, **kwargs)
        self.start = spiking_method.s


class Izhikevich(_Behaving, SNN):
    """A layer of Izhikevich neurons over time, [T, B, N] -> [T, B, N]; see `izhikevich_feed_forward_step`.

    Args:
        spiking_method: a spiking behaviour: parameters, and the state to start from.
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, IzhikevichState).

    Raises:
        TypeError: if spiking_method is no IzhikevichSpikingBehavior.
        TypeError, ValueError: as `SNN`.

    Example:
        >>> from norse.torch.functional.izhikevich import tonic_spiking
        >>> z, state = Izhikevich(tonic_spiking)(torch.full((400, 1), 14.0))
        >>> int(z.sum())
        5
    """

    state_type = IzhikevichState
    scalar_rest = True

    def __init__(self, spiking_method: IzhikevichSpikingBehavior, **kwargs: Any) -> None:
        p = self.parameters_of(spiking_method)
        super().__init__(izhikevich_feed_forward_step, self.initial_state, p, **kwargs)
        self.start = spiking_method.s


class IzhikevichRecurrentCell(_Behaving, SNNRecurrentCell):
    """One tick of recurrently connected Izhikevich neurons, [B, input] -> [B, hidden]; `izhikevich_recurrent_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        spiking_method: a spiking behaviour: parameters, and the state to start from.
        kwargs: weights, autapses, dt and activation_sparse, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, IzhikevichRecurrentState).

    Raises:
        TypeError: if spiking_method is no IzhikevichSpikingBehavior.
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> from norse.torch.functional.izhikevich import tonic_spiking
        >>> z, state = IzhikevichRecurrentCell(3, 4, tonic_spiking)(torch.ones(8, 3))
        >>> z.shape
        torch.Size([8, 4])
    """

    state_type = IzhikevichRecurrentState

    def __init__(
        self, input_size: int, hidden_size: int, spiking_method: IzhikevichSpikingBehavior, *args: Any, **kwargs: Any
    ) -> None:
        p = self.parameters_of(spiking_method)
        super().__init__(izhikevich_recurrent_step, self.initial_state, input_size, hidden_size, p, *args, **kwargs)
        self.start = spiking_method.s


class IzhikevichRecurrent(_Behaving, SNNRecurrent):
    """A layer of recurrently connected Izhikevich neurons over time, [T, B, input] -> [T, B, hidden].

    See `izhikevich_recurrent_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        spiking_method: a spiking behaviour: parameters, and the state to start from.
        args, kwargs: weights, autapses, dt, activation_sparse and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, IzhikevichRecurrentState).

    Raises:
        TypeError: if spiking_method is no IzhikevichSpikingBehavior.
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> from norse.torch.functional.izhikevich import tonic_spiking
        >>> z, state = IzhikevichRecurrent(3, 4, tonic_spiking)(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 4])
    """

    state_type = IzhikevichRecurrentState

    def __init__(
        self, input_size: int, hidden_size: int, spiking_method: IzhikevichSpikingBehavior, *args: Any, **kwargs: Any
    ) -> None:
        p = self.parameters_of(spiking_method)
        super().__init__(izhikevich_recurrent_step, self.initial_state, input_size, hidden_size, p, *args, **kwargs)
        self.start = spiking_method.s
