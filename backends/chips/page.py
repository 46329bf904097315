"""The tables of docs/chips.md, written from the data that `check` reads."""

from collections.abc import Iterator
from typing import Any

from norse.backends.chips.chip import read_chip, targets


def tables() -> str:
    """A table of limits with their sources for each chip, in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for target in targets():
        chip = read_chip(target)
        yield f"### {chip.name}: `{target}`"
        yield f"{chip.maker}. Placed by {chip.tool}."
        yield ""
        yield "| limit | value | unit | source |"
        yield "| --- | --- | --- | --- |"
        for limit in chip.limits.values():
            source = f"[{limit.source.title}]({limit.source.url}): {limit.section}"
            note = f"; {limit.note}" if limit.note else ""
            yield f"| {limit.name.replace('_', ' ')} | {_value(limit.value)} | {limit.unit}{note} | {source} |"
        yield ""
        yield f"Not checked: {'; '.join(f'{entry.what} ({entry.why})' for entry in chip.unchecked)}."
        yield ""


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(entry) for entry in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
