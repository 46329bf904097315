"""Which layers and loops become one step, and which spikes between these need not be in memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from torch import nn

from norse.compiler.backend import Fuses
from norse.compiler.ir import Graph, Node, Ref
from norse.compiler.passes.custom_operands import matrices, passive_inputs
from norse.compiler.starts import start_reads
from norse.compiler.steps.carriers import may_carry
from norse.compiler.steps.fused_layer import CarryingStep, FusedLayerStep
from norse.compiler.steps.loop import LoopStep
from norse.compiler.steps.stepped import Runs
from norse.compiler.steps.torch_nodes import TorchStep, has_weights

Modules = Mapping[str, nn.Module]


def fuse_layers(steps: Sequence[Runs], graph: Graph, fuses: Fuses | None, modules: Modules) -> list[Runs]:
    """The steps, with every layer that the backend fuses and the loop that alone reads it as one."""
    if fuses is None:
        return list(steps)
    starts = {
        node.outputs[0]
        for step in steps
        if isinstance(step, TorchStep)
        for node in step.nodes
        if node.op == "initial_state" and not start_reads(node, graph.types, modules)
    }
    found: list[Runs] = []
    for step, following in pairwise([*_each_before_its_loop(steps, graph, starts, fuses), None]):
        if found and isinstance(found[-1], FusedLayerStep) and found[-1].loop is step:
            continue
        assert step is not None
        layer = _fusible(step, following, graph, starts, fuses)
        if layer is None:
            found.append(step)
        else:
            assert isinstance(step, TorchStep)
            assert isinstance(following, LoopStep)
            found.append(FusedLayerStep(step, fuses, layer=layer, loop=following))
    return _handing_on(found, graph, starts, fuses, modules)


def _fusible(step: Runs, loop: Runs | None, graph: Graph, starts: set[str], fuses: Fuses) -> Node | None:
    """The layer whose result a loop of elementwise ticks reads, and nothing else but `starts`, for its shape."""
    if not isinstance(step, TorchStep) or not isinstance(loop, LoopStep) or not loop.tick.over_time:
        return None
    if matrices(loop.tick.graph.nodes) or passive_inputs(loop.tick.graph):
        return None
    outer = loop.tick.outer
    entering = {outer[name] for name in loop.tick.varying}
    silent = _made_in(loop) | starts.intersection(node.outputs[0] for node in step.nodes)
    for node in step.nodes:
        if not has_weights(node) or node.output not in entering or node.output in graph.outputs:
            continue
        module = step.modules[node.attrs["_path"]] if "_row" in node.attrs else None
        alone = silent.issuperset(_readers(graph, node.output))
        if alone and node.uses.count(node.uses[0]) == 1 and fuses.takes(module):
            return node
    return None


def _each_before_its_loop(steps: Sequence[Runs], graph: Graph, starts: set[str], fuses: Fuses) -> list[Runs]:
    """The steps, with every layer that could be fused, but does not stand right before its loop, moved there."""
    found: list[Runs] = []
    homes: dict[str, int] = {}  # of layers: the step that runs them
    for step in steps:
        if isinstance(step, LoopStep):
            entering = (step.tick.outer[name] for name in step.tick.varying)
            for home in {homes[name] for name in entering if homes.get(name, len(found)) < len(found) - 1}:
                before = found[home]
                assert isinstance(before, TorchStep)
                layer = _fusible(before, step, graph, starts, fuses)
                parts = None if layer is None else _parted(before, layer, starts, found[home + 1 :])
                if parts is not None:
                    found[home] = parts[0]
                    found.append(parts[1])
                    break
        elif isinstance(step, TorchStep):
            homes.update((node.output, len(found)) for node in step.nodes if has_weights(node))
        found.append(step)
    return found


def _parted(
    step: TorchStep, layer: Node, starts: set[str], between: Sequence[Runs]
) -> tuple[TorchStep, TorchStep] | None:
    """The step without a layer and the states made for it, and these alone; None where they are needed before, or what
    they read is freed."""
    parts = {layer.output, *(n.outputs[0] for n in step.nodes if n.outputs[0] in starts and layer.output in n.uses)}
    moved = [node for node in step.nodes if node.outputs[0] in parts]
    rest = [node for node in step.nodes if node.outputs[0] not in parts]
    made = {name for node in moved for name in node.outputs}
    reads = {name for node in moved for name in node.uses} - made
    others = {name for node in rest for name in node.uses}
    freed = set[str]()
    for other in between:
        if not isinstance(other, LoopStep | TorchStep):
            return None
        nodes = other.tick.graph.nodes if isinstance(other, LoopStep) else other.nodes
        freed |= {name for node in nodes for name in node.attrs.get("_dead", ())}
        others |= set(other.tick.outer.values() if isinstance(other, LoopStep) else (n for o in nodes for n in o.uses))
    if made & others or reads & freed:
        return None
    dead = {name for node in rest for name in node.attrs.get("_dead", ()) if name in reads}
    rest = [_freeing(node, set(node.attrs["_dead"]) - dead) if "_dead" in node.attrs else node for node in rest]
    moved[-1] = _freeing(moved[-1], {*moved[-1].attrs.get("_dead", ()), *dead})
    return step.with_nodes(rest), step.with_nodes(moved)


def _freeing(node: Node, names: set[str]) -> Node:
    return replace(node, attrs={**node.attrs, "_dead": tuple(sorted(names))})


def _made_in(loop: LoopStep) -> set[str]:
    """The names outside of what a loop computes."""
    outer = loop.tick.outer
    return {outer[output] for node in loop.tick.graph.nodes for output in node.outputs if output in outer}


def _readers(graph: Graph, name: str) -> Iterator[str]:
    """What is made of a value: nodes by their first results."""
    return (node.outputs[0] for node in graph.nodes if name in node.uses)


def _handing_on(steps: list[Runs], graph: Graph, starts: set[str], fuses: Fuses, modules: Modules) -> list[Runs]:
    """Has steps emit the spikes that others of them read, and keeps out of memory what nothing else reads."""
    fused = [step for step in steps if isinstance(step, FusedLayerStep)]
    # States beside these layers ask for a shape alone; other steps hand on no stand-ins.
    silent = {step.layer.output for step in fused}
    kept = {register.next for register in graph.registers}  # by loops, beside their sequences
    silent |= {node.outputs[0] for node in graph.nodes if node.op == "last" and node.uses[0] in kept}
    silent |= starts.intersection(node.outputs[0] for step in fused for node in step.torch.nodes)
    entering = {step.layer.uses[0] for step in fused if isinstance(step.layer.inputs[0], Ref)}
    direct = {step.layer.uses[0] for step in fused if step.is_linear}
    for place, step in reversed(list(enumerate(steps))):
        torch_step = step.torch if isinstance(step, FusedLayerStep) else step
        if isinstance(torch_step, TorchStep):
            carriers = _carriers(torch_step, graph, silent, entering, fuses, modules)
            silent |= carriers
            entering |= {name for node in torch_step.nodes if node.outputs[0] in carriers for name in node.uses}
            if isinstance(step, FusedLayerStep):
                step.carriers = carriers
            elif carriers:
                steps[place] = CarryingStep(torch_step, fuses, carriers)
    for step in fused:
        made = [step.loop.tick.outer[inner] for inner in step.loop.tick.graph.outputs]
        for name in made:
            if name in entering and name in graph.types and graph.types[name].spike:
                known = silent | _made_in(step.loop)
                hidden = known.issuperset(_readers(graph, name)) and name not in graph.outputs
                step.emitted, step.in_memory = name, not hidden
                step.loop.emitted = step.loop.inside(name) if hidden and name in direct else None
                break
    return steps


def _carriers(
    step: TorchStep, graph: Graph, silent: set[str], entering: set[str], fuses: Fuses, modules: Modules
) -> frozenset[str]:
    """The nodes through which spikes reach such a layer, or another such node, and nothing else."""
    found: set[str] = set()
    wanted = set(entering)
    for node in reversed(step.nodes):
        name = node.outputs[0]
        if name not in wanted or name in graph.outputs or not may_carry(node, fuses, modules):
            continue
        if (silent | found).issuperset(_readers(graph, name)):
            found.add(name)
            wanted.update(node.uses)
    return frozenset(found)
