"""What was compared, as a table."""

from collections.abc import Iterable
from dataclasses import dataclass

DTYPES = ("float32", "float64")
HEADER = ("", "spikes", "differ", "near", "states 32", "states 64", "gradients 32", "gradients 64")


@dataclass(frozen=True)
class Comparison:
    """One comparison of ours with Norse 1.1.0.

    Args:
        name: of the model or the calculation.
        dtype: in which it was computed.
        spikes: how many spikes 1.1.0 gave; None where there is no neuron.
        differing: how many spikes one has and the other has not.
        near: how many potentials that didn't spike stand next to their threshold.
        states: largest difference of outputs and states, relative to the largest value of each.
        gradients: the same of gradients.
    """

    name: str
    dtype: str
    spikes: int | None = None
    differing: int | None = None
    near: int | None = None
    states: float | None = None
    gradients: float | None = None


def table(comparisons: Iterable[Comparison]) -> list[str]:
    """A line for each name, in the order of their first comparisons, and one for all of them."""
    by_name: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_name.setdefault(comparison.name, []).append(comparison)
    everything = [comparison for group in by_name.values() for comparison in group]
    rows = [HEADER, *(row(name, group) for name, group in by_name.items())]
    rows.append(row(f"all {len(by_name)}", everything))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in rows]


def row(name: str, group: list[Comparison]) -> tuple[str, ...]:
    counts = [total(comparison.__dict__[count] for comparison in group) for count in ("spikes", "differing", "near")]
    largest = [
        amount([comparison.__dict__[kind] for comparison in group if comparison.dtype == dtype])
        for kind in ("states", "gradients")
        for dtype in DTYPES
    ]
    return (name, *counts, *largest)


def total(counts: Iterable[int | None]) -> str:
    known = [count for count in counts if count is not None]
    return str(sum(known)) if known else ""


def amount(differences: list[float | None]) -> str:
    known = [difference for difference in differences if difference is not None]
    if not known:
        return ""
    return f"{max(known):.1e}" if max(known) else "equal"
