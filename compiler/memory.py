"""How much memory a backward may take: whether to run a call piece by piece of time, and how long the pieces are."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

Mode = Literal["auto", "low", "fast"]

# A piece keeps about so much for its backward, if a tick isn't more: small beside the inputs and outputs of a sequence
# that is worth cutting, and enough work to make what a piece costs by itself small: calls from Python, and a copy of
# weights for each kernel. Measured, Linear 512 -> 512 and LIF, batch 16, T = 5000, one thread, forward and backward:
# whole, 124 ms of processor time and a peak of 903 MiB; in pieces of 128, 256, 512 and 1024 ticks (4, 8, 16, 32 MiB)
# 325, 270, 235 and 210 ms, 609, 636, 692 and 716 MiB. Eager: 2769 ms, 2754 MiB.
_PIECE = 4 << 20
_ALIGNED = 16  # ticks of a multiple of which float32 numbers take whole 64 bytes
WORTH_A_LOOK = 1 << 28  # bytes; of less, "auto" does not ask whether there is as much


@dataclass(frozen=True)
class Memory:
    """What the user wants, and how the backends make large tensors."""

    mode: Mode = "auto"
    empty: Callable[[tuple[int, ...], Tensor], Tensor] = lambda sizes, like: like.new_empty(sizes)

    def is_low(self, kept: int, device: torch.device) -> bool:
        """Whether a call whose backward would keep so many bytes is to keep less.

        "auto": if they are more than half of what is free. The other half is for what the caller makes of the results
        (a loss, gradients, an optimizer's state), which nobody knows yet. It's asked once for a kind of call (its
        shapes), so that training doesn't change its way of computing from step to step.
        """
        if self.mode != "auto":
            return self.mode == "low"
        free = free_bytes(device) if kept >= WORTH_A_LOOK else None
        return free is not None and kept > free // 2


def free_bytes(device: torch.device) -> int | None:
    """The memory that may still be taken on a device; None where nothing tells."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # held by torch, free for us
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()  # MemAvailable counts what the system can free
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def length_of_a_piece(ticks: int, a_tick: int, states: int, exact: bool = False) -> int:
    """How many ticks a piece has.

    With L ticks a piece, T / L states are kept and L ticks' values: L = √(T · states / a_tick) makes the sum least.
    Shorter pieces than that help nobody. Longer ones are needed where a tick is little work.

    Args:
        ticks: T, of the whole call.
        a_tick: bytes that a tick keeps for its backward.
        states: bytes of the state that a piece starts from.
        exact: whether a tick must lie in a piece as it lies in the sequence: torch's matrix products sum in an order
            that depends on where in memory a tensor begins, modulo 64 bytes.
    """
    if not a_tick or not ticks:
        return ticks
    length = max(round(math.sqrt(ticks * states / a_tick)), _PIECE // a_tick, 1)
    return -(-length // _ALIGNED) * _ALIGNED if exact else length


class Saved:
    """The tensors that autograd was given to keep."""

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self.pauses = False

    def add(self, x: Tensor) -> Tensor:
        if not self.pauses:
            self._tensors.append(x)
        return x

    def bytes_without(self, others: Iterable[Any]) -> int:
        """Their memory, each piece of it once, without what is kept anyway."""
        known = {_place(x) for x in others if isinstance(x, Tensor)}
        return sum({_place(x): x.untyped_storage().nbytes() for x in self._tensors if _place(x) not in known}.values())

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.pauses = True
        try:
            yield
        finally:
            self.pauses = False


@contextmanager
def watch_saved() -> Iterator[Saved]:
    """What autograd is given meanwhile."""
    saved = Saved()
    with torch.autograd.graph.saved_tensors_hooks(saved.add, lambda x: x):
        yield saved


def _place(x: Tensor) -> Any:
    return (x.device, x.untyped_storage().data_ptr()) if x.layout == torch.strided else id(x)
