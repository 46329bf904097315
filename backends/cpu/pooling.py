"""Pooling with torch's very bits: averages of values, for which torch takes longer than memory does, and averages and
largest values of events.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from norse.backends.cpu.build import load_runtime
from norse.backends.cpu.events import MOST_EVENTS, Bits, Events, Spikes
from norse.backends.cpu.memory import empty
from norse.backends.cpu.synapse import takes
from norse.backends.cpu.threads import gomp_parallel, threads_for
from norse.backends.operators import refuse_a_graph, stand_in
from norse.compiler.backend import BackendUnavailable

_AVERAGES, _LARGEST = (nn.AvgPool1d, nn.AvgPool2d), (nn.MaxPool1d, nn.MaxPool2d)
_FLAT = (nn.AvgPool1d, nn.MaxPool1d)  # of rows: images one pixel high

_SPARE = 3 * 64  # places of events that runtime/pooling.cpp asks for besides

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """What is pooled together: (height, width) of a window, of the way to the next, and of the border."""

    largest: bool
    size: Pair
    stride: Pair
    padding: Pair

    def out(self, height: int, width: int) -> Pair:
        """How many windows there are."""
        tall, wide = (
            (n + 2 * p - size) // step + 1
            for n, size, step, p in zip((height, width), self.size, self.stride, self.padding, strict=True)
        )
        return tall, wide


def window_of(layer: nn.Module) -> Window | None:
    """None of pooling that is torch's own: averages over windows that overlap or reach over the border, say."""
    if not isinstance(layer, _AVERAGES + _LARGEST):
        return None
    size = _pair(layer, layer.kernel_size, 1)
    given: Any = layer.stride
    stride = size if given in ((), []) else _pair(layer, given, 1)  # torch's own default
    if isinstance(layer, _AVERAGES):
        divided = getattr(layer, "divisor_override", None) is None
        plain = stride == size and _pair(layer, layer.padding, 0) == (0, 0) and not layer.ceil_mode and divided
        return Window(False, size, stride, (0, 0)) if plain and min(size) > 0 else None
    if not layer.ceil_mode and not layer.return_indices:
        window = Window(True, size, stride, _pair(layer, layer.padding, 0))
        inside = all(0 <= 2 * p <= size for p, size in zip(window.padding, window.size, strict=True))
        plain = _pair(layer, layer.dilation, 1) == (1, 1) and min(*window.size, *window.stride) > 0
        return window if plain and inside else None
    return None


def _pair(layer: nn.Module, size: Any, alone: int) -> Pair:
    """Of an image's height and width; of a row the height is `alone`."""
    numbers = tuple(size) if isinstance(size, tuple | list) else (size,)
    if isinstance(layer, _FLAT):
        return alone, numbers[0]
    height, width = numbers if len(numbers) == 2 else (numbers[0], numbers[0])
    return height, width


# ---- of values -----------------------------------------------------------------------------------


def average(layer: nn.AvgPool2d, x: Tensor) -> Tensor:
    """What the layer gives; natively where its windows lie side by side."""
    window = window_of(layer)
    if window is None or not _fits(window, x):
        return layer(x)  # type: ignore[no-any-return]
    try:
        if torch.is_grad_enabled() and x.requires_grad:
            return _Average.apply(x, window.size)  # type: ignore[no-any-return, no-untyped-call]
        return _average(x, window.size)
    except BackendUnavailable:  # of which the loops have warned
        return layer(x)  # type: ignore[no-any-return]


def _fits(window: Window, x: Tensor) -> bool:
    """Not of what torch would complain of."""
    return takes(x) and x.ndim in (3, 4) and x.is_contiguous() and x.numel() > 0 and min(window.out(*x.shape[-2:])) > 0


class _Average(torch.autograd.Function):
    """Keeps sizes alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: Pair) -> Tensor:
        ctx.shape, ctx.window = x.shape, window
        return _average(x, window)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        refuse_a_graph()
        return _spread(grad.contiguous(), ctx.shape, ctx.window), None


def _average(x: Tensor, window: Pair) -> Tensor:
    height, width = x.shape[-2:]
    out = empty((*x.shape[:-2], height // window[0], width // window[1]), x.dtype)
    _call("average", x, out, x.shape, window)
    return out


def _spread(grad: Tensor, shape: Sequence[int], window: Pair) -> Tensor:
    x = empty(tuple(shape), grad.dtype)
    _call("spread", grad, x, shape, window)
    return x


def _call(name: str, source: Tensor, to: Tensor, shape: Sequence[int], window: Pair) -> None:
    function = getattr(_library(to.dtype), f"norse_{name}")
    planes, threads = prod(shape[:-2]), threads_for(prod(shape))
    function(source.data_ptr(), to.data_ptr(), planes, *shape[-2:], *window, threads, gomp_parallel())


# ---- of events -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Windows:
    """`norse_windows` of runtime/pooling.cpp."""

    window: Window
    planes: int
    size: Pair
    out: Pair

    @property
    def overlap(self) -> int:
        """The windows that an event is in are at most so many."""
        return prod(-(-size // step) for size, step in zip(self.window.size, self.window.stride, strict=True))

    @property
    def numbers(self) -> "ctypes.Array[ctypes.c_int64]":
        window = self.window
        numbers = (self.planes, *self.size, *self.out, *window.size, *window.stride, *window.padding)
        return (ctypes.c_int64 * len(numbers))(*numbers)


def pool_events(layer: nn.Module, x: Tensor, spikes: Spikes) -> tuple[Tensor, Events] | None:
    """What the layer makes of a tensor, of which the spikes are known: something of its shape, and its events. None
    where torch has to see the values."""
    window = window_of(layer)
    planes = x.shape[:-1] if isinstance(layer, _FLAT) else x.shape[:-2]
    size = (1, x.shape[-1]) if isinstance(layer, _FLAT) else (x.shape[-2], x.shape[-1])
    if window is None or not planes or not x.numel() or min(out := window.out(*size)) < 1:
        return None
    if window.largest and isinstance(spikes, Events) and spikes.value is not None and not (spikes.value > 0).all():
        return None  # zeros may be the largest
    of = _Windows(window, prod(planes), size, out)
    if spikes.count * of.overlap + _SPARE > MOST_EVENTS:
        return None
    learns = torch.is_grad_enabled() and x.requires_grad
    pooled, source = _pooled(of, spikes, x.dtype, sources=learns and window.largest)
    shape = (*planes, *out[2 - (x.ndim - len(planes)) :])
    if learns:
        return _Pool.apply(x, of, shape, pooled, source), pooled  # type: ignore[no-untyped-call]
    return stand_in(shape, x.dtype, x.device), pooled


def _pooled(of: _Windows, spikes: Spikes, dtype: torch.dtype, *, sources: bool) -> tuple[Events, Tensor | None]:
    """The events, and where in its plane each is from."""
    window = of.window
    most = spikes.count * of.overlap + _SPARE
    begin = torch.empty(of.planes * of.out[0] + 1, dtype=torch.int32)
    index = torch.empty(most, dtype=torch.int32)
    ones = isinstance(spikes, Bits) or spikes.value is None
    value = None if window.largest and ones else torch.empty(most, dtype=dtype)
    source = torch.empty(most, dtype=torch.int32) if sources else None
    divisor = 1 if window.largest else prod(window.size)
    made = (None if t is None else t.data_ptr() for t in (begin, index, value, source))
    rest = (window.largest, divisor, *made, threads_for(begin.numel() + most), gomp_parallel())
    planes, of_a_row = divmod(spikes.inputs, prod(of.size))
    if isinstance(spikes, Bits) and not of_a_row:  # whole planes in each row
        found = _library(dtype).norse_pool_bits(
            of.numbers, spikes.words.data_ptr(), spikes.words.shape[1], planes, *rest
        )
    else:
        x = spikes.in_rows_of(of.size[1])
        given = (None if t is None else t.data_ptr() for t in (x.begin, x.index, x.value))
        found = _library(dtype).norse_pool_events(of.numbers, *given, *rest)
    value, source = (None if t is None else t[:found] for t in (value, source))
    return Events(begin, index[:found], value, of.out[1]), source


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, of: _Windows, shape: tuple[int, ...], pooled: Events, source: Tensor | None
    ) -> Tensor:
        ctx.of, ctx.shape = of, x.shape
        if source is not None:
            ctx.save_for_backward(pooled.begin, pooled.index, source)
        return stand_in(shape, x.dtype, x.device)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        refuse_a_graph()
        of, grad = ctx.of, grad.contiguous()
        if not of.window.largest:
            return _spread(grad, (of.planes, *of.size), of.window.size).view(ctx.shape), None, None, None, None
        x = empty(tuple(ctx.shape), grad.dtype)
        kept = ctx.saved_tensors  # held by nobody else where a hook made them again
        pointers = (t.data_ptr() for t in (*kept, grad, x))
        _library(grad.dtype).norse_spread_largest(of.numbers, *pointers, threads_for(x.numel()), gomp_parallel())
        return x, None, None, None, None


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    library = load_runtime("pooling", dtype)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for function in (library.norse_average, library.norse_spread):
        function.argtypes = (pointer, pointer, *(number,) * 6, pointer)
        function.restype = None
    value = ctypes.c_float if dtype == torch.float32 else ctypes.c_double
    pool, spread = library.norse_pool_events, library.norse_spread_largest
    rest = (ctypes.c_int32, value, *(pointer,) * 4, number, pointer)
    pool.argtypes, pool.restype = (*(pointer,) * 4, *rest), number
    bits = library.norse_pool_bits
    bits.argtypes, bits.restype = (pointer, pointer, number, number, *rest), number
    spread.argtypes, spread.restype = (*(pointer,) * 6, number, pointer), None
    return library
