"""What the compiler asks of a backend. The core knows none: `norse.compile` hands one in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from norse.compiler.region import RegionProgram

# A region ready to run: inputs and sizes (T, B, N) give outputs, differentiable as far as the program says.
Region = Callable[[Sequence[Tensor], tuple[int, int, int]], list[Tensor]]


class BackendUnavailable(RuntimeError):
    """The backend can't run here (no compiler, no writable cache, no GPU); the message says what is missing."""


class Backend(Protocol):
    name: str
    device: str  # torch's device type that it runs on

    def prepare(self, program: RegionProgram, title: str) -> Region:
        """Builds what runs the program, or finds it built. Raises BackendUnavailable."""

    def source(self, program: RegionProgram, title: str) -> str:
        """The generated text, for people to read."""


@dataclass(frozen=True)
class SpikeTrain:
    """Spikes over time in the backend's own form; `in_memory` tells whether the tensor beside it has them too, `reach`
    where a gradient of theirs is not multiplied by zero (None: anywhere)."""

    events: Any
    in_memory: bool
    reach: Any = None


@dataclass(frozen=True)
class FusedCall:
    """A linear layer and the loop that reads its currents, for a backend that does not need them in memory."""

    program: RegionProgram
    x: Tensor  # [T, B, features]
    weight: Tensor
    bias: Tensor | None
    spikes: SpikeTrain | None  # what x is, if the backend made it
    inputs: Sequence[Tensor]  # the region's, with something of their shape in place of the currents
    current: int  # their place among these
    sizes: tuple[int, int, int]
    emitted: str | None  # the output whose spikes other fused layers read
    in_memory: bool  # whether others read it too


@dataclass(frozen=True)
class FusedResults:
    """What the region gives, and the spikes of `emitted`."""

    results: list[Tensor]
    spikes: SpikeTrain | None


class Fuses(Protocol):
    """What a backend does with a linear layer and the loop behind it."""

    def __call__(self, call: FusedCall) -> FusedResults | None:
        """None where the two are to be computed one after the other."""

    def dense(self, x: Tensor, spikes: SpikeTrain) -> Tensor:
        """The tensor that `x` stands for."""
