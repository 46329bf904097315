"""Event-driven convolutions: what is zero adds nothing to the outputs, nor to the gradient of the weight.

Which way is faster is decided at every call by the density that is found, with the costs of this machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from norse.backends.cpu import patches
from norse.backends.cpu.convolution_costs import most_events
from norse.backends.cpu.events import Events, Spikes, find_events
from norse.backends.cpu.memory import empty
from norse.backends.cpu.patches import Shape, convolve
from norse.backends.cpu.synapse import WORTH_A_LOOK, Sparse, takes
from norse.backends.operators import refuse_a_graph
from norse.compiler.backend import BackendUnavailable
from norse.torch.module.quantized import weight_and_bias

_PIECE = 1 << 20  # bytes of a gradient


@dataclass(frozen=True)
class Convolution:
    """What `torch.nn.Conv1d` and `Conv2d` compute, event-driven: always, or ("auto") where the density that is found
    makes it cheaper.

    Sums are then over what is active alone, in its order, so they may differ from torch's by rounding.
    """

    sparse: Literal[True, "auto"]

    def __call__(self, layer: nn.Conv1d | nn.Conv2d, x: Tensor) -> Tensor:
        try:
            made = _event_driven(layer, x, self.sparse)
        except BackendUnavailable:  # of which the loops have warned
            made = None
        return layer(x) if made is None else made  # type: ignore[no-any-return]


def _event_driven(layer: nn.Conv1d | nn.Conv2d, x: Tensor, sparse: Literal[True, "auto"]) -> Tensor | None:
    """None where torch's own is cheaper, or ours is not for it."""
    weight, bias = weight_and_bias(layer)
    shape = shape_of(layer, x.shape) if takes(x, weight, bias) else None
    events = None if shape is None else events_worth_it(x, weight, shape, sparse)
    if shape is None or events is None:
        return None
    flat = weight.ndim == 3  # of one dimension: an image one pixel high
    if flat:
        x, weight = x.unsqueeze(-2), weight.unsqueeze(-2)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias)):
        made: Tensor = _Convolution.apply(x, weight, bias, events, shape)  # type: ignore[no-untyped-call]
    else:
        made = convolve(events, weight, bias, shape)
    return made.squeeze(-2) if flat else made


def events_worth_it(
    x: Tensor, weight: Tensor, shape: Shape, sparse: Sparse, known: Spikes | None = None
) -> Events | None:
    """The events in each row of pixels, `known` already or found now; None where they are too many to be cheaper than a
    dense convolution, or it is too small for a look."""
    if sparse == "auto" and shape.multiplications < WORTH_A_LOOK:
        return None
    learns = torch.is_grad_enabled() and weight.requires_grad
    most = x.numel() if sparse is True else most_events(shape, learns)
    if known is not None:
        return known.in_rows_of(x.shape[-1]) if known.count <= most else None
    return find_events(x.detach().reshape(-1, x.shape[-1]).contiguous(), most)


def shape_of(layer: nn.Conv1d | nn.Conv2d, sizes: Sequence[int]) -> Shape | None:
    """All sizes of a convolution of an input of these sizes; None of what torch refuses or pads in its own way."""
    weight = layer.weight
    rank = weight.ndim - 2
    channels = weight.shape[1] * layer.groups
    if layer.padding_mode != "zeros" or len(sizes) != rank + 2 or sizes[1] != channels or not prod(sizes):
        return None
    stride, dilation = tuple(layer.stride), tuple(layer.dilation)
    size, kernel = tuple(sizes[2:]), tuple(weight.shape[2:])
    around = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]  # the border that keeps the size
    if layer.padding == "same":
        padding = tuple(border // 2 for border in around)
        out = size
    else:
        padding = (0,) * rank if isinstance(layer.padding, str) else tuple(layer.padding)
        out = tuple((n + 2 * p - a - 1) // s + 1 for n, p, a, s in zip(size, padding, around, stride, strict=True))
    if min(out) < 1 or min(kernel) < 1 or weight.shape[0] % layer.groups or not weight.numel():
        return None
    return Shape(
        samples=sizes[0],
        groups=layer.groups,
        channels=weight.shape[1],
        outputs=weight.shape[0] // layer.groups,
        size=_pair(size, 1),
        out=_pair(out, 1),
        kernel=_pair(kernel, 1),
        stride=_pair(stride, 1),
        padding=_pair(padding, 0),
        dilation=_pair(dilation, 1),
    )


def _pair(numbers: tuple[int, ...], first: int) -> tuple[int, int]:
    """Of an image's height and width; an image of one dimension has only a width."""
    height, width = numbers if len(numbers) == 2 else (first, *numbers)
    return height, width


class _Convolution(torch.autograd.Function):
    """Keeps the events, not the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, events: Events, shape: Shape) -> Tensor:
        ctx.save_for_backward(weight, events.begin, events.index, events.value)
        ctx.inputs, ctx.shape = events.inputs, shape
        return convolve(events, weight, bias, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        refuse_a_graph()
        weight, begin, index, value = ctx.saved_tensors
        events = Events(begin, index, value, ctx.inputs)
        needs = ctx.needs_input_grad[:3]
        return *convolution_gradients(grad.contiguous(), weight, events, ctx.shape, needs), None, None


def convolution_gradients(
    grad: Tensor, weight: Tensor, events: Events, shape: Shape, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of a convolution's input, weight and bias, as far as they are needed: from its outputs' gradient and the events
    that entered it."""
    of_x, of_weight, of_bias = needs
    return (
        _input_gradient(grad, weight, shape) if of_x else None,
        patches.weight_gradient(events, grad, shape) if of_weight else None,
        grad.sum((0, 2, 3)) if of_bias else None,
    )


def _input_gradient(grad: Tensor, weight: Tensor, shape: Shape) -> Tensor:
    """torch's own, of an input as large as padding on both sides alike makes it, and in pieces: of all samples at once,
    it would ask the system for more memory than it keeps, which takes longer than the arithmetic."""
    (height, width), out, kernel = shape.size, shape.out, shape.kernel
    seen = [
        (o - 1) * s + d * (k - 1) + 1 - 2 * p
        for o, s, d, k, p in zip(out, shape.stride, shape.dilation, kernel, shape.padding, strict=True)
    ]
    sizes = [max(pair) for pair in zip(seen, shape.size, strict=True)]
    channels = shape.groups * shape.channels
    gradient = empty((shape.samples, channels, *sizes), grad.dtype)
    piece = max(1, _PIECE // (prod(shape.sizes[1:]) * grad.element_size()))
    for some, of_some in zip(gradient.split(piece), grad.split(piece), strict=True):  # `some` gives its sizes
        some.copy_(
            torch.ops.aten.convolution_backward(
                of_some, some, weight, None, shape.stride, shape.padding, shape.dilation, False, (0, 0), shape.groups,
                (True, False, False),
            )[0]
        )  # fmt: skip
    return gradient[..., :height, :width]
