"""Events: the places of a matrix that are not zero, and what linear layers compute of them alone.

The arithmetic is runtime/synapse.cpp's.
"""

import ctypes
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from norse.backends.cpu.build import load_runtime
from norse.backends.cpu.memory import empty
from norse.backends.cpu.threads import gomp_parallel, threads_for

_ALONE = 1 << 19  # values; one thread lists fewer in one pass, before two of them would be through the two passes
_MOST_EVENTS = (1 << 31) - 64  # places are numbers of 32 bits


@dataclass(frozen=True)
class Events:
    """The places in each row that are not zero: those of row r are index[begin[r]:begin[r + 1]], and what is there
    (None: ones)."""

    begin: Tensor
    index: Tensor
    value: Tensor | None
    inputs: int

    @property
    def rows(self) -> int:
        return self.begin.shape[0] - 1


def find_events(rows: Tensor, most: int) -> Events | None:
    """The events of a matrix [rows, inputs]; None if they are more than `most`."""
    if most < 0:
        return None
    count, inputs = rows.shape
    library, begin = _library(rows.dtype), torch.empty(count + 1, dtype=torch.int32)
    analog, most = ctypes.c_int32(), min(most, _MOST_EVENTS)
    x, first = rows.data_ptr(), begin.data_ptr()
    if rows.numel() < _ALONE:
        found = library.norse_find_and_list(x, count, inputs, most, first, ctypes.byref(analog))
    else:
        threads, gomp = threads_for(rows.numel()), gomp_parallel()
        bits = torch.empty(count * -(-inputs // 64), dtype=torch.int64)
        words = bits.data_ptr()
        found = library.norse_find(x, count, inputs, most, words, first, ctypes.byref(analog), threads, gomp)
    if found < 0:
        return None
    index = torch.empty(found, dtype=torch.int32)
    value = torch.empty(found, dtype=rows.dtype) if analog.value else None
    if rows.numel() < _ALONE:
        library.norse_take_listed(x, count, inputs, first, index.data_ptr(), _pointer(value))
    else:
        library.norse_list(x, count, inputs, words, first, index.data_ptr(), _pointer(value), threads, gomp)
    return Events(begin, index, value, inputs)


def gather(x: Events, weight: Tensor, bias: Tensor | None) -> Tensor:
    """out[r, n] = bias[n] + Σ over active k of x[r, k] W[n, k]."""
    weight, bias = weight.detach().contiguous(), None if bias is None else bias.detach().contiguous()
    neurons = weight.shape[0]
    out = empty((x.rows, neurons), weight.dtype)
    _call("gather", x, (weight, bias, out), neurons, weight.dtype)
    return out


def outer(x: Events, grad: Tensor) -> Tensor:
    """dW[n, k] = Σ over rows r in which k is active of g[r, n] x[r, k]."""
    grad = grad.contiguous()
    neurons = grad.shape[1]
    weight = torch.empty(neurons, x.inputs, dtype=grad.dtype)
    _call("outer", x, (grad, weight), neurons, grad.dtype)
    return weight


def count_bits(bits: Tensor, dtype: torch.dtype) -> int:
    """How many bits are set in a tensor of 64-bit words, by the library for numbers of this type."""
    return int(_library(dtype).norse_count(bits.data_ptr(), bits.numel()))


def product_where(bits: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    """out[r, k] = Σ over n of g[r, n] W[n, k] where bit k of row r is set, else 0."""
    grad, columns = grad.contiguous(), weight.detach().t().contiguous()
    inputs, neurons = columns.shape
    out = empty((grad.shape[0], inputs), grad.dtype)
    function = _library(grad.dtype).norse_product_where
    pointers = (t.data_ptr() for t in (bits, grad, columns, out))
    function(*pointers, grad.shape[0], inputs, neurons, threads_for(out.numel()), gomp_parallel())
    return out


def _call(name: str, x: Events, tensors: tuple[Tensor | None, ...], neurons: int, dtype: torch.dtype) -> None:
    function = getattr(_library(dtype), f"norse_{name}")
    pointers = (_pointer(t) for t in (x.begin, x.index, x.value, *tensors))
    threads = threads_for((x.rows + x.index.numel()) * neurons)
    if function(*pointers, x.rows, x.inputs, neurons, threads, gomp_parallel()):
        raise MemoryError(f"norse.compile: no memory for an event-driven layer of {x.inputs} inputs")


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    library = load_runtime("synapse", dtype)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for function, pointers in ((library.norse_gather, 6), (library.norse_outer, 5)):
        function.argtypes = (*(pointer,) * pointers, *(number,) * 3, number, pointer)
        function.restype = ctypes.c_int
    find, fill, product = library.norse_find, library.norse_list, library.norse_product_where
    find.argtypes = (pointer, number, number, number, pointer, pointer, pointer, number, pointer)
    find.restype = number
    both, take = library.norse_find_and_list, library.norse_take_listed
    both.argtypes, both.restype = (pointer, number, number, number, pointer, pointer), number
    take.argtypes, take.restype = (pointer, number, number, pointer, pointer, pointer), None
    fill.argtypes = (pointer, number, number, pointer, pointer, pointer, pointer, number, pointer)
    fill.restype = None
    product.argtypes, product.restype = (*(pointer,) * 4, *(number,) * 4, pointer), None
    library.norse_count.argtypes, library.norse_count.restype = (pointer, number), number
    return library
