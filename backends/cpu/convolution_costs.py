"""What convolutions cost on this machine, event-driven and dense: measured once, and kept beside the kernels."""

from dataclasses import asdict, dataclass
from functools import cache
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from norse.backends.cpu.costs import kept, nanoseconds
from norse.backends.cpu.events import find_events
from norse.backends.cpu.patches import Shape, convolve, weight_gradient

_BLOCK = 32  # outputs that an event adds to at a time
_BYTES = 4
_LARGE = 1 << 25  # bytes; the C library's limit, above which it gives freed memory back to the system


@dataclass(frozen=True)
class Pass:
    """Forward, or the weight gradient; in nanoseconds: of an event for a block of the outputs at one place that it
    reaches, and of each output beside that; of a dense multiplication, and of each output beside these."""

    event: float
    output: float
    dense: float
    dense_output: float

    def most_events(self, shape: Shape) -> tuple[float, float]:
        """What dense costs more than an event-driven pass without events, and what an event costs."""
        dense = shape.multiplications * self.dense + prod(shape.sizes) * (self.dense_output - self.output)
        return dense, -(-shape.outputs // _BLOCK) * shape.reached * self.event


@dataclass(frozen=True)
class Costs:
    """`fresh`: nanoseconds to get a value's memory from the system, which is asked for all of a large tensor's."""

    forward: Pass
    weights: Pass
    fresh: float

    def most_events(self, shape: Shape, *, learns: bool) -> int:
        """The number of events from which on dense convolutions are cheaper. `learns`: the weight gets a gradient."""
        passes = [p.most_events(shape) for p in (self.forward, self.weights)[: 2 if learns else 1]]
        saved = sum(dense for dense, _ in passes)
        inputs, outputs = shape.samples * shape.groups * shape.channels * prod(shape.size), prod(shape.sizes)
        for outputs_held in (2, 1)[: len(passes)]:  # torch's own copies: it reads and writes in another order
            values = inputs + outputs_held * outputs
            saved += values * self.fresh * (values * _BYTES > _LARGE)
        return int(saved / sum(each for _, each in passes))


@cache
def costs() -> Costs:
    found = kept("convolution-costs", lambda: asdict(_measured()))
    return Costs(Pass(**found["forward"]), Pass(**found["weights"]), found["fresh"])


def _measured() -> Costs:
    """Two dense convolutions, with few and with many inputs for an output, tell a multiplication from an output."""
    few, many = (_Measured(channels) for channels in (2, 32))
    warm = torch.empty(_LARGE // _BYTES)
    fresh = nanoseconds(lambda: torch.empty_like(warm).fill_(1)) - nanoseconds(lambda: warm.fill_(1))
    return Costs(_fit(few.forward, many.forward), _fit(few.weights, many.weights), max(fresh, 0.0) / warm.numel())


@dataclass(frozen=True)
class _Times:
    shape: Shape
    events: int
    silent: float
    active: float
    dense: float


class _Measured:
    """A convolution's passes, each event-driven with and without events, and dense."""

    def __init__(self, channels: int) -> None:
        shape = Shape(16, 1, channels, _BLOCK, (32, 32), (30, 30), (3, 3), (1, 1), (0, 0), (1, 1))
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(shape.samples, channels, *shape.size, generator=generator)
        x = (noise < 0.1).float()
        weight = torch.randn(_BLOCK, channels, *shape.kernel, generator=generator)
        grad = torch.randn(shape.sizes, generator=generator)
        silent, active = (find_events(rows.reshape(-1, 32), x.numel()) for rows in (torch.zeros_like(x), x))
        assert silent is not None
        assert active is not None
        count = len(active.index)
        self.forward = _Times(
            shape,
            count,
            nanoseconds(lambda: convolve(silent, weight, None, shape)),
            nanoseconds(lambda: convolve(active, weight, None, shape)),
            nanoseconds(lambda: functional.conv2d(x, weight)),
        )
        self.weights = _Times(
            shape,
            count,
            nanoseconds(lambda: weight_gradient(silent, grad, shape)),
            nanoseconds(lambda: weight_gradient(active, grad, shape)),
            nanoseconds(lambda: _dense_weight_gradient(x, weight, grad)),
        )


def _dense_weight_gradient(x: Tensor, weight: Tensor, grad: Tensor) -> None:
    torch.ops.aten.convolution_backward(
        grad, x, weight, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1, (False, True, False)
    )


def _fit(few: _Times, many: _Times) -> Pass:
    outputs = prod(many.shape.sizes)
    dense = max(0.0, (many.dense - few.dense) / (many.shape.multiplications - few.shape.multiplications))
    return Pass(
        event=max(many.active - many.silent, 1.0) / (many.events * many.shape.reached),
        output=many.silent / outputs,
        dense=dense,
        dense_output=max(0.0, few.dense - few.shape.multiplications * dense) / outputs,
    )
