"""Keeps what backward reads at spikes for the spikes alone, so that memory follows their number.

The forward kernel runs over pieces of time, with the state handed on. What backward will read of a piece goes into
buffers that all pieces share, and from there, of a value that is read under a decision, only where that holds, and of
a decision a bit for each neuron and tick. Backward fills the same buffers again, piece by piece, in reverse.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from norse.compiler.region import Kernel, Kind, RegionProgram

Sizes = tuple[int, int, int]
Empty = Callable[[Sizes, torch.dtype, torch.device], Tensor]

_PIECE = 1 << 18  # elements of a buffer: enough for a kernel to be worth its call, few enough to stay in a cache
_TO_BITS = 0x0102040810204080  # times eight bytes that are 0 or 1: the highest byte has a bit of each


WORD = 64  # bits come in whole words


class Compaction(Protocol):
    """Keeps a decision as bits, in words of 64, and of a value what a decision marks. Tensors are contiguous."""

    def pack(self, decision: Tensor) -> tuple[Tensor, int]:
        """The bits, and how many of them are ones."""
        ...

    def unpack(self, bits: Tensor, into: Tensor) -> None: ...

    def gather(self, x: Tensor, bits: Tensor, ones: int) -> Tensor: ...

    def scatter(self, values: Tensor, bits: Tensor, into: Tensor) -> None:
        """What is where there are no values stays."""
        ...


class Executable(Protocol):
    """A kernel that a backend has built."""

    @property
    def kernel(self) -> Kernel: ...

    def run(
        self,
        tensors: Mapping[str, Tensor],
        sizes: Sizes,
        ticks: tuple[int, int] | None = None,
        outputs: list[Tensor] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]: ...


@dataclass(frozen=True)
class Kept:
    """What backward reads of forward's values: `dense` ones [T, B, N], and for each piece `bits` and `values`."""

    dense: tuple[Tensor, ...]
    bits: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.dense, *self.bits, *self.values)

    @property
    def counts(self) -> tuple[int, int]:
        return len(self.dense), len(self.bits)

    @classmethod
    def of(cls, tensors: Sequence[Tensor], counts: tuple[int, int]) -> "Kept":
        """What has these `tensors` and `counts`."""
        first, second = counts[0], sum(counts)
        return cls(tuple(tensors[:first]), tuple(tensors[first:second]), tuple(tensors[second:]))


@dataclass(frozen=True)
class _Names:
    """What the program saves, by how it is kept."""

    dense: tuple[str, ...]
    bits: tuple[str, ...]
    values: tuple[str, ...]


def _names(program: RegionProgram) -> _Names:
    bits = tuple(name for name in program.saved if program.forward.dtype(name) == torch.bool)
    dense = tuple(name for name in program.saved if name not in bits and name not in program.masks)
    return _Names(dense, bits, tuple(program.masks))


def run_forward(
    program: RegionProgram,
    executable: Executable,
    tensors: Mapping[str, Tensor],
    sizes: Sizes,
    empty: Empty,
    compaction: Compaction,
) -> tuple[list[Tensor], list[Tensor], Kept]:
    """The program's outputs, the final state, and what backward reads. `tensors`: as for the kernel."""
    kernel, names, device = executable.kernel, _names(program), _device(tensors)
    whole = {name: empty(sizes, kernel.dtype(name), device) for name in (*program.outputs, *names.dense)}
    length = _piece(kernel, sizes)
    others = [name for name in kernel.graph.outputs if name not in whole]
    buffers = _buffers(others, kernel, (length, *sizes[1:]), device)
    bits: list[Tensor] = []
    values: list[Tensor] = []
    now, final = dict(tensors), list[Tensor]()
    for begin, end in _pieces(sizes[0], length):
        _set_rows(now, tensors, kernel, begin, end)
        made = {name: x[begin:end] for name, x in whole.items()}
        made.update({name: x[: end - begin] for name, x in buffers.items()})
        _, final = executable.run(now, (end - begin, *sizes[1:]), outputs=[made[name] for name in kernel.graph.outputs])
        now.update({f"initial_{r.value}": x for r, x in zip(kernel.graph.registers, final, strict=True)})
        packed = {name: compaction.pack(made[name]) for name in names.bits}
        bits += (packed[name][0] for name in names.bits)
        values += (compaction.gather(made[name], *packed[program.masks[name]]) for name in names.values)
    outputs = [whole[name] for name in program.outputs]
    return outputs, final, Kept(tuple(whole[name] for name in names.dense), tuple(bits), tuple(values))


def run_backward(
    program: RegionProgram,
    executable: Executable,
    tensors: dict[str, Tensor],
    kept: Kept,
    sizes: Sizes,
    empty: Empty,
    compaction: Compaction,
) -> tuple[list[Tensor], list[Tensor]]:
    """The kernel's results. `tensors` gets the activities that products after the loop read, [T, B, N]."""
    kernel, names, device = executable.kernel, _names(program), _device(tensors)
    tensors.update(zip(names.dense, kept.dense, strict=True))
    activities = {weight.activity for weight in program.weights}.intersection(names.values)
    whole = {name: empty(sizes, program.forward.dtype(name), device).zero_() for name in activities}
    outputs = [empty(sizes, kernel.dtype(name), device) for name in kernel.graph.outputs]
    length = _piece(program.forward, sizes)
    buffers = _buffers((*names.bits, *names.values), program.forward, (length, *sizes[1:]), device)
    now, last = dict(tensors), list[Tensor]()
    for place, (begin, end) in reversed(list(enumerate(_pieces(sizes[0], length)))):
        _set_rows(now, tensors, kernel, begin, end)
        now.update({name: x[: end - begin] for name, x in buffers.items()})
        now.update({name: x[begin:end] for name, x in whole.items()})
        packed = dict(zip(names.bits, _of_piece(kept.bits, place, names.bits), strict=True))
        for name, bits in packed.items():
            if name in kernel.kinds:  # the others only say where values are
                compaction.unpack(bits, now[name])
        for name, values in zip(names.values, _of_piece(kept.values, place, names.values), strict=True):
            compaction.scatter(values, packed[program.masks[name]], now[name])
        _, last = executable.run(now, (end - begin, *sizes[1:]), outputs=[x[begin:end] for x in outputs])
        now.update({r.initial: x for r, x in zip(kernel.graph.registers, last, strict=True)})
    tensors.update(whole)
    return outputs, last


def _of_piece(kept: Sequence[Tensor], place: int, names: Sequence[str]) -> Sequence[Tensor]:
    return kept[place * len(names) : (place + 1) * len(names)]


def _buffers(names: Sequence[str], kernel: Kernel, sizes: Sizes, device: torch.device) -> dict[str, Tensor]:
    """Of zeros: where a kernel discards what it reads, nothing slow or strange should be."""
    return {name: torch.zeros(sizes, dtype=kernel.dtype(name), device=device) for name in names}


def _piece(kernel: Kernel, sizes: Sizes) -> int:
    """How many ticks a piece has. Random numbers know their tick by its place in the call, which has to be one."""
    ticks, samples, neurons = sizes
    return ticks if kernel.draws else min(ticks, max(1, _PIECE // max(1, samples * neurons)))


def _pieces(ticks: int, length: int) -> Iterator[tuple[int, int]]:
    return ((begin, min(begin + length, ticks)) for begin in range(0, ticks, length))


def _set_rows(now: dict[str, Tensor], tensors: Mapping[str, Tensor], kernel: Kernel, begin: int, end: int) -> None:
    rows = (name for name in kernel.graph.inputs if kernel.kinds[name] == Kind.TICK and name in tensors)
    now.update({name: tensors[name][begin:end] for name in rows})


def _device(tensors: Mapping[str, Tensor]) -> torch.device:
    return next(x.device for x in tensors.values() if x.ndim > 1)


class TorchCompaction:
    """With torch, on any device."""

    def pack(self, decision: Tensor) -> tuple[Tensor, int]:
        flat = decision.reshape(-1).view(torch.uint8)
        flat = torch.nn.functional.pad(flat, (0, -flat.numel() % WORD))
        bits = flat.view(torch.int64).mul(_TO_BITS).bitwise_right_shift_(56).to(torch.uint8)
        return bits.view(torch.int64), int(decision.count_nonzero())

    def unpack(self, bits: Tensor, into: Tensor) -> None:
        into.copy_(self._decision(bits, into))

    def gather(self, x: Tensor, bits: Tensor, ones: int) -> Tensor:
        return x[self._decision(bits, x)]

    def scatter(self, values: Tensor, bits: Tensor, into: Tensor) -> None:
        into.masked_scatter_(self._decision(bits, into), values)

    def _decision(self, bits: Tensor, like: Tensor) -> Tensor:
        decision = _bytes_of(bits.device)[bits.view(torch.uint8).int()].view(torch.bool)
        return decision[: like.numel()].view(like.shape)


@cache
def _bytes_of(device: torch.device) -> Tensor:
    """For every byte its eight bits as bytes, as one number each."""
    bits = torch.arange(256).unsqueeze(1).bitwise_right_shift(torch.arange(8)).bitwise_and(1)
    return bits.to(torch.uint8).view(torch.int64).reshape(-1).to(device)
