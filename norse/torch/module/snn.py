"""From a neuron's step to a module: cells (one tick) and layers (over time), with and without recurrence."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from norse.torch.functional.lift import over_time
from norse.torch.module.checks import check_fallback, check_input, check_state
from norse.torch.module.parameters import HoldsParameters

Activation = Callable[..., tuple[Tensor, Any]]
StateFallback = Callable[[Tensor], Any]


def pick_activation(module: Any, input_tensor: Tensor) -> Activation:
    """The module's step for this input: `activation_sparse` if there is one and the input is sparse."""
    if input_tensor.is_sparse and module.activation_sparse is not None:
        return module.activation_sparse  # type: ignore[no-any-return]
    return module.activation  # type: ignore[no-any-return]


def starting_state(module: Any, input_tensor: Tensor, state: Any) -> Any:
    """The state before the first tick of a checked input: the given one, or the module's own if there is none."""
    check_input(module, input_tensor)
    if state is None:
        state = module.state_fallback(input_tensor)
        check_fallback(module, input_tensor, state)
    else:
        check_state(module, input_tensor, state)
    return _with_all_spikes(module, state) if hasattr(module, "recurrent_weights") else state


class SNNCell(HoldsParameters, torch.nn.Module):
    """One tick of neurons, [B, ...] -> [B, ...], from their step.

    Args:
        activation: the step, `(input, state, p, dt) -> (output, state)`.
        state_fallback: makes the initial state from the input if there is none.
        p: the step's parameters, usually a NamedTuple. nn.Parameters in it are learnt and saved (as `p.tau_mem_inv`),
            other tensors move with `.to()`.
        dt: time step in s.
        activation_sparse: the step for sparse COO input, if there is one.

    Returns:
        `forward(input_tensor, state=None)` gives (output, state).

    Raises:
        TypeError: if the input is no floating point tensor, or the state is none of this neuron's.
        ValueError: if the state is on another device or doesn't broadcast with the input.

    Example:
        >>> counter = SNNCell(lambda x, s, p, dt: (s + x, s + x), torch.zeros_like, p=None)
        >>> y, state = counter(torch.ones(2))
        >>> counter(torch.ones(2), state)[0]
        tensor([2., 2.])
    """

    axes: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type | None] = None

    def __init__(
        self,
        activation: Activation,
        state_fallback: StateFallback,
        p: Any,
        dt: float = 0.001,
        activation_sparse: Activation | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.activation_sparse = activation_sparse
        self.state_fallback = state_fallback
        self.p = p
        self.dt = dt

    def extra_repr(self) -> str:
        return f"p={self.p}, dt={self.dt}"

    def forward(self, input_tensor: Tensor, state: Any | None = None) -> tuple[Tensor, Any]:
        """One tick: input [B, ...] and state (or None) -> output [B, ...] and state."""
        state = starting_state(self, input_tensor, state)
        return pick_activation(self, input_tensor)(input_tensor, state, self.p, self.dt)


class SNN(HoldsParameters, torch.nn.Module):
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
        >>> counter = SNN(lambda x, s, p, dt: (s + x, s + x), lambda x: torch.zeros_like(x[0]), p=None)
        >>> counter(torch.ones(3, 2))[0]
        tensor([[1., 1.],
                [2., 2.],
                [3., 3.]])
    """

    axes: ClassVar[tuple[str, ...]] = ("T",)
    state_type: ClassVar[type | None] = None

    def __init__(
        self,
        activation: Activation,
        state_fallback: StateFallback,
        p: Any,
        dt: float = 0.001,
        activation_sparse: Activation | None = None,
        record_states: bool = False,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.activation_sparse = activation_sparse
        self.state_fallback = state_fallback
        self.p = p
        self.dt = dt
        self.record_states = record_states

    def extra_repr(self) -> str:
        return f"p={self.p}, dt={self.dt}"

    def forward(self, input_tensor: Tensor, state: Any | None = None) -> tuple[Tensor, Any]:
        """All ticks: input [T, B, ...] and state (or None) -> output [T, B, ...] and state."""
        state = starting_state(self, input_tensor, state)
        activation, p, dt = pick_activation(self, input_tensor), self.p, self.dt
        return over_time(lambda x, s: activation(x, s, p, dt), input_tensor, state, self.record_states)


class SNNRecurrentCell(HoldsParameters, torch.nn.Module):
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
        >>> from norse.torch.functional.lif import LIFParameters, LIFState, lif_step
        >>> zeros = lambda x: torch.zeros(*x.shape[:-1], 4)
        >>> cell = SNNRecurrentCell(lif_step, lambda x: LIFState(zeros(x), zeros(x), zeros(x)), 3, 4, LIFParameters())
        >>> z, state = cell(torch.ones(8, 3))
        >>> z.shape
        torch.Size([8, 4])
    """

    axes: ClassVar[tuple[str, ...]] = ("N",)
    state_type: ClassVar[type | None] = None
    input_weights: Tensor
    recurrent_weights: Tensor

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
        super().__init__()
        self.activation = activation
        self.activation_sparse = activation_sparse
        self.state_fallback = state_fallback
        self.p = p
        self.dt = dt
        _connect(self, input_size, hidden_size, input_weights, recurrent_weights, autapses)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        _keep_diagonal_zero(self)

    def extra_repr(self) -> str:
        return _recurrent_repr(self)

    def forward(self, input_tensor: Tensor, state: Any | None = None) -> tuple[Tensor, Any]:
        """One tick: input [B, input] and state (or None) -> output [B, hidden] and state."""
        state = starting_state(self, input_tensor, state)
        activation = pick_activation(self, input_tensor)
        return activation(input_tensor, state, self.input_weights, self.recurrent_weights, self.p, self.dt)


class SNNRecurrent(HoldsParameters, torch.nn.Module):
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
        >>> from norse.torch.functional.lif import LIFParameters, LIFState, lif_step
        >>> zeros = lambda x: torch.zeros(*x.shape[1:-1], 4)
        >>> layer = SNNRecurrent(lif_step, lambda x: LIFState(zeros(x), zeros(x), zeros(x)), 3, 4, LIFParameters())
        >>> z, state = layer(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 4])
    """

    axes: ClassVar[tuple[str, ...]] = ("T", "N")
    state_type: ClassVar[type | None] = None
    input_weights: Tensor
    recurrent_weights: Tensor

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
        super().__init__()
        self.activation = activation
        self.activation_sparse = activation_sparse
        self.state_fallback = state_fallback
        self.p = p
        self.dt = dt
        self.record_states = record_states
        _connect(self, input_size, hidden_size, input_weights, recurrent_weights, autapses)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        _keep_diagonal_zero(self)

    def extra_repr(self) -> str:
        return _recurrent_repr(self)

    def forward(self, input_tensor: Tensor, state: Any | None = None) -> tuple[Tensor, Any]:
        """All ticks: input [T, B, input] and state (or None) -> output [T, B, hidden] and state."""
        state = starting_state(self, input_tensor, state)
        activation, p, dt = pick_activation(self, input_tensor), self.p, self.dt
        w_in, w_rec = self.input_weights, self.recurrent_weights
        return over_time(lambda x, s: activation(x, s, w_in, w_rec, p, dt), input_tensor, state, self.record_states)


def _connect(
    module: Any,
    input_size: int,
    hidden_size: int,
    input_weights: Tensor | None,
    recurrent_weights: Tensor | None,
    autapses: bool,
) -> None:
    module.input_size = torch.as_tensor(input_size)
    module.hidden_size = torch.as_tensor(hidden_size)
    module.autapses = autapses
    _register_weights(module, "input_weights", input_weights, hidden_size, input_size)
    _register_weights(module, "recurrent_weights", recurrent_weights, hidden_size, hidden_size)
    if not autapses:
        with torch.no_grad():
            module.recurrent_weights.fill_diagonal_(0.0)
        _keep_diagonal_zero(module)


def _register_weights(module: torch.nn.Module, name: str, given: Tensor | None, hidden: int, inputs: int) -> None:
    if given is None:
        given = torch.nn.Parameter(torch.randn(hidden, inputs) * (2.0 / hidden) ** 0.5)
    if tuple(given.shape) != (hidden, inputs):
        raise ValueError(
            f"{type(module).__name__}: argument {name}: expects shape {[hidden, inputs]}, got {list(given.shape)}"
        )
    if isinstance(given, torch.nn.Parameter):
        module.register_parameter(name, given)
    else:
        module.register_buffer(name, given)


def _keep_diagonal_zero(module: Any) -> None:
    """Hooks don't survive deepcopy and pickle, so this is called again after both."""
    if module.autapses:
        return
    weights = module.recurrent_weights
    learnt = weights.requires_grad
    # torch takes a hook only while a tensor requires grad, and frozen weights may be thawed later.
    weights.requires_grad_().register_hook(_without_diagonal)
    weights.requires_grad_(learnt)


def _without_diagonal(gradient: Tensor) -> Tensor:
    return gradient.clone().fill_diagonal_(0.0)


def _with_all_spikes(module: Any, state: Any) -> Any:
    """Gives the state's z every neuron, where it was given as 0-d or with one neuron that stands for all."""
    z = getattr(state, "z", None)
    hidden = module.recurrent_weights.shape[-1]
    if not isinstance(z, Tensor) or (z.dim() > 0 and z.shape[-1] == hidden):
        return state
    return state._replace(z=z.expand(*z.shape[:-1], hidden))


def _recurrent_repr(module: Any) -> str:
    return (
        f"input_size={int(module.input_size)}, hidden_size={int(module.hidden_size)}, p={module.p}, "
        f"autapses={module.autapses}, dt={module.dt}"
    )
