"""A convolution and the loop behind it in one pass over its events: runtime/fused_convolution.cpp."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from norse.backends.cpu.convolution import convolution_gradients
from norse.backends.cpu.events import Events
from norse.backends.cpu.fused_loop import FIELDS, Loop, forward_of, pointers
from norse.backends.cpu.patches import Shape
from norse.backends.cpu.threads import gomp_parallel, threads_for


class _Layer(ctypes.Structure):
    """`norse_fused_convolution` of runtime/fused_convolution.cpp."""

    _fields_ = (
        *FIELDS,
        ("of", ctypes.c_int64 * 16),
    )


@dataclass(frozen=True)
class FusedConvolution:
    of: Shape  # its samples are those of all ticks

    def run(self, loop: Loop, x: Events, weight: Tensor, bias: Tensor | None, neurons: int) -> int:
        sizes = (ctypes.c_int64 * 16)(*self.of.numbers)
        layer = _Layer(loop=loop, of=sizes, **pointers(x, weight, bias))
        threads = threads_for(prod(self.of.sizes))
        forward = forward_of("fused_convolution", "norse_convolution_forward", weight.dtype)
        return int(forward(ctypes.byref(layer), threads, gomp_parallel()))

    def gradients(
        self, grad: Tensor, weight: Tensor, x: Events, shape: Sequence[int], needs: Sequence[bool], reach: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        kernel = weight if weight.ndim == 4 else weight.unsqueeze(-2)
        of_x, of_weight, of_bias = convolution_gradients(
            grad.contiguous().view(self.of.sizes), kernel, x, self.of, needs
        )
        return (
            None if of_x is None else of_x.reshape(tuple(shape)),
            None if of_weight is None else of_weight.view(weight.shape),
            of_bias,
        )
