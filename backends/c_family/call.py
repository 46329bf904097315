"""The structures of norse_kernel.h for Python: what a kernel is called with."""

import ctypes
from functools import cache
from typing import Any

VERSION = 3  # NORSE_KERNEL_VERSION


class Buffer(ctypes.Structure):
    """`norse_buffer`: where a value's memory is. Strides are in bytes."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("tick_stride", ctypes.c_int64),
        ("sample_stride", ctypes.c_int64),
        ("neuron_stride", ctypes.c_int64),
        ("storage", ctypes.c_int32),
        ("element_size", ctypes.c_int32),
    )


@cache
def buffers_type(count: int) -> Any:
    """The array of so many buffers. Of an array type that nobody holds, ctypes makes another one."""
    return Buffer * count


BUFFER_FORMAT = "4q2i"  # the same for `struct`


class Call(ctypes.Structure):
    """`norse_call`: the buffers, and the piece of time, samples and neurons to work on."""

    _fields_ = (
        ("version", ctypes.c_int32),
        ("buffer_count", ctypes.c_int32),
        ("buffers", ctypes.c_void_p),
        ("tick_begin", ctypes.c_int64),
        ("tick_end", ctypes.c_int64),
        ("sample_begin", ctypes.c_int64),
        ("sample_end", ctypes.c_int64),
        ("neuron_begin", ctypes.c_int64),
        ("neuron_end", ctypes.c_int64),
        ("neurons", ctypes.c_int64),
        ("scratch", ctypes.c_void_p),
        ("member", ctypes.c_void_p),
    )
