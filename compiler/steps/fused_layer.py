"""A layer with weights and the loop of the neurons behind it as one step: the currents between them need not be in memory.

Nor need spikes that only such layers read, also through pooling, shapes and concatenation (`carriers.py`): the backend
hands them on in its own form. Whether it does is decided at every call; where it does not, both run as they would alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from norse.compiler.backend import FusedCall, Fuses
from norse.compiler.ir import Graph, Node, Ref
from norse.compiler.passes.custom_operands import matrices, passive_inputs
from norse.compiler.passes.plan_memory import release
from norse.compiler.starts import start_reads
from norse.compiler.steps.carriers import carry, may_carry, train
from norse.compiler.steps.loop import LoopStep, NativeCall, Values
from norse.compiler.steps.stepped import Runs
from norse.compiler.steps.torch_nodes import Operands, TorchStep, has_weights

Modules = Mapping[str, nn.Module]


@dataclass
class FusedLayerStep:
    """`torch` runs the layer, where it is not fused, and what stands beside it: what carries spikes to it, and the
    neurons' initial state."""

    torch: TorchStep
    layer: Node
    loop: LoopStep
    fuses: Fuses
    emitted: str | None = None  # spikes of the loop that another such step reads
    in_memory: bool = True  # whether others read them too
    carriers: frozenset[str] = frozenset()  # what nodes before the layer make of others' spikes, for the layer alone

    def run(self, values: Values) -> None:
        place = self.torch.nodes.index(self.layer)
        before, behind = self.torch.nodes[:place], self.torch.nodes[place + 1 :]
        self._run_nodes(before, values)
        operands = self.torch.weighted_operands(self.layer, values)
        current = self._stand_in(operands)
        call = None
        if current is not None:
            values[self.layer.output] = current
            self._run_nodes(behind, values)
            call = self.loop.prepared(values)
            if call is not None and self._fused(call, operands, values):
                release(values, self.torch.nodes)
                return
        self._in_memory(self.layer.uses[:1], values)
        self.torch.run_node(self.layer, values)
        if current is None:
            self._run_nodes(behind, values)
        release(values, self.torch.nodes)
        if call is None:
            self.loop.run(values)
        else:  # not prepared again, which would draw the keys of random numbers anew
            inputs = list(call.inputs)
            inputs[self._place(call)] = call.layout.tick(values[self.layer.output])
            self.loop.finish(values, call, call.region(inputs, call.sizes))

    def _fused(self, call: NativeCall, operands: Operands, values: Values) -> bool:
        """Whether the backend has run both, with the results in the values."""
        spikes = values.get(train(self.layer.uses[0]))
        emitted = None if self.emitted is None else self.inside(self.emitted)
        made = self.fuses(
            FusedCall(
                call.program, self._module, *operands, spikes, call.inputs, self._place(call), call.sizes, emitted,
                self.in_memory,
            )
        )  # fmt: skip
        if made is None:
            return False
        self.loop.finish(values, call, made.results)
        if self.emitted is not None:
            values[train(self.emitted)] = made.spikes
        return True

    @property
    def is_linear(self) -> bool:
        return self._module is None or isinstance(self._module, nn.Linear)

    @property
    def _module(self) -> nn.Module | None:
        return self.torch.modules[self.layer.attrs["_path"]] if "_row" in self.layer.attrs else None

    def _run_nodes(self, nodes: Sequence[Node], values: Values) -> None:
        held: dict[tuple[str, str], list[Any]] = {}
        for node in nodes:
            if node.outputs[0] in self.carriers and carry(node, values, self.fuses, self.torch):
                continue
            if node.op != "initial_state":  # which asks for a shape
                self._in_memory(node.uses, values)
            self.torch.run_node(node, values, held)

    def _in_memory(self, names: Iterable[str], values: Values) -> None:
        """Has spikes in memory."""
        for name in names:
            spikes = values.get(train(name))
            if spikes is not None and not spikes.in_memory:
                values[name] = self.fuses.dense(values[name], spikes)
                values[train(name)] = replace(spikes, in_memory=True)

    def _stand_in(self, operands: Operands) -> Tensor | None:
        """What the currents would be, but for their values; None where the layer is not to be fused, whatever it is."""
        x, weight, bias = operands
        strided = all(isinstance(t, Tensor) and t.layout == torch.strided for t in (x, weight))
        if not strided or _get_current_dispatch_mode() is not None:  # torch.export records, say
            return None
        shape = self.fuses.shape(self._module, x, weight)
        if shape is None:
            return None
        current = _nothing(x.dtype, x.device).expand(shape)
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias)):
            return current.detach().requires_grad_()
        return current

    def _place(self, call: NativeCall) -> int:
        return call.program.inputs.index(self.inside(self.layer.output))

    def inside(self, name: str) -> str:
        """A value's name inside the loop."""
        return next(inner for inner, outer in self.loop.tick.outer.items() if outer == name)


def fuse_layers(steps: Sequence[Runs], graph: Graph, fuses: Fuses | None, modules: Modules) -> list[Runs]:
    """The steps, with every layer that the backend fuses and the loop that alone reads it as one."""
    if fuses is None:
        return list(steps)
    starts = {
        id(node)
        for step in steps
        if isinstance(step, TorchStep)
        for node in step.nodes
        if node.op == "initial_state" and not start_reads(node, graph.types, modules)
    }
    found: list[Runs] = []
    for step, following in pairwise([*steps, None]):
        if found and isinstance(found[-1], FusedLayerStep) and found[-1].loop is step:
            continue
        assert step is not None
        layer = _fusible(step, following, graph, starts, fuses)
        if layer is None:
            found.append(step)
        else:
            assert isinstance(step, TorchStep)
            assert isinstance(following, LoopStep)
            found.append(FusedLayerStep(step, layer, following, fuses))
    _hand_on(found, graph, starts, modules)
    return found


def _fusible(step: Runs, loop: Runs | None, graph: Graph, starts: set[int], fuses: Fuses) -> Node | None:
    """The layer whose result a loop of elementwise ticks reads, and nothing else but `starts`, for its shape."""
    if not isinstance(step, TorchStep) or not isinstance(loop, LoopStep) or not loop.tick.over_time:
        return None
    if matrices(loop.tick.graph.nodes) or passive_inputs(loop.tick.graph):
        return None
    outer = loop.tick.outer
    entering = {outer[name] for name in loop.tick.varying}
    beside, own = starts.intersection(map(id, step.nodes)), _made_in(loop)
    for node in step.nodes:
        if not has_weights(node) or node.output not in entering or node.output in graph.outputs:
            continue
        module = step.modules[node.attrs["_path"]] if "_row" in node.attrs else None
        readers = [n for n in graph.nodes if node.output in n.uses]
        alone = all(id(n) in beside or n.outputs[0] in own for n in readers)
        if alone and node.uses.count(node.uses[0]) == 1 and fuses.takes(module):
            return node
    return None


def _made_in(loop: LoopStep) -> set[str]:
    """The names outside of what a loop computes."""
    outer = loop.tick.outer
    return {outer[output] for node in loop.tick.graph.nodes for output in node.outputs if output in outer}


def _hand_on(steps: list[Runs], graph: Graph, starts: set[int], modules: Modules) -> None:
    """Has steps emit the spikes that others of them read, and keeps out of memory what nothing else reads."""
    fused = [step for step in steps if isinstance(step, FusedLayerStep)]
    # States beside these layers ask for a shape alone; other steps hand on no stand-ins.
    silent = {id(step.layer) for step in fused}
    silent |= starts.intersection(id(node) for step in fused for node in step.torch.nodes)
    entering = {step.layer.uses[0] for step in fused if isinstance(step.layer.inputs[0], Ref)}
    direct = {step.layer.uses[0] for step in fused if step.is_linear}
    for step in fused:
        carriers = _carriers(step, graph, silent, entering, modules)
        silent |= set(map(id, carriers))
        entering |= {name for node in carriers for name in node.uses}
        step.carriers = frozenset(node.output for node in carriers)
    for step in fused:
        for name in (step.loop.tick.outer[inner] for inner in step.loop.tick.graph.outputs):
            type_ = graph.types.get(name)
            if name in entering and type_ is not None and type_.spike:
                own = _made_in(step.loop)
                readers = [n for n in graph.nodes if name in n.uses and n.outputs[0] not in own]
                hidden = all(id(n) in silent for n in readers) and name not in graph.outputs
                step.emitted, step.in_memory = name, not hidden
                step.loop.emitted = step.inside(name) if hidden and name in direct else None
                break


def _carriers(step: FusedLayerStep, graph: Graph, silent: set[int], entering: set[str], modules: Modules) -> list[Node]:
    """The nodes before the layer through which spikes reach it, or another such node, and nothing else."""
    found: list[Node] = []
    wanted = set(entering)
    for node in reversed(step.torch.nodes[: step.torch.nodes.index(step.layer)]):
        if node.outputs[0] not in wanted or node.output in graph.outputs or not may_carry(node, step.fuses, modules):
            continue
        known = silent | set(map(id, found))
        if all(id(reader) in known for reader in graph.nodes if node.output in reader.uses):
            found.append(node)
            wanted.update(node.uses)
    return found


@cache
def _nothing(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # it outlives the call, and others learn
        return torch.full((), torch.nan, dtype=dtype, device=device)
