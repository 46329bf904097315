"""What convolutions compute of events alone. The arithmetic is runtime/convolution.cpp's."""

import ctypes
from dataclasses import astuple, dataclass
from functools import cache
from math import prod

import torch
from torch import Tensor

from norse.backends.cpu.build import load_runtime
from norse.backends.cpu.events import Events
from norse.backends.cpu.memory import empty
from norse.backends.cpu.threads import gomp_parallel, threads_for


@dataclass(frozen=True)
class Shape:
    """All sizes of a convolution, in the order of `norse_convolution` there. `channels` and `outputs` are those of one
    group; pairs are of (height, width). Behind the last row and column there's as much padding as the output needs."""

    samples: int
    groups: int
    channels: int
    outputs: int
    size: tuple[int, int]
    out: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """The output's."""
        return self.samples, self.groups * self.outputs, *self.out

    @property
    def numbers(self) -> tuple[int, ...]:
        scalars = (self.samples, self.groups, self.channels, self.outputs)
        return scalars + sum(astuple(self)[len(scalars) :], ())

    @property
    def multiplications(self) -> int:
        """Of the dense convolution."""
        return prod(self.sizes) * self.channels * prod(self.kernel)


def convolve(x: Events, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
    """The convolution of an input of which x are the events; x has a row for each sample, channel and row of pixels."""
    weight, bias = weight.detach().contiguous(), None if bias is None else bias.detach().contiguous()
    out = empty(shape.sizes, weight.dtype)
    _call("convolve", x, (weight, bias, out), shape)
    return out


def weight_gradient(x: Events, grad: Tensor, shape: Shape) -> Tensor:
    """The gradient of the weight, by the output's."""
    grad = grad.contiguous()
    weight = torch.empty(shape.groups * shape.outputs, shape.channels, *shape.kernel, dtype=grad.dtype)
    _call("convolution_weights", x, (grad, weight), shape)
    return weight


def _call(name: str, x: Events, tensors: tuple[Tensor | None, ...], shape: Shape) -> None:
    dtype = next(t.dtype for t in tensors if t is not None)
    function = getattr(_library(dtype), f"norse_{name}")
    numbers = shape.numbers
    pointers = (None if t is None else t.data_ptr() for t in (x.begin, x.index, x.value, *tensors))
    threads = threads_for(prod(shape.sizes))
    if function((ctypes.c_int64 * len(numbers))(*numbers), *pointers, threads, gomp_parallel()):
        raise MemoryError(f"norse.compile: no memory for an event-driven convolution of {shape}")


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    library = load_runtime("convolution", dtype)
    for name, pointers in (("convolve", 7), ("convolution_weights", 6)):
        function = getattr(library, f"norse_{name}")
        function.argtypes = (*(ctypes.c_void_p,) * pointers, ctypes.c_int64, ctypes.c_void_p)
        function.restype = ctypes.c_int
    return library
