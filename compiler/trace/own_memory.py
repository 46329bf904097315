"""What may be written into has its own memory where eager has: results, and inputs of modules that run eagerly.

`torch.stack(outs)` and `outs[-1]` are tensors of their own in a user's loop. Rolled, both are parts of one sequence,
and who adds to the one would find it in the other.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from norse.compiler.calls import CALLS, VIEWS
from norse.compiler.ir import Graph, Names, Node, Ref, refs
from norse.compiler.trace.copies import same, side_by_side

_SHARING = (VIEWS - {torch.stack}) | {
    *(same, side_by_side, *(target for target, row in CALLS.items() if row.keeps_order)),
    *(torch.transpose, "transpose", torch.swapaxes, "swapaxes", torch.permute, "permute"),
}
"""Calls whose result may be the memory of their first operand."""

_TICKS = ("enter", "leave", "last")  # from a sequence to its ticks, and back


def with_own_memory(before: Graph, rolled: Graph, now: Callable[[str], str]) -> Graph:
    """The rolled graph with copies where results, or a result and an input, would share what eager has twice.

    Modules behind loops that run as they are may write into what they are given, so that is always a copy of a loop's.

    Args:
        before: the graph of all ticks.
        rolled: the graph with its loops rolled.
        now: what a value of the graph before is called in the rolled one.
    """
    held: dict[str, list[str]] = {}  # memory of the rolled graph -> what has it, each its own memory in eager
    eager, producers = before.producers, rolled.producers
    for name in dict.fromkeys((*before.inputs, *before.outputs)):
        mine = now(_memory(name, eager))
        held.setdefault(_memory(mine, producers), []).append(mine)
    places = {name: place for place, node in enumerate(rolled.nodes) for name in node.outputs}
    alone = {node.outputs for node in rolled.nodes if runs_alone(node)}
    given = [name for node in before.nodes if node.outputs in alone for name in refs(node.inputs)]
    copied = {mine for name in given if _is_of_a_loop(mine := now(_memory(name, eager)), producers)}
    for shared in held.values():
        names = [name for name in shared if name not in copied]
        if all(_is_tick(name, producers) for name in names):  # none, or each another one with nothing in common
            continue
        # The whole sequence is read by the others; of other names the first stays, and an input does in any case.
        keeps = min(names, key=lambda name: (name in places, not _is_sequence(name, producers), places.get(name, 0)))
        copied.update(name for name in names if name != keeps and name in places)
    return _copied(rolled, copied) if copied else rolled


def runs_alone(node: Node) -> bool:
    """Whether it is a call of a module that runs as it is, and not at every tick of a loop."""
    return node.op == "eager" and not node.attrs.get("_over_time")


def _memory(name: str, producers: Mapping[str, Node]) -> str:
    """The value whose memory a value may be."""
    return _sharing(name, producers)[-1]


def _sharing(name: str, producers: Mapping[str, Node]) -> list[str]:
    """The value, and those before it whose memory it may be."""
    found = [name]
    while (node := producers.get(found[-1])) is not None:
        through = node.op in _TICKS or (node.op == "call" and node.attrs.get("_target") in _SHARING)
        of = tuple(refs(node.inputs[0])) if through else ()
        if len(of) != 1:
            break
        found += of
    return found


def _is_of_a_loop(name: str, producers: Mapping[str, Node]) -> bool:
    return any(made.op in _TICKS for name in _sharing(name, producers) if (made := producers.get(name)) is not None)


def _is_sequence(name: str, producers: Mapping[str, Node]) -> bool:
    node = producers.get(name)
    return node is not None and node.op == "leave"


def _is_tick(name: str, producers: Mapping[str, Node]) -> bool:
    """Whether it is what a loop made at one tick."""
    node = producers.get(name)
    return node is not None and (node.op == "last" or (node.op == "call" and _is_tick_of_sequence(node, producers)))


def _is_tick_of_sequence(node: Node, producers: Mapping[str, Node]) -> bool:
    read = node.attrs.get("_target") is operator.getitem and type(node.inputs[1]) is int
    return read and all(_is_sequence(of, producers) for of in refs(node.inputs[0]))


def _copied(graph: Graph, names: set[str]) -> Graph:
    """The graph in which these values are copies of what they were."""
    fresh, types = Names(graph.names), dict(graph.types)
    nodes: list[Node] = []
    for node in graph.nodes:
        found = {name: fresh.fresh(name) for name in node.outputs if name in names}
        nodes.append(replace(node, outputs=tuple(found.get(name, name) for name in node.outputs)) if found else node)
        for name, shared in found.items():
            if name in types:
                types[shared] = types[name]
            nodes.append(Node("identity", (name,), (Ref(shared),), {}, node.module))
    return Graph(graph.inputs, tuple(nodes), graph.outputs, graph.registers, types)
