"""Average pooling with torch's very bits. torch's own takes longer than memory does."""

import ctypes
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from norse.backends.cpu.build import load_runtime
from norse.backends.cpu.memory import empty
from norse.backends.cpu.synapse import takes
from norse.backends.cpu.threads import gomp_parallel, threads_for
from norse.backends.operators import refuse_a_graph
from norse.compiler.backend import BackendUnavailable

Window = tuple[int, int]


def average(layer: nn.AvgPool2d, x: Tensor) -> Tensor:
    """What the layer gives; natively where its windows lie side by side."""
    window = _window(layer, x)
    if window is None:
        return layer(x)  # type: ignore[no-any-return]
    try:
        if torch.is_grad_enabled() and x.requires_grad:
            return _Average.apply(x, window)  # type: ignore[no-any-return, no-untyped-call]
        return _average(x, window)
    except BackendUnavailable:  # of which the loops have warned
        return layer(x)  # type: ignore[no-any-return]


def _window(layer: nn.AvgPool2d, x: Tensor) -> Window | None:
    """Its height and width; None of other pooling, and where torch would complain."""
    window = _pair(layer.kernel_size)
    plain = (
        _pair(layer.stride) == window
        and _pair(layer.padding) == (0, 0)
        and not layer.ceil_mode
        and layer.divisor_override is None
    )
    fits = (
        plain
        and takes(x)
        and x.ndim in (3, 4)
        and x.is_contiguous()
        and x.numel() > 0
        and min(window) > 0
        and x.shape[-2] >= window[0]
        and x.shape[-1] >= window[1]
    )
    return window if fits else None


def _pair(size: int | tuple[int, ...]) -> Window:
    height, width = size if isinstance(size, tuple) and len(size) == 2 else (size, size)
    return height, width  # type: ignore[return-value]


class _Average(torch.autograd.Function):
    """Keeps sizes alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: Window) -> Tensor:
        ctx.shape, ctx.window = x.shape, window
        return _average(x, window)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        refuse_a_graph()
        return _spread(grad.contiguous(), ctx.shape, ctx.window), None


def _average(x: Tensor, window: Window) -> Tensor:
    height, width = x.shape[-2:]
    out = empty((*x.shape[:-2], height // window[0], width // window[1]), x.dtype)
    _call("average", x, out, x.shape, window)
    return out


def _spread(grad: Tensor, shape: torch.Size, window: Window) -> Tensor:
    x = empty(shape, grad.dtype)
    _call("spread", grad, x, shape, window)
    return x


def _call(name: str, source: Tensor, to: Tensor, shape: torch.Size, window: Window) -> None:
    function = getattr(_library(to.dtype), f"norse_{name}")
    planes, threads = prod(shape[:-2]), threads_for(shape.numel())
    function(source.data_ptr(), to.data_ptr(), planes, *shape[-2:], *window, threads, gomp_parallel())


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    library = load_runtime("pooling", dtype)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for function in (library.norse_average, library.norse_spread):
        function.argtypes = (pointer, pointer, *(number,) * 6, pointer)
        function.restype = None
    return library
