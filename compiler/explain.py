"""What became of a model, in words: for each module how it runs, why, and where the user's code of it stands."""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

import norse.torch
from norse.compiler.backend import Backend
from norse.compiler.calls import row_of
from norse.compiler.ir import Graph, Node
from norse.compiler.lower import path_of
from norse.compiler.ops import OPS
from norse.compiler.passes.batch_time import BATCHED
from norse.compiler.passes.feedback import STEPPED
from norse.compiler.passes.fuse_loops import LOOP
from norse.compiler.region import RegionProgram
from norse.compiler.steps.fused_layer import CarryingStep, FusedLayerStep
from norse.compiler.steps.loop import LoopStep
from norse.compiler.steps.stepped import Runs, SteppedStep
from norse.compiler.trace.model import Trace
from norse.compiler.trace.recorder import NOT_THE_USERS

_NOT_THE_USERS = (*NOT_THE_USERS, str(Path(norse.torch.__file__).parent))
_FEEDBACK = "it is part of feedback from one tick to the next"
_MOST_OPERATIONS = 4  # of a line of the user's code that are named
Row = tuple[str, str, str, str]  # path, what it is, how it runs and why, file:line


def explain(
    trace: Trace,
    ticks: Graph,
    steps: Sequence[Runs],
    modules: Mapping[str, nn.Module],
    exact: bool = False,
    fused: Sequence[Runs] = (),
) -> str:
    """One line a layer or line of the user's code, in the order in which they run. `fused`: the steps, with layers and
    loops that may run together as one."""
    rows = list(_Explained(trace, ticks, steps, modules, exact, fused).rows())
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    return "\n".join(
        f"{path:<{widths[0]}}  {op:<{widths[1]}}  {how}{f'  ({where})' if where else ''}"
        for path, op, how, where in rows
    )


class _Explained:
    def __init__(
        self,
        trace: Trace,
        ticks: Graph,
        steps: Sequence[Runs],
        modules: Mapping[str, nn.Module],
        exact: bool,
        fused: Sequence[Runs],
    ) -> None:
        self.trace, self.ticks, self.modules, self.exact = trace, ticks, modules, exact
        self.fused = {step.layer.output for step in fused if isinstance(step, FusedLayerStep)}
        self.carriers = {name for step in fused if isinstance(step, CarryingStep) for name in step.carriers}
        self.loops, self.made = loops(steps), ticks.producers

    def rows(self) -> Iterator[Row]:
        calls: list[Node] = []
        for node in self.trace.graph.nodes:
            if calls and (not _is_call(node) or (node.module, _line(node)) != (calls[0].module, _line(calls[0]))):
                yield from self._calls(calls)
                calls = []
            if _is_call(node):
                calls.append(node)
            elif "_step" in node.attrs:
                yield _path(node), node.op, self._neuron(node), _line(node) or self._defined_step(node)
            elif "_row" in node.attrs:
                yield _path(node), node.op, self._layer(node), _line(node)
            elif node.op == "eager":
                path = node.attrs["_path"]
                where = _line(node) or defined_at(type(self.modules[path]).forward)
                yield _path(node), node.attrs["_class"], f"eager: {self.trace.eager[path]}", where
        if calls:
            yield from self._calls(calls)

    def _neuron(self, node: Node) -> str:
        text = _region_note(node, self.ticks)
        regions = {n.region for n in self.ticks.nodes if n.tick and path_of(n.module) == node.attrs["_path"]}
        reasons = dict.fromkeys(loop.reason for loop in self.loops if loop.title in regions and loop.reason)
        if reasons:
            return f"torch, tick by tick: {'; '.join(reasons)}"
        if any(region.startswith(STEPPED) for region in regions):
            return f"{text}: {'exact=True' if self.exact else _FEEDBACK}"
        own = [n for n in self.ticks.nodes if path_of(n.module) == node.attrs["_path"] and n.region.startswith(LOOP)]
        fused = [inner for n in own for inner in _operations(n)]
        synapses = sum(n.op in OPS and OPS[n.op].synapse for n in fused)
        text += f": {len(fused) - synapses} operations fused"
        return text + (", with its recurrent synapse" if synapses else "")

    def _layer(self, node: Node) -> str:
        if self._in_feedback(node):
            return f"torch, tick by tick: {_FEEDBACK}"
        if node.output in self.fused:
            return "in one pass with the loop behind it where its input is sparse, else torch, all ticks at once"
        if node.output in self.carriers:
            return "of spikes that come as events these alone, else torch, all ticks at once"
        text = _region_note(node, self.ticks)
        why = self._why_tick_by_tick(node)
        if why:
            return f"torch, tick by tick: {why}"
        return f"{text}: no tick of it needs another" if "all ticks" in text else text

    def _in_feedback(self, node: Node) -> bool:
        made = self.made.get(node.outputs[0])
        return made is not None and made.region.startswith(STEPPED)

    def _why_tick_by_tick(self, node: Node) -> str:
        """What makes the step of a lifted layer call it at every tick."""
        layer, row = self.modules[node.attrs["_path"]], node.attrs["_row"]
        if not node.attrs["_over_time"]:
            return ""
        if self.exact:
            return "exact=True"
        known = self.ticks.types.get(node.uses[0])
        rank = 3 if known is None else len(known.tick_axes)
        if not row.per_sample(layer, rank):
            mode = " in training mode" if layer.training else ""
            return f"as it is set, {type(layer).__name__}{mode} does not act on every sample alone"
        if rank < 2 and not row.keeps_leading and row.sample_rank != rank:
            return "its input has no batch"
        return ""

    def _at_once(self, call: Node) -> bool:
        """Whether a call in a Lift takes all ticks, as the step that runs it decides."""
        types = self.ticks.types
        varying = {use for use in call.uses if use in types and types[use].over_time}
        ranks = {len(types[use].tick_axes) for use in varying}
        return not self.exact and len(ranks) == 1 and row_of(call, varying, *ranks) is not None

    def _calls(self, nodes: Sequence[Node]) -> Iterator[Row]:
        """What one line of the user's code calls; values that nothing reads are not computed."""
        alive = [self.made[n.outputs[0]] for n in nodes if n.outputs[0] in self.made]
        if not alive:
            return
        names = list(dict.fromkeys(str(n.attrs.get("target", n.op)) for n in alive))
        shown = ", ".join(names[:_MOST_OPERATIONS]) + (", ..." if len(names) > _MOST_OPERATIONS else "")
        if any(n.region.startswith(STEPPED) for n in alive):
            how = f"torch, tick by tick: {_FEEDBACK}"
        elif all(n.region == "prologue" for n in alive):
            how = "torch, once a call: made of parameters alone"
        elif any(n.attrs.get("_over_time") and n.op not in OPS and not self._at_once(n) for n in alive):
            how = "torch, tick by tick: the call is not known to treat every tick alone"
        elif any(self.ticks.types[n.outputs[0]].over_time for n in alive if n.outputs[0] in self.ticks.types):
            how = "torch, all ticks at once"
        else:
            how = "torch"
        yield nodes[0].module or "(model)", shown, how, _line(nodes[0])

    def _defined_step(self, node: Node) -> str:
        return defined_at(getattr(self.modules[node.attrs["_path"]], "activation", None))


def noted(trace: Trace, ticks: Graph) -> Graph:
    """The network's graph with a remark at each layer and neuron on how it runs."""
    notes = {n.outputs[0]: _region_note(n, ticks) for n in trace.graph.nodes if "_step" in n.attrs or "_row" in n.attrs}
    return replace(trace.graph, notes=notes)


def generated_code(trace: Trace, steps: Sequence[Runs]) -> str:
    """The text of all kernels, each once, under the names of all layers that it is for; empty where torch runs all."""
    kernels: dict[tuple[str, str], tuple[Backend, RegionProgram, list[str]]] = {}
    kinds = {node.attrs["_path"]: f" ({node.op})" for node in trace.graph.nodes if "_step" in node.attrs}
    for loop in loops(steps):
        title = " and ".join(f"{_named(path)}{kinds.get(path, '')}" for path in modules_of(loop))
        for backend, program in loop.built:
            kernels.setdefault((backend.name, program.key), (backend, program, []))[2].append(title)
    found = kernels.values()
    return "\n".join(backend.source(program, ", ".join(dict.fromkeys(titles))) for backend, program, titles in found)


def modules_of(loop: LoopStep) -> list[str]:
    """The paths of the modules whose ticks a loop runs."""
    return list(dict.fromkeys(path_of(node.module) for node in loop.tick.graph.nodes))


def _named(path: str) -> str:
    return f"layer {json.dumps(path)}" if path else "the model"


def loops(steps: Sequence[Runs]) -> list[LoopStep]:
    """Every loop, those inside stepped regions too."""
    found: list[LoopStep] = []
    for step in steps:
        if isinstance(step, LoopStep):
            found.append(step)
        elif isinstance(step, SteppedStep):
            found += [part for part in step.parts if isinstance(part, LoopStep)]
    return found


def defined_at(function: Any) -> str:
    """`file:line` of a function of the user's, or nothing."""
    code = getattr(inspect.unwrap(getattr(function, "func", function)), "__code__", None) if function else None
    return _users(f"{code.co_filename}:{code.co_firstlineno}") if code else ""


def _users(line: str) -> str:
    """A line of the user's code, from the current folder if it is inside; nothing if it is the library's."""
    if line.startswith(_NOT_THE_USERS):
        return ""
    return line.removeprefix(f"{Path.cwd()}/")


def _line(node: Node) -> str:
    return _users(node.attrs.get("_line") or "")


def _is_call(node: Node) -> bool:
    """Whether it's an operation that a module of the user's calls, and none of a neuron's step."""
    return not node.tick and (node.op == "call" or node.op in OPS)


def _path(node: Node) -> str:
    return str(node.attrs["_path"]) or "(model)"


def _operations(node: Node) -> list[Node]:
    """A node, or what a custom function's forward computes."""
    return [inner for n in node.attrs["_forward"].nodes for inner in _operations(n)] if node.op == "custom" else [node]


def _region_note(node: Node, ticks: Graph) -> str:
    if "_row" in node.attrs:
        known = ticks.types.get(node.uses[0])
        if not node.attrs["_over_time"] and known is not None and not known.over_time:
            return "torch, once a call: it makes the ticks" if ticks.types[node.output].over_time else "torch"
        return "torch, all ticks at once" if node.attrs["_over_time"] or ticks.types[node.output].over_time else "torch"
    regions = [n.region for n in ticks.nodes if n.tick and path_of(n.module) == node.attrs["_path"]]
    if any(region.startswith(STEPPED) for region in regions):
        return "tick by tick: synapses by torch, the rest in native ticks"
    over_time = node.attrs["_over_time"]
    text = "one native loop over T" if over_time else "one native tick"
    if sum(region.startswith(LOOP) for region in dict.fromkeys(regions)) > 1:
        text = text.replace("one native loop", "native loops")
    if any(region == BATCHED for region in regions):
        text += ", its input synapse all ticks at once" if over_time else ", its synapses by torch"
    return text
