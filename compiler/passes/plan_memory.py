"""Plan memory: when each value is read for the last time, so that a call frees it there and not at its end.

What a gradient needs is not freed: autograd holds on to that itself, of a native loop what `saved.py` chose. Sizes are
symbolic: a tick's T, B and numbers of neurons.
"""

import math
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch

from norse.compiler.ir import Graph, Node, Register, Type
from norse.compiler.passes.feedback import STEPPED
from norse.compiler.passes.fuse_loops import LOOP


def plan_memory(graph: Graph) -> Graph:
    """Gives the last node that reads a value, or that region's last node, the attribute `_dead` with its name.

    A note behind every value that is passed from region to region tells its size, and behind which value it is freed.
    """
    registers: dict[str, list[Register]] = {}
    for register in graph.registers:
        for name in {register.value, register.next}:
            registers.setdefault(name, []).append(register)
    finals = {register.next: f"final {register.value}" for register in graph.registers}
    freed_behind: dict[str, str] = {}
    for _, region in groupby(graph.nodes, lambda node: node.region):
        for last, reads, makes in _moments(list(region), registers, finals):
            freed_behind.update(dict.fromkeys((*makes, *reads), last))
    kept = {*graph.outputs, *(node.output for node in graph.nodes if node.op == "parameter")}
    freed_behind = {name: last for name, last in freed_behind.items() if name not in kept}
    dead: dict[str, list[str]] = {}
    for name, last in freed_behind.items():
        dead.setdefault(last, []).append(name)
    planned = (
        replace(n, attrs={**n.attrs, "_dead": tuple(dead[n.outputs[0]])}) if n.outputs[0] in dead else n
        for n in graph.nodes
    )
    notes = {
        name: f"{size_of(graph.types[name])}, freed behind %{last}"
        for name, last in freed_behind.items()
        if name in graph.types
    }
    return replace(graph.with_nodes(planned), notes={**graph.notes, **notes})


def release(values: MutableMapping[str, Any], nodes: Iterable[Node]) -> None:
    """Frees what nothing reads any more once these nodes have run."""
    for node in nodes:
        for name in node.attrs.get("_dead", ()):
            values.pop(name, None)


class AllKept(dict[str, Any]):
    """The values of a call that frees none, since they are looked at afterwards, or their memory is used again."""

    def pop(self, name: str, default: Any = None) -> Any:
        return default


def size_of(type_: Type) -> str:
    """`512*T*B bytes`."""
    item = torch.empty((), dtype=type_.dtype, device="meta").element_size()
    size = item * math.prod(axis for axis in type_.axes if isinstance(axis, int))
    return f"{'*'.join(map(str, (size, *(axis for axis in type_.axes if isinstance(axis, str)))))} bytes"


def _moments(
    nodes: Sequence[Node], registers: Mapping[str, Sequence[Register]], finals: Mapping[str, str]
) -> Iterable[tuple[str, set[str], set[str]]]:
    """Of a region: behind which node values may be freed, what is read until then, and what is made there.

    torch runs node after node; a loop is one moment, and what it does not hand on is in no memory.
    """
    if nodes[0].region.startswith((LOOP, STEPPED)):
        reads = {use for node in nodes for use in node.uses}
        made = {name for node in nodes for name in node.outputs}
        own = [register for name in reads | made for register in registers.get(name, ())]
        reads.update(register.initial for register in own)
        yield nodes[-1].outputs[0], reads - made, {f"final {register.value}" for register in own}
        return
    for node in nodes:
        reads = set(node.uses)
        if node.op == "last":
            reads.update(finals[use] for use in node.uses if use in finals)
        yield node.outputs[0], reads, set(node.outputs)
