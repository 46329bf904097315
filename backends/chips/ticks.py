"""Chips on which a spike takes a tick from layer to layer, where a model has all layers in one."""

from collections.abc import Iterator
from typing import Any

import networkx

from norse.backends.chips.chip import Chip, Limit
from norse.backends.chips.report import Row, row
from norse.backends.chips.summary import Network


def check_ticks(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    """Later spikes are the same spikes, unless paths of different lengths meet or a loop goes through several layers.

    A layer that feeds itself waits a tick in a model too.
    """
    layers = {layer.name: layer for layer in network.neurons}
    graph: Any = networkx.DiGraph((c.source, c.target) for c in network.connections if c.source != c.target)
    loops = [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1]
    for names in sorted(loops):
        others = ", ".join(map(repr, names[1:]))
        text = f"is in a loop with {others}, which takes a tick for each of them on the chip, and in a model one"
        yield row(limit, "differs", text, layers[names[0]])
    if loops:
        return
    late: dict[str, set[int]] = {}  # ticks after the input, by all paths
    for name in networkx.topological_sort(graph):
        before = graph.predecessors(name)
        by = {ticks + (source in layers) * limit.value for source in before for ticks in late[source]}
        late[name] = by or {0}
    meeting = [name for name in layers if len(late.get(name, {0})) > 1]
    first = [name for name in meeting if all(len(late[source]) == 1 for source in graph.predecessors(name))]
    for name in first:
        ticks = ", ".join(map(str, sorted(late[name])))
        text = f"gets paths that are {ticks} ticks late on the chip, and in a model none"
        hint = "give all paths as many layers, or the shorter ones a delay in training"
        yield row(limit, "differs", f"{text}; {hint}", layers[name], sorted(late[name]))
    if not meeting and layers:
        most = max(max(late.get(name, {0})) for name in layers)
        text = f"the same spikes, the last layer's {most} ticks later" if most else "one layer, at once"
        yield row(limit, "fits", text, used=most)
