"""The schedule: the regions of a graph, in order, as steps that run. Autograd composes them."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from torch import nn

from norse.compiler.backend import Backend
from norse.compiler.draw_order import check_tick
from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Node, Register
from norse.compiler.memory import Memory
from norse.compiler.passes.batch_time import is_synapse
from norse.compiler.passes.feedback import STEPPED
from norse.compiler.passes.fuse_loops import LOOP, fuse_loops
from norse.compiler.steps.loop import LoopStep, Tick, make_tick
from norse.compiler.steps.stepped import Runs, SteppedStep, SynapseTick
from norse.compiler.steps.torch_nodes import Synapses, TorchStep
from norse.compiler.stream import Record, no_replay


@dataclass(frozen=True)
class Options:
    """How the user wants it: the backends that may make loops, and whether bits must be eager's throughout."""

    backends: tuple[Backend, ...]
    exact: bool = False
    fast_math: bool = False
    surrogate_cutoff: float = 0.0
    synapses: Synapses = field(default_factory=Synapses)  # what is called for all ticks at once
    record: Record = no_replay  # what makes a stream's replay
    memory: Memory = field(default_factory=Memory)


def make_schedule(
    graph: Graph, modules: Mapping[str, nn.Module], options: Options, apart: frozenset[str] = frozenset()
) -> list[Runs]:
    """One step a region, regions as the passes put them in order. `apart` is what eager makes anew at every tick."""
    return _Scheduler(graph, modules, options, apart).steps()


class _Scheduler:
    def __init__(self, graph: Graph, modules: Mapping[str, nn.Module], options: Options, apart: frozenset[str]) -> None:
        self.graph, self.modules, self.options = graph, modules, options
        self.fixed: set[str] = set()  # what does not vary with time: parameters, and what is made of them alone
        for node in graph.nodes:
            of_fixed = bool(node.uses) and self.fixed.issuperset(node.uses) and not node.tick
            if node.op == "parameter" or node.region == "prologue" or of_fixed:
                self.fixed.update(node.outputs)
        self.wanted = frozenset({*graph.outputs, *(register.initial for register in graph.registers)})
        self.apart = apart if options.exact else frozenset()
        self.final_of = {register.next: f"final {register.value}" for register in graph.registers}
        self.readers = self._readers(graph.nodes)
        self.registers: dict[str, list[int]] = {}
        for place, register in enumerate(graph.registers):
            for name in {register.value, register.next}:
                self.registers.setdefault(name, []).append(place)
        self.fallback = frozenset(
            name
            for node in graph.nodes
            if node.op == "initial_state" and node.attrs["_given"] is None
            for name in node.outputs
        )

    def steps(self) -> list[Runs]:
        return [self._step(region, list(nodes)) for region, nodes in groupby(self.graph.nodes, lambda n: n.region)]

    def _step(self, region: str, nodes: list[Node]) -> Runs:
        kind = region.split(" ")[0]
        if kind == LOOP:
            return self._loop(nodes, region)
        if kind == STEPPED:
            return self._stepped(nodes, region)
        options = self.options
        return TorchStep(nodes, self.modules, self.final_of, self.fixed, options.exact, options.synapses, self.apart)

    def _loop(self, nodes: Sequence[Node], region: str) -> LoopStep:
        over_time = any(self.graph.types[node.outputs[0]].over_time for node in nodes)
        registers = self._registers(nodes) if over_time else ()
        tick = make_tick(nodes, registers, self.fixed, self._outputs(nodes), over_time, self.fallback)
        return self._loop_step(tick, region)

    def _loop_step(self, tick: Tick, region: str) -> LoopStep:
        options = self.options
        return LoopStep(region, tick, options.backends, options.exact, options.fast_math, options.surrogate_cutoff)

    def _stepped(self, nodes: Sequence[Node], region: str) -> SteppedStep:
        """Synapses cut the tick into native pieces, whose registers are inputs and outputs of one tick."""
        registers = self._registers(nodes)
        outputs = self._outputs(nodes)
        reads = {register.value for register in registers}
        inner = [_of_a_tick(node) for node in nodes]
        ordered = fuse_loops(replace(self.graph, nodes=tuple(inner), registers=(), inputs=()))
        if self.options.exact:
            check_tick(nodes, ordered.nodes)
        parts: list[Runs] = []
        for piece, group in groupby(ordered.nodes, lambda n: n.region):
            members = list(group)
            if not piece.startswith(LOOP):
                parts += [SynapseTick(node) if node.tick else self._torch_tick(node) for node in members]
                continue
            wanted = self._outputs(members, {r.next for r in registers} | set(outputs), self._readers(ordered.nodes))
            parts.append(self._loop_step(make_tick(members, (), self.fixed, wanted, False, self.fallback), region))
        made = {name for node in nodes for name in node.outputs} | reads
        used = dict.fromkeys(use for node in nodes for use in node.uses if use not in made)
        moving = [name for name in used if name not in self.fixed]
        if not moving:
            raise Unsupported(
                "nothing enters its feedback from outside, so that nothing tells how many ticks there are"
            )
        fixed = [n for n in used if n in self.fixed]
        return SteppedStep(region, parts, registers, moving, fixed, outputs, self.apart, nodes)

    def _torch_tick(self, node: Node) -> TorchStep:
        """A layer or a call of the user at one tick."""
        now = replace(node, attrs={**node.attrs, "_over_time": False})
        return TorchStep([now], self.modules, {}, self.fixed, self.options.exact)

    def _registers(self, nodes: Sequence[Node]) -> tuple[Register, ...]:
        """The registers that these nodes read or feed."""
        touched = (name for node in nodes for name in (*node.uses, *node.outputs))
        places = {place for name in touched for place in self.registers.get(name, ())}
        return tuple(self.graph.registers[place] for place in sorted(places))

    def _readers(self, nodes: Sequence[Node]) -> dict[str, list[str]]:
        """What is made of each value at every tick, not only at the last one."""
        readers: dict[str, list[str]] = {}
        for node in nodes:
            if not (node.op == "last" and node.uses[0] in self.final_of):
                for use in node.uses:
                    readers.setdefault(use, []).append(node.outputs[0])
        return readers

    def _outputs(
        self,
        nodes: Sequence[Node],
        wanted: Container[str] | None = None,
        readers: Mapping[str, list[str]] | None = None,
    ) -> tuple[str, ...]:
        """What is read of these nodes' values outside."""
        wanted = self.wanted if wanted is None else wanted
        readers = self.readers if readers is None else readers
        made = dict.fromkeys(name for node in nodes for name in node.outputs)
        return tuple(n for n in made if n in wanted or any(r not in made for r in readers.get(n, ())))


def _of_a_tick(node: Node) -> Node:
    """In a stepped region: where it runs, and no value freed before all ticks have run."""
    attrs = {name: value for name, value in node.attrs.items() if name != "_dead"}
    return replace(node, region="" if node.tick and not is_synapse(node) else "torch", attrs=attrs)
