"""Modules such as users write around neurons and layers: skips, branches, named results, and loops over time."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse.torch as snn


class Scaled(nn.Module):
    """Arithmetic of a user's, with a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.5 * x) * self.gain + 0.1


class Skip(nn.Module):
    """An inner chain, and its input around it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        z, state = self.inner(x, state)
        return 0.5 * x + z, state


class Branches(nn.Module):
    """Two chains on one input, added or concatenated."""

    def __init__(self, left: nn.Module, right: nn.Module, merge: nn.Module | None) -> None:
        super().__init__()
        self.left, self.right, self.merge = left, right, merge

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        left, right = (None, None) if state is None else state
        a, left = self.left(x, left)
        b, right = self.right(x, right)
        out = a - 0.7 * b if self.merge is None else self.merge(torch.cat([a, b], dim=-1))
        return out, (left, right)


class Named(nn.Module):
    """A model that returns a dict: outputs, states, and a sum over time for a loss."""

    def __init__(self, chain: nn.Module) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, x: Tensor, state: Any = None) -> dict[str, Any]:
        out, states = self.chain(x, state)
        last = out[-1] if isinstance(out, list) else out
        return {"out": out, "states": states, "loss": 0.5 * last.square().mean() + last.sum(0).abs().mean()}


class UserLoop(nn.Module):
    """`for t in range(len(x))`, in one of the ways in which people write it; `how` is a `random_networks.Loop`."""

    def __init__(self, cell: nn.Module, how: Any, sample: tuple[int, ...], out: tuple[int, ...]) -> None:
        super().__init__()
        self.cell, self.how = cell, how
        self.back = nn.Linear(out[-1], sample[-1]) if how.feedback == "output" and out == sample else None

    def forward(self, x: Tensor, y: Tensor | None = None, state: Any = None) -> Any:
        how = self.how
        outputs: list[Tensor] = []
        recorded: list[Tensor] = []
        total: Any = 0
        largest: Tensor | None = None
        trace: Any = 0 if how.feedback != "trace" else torch.zeros_like(self._tick(x, 0))
        previous = torch.zeros_like(self._tick(x, 0))
        fed_back = torch.zeros_like(self._tick(x, 0))
        if state is None and isinstance(self.cell, snn.RecurrentSequential):
            state = snn.RecurrentSequentialState(fed_back)
        for t, tick in self._ticks(x):
            now = tick
            if y is not None:
                now = now + self._tick(y, t)
            if how.feedback == "trace":
                trace = 0.8 * trace + now
                now = trace
            elif how.feedback == "previous":
                now, previous = now - 0.3 * previous, now
            elif self.back is not None:
                now = now + self.back(fed_back)
            z, state = self.cell(now, state)
            if how.states == "detach":
                state = _mapped(state, lambda leaf: leaf.detach())
            elif how.states == "decay":
                state = _mapped(state, lambda leaf: 0.9 * leaf)
            fed_back = z
            outputs.append(z)
            total = total + z
            largest = z if largest is None else torch.maximum(largest, z)
            if "states" in how.keeps:
                recorded.append(_first(state))
        kept = {
            "all": lambda: torch.stack(outputs, dim=1 if how.batch_first else 0),
            "sum": lambda: total,
            "max": lambda: largest,
            "mean": lambda: torch.stack(outputs).mean(0),
            "last": lambda: outputs[-1],
            "list": lambda: outputs,
            "first half": lambda: torch.stack(outputs[: (len(outputs) + 1) // 2]),
            "states": lambda: torch.stack(recorded),
        }
        results = {name: kept[name]() for name in how.keeps}
        if how.outputs == "dict":
            return {**results, "states": state} if "states" not in results else {**results, "end": state}
        if how.outputs == "alone" and len(results) == 1:
            return next(iter(results.values()))
        return (*results.values(), state)

    def _tick(self, x: Tensor, t: int) -> Tensor:
        return x[:, t] if self.how.batch_first else x[t]

    def _ticks(self, x: Tensor) -> Any:
        if self.how.batch_first:
            return ((t, x[:, t]) for t in range(x.shape[1]))
        if self.how.ticks == "index":
            return ((t, x[t]) for t in range(x.shape[0]))
        if self.how.ticks == "unbind":
            return enumerate(x.unbind(0))
        if self.how.ticks == "iterate":
            return zip(range(len(x)), x, strict=True)
        return enumerate(x)


def _mapped(state: Any, change: Any) -> Any:
    return pytree.tree_map(lambda leaf: change(leaf) if isinstance(leaf, Tensor) else leaf, state)


def _first(state: Any) -> Tensor:
    return next(leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor))
