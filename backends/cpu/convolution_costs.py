"""What convolutions cost on this machine, event-driven and dense: measured once for each kind, and kept.

torch's time for an output depends on channels, kernel and stride in ways that no formula follows (one of its
algorithms takes over from another), so what is compared is what each kind takes, of a few samples.
"""

from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from norse.backends.cpu.costs import kept, nanoseconds
from norse.backends.cpu.events import Events, find_events
from norse.backends.cpu.patches import Shape, convolve, weight_gradient

_BYTES = 4
_LARGE = 1 << 25  # bytes; the C library's limit, above which it gives freed memory back to the system
_WORK = 1 << 26  # multiplications that are measured at a time: some milliseconds
_SAMPLES = 64  # of fewer, the processor learns by heart where the events are, and an event costs a third less
_STEP = 16  # images' sizes are measured in steps of it
_DENSITY = 0.1  # about where the choice turns


@dataclass(frozen=True)
class Pass:
    """Forward, or the weight gradient; in nanoseconds: of an event, of an output beside that, of an output in torch.

    Forward, events are looked for first, which is part of their cost.
    """

    event: float
    output: float
    dense: float


@dataclass(frozen=True)
class Costs:
    """Of a kind of convolution."""

    forward: Pass
    weights: Pass

    def most_events(self, shape: Shape, *, learns: bool) -> int:
        """The number of events from which on dense convolutions are cheaper. `learns`: the weight gets a gradient."""
        passes = (self.forward, self.weights)[: 2 if learns else 1]
        outputs = prod(shape.sizes)
        saved = sum(each.dense - each.output for each in passes) * outputs
        inputs = shape.samples * shape.groups * shape.channels * prod(shape.size)
        for held in (2, 1)[: len(passes)]:  # torch's own copies of the output: it reads and writes in another order
            large = sum(count * values for count, values in ((1, inputs), (held, outputs)) if values * _BYTES >= _LARGE)
            saved += large * fresh() if large else 0.0
        return int(saved / sum(each.event for each in passes))


@cache
def fresh() -> float:
    """Nanoseconds to get a value's memory from the system, which is asked for all of a large tensor's."""
    return float(kept("fresh-memory", _measured_memory)["value"])


def _measured_memory() -> dict[str, float]:
    warm = torch.empty(_LARGE // _BYTES)
    taken = nanoseconds(lambda: torch.empty_like(warm).fill_(1)) - nanoseconds(lambda: warm.fill_(1))
    return {"value": max(taken, 0.0) / warm.numel()}


@lru_cache(256)
def most_events(shape: Shape, learns: bool) -> int:
    """Of this convolution, the number of events from which on torch's is cheaper."""
    return costs(shape).most_events(shape, learns=learns)


def costs(shape: Shape) -> Costs:
    """Of convolutions like this one: with as many channels and about as large."""
    return _costs_of(_like(shape))


@cache
def _costs_of(shape: Shape) -> Costs:
    # The C library keeps memory as large as what was freed before. So it does from here on, when torch is measured as
    # when it is used: else torch takes three times as long, or not, by what the process did before.
    torch.empty(_LARGE // _BYTES - 4096)
    found = kept(f"convolution-{'-'.join(map(str, shape.numbers))}", lambda: asdict(_measured(shape)))
    return Costs(Pass(**found["forward"]), Pass(**found["weights"]))


def _like(shape: Shape) -> Shape:
    """The shape that is measured for this one: few samples, of a rounded size."""
    size = tuple(n if n < _STEP else -(-n // _STEP) * _STEP for n in shape.size)
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(size, shape.padding, shape.dilation, shape.kernel, shape.stride, strict=True)
    )
    if min(out) < 1:  # of one that is padded on one side
        size, out = shape.size, shape.out
    rounded = replace(shape, samples=1, size=(size[0], size[1]), out=(out[0], out[1]))
    return replace(rounded, samples=min(_SAMPLES, max(1, _WORK // rounded.multiplications)))


def _measured(shape: Shape) -> Costs:
    channels, outputs = shape.groups * shape.channels, shape.groups * shape.outputs
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(shape.samples, channels, *shape.size, generator=generator) < _DENSITY).float()
    weight = torch.randn(outputs, shape.channels, *shape.kernel, generator=generator)
    zeros = torch.zeros_like(x)
    silent, active = _events(zeros), _events(x)
    options = (None, shape.stride, shape.padding, shape.dilation, shape.groups)
    grad = torch.randn(functional.conv2d(x, weight, *options).shape, generator=generator)
    shape = replace(shape, out=(grad.shape[2], grad.shape[3]))

    def dense_weight_gradient() -> tuple[Tensor, ...]:
        return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
            grad, x, weight, None, shape.stride, shape.padding, shape.dilation, False, (0, 0), shape.groups,
            (False, True, False),
        )  # fmt: skip

    count = max(1, active.index.numel())
    forward = (
        nanoseconds(lambda: convolve(_events(zeros), weight, None, shape)),
        nanoseconds(lambda: convolve(_events(x), weight, None, shape)),
        nanoseconds(lambda: functional.conv2d(x, weight, *options)),
    )
    weights = (
        nanoseconds(lambda: weight_gradient(silent, grad, shape)),
        nanoseconds(lambda: weight_gradient(active, grad, shape)),
        nanoseconds(dense_weight_gradient),
    )
    return Costs(_pass(*forward, count, grad.numel()), _pass(*weights, count, grad.numel()))


def _events(x: Tensor) -> Events:
    found = find_events(x.reshape(-1, x.shape[-1]), x.numel())
    assert found is not None
    return found


def _pass(silent: float, active: float, dense: float, events: int, outputs: int) -> Pass:
    return Pass(event=max(active - silent, 1.0) / events, output=silent / outputs, dense=dense / outputs)
