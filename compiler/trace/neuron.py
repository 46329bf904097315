"""A neuron module on its own: which modules are neurons, and the traced step of one, with the types of its values."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

import norse.torch as snn
from norse.compiler.ir import Type
from norse.compiler.passes.hoist_from_customs import hoist_from_customs
from norse.compiler.passes.infer_types import infer_nodes
from norse.compiler.passes.normalise import normalise
from norse.compiler.trace.step import Step, trace_step

OVER_TIME = (snn.SNN, snn.SNNRecurrent)
_NEURONS = (snn.SNNCell, snn.SNNRecurrentCell, *OVER_TIME)


def is_neuron(module: nn.Module) -> bool:
    """Whether it is called as the library's neurons are: a subclass with a forward of its own is the user's module."""
    return any(type(module).forward is neuron.forward for neuron in _NEURONS)


def arguments_of(module: Any, tick: torch.Tensor, state: Any) -> tuple[Any, ...]:
    """What a neuron module calls its step with."""
    weights = tuple(getattr(module, name) for name in module.weight_names)
    return (tick, state, *weights, module.p, module.dt)


def trace_neuron(module: Any, arguments: tuple[Any, ...]) -> Step:
    """The normalised step of a neuron module."""
    step = trace_step(module.activation, arguments)
    of_argument = list(zip(step.graph.inputs, (argument for argument, _ in step.inputs), strict=True))
    fixed = [name for name, argument in of_argument if argument > 1]
    input_ = [name for name, argument in of_argument if argument == 0]
    return replace(step, graph=hoist_from_customs(normalise(step.graph, step=True), fixed, input_))


def types_of_a_tick(step: Step, arguments: tuple[Any, ...]) -> dict[str, Type]:
    """Types of the step's values, with sizes for axes, once its state has the shape that a tick gives it."""
    tensors = (arguments_leaf(arguments, argument, leaf) for argument, leaf in step.inputs)
    types = {n: Type(x.dtype, tuple(x.shape)) for n, x in zip(step.graph.inputs, tensors, strict=True)}
    states = [n for n, (argument, _) in zip(step.graph.inputs, step.inputs, strict=True) if argument == 1]
    for _ in range(2):
        infer_nodes(step.graph.nodes, types)
        after = (types[name] for name in step.graph.outputs[1:])
        types.update(zip(states, [replace(type_, spike=False) for type_ in after], strict=True))
    return types


def first_tick(sequence: torch.Tensor) -> torch.Tensor:
    """[T, ...] -> [...], of zeros where there are no ticks."""
    return sequence[0] if sequence.shape[0] else sequence.new_zeros(sequence.shape[1:])


def arguments_leaf(arguments: tuple[Any, ...], argument: int, leaf: int) -> torch.Tensor:
    return pytree.tree_leaves(arguments[argument])[leaf]  # type: ignore[no-any-return]
