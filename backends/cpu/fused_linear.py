"""A linear layer and the loop behind it in one pass over its events: runtime/fused_linear.cpp."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from norse.backends.cpu.events import Events
from norse.backends.cpu.fused_loop import FIELDS, Loop, forward_of, pointers
from norse.backends.cpu.synapse import layer_gradients
from norse.backends.cpu.threads import gomp_parallel, threads_for


class _Layer(ctypes.Structure):
    """`norse_layer` of runtime/fused_linear.cpp."""

    _fields_ = (
        *FIELDS,
        ("width", ctypes.c_int64),
    )


@dataclass(frozen=True)
class FusedLinear:
    def run(self, loop: Loop, x: Events, weight: Tensor, bias: Tensor | None, neurons: int) -> int:
        layer = _Layer(loop=loop, width=x.inputs, **pointers(x, weight, bias))
        threads = threads_for((x.rows + x.index.numel()) * neurons)
        forward = forward_of("fused_linear", "norse_layer_forward", weight.dtype)
        return int(forward(ctypes.byref(layer), threads, gomp_parallel()))

    def gradients(
        self, grad: Tensor, weight: Tensor, x: Events, shape: Sequence[int], needs: Sequence[bool], reach: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        return layer_gradients(grad.flatten(0, 1), weight, x, shape, needs, reach)
