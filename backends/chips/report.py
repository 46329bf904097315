"""What fits a chip and what does not, as data and as text."""

import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from norse.backends.chips.chip import Limit
from norse.backends.chips.summary import Layer

Verdict = Literal["fits", "does not fit", "differs", "not checked"]
VERDICTS: tuple[Verdict, ...] = ("does not fit", "differs", "fits", "not checked")
_WIDTH = 120


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        limit: its name in the chip's data ("nir" where NIR itself can't say the model, "weights_to_neurons" for
            what holds of all chips).
        verdict: "differs" is what the chip takes, but computes otherwise than NIR.
        text: the comparison in words.
        layer: the name of the node that it is about, "" for the whole network.
        primitive: of that node.
        used: what the network needs.
        available: what the chip has.
        unit: of both.
        source: title of the source of the chip's number.
        url: its address.
        section: where in it.
    """

    limit: str
    verdict: Verdict
    text: str
    layer: str = ""
    primitive: str = ""
    used: Any = None
    available: Any = None
    unit: str = ""
    source: str = ""
    url: str = ""
    section: str = ""

    @property
    def over(self) -> int | float | None:
        """By how much the network needs more than the chip has; None where that is no number."""
        numbers = isinstance(self.used, int | float) and isinstance(self.available, int | float)
        return self.used - self.available if numbers and self.verdict == "does not fit" else None


@dataclass(frozen=True)
class Report:
    """Whether a network fits a chip.

    Args:
        target: the chip, as `norse.check` takes it.
        chip: its name.
        maker: who makes it.
        tool: what places networks on it.
        rows: all comparisons.
        repairs: what had to be put right in the file to read it.
        read_as: in which tool's words the file or graph was read; "" for a module.
        doubt: what speaks for another tool's, "" for nothing.
    """

    target: str
    chip: str
    maker: str
    tool: str
    rows: tuple[Row, ...]
    repairs: tuple[str, ...] = ()
    read_as: str = ""
    doubt: str = ""

    @property
    def fits(self) -> bool:
        """Whether nothing that was compared is too large or missing. What is not checked may still be."""
        return not self.misfits

    @property
    def misfits(self) -> tuple[Row, ...]:
        """The rows of what does not fit."""
        return self.of("does not fit")

    def of(self, verdict: Verdict) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.verdict == verdict)

    def as_dict(self) -> dict[str, Any]:
        """Everything as dictionaries, lists, texts and numbers, as JSON holds them."""
        return {"fits": self.fits, **asdict(self), "rows": [{**asdict(row), "over": row.over} for row in self.rows]}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        failing = ", ".join(dict.fromkeys(_name(row) for row in self.misfits))
        yield f"{self.chip} ({self.maker}): {f'does not fit: {failing}' if failing else 'fits'}"
        if self.read_as:
            yield _paragraph(self.read_as, "  ")
        if self.doubt:
            yield _paragraph(f"doubtful: {self.doubt}", "  ")
        for verdict in VERDICTS:
            rows = self.of(verdict)
            if rows:
                yield f"  {verdict}"
            for (name, text), where in _grouped(rows).items():
                yield _paragraph(": ".join(part for part in (name, where, text) if part))
        for repair in self.repairs:
            yield _paragraph(f"repaired: {repair}", "  ")
        yield _paragraph(f"placement is up to {self.tool}", "  ")


def row(
    limit: Limit, verdict: Verdict, text: str, layer: Layer | None = None, used: Any = None, available: Any = None
) -> Row:
    """A row with the limit's unit and source."""
    available = limit.value if available is None else available
    name, primitive = ("", "") if layer is None else (layer.name, layer.primitive)
    source = (limit.source.title, limit.source.url, limit.section)
    return Row(limit.name, verdict, text, name, primitive, used, available, limit.unit, *source)


def _name(row: Row) -> str:
    return row.limit.replace("_", " ")


def _grouped(rows: tuple[Row, ...]) -> dict[tuple[str, str], str]:
    """(name, text) -> the layers of which it is said."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        where = [f"{row.layer!r} ({row.primitive})"] if row.layer else []
        found.setdefault((_name(row), row.text), []).extend(where)
    return {key: ", ".join(layers) for key, layers in found.items()}


def _paragraph(text: str, indent: str = "    ") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * 8,
        break_on_hyphens=False,
        break_long_words=False,
    )
