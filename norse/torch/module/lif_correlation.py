"""Recurrent LIF neurons with correlation sensors at their synapses, as modules."""

from typing import Any

from torch import Tensor

from norse.torch.functional.correlation_sensor import CorrelationSensorState
from norse.torch.functional.lif import LIFState
from norse.torch.functional.lif_correlation import (
    LIF_CORRELATION_DEFAULTS,
    LIFCorrelationParameters,
    LIFCorrelationState,
    lif_correlation_step,
)
from norse.torch.module.checks import check_fields, check_input, check_sizes
from norse.torch.module.initial import potential
from norse.torch.module.neuron import Neuron
from norse.torch.module.shapes import tick_shape
from norse.torch.module.snn import SNNRecurrent, SNNRecurrentCell


class LIFCorrelation(Neuron):
    """One tick of recurrent LIF neurons and their synapses' sensors, [B, input] -> [B, hidden].

    The weights are arguments of `forward`, because a learning rule changes them between ticks. See
    `lif_correlation_step` for the equations, `correlation_based_update` for a rule, and `LIFCorrelationRecurrentCell`
    for a cell with weights of its own.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters of the neurons and of the sensors (s⁻¹, dimensionless potentials).
        dt: time step in s.

    Returns:
        `forward(input_tensor, input_weights, recurrent_weights, state)`, with input_weights [hidden, input],
        recurrent_weights [hidden, hidden], and None for the state before the first tick, gives (spikes,
        LIFCorrelationState).

    Raises:
        TypeError: if the input is no floating point tensor, or the state is no LIFCorrelationState.
        ValueError: if a time constant is negative, the surrogate is unknown or dt is not positive; in `forward`, if the
            input or the weights have another size; if the state is on another device or doesn't broadcast.

    Example:
        >>> import torch
        >>> neurons, w_in, w_rec = LIFCorrelation(3, 2), torch.full((2, 3), 5.0), torch.zeros(2, 2)
        >>> z, state = neurons(torch.ones(1, 3), w_in, w_rec, None)
        >>> z, state = neurons(torch.ones(1, 3), w_in, w_rec, state)
        >>> state.input_correlation_state.correlation_trace[0, 0]
        tensor([1.9900, 1.9900])
    """

    state_type = LIFCorrelationState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        p: LIFCorrelationParameters = LIF_CORRELATION_DEFAULTS,
        dt: float = 0.001,
    ) -> None:
        super().__init__(lif_correlation_step, self.initial_state, p, dt)
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size

    def extra_repr(self) -> str:
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}, {super().extra_repr()}"

    def initial_state(self, input_tensor: Tensor) -> LIFCorrelationState:
        """v = v_leak, everything else zero."""
        return _at_rest(self, input_tensor, (*input_tensor.shape[:-1], self.hidden_size))

    def forward(
        self,
        input_tensor: Tensor,
        input_weights: Tensor,
        recurrent_weights: Tensor,
        state: LIFCorrelationState | None,
    ) -> tuple[Tensor, LIFCorrelationState]:
        """One tick: input [B, input], weights, and state or None -> spikes [B, hidden] and state."""
        check_input(self, input_tensor)
        for name, tensor, shape in (
            ("input_tensor", input_tensor, (*input_tensor.shape[:-1], self.input_size)),
            ("input_weights", input_weights, (self.hidden_size, self.input_size)),
            ("recurrent_weights", recurrent_weights, (self.hidden_size, self.hidden_size)),
        ):
            if tensor.shape != shape:
                raise ValueError(
                    f"LIFCorrelation: argument {name}: expects shape {list(shape)}, got {list(tensor.shape)}"
                )
        if state is None:
            state = self.state_fallback(input_tensor)
        else:
            _check_state(self, input_tensor, state, (*input_tensor.shape[:-1], self.hidden_size))
        return self.activation(input_tensor, state, input_weights, recurrent_weights, self.p, self.dt)


class LIFCorrelationRecurrentCell(SNNRecurrentCell):
    """One tick of recurrent LIF neurons and their synapses' sensors, [B, input] -> [B, hidden].

    As `LIFCorrelation`, with weights of its own. See `lif_correlation_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters of the neurons and of the sensors (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses and dt, as in `SNNRecurrentCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFCorrelationState).

    Raises:
        TypeError, ValueError: as `SNNRecurrentCell`.

    Example:
        >>> import torch
        >>> z, state = LIFCorrelationRecurrentCell(3, 4)(torch.ones(8, 3))
        >>> z.shape, state.input_correlation_state.correlation_trace.shape
        (torch.Size([8, 4]), torch.Size([8, 3, 4]))
    """

    state_type = LIFCorrelationState

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFCorrelationParameters = LIF_CORRELATION_DEFAULTS, **kwargs: Any
    ) -> None:
        super().__init__(lif_correlation_step, self.initial_state, input_size, hidden_size, p, **kwargs)

    def initial_state(self, input_tensor: Tensor) -> LIFCorrelationState:
        """v = v_leak, everything else zero."""
        return _at_rest(self, input_tensor, tick_shape(self, input_tensor))

    def starting_state(self, input_tensor: Tensor, state: Any) -> LIFCorrelationState:
        return _starting_state(self, input_tensor, state)


class LIFCorrelationRecurrent(SNNRecurrent):
    """A layer of recurrent LIF neurons and their synapses' sensors over time, [T, B, input] -> [T, B, hidden].

    The weights stay as they are during the sequence; the sensors record what a learning rule may use after it. See
    `lif_correlation_step` for the equations.

    Args:
        input_size: number of input features.
        hidden_size: number of neurons.
        p: parameters of the neurons and of the sensors (s⁻¹, dimensionless potentials).
        kwargs: weights, autapses, dt and record_states, as in `SNNRecurrent`.

    Returns:
        `forward(input_tensor, state=None)` gives (spikes, LIFCorrelationState).

    Raises:
        TypeError, ValueError: as `SNNRecurrent`.

    Example:
        >>> import torch
        >>> z, state = LIFCorrelationRecurrent(3, 4)(torch.ones(100, 8, 3))
        >>> z.shape, state.recurrent_correlation_state.correlation_trace.shape
        (torch.Size([100, 8, 4]), torch.Size([8, 4, 4]))
    """

    state_type = LIFCorrelationState

    def __init__(
        self, input_size: int, hidden_size: int, p: LIFCorrelationParameters = LIF_CORRELATION_DEFAULTS, **kwargs: Any
    ) -> None:
        super().__init__(lif_correlation_step, self.initial_state, input_size, hidden_size, p, **kwargs)

    def initial_state(self, input_tensor: Tensor) -> LIFCorrelationState:
        """v = v_leak, everything else zero, in the shape of one tick."""
        return _at_rest(self, input_tensor, tick_shape(self, input_tensor))

    def starting_state(self, input_tensor: Tensor, state: Any) -> LIFCorrelationState:
        return _starting_state(self, input_tensor, state)


def _shapes(x: Tensor, output: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Shapes of the parts of a state: of the neurons, and of the sensors at input and at recurrent synapses."""
    *batch, hidden = output
    return output, (*batch, x.shape[-1], hidden), (*batch, hidden, hidden)


def _at_rest(module: Any, x: Tensor, output: tuple[int, ...]) -> LIFCorrelationState:
    neurons, at_input, at_recurrent = _shapes(x, output)
    return LIFCorrelationState(
        lif_state=LIFState(
            z=x.new_zeros(neurons),
            v=potential(module.p.lif_parameters.v_leak, x, neurons),
            i=x.new_zeros(neurons),
        ),
        input_correlation_state=CorrelationSensorState(*(x.new_zeros(at_input) for _ in range(3))),
        recurrent_correlation_state=CorrelationSensorState(*(x.new_zeros(at_recurrent) for _ in range(3))),
    )


def _check_state(module: Any, x: Tensor, state: Any, output: tuple[int, ...]) -> None:
    declared = module.state_fields
    check_fields(module, "state", declared, state, x.device, ())  # any shape: each part has another
    for (name, _, nested), part, shape in zip(declared.fields, state, _shapes(x, output), strict=True):
        check_fields(module, f"state.{name}", nested, part, x.device, shape)


def _starting_state(module: Any, x: Tensor, state: Any) -> LIFCorrelationState:
    """As `RecurrentNeuron.starting_state`, for a state whose parts have shapes of their own."""
    check_input(module, x)
    if state is None:
        return module.state_fallback(x)  # type: ignore[no-any-return]
    _check_state(module, x, state, tick_shape(module, x))
    return module._with_all_spikes(state)  # type: ignore[no-any-return]
