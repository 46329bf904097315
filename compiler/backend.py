"""What the compiler asks of a backend. The core knows none: `norse.compile` hands one in."""

from collections.abc import Callable, Sequence
from typing import Protocol

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
