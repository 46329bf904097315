"""Which scale has the multiples that are nearest to some numbers."""

import math

import torch
from torch import Tensor

_SIGNIFICANT = 5  # bits of a scale: products with integers up to 2^19 are exact in float32, so sums of weights are
_OCTAVES = 4  # below the scale that clips nothing, scales are tried


def best_scale(rows: Tensor, bits: int) -> Tensor:
    """For each row of numbers the scale whose multiples, of so many bits, are nearest to them in the square.

    Args:
        rows: [rows, numbers].
        bits: of a multiple, its sign included.

    Returns:
        Scales [rows], each a number of 5 significant bits. Rows of zeros have that of the largest row, or 1.
    """
    rows = rows.double()
    most = 2.0 ** (bits - 1) - 1
    largest = rows.abs().amax(dim=1) if rows.shape[1] else rows.new_zeros(len(rows))
    largest = torch.where(largest > 0, largest, largest.max() if len(largest) else largest)
    largest = torch.where(largest > 0, largest, most)
    mantissa, exponent = torch.frexp(largest / most)
    step = torch.ldexp(torch.ones_like(mantissa), exponent - _SIGNIFICANT)
    scale = torch.ceil(mantissa * 2.0**_SIGNIFICANT) * step  # the least that clips nothing
    best, least = scale, torch.full_like(scale, math.inf)
    half, found = 2 ** (_SIGNIFICANT - 1), scale
    for _ in range(_OCTAVES * half):
        rounded = torch.clamp(torch.round(rows / found[:, None]), -most, most) * found[:, None]
        error = (rows - rounded).square().sum(dim=1)
        best, least = torch.where(error < least, found, best), torch.minimum(error, least)
        mantissa, exponent = torch.frexp(found)
        below = torch.round(mantissa * 2.0**_SIGNIFICANT) - 1  # from 16 · 2^k on to 31 · 2^(k - 1)
        below, exponent = torch.where(below < half, below * 2 + 1, below), exponent - (below < half).int()
        found = torch.ldexp(below, exponent - _SIGNIFICANT)
    return best
