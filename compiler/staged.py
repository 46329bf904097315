"""Runs a schedule in the stages that time was cut into, those that keep too much for their backward in pieces."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from norse.compiler.checkpoint import Values, run_in_pieces
from norse.compiler.cut import Cut, Pieces
from norse.compiler.ir import BATCH, TIME, Type
from norse.compiler.memory import WORTH_A_LOOK, Memory, length_of_a_piece, watch_saved
from norse.compiler.pieces import in_ranges
from norse.compiler.steps.alignment import kept
from norse.compiler.steps.stepped import Runs

_MOST_KINDS = 64  # of calls: every batch size and number of ticks is one


@dataclass(frozen=True)
class Kind:
    """Of a kind of call (its shapes): what stands for values whose shape is asked for, its ticks, those of a piece."""

    stand_ins: Mapping[str, Tensor]
    ticks: int
    length: int


@dataclass
class Staged:
    """A schedule in stages, and what is known of the calls that ran; `last` are the kinds of the last one's stages."""

    make_cut: Callable[[], Cut]
    types: Mapping[str, Type]
    model: nn.Module
    modules: Mapping[str, nn.Module]
    memory: Memory
    last: list[Kind] = field(default_factory=list)
    _kinds: OrderedDict[Any, Kind] = field(default_factory=OrderedDict)

    @cached_property
    def cut(self) -> Cut:
        """Found when it is first asked for: most models are never short of memory."""
        return self.make_cut()

    def is_worth_it(self, inputs: Mapping[str, Any]) -> bool:
        """Whether a call may be run in pieces at all, and, if nobody asked for it, could keep more than a little."""
        self.last = []
        if not torch.is_grad_enabled() or is_traced(inputs.values()):
            return False
        return (self.memory.mode == "low" or self._roughly(inputs) >= WORTH_A_LOOK) and self.cut.somewhere

    @cached_property
    def _bytes(self) -> int:
        """Of all values of a tick of one sample, if each was kept."""
        types = (type_ for type_ in self.types.values() if type_.over_time)
        return sum(t.dtype.itemsize * math.prod(axis for axis in t.axes if isinstance(axis, int)) for t in types)

    def _roughly(self, inputs: Mapping[str, Any]) -> int:
        """An upper bound of what a backward keeps."""
        found = [(self.types[name].axes, x.shape) for name, x in inputs.items() if name in self.types]
        sizes = {axis: 1 for axis in (TIME, BATCH)}
        for axes, shape in found:
            for axis, size in zip(axes, shape, strict=False):
                if isinstance(axis, str):
                    sizes[axis] = max(sizes[axis], size)
        return math.prod(sizes.values()) * self._bytes

    def remark(self) -> str:
        """What became of the wish for less memory, in a line; nothing if there was none."""
        cut = [kind for kind in self.last if kind.length < kind.ticks]
        if cut:
            whole = f"; whole: {', '.join(self.cut.whole)}" if self.cut.whole else ""
            lengths = dict.fromkeys(f"{kind.ticks} ticks in pieces of {kind.length}" for kind in cut)
            return f"low: a backward computes {', '.join(lengths)} again{whole}"
        if self.memory.mode != "low":
            return ""
        reason = self.cut.reason or ("the last call had one piece at most, or no gradients")
        return f"low could not be had: {reason}"

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The values that the call's results are among."""
        values = Values(inputs)
        for place, stage in enumerate(self.cut.stages):
            if isinstance(stage, Pieces):
                self._run_pieces(stage, place, values)
            else:
                self._run(stage.steps, values, stage.kept)
            for name in [n for n in values if n not in stage.kept and n.removeprefix(kept("")) not in stage.kept]:
                del values[name]
        return values

    def _run(self, steps: Sequence[Runs], values: Values, kept: frozenset[str]) -> None:
        values.kept = kept
        for step in in_ranges(list(steps), self.model) or steps:
            step.run(values)

    def _run_pieces(self, stage: Pieces, place: int, values: Values) -> None:
        key = (place, *((n, x.shape, x.dtype, x.device, x.requires_grad) for n, x in values.items() if _is_tensor(x)))
        kind = self._kinds.pop(key, None)
        if kind is None:
            kind = self._look(stage, values)
        else:
            values.update(kind.stand_ins)
            self._run(stage.before.steps, values, stage.before.kept)
        self._kinds[key] = kind
        if len(self._kinds) > _MOST_KINDS:
            self._kinds.popitem(last=False)
        for name in kind.stand_ins:
            values.kept = frozenset()
            values.pop(name)
        made = None
        if kind.length < kind.ticks:
            made = run_in_pieces(stage, values, self.model, self.modules, kind.ticks, kind.length, self.memory.empty)
        if made is None:
            self._run(stage.steps, values, stage.kept)
            self.last.append(Kind(kind.stand_ins, kind.ticks, kind.ticks))
        else:
            values.update(made)
            self.last.append(kind)

    def _look(self, stage: Pieces, values: Values) -> Kind:
        """Runs what is before the pieces, and a tick of the pieces: it tells shapes, and what a backward would keep."""
        tick, stand_ins = Values(), dict[str, Tensor]()
        finals = [final for _, final in stage.registers]
        read_later = frozenset((*stage.stand_ins, *stage.outputs, *finals))
        with watch_saved() as saved:
            for is_before, step in stage.mixed:
                if not is_before:
                    tick.update(_first_tick(stage, values, tick))
                    self._run([step], tick, read_later)
                    continue
                stand_ins.update({name: _stand_in(tick[name]) for name in stage.stand_ins if name in tick})
                values.update(stand_ins)
                with saved.paused():
                    self._run([step], values, stage.before.kept)
        lengths = {values[name].shape[0] for name in stage.moving}
        if len(lengths) != 1:  # loops over parts of a sequence
            return Kind(stand_ins, 0, 0)
        (ticks,) = lengths
        known = [values[name] for name in (*stage.moving, *stage.fixed)]
        known += [x for path in stage.layers for x in self.modules[path].parameters()]
        a_tick = saved.bytes_without([*known, *(tick[name] for name in stage.outputs)])
        states = sum(tick[final].nbytes for final in finals)
        length = ticks
        if self.memory.is_low(ticks * a_tick, known[0].device):
            length = length_of_a_piece(ticks, a_tick, states, stage.exact)
        return Kind(stand_ins, ticks, length)


def _first_tick(stage: Pieces, values: Mapping[str, Any], tick: Mapping[str, Any]) -> dict[str, Any]:
    """What the pieces read from outside, as far as it's there: of what has time, the first tick."""
    starts = [initial for initial, _ in stage.registers]
    found = {name: values[name] for name in (*stage.fixed, *starts) if name in values and name not in tick}
    moving = (name for name in stage.moving if name in values and name not in tick)
    return found | {name: values[name][:1] for name in moving}


def _stand_in(x: Tensor) -> Tensor:
    """Zeros of the same shape, which take no memory."""
    return torch.zeros((), dtype=x.dtype, device=x.device).expand(x.shape)


def is_traced(values: Iterable[Any]) -> bool:
    """Whether torch records or simulates the call instead of running it."""
    return (
        torch.compiler.is_compiling()
        or _get_current_dispatch_mode() is not None
        or any(isinstance(x, FakeTensor) for x in values)
    )


def _is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)
