"""A layer with weights and the loop of the neurons behind it as one step: the currents between them need not be in
memory.

Nor need spikes that only such layers read, also through pooling, shapes and concatenation (`carriers.py`): the backend
hands them on in its own form. Whether it does is decided at every call; where it does not, both run as they would
alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from norse.compiler.backend import FusedCall, Fuses
from norse.compiler.ir import Node
from norse.compiler.passes.plan_memory import release
from norse.compiler.steps.carriers import carry, train
from norse.compiler.steps.loop import LoopStep, NativeCall, Values
from norse.compiler.steps.torch_nodes import Operands, TorchStep


@dataclass
class CarryingStep:
    """Nodes that torch runs, some of which (`carriers`, by their results) take spikes as the backend has them."""

    torch: TorchStep
    fuses: Fuses
    carriers: frozenset[str] = frozenset()

    def run(self, values: Values) -> None:
        self.run_nodes(self.torch.nodes, values, freeing=True)

    def run_nodes(self, nodes: Sequence[Node], values: Values, *, freeing: bool) -> None:
        held: dict[tuple[str, str], list[Any]] = {}
        for node in nodes:
            if node.outputs[0] not in self.carriers or not carry(node, values, self.fuses, self.torch):
                if node.op not in ("initial_state", "last"):  # which ask for a shape, or the state behind the loop
                    self.bring_to_memory(node.uses, values)
                self.torch.run_node(node, values, held)
            if freeing:
                self.release(values, (node,))

    def release(self, values: Values, nodes: Sequence[Node]) -> None:
        """Frees what nothing reads any more, in every form."""
        release(values, nodes)
        for node in nodes:
            for name in node.attrs.get("_dead", ()):
                values.pop(train(name), None)

    def bring_to_memory(self, names: Iterable[str], values: Values) -> None:
        for name in names:
            spikes = values.get(train(name))
            if spikes is not None and not spikes.in_memory:
                values[name] = self.fuses.dense(values[name], spikes)
                values[train(name)] = replace(spikes, in_memory=True)


@dataclass
class FusedLayerStep(CarryingStep):
    """`torch` runs the layer, where it is not fused, and what stands beside it: what carries spikes to it, and the
    neurons' initial state."""

    layer: Node = field(kw_only=True)
    loop: LoopStep = field(kw_only=True)
    emitted: str | None = None  # spikes of the loop that another such step reads
    in_memory: bool = True  # whether others read them too

    def run(self, values: Values) -> None:
        place = self.torch.nodes.index(self.layer)
        before, behind = self.torch.nodes[:place], self.torch.nodes[place + 1 :]
        self.run_nodes(before, values, freeing=True)
        operands = self.torch.weighted_operands(self.layer, values)
        current = self._stand_in(operands)
        call = None
        if current is not None:
            values[self.layer.output] = current
            self.run_nodes(behind, values, freeing=False)  # of what the layer may read yet
            call = self.loop.prepared(values)
            if call is not None and self._fused(call, operands, values):
                self.release(values, (self.layer, *behind))
                return
        self.bring_to_memory(self.layer.uses[:1], values)
        self.torch.run_node(self.layer, values)
        if current is None:
            self.run_nodes(behind, values, freeing=False)
        self.release(values, (self.layer, *behind))
        if call is None:
            self.loop.run(values)
        else:  # not prepared again, which would draw the keys of random numbers anew
            inputs = list(call.inputs)
            inputs[self._place(call)] = call.layout.tick(values[self.layer.output])
            self.loop.finish(values, call, call.region(inputs, call.sizes))

    def _fused(self, call: NativeCall, operands: Operands, values: Values) -> bool:
        """Whether the backend has run both, with the results in the values."""
        x, weight, bias = operands
        spikes = values.get(train(self.layer.uses[0]))
        emitted = None if self.emitted is None else self.loop.inside(self.emitted)
        made = self.fuses(
            FusedCall(
                program=call.program, inputs=call.inputs, current=self._place(call), sizes=call.sizes,
                layer=self._module, x=x, weight=weight, bias=bias, spikes=spikes,
                emitted=emitted, in_memory=self.in_memory,
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

    def _stand_in(self, operands: Operands) -> Tensor | None:
        """What the currents would be, but for their values; None where the layer is not to be fused, whatever it is."""
        x, weight, bias = operands
        strided = all(isinstance(t, Tensor) and t.layout == torch.strided for t in (x, weight))
        if not strided or _get_current_dispatch_mode() is not None:  # torch.export records, say
            return None
        shape = self.fuses.shape(self._module, x, weight, bias)
        if shape is None:
            return None
        current = _nothing(x.dtype, x.device).expand(shape)
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias)):
            return current.detach().requires_grad_()
        return current

    def _place(self, call: NativeCall) -> int:
        return call.program.inputs.index(self.loop.inside(self.layer.output))


@cache
def _nothing(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # it outlives the call, and others learn
        return torch.full((), torch.nan, dtype=dtype, device=device)
