"""The tables of docs/chips.md, written from the data that `check` reads."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from norse.backends.chips.chip import read_chip, targets

HEADING = "## The numbers\n"


def tables() -> str:
    """A table of limits with their sources for each chip, in Markdown."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    for target in targets():
        chip = read_chip(target)
        yield f"### {chip.name}: `{target}`"
        yield ""
        files = f'; `dialect="{chip.dialect}"` writes files for it' if chip.dialect else ""
        yield f"{chip.maker}. Placed by {chip.tool}{files}."
        yield ""
        yield "| limit | value | unit | source |"
        yield "| --- | --- | --- | --- |"
        for limit in chip.limits.values():
            source = f"[{limit.source.title}]({limit.source.url}): {limit.section}"
            notes = (limit.note, "a scale for each neuron" if limit.per == "neuron" else "")
            unit = "; ".join(part for part in (limit.unit, *notes) if part)
            yield f"| {limit.name.replace('_', ' ')} | {_value(limit.value)} | {unit} | {source} |"
        yield ""
        yield f"Not checked: {'; '.join(f'{entry.what} ({entry.why})' for entry in chip.unchecked)}."
        yield ""


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def with_tables(text: str) -> str:
    """The page with the tables under its last heading written anew."""
    head, heading, _ = text.partition(HEADING)
    return f"{head}{heading}\n{tables()}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_tables(page.read_text("utf8")), "utf8")
