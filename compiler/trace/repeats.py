"""Finds where a trace repeats itself: runs of equal bodies in a row of symbols.

What is found is a guess at a loop's ticks, which `ticks.py` checks operand by operand. It needs no more than the row,
so it does not matter how the loop was written: `for`, `while`, a comprehension, `reduce`, or a helper of the user's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

_MOST_PERIODS = 48  # that are tried: the most frequent distances between equal symbols


@dataclass(frozen=True)
class Run:
    """`count` bodies of `period` symbols, from `start` on; `slack` more symbols behind them continue the pattern."""

    start: int
    period: int
    count: int
    slack: int

    @property
    def length(self) -> int:
        return self.period * self.count


def find_runs(symbols: Sequence[int]) -> list[Run]:
    """Runs that don't overlap, in order: the one that covers most, then those on both sides of it."""
    row = numpy.asarray(symbols)
    found: list[Run] = []
    pieces = [(0, len(symbols))]
    while pieces:
        start, stop = pieces.pop()
        run = _longest(row[start:stop])
        if run is not None:
            found.append(Run(start + run.start, run.period, run.count, run.slack))
            pieces += [
                (start, start + run.start),
                (start + run.start + run.length + run.slack, stop),
            ]
    return sorted(found, key=lambda run: run.start)


def _longest(row: "numpy.ndarray") -> Run | None:
    best: Run | None = None
    for period in _periods(row):
        same = numpy.concatenate([[0], (row[:-period] == row[period:]).astype(numpy.int8), [0]])
        edges = numpy.diff(same)
        starts, stops = numpy.flatnonzero(edges == 1), numpy.flatnonzero(edges == -1)
        lengths = stops - starts
        if not lengths.size or lengths.max() < period:
            continue
        at = int(lengths.argmax())
        total = int(lengths[at]) + period
        run = Run(int(starts[at]), period, total // period, total % period)
        if best is None or (run.length, -run.period) > (best.length, -best.period):
            best = run
    return best


def _periods(row: "numpy.ndarray") -> list[int]:
    order = numpy.argsort(row, kind="stable")
    distances = numpy.diff(order)[row[order][1:] == row[order][:-1]]
    return sorted(int(d) for d, _ in Counter(distances.tolist()).most_common(_MOST_PERIODS))
