"""The network that a model is, from the IR: its graph, what its results are, and what it hands to its next tick."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse.torch as snn
from norse.compiler.errors import Unsupported
from norse.compiler.ir import BATCH, TIME, Graph, Ref, Type
from norse.compiler.module import CompiledModule
from norse.compiler.trace.model import Trace, trace_model, untraceable
from norse.torch.module.stateful import is_stateful


@dataclass(frozen=True)
class Network:
    """A traced model. Of a model of one tick, `fed_back` maps each part of its state, an input of the graph, to the
    value that it takes from the last tick."""

    graph: Graph
    modules: Mapping[str, nn.Module]
    outputs: tuple[str, ...]
    fed_back: Mapping[str, str]
    over_time: bool
    eager: Mapping[str, str]  # module path -> why it could not be followed

    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of one sample at one tick."""
        axes = self.graph.types[value].axes
        if TIME in axes:
            return tuple(int(axis) for axis in self.graph.types[value].tick_axes[1:])
        return tuple(int(axis) for axis in axes[1 + self.over_time :])

    def dtype(self, value: str) -> torch.dtype:
        return self.graph.types[value].dtype

    def leading(self, value: str, in_lift: bool) -> int:
        """How many dimensions the model's own code sees in front of a sample's."""
        return 2 if self.over_time and not in_lift else 1


def trace_network(model: nn.Module, example: Tensor | None) -> Network:
    """Traces the model, with an example input [B, ...] of one tick or [T, B, ...] over time.

    Raises:
        ValueError: if the example's shape is needed, or does not fit.
    """
    while isinstance(model, CompiledModule):
        model = model.model
    lifts = 0
    while type(model) is snn.Lift and untraceable(model) is None:
        model, lifts = model.lifted_module, lifts + 1
    over_time = any(isinstance(module, snn.SNN | snn.SNNRecurrent | snn.Lift) for module in model.modules())
    if example is None:
        example = _example(model, over_time)
    else:
        expected = "[T, B, features ...]" if over_time or lifts else "[B, features ...]"
        if not isinstance(example, Tensor) or example.dim() < 2 + (over_time or lifts > 0):
            got = list(example.shape) if isinstance(example, Tensor) else type(example).__name__
            raise ValueError(f"argument example_input: expected a tensor {expected}, got {got}")
        for _ in range(lifts):
            example = example[0]
    trace = _trace(model, example)
    result = trace.outputs
    if not is_stateful(model):
        states = {name for node in trace.graph.nodes for name in node.outputs[0 if node.op == "last" else 1 :]}
        outputs = tuple(name for name in _names(result) if name not in states)
        return _network(model, trace, outputs, {}, over_time)
    if over_time:
        return _network(model, trace, _names(result[0]), {}, over_time)
    state = pytree.tree_map(
        lambda leaf: _zeros(trace.graph.types[leaf.name], example) if isinstance(leaf, Ref) else leaf,
        result[1],
        is_leaf=_is_ref,
    )
    carried = _trace(model, example, state)
    if pytree.tree_structure(carried.outputs[1], is_leaf=_is_ref) != pytree.tree_structure(state):
        raise ValueError("its state has another structure after its second tick than after its first")
    after = pytree.tree_leaves(carried.outputs[1], is_leaf=_is_ref)
    places = [leaf for leaf, before in zip(after, pytree.tree_leaves(state), strict=True) if isinstance(before, Tensor)]
    if not all(isinstance(leaf, Ref) for leaf in places):
        raise ValueError("its state is a tensor in one tick and something else in another")
    fed_back = dict(zip(carried.graph.inputs[1:], (leaf.name for leaf in places), strict=True))
    return _network(model, carried, _names(carried.outputs[0]), fed_back, over_time)


def _network(
    model: nn.Module, trace: Trace, outputs: tuple[str, ...], fed_back: Mapping[str, str], over_time: bool
) -> Network:
    if not outputs:
        raise ValueError("it returns no tensor")
    return Network(trace.graph, dict(model.named_modules()), outputs, fed_back, over_time, trace.eager)


def _trace(model: nn.Module, *args: Any) -> Trace:
    try:
        return trace_model(model, args, {})
    except Unsupported as why:
        raise ValueError(f"it can't be traced: {why}") from why


def _example(model: nn.Module, over_time: bool) -> Tensor:
    """Zeros, of as many features as the model's first layer takes, where that is told by its weights."""
    for module in model.modules():
        weight = getattr(module, "input_weights", module.weight if isinstance(module, nn.Linear) else None)
        if isinstance(weight, Tensor):
            leading = (2, 1) if over_time else (1,)
            return torch.zeros(*leading, weight.shape[1], dtype=weight.dtype, device=weight.device)
        if isinstance(module, nn.Flatten | nn.Conv1d | nn.Conv2d | nn.AvgPool2d | nn.LPPool2d):
            break
    raise ValueError(
        "what shape its input has can't be told from its layers: pass "
        + ("example_input=torch.zeros(T, B, ...)" if over_time else "example_input=torch.zeros(B, ...)")
    )


def _zeros(type_: Type, example: Tensor) -> Tensor:
    sizes = [example.shape[0] if axis == BATCH else axis for axis in type_.axes]
    return torch.zeros(sizes, dtype=type_.dtype, device=example.device)  # type: ignore[arg-type]


def _names(result: Any) -> tuple[str, ...]:
    leaves = pytree.tree_leaves(result, is_leaf=_is_ref)
    return tuple(leaf.name for leaf in leaves if isinstance(leaf, Ref))


def _is_ref(leaf: Any) -> bool:
    return isinstance(leaf, Ref)
