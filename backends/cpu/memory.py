"""Memory for large tensors, used again once nobody holds them.

The C library gives what is larger than 32 MiB back to the system at once, and the system hands pages out anew, zeroed,
one by one: that takes longer than most kernels take to fill them.
"""

import mmap
import sys
from dataclasses import dataclass, field
from math import prod
from threading import Lock

import torch
from torch import Tensor

_LARGE = 1 << 22  # bytes; the C library keeps smaller pieces itself
_FORGOTTEN = 256  # requests, after which a block that fits none is given back


@dataclass
class _Block:
    memory: mmap.mmap
    last: int  # the request that it served

    @property
    def idle(self) -> bool:
        """Whether no tensor holds it: one holds the map itself."""
        return sys.getrefcount(self.memory) == 2  # the block's reference, and getrefcount's own


@dataclass
class _Pool:
    """`most` is the most bytes that were ever held at once: as much again is kept, at most."""

    blocks: list[_Block] = field(default_factory=list)
    requests: int = 0
    most: int = 0
    lock: Lock = field(default_factory=Lock)

    def take(self, size: int) -> mmap.mmap:
        with self.lock:
            self.requests += 1
            idle = [block for block in self.blocks if block.idle]
            fitting = [block for block in idle if size <= len(block.memory) <= size + size // 4]
            if fitting:
                block = min(fitting, key=lambda b: len(b.memory))
                block.last = self.requests
                return block.memory
            held = sum(len(b.memory) for b in self.blocks)
            self.most = max(self.most, held - sum(len(b.memory) for b in idle) + size)
            for block in sorted(idle, key=lambda b: b.last):
                if held + size > 2 * self.most or block.last < self.requests - _FORGOTTEN:
                    held -= len(block.memory)
                    self.blocks.remove(block)
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if hasattr(mmap, "MADV_HUGEPAGE"):  # rows of blocks of neurons are pages apart
                memory.madvise(mmap.MADV_HUGEPAGE)
            self.blocks.append(_Block(memory, self.requests))
            return memory


_POOL = _Pool()


def empty(sizes: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """As torch.empty, on the CPU."""
    count = prod(sizes)
    size = count * dtype.itemsize
    if size < _LARGE or not hasattr(mmap, "MAP_ANONYMOUS"):
        return torch.empty(sizes, dtype=dtype)
    memory = _POOL.take(size)
    return torch.frombuffer(memory, dtype=dtype, count=count).view(sizes)


def empty_like(sizes: tuple[int, ...], like: Tensor) -> Tensor:
    """An empty tensor of another's dtype, on its device."""
    return empty(sizes, like.dtype) if like.device.type == "cpu" else like.new_empty(sizes)


def release() -> None:
    """Gives back what no tensor holds."""
    with _POOL.lock:
        _POOL.blocks = [block for block in _POOL.blocks if not block.idle]
        _POOL.most = 0
