"""Nodes that torch runs: parameters, layers, the user's own calls, eager modules, and states to start from."""

import copy
from collections.abc import Callable, Container, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from norse.compiler.backend import Fuses
from norse.compiler.calls import Call, row_of
from norse.compiler.draws import draws
from norse.compiler.errors import CompileError
from norse.compiler.interpret import run_node, value_of
from norse.compiler.ir import Graph, Node
from norse.compiler.layers import Layer, check_layer_input
from norse.compiler.ops import OPS
from norse.compiler.passes.plan_memory import release
from norse.compiler.steps.alignment import kept, ticks_of
from norse.compiler.trace.neuron import first_tick
from norse.torch.functional.sparse import stack, unbind
from norse.torch.module.quantized import weight_and_bias

Values = MutableMapping[str, Any]
Modules = Mapping[str, nn.Module]
Operands = tuple[Tensor, Tensor, Tensor | None]


@dataclass(frozen=True)
class Synapses:
    """What stands in for torch's own functions, for all ticks at once: for linear synapses of neurons, and for layers
    of these very classes, called with the layer and its input."""

    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor] = functional.linear
    layers: Mapping[type, Callable[[Any, Tensor], Tensor]] = field(default_factory=dict)
    fuses: Fuses | None = None  # what runs a linear layer together with the loop behind it
    ahead: Callable[[Graph], None] | None = None  # begins to prepare what a graph will need


class TorchStep:
    """Runs nodes one after the other, for all ticks at once where they carry time."""

    def __init__(
        self,
        nodes: Sequence[Node],
        modules: Modules,
        final_of: Mapping[str, str],
        fixed: Container[str],
        exact: bool,
        synapses: Synapses = Synapses(),
        apart: Container[str] = (),
    ) -> None:
        self.nodes, self.modules, self._exact, self._synapses = tuple(nodes), modules, exact, synapses
        self._apart = apart
        self._final_of, self.fixed = final_of, fixed

    def with_modules(self, modules: Modules) -> "TorchStep":
        """The same nodes, with other modules under the same paths."""
        step = copy.copy(self)
        step.modules = modules
        return step

    def with_nodes(self, nodes: Sequence[Node]) -> "TorchStep":
        step = copy.copy(self)
        step.nodes = tuple(nodes)
        return step

    def run(self, values: Values) -> None:
        held: dict[tuple[str, str], list[Any]] = {}
        for node in self.nodes:
            self.run_node(node, values, held)
            if "_dead" in node.attrs:
                release(values, (node,))

    def _parameter(self, node: Node, held: dict[tuple[str, str], list[Any]]) -> Any:
        """The live tensor; a module is asked once for all those that it holds in one tuple."""
        path, name, leaf = node.attrs["_path"], node.attrs["_name"], node.attrs["_leaf"]
        if leaf is None:
            return getattr(self.modules[path], name)
        if (path, name) not in held:
            held[path, name] = _leaves(getattr(self.modules[path], name))
        return held[path, name][leaf]

    def run_node(self, node: Node, values: Values, held: dict[tuple[str, str], list[Any]] | None = None) -> None:
        if node.op == "parameter":
            values[node.output] = self._parameter(node, {} if held is None else held)
        elif node.op == "initial_state":
            values.update(zip(node.outputs, self._initial_state(node, values), strict=True))
        elif node.op == "eager":
            call = self._eager_ticks if node.attrs.get("_over_time") else self._eager
            values.update(zip(node.outputs, call(node, values), strict=True))
        elif node.op == "last":
            (name,) = node.uses
            final = self._final_of.get(name)
            values[node.output] = values[name][-1] if final is None else values[final]
        elif "_row" in node.attrs:
            values[node.output] = self._layer(node, values)
        elif node.attrs.get("_over_time"):
            made = self._lifted(node, values)
            values.update(zip(node.outputs, made if len(node.outputs) > 1 else (made,), strict=True))
        elif node.op == "linear" and node.tick:
            values[node.output] = self._synapses.linear(*_operands(node, values))
        else:
            run_node(node, values)

    def weighted_operands(self, node: Node, values: Values) -> Operands:
        """Input, weight and bias of a layer that has them, or of a neuron's linear synapse."""
        if "_row" not in node.attrs:
            return _operands(node, values)
        return value_of(node.inputs[0], values), *weight_and_bias(self.modules[node.attrs["_path"]])

    def _initial_state(self, node: Node, values: Values) -> list[Any]:
        module: Any = self.modules[node.attrs["_path"]]
        x, *leaves = (value_of(operand, values) for operand in node.inputs)
        if node.attrs["_over_time"]:  # inside a Lift: a cell sees its first tick
            x = first_tick(x)
        structure = node.attrs["_given"]
        state = None if structure is None else pytree.tree_unflatten(leaves, structure)
        try:
            return _leaves(module.starting_state(x, state))
        except (TypeError, ValueError) as error:
            path = node.attrs["_path"]
            raise type(error)(f'norse.compile: layer "{path}": {error}' if path else str(error)) from error

    def _eager(self, node: Node, values: Values) -> list[Any]:
        leaves = list(node.attrs["_leaves"])
        for place, operand in zip(node.attrs["_places"], node.inputs, strict=True):
            leaves[place] = value_of(operand, values)
        args, kwargs = pytree.tree_unflatten(leaves, node.attrs["_structure"])
        flat, structure = pytree.tree_flatten(self.modules[node.attrs["_path"]](*args, **kwargs))
        tensors = tuple(place for place, leaf in enumerate(flat) if isinstance(leaf, Tensor))
        if structure != node.attrs["_result_structure"] or tensors != node.attrs["_results"]:
            path = node.attrs["_path"]
            raise CompileError(
                f'norse.compile: layer "{path}" runs eagerly, and what it returns has changed: at the first call '
                f"{node.attrs['_result_structure']}, now {structure}"
            )
        return [flat[place] for place in tensors]

    def _eager_ticks(self, node: Node, values: Values) -> list[Any]:
        """A module in a user's loop: nothing is known of it, so every tick has a call of its own."""
        varying = dict.fromkeys(name for name in node.uses if name not in self.fixed)
        sequences = {name: ticks_of(name, values, name in self._apart) for name in varying}
        fixed = {name: values[name] for name in node.uses if name in self.fixed}
        ticks = ({**fixed, **dict(zip(sequences, now, strict=True))} for now in zip(*sequences.values(), strict=True))
        made = [self._eager(node, tick) for tick in ticks]
        return [stack(list(column)) for column in zip(*made, strict=True)]

    def _layer(self, node: Node, values: Values) -> Any:
        layer, row = self.modules[node.attrs["_path"]], node.attrs["_row"]
        x = value_of(node.inputs[0], values)
        check_layer_input(layer, node.attrs["_path"], first_tick(x) if node.attrs["_over_time"] else x)
        if node.attrs["_over_time"] and (self._exact or not row.per_sample(layer, x.ndim - 1)):
            return self._called_tick_by_tick(layer, node, node.uses[:1], values)
        native = self._synapses.layers.get(type(layer))
        call = layer if native is None else partial(native, layer)
        return _at_once(call, row, x) if node.attrs["_over_time"] else call(x)

    def _lifted(self, node: Node, values: Values) -> Any:
        """A call of the user inside a Lift: what varies with time, it reads tick by tick."""
        varying = tuple(dict.fromkeys(name for name in node.uses if name not in self.fixed))
        fixed = {name: values[name] for name in node.uses if name in self.fixed}
        sequences = {name: values[name] for name in varying}
        draws_eagers = self._exact and draws(node)
        if node.op in OPS and not OPS[node.op].synapse and not draws_eagers and _broadcasts_alike(sequences, fixed):
            run_node(node, values)
            return values[node.output]

        def tick(*now: Tensor) -> Any:
            at_once: dict[str, Any] = {**fixed, **dict(zip(varying, now, strict=True))}
            run_node(node, at_once)
            return tuple(at_once[name] for name in node.outputs) if len(node.outputs) > 1 else at_once[node.output]

        ranks = {x.ndim - 1 for x in sequences.values()}
        row = None if self._exact or len(ranks) != 1 else row_of(node, varying, *ranks)
        if row is None:
            return self._called_tick_by_tick(tick, node, varying, values)
        return _at_once(tick, row, *sequences.values())

    def _called_tick_by_tick(
        self, function: Callable[..., Any], node: Node, names: Sequence[str], values: Values
    ) -> Any:
        """Tick by tick; where bits matter, on ticks as eager has them, which are kept for those that read them."""
        sequences = [values[name] for name in names]
        if not self._apart or sequences[0].shape[0] == 0:
            return _tick_by_tick(function, *sequences)
        made = _one_by_one(function, *(ticks_of(name, values, name in self._apart) for name in names))
        columns = zip(*made, strict=True) if len(node.outputs) > 1 else [made]
        values.update({kept(name): list(column) for name, column in zip(node.outputs, columns, strict=True)})
        return _stacked(made)


def _leaves(tree: Any) -> list[Any]:
    """pytree's. Its walk takes 4 µs, and most parameters and states are tuples of tensors and numbers."""
    if isinstance(tree, tuple) and all(isinstance(part, Tensor | float | FunctionType | str) for part in tree):
        return list(tree)
    return pytree.tree_leaves(tree)


def has_weights(node: Node) -> bool:
    """Whether a node is a layer with a weight and a bias, or a neuron's linear synapse."""
    return bool(node.attrs["_row"].has_weights) if "_row" in node.attrs else node.op == "linear" and node.tick


def _operands(node: Node, values: Values) -> Operands:
    """Of `linear(x, W)` or `linear(x, W, b)`."""
    x, weight, *bias = (value_of(operand, values) for operand in node.inputs)
    return x, weight, bias[0] if bias else None


def _broadcasts_alike(sequences: Mapping[str, Any], fixed: Mapping[str, Any]) -> bool:
    """Whether elementwise arithmetic on sequences is that on ticks: time must not meet another axis."""
    ranks = {x.ndim for x in sequences.values()}
    return len(ranks) == 1 and max((x.ndim for x in fixed.values()), default=0) < min(ranks)


def _at_once(function: Callable[..., Any], row: Layer | Call, *sequences: Tensor) -> Any:
    """What acts on every sample alone, on those of all ticks: as they are, or with time folded into the batch."""
    first = sequences[0]
    if first.shape[0] == 0 or any(x.is_sparse for x in sequences):  # of sparse tensors torch knows matrices
        return _tick_by_tick(function, *sequences)
    if row.keeps_leading or (row.sample_rank is not None and first.ndim == row.sample_rank + 1):
        return function(*sequences)
    if first.ndim < 3 or len({x.shape[:2] for x in sequences}) > 1:
        return _tick_by_tick(function, *sequences)
    folded = function(*(x.flatten(0, 1) for x in sequences))
    return _each(folded, lambda x: x.reshape(*first.shape[:2], *x.shape[1:]))


def _tick_by_tick(function: Callable[..., Any], *sequences: Tensor) -> Any:
    if sequences[0].shape[0] == 0:
        with torch.no_grad():
            tick = function(*(x.new_zeros(x.shape[1:]) for x in sequences))
        return _each(tick, lambda x: x.new_empty((0, *x.shape)))
    return _stacked(_one_by_one(function, *(unbind(x) for x in sequences)))


def _one_by_one(function: Callable[..., Any], *ticks: Sequence[Tensor]) -> list[Any]:
    return [function(*now) for now in zip(*ticks, strict=True)]


def _stacked(made: list[Any]) -> Any:
    return tuple(map(stack, map(list, zip(*made, strict=True)))) if isinstance(made[0], tuple) else stack(made)


def _each(made: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Of a call with more than one result, for each of them."""
    return tuple(map(function, made)) if isinstance(made, tuple) else function(made)
