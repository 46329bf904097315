"""Prints a graph: the same graph gives the same text, every time; tests compare it."""

import re
from collections.abc import Mapping

import torch

from norse.compiler.ir import Graph, Node, Operand, Ref

_WIDTH = 72  # statements are padded to this, so that types stand in a column


def print_graph(graph: Graph) -> str:
    """Statements in order, regions as blocks, parameters by their paths, types and remarks behind."""
    arguments = ", ".join(_typed(graph, name) for name in graph.inputs)
    parameters = {node.output: str(node.attrs["path"]) for node in graph.nodes if node.op == "parameter"}
    nodes = [node for node in graph.nodes if node.op != "parameter"]
    statements = [_statement(node, parameters) for node in nodes]
    width = min(max(map(len, statements), default=0), _WIDTH)
    lines = [f"graph({arguments}) {{"]
    for register in graph.registers:
        name, initial = register.value, register.initial
        lines.append(f"  register %{name} = %{initial}, then %{register.next}{_suffix(graph, name)}")
    region = ""
    for node, statement in zip(nodes, statements, strict=True):
        if node.region != region:
            lines += ["  }"] if region else []
            lines += [f"  {node.region} {{"] if node.region else []
            region = node.region
        type_ = graph.types.get(node.outputs[0])
        note = graph.notes.get(node.outputs[0])
        line = f"{statement:<{width}} : {type_}" if type_ else statement
        lines.append(("    " if region else "  ") + line + (f"   # {note}" if note else ""))
    lines += ["  }"] if region else []
    lines.append(f"  return {', '.join(f'%{name}' for name in graph.outputs)}")
    return "\n".join([*lines, "}"])


def _suffix(graph: Graph, name: str) -> str:
    return f" : {graph.types[name]}" if name in graph.types else ""


def _typed(graph: Graph, name: str) -> str:
    return f"%{name}: {graph.types[name]}" if name in graph.types else f"%{name}"


def _statement(node: Node, parameters: Mapping[str, str]) -> str:
    """`%z, %v = lif(%x, @0.weight)`: operands, then attributes that a reader wants to see."""
    shown = [_operand(operand, parameters) for operand in node.inputs]
    if "_step" in node.attrs:  # a neuron reads all of its parameters: `@1.p` says as much
        shown = list(dict.fromkeys(re.sub(r"^(@(?:.*\.)?p)\..*", r"\1", operand) for operand in shown))
    shown += [f"{key}={value}" for key, value in node.attrs.items() if not key.startswith("_")]
    return f"{', '.join(f'%{name}' for name in node.outputs)} = {node.op}({', '.join(shown)})"


def _operand(operand: Operand, parameters: Mapping[str, str]) -> str:
    if isinstance(operand, Ref):
        return f"@{parameters[operand.name]}" if operand.name in parameters else str(operand)
    if isinstance(operand, tuple):
        return f"({', '.join(_operand(part, parameters) for part in operand)})"
    if isinstance(operand, torch.dtype):
        return str(operand).removeprefix("torch.")
    return str(operand)
