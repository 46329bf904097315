"""Runs a graph's nodes with torch: eager's own operations, so eager's own bits and gradients.

The prologue, the torch path and every check of the compiler run through here.
"""

from collections.abc import Iterable, MutableMapping
from typing import Any

from torch.utils import _pytree as pytree

from norse.compiler.ir import Node, Operand, Ref
from norse.compiler.ops import OPS


def value_of(operand: Operand, values: MutableMapping[str, Any]) -> Any:
    if isinstance(operand, Ref):
        return values[operand.name]
    if isinstance(operand, tuple):
        return tuple(value_of(part, values) for part in operand)
    return operand


def run_nodes(nodes: Iterable[Node], values: MutableMapping[str, Any]) -> None:
    """Computes the nodes in order; `values` has what they read and gets what they make."""
    for node in nodes:
        run_node(node, values)


def run_node(node: Node, values: MutableMapping[str, Any]) -> None:
    operands = [values[x.name] if type(x) is Ref else value_of(x, values) for x in node.inputs]
    if node.op == "custom":
        result = node.attrs["_apply"](*spliced(node, operands))
    elif node.op == "call":
        result = run_call(node, operands)
    else:
        result = OPS[node.op].eager(*operands)
    if len(node.outputs) == 1:
        values[node.output] = result[0] if node.op == "custom" and isinstance(result, tuple) else result
    else:
        values.update(zip(node.outputs, result, strict=True))


def run_call(node: Node, operands: list[Any]) -> Any:
    """The user's own call of a torch function or tensor method."""
    target, keywords = node.attrs["_target"], node.attrs["_kwargs"]
    positional = operands[: len(operands) - len(keywords)]
    kwargs = dict(zip(keywords, operands[len(positional) :], strict=True))
    if isinstance(target, str):
        return getattr(positional[0], target)(*positional[1:], **kwargs)
    return target(*positional, **kwargs)


def spliced(node: Node, operands: list[Any]) -> list[Any]:
    """All arguments of a custom function: its constants with the operands in their places.

    Operands behind these are what was computed ahead of it, which the function itself computes again.
    """
    leaves = list(node.attrs["_arguments"])
    for place, operand in zip(node.attrs["_places"], operands, strict=False):
        leaves[place] = operand
    return list(pytree.tree_unflatten(leaves, node.attrs["_structure"]))
