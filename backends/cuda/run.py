"""Runs CUDA kernels on tensors: allocates what comes out, says where every value is, and launches."""

import ctypes
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from norse.backends.c_family.body import number_buffers
from norse.backends.c_family.call import VERSION, Buffer, Call, buffers_type
from norse.backends.cuda.emit import block_rows, buffer_count
from norse.compiler.errors import Unsupported
from norse.compiler.region import Kernel, Kind

THREADS = 256  # of a block: even with all 255 registers a thread, 65536 registers of a multiprocessor suffice
_MOST_BUFFERS = 100  # by value: of the 4096 bytes that a kernel's arguments may have, a call takes 80, a buffer 40


class Module(Protocol):
    """Built kernels; `device` is torch's device type whose memory they read."""

    device: str

    def launch(
        self, symbol: str, blocks: int, threads: int, call: Call, buffers: ctypes.Array[Buffer], device: torch.device
    ) -> None: ...


class Executable:
    """A kernel, compiled."""

    def __init__(self, kernel: Kernel, module: Module, symbol: str, threads: int = THREADS) -> None:
        self.kernel, self._module, self._symbol, self._threads = kernel, module, symbol, threads
        self._registers = tuple(register.value for register in kernel.graph.registers)
        self._names = tuple(number_buffers(kernel))
        self._rows = block_rows(kernel)

    def run(
        self,
        tensors: Mapping[str, Tensor],
        sizes: tuple[int, int, int],
        ticks: tuple[int, int] | None = None,
        outputs: list[Tensor] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The outputs over time `[T, B, N]` and the registers' last values `[B, N]`.

        `tensors`: every input, and `initial_...` for every register. `ticks` runs a piece of time only, into `outputs`.
        """
        t, b, n = sizes
        kernel, graph = self.kernel, self.kernel.graph
        device = self._device(tensors)
        if outputs is None:
            outputs = [torch.empty(sizes, dtype=kernel.dtype(name), device=device) for name in graph.outputs]
        final = [torch.empty((b, n), dtype=kernel.dtype(name), device=device) for name in self._registers]
        if b == 0 or n == 0:
            return outputs, final
        given = {name: self._laid_out(tensors[name], name, kernel.kinds[name], device) for name in graph.inputs}
        for name in self._registers:
            given[f"initial {name}"] = self._laid_out(tensors[f"initial_{name}"], name, Kind.ROW, device)
        given.update({f"output {name}": tensor for name, tensor in zip(graph.outputs, outputs, strict=True)})
        given.update({f"final {name}": tensor for name, tensor in zip(self._registers, final, strict=True)})
        rows = [torch.empty((b, n), dtype=kernel.dtype(name), device=device) for name in self._rows]
        in_order = [*(given[name] for name in self._names), *rows]
        buffers = buffers_type(len(in_order))(*(_buffer(tensor) for tensor in in_order))
        call = Call(VERSION, len(buffers), None, *(ticks or (0, t)), 0, b, 0, n, n, None)
        blocks = b if kernel.mixes_neurons else -(-b * n // self._threads)
        self._module.launch(self._symbol, blocks, self._threads, call, buffers, device)
        return outputs, final

    def _device(self, tensors: Mapping[str, Tensor]) -> torch.device:
        """The one device of all rows; numbers may be anywhere, as in torch."""
        found = {tensor.device: name for name, tensor in tensors.items() if tensor.ndim}
        device = next(iter(found))
        if len(found) > 1 or device.type != self._module.device:
            places = ", ".join(f"%{name} is on {where}" for where, name in found.items())
            raise RuntimeError(f"{self._symbol} for {self._module.device}: {places}")
        return device

    def _laid_out(self, tensor: Tensor, name: str, kind: Kind, device: torch.device) -> Tensor:
        """The tensor as kernels read it: of their dtype; for blocks with neighbouring neurons next to each other."""
        tensor = tensor.detach().to(device, self.kernel.dtype(name))
        if kind == Kind.MATRIX:
            return tensor.contiguous()
        of_one = kind in (Kind.SCALAR, Kind.KEY)
        if of_one or not self.kernel.mixes_neurons or tensor.stride(-1) == 1 or tensor.shape[-1] == 1:
            return tensor
        return tensor.contiguous()


def check_size(kernel: Kernel) -> None:
    if buffer_count(kernel) > _MOST_BUFFERS:
        raise Unsupported(f"a CUDA kernel with {buffer_count(kernel)} buffers; {_MOST_BUFFERS} is the most")


def _buffer(tensor: Tensor) -> Buffer:
    """Of [T, B, N], [B, N], or of a number or a matrix, which are read through their address alone."""
    size = tensor.element_size()
    tick, sample, neuron = (0, 0, 0, *(stride * size for stride in tensor.stride()))[-3:]
    return Buffer(tensor.data_ptr(), tick, sample, neuron, 0, size)
