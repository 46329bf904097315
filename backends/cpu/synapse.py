"""Event-driven linear layers: of rows that are mostly zero, only what is not is multiplied, forward and backward.

Which way is faster is decided at every call by the density that is found, with the costs of this machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from norse.backends.cpu.build import NUMBERS
from norse.backends.cpu.costs import costs
from norse.backends.cpu.events import Events, Spikes, count_bits, find_events, gather, outer, product_where
from norse.backends.cpu.memory import empty
from norse.backends.operators import is_traced, refuse_a_graph
from norse.compiler.backend import BackendUnavailable
from norse.compiler.synapses import counting
from norse.torch.module.quantized import weight_and_bias

Sparse = bool | Literal["auto"]

WORTH_A_LOOK = 1 << 18  # multiplications; of fewer, torch is done before we have looked for zeros
_PLAIN = (Tensor, torch.nn.Parameter)


@dataclass(frozen=True)
class Linear:
    """`torch.nn.functional.linear`, event-driven: always, or ("auto") where the density that is found makes it cheaper.

    Sums are then over what is active alone, in its order, so they may differ from torch's by rounding.
    """

    sparse: Literal[True, "auto"]

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        try:
            made = _event_driven(x, weight, bias, self.sparse) if _fits(x, weight, bias) else None
        except BackendUnavailable:  # of which the loops have warned
            made = None
        return functional.linear(x, weight, bias) if made is None else made

    def layer(self, layer: nn.Linear, x: Tensor) -> Tensor:
        return self(x, *weight_and_bias(layer))


def _event_driven(x: Tensor, weight: Tensor, bias: Tensor | None, sparse: Sparse) -> Tensor | None:
    """None where torch's own is cheaper."""
    events = events_worth_it(x, weight, sparse)
    if events is None:
        return None
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias)):
        return _Linear.apply(x, weight, bias, events)  # type: ignore[no-any-return, no-untyped-call]
    return gather(events, weight, bias).reshape(*x.shape[:-1], weight.shape[0])


def events_worth_it(x: Tensor, weight: Tensor, sparse: Sparse, known: Spikes | None = None) -> Events | None:
    """The events that enter a linear layer, `known` already or found now; None where they are too many to be cheaper
    than a dense product, or the layer is too small for a look."""
    neurons, inputs = weight.shape
    count = x.numel() // inputs
    if sparse == "auto" and x.numel() * neurons < WORTH_A_LOOK:
        return None
    learns = torch.is_grad_enabled() and weight.requires_grad
    most = x.numel() if sparse is True else costs().most_events(count, inputs, neurons, learns=learns)
    if known is not None:
        return known.in_rows_of(inputs) if known.count <= most else None
    return find_events(x.detach().reshape(-1, inputs).contiguous(), most)


def weight_gradient(gradient: Tensor, activity: Tensor) -> Tensor:
    """dW[n, k] = Σ over rows r of gradient[r, n] activity[r, k], of what is active alone where that is cheaper."""
    rows, neurons = gradient.shape
    inputs = activity.shape[1]
    if gradient.dtype in NUMBERS and activity.dtype == gradient.dtype and activity.numel() * neurons >= WORTH_A_LOOK:
        events = find_events(
            activity.contiguous(), costs().most_events(rows, inputs, neurons, forward=False, learns=True)
        )
        if events is not None:
            return outer(events, gradient)
    return gradient.t() @ activity


def takes(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> bool:
    """Whether native synapses may see these tensors: plain ones of one kind, on which torch doesn't do more than it
    says."""
    dtype, tensors = x.dtype, [t for t in (x, weight, bias) if t is not None]
    return (
        dtype in NUMBERS
        and all([type(t) in _PLAIN and t.is_cpu and t.layout is torch.strided and t.dtype is dtype for t in tensors])
        and not is_traced(tensors)
        and not counting()
        and not torch.is_autocast_enabled("cpu")
    )


def _fits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (
        takes(x, weight, bias)
        and x.ndim >= 2
        and weight.ndim == 2
        and x.numel() > 0
        and weight.numel() > 0
        and (bias is None or bias.shape == weight.shape[:1])
        and x.shape[-1] == weight.shape[1]
    )


class _Linear(torch.autograd.Function):
    """Keeps the events, not the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, events: Events) -> Tensor:
        ctx.save_for_backward(weight, events.begin, events.index, events.value)
        ctx.inputs = events.inputs
        return gather(events, weight, bias).reshape(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:  # type: ignore[override]
        refuse_a_graph()
        weight, begin, index, value = ctx.saved_tensors
        events, rows = Events(begin, index, value, ctx.inputs), grad.reshape(-1, grad.shape[-1])
        shape = (*grad.shape[:-1], ctx.inputs)
        return (*layer_gradients(rows, weight, events, shape, ctx.needs_input_grad[:3]), None)


def layer_gradients(
    rows: Tensor,
    weight: Tensor,
    events: Events,
    shape: Sequence[int],
    needs: Sequence[bool],
    reach: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of a linear layer's input, in its `shape`, weight and bias, as far as they are needed: from its outputs' gradient
    [rows, neurons] and the events that entered it. `reach`: bits of where the input's gradient will be read at all."""
    of_x, of_weight, of_bias = needs
    return (
        _input_gradient(rows, weight, reach).view(tuple(shape)) if of_x else None,
        outer(events, rows) if of_weight else None,
        rows.sum(0) if of_bias else None,
    )


def _input_gradient(rows: Tensor, weight: Tensor, reach: Tensor | None) -> Tensor:
    """g W, where it is read at least: of a few values one by one, of many as a matrix product."""
    if reach is not None:
        wanted = count_bits(reach)
        if wanted <= costs().most_wanted(rows.shape[0] * weight.shape[1]):
            return product_where(reach, rows, weight)
    gradient = empty((rows.shape[0], weight.shape[1]), rows.dtype)
    torch.mm(rows, weight, out=gradient)
    return gradient
