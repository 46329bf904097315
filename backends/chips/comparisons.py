"""The forms that comparisons have: a total, a number or sizes of each layer."""

import math
from collections.abc import Iterator, Sequence

from norse.backends.chips.chip import Limit
from norse.backends.chips.report import Row, row
from norse.backends.chips.summary import Layer


def total(limit: Limit, used: int) -> Row:
    """A number of the whole network."""
    over = used - limit.value
    text = f"{used:,} of {limit.value:,} {limit.unit}" + (f", {over:,} too many" if over > 0 else "")
    text += f" ({limit.note})" if limit.note else ""
    return row(limit, "does not fit" if over > 0 else "fits", text, used=used)


def each_at_most(limit: Limit, used: Sequence[tuple[Layer, int]]) -> Iterator[Row]:
    """A number of each layer: a row for each that is too large, else one for the largest."""
    large = [(layer, size) for layer, size in used if size > limit.value]
    for layer, size in large or sorted(used, key=lambda pair: pair[1])[-1:]:
        over = size - limit.value
        text = f"{size:,} of {limit.value:,} {limit.unit}" + (f", {over:,} too many" if over > 0 else "")
        yield row(limit, "does not fit" if over > 0 else "fits", text, layer, size)


def each_among(limit: Limit, used: Sequence[tuple[Layer, Sequence[int]]]) -> Iterator[Row]:
    """Sizes of each layer that must be among those that the chip has."""
    allowed = ", ".join(map(str, limit.value))
    wrong = [(layer, sizes) for layer, sizes in used if not set(sizes) <= set(limit.value)]
    for layer, sizes in wrong:
        yield row(limit, "does not fit", f"{by(sizes)}, none of {allowed} {limit.unit}", layer, list(sizes))
    if used and not wrong:
        found = sorted({size for _, sizes in used for size in sizes})
        yield row(limit, "fits", f"{', '.join(map(str, found))} of {allowed} {limit.unit}", used=found)


def each_within(limit: Limit, used: Sequence[tuple[Layer | None, Sequence[int]]]) -> Iterator[Row]:
    """Heights and widths of each layer (None: of the input) that must be within the chip's."""
    large = [(layer, size) for layer, size in used if any(_beyond(size, limit.value))]
    for layer, size in large or sorted(used, key=lambda pair: math.prod(pair[1]))[-1:]:
        text = f"{by(size)} of {by(limit.value)}" + (f", {by(_beyond(size, limit.value))} too many" if large else "")
        yield row(limit, "does not fit" if large else "fits", text, layer, list(size))


def _beyond(size: Sequence[int], most: Sequence[int]) -> list[int]:
    return [max(0, s - m) for s, m in zip(size, most, strict=True)]


def by(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes))
