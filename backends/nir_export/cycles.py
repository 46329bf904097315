"""Which edges of a NIR graph carry the last tick's value. NIR's edges take no time, so a cycle leaves it to the reader.

One rule, for reading and for writing: followed from the inputs depth first, in the order of the edges, the edge that
comes back to a node on the way is the one that waits; and if it leaves a node that only passes on what one neuron gave
(the weights of a recurrent layer), the wait is before that node: it sees the last tick's spikes. A cycle through a
Delay of a tick or more waits there, and nowhere else.
"""

from collections.abc import Iterable, Sequence

import networkx

Edge = tuple[str, str]


def delayed_edges(
    roots: Iterable[str], edges: Sequence[Edge], stateless: frozenset[str], waiting: frozenset[str] = frozenset()
) -> frozenset[Edge]:
    """The edges to be delayed by one tick; without them the graph has no cycle.

    Args:
        roots: the inputs.
        edges: in the order of the file.
        stateless: the nodes whose output depends on this tick's input alone.
        waiting: the Delays of a tick or more. All edges into one that is part of a cycle are delayed, in place of its
            first tick.
    """
    after: dict[str, list[str]] = {}
    before: dict[str, list[str]] = {}
    for source, target in edges:
        if target not in waiting:
            after.setdefault(source, []).append(target)
            before.setdefault(target, []).append(source)
    closing = _closing_edges([*roots, *after], after)
    delayed = {_moved_to_the_neuron(edge, before, after, stateless) for edge in closing}
    forward: networkx.DiGraph = networkx.DiGraph(edge for edge in edges if edge not in delayed)
    place = {name: k for k, part in enumerate(networkx.strongly_connected_components(forward)) for name in part}
    shortened = {b for a, b in edges if b in waiting and place.get(a) == place.get(b)}
    return frozenset(delayed | {(a, b) for a, b in edges if b in shortened})


def _closing_edges(starts: Sequence[str], after: dict[str, list[str]]) -> list[Edge]:
    found: list[Edge] = []
    seen: set[str] = set()
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        on_the_way = {start: iter(after.get(start, ()))}
        while on_the_way:
            node = next(reversed(on_the_way))
            target = next(on_the_way[node], None)
            if target is None:
                del on_the_way[node]
            elif target in on_the_way:
                found.append((node, target))
            elif target not in seen:
                seen.add(target)
                on_the_way[target] = iter(after.get(target, ()))
    return found


def _moved_to_the_neuron(
    edge: Edge, before: dict[str, list[str]], after: dict[str, list[str]], stateless: frozenset[str]
) -> Edge:
    source, target = edge
    passed: set[str] = set()
    while source in stateless and source not in passed and len(before.get(source, ())) == len(after[source]) == 1:
        passed.add(source)
        source, target = before[source][0], source
    return edge if source in passed else (source, target)
