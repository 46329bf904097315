"""What a profile is: a table of the pieces of a call, with what was measured and what was computed of each."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

_COLUMNS = ("layer", "operation", "runs", "", "ms", "%", "MB", "MFLOP", "SynOps", "density")
_LEFT = 4  # columns that stand on the left of their cells


@dataclass(frozen=True)
class Row:
    """One piece of a call, forward or backward.

    Args:
        layer: path of the module; empty for the model itself.
        operation: what of it: a torch layer, a native loop, a call in the user's code.
        runs: "torch", "eager", or the name of the backend.
        direction: "forward" or "backward".
        seconds: measured, the median of the repeats.
        bytes: computed: tensors that are read and written, each once.
        flops: computed: floating point operations, dense.
        synops: counted: events times the synapses that each reaches; None where there are none.
        density: counted: the share of inputs that aren't zero; None where the input is no spikes and meets no synapse.
    """

    layer: str
    operation: str
    runs: str
    direction: str
    seconds: float
    bytes: int
    flops: int
    synops: int | None = None
    density: float | None = None


@dataclass(frozen=True)
class Profile:
    """The table that `compiled.profile(x)` gives; it prints as one. What its numbers mean is in docs/debugging.md.

    Args:
        rows: the pieces, forward in the order in which they run, then backward.
        call_seconds: of a whole call as users make it, backward included if it was asked for; the median.
        repeats: how often everything was measured.
    """

    rows: tuple[Row, ...]
    call_seconds: float
    repeats: int
    _record: Callable[[str], None] = field(repr=False, compare=False)

    @property
    def synops(self) -> int:
        """Synaptic operations of the whole call."""
        return sum(row.synops or 0 for row in self.rows)

    def to_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Makes the call once more under torch.profiler and writes its timeline, for chrome://tracing or Perfetto.

        Args:
            path: a file that ends in .json, or .json.gz.

        Raises:
            ValueError: if it ends in something else.
        """
        path = Path(path)
        if not path.name.endswith((".json", ".json.gz")):
            raise ValueError(
                f"to_chrome_trace: argument path: expects a file that ends in .json or .json.gz, got {path}"
            )
        unfinished = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            self._record(str(unfinished))
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def __str__(self) -> str:
        total = sum(row.seconds for row in self.rows)
        cells = [_COLUMNS, *(_cells(row, total) for row in self.rows), self._total(total)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(_COLUMNS))]
        lines = [_line(row, widths) for row in cells]
        rule = "-" * max(map(len, lines))
        lines = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
        return "\n".join([*lines, f"a whole call takes {1e3 * self.call_seconds:.3f} ms (median of {self.repeats})"])

    def _total(self, seconds: float) -> tuple[str, ...]:
        moved, flops = (sum(getattr(row, name) for row in self.rows) for name in ("bytes", "flops"))
        return (
            "all",
            "",
            "",
            "",
            f"{1e3 * seconds:.3f}",
            "",
            _millions(moved),
            _millions(flops),
            f"{self.synops:,}",
            "",
        )


def merged(rows: Sequence[tuple[Row, Sequence[float]]]) -> list[Row]:
    """Pieces of one name as one row: their times are added up call by call, and the median is of the sums."""
    groups: dict[tuple[str, ...], list[tuple[Row, Sequence[float]]]] = {}
    for row, times in rows:
        groups.setdefault((row.layer, row.operation, row.runs, row.direction), []).append((row, times))
    return [_sum(*zip(*group, strict=True)) for group in groups.values()]


def _sum(rows: Sequence[Row], times: Sequence[Sequence[float]]) -> Row:
    first = rows[0]
    counted = [row.synops for row in rows if row.synops is not None]
    densities = [row.density for row in rows if row.density is not None]
    return Row(
        first.layer,
        first.operation,
        first.runs,
        first.direction,
        median(map(sum, zip(*times, strict=True))),
        sum(row.bytes for row in rows),
        sum(row.flops for row in rows),
        sum(counted) if counted else None,
        sum(densities) / len(densities) if densities else None,
    )


def _cells(row: Row, total: float) -> tuple[str, ...]:
    return (
        row.layer or "(model)",
        row.operation,
        row.runs,
        row.direction,
        f"{1e3 * row.seconds:.3f}",
        f"{100 * row.seconds / total:.0f}" if total else "",
        _millions(row.bytes),
        _millions(row.flops),
        "" if row.synops is None else f"{row.synops:,}",
        "" if row.density is None else f"{row.density:.3f}",
    )


def _millions(number: float) -> str:
    return f"{number / 1e6:.3f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = enumerate(zip(cells, widths, strict=True))
    return "  ".join(f"{c:<{w}}" if place < _LEFT else f"{c:>{w}}" for place, (c, w) in pairs).rstrip()
