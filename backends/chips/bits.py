"""How many bits weights need: the smallest symmetric grid that they stand on."""

from typing import Any

import numpy as np

MOST_BITS = 16  # finer grids are not looked for: no chip here has them


def bits_needed(weights: Any) -> int | None:
    """Bits, with sign, of the coarsest grid scale * k, |k| < 2^(bits - 1), that all of the weights are on, one scale
    for all; None if they are on none of up to `MOST_BITS` bits: they are floats that nobody has quantised.

    Rounding of float32 is allowed for.

    Example:
        >>> bits_needed(np.array([-0.75, 0.25, 0.5]))  # -3, 1, 2 times 0.25
        3
        >>> bits_needed(np.float32(0.01) * np.array([127, -60, 3], np.float32))
        8
        >>> bits_needed(np.random.default_rng(0).normal(size=100)) is None
        True
    """
    largest = _largest_level(np.asarray(weights))
    return None if largest is None else largest.bit_length() + 1 if largest else 1


def bits_needed_by_row(weights: Any) -> int | None:
    """The same with a scale for each row of the weights (each output of a layer): the bits of the row with the most."""
    array = np.asarray(weights)
    most = 1
    for row in array.reshape(array.shape[0], -1):
        bits = bits_needed(row)
        if bits is None:
            return None
        most = max(most, bits)
    return most


def _largest_level(weights: Any) -> int | None:
    """The smallest k that the largest weight can be, so that all others are whole numbers too."""
    levels = np.unique(np.abs(weights.astype(np.float64)))
    levels = levels[levels > 0]
    if not levels.size:
        return 0
    most = 2 ** (MOST_BITS - 1) - 1
    if levels.size > most:
        return None
    ratios = levels[:-1] / levels[-1]
    rounding = 4 * float(np.finfo(np.float32).eps)  # of two weights and the scale
    candidates = np.arange(levels.size, most + 1, dtype=np.float64)
    for ratio in ratios:
        level = ratio * candidates
        whole = np.round(level)
        candidates = candidates[(np.abs(level - whole) <= rounding * level) & (whole >= 1)]
        if not candidates.size:
            return None
    return int(candidates[0])
