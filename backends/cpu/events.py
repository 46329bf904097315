"""Events: the places of a matrix that are not zero, and what linear layers compute of them alone.

The arithmetic is runtime/synapse.cpp's, what becomes of lists alone runtime/lists.cpp's.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import torch
from torch import Tensor

from norse.backends.cpu.build import load_runtime
from norse.backends.cpu.memory import empty
from norse.backends.cpu.threads import gomp_parallel, threads_for

_ALONE = 1 << 19  # values; one thread lists fewer in one pass, before two of them would be through the two passes
MOST_EVENTS = (1 << 31) - 64  # places are numbers of 32 bits


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

    @property
    def count(self) -> int:
        return self.index.numel()

    def in_rows_of(self, inputs: int) -> "Events":
        """The same values cut into rows of another length."""
        if inputs == self.inputs:
            return self
        rows = self.rows * self.inputs // inputs
        begin, index = torch.empty(rows + 1, dtype=torch.int32), torch.empty_like(self.index)
        threads = threads_for(rows + index.numel())
        from_, to = (self.begin.data_ptr(), self.index.data_ptr()), (begin.data_ptr(), index.data_ptr())
        _lists().norse_cut_rows(*from_, self.rows, self.inputs, inputs, *to, threads, gomp_parallel())
        return Events(begin, index, self.value, inputs)


def find_events(rows: Tensor, most: int) -> Events | None:
    """The events of a matrix [rows, inputs]; None if they are more than `most`."""
    if most < 0:
        return None
    count, inputs = rows.shape
    library, begin = _library(rows.dtype), torch.empty(count + 1, dtype=torch.int32)
    analog, most = ctypes.c_int32(), min(most, MOST_EVENTS)
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


@dataclass(frozen=True)
class Bits:
    """Spikes, a bit each: rows of 64-bit words, [rows, words], with a word more in memory behind the last."""

    words: Tensor
    inputs: int

    @staticmethod
    def zeros(rows: int, inputs: int) -> "Bits":
        words = -(-inputs // 64)
        return Bits(torch.zeros(rows * words + 1, dtype=torch.int64)[:-1].view(rows, words), inputs)

    @cached_property
    def count(self) -> int:
        return count_bits(self.words)

    @cached_property
    def events(self) -> Events:
        """The same as lists: all are ones."""
        rows, words = self.words.shape
        begin = torch.empty(rows + 1, dtype=torch.int32)
        found = _lists().norse_count_rows(self.words.data_ptr(), words, rows, begin.data_ptr())
        if found < 0:
            raise RuntimeError("norse.compile: more spikes than 32 bits can count")
        index = torch.empty(found, dtype=torch.int32)
        threads, pointers = threads_for(self.words.numel()), (begin.data_ptr(), index.data_ptr())
        _lists().norse_list_rows(self.words.data_ptr(), words, rows, *pointers, threads, gomp_parallel())
        return Events(begin, index, None, self.inputs)

    def in_rows_of(self, inputs: int) -> Events:
        return self.events.in_rows_of(inputs)


Spikes = Bits | Events


class _List(ctypes.Structure):
    """`norse_list` of runtime/lists.cpp."""

    _fields_ = (
        ("begin", ctypes.c_void_p),
        ("index", ctypes.c_void_p),
        ("value", ctypes.c_void_p),
        ("inputs", ctypes.c_int64),
    )


def join_rows(lists: Sequence[Events], dtype: torch.dtype) -> Events:
    """Each row of all of them, one behind the other."""
    if any(x.value is not None for x in lists):  # then of all, so that each has its own
        ones = (torch.ones(x.index.shape, dtype=dtype) if x.value is None else x.value for x in lists)
        lists = [replace(x, value=value) for x, value in zip(lists, ones, strict=True)]
    begin = torch.empty_like(lists[0].begin)
    index = torch.empty(sum(x.index.numel() for x in lists), dtype=torch.int32)
    value = None if lists[0].value is None else torch.empty(index.shape, dtype=dtype)
    described = (_List * len(lists))(
        *(_List(x.begin.data_ptr(), x.index.data_ptr(), _pointer(x.value), x.inputs) for x in lists)
    )
    made = (begin.data_ptr(), index.data_ptr(), _pointer(value))
    _lists().norse_join_rows(described, len(lists), lists[0].rows, dtype.itemsize, *made)
    return Events(begin, index, value, sum(x.inputs for x in lists))


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


def fill(x: Events, dtype: torch.dtype) -> Tensor:
    """The matrix of which these are the events."""
    out = empty((x.rows, x.inputs), dtype)
    pointers = (_pointer(t) for t in (x.begin, x.index, x.value, out))
    _library(dtype).norse_fill(*pointers, x.rows, x.inputs, threads_for(out.numel()), gomp_parallel())
    return out


def count_bits(bits: Tensor) -> int:
    """How many bits are set in a tensor of 64-bit words."""
    return int(_lists().norse_count_bits(bits.data_ptr(), bits.numel()))


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
    library.norse_fill.argtypes = (*(pointer,) * 4, number, number, number, pointer)
    library.norse_fill.restype = None
    product.argtypes, product.restype = (*(pointer,) * 4, *(number,) * 4, pointer), None
    return library


@cache
def _lists() -> ctypes.CDLL:
    library = load_runtime("lists")
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for function, arguments, result in (
        (library.norse_count_bits, (pointer, number), number),
        (library.norse_count_rows, (pointer, number, number, pointer), number),
        (library.norse_list_rows, (pointer, number, number, pointer, pointer, number, pointer), None),
        (library.norse_cut_rows, (pointer, pointer, *(number,) * 3, pointer, pointer, number, pointer), None),
        (library.norse_join_rows, (pointer, *(number,) * 3, *(pointer,) * 3), None),
    ):
        function.argtypes, function.restype = arguments, result
    return library
