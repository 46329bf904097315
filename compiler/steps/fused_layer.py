"""A linear layer and the loop of the neurons behind it as one step: the currents between them need not be in memory.

Nor need spikes that only such layers read: the backend hands them on in its own form. Whether it does is decided at
every call; where it does not, both run as they would alone.
"""

from collections.abc import Mapping, Sequence
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
from norse.compiler.steps.loop import LoopStep, NativeCall, Values
from norse.compiler.steps.stepped import Runs
from norse.compiler.steps.torch_nodes import TorchStep


@dataclass
class FusedLayerStep:
    """`torch` runs the linear layer, where it is not fused, and what stands beside it: the neurons' initial state."""

    torch: TorchStep
    linear: Node
    loop: LoopStep
    fuses: Fuses
    emitted: str | None = None  # spikes of the loop that another such step reads
    in_memory: bool = True  # whether others read them too

    def run(self, values: Values) -> None:
        place = self.torch.nodes.index(self.linear)
        before, behind = self.torch.nodes[:place], self.torch.nodes[place + 1 :]
        self._run_nodes(before, values)
        current = self._stand_in(values)
        call = None
        if current is not None:
            values[self.linear.output] = current
            self._run_nodes(behind, values)
            call = self.loop.prepared(values)
            if call is not None and self._fused(call, values):
                release(values, self.torch.nodes)
                return
        self._in_memory(values)
        self.torch.run_node(self.linear, values)
        if current is None:
            self._run_nodes(behind, values)
        release(values, self.torch.nodes)
        if call is None:
            self.loop.run(values)
        else:  # not prepared again, which would draw the keys of random numbers anew
            inputs = list(call.inputs)
            inputs[self._place(call)] = call.layout.tick(values[self.linear.output])
            self.loop.finish(values, call, call.region(inputs, call.sizes))

    def _fused(self, call: NativeCall, values: Values) -> bool:
        """Whether the backend has run both, with the results in the values."""
        operands = self.torch.operands_of_linear(self.linear, values)
        assert operands is not None
        spikes = values.get(_train(self.linear.uses[0]))
        emitted = None if self.emitted is None else self._inside(self.emitted)
        place = self._place(call)
        made = self.fuses(
            FusedCall(call.program, *operands, spikes, call.inputs, place, call.sizes, emitted, self.in_memory)
        )
        if made is None:
            return False
        self.loop.finish(values, call, made.results)
        if self.emitted is not None:
            values[_train(self.emitted)] = made.spikes
        return True

    def _run_nodes(self, nodes: Sequence[Node], values: Values) -> None:
        held: dict[tuple[str, str], list[Any]] = {}
        for node in nodes:
            self.torch.run_node(node, values, held)

    def _in_memory(self, values: Values) -> None:
        """Has what enters the layer in memory."""
        name = self.linear.uses[0]
        train = values.get(_train(name))
        if train is not None and not train.in_memory:
            values[name] = self.fuses.dense(values[name], train)
            values[_train(name)] = replace(train, in_memory=True)

    def _stand_in(self, values: Values) -> Tensor | None:
        """What the currents would be, but for their values; None where the layer is not to be fused, whatever it is."""
        operands = self.torch.operands_of_linear(self.linear, values)
        if operands is None or _get_current_dispatch_mode() is not None:  # torch.export records, say
            return None
        x, weight, bias = operands
        strided = all(isinstance(t, Tensor) and t.layout == torch.strided for t in (x, weight))
        if not strided or x.ndim < 2 or weight.ndim != 2 or x.shape[-1] != weight.shape[1] or not x.numel():
            return None
        current = _nothing(x.dtype, x.device).expand(*x.shape[:-1], weight.shape[0])
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias)):
            return current.detach().requires_grad_()
        return current

    def _place(self, call: NativeCall) -> int:
        return call.program.inputs.index(self._inside(self.linear.output))

    def _inside(self, name: str) -> str:
        """A value's name inside the loop."""
        return next(inner for inner, outer in self.loop.tick.outer.items() if outer == name)


def fuse_layers(
    steps: Sequence[Runs], graph: Graph, fuses: Fuses | None, modules: Mapping[str, nn.Module]
) -> list[Runs]:
    """The steps, with every linear layer and the loop that alone reads it as one."""
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
        linear = _fusible(step, following, graph, starts)
        if linear is None:
            found.append(step)
        else:
            assert isinstance(step, TorchStep)
            assert isinstance(following, LoopStep)
            found.append(FusedLayerStep(step, linear, following, fuses))
    return _with_trains(found, graph, starts)


def _fusible(step: Runs, loop: Runs | None, graph: Graph, starts: set[int]) -> Node | None:
    """The linear layer whose result a loop of elementwise ticks reads, and nothing else but `starts`, for its shape."""
    if not isinstance(step, TorchStep) or not isinstance(loop, LoopStep) or not loop.tick.over_time:
        return None
    if matrices(loop.tick.graph.nodes) or passive_inputs(loop.tick.graph):
        return None
    outer = loop.tick.outer
    entering = {outer[name] for name in loop.tick.varying}
    beside = starts.intersection(map(id, step.nodes))
    own = {name for node in loop.tick.graph.nodes for name in (outer.get(output) for output in node.outputs)}
    for node in step.nodes:
        if node.op not in ("linear", "Linear") or node.output not in entering or node.output in graph.outputs:
            continue
        readers = [n for n in graph.nodes if node.output in n.uses]
        if all(id(n) in beside or n.outputs[0] in own for n in readers) and node.uses.count(node.uses[0]) == 1:
            return node
    return None


def _with_trains(steps: list[Runs], graph: Graph, starts: set[int]) -> list[Runs]:
    """Has steps emit the spikes that others of them read, and keeps out of memory what nothing else reads."""
    fused = [step for step in steps if isinstance(step, FusedLayerStep)]
    entering = {step.linear.uses[0]: step for step in fused}
    # States beside these layers ask for a shape alone; other steps hand on no stand-ins.
    silent = {id(step.linear) for step in fused}
    silent |= starts.intersection(id(node) for step in fused for node in step.torch.nodes)
    for step in fused:
        outer = step.loop.tick.outer
        made = [outer[name] for name in step.loop.tick.graph.outputs]
        for name in made:
            type_ = graph.types.get(name)
            if (
                name in entering
                and type_ is not None
                and type_.spike
                and isinstance(entering[name].linear.inputs[0], Ref)
            ):
                own = {outer.get(output) for node in step.loop.tick.graph.nodes for output in node.outputs}
                readers = [n for n in graph.nodes if name in n.uses and n.outputs[0] not in own]
                hidden = all(id(n) in silent for n in readers) and name not in graph.outputs
                step.emitted, step.in_memory = name, not hidden
                step.loop.emitted = step._inside(name) if hidden else None
                break
    return steps


@cache
def _nothing(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # it outlives the call, and others learn
        return torch.full((), torch.nan, dtype=dtype, device=device)


def _train(name: str) -> str:
    """Where a value's spikes are in the backend's form, beside the value itself."""
    return f"spikes of {name}"
