"""Cuts a tick at its synapses: elementwise stages, and between them products of a whole row with a matrix.

A stage's loop over the neurons must be through before a synapse reads its row, and a synapse before the next stage.
"""

from dataclasses import dataclass

from norse.compiler.ir import Node, Ref
from norse.compiler.region import Kernel


@dataclass(frozen=True)
class Stage:
    """`elementwise` nodes in one loop over the neurons, then the `synapses` that read its rows."""

    elementwise: tuple[Node, ...]
    synapses: tuple[Node, ...]


def cut_stages(kernel: Kernel) -> tuple[Stage, ...]:
    """The tick's nodes by stage, each in the graph's order; as late as its readers allow, so that little is carried."""
    level: dict[str, int] = {}
    for node in kernel.graph.nodes:
        reached = max((level.get(use, 0) for use in node.uses), default=0)
        # A synapse's result is there for the next stage.
        level[node.output] = reached + 1 if node.op == "vecmat" else reached
    last = max([0, *level.values()])
    needed: dict[str, int] = {}
    for node in reversed(kernel.graph.nodes):
        if node.op != "vecmat":
            level[node.output] = needed.get(node.output, last)
        before = level[node.output] - (node.op == "vecmat")
        needed.update({use: min(before, needed.get(use, last)) for use in node.uses})
    stages = []
    for index in range(last + 1):
        elementwise = tuple(n for n in kernel.graph.nodes if n.op != "vecmat" and level[n.output] == index)
        synapses = tuple(n for n in kernel.graph.nodes if n.op == "vecmat" and level[n.output] == index + 1)
        stages.append(Stage(elementwise, synapses))
    return tuple(stages)


def rows_between(kernel: Kernel, stages: tuple[Stage, ...]) -> tuple[str, ...]:
    """Values that must be in memory as rows: made in one stage and read in another, or read or made by a synapse."""
    home = {node.output: index for index, stage in enumerate(stages) for node in stage.elementwise}
    rows: dict[str, None] = {}
    for index, stage in enumerate(stages):
        for node in stage.elementwise:
            rows.update(dict.fromkeys(use for use in node.uses if home.get(use, index) != index))
        for node in stage.synapses:
            rows.update(dict.fromkeys(use.name for use in node.inputs[:1] if isinstance(use, Ref) and use.name in home))
            rows[node.output] = None
    last = len(stages) - 1
    ends = (*kernel.graph.outputs, *(register.next for register in kernel.graph.registers))
    rows.update(dict.fromkeys(name for name in ends if home.get(name, last) != last))
    return tuple(rows)
