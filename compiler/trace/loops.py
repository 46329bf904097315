"""Rolls a user's loop over time, traced tick by tick, into the one tick that it repeats.

`for t in range(x.shape[0]): z, s = self.lif(self.fc(x[t]), s); out.append(z)` is traced at the T of the call, so what
is recorded is right whatever Python did: T copies of the loop's body. `repeats.py` finds where the trace repeats
itself, `ticks.py` what those copies have in common. Ticks that differ end a loop, and another one may begin there;
single ticks stay as they are. Where there would be more than a few of either, the model is not compiled, and the reason
is told.

What is rolled has the form that a lifted module has: `enter` takes a sequence to its ticks, `leave` back, and `last` is
what the loop leaves behind. A trace of other T is another trace: nothing here holds for more than one.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Node
from norse.compiler.trace.copies import MAKES_NEW, may_draw, symbol
from norse.compiler.trace.repeats import Run, find_runs
from norse.compiler.trace.rolled import Rolled, emit
from norse.compiler.trace.ticks import Body, Row, Surroundings, common, extended

_FEW = 8  # calls of neurons that may stand in a graph one after the other, and loops
_MOST_EARLIER = 64  # ticks that a loop's neurons may run before the rest of it begins

# Not among what repeats itself: made at the first use, or differently at the first tick.
_APART = ("parameter", "initial_state")


def roll(graph: Graph, by_shape: Callable[[str], bool], exact: bool = False) -> Rolled:
    """The graph with its loops over time rolled, if it has any.

    Args:
        graph: the trace of a whole model, types with sizes for axes.
        by_shape: tells of a neuron's path whether its initial state depends on its input's shape alone.
        exact: whether random numbers must be drawn in eager's order.

    Raises:
        Unsupported: where the loop's ticks differ too often.
    """
    cells = [node for node in graph.nodes if _is_cell(node)]
    if max(Counter(node.attrs["_path"] for node in cells).values(), default=0) < 2:
        return Rolled(graph, {})
    finder = _Finder(graph)
    bodies = finder.bodies()
    rolled = {id(node) for body in bodies for row in body.rows for node in row}
    left = sum(id(node) not in rolled for node in cells)
    if left > _FEW or len(bodies) > _FEW:
        raise Unsupported(f"its loop over time is not the same at every tick: {finder.difference(rolled)}")
    if not bodies:
        return Rolled(graph, {})
    _check_changes_in_place(graph)
    if exact:
        _check_order_of_draws(graph, bodies)
    return emit(graph, bodies, finder.around, by_shape)


def _is_cell(node: Node) -> bool:
    return "_step" in node.attrs and not node.attrs["_over_time"]


class _Finder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.row = [node for node in graph.nodes if node.op not in _APART]
        numbers: dict[object, int] = {}
        self.symbols = [numbers.setdefault(symbol(node, graph.types), len(numbers)) for node in self.row]
        self.around = Surroundings(graph.producers, graph.types)
        self.taken: set[int] = set()  # places in the row that loops have

    def bodies(self) -> list[Body]:
        """All loops, in order."""
        found: list[Body] = []
        for run in find_runs(self.symbols):
            aligned = [self._parts(run, start) for start in dict.fromkeys((run.start + run.slack, run.start))]
            for start, count in min(aligned, key=len):
                found += self._loops(start, run.period, count)
        return found

    def _ticks(self, start: int, period: int, count: int) -> list[Row]:
        return [self.row[at : at + period] for at in range(start, start + period * count, period)]

    def _parts(self, run: Run, start: int) -> list[tuple[int, int]]:
        """Where the ticks of a run read something else, it is cut in two: starts and numbers of equal ticks."""
        parts: list[tuple[int, int]] = []
        rows = self._ticks(start, run.period, run.count)
        done = 0
        while done < len(rows) and len(parts) <= 2 * _FEW:
            length = common(rows[done:], self.around).length
            parts.append((start + done * run.period, length))
            done += length
        return parts

    def _loops(self, start: int, period: int, count: int) -> Iterator[Body]:
        rows = self._ticks(start, period, count)
        if count < 2 or all(node.attrs.get("_target") is operator.getitem for node in rows[0]):
            return
        slots = set(range(period))
        for kept in self._earlier(rows, start, period):
            yield self._taken(kept[0])
            slots -= kept[1]
        if slots:
            body = common([[row[k] for k in sorted(slots)] for row in rows], self.around)
            if body.length == count and (any(_is_cell(node) for node in body.rows[0]) or body.reads_a_sequence):
                yield self._taken(body)

    def _earlier(self, rows: list[Row], start: int, period: int) -> Iterator[tuple[Body, set[int]]]:
        """The slots with the neurons may have ticks before the others: at `t == 0` an accumulator is another node."""
        best: Body | None = None
        slots = list(range(period))
        ticks: list[Row] = [list(row) for row in rows]
        stop = start
        for _ in range(_MOST_EARLIER):
            nodes, stop = self._one_tick_before(ticks[0], stop)
            body = extended(ticks, nodes, self.around) if nodes else None
            if body is None or not any(_is_cell(node) for node in body.rows[0]):
                break
            kept = [k for k in nodes if any(nodes[k] is node for node in body.rows[0])]
            if best is not None and len(kept) < len(slots):
                break
            best, slots, ticks = body, [slots[k] for k in kept], [list(row) for row in body.rows]
        if best is not None:
            yield best, set(slots)

    def _one_tick_before(self, row: Row, stop: int) -> tuple[dict[int, Node], int]:
        """Nodes in front of a place in the row that are like those of a tick, in its order."""
        found: dict[int, Node] = {}
        wanted = [symbol(node, self.graph.types) for node in row]
        at, first = stop, stop
        for slot in reversed(range(len(row))):
            place = at - 1
            while place >= max(0, stop - 2 * len(row)) and place not in self.taken:
                if symbol(self.row[place], self.graph.types) == wanted[slot]:
                    found[slot], at, first = self.row[place], place, place
                    break
                place -= 1
        return found, first

    def _taken(self, body: Body) -> Body:
        places = {id(node): place for place, node in enumerate(self.row)}
        self.taken.update(places[id(node)] for row in body.rows for node in row)
        for k, slot in enumerate(body.slots):
            for t, row in enumerate(body.rows):
                for name, first in zip(row[k].outputs, body.rows[0][k].outputs, strict=True):
                    if not slot.fixed:
                        self.around.member[name] = first, t
                    elif t:
                        self.around.alias[name] = first
        return body

    # ---- in words --------------------------------------------------------------------------------

    def difference(self, rolled: set[int]) -> str:
        """The first tick that is unlike the one before it, and in what."""
        calls = Counter(node.attrs["_path"] for node in self.row if _is_cell(node))
        path, _ = max(calls.items(), key=lambda item: item[1])
        ends = [place for place, node in enumerate(self.row) if _is_cell(node) and node.attrs["_path"] == path]
        windows = [range(a + 1, b + 1) for a, b in zip([-1, *ends], ends, strict=False)]
        first = 3 if len(windows) > 3 else 2  # what stands behind a neuron's call belongs to the tick after it
        for t in range(first, len(windows)):
            for one, other in zip(windows[t - 1], windows[t], strict=False):
                if self.symbols[one] != self.symbols[other]:
                    return self._unlike(t, self.row[one], self.row[other])
            if len(windows[t - 1]) != len(windows[t]):
                return f"tick {t} has {len(windows[t])} operations, tick {t - 1} {len(windows[t - 1])}"
        for t in range(first, len(windows)):
            stops = Body([[self.row[k] for k in windows[u]] for u in (t - 2, t - 1, t)], self.around).stops
            for k, stop in zip(windows[t], stops, strict=True):
                if stop < 3:
                    return f"{_named(self.row[k])} reads something else at tick {t} than before"
        return f'layer "{path}" is called {calls[path]} times, with other values at every tick'

    def _unlike(self, t: int, before: Node, now: Node) -> str:
        if before.op == now.op and len(before.inputs) == len(now.inputs):
            pairs = ((a, b) for a, b in zip(before.inputs, now.inputs, strict=True) if repr(a) != repr(b))
            for a, b in pairs:
                if not isinstance(a, str) and "Ref" not in repr((a, b)):
                    return f"tick {t} has {b!r} where tick {t - 1} has {a!r} ({_line(now)})"
        return f"tick {t} has {_named(now)} where tick {t - 1} has {_named(before)}"


def _named(node: Node) -> str:
    if "_path" in node.attrs:
        return f'layer "{node.attrs["_path"]}"'
    line = _line(node)
    return f"{node.attrs.get('target', node.op)}{f' ({line})' if line else ''}"


def _line(node: Node) -> str:
    return str(node.attrs.get("_line") or node.attrs.get("_path") or node.op)


def _check_order_of_draws(graph: Graph, bodies: list[Body]) -> None:
    """A loop draws for all ticks in one place before it draws in another."""
    when = {id(node): place for place, node in enumerate(graph.nodes)}
    inside = {id(node) for body in bodies for row in body.rows for node in row}
    spans = [(when[id(n)], when[id(n)], n) for n in graph.nodes if id(n) not in inside and may_draw(n)]
    for body in bodies:
        columns = ((row, body.rows[-1][k]) for k, row in enumerate(body.rows[0]) if may_draw(row))
        spans += [(when[id(first)], when[id(last)], first) for first, last in columns]
    spans.sort(key=lambda span: span[:2])
    for (_, end, _), (begin, _, node) in pairwise(spans):
        if begin < end:
            raise Unsupported(f"exact=True: {_named(node)} is not all that draws random numbers at a tick")


def _check_changes_in_place(graph: Graph) -> None:
    """What a layer changes in place must be read by nothing else, since all ticks of that go through it at once."""
    uses = Counter(name for node in graph.nodes for name in node.uses)
    for node in graph.nodes:
        if node.attrs.get("_in_place"):
            (name,) = node.uses
            made_by = graph.producers.get(name)
            mine = made_by is not None and (made_by.op in MAKES_NEW or made_by.attrs.get("_in_place"))
            if not mine or uses[name] > 1 or name in graph.outputs:
                raise Unsupported(f"{_named(node)} changes in place what others may read")
