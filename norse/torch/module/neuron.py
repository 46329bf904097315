"""What all neuron modules have in common: a step, its parameters, its initial state."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from norse.torch.functional.quantization import QuantizedStep
from norse.torch.module.checks import check_dt, check_fallback, check_input, check_parameters, check_state
from norse.torch.module.initial import resting_state
from norse.torch.module.parameters import HoldsParameters, shown
from norse.torch.module.state_fields import state_fields
from norse.torch.module.steps import Steps

Activation = Callable[..., tuple[Tensor, Any]]
StateFallback = Callable[[Tensor], Any]


class Neuron(HoldsParameters):
    """Holds the parts of a neuron module; a form of it (a cell, a layer) adds `forward`.

    A model declares `state_type`, the type of its state (None: the user's own business). A form declares `axes`, the
    dimensions that its input must at least have ("T" for time, "N" for features), and `weight_names`, the tensors that
    its step takes between the state and the parameters.

    Args:
        activation: the step.
        state_fallback: makes the initial state from the input if there is none.
        p: the step's parameters.
        dt: time step in s.
        activation_sparse: the step for sparse COO input, if there is one.
    """

    axes: ClassVar[tuple[str, ...]] = ()
    weight_names: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[Any] = None
    steps: ClassVar[Steps | None] = None  # what a model chooses its activation from
    scalar_rest: ClassVar[bool] = False  # whether fields start in the shape of their parameter, not of one tick

    def __init__(
        self,
        activation: Activation,
        state_fallback: StateFallback,
        p: Any,
        dt: float = 0.001,
        activation_sparse: Activation | None = None,
    ) -> None:
        super().__init__()
        check_dt(self, dt)
        if self.state_type is not None:
            check_parameters(self, p, dt, exact=self.steps is not None and activation is self.steps.exponential)
            self.state_fields = state_fields(self.state_type)
        self.activation = activation
        self.activation_sparse = activation_sparse
        self.state_fallback = state_fallback
        self.p = p
        self.dt = dt

    def extra_repr(self) -> str:
        return f"p={shown(self.p)}, dt={self.dt}"

    def initial_state(self, input_tensor: Tensor) -> Any:
        """The state of neurons at rest for an input: potentials at their parameters, all else zero."""
        return resting_state(self, input_tensor)

    def register_weights(
        self, name: str, given: Tensor | None, shape: tuple[int, ...], scale: float | None = None
    ) -> None:
        """Registers weights: an nn.Parameter is learnt, another tensor is not.

        Args:
            name: of the attribute.
            given: the weights; None means learnt ones that start as randn · scale.
            shape: what they must have.
            scale: None means √(2 / shape[0]).

        Raises:
            TypeError: if given weights are no tensor.
            ValueError: if given weights have another shape.
        """
        if given is None:
            given = torch.nn.Parameter(
                torch.randn(shape) * ((2.0 / max(shape[0], 1)) ** 0.5 if scale is None else scale)
            )
        if not isinstance(given, Tensor):
            raise TypeError(
                f"{type(self).__name__}: argument {name}: expects a torch.Tensor, got {type(given).__name__}"
            )
        if tuple(given.shape) != shape:
            raise ValueError(
                f"{type(self).__name__}: argument {name}: expects shape {list(shape)}, got {list(given.shape)}"
            )
        if isinstance(given, torch.nn.Parameter):
            self.register_parameter(name, given)
        else:
            self.register_buffer(name, given)

    def step_for(self, input_tensor: Tensor) -> tuple[Activation, tuple[Any, ...]]:
        """The step for this input, and what it takes after the state: weights, p, dt.

        `activation_sparse` if there is one and the input is sparse. What is rounded is rounded once, ahead of ticks.
        """
        sparse = input_tensor.is_sparse and self.activation_sparse is not None
        activation: Any = self.activation_sparse if sparse else self.activation
        others = (*(getattr(self, name) for name in self.weight_names), self.p, self.dt)
        return activation.prepared(others) if isinstance(activation, QuantizedStep) else (activation, others)

    def starting_state(self, input_tensor: Tensor, state: Any) -> Any:
        """The state before the first tick of an input, both checked: the given one, or a new one if there is none."""
        check_input(self, input_tensor)
        if state is None:
            state = self.state_fallback(input_tensor)
            check_fallback(self, input_tensor, state)
        else:
            check_state(self, input_tensor, state)
        return state
