"""Runs kernels on tensors: fills in the call structure, allocates what comes out, and lets the driver run the tiles."""

import ctypes
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor

from norse.backends.c_family.body import number_buffers
from norse.backends.c_family.call import BUFFER_FORMAT, VERSION, Buffer, Call, buffers_type
from norse.backends.cpu.build import load_runtime
from norse.backends.cpu.emit import emit_cpp, scratch_rows
from norse.backends.cpu.memory import empty
from norse.backends.cpu.sharing import Pace, team_for
from norse.backends.cpu.threads import gomp_parallel, gomp_size, threads_for
from norse.compiler.region import Kernel, Kind

_SAMPLES = 8  # that share what a synapse reads of its matrix
_NEURONS = 1024  # a tile's neurons: a handful of rows of float stay in L1


@cache
def driver() -> ctypes.CDLL:
    library = load_runtime("driver")
    library.norse_run.restype = ctypes.c_int
    library.norse_run.argtypes = (
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int32,
        ctypes.c_void_p,
    )
    library.norse_run_together.restype = ctypes.c_int
    library.norse_run_together.argtypes = (
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    library.norse_transpose_float32.restype = None
    library.norse_transpose_float32.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    return library


class Action(ctypes.Structure):
    """`norse_action` of runtime/replay.cpp."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("element_size", ctypes.c_int32),
        ("function", ctypes.c_void_p),
        ("call", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("matrix", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("to", ctypes.c_void_p),
        ("samples", ctypes.c_int64),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("index", ctypes.c_void_p),
    )


class KernelRecorder(Protocol):
    def kernel(self, function: ctypes.c_void_p, call: Call, scratch_bytes: int, *kept: Any) -> None: ...


_RECORDER: ContextVar[KernelRecorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recording(recorder: KernelRecorder) -> Iterator[None]:
    """Inside, kernels are handed to the recorder instead of being run."""
    token = _RECORDER.set(recorder)
    try:
        yield
    finally:
        _RECORDER.reset(token)


def is_recorded() -> bool:
    return _RECORDER.get() is not None


class Executable:
    """A kernel, compiled."""

    def __init__(self, kernel: Kernel, library: ctypes.CDLL, symbol: str) -> None:
        self.kernel = kernel
        self.function = ctypes.cast(getattr(library, symbol), ctypes.c_void_p)
        self.scratch_rows = scratch_rows(kernel)
        self.places = number_buffers(kernel)
        graph = kernel.graph
        self._inputs = tuple((name, kernel.kinds[name], kernel.dtype(name)) for name in graph.inputs)
        self._registers = tuple((f"initial_{r.value}", Kind.ROW, kernel.dtype(r.value)) for r in graph.registers)
        self._outputs = tuple(kernel.dtype(name) for name in graph.outputs)
        states = tuple(dtype for _, _, dtype in self._registers)
        of = (*(dtype for _, _, dtype in self._inputs), *states, *self._outputs, *states)
        self._element_sizes = tuple(dtype.itemsize for dtype in of)
        self._paces: dict[tuple[int, int, int], Pace] = {}  # by samples, neurons and threads
        driver()

    def bind(
        self,
        tensors: Mapping[str, Tensor],
        sizes: tuple[int, int, int],
        outputs: Sequence[Tensor | None] | None = None,
        without: str | None = None,
    ) -> "Bound":
        """The kernel's buffers for these tensors. `outputs`: where to write, None for what is in no memory; `without`:
        an input that is in none."""
        _, b, n = sizes
        read = [
            None if name == without else _laid_out(tensors[name], kind, dtype, n)
            for name, kind, dtype in (*self._inputs, *self._registers)
        ]
        if outputs is None:
            outputs = [empty(sizes, dtype) for dtype in self._outputs]
        final = [torch.empty((b, n), dtype=dtype) for _, _, dtype in self._registers]
        return Bound([*read, *outputs, *final], self._element_sizes, list(outputs), final)

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
        bound = self.bind(tensors, sizes, outputs)
        made, final = [x for x in bound.outputs if x is not None], bound.final
        if not self.kernel.mixes_neurons and all(x is None or _one_row(x) for x in bound.tensors):
            b, n = 1, b * n  # nothing distinguishes samples from neurons
        buffers = bound.buffers()
        begin, end = ticks or (0, t)
        call = Call(VERSION, len(buffers), ctypes.addressof(buffers), begin, end, 0, b, 0, n, n, None)
        threads = threads_for((end - begin) * b * n)
        recorder = _RECORDER.get()
        if recorder is not None:
            size = self.scratch_rows * b * ((n * 8 + 63) // 64 * 64)
            recorder.kernel(self.function, call, size, buffers, bound.tensors)
            return made, final
        members = team_for(b, n, threads, gradients=self.kernel.reverse) if self.kernel.mixes_neurons else 1
        if members > 1 and end > begin:
            pace = self._paces.setdefault((b, n, members), Pace())
            shared, start = pace.shares(end - begin), perf_counter()
            status = self._run(call, threads, members if shared else 1)
            pace.note(shared, perf_counter() - start, end - begin)
        else:
            status = self._run(call, threads, 1)
        if status:
            raise RuntimeError(f"norse kernel driver: {('', 'version', 'storage', 'out of memory')[status]}")
        return made, final

    def _run(self, call: Call, threads: int, members: int) -> int:
        """On threads with samples or neurons of their own, or on `members` that share the neurons of all samples."""
        samples, mixes, address = call.sample_end, self.kernel.mixes_neurons, ctypes.addressof(call)
        if members > 1:
            together = driver().norse_run_together
            tile = min(_SAMPLES, samples)
            return int(together(self.function, address, tile, self.scratch_rows, members, gomp_parallel(), gomp_size()))
        status = driver().norse_run(
            self.function,
            address,
            min(_SAMPLES, -(-samples // threads)) if mixes else 1,
            call.neurons if mixes else _NEURONS,
            self.scratch_rows,
            threads,
            gomp_parallel(),
        )
        return int(status)


@dataclass(frozen=True)
class Bound:
    """The tensors of a call in the order of the kernel's buffers, None where there is no memory, and what comes out."""

    tensors: list[Tensor | None]
    element_sizes: tuple[int, ...]
    outputs: list[Tensor | None]
    final: list[Tensor]

    def buffers(self) -> "ctypes.Array[Buffer]":
        """What a kernel reads of them; the tensors must outlive it."""
        numbers: list[int] = []  # of all structures: made one by one, they take longer than a small kernel
        for tensor, size in zip(self.tensors, self.element_sizes, strict=True):
            if tensor is None:
                numbers += (0, 0, 0, 0, 0, size)
                continue
            strides = tensor.stride()
            tick = strides[0] * size if len(strides) == 3 else 0
            sample = strides[-2] * size if len(strides) > 1 else 0
            numbers += (tensor.data_ptr(), tick, sample, size, 0, size)
        buffers: ctypes.Array[Buffer] = buffers_type(len(self.tensors))()
        struct.pack_into(BUFFER_FORMAT * len(self.tensors), buffers, 0, *numbers)
        return buffers


def _laid_out(tensor: Tensor, kind: Kind, dtype: torch.dtype, neurons: int) -> Tensor:
    """The tensor as kernels read it: of their dtype, and with neighbouring neurons next to each other."""
    if tensor.dtype != dtype:
        tensor = tensor.detach().to(dtype)
    if kind is Kind.SCALAR or kind is Kind.KEY:
        return tensor
    if kind is Kind.MATRIX:
        return _row_major(tensor.detach())
    return tensor if tensor.stride(-1) == 1 or neurons == 1 else tensor.detach().contiguous()


def _row_major(matrix: Tensor) -> Tensor:
    """torch copies a transposed matrix four times slower than its numbers can be moved."""
    columns, rows = matrix.shape
    if matrix.dtype != torch.float32 or matrix.stride() != (1, columns) or rows % 16:
        return matrix.contiguous()
    made = torch.empty((columns, rows))
    driver().norse_transpose_float32(matrix.data_ptr(), rows, columns, made.data_ptr())
    return made


def _one_row(tensor: Tensor) -> bool:
    return tensor.is_contiguous() or tensor.ndim == 0


def translation_unit(forward: Kernel, backward: Kernel | None, title: str) -> str:
    """Both kernels of a region, as C++."""
    text = emit_cpp(forward, "norse_forward", f"{title}: forward")
    if backward is not None:
        text += "\n" + emit_cpp(backward, "norse_backward", f"{title}: backward, ticks in reverse")
    return text
