"""What the compiler asks of a backend. The core knows none: `norse.compile` hands one in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

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
    """Spikes over time, or what layers without weights made of them, in the backend's own form. `in_memory` tells
    whether the tensor beside it has them too, `reach` where a gradient of theirs is not multiplied by zero (None:
    anywhere)."""

    events: Any
    in_memory: bool
    reach: Any = None


@dataclass(frozen=True, kw_only=True)
class FusedCall:
    """A layer and the loop that reads its currents, for a backend that does not need them in memory."""

    program: RegionProgram
    layer: nn.Module | None  # None: a neuron's linear synapse
    x: Tensor  # [T, B, features], or what a convolution takes behind T and B
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
    """What a backend does with a layer and the loop behind it, and with spikes between such loops."""

    def takes(self, layer: nn.Module | None) -> bool:
        """Whether it may fuse this layer; None is a neuron's linear synapse."""

    def shape(self, layer: nn.Module | None, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[int, ...] | None:
        """Of the currents that the layer gives for x, which are of its dtype; None where it is not to be fused."""

    def __call__(self, call: FusedCall) -> FusedResults | None:
        """None where the two are to be computed one after the other."""

    def pools(self, layer: nn.Module) -> bool:
        """Whether it may pool spikes in its own form."""

    def pool(self, layer: nn.Module, x: Tensor, spikes: SpikeTrain) -> tuple[Tensor, SpikeTrain] | None:
        """The tensor's pooled, as something of its shape, and the events; None of what is to be in memory."""

    def join(
        self, tensors: Sequence[Tensor], spikes: Sequence[SpikeTrain], dim: int
    ) -> tuple[Tensor, SpikeTrain] | None:
        """Their concatenation, as something of its shape, and the events; None of what torch is to join, or refuse."""

    def dense(self, x: Tensor, spikes: SpikeTrain) -> Tensor:
        """The tensor that `x` stands for."""
