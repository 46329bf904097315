"""Random networks of convolutions, pooling, shapes and concatenation between neurons, with skips and shared layers.

Weights are multiples of 1/64 and inputs few, so that sums are exact and spikes can be compared with eager's.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import norse.torch as snn

from .fused import exact

Shape = tuple[int, ...]


@dataclass
class Value:
    """What an operation of a network makes: the sizes of one sample, and whether sums of it are exact: no weights, but
    those of neurons that made 0 and 1 of it, are in it."""

    shape: Shape
    exact: bool


@dataclass(frozen=True)
class Operation:
    name: str
    reads: tuple[int, ...]
    run: Callable[..., Any]
    state: int | None = None  # of a neuron


class Network(nn.Module):
    """A network as a list of operations. `over_time`: it has the loop over time itself, else it is for one tick."""

    def __init__(self, operations: list[Operation], layers: nn.ModuleList, outputs: list[int], loop: bool) -> None:
        super().__init__()
        self.operations, self.layers, self.outputs, self.loop = operations, layers, outputs, loop
        self.states = sum(operation.state is not None for operation in operations)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        states = [None] * self.states if state is None else list(state)
        if not self.loop:
            made, states = self._tick(x, states)
            return made, tuple(states)
        ticks = []
        for now in x:
            made, states = self._tick(now, states)
            ticks.append(made)
        return torch.stack(ticks), tuple(states)

    def _tick(self, x: Tensor, states: list[Any]) -> tuple[Tensor, list[Any]]:
        values, states = [x], list(states)
        for operation in self.operations:
            reads = [values[k] for k in operation.reads]
            if operation.state is None:
                values.append(operation.run(self.layers, *reads))
            else:
                made, states[operation.state] = operation.run(self.layers, *reads, states[operation.state])
                values.append(made)
        return torch.cat([values[k].flatten(1) for k in self.outputs], 1), states

    def extra_repr(self) -> str:
        return "\n".join(f"{k}: {o.name} of {o.reads}" for k, o in enumerate(self.operations, 1)) + f"; {self.outputs}"


@dataclass
class _Drawn:
    choose: random.Random
    dtype: torch.dtype
    values: list[Value]
    operations: list[Operation] = field(default_factory=list)
    layers: nn.ModuleList = field(default_factory=nn.ModuleList)
    states: int = 0

    def add(self, name: str, reads: tuple[int, ...], run: Callable[..., Any], shape: Shape, exact: bool) -> int:
        self.operations.append(Operation(name, reads, run))
        self.values.append(Value(shape, exact))
        return len(self.values) - 1

    def layer(self, module: nn.Module) -> int:
        self.layers.append(module.to(self.dtype))
        return len(self.layers) - 1

    def neurons(self, read: int) -> int:
        kind = self.choose.choice([snn.LIFCell, snn.LIFCell, snn.LIFCell, snn.LIFBoxCell])
        shared = [k for k, layer in enumerate(self.layers) if type(layer) is kind]
        place = self.choose.choice(shared) if shared and self.choose.random() < 0.3 else self.layer(kind())
        made = self.add(
            kind.__name__, (read,), lambda layers, x, state: layers[place](x, state), self.values[read].shape, True
        )
        self.operations[-1] = Operation(kind.__name__, (read,), self.operations[-1].run, self.states)
        self.states += 1
        return made

    def through(self, module: nn.Module, read: int, exact: bool | None = None) -> int:
        place, shape = self.layer(module), self.values[read].shape
        exact = self.values[read].exact if exact is None else exact
        with torch.no_grad():
            out = module(torch.zeros(2, *shape, dtype=self.dtype)).shape[1:]
        return self.add(repr(module), (read,), lambda layers, x: layers[place](x), tuple(out), exact)

    def synapse(self, read: int) -> int:
        """A layer with weights, of whatever shape its input has."""
        choose, shape = self.choose, self.values[read].shape
        shared = [k for k, x in enumerate(self.layers) if isinstance(x, nn.Conv2d) and x.in_channels == shape[0]]
        if len(shape) == 3 and shared and choose.random() < 0.2:
            place = choose.choice(shared)
            layer = self.layers[place]
            try:
                with torch.no_grad():
                    out = layer(torch.zeros(1, *shape, dtype=self.dtype)).shape[1:]
            except RuntimeError:
                pass
            else:
                return self.add(f"again {layer}", (read,), lambda layers, x: layers[place](x), tuple(out), False)
        if len(shape) == 3 and choose.random() < 0.85:
            channels, height, width = shape
            groups = choose.choice([g for g in (1, 1, 2, channels) if channels % g == 0])
            outputs = groups * choose.choice([1, 2, 5] if groups > 2 else [1, 3, 9, 17])
            kernel = (choose.choice([1, 2, 3, 3]), choose.choice([1, 2, 3, 3, 5]))
            kernel = (min(kernel[0], height), min(kernel[1], width))
            padding: Any = choose.choice([0, 1, "valid", "same"])
            stride = 1 if isinstance(padding, str) else choose.choice([1, 1, 2, (2, 3), 4])
            dilation = choose.choice([1, 1, 2]) if 2 * max(kernel) - 1 <= min(height, width) else 1
            layer = nn.Conv2d(
                channels, outputs, kernel, stride, padding, dilation, groups, bias=choose.random() < 0.5,
                padding_mode=choose.choice(["zeros"] * 9 + ["circular"]),
            )  # fmt: skip
            if choose.random() < 0.1:
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
            return self.through(exact(layer, layer.weight[0].numel()), read, exact=False)
        if len(shape) > 1:
            read = self.through(nn.Flatten(), read)
        size = self.values[read].shape[0]
        return self.through(exact(nn.Linear(size, choose.choice([1, 12, 70])), size), read, exact=False)

    def between(self, read: int) -> int:
        """Pooling, or another shape."""
        choose, shape = self.choose, self.values[read].shape
        if len(shape) == 1:
            factor = choose.choice([k for k in (1, 2, 3, 4) if shape[0] % k == 0])
            return self.through(nn.Unflatten(1, (factor, 1, shape[0] // factor)), read)
        _, height, width = shape
        kind = choose.choice(["average", "average", "largest", "largest", "overlap", "identity", "relu", "torch's"])
        if kind == "identity":
            return self.through(nn.Identity(), read)
        if kind == "relu":
            return self.through(nn.ReLU(), read)
        high, wide = min(height, choose.choice([1, 2, 2, 3, 4])), min(width, choose.choice([1, 2, 2, 4]))
        if kind == "average":
            return self.through(nn.AvgPool2d((1 << high // 2, 1 << wide // 2) if high * wide > 1 else 1), read)
        if kind == "torch's":
            module: nn.Module = choose.choice(
                [nn.MaxPool2d((high, wide), ceil_mode=True), nn.AvgPool2d(2, 1, 1), nn.MaxPool2d(1, dilation=2)]
            )
            return self.through(module, read)
        padding = (choose.randrange(high // 2 + 1), choose.randrange(wide // 2 + 1))
        stride = choose.choice([1, 2, (1, 3)]) if kind == "overlap" else None
        return self.through(nn.MaxPool2d((high, wide), stride, padding), read)

    def join(self, read: int) -> int:
        """With what it can be joined with, along some axis; or their sum."""
        choose, shape = self.choose, self.values[read].shape
        pairs = [
            (other, axis)
            for other, value in enumerate(self.values)
            for axis in range(len(shape))
            if len(value.shape) == len(shape)
            and value.exact
            and all(a == b for k, (a, b) in enumerate(zip(shape, value.shape, strict=True)) if k != axis)
        ]
        other, axis = choose.choice(pairs)
        if self.values[other].shape == shape and choose.random() < 0.2:
            return self.add("sum", (read, other), lambda layers, x, y: x + y, shape, True)
        reads = choose.choice([(read, other), (other, read), (read, other, read)])
        size = sum(self.values[k].shape[axis] for k in reads)
        dim = choose.choice([axis + 1, axis - len(shape)])
        return self.add(
            f"cat {dim}", reads, lambda layers, *x: torch.cat(x, dim), (*shape[:axis], size, *shape[axis + 1 :]), True
        )


def draw(seed: int) -> tuple[nn.Module, Tensor]:
    """A network and an input for it, over time."""
    choose = random.Random(seed)
    torch.manual_seed(seed)
    dtype = choose.choice([torch.float32, torch.float32, torch.float64])
    sizes = (choose.choice([1, 2, 3]), choose.choice([1, 5, 8, 13]), choose.choice([3, 8, 12, 70]))
    drawn = _Drawn(choose, dtype, [Value(sizes, True)])
    last = drawn.neurons(drawn.synapse(0))
    for _ in range(choose.randint(1, 4)):
        start = last if choose.random() < 0.7 else choose.choice([k for k, x in enumerate(drawn.values) if x.exact])
        for _ in range(choose.choice([0, 1, 1, 2])):
            start = drawn.between(start)
            if choose.random() < 0.4:
                start = drawn.join(start)
        last = drawn.neurons(drawn.synapse(start))
    outputs = [last] if choose.random() < 0.7 else [last, choose.choice(range(1, len(drawn.values)))]
    model: nn.Module = Network(drawn.operations, drawn.layers, outputs, loop := choose.random() < 0.5)
    ticks, batch = choose.choice([1, 6, 20]), choose.choice([1, 2, 5])
    x = (torch.rand(ticks, batch, *sizes) < choose.choice([0.1, 0.4])).to(dtype)
    if choose.random() < 0.1:
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (ticks, batch))
    for parameter in model.parameters():
        parameter.requires_grad_(choose.random() < 0.9)
    return (model if loop else snn.Lift(model)), x
