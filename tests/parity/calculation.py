"""What is compared of functions, and of modules without a state: what they return, and gradients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .observation import Arrays, Values, tensors, to_arrays

DTYPES = ("float32", "float64")
SINGLE = ("float32",)  # where 1.1.0 computes in float32 anyway
TORCH_SEED = 7


@dataclass(frozen=True)
class Draw:
    """Random numbers: uniform ones between two bounds, or with a rate, spikes.

    Args:
        shape: how many.
        low: lower bound.
        high: upper bound.
        rate: share of ones among zeros.
    """

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0
    rate: float | None = None

    def __call__(self, random: np.random.Generator) -> np.ndarray:
        drawn = random.uniform(self.low, self.high, self.shape)
        return drawn if self.rate is None else np.less(random.uniform(size=self.shape), self.rate)


@dataclass(frozen=True)
class Calculation:
    """One comparison of a calculation.

    Args:
        compute: makes a nest of tensors from the inputs, in ours and, unless `published` is given, in Norse 1.1.0.
        inputs: what it is given.
        published: the same with the names of 1.1.0.
        dtypes: in which 1.1.0 computes.
        backward: whether gradients are compared.
    """

    compute: Callable[[Values], Any]
    inputs: Mapping[str, Draw]
    published: Callable[[Values], Any] | None = None
    dtypes: tuple[str, ...] = DTYPES
    backward: bool = True


def observe(calculation: Calculation, compute: Callable[[Values], Any], values: Values) -> Arrays:
    """What is computed, as "out…", and "gradient…" of everything that has one; random numbers start from one seed."""
    torch.manual_seed(TORCH_SEED)
    seen = dict(tensors("out", compute(values)))
    learnt = [value for value in seen.values() if value.requires_grad]
    if calculation.backward:
        waves = [torch.arange(value.numel(), dtype=value.dtype).cos().view_as(value) for value in learnt]
        torch.autograd.backward(learnt, waves)
    return to_arrays(seen, values)
