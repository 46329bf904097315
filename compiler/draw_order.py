"""exact=True: whether what is compiled draws its random numbers in eager's order. Where it can't, eager runs it.

Eager draws a loop's numbers tick by tick, those of all parts of a tick one after the other; compiled, each part runs
for all ticks. So one part of a loop may draw, and the parts that draw keep their order. Of the loops that users write
`trace/loops.py` checks the first.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from norse.compiler.draws import draws
from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Node
from norse.compiler.trace.copies import may_draw

_REASON = "exact=True: compiled, it would draw random numbers in another order"
Modules = Mapping[str, nn.Module]


def check_lift(tick: Iterable[Node], modules: Modules) -> None:
    """Raises Unsupported if more than one part of a lifted module's tick draws."""
    drawing = [node for node in tick if _draws(node, modules)]
    calls = [node for node in drawing if node.op != "initial_state"]
    if len(calls) > 1 or len({_part(node) for node in drawing}) > 1:
        raise Unsupported(_REASON)


def check_rolled(traced: Graph, rolled: Graph, modules: Modules) -> None:
    """Raises Unsupported if rolling dropped a draw, or if states are drawn between the ticks of what draws."""
    drawing = [node for node in rolled.nodes if _draws(node, modules)]
    if {_part(node) for node in traced.nodes if _draws(node, modules)} != {_part(node) for node in drawing}:
        raise Unsupported(_REASON)
    if any(node.op == "initial_state" for node in drawing):
        check_lift(drawing, modules)


def check_order(network: Graph, ticks: Graph, modules: Modules) -> None:
    """Raises Unsupported if the parts that draw are others, or in another order, on the tick level."""
    if _sequence(network, modules) != _sequence(ticks, modules):
        raise Unsupported(_REASON)


def check_tick(nodes: Iterable[Node], ordered: Iterable[Node]) -> None:
    """Raises Unsupported if nodes of a tick draw in another order once they are `ordered`."""
    if [n.outputs for n in nodes if draws(n)] != [n.outputs for n in ordered if draws(n)]:
        raise Unsupported(_REASON)


def _sequence(graph: Graph, modules: Modules) -> list[Any]:
    """What draws, in order: neurons by their paths, each as often as it is called or has regions, and all else."""
    found: list[Any] = []
    region = ""
    for node in graph.nodes:
        if not _draws(node, modules):
            continue
        if not node.tick or node.region != region:
            found.append(node.module if node.tick else node.attrs["_path"] if "_step" in node.attrs else node.outputs)
        region = node.region if node.tick else ""
    return found


def _draws(node: Node, modules: Modules) -> bool:
    """Whether it may draw random numbers. Of initial states, those that a function of the user's makes may."""
    if node.op != "initial_state":
        return may_draw(node)
    made_by = getattr(getattr(modules[node.attrs["_path"]], "state_fallback", None), "__module__", None) or ""
    return node.attrs["_given"] is None and not made_by.startswith("norse.")


def _part(node: Node) -> Any:
    """What draws: a module, or a line of the user's code."""
    target = node.attrs.get("_target")
    return node.attrs.get("_path") or (node.op, getattr(target, "__name__", target), node.attrs.get("_line"))
