"""From a neuron's step to a module: cells (one tick) and layers (over time), with and without recurrence."""

from typing import Any, ClassVar

from torch import Tensor

from norse.torch.functional.lift import over_time
from norse.torch.module.neuron import Activation, Neuron, StateFallback
from norse.torch.module.recurrent import RecurrentNeuron


class SNNCell(Neuron):
    """One tick of neurons, [B, ...] -> [B, ...], from their step.

    Args:
        activation: the step, `(input, state, p, dt) -> (output, state)`.
        state_fallback: makes the initial state from the input if there is none.
        p: the step's parameters, usually a NamedTuple. nn.Parameters in it are learnt and saved (as
            `neuron.tau_mem_inv`), other tensors move with `.to()`.
        dt: time step in s.
        activation_sparse: the step for sparse COO input, if there is one.

    Returns:
        `forward(input_tensor, state=None)` gives (output, state).

    Raises:
        TypeError: if the input is no floating point tensor, or the state is none of this neuron's.
        ValueError: if the state is on another device or doesn't broadcast with the input.

    Example:
        >>> import torch
        >>> counter = SNNCell(lambda x, s, p, dt: (s + x, s + x), torch.zeros_like, p=None)
        >>> y, state = counter(torch.ones(2))
        >>> counter(torch.ones(2), state)[0]
        tensor([2., 2.])
    """

    scalar_rest = True

    def __init__(
        self,
        activation: Activation,
        state_fallback: StateFallback,
        p: Any,
        dt: float = 0.001,
        activation_sparse: Activation | None = None,
    ) -> None:
        super().__init__(activation, state_fallback, p, dt, activation_sparse)

    def forward(self, input_tensor: Tensor, state: Any | None = None) -> tuple[Tensor, Any]:
        """One tick: input [B, ...] and state (or None) -> output [B, ...] and state."""
        state = self.starting_state(input_tensor, state)
        activation, others = self.step_for(input_tensor)
        return activation(input_tensor, state, *others)


class SNN(Neuron):
    """A layer of neurons over time, [T, B, ...] -> [T, B, ...], from their step.

    Args:
        activation: the step of one tick, `(input, state, p, dt) -> (output, state)`.
        state_fallback: makes the initial state from the whole sequence if there is none.
        p: the step's parameters, as in `SNNCell`.
        dt: time step in s.
        activation_sparse: the step for sparse COO input, if there is one.
        record_states: whether to return the states of all ticks, each field [T, ...], instead of the last one.

    Returns:
        `forward(input_tensor, state=None)` gives (outputs, state).

    Raises:
        TypeError: if the input is no floating point tensor, or the state is none of this neuron's.
        ValueError: if the input has no time dimension; if the state is on another device or doesn't broadcast.

    Example:
        >>> import torch
        >>> counter = SNN(lambda x, s, p, dt: (s + x, s + x), lambda x: torch.zeros_like(x[0]), p=None)
        >>> counter(torch.ones(3, 2))[0]
        tensor([[1., 1.],
                [2., 2.],
                [3., 3.]])
    """

    axes: ClassVar[tuple[str, ...]] = ("T",)

    def __init__(
        self,
        activation: Activation,
        state_fallback: StateFallback,
        p: Any,
        dt: float = 0.001,
        activation_sparse: Activation | None = None,
        record_states: bool = False,
    ) -> None:
        super().__init__(activation, state_fallback, p, dt, activation_sparse)
        self.record_states = record_states

    def forward(self, input_tensor: Tensor, state: Any | None = None) -> tuple[Tensor, Any]:
        """All ticks: input [T, B, ...] and state (or None) -> output [T, B, ...] and state."""
        state = self.starting_state(input_tensor, state)
        activation, others = self.step_for(input_tensor)
        return over_time(lambda x, s: activation(x, s, *others), input_tensor, state, self.record_states)


class SNNRecurrentCell(RecurrentNeuron):
    """One tick of recurrently connected neurons, [B, input] -> [B, hidden], from their step.

    Args:
        activation: the step, `(input, state, input_weights, recurrent_weights, p, dt) -> (output, state)`.
        state_fallback: makes the initial state from the input if there is none.
        input_size: number of input features.
        hidden_size: number of neurons.
        p: the step's parameters, as in `SNNCell`.
        input_weights: [hidden, input]; None means learnt ones that start as randn · √(2 / hidden).
        recurrent_weights: [hidden, hidden]; None means learnt ones that start as randn · √(2 / hidden). Weights that
            are given are used as they are: an nn.Parameter is learnt, another tensor is not.
        autapses: whether a neuron may be connected to itself. If not, the diagonal of the recurrent weights (of given
            ones too, in place) is set to zero and gets no gradient.
        dt: time step in s.
        activation_sparse: the step for sparse COO input, if there is one.

    Returns:
        `forward(input_tensor, state=None)` gives (output, state).

    Raises:
        TypeError: if the input is no floating point tensor, or the state is none of this neuron's.
        ValueError: if the input has another number of features; if the state is on another device or doesn't broadcast.

    Example:
        >>> import torch
        >>> from norse.torch.functional.lif import LIFParameters, LIFState, lif_step
        >>> zeros = lambda x: torch.zeros(*x.shape[:-1], 4)
        >>> cell = SNNRecurrentCell(lif_step, lambda x: LIFState(zeros(x), zeros(x), zeros(x)), 3, 4, LIFParameters())
        >>> z, state = cell(torch.ones(8, 3))
        >>> z.shape
        torch.Size([8, 4])
    """

    axes: ClassVar[tuple[str, ...]] = ("N",)

    def __init__(
        self,
        activation: Activation,
        state_fallback: StateFallback,
        input_size: int,
        hidden_size: int,
        p: Any,
        input_weights: Tensor | None = None,
        recurrent_weights: Tensor | None = None,
        autapses: bool = False,
        dt: float = 0.001,
        activation_sparse: Activation | None = None,
    ) -> None:
        super().__init__(activation, state_fallback, p, dt, activation_sparse)
        self.connect(input_size, hidden_size, input_weights, recurrent_weights, autapses)

    def forward(self, input_tensor: Tensor, state: Any | None = None) -> tuple[Tensor, Any]:
        """One tick: input [B, input] and state (or None) -> output [B, hidden] and state."""
        state = self.starting_state(input_tensor, state)
        activation, others = self.step_for(input_tensor)
        return activation(input_tensor, state, *others)


class SNNRecurrent(RecurrentNeuron):
    """A layer of recurrently connected neurons over time, [T, B, input] -> [T, B, hidden], from their step.

    Args:
        activation: the step, `(input, state, input_weights, recurrent_weights, p, dt) -> (output, state)`.
        state_fallback: makes the initial state from the whole sequence if there is none.
        input_size: number of input features.
        hidden_size: number of neurons.
        p: the step's parameters, as in `SNNCell`.
        input_weights: [hidden, input], as in `SNNRecurrentCell`.
        recurrent_weights: [hidden, hidden], as in `SNNRecurrentCell`.
        autapses: whether a neuron may be connected to itself, as in `SNNRecurrentCell`.
        dt: time step in s.
        activation_sparse: the step for sparse COO input, if there is one.
        record_states: whether to return the states of all ticks, each field [T, ...], instead of the last one.

    Returns:
        `forward(input_tensor, state=None)` gives (outputs, state).

    Raises:
        TypeError: if the input is no floating point tensor, or the state is none of this neuron's.
        ValueError: if the input has no time dimension or another number of features; if the state is on another
            device or doesn't broadcast.

    Example:
        >>> import torch
        >>> from norse.torch.functional.lif import LIFParameters, LIFState, lif_step
        >>> zeros = lambda x: torch.zeros(*x.shape[1:-1], 4)
        >>> layer = SNNRecurrent(lif_step, lambda x: LIFState(zeros(x), zeros(x), zeros(x)), 3, 4, LIFParameters())
        >>> z, state = layer(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 4])
    """

    axes: ClassVar[tuple[str, ...]] = ("T", "N")

    def __init__(
        self,
        activation: Activation,
        state_fallback: StateFallback,
        input_size: int,
        hidden_size: int,
        p: Any,
        input_weights: Tensor | None = None,
        recurrent_weights: Tensor | None = None,
        autapses: bool = False,
        dt: float = 0.001,
        activation_sparse: Activation | None = None,
        record_states: bool = False,
    ) -> None:
        super().__init__(activation, state_fallback, p, dt, activation_sparse)
        self.record_states = record_states
        self.connect(input_size, hidden_size, input_weights, recurrent_weights, autapses)

    def forward(self, input_tensor: Tensor, state: Any | None = None) -> tuple[Tensor, Any]:
        """All ticks: input [T, B, input] and state (or None) -> output [T, B, hidden] and state."""
        state = self.starting_state(input_tensor, state)
        activation, others = self.step_for(input_tensor)
        return over_time(lambda x, s: activation(x, s, *others), input_tensor, state, self.record_states)
