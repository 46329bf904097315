"""A neuron's loop over time as one native call, or tick by tick with torch where a kernel can't be had."""

import re
import warnings
from collections import OrderedDict
from collections.abc import Container, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from norse.compiler.backend import Backend, BackendUnavailable, Region
from norse.compiler.draws import new_key
from norse.compiler.errors import Unsupported
from norse.compiler.interpret import run_nodes
from norse.compiler.ir import Graph, Names, Node, Register, renamed
from norse.compiler.ops import OPS
from norse.compiler.passes.plan_memory import release
from norse.compiler.programs import known_program
from norse.compiler.region import RegionProgram
from norse.compiler.steps.layout import Layout, find_layout

Values = MutableMapping[str, Any]

_MOST_LAYOUTS = 64  # of one loop: every batch size has one


@dataclass(frozen=True)
class Tick:
    """What a loop computes: its nodes between registers, and how its inputs vary.

    `over_time`: its varying inputs have time at dimension 0; else there is one tick. `clock` is the value in the model
    that has as many ticks. `fallback`: initial values that the neuron made up itself, whose gradient nobody can see.
    `outer` are the names that its values have in the model: inside they are numbered anew, so that neurons of one kind
    have one text and one kernel.
    """

    graph: Graph
    varying: tuple[str, ...]
    clock: str
    over_time: bool
    fallback: frozenset[str]
    outer: Mapping[str, str]


@dataclass(frozen=True)
class NativeCall:
    """A call of a native region: what runs it, and with what."""

    region: Region
    program: RegionProgram
    inputs: list[Tensor]
    sizes: tuple[int, int, int]
    layout: Layout


@dataclass
class LoopStep:
    """Runs a tick over time. Layouts and kernels are kept by what they depend on: a new T or batch builds nothing."""

    title: str
    tick: Tick
    backends: tuple[Backend, ...]
    exact: bool = False
    fast_math: bool = False
    cutoff: float = 0.0  # of surrogate derivatives
    emitted: str | None = None  # spikes that event-driven layers alone read
    reason: str = ""  # why torch runs it, if it does
    built: list[tuple[Backend, RegionProgram]] = field(default_factory=list)
    _layouts: OrderedDict[Any, Layout | str] = field(default_factory=OrderedDict)
    _last: tuple[list[Any], Layout | str] | None = None  # of the last call: most are like it
    _regions: dict[Any, tuple[Region, RegionProgram]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inexact = sorted(_inexact(self.tick.graph))
        if not self.backends:
            self.reason = "backend='torch'"
        elif self.exact and inexact:
            self._give_up(f"exact=True: {', '.join(inexact)} differ from torch's in the last bits")

    def run(self, values: Values) -> None:
        """Reads the tick's inputs and initial states, makes its outputs and `final <register>` for every register."""
        call = self.prepared(values)
        self.finish(values, call, None if call is None else call.region(call.inputs, call.sizes))

    def prepared(self, values: Values) -> "NativeCall | None":
        """The call of the native region for these values; None if torch has to run the loop."""
        tensors, initial, clock = self._operands(values)
        layout = self._layout(tensors, initial)
        if isinstance(layout, str):
            self.reason = layout
        backend = self._backend(clock.device)
        if isinstance(layout, str) or backend is None or self._length(clock) == 0:
            return None
        return self._native(backend, layout, tensors, initial, clock)

    def finish(self, values: Values, call: "NativeCall | None", results: Sequence[Tensor] | None) -> None:
        """Puts what the call gave into the values; without a call, computes it."""
        graph, outer = self.tick.graph, self.tick.outer
        if call is None or results is None:
            outputs, final = self._without_a_call(*self._operands(values))
        else:
            layout, (length, *_) = call.layout, call.sizes
            shape = (length, *layout.shape)
            outputs = [x if x.shape == shape else x.reshape(shape) for x in results[: len(graph.outputs)]]
            states = results[len(graph.outputs) : len(graph.outputs) + len(graph.registers)]
            final = [layout.narrow(x, shape) for x, shape in zip(states, layout.states, strict=True)]
        for name, output in zip(graph.outputs, outputs, strict=True):
            values[outer[name]] = output if self.tick.over_time else output.squeeze(0)
        values.update({f"final {outer[r.value]}": state for r, state in zip(graph.registers, final, strict=True)})
        release(values, self._releasing)

    @cached_property
    def _releasing(self) -> list[Node]:
        return [node for node in self.tick.graph.nodes if "_dead" in node.attrs]

    def inside(self, name: str) -> str:
        """The name inside of a value that others know."""
        return next(inner for inner, outer in self.tick.outer.items() if outer == name)

    def _operands(self, values: Values) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """The tick's inputs, its initial states, and the value that has as many ticks."""
        graph, outer = self.tick.graph, self.tick.outer
        tensors = {name: values[outer[name]] for name in graph.inputs}
        if not self.tick.over_time:
            tensors.update({name: tensors[name].unsqueeze(0) for name in self.tick.varying})
        initial = {register.initial: values[outer[register.initial]] for register in graph.registers}
        return tensors, initial, values[self.tick.clock]

    def _layout(self, tensors: Mapping[str, Tensor], initial: Mapping[str, Tensor]) -> Layout | str:
        seen = [(x.shape, x.dtype) for x in (*tensors.values(), *initial.values())]
        if self._last is not None and self._last[0] == seen:
            return self._last[1]
        varying = set(self.tick.varying)
        key = tuple(
            (x.shape[1:] if name in varying else x.shape, x.dtype, name in varying)
            for name, x in (*tensors.items(), *initial.items())
        )
        layout = self._layouts.pop(key, None)
        if layout is None:
            try:
                with _disable_current_modes():  # of torch.export, which would record what is computed with types
                    layout = find_layout(self.tick.graph, self.tick.varying, tensors, initial)
            except Unsupported as why:
                layout = str(why)
        self._layouts[key] = layout  # the last one is the most recent
        if len(self._layouts) > _MOST_LAYOUTS:
            self._layouts.popitem(last=False)
        self._last = seen, layout
        return layout

    # ---- native ----------------------------------------------------------------------------------

    def _backend(self, device: torch.device) -> Backend | None:
        for backend in self.backends:
            if backend.device == device.type:
                return backend
        if self.backends:
            names = ", ".join(backend.name for backend in self.backends)
            self.reason = f"no backend for tensors on {device.type} (there is: {names})"
            warn_once(f"norse.compile runs its loops with torch, tick by tick: {self.reason}")
        return None

    def _give_up(self, reason: str) -> None:
        self.backends, self.reason = (), reason

    def _length(self, clock: Tensor) -> int:
        return clock.shape[0] if self.tick.over_time else 1

    def _native(
        self,
        backend: Backend,
        layout: Layout,
        tensors: Mapping[str, Tensor],
        initial: Mapping[str, Tensor],
        clock: Tensor,
    ) -> "NativeCall | None":
        length = self._length(clock)
        requiring = _requiring(tensors, initial)
        # A state that the neuron made itself, and not of its input, needs a gradient only where nothing else does: then
        # it is what makes eager's outputs require one.
        entering = {**tensors, **initial}
        wanted = requiring - {n for n in self.tick.fallback & requiring if entering[n].is_leaf} or requiring
        varying = set(self.tick.varying)
        given = [layout.given(x, layout.kinds[n], n in varying) for n, x in tensors.items()]
        given += [layout.tick(draw.ahead(length, device=clock.device)) for draw in layout.drawn.ahead.values()]
        given += [] if layout.drawn.key is None else [new_key()]
        states = [layout.state(x if name in wanted else x.detach()) for name, x in initial.items()]
        found = self._region(backend, layout, wanted, requiring)
        if found is None:
            return None
        return NativeCall(*found, [*given, *states], (length, layout.samples, layout.neurons), layout)

    def _region(
        self, backend: Backend, layout: Layout, wanted: frozenset[str], requiring: frozenset[str]
    ) -> tuple[Region, RegionProgram] | None:
        key = (backend.name, layout.signature, wanted, requiring)
        if key not in self._regions:
            try:
                with _disable_current_modes():
                    program = known_program(
                        layout.graph, layout.kinds, wanted, self.fast_math, requiring, self.cutoff, self.emitted
                    )
                    self._regions[key] = (backend.prepare(program, self.title), program)
                self.built.append((backend, program))
            except Unsupported as why:
                self._give_up(str(why))
                return None
            except BackendUnavailable as why:
                self._give_up(str(why))
                warn_once(f"norse.compile runs its loops with torch, tick by tick: {why}")
                return None
        return self._regions[key]

    # ---- torch -----------------------------------------------------------------------------------

    def _without_a_call(
        self, tensors: Mapping[str, Tensor], initial: Mapping[str, Tensor], clock: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        layout = None if self._length(clock) else self._layout(tensors, initial)
        if isinstance(layout, Layout) and self._backend(clock.device) is not None:  # no ticks, whose shape is known
            types = layout.graph.types
            none = [clock.new_empty((0, *layout.shape), dtype=types[name].dtype) for name in self.tick.graph.outputs]
            return none, list(initial.values())
        return self._with_torch(tensors, initial, clock)

    def _with_torch(
        self, tensors: Mapping[str, Tensor], initial: Mapping[str, Tensor], clock: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Eager's operations, tick by tick."""
        graph, varying, length = self.tick.graph, set(self.tick.varying), self._length(clock)
        fixed = {name: x for name, x in tensors.items() if name not in varying}
        ticks = {name: x.unbind(0) for name, x in tensors.items() if name in varying}
        states = {r.value: initial[r.initial] for r in graph.registers}
        made: list[list[Tensor]] = [[] for _ in graph.outputs]
        for t in range(length):
            now = {**fixed, **{name: x[t] for name, x in ticks.items()}, **states}
            run_nodes(graph.nodes, now)
            states = {r.value: now[r.next] for r in graph.registers}
            for rows, name in zip(made, graph.outputs, strict=True):
                rows.append(now[name])
        if length == 0:
            probe = {
                **fixed,
                **{name: x.new_zeros(x.shape[1:]) for name, x in tensors.items() if name in varying},
                **states,
            }
            with torch.no_grad():
                run_nodes(graph.nodes, probe)
            return [probe[name].new_empty((0, *probe[name].shape)) for name in graph.outputs], list(states.values())
        return [torch.stack(rows) for rows in made], list(states.values())


def make_tick(
    nodes: Sequence[Node],
    registers: Sequence[Register],
    fixed: Container[str],
    outputs: Sequence[str],
    over_time: bool,
    fallback: frozenset[str],
) -> Tick:
    """The tick of some nodes. `fixed` are values from outside that do not vary; registers read inside stay inside."""
    clocks = [node.uses[-1] for node in nodes if node.op == "paced"]
    nodes = [_unpaced(node) for node in nodes]
    made = {name for node in nodes for name in node.outputs}
    kept = tuple(registers)
    inside = made | {register.value for register in kept}
    reads = (*(use for node in nodes for use in node.uses), *(register.next for register in kept), *outputs)
    inputs = tuple(dict.fromkeys(name for name in reads if name not in inside))
    moving = tuple(name for name in inputs if name not in fixed)
    if not moving and not clocks:
        raise Unsupported("its step does not read its input")
    graph = Graph(inputs, tuple(nodes), tuple(outputs), kept)
    inner = _numbered_anew(graph, moving)
    return Tick(
        renamed(graph, inner),
        tuple(inner[name] for name in moving),
        (*moving, *clocks)[0],
        over_time,
        frozenset(inner[name] for name in fallback if name in inner),
        {new: old for old, new in inner.items()},
    )


def _unpaced(node: Node) -> Node:
    return replace(node, op="identity", inputs=node.inputs[:1]) if node.op == "paced" else node


def _numbered_anew(graph: Graph, moving: Sequence[str]) -> dict[str, str]:
    """`v_7` becomes `v`, the next v `v_1`: names by order of appearance, and `x` for whatever enters at every tick."""
    names = Names()
    roles = {register.initial: f"initial_{register.value}" for register in graph.registers}
    roles |= dict.fromkeys(moving, "x")
    made = (name for node in graph.nodes for name in node.outputs)
    reads = (r.value for r in graph.registers)
    order = dict.fromkeys((*graph.inputs, *reads, *(r.initial for r in graph.registers), *made))
    return {name: names.fresh(re.sub(r"(_\d+)+$", "", roles.get(name, name))) for name in order}


def _requiring(tensors: Mapping[str, Tensor], initial: Mapping[str, Tensor]) -> frozenset[str]:
    """What requires a gradient, if gradients are computed."""
    if not torch.is_grad_enabled():
        return frozenset()
    return frozenset(name for name, x in (*tensors.items(), *initial.items()) if x.requires_grad)


def _inexact(graph: Graph) -> set[str]:
    """The ops, also inside of custom functions, whose native bits are not torch's."""
    inner = [node.attrs["_forward"] for node in graph.nodes if node.op == "custom"]
    own = {node.op for node in graph.nodes if node.op in OPS and not OPS[node.op].exact}
    own |= {node.op for forward in inner for node in forward.nodes if node.op in OPS and OPS[node.op].synapse}
    return own.union(*map(_inexact, inner))


_WARNED: set[str] = set()


def warn_once(message: str) -> None:
    if message not in _WARNED:
        _WARNED.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=3)
