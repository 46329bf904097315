"""Cuts time: which steps of a schedule may run piece by piece of time, their states handed from piece to piece.

Outside of what is listed here (`_Alone`), a step may look at several ticks, draw random numbers, or do more than it
returns: it runs once, for all ticks, and in its place among those that do the like.
"""

import copy
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from torch import nn
from torch.nn import functional

from norse.compiler.backend import Fuses
from norse.compiler.calls import row_of
from norse.compiler.draws import draws
from norse.compiler.ir import Graph, Node
from norse.compiler.layers import LAYERS
from norse.compiler.ops import OPS
from norse.compiler.passes.common_subexpressions import repeats
from norse.compiler.starts import start_reads
from norse.compiler.steps.fuse_layers import fuse_layers
from norse.compiler.steps.loop import LoopStep
from norse.compiler.steps.stepped import Runs, SteppedStep
from norse.compiler.steps.torch_nodes import TorchStep
from norse.compiler.trace.copies import has_effects, may_draw

# Functions that keep leading dimensions, unless all that there are belong to the features.
_WITH_MANY_FEATURES = (functional.layer_norm, functional.rms_norm, functional.pad, functional.pixel_shuffle)


@dataclass(frozen=True)
class Whole:
    """Steps that run once. `kept` is what steps behind them, or the caller, read."""

    steps: tuple[Runs, ...]
    kept: frozenset[str]


@dataclass(frozen=True)
class Pieces:
    """Steps that may run piece by piece.

    `before` runs once, ahead of them. `moving` and `fixed` are what they read from outside, with time and without;
    `registers` their states: what each starts with, and what it is called at the end; `outputs` and `finals` what is
    read of them outside, over time and at the end. `stand_ins` are values of theirs whose shape alone `before` needs,
    `mixed` both kinds of steps in the schedule's order, with whether they are of the first; `fallback` are starts that
    a neuron made itself; `layers` the paths of layers whose parameters are read.
    """

    before: Whole
    steps: tuple[Runs, ...]
    mixed: tuple[tuple[bool, Runs], ...]
    moving: tuple[str, ...]
    fixed: tuple[str, ...]
    registers: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]
    finals: tuple[str, ...]
    stand_ins: frozenset[str]
    fallback: frozenset[str]
    layers: tuple[str, ...]
    exact: bool
    kept: frozenset[str]


@dataclass(frozen=True)
class Cut:
    """A schedule in stages; `whole` are the paths of layers over time that are in no `Pieces`, `reason` says why."""

    stages: tuple[Whole | Pieces, ...]
    whole: tuple[str, ...] = ()
    reason: str = ""

    @property
    def somewhere(self) -> bool:
        return any(isinstance(stage, Pieces) for stage in self.stages)


def cut_time(
    ticks: Graph,
    steps: Sequence[Runs],
    modules: Mapping[str, nn.Module],
    exact: bool = False,
    apart: Container[str] = frozenset(),
    fuses: Fuses | None = None,
) -> Cut:
    """The schedule in stages that give what its steps give one after the other. `apart`: see `make_schedule`."""
    if any(node.attrs.get("_in_place") for node in ticks.nodes):
        return Cut((), reason="a layer changes its input in place")
    return _Cutter(ticks, steps, modules, exact, apart, fuses).cut()


@dataclass(frozen=True, eq=False)
class _Part:
    """A step, or a node of one that torch runs."""

    step: Runs
    node: Node | None
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    registers: tuple[tuple[str, str], ...] = ()


class _Cutter:
    def __init__(
        self,
        ticks: Graph,
        steps: Sequence[Runs],
        modules: Mapping[str, nn.Module],
        exact: bool,
        apart: Container[str],
        fuses: Fuses | None,
    ) -> None:
        self.ticks, self.modules, self.exact, self.apart, self.fuses = ticks, modules, exact, apart, fuses
        self.final_of = {register.next: f"final {register.value}" for register in ticks.registers}
        self.parts = [part for step in steps for part in self._parts(step)]
        self.alone = _Alone(ticks, modules)
        self.known_starts: dict[tuple[str, ...], bool] = {}

    def cut(self) -> Cut:
        groups: list[tuple[bool, list[_Part], list[_Part], frozenset[str]]] = []
        for barrier, run in groupby(self.parts, key=self._is_barrier):
            rest = list(run)
            while rest and not barrier:
                before, inside, stand_ins, later = self._split(rest)
                if not any(part.registers for part in inside):
                    break
                groups.append((True, before, inside, stand_ins))
                rest = later
            if rest:
                groups.append((False, rest, [], frozenset()))
        if self.exact and any(self._tears(inside) for _, _, inside, _ in groups):
            return Cut((), reason="exact=True: ticks have to be passed on as they were made")
        stages: list[Whole | Pieces] = []
        needed = set(self.ticks.outputs)
        for in_pieces, before, inside, stand_ins in reversed(groups):
            kept = frozenset(needed)
            if not in_pieces:
                stages.append(
                    Whole(tuple(fuse_layers(_steps(before), self._seen(before, kept), self.fuses, self.modules)), kept)
                )
            else:
                stages.append(self._pieces(before, inside, stand_ins, kept))
            needed.update(name for part in (*before, *inside) for name in part.reads)
        cut = Cut(tuple(reversed(stages)))
        return self._explained(cut, [part for _, before, _, _ in groups for part in before])

    def _explained(self, cut: Cut, outside: Sequence[_Part]) -> Cut:
        over_time = [part for part in outside if any(map(self._has_time, part.makes))]
        whole = tuple(dict.fromkeys(_title(part) for part in over_time))
        if cut.somewhere:
            return Cut(cut.stages, whole)
        if not any(type_.over_time for type_ in self.ticks.types.values()):
            return Cut((), whole, "nothing of it has time: it is one tick")
        return Cut((), whole, f"{', '.join(whole) or 'it'} can't be cut: it may look at several ticks, draw or count")

    # ---- which parts ---------------------------------------------------------------------------------

    def _split(self, parts: Sequence[_Part]) -> tuple[list[_Part], list[_Part], frozenset[str], list[_Part]]:
        """Those that run before, those that run in pieces, what of them is needed before, and those that run later."""
        before, inside, later = [], [], list[_Part]()
        in_pieces, after, stand_ins, starts = set[str](), set[str](), set[str](), set[str]()
        for part in parts:
            reads = set(part.reads)
            if not reads.isdisjoint(after):
                later.append(part)
                after.update(part.makes)
            elif self.alone(part) and self._starts_apart(part, starts, in_pieces):
                inside.append(part)
                in_pieces.update(part.makes)
                starts.update(initial for initial, _ in part.registers)
            elif reads.isdisjoint(in_pieces):
                before.append(part)
            elif self._starts_by_shape(part, in_pieces):
                before.append(part)
                stand_ins.update(reads & in_pieces)
            else:
                later.append(part)
                after.update(part.makes)
        return before, inside, frozenset(stand_ins), later

    def _starts_apart(self, part: _Part, starts: set[str], in_pieces: set[str]) -> bool:
        """Whether each state's start is read by nothing else in the pieces: later pieces have another there."""
        own = [initial for initial, _ in part.registers]
        others = part.reads if part.node is not None else part.reads[: len(part.reads) - len(own)]
        return len(set(own)) == len(own) and starts.isdisjoint((*own, *others)) and in_pieces.isdisjoint(own)

    def _starts_by_shape(self, part: _Part, in_pieces: set[str]) -> bool:
        """Whether it makes a state to start from, for which it asks for no value of the layer's input."""
        node = part.node
        if node is None or node.op != "initial_state" or not in_pieces.isdisjoint(node.uses[1:]):
            return False
        return not self._start_reads(node)

    def _start_reads(self, node: Node) -> bool:
        if node.outputs not in self.known_starts:
            self.known_starts[node.outputs] = start_reads(node, self.ticks.types, self.modules)
        return self.known_starts[node.outputs]

    def _tears(self, inside: Sequence[_Part]) -> bool:
        """Whether layers on either side of the pieces' border hand each other ticks, as torch makes them one by one:
        what lies elsewhere in memory, torch may sum in another order."""
        these = set(inside)
        outside = [part for part in self.parts if part not in these and not _is_start(part)]
        return any(
            name in self.apart and node.attrs.get("_over_time")
            for these, others in ((inside, outside), (outside, inside))
            for node in (part.node for part in these if part.node is not None)
            for name in node.outputs
            if any(name in part.reads for part in others if not isinstance(part.step, LoopStep))
        )

    def _is_barrier(self, part: _Part) -> bool:
        """Whether its turn matters: it draws, or does more than it returns."""
        node = part.node
        if isinstance(part.step, LoopStep):
            return any(map(draws, part.step.tick.graph.nodes))
        if isinstance(part.step, SteppedStep):
            return any(may_draw(inner) or has_effects(inner) for inner in part.step.nodes)
        if node is None:
            return True
        if node.op == "initial_state":
            return self._start_reads(node)
        return may_draw(node) or has_effects(node)

    # ---- stages --------------------------------------------------------------------------------------

    def _pieces(
        self, before: Sequence[_Part], inside: Sequence[_Part], stand_ins: frozenset[str], kept: frozenset[str]
    ) -> Pieces:
        made = {name for part in inside for name in part.makes}
        registers = tuple(register for part in inside for register in part.registers)
        starts = {initial for initial, _ in registers}
        reads = dict.fromkeys(name for part in inside for name in part.reads if name not in made | starts)
        nodes = [node for part in inside for node in _nodes(part)]
        made_up = (node for node in self.ticks.nodes if node.op == "initial_state" and node.attrs["_given"] is None)
        ahead, both = set(before), {*before, *inside}
        mixed = groupby((part for part in self.parts if part in both), key=lambda part: part in ahead)
        outputs = tuple(
            name for part in inside for name in part.makes if name in kept and not name.startswith("final ")
        )
        steps = tuple(map(_from_any_state, _steps(inside)))
        first = Whole(_steps(before), kept | frozenset(reads) | starts | frozenset(_reads(inside)))
        return Pieces(
            first,
            tuple(fuse_layers(steps, self._seen(inside, frozenset(outputs)), self.fuses, self.modules)),
            tuple((is_before, step) for is_before, group in mixed for step in _steps(list(group))),
            tuple(name for name in reads if self._has_time(name)),
            tuple(name for name in reads if not self._has_time(name)),
            registers,
            outputs,
            tuple(final for _, final in registers if final in kept),
            stand_ins,
            frozenset(name for node in made_up for name in node.outputs),
            tuple(dict.fromkeys(node.attrs["_path"] for node in nodes if "_row" in node.attrs)),
            self.exact,
            kept,
        )

    def _seen(self, parts: Sequence[_Part], outputs: frozenset[str]) -> Graph:
        """The graph without what torch runs elsewhere: what others read is an output."""
        these = set(parts)
        others = {id(part.node) for part in self.parts if part.node is not None and part not in these}
        nodes = tuple(node for node in self.ticks.nodes if id(node) not in others)
        return replace(self.ticks, nodes=nodes, outputs=tuple(outputs))

    def _has_time(self, name: str) -> bool:
        return name in self.ticks.types and self.ticks.types[name].over_time

    def _parts(self, step: Runs) -> list[_Part]:
        if isinstance(step, TorchStep):
            return [_Part(_only(step, (node,)), node, self._reads(node), node.outputs) for node in step.nodes]
        if isinstance(step, LoopStep):
            outer, graph = step.tick.outer, step.tick.graph
            registers = tuple((outer[r.initial], f"final {outer[r.value]}") for r in graph.registers)
            reads = [*(outer[name] for name in graph.inputs), step.tick.clock]
            made = [outer[name] for name in graph.outputs]
            return [_loop_part(step, reads, made, registers)]
        if isinstance(step, SteppedStep):
            registers = tuple((r.initial, f"final {r.value}") for r in step.registers)
            return [_loop_part(step, [*step.varying, *step.fixed], step.outputs, registers)]
        return [_Part(step, None, (), ())]

    def _reads(self, node: Node) -> tuple[str, ...]:
        if node.op == "last" and node.uses[0] in self.final_of:
            return (self.final_of[node.uses[0]],)
        return node.uses


def _loop_part(step: Runs, reads: Iterable[str], made: Iterable[str], registers: tuple[tuple[str, str], ...]) -> _Part:
    """Its reads end with what its states start from."""
    starts, finals = [initial for initial, _ in registers], [final for _, final in registers]
    return _Part(step, None, (*dict.fromkeys(reads), *starts), (*made, *finals), registers)


def _nodes(part: _Part) -> tuple[Node, ...]:
    """Those that torch runs."""
    if isinstance(part.step, SteppedStep):
        return part.step.nodes
    return () if part.node is None else (part.node,)


def _from_any_state(step: Runs) -> Runs:
    """A loop that may go on from a state of a piece before, whose gradient is wanted."""
    if not isinstance(step, LoopStep):
        return step
    return replace(step, tick=replace(step.tick, fallback=frozenset()))  # with the same layouts and kernels


def _is_start(part: _Part) -> bool:
    return part.node is not None and part.node.op == "initial_state"


def _reads(parts: Iterable[_Part]) -> set[str]:
    return {name for part in parts for name in part.reads}


def _only(step: TorchStep, nodes: tuple[Node, ...]) -> TorchStep:
    part = copy.copy(step)
    part.nodes = nodes
    return part


def _steps(parts: Sequence[_Part]) -> tuple[Runs, ...]:
    """Steps that run the parts; nodes of torch that follow each other are one."""
    steps: list[Runs] = []
    for of_torch, group in groupby(parts, key=lambda part: part.node is not None):
        found = list(group)
        if not of_torch:
            steps += [part.step for part in found]
        else:
            first = found[0].step
            assert isinstance(first, TorchStep)
            steps.append(_only(first, tuple(part.node for part in found if part.node is not None)))
    return tuple(steps)


def _title(part: _Part) -> str:
    if part.node is None:
        return f'"{getattr(part.step, "title", type(part.step).__name__)}"'
    path = part.node.attrs.get("_path") or part.node.module
    return f'"{path}"' if path else str(part.node.attrs.get("target", part.node.op))


class _Alone:
    """Whether a part acts on every tick alone, but for its registers, and does nothing else."""

    def __init__(self, ticks: Graph, modules: Mapping[str, nn.Module]) -> None:
        self.types, self.modules = ticks.types, modules

    def __call__(self, part: _Part) -> bool:
        step, node = part.step, part.node
        if isinstance(step, LoopStep):
            outer = step.tick.outer
            moving = {outer[name] for name in step.tick.varying} | {step.tick.clock}
            return step.tick.over_time and self._vary(part, moving) and not any(map(draws, step.tick.graph.nodes))
        if isinstance(step, SteppedStep):
            return self._vary(part, set(step.varying)) and all(map(self._pure_at_a_tick, step.nodes))
        if not isinstance(step, TorchStep) or node is None:
            return False
        if not all(name in self.types for name in (*node.uses, *node.outputs)):
            return False
        moving = {name for name in node.uses if self.types[name].over_time}
        if not moving or not all(self.types[name].over_time for name in node.outputs):
            return False
        if node.attrs.get("_over_time"):
            fixed = set(node.uses) - moving
            return all(name in step.fixed for name in fixed) and self._pure_at_a_tick(node)
        return self._alone_in_a_sequence(node, moving)

    def _vary(self, part: _Part, moving: Container[str]) -> bool:
        """Whether its inputs have time where the step says so."""
        reads = part.reads[: len(part.reads) - len(part.registers)]
        return all(name in self.types and self.types[name].over_time == (name in moving) for name in reads)

    def _pure_at_a_tick(self, node: Node) -> bool:
        """Called at a tick, or for all ticks as samples: what matters is that calls leave no trace."""
        if may_draw(node) or has_effects(node):
            return False
        if "_row" in node.attrs:
            return _leaves_no_trace(self.modules[node.attrs["_path"]])
        return node.tick or node.op in OPS or node.op == "custom" or repeats(node)

    def _alone_in_a_sequence(self, node: Node, moving: set[str]) -> bool:
        """A call for the whole sequence, which must not mix what is at different places of its first dimension."""
        ranks = {len(self.types[name].axes) for name in moving}
        rank = max(ranks)
        if may_draw(node) or has_effects(node) or len(ranks) > 1:
            return False
        if "_row" in node.attrs:
            layer, row = self.modules[node.attrs["_path"]], node.attrs["_row"]
            if not _leaves_no_trace(layer) or not row.per_sample(layer, rank):
                return False
            return rank > _features(layer) if row.keeps_leading else row.sample_rank in (None, rank - 1)
        if node.op in OPS:
            row = OPS[node.op]
            if row.synapse:
                return moving == {node.uses[0]} and rank > 1
            fixed = (len(self.types[name].axes) for name in node.uses if name not in moving)
            return node.op != "transpose" and all(each < rank for each in fixed)
        if node.op != "call" or not repeats(node):
            return False
        call = row_of(node, moving, rank)
        if call is None or node.attrs["_target"] in _WITH_MANY_FEATURES:
            return False
        return call.keeps_leading or call.sample_rank in (None, rank - 1)


def _leaves_no_trace(layer: Any) -> bool:
    """Whether nothing but parameters and buffers, which it only reads, decides what it gives."""
    return type(layer) in LAYERS and not layer._modules and getattr(layer, "max_norm", None) is None


def _features(layer: Any) -> int:
    """How many of the last dimensions a layer that keeps leading ones takes together."""
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return len(layer.normalized_shape)
    if isinstance(layer, nn.PixelShuffle | nn.PixelUnshuffle):
        return 3
    if isinstance(padding := getattr(layer, "padding", None), tuple):
        return len(padding) // 2
    return 1 if isinstance(layer, nn.Linear) else 0
