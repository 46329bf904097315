"""Nodes that torch runs: parameters, layers, the user's own calls, eager modules, and states to start from."""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from norse.compiler.interpret import run_node, value_of
from norse.compiler.ir import Node, Operand, Ref
from norse.compiler.layers import check_layer_input
from norse.compiler.ops import OPS
from norse.torch.module.snn import starting_state

Values = MutableMapping[str, Any]
Modules = Mapping[str, nn.Module]


class TorchStep:
    """Runs nodes one after the other, for all ticks at once where they carry time."""

    def __init__(self, nodes: Sequence[Node], modules: Modules, final_of: Mapping[str, str], exact: bool) -> None:
        self.nodes, self._modules, self._final_of, self._exact = tuple(nodes), modules, final_of, exact

    def run(self, values: Values) -> None:
        for node in self.nodes:
            self._run(node, values)

    def _run(self, node: Node, values: Values) -> None:
        if node.op == "parameter":
            values[node.output] = parameter(self._modules[node.attrs["_path"]], node)
        elif node.op == "initial_state":
            values.update(zip(node.outputs, self._initial_state(node, values), strict=True))
        elif node.op == "eager":
            values.update(zip(node.outputs, self._eager(node, values), strict=True))
        elif node.op == "last":
            (name,) = node.uses
            final = self._final_of.get(name)
            values[node.output] = values[name][-1] if final is None else values[final]
        elif "_row" in node.attrs:
            values[node.output] = self._layer(node, values)
        elif node.attrs.get("_over_time"):
            values[node.output] = self._lifted(node, values)
        else:
            run_node(node, values)

    def _initial_state(self, node: Node, values: Values) -> list[Any]:
        module = self._modules[node.attrs["_path"]]
        x, *leaves = (value_of(operand, values) for operand in node.inputs)
        if node.attrs["_over_time"]:  # inside a Lift: a cell sees its first tick
            x = x[0] if x.shape[0] else x.new_zeros(x.shape[1:])
        structure = node.attrs["_given"]
        state = None if structure is None else pytree.tree_unflatten(leaves, structure)
        try:
            return pytree.tree_leaves(starting_state(module, x, state))
        except (TypeError, ValueError) as error:
            path = node.attrs["_path"]
            raise type(error)(f'norse.compile: layer "{path}": {error}' if path else str(error)) from error

    def _eager(self, node: Node, values: Values) -> list[Any]:
        leaves = list(node.attrs["_leaves"])
        for place, operand in zip(node.attrs["_places"], node.inputs, strict=True):
            leaves[place] = value_of(operand, values)
        args, kwargs = pytree.tree_unflatten(leaves, node.attrs["_structure"])
        flat = pytree.tree_leaves(self._modules[node.attrs["_path"]](*args, **kwargs))
        return [flat[place] for place in node.attrs["_results"]]

    def _layer(self, node: Node, values: Values) -> Any:
        layer, row = self._modules[node.attrs["_path"]], node.attrs["_row"]
        x = value_of(node.inputs[0], values)
        check_layer_input(layer, node.attrs["_path"], x[0] if node.attrs["_over_time"] and x.shape[0] else x)
        if not node.attrs["_over_time"]:
            return layer(x)
        if self._exact or not row.per_sample(layer) or x.shape[0] == 0:
            return _tick_by_tick(layer, x)
        if row.keeps_leading or (row.sample_rank is not None and x.ndim == row.sample_rank + 1):
            return layer(x)
        if x.ndim < 3:
            return _tick_by_tick(layer, x)
        return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def _lifted(self, node: Node, values: Values) -> Any:
        """A call of the user inside a Lift: what it reads over time, it reads tick by tick."""
        operands = [_Operand(operand, values) for operand in node.inputs]
        if node.op in OPS and not OPS[node.op].synapse and _broadcasts_alike(operands):
            run_node(node, values)
            return values[node.output]
        length = next(o.value.shape[0] for o in operands if o.over_time)
        ticks = []
        for t in range(length):
            now: dict[str, Any] = {}
            for operand in operands:
                if isinstance(operand.operand, Ref):
                    now[operand.operand.name] = operand.value[t] if operand.over_time else operand.value
            run_node(node, now)
            ticks.append(now[node.output])
        return torch.stack(ticks)


class _Operand:
    def __init__(self, operand: Operand, values: Values) -> None:
        self.operand, self.value = operand, value_of(operand, values)
        # Inside a Lift only parameters do not vary with time.
        self.over_time = isinstance(self.value, Tensor) and not isinstance(self.value, nn.Parameter)


def _broadcasts_alike(operands: list[_Operand]) -> bool:
    """Whether elementwise arithmetic on sequences is that on ticks: time must not meet another axis."""
    ranks = {o.value.ndim for o in operands if o.over_time}
    fixed = max((o.value.ndim for o in operands if isinstance(o.value, Tensor) and not o.over_time), default=0)
    return len(ranks) == 1 and fixed < min(ranks)


def _tick_by_tick(layer: nn.Module, x: Tensor) -> Tensor:
    if x.shape[0] == 0:
        with torch.no_grad():
            tick: Tensor = layer(x.new_zeros(x.shape[1:]))
        return tick.new_empty((0, *tick.shape))
    return torch.stack([layer(tick) for tick in x.unbind(0)])


def parameter(module: nn.Module, node: Node) -> Any:
    """The live tensor that a `parameter` node stands for."""
    held = getattr(module, node.attrs["_name"])
    leaf = node.attrs["_leaf"]
    return held if leaf is None else pytree.tree_leaves(held)[leaf]
