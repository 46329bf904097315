"""A loop whose currents are in no memory, as runtime/tiles.h takes it, and what layers do to give it these."""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from norse.backends.cpu.build import load_runtime
from norse.backends.cpu.events import Events
from norse.backends.cpu.run import Executable


class Loop(ctypes.Structure):
    """`norse_loop` of runtime/tiles.h."""

    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("call", ctypes.c_void_p),
        ("inputs", ctypes.c_int32),
        ("registers", ctypes.c_int32),
        ("outputs", ctypes.c_int32),
        ("currents", ctypes.c_int32),
        ("spikes", ctypes.c_int32),
        ("reach", ctypes.c_int32),
        ("scratch_rows", ctypes.c_int64),
        ("spike_bits", ctypes.c_void_p),
        ("reach_bits", ctypes.c_void_p),
        ("bits_stride", ctypes.c_int64),
    )

    @staticmethod
    def of(executable: Executable, currents: str) -> "Loop":
        """Without the call, and with no bits wanted."""
        graph = executable.kernel.graph
        return Loop(
            kernel=executable.function,
            inputs=len(graph.inputs),
            registers=len(graph.registers),
            outputs=len(graph.outputs),
            currents=executable.places[currents],
            spikes=-1,
            reach=-1,
            scratch_rows=executable.scratch_rows,
        )


class FusedSynapse(Protocol):
    """A layer that gives a loop its currents."""

    def run(self, loop: Loop, x: Events, weight: Tensor, bias: Tensor | None, neurons: int) -> int:
        """Runs both; returns what went wrong, in the numbers of runtime/tiles.h."""

    def gradients(
        self, grad: Tensor, weight: Tensor, x: Events, shape: Sequence[int], needs: Sequence[bool], reach: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of the input, in its `shape`, weight and bias, from the currents' gradient [T, B, neurons]."""


WRONG = ("", "version", "", "out of memory", "too many buffers")


# What the structures of all layers begin with.
FIELDS = (("loop", Loop), *((name, ctypes.c_void_p) for name in ("begin", "index", "value", "weight", "bias")))


@cache
def forward_of(library: str, function: str, dtype: torch.dtype) -> Any:
    """A layer's forward: takes its structure, the number of threads, and what runs these."""
    found = getattr(load_runtime(library, dtype), function)
    found.argtypes, found.restype = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p), ctypes.c_int
    return found


def pointers(x: Events, weight: Tensor, bias: Tensor | None) -> dict[str, int | None]:
    """The fields of all layers behind the loop; the tensors must outlive it."""
    return {
        "begin": x.begin.data_ptr(),
        "index": x.index.data_ptr(),
        "value": None if x.value is None else x.value.data_ptr(),
        "weight": weight.data_ptr(),
        "bias": None if bias is None else bias.data_ptr(),
    }
