"""Steps of a schedule, run piece by piece of time, so that a backward keeps no more than a piece at once.

Forward keeps what enters the pieces and the state at the start of each. Backward takes the pieces from the last to the
first: it computes each again, with gradients, and differentiates it.
"""

import copy
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from norse.compiler.cut import Pieces
from norse.compiler.pieces import in_ranges
from norse.compiler.steps.fused_layer import CarryingStep
from norse.compiler.steps.stepped import Runs, SteppedStep
from norse.compiler.steps.torch_nodes import TorchStep

Key = str | tuple[str, str, str]  # a value, or what a layer holds: path, kind, name
Empty = Callable[[tuple[int, ...], Tensor], Tensor]

_HELD = ("_parameters", "_buffers")


class Values(dict[str, Any]):
    """The values of a call, which frees none that is `kept`: its steps run in another order than was planned."""

    kept: frozenset[str] = frozenset()

    def pop(self, name: str, default: Any = None) -> Any:
        return default if name in self.kept else super().pop(name, default)


def run_in_pieces(
    pieces: Pieces,
    values: Mapping[str, Any],
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    ticks: int,
    length: int,
    empty: Empty,
) -> dict[str, Tensor] | None:
    """What the steps make of `values`, in pieces of `length` ticks.

    None where there's nothing to be had: nothing asks for a gradient, or a tensor is none that can be cut.
    """
    layers = {path: (type(modules[path]), dict(vars(modules[path]))) for path in pieces.layers}
    tensors: dict[Key, Any] = {name: values[name] for name in (*pieces.moving, *pieces.fixed)}
    tensors.update({initial: values[initial] for initial, _ in pieces.registers})
    for path, (_, held) in layers.items():
        tensors.update({(path, kind, n): x for kind in _HELD for n, x in held[kind].items() if x is not None})
    made_up = {name for name in pieces.fallback if name in tensors and tensors[name].is_leaf}
    plain = all(type(x) in (Tensor, nn.Parameter) and x.layout == torch.strided for x in tensors.values())
    if not plain or not any(x.requires_grad for key, x in tensors.items() if key not in made_up):
        return None
    call = _Call(pieces, model, modules, layers, tuple(tensors), ticks, length, empty)
    results = _InPieces.apply(call, *tensors.values())  # type: ignore[no-untyped-call]
    return dict(zip((*pieces.outputs, *pieces.finals), results, strict=True))


@dataclass(frozen=True)
class _Call:
    """`layers` as they were when it was made; `keys` are what its tensors are."""

    pieces: Pieces
    model: nn.Module
    modules: Mapping[str, nn.Module]
    layers: Mapping[str, tuple[type, dict[str, Any]]]
    keys: tuple[Key, ...]
    ticks: int
    length: int
    empty: Empty

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return [(begin, min(begin + self.length, self.ticks)) for begin in range(0, self.ticks, self.length)]


class _Pass:
    """One way through the pieces: what they read, cut off from what made it, as leaves of each piece's own graph."""

    def __init__(self, call: _Call, tensors: Sequence[Tensor], wanted: Sequence[bool]) -> None:
        pieces = call.pieces
        self.call, self.pieces = call, pieces
        self.wanted = {key for key, want in zip(call.keys, wanted, strict=True) if want}
        given = dict(zip(call.keys, tensors, strict=True))
        self.starts = [given[initial] for initial, _ in pieces.registers]
        self._moving = {name: given[name].detach() for name in pieces.moving}
        self._fixed = {
            key: x.detach().requires_grad_(key in self.wanted)
            for key, x in given.items()
            if key not in self._moving and key not in {initial for initial, _ in pieces.registers}
        }
        modules = ChainMap({path: self._layer(path) for path in call.layers}, dict(call.modules))
        self._steps = [_with_layers(step, modules) for step in pieces.steps]

    def _layer(self, path: str) -> Any:
        """The layer as it was, with these parameters and buffers."""
        kind, attributes = self.call.layers[path]
        layer: Any = object.__new__(kind)
        vars(layer).update(attributes)
        for held in _HELD:
            vars(layer)[held] = {name: self._fixed.get((path, held, name)) for name in attributes[held]}
        return layer

    def run(
        self, states: Sequence[Tensor], wanted: Sequence[bool], begin: int, end: int
    ) -> tuple[list[Tensor], dict[Any, Tensor]]:
        """A piece: its outputs and final states, and the leaves that are to get a gradient, states by their places."""
        moving = {name: x[begin:end].requires_grad_(name in self.wanted) for name, x in self._moving.items()}
        states = [x.detach().requires_grad_(want) for x, want in zip(states, wanted, strict=True)]
        starts = {initial: x for (initial, _), x in zip(self.pieces.registers, states, strict=True)}
        values = Values({**{k: x for k, x in self._fixed.items() if isinstance(k, str)}, **moving, **starts})
        results = (*self.pieces.outputs, *(final for _, final in self.pieces.registers))
        values.kept = frozenset(results)
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_as_it_is, _as_it_is):  # not the caller's
            for step in in_ranges(self._steps, self.call.model) or self._steps:
                step.run(values)
        leaves: dict[Any, Tensor] = {**self._fixed, **moving, **dict(enumerate(states))}
        return [values[name] for name in results], {key: x for key, x in leaves.items() if x.requires_grad}


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _with_layers(step: Runs, modules: Mapping[str, nn.Module]) -> Runs:
    if isinstance(step, TorchStep):
        return step.with_modules(modules)
    if isinstance(step, CarryingStep):
        return replace(step, torch=step.torch.with_modules(modules))
    if isinstance(step, SteppedStep):
        stepped = copy.copy(step)
        stepped.parts = tuple(_with_layers(part, modules) for part in step.parts)
        return stepped
    return step


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The outputs over time and the final states that are read outside."""
        pieces = call.pieces
        count = len(pieces.outputs)
        through = _Pass(call, tensors, ctx.needs_input_grad[1:])
        states, ctx.wanted = through.starts, [[initial in through.wanted for initial, _ in pieces.registers]]
        outputs: list[Tensor] = []
        differentiable = [False] * count
        kept: list[Tensor] = []
        for begin, end in call.ranges:
            kept += states if begin else ()
            results, _ = through.run(states, ctx.wanted[-1], begin, end)
            if not outputs:
                outputs = [call.empty((call.ticks, *x.shape[1:]), x) for x in results[:count]]
            for whole, part in zip(outputs, results[:count], strict=True):
                whole[begin:end].copy_(part.detach())
            differentiable = [a or x.requires_grad for a, x in zip(differentiable, results[:count], strict=True)]
            states = [x.detach() for x in results[count:]]
            ctx.wanted.append([x.requires_grad for x in results[count:]])
            del results
        ctx.call, ctx.autocast = call, _autocast(tensors)
        ctx.save_for_backward(*tensors, *kept)
        ctx.set_materialize_grads(False)
        learns = dict(zip((final for _, final in pieces.registers), ctx.wanted.pop(), strict=True))
        final = dict(zip(learns, states, strict=True))
        returned = [*outputs, *(final[name] for name in pieces.finals)]
        differentiable += [learns[name] for name in pieces.finals]
        ctx.mark_non_differentiable(*(x for x, yes in zip(returned, differentiable, strict=True) if not yes))
        return tuple(returned)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                'what norse.compile runs in pieces of time (memory="low") can\'t be differentiated twice '
                '(create_graph=True): use memory="fast", or the eager model'
            )
        call: _Call = ctx.call
        pieces, saved = call.pieces, ctx.saved_tensors
        tensors, kept = saved[: len(call.keys)], saved[len(call.keys) :]
        through = _Pass(call, tensors, ctx.needs_input_grad[1:])
        starts = [through.starts, *_in_rows(kept, len(pieces.registers), len(call.ranges) - 1)]
        of_final = dict(zip(pieces.finals, grads[len(pieces.outputs) :], strict=True))
        of_states = [of_final.get(final) for _, final in pieces.registers]
        found = _Gradients(dict(zip(call.keys, tensors, strict=True)), frozenset(pieces.moving))
        with torch.autocast(**ctx.autocast):
            for (begin, end), states, wanted in reversed(list(zip(call.ranges, starts, ctx.wanted, strict=True))):
                results, leaves = through.run(states, wanted, begin, end)
                seeds = [None if g is None else g[begin:end] for g in grads[: len(pieces.outputs)]] + of_states
                pairs = [(x, g) for x, g in zip(results, seeds, strict=True) if g is not None and x.requires_grad]
                del results
                gradients: Sequence[Tensor | None] = [None] * len(leaves)
                if pairs and leaves:
                    made, given = zip(*pairs, strict=True)
                    gradients = torch.autograd.grad(made, list(leaves.values()), given, allow_unused=True)
                    del made
                del pairs
                by_key = dict(zip(leaves, gradients, strict=True))
                of_states = [by_key.pop(place, None) for place in range(len(states))]
                found.add(by_key, begin, end)
        found.add({initial: g for (initial, _), g in zip(pieces.registers, of_states, strict=True)}, 0, 0)
        return (None, *(found.of(key) for key in call.keys))


class _Gradients:
    """Gradients of what the pieces read: of what has time, of each piece beside the others; of all else, the sum."""

    def __init__(self, tensors: Mapping[Any, Tensor], moving: frozenset[str]) -> None:
        self._tensors, self._moving = tensors, moving
        self.sums: dict[Any, Tensor] = {}

    def of(self, key: Any) -> Tensor | None:
        """Zeros for None where a hook waits for a gradient: torch calls it with None, which eager never would."""
        if key in self.sums or not self._tensors[key]._backward_hooks:
            return self.sums.get(key)
        return torch.zeros_like(self._tensors[key])

    def add(self, gradients: Mapping[Any, Tensor | None], begin: int, end: int) -> None:
        for key, gradient in gradients.items():
            if gradient is None:
                continue
            if key in self._moving:
                if key not in self.sums:
                    self.sums[key] = self._tensors[key].new_zeros(self._tensors[key].shape)
                self.sums[key][begin:end].copy_(gradient)
            else:
                self.sums[key] = self.sums[key] + gradient if key in self.sums else gradient


def _in_rows(tensors: Sequence[Tensor], width: int, count: int) -> Iterator[Sequence[Tensor]]:
    return (tensors[row * width : (row + 1) * width] for row in range(count))


def _autocast(tensors: Sequence[Tensor]) -> dict[str, Any]:
    """What a backward enters so that autocast is as it is now."""
    device = tensors[0].device.type
    return {
        "device_type": device,
        "enabled": torch.is_autocast_enabled(device),
        "dtype": torch.get_autocast_dtype(device),
    }
