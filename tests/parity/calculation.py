"""What is compared of functions, and of modules without a state: what they return, and gradients."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from norse.torch.functional.lif import LIFParameters

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


T, B, PRE, POST = 60, 4, 5, 3
SPIKES = Draw((T, B, PRE), rate=0.2)
CURRENTS = Draw((T, B, PRE), 0, 4)
RATES = Draw((B, PRE), 0, 1)
SIGNED_RATES = Draw((B, PRE), -1, 1)
WEIGHTS = Draw((POST, PRE), 0.1, 0.9)


def each(step: Callable[..., Any], state: Any, *inputs: Tensor) -> list[Any]:
    """What a step returns in every tick; the last thing that it returns is the state."""
    seen = []
    for tick in zip(*inputs, strict=True):
        out = step(*tick, state)
        state = out[-1]
        seen.append(out)
    return seen


def numbers(value: Tensor, *many: float) -> Iterable[Tensor]:
    return (torch.tensor(number, dtype=value.dtype) for number in many)


def lif(values: Values) -> Any:
    return LIFParameters(*numbers(values["x"], 180.0, 90.0, 0.0625, 0.8, -0.125), method="tanh", alpha=2.0)


def observe(calculation: Calculation, compute: Callable[[Values], Any], values: Values) -> Arrays:
    """What is computed, as "out…", and "gradient…" of everything that has one; random numbers start from one seed."""
    torch.manual_seed(TORCH_SEED)
    seen = dict(tensors("out", compute(values)))
    learnt = [value for value in seen.values() if value.requires_grad]
    if calculation.backward:
        waves = [torch.arange(value.numel(), dtype=value.dtype).cos().view_as(value) for value in learnt]
        torch.autograd.backward(learnt, waves)
    return to_arrays(seen, values)
