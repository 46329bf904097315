"""How the tensors of a tick lie in a kernel's [T, B, N]: found once for each combination of shapes and dtypes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from norse.compiler.draws import Drawn, draw_inside, draws
from norse.compiler.errors import Unsupported
from norse.compiler.ir import TIME, Graph, Type
from norse.compiler.passes.custom_operands import matrices, passive_inputs
from norse.compiler.passes.infer_types import infer_nodes
from norse.compiler.region import Kind

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """`shape` is a tick's widest value; kernels see its first `lead` dimensions as samples, the rest as neurons."""

    shape: Shape
    lead: int
    kinds: Mapping[str, Kind]
    states: tuple[Shape, ...]  # of each register, as eager would return it
    graph: Graph  # the tick, with the types that it has for these inputs, and what its random numbers come from
    drawn: Drawn

    @cached_property
    def samples(self) -> int:
        return math.prod(self.shape[: self.lead])

    @cached_property
    def neurons(self) -> int:
        return math.prod(self.shape[self.lead :])

    @cached_property
    def signature(self) -> Any:
        """All that a region depends on of a layout: not its sizes."""
        types = tuple((name, type_.dtype, bool(type_.tick_axes)) for name, type_ in self.graph.types.items())
        return tuple(self.kinds.items()), types

    def given(self, x: Tensor, kind: Kind, varying: bool) -> Tensor:
        """An input as kernels read it, and as products do after the loop."""
        if not varying:
            return self.fixed(x, kind)
        return self.passive(x) if kind == Kind.PASSIVE else self.tick(x)

    def tick(self, x: Tensor) -> Tensor:
        """[T, ...] as [T, B, N]."""
        length = x.shape[0]
        if x.shape[1:] == self.shape:
            whole = (length, self.samples, self.neurons)
            return x if x.shape == whole else x.reshape(whole)
        x = x.reshape(length, *(1,) * (len(self.shape) + 1 - x.ndim), *x.shape[1:])
        return x.expand(length, *self.shape).reshape(length, self.samples, self.neurons)

    def passive(self, x: Tensor) -> Tensor:
        """What no tick reads, [T, ..., K], as [T, B, K]: with the neurons' samples, and a size of its own."""
        length, size = x.shape[0], x.shape[-1]
        x = x.reshape(length, *(1,) * (len(self.shape) + 1 - x.ndim), *x.shape[1:])
        return x.expand(length, *self.shape[:-1], size).reshape(length, self.samples, size)

    def state(self, x: Tensor) -> Tensor:
        """A state field as [B, N]; torch sums its gradient back where it was narrower."""
        wide = x if x.shape == self.shape else x.expand(self.shape)
        rows = (self.samples, self.neurons)
        return wide if wide.shape == rows else wide.reshape(rows)

    def fixed(self, x: Tensor, kind: Kind) -> Tensor:
        """What does not vary with time: a number and a matrix as they are, all else as [B, N]."""
        if kind == Kind.SCALAR and x.ndim > 2:
            return x.reshape(1)  # its gradient comes as a row
        if kind != Kind.ROW:
            return x
        x = x.reshape(*(1,) * (len(self.shape) - x.ndim), *x.shape)
        if all(size == 1 for size in x.shape[: self.lead]):  # the same for every sample: one row
            row = x.reshape(x.shape[self.lead :]).expand(self.shape[self.lead :]).reshape(1, self.neurons)
            return row.expand(self.samples, self.neurons)
        return x.expand(self.shape).reshape(self.samples, self.neurons)

    def narrow(self, final: Tensor, shape: Shape) -> Tensor:
        """A final state [B, N] in the shape that eager gives it."""
        whole = final if final.shape == self.shape else final.reshape(self.shape)
        if shape == self.shape:
            return whole
        missing = len(self.shape) - len(shape)
        index = (0,) * missing + tuple(slice(0, 1) if size == 1 else slice(None) for size in shape)
        return whole[index]


def find_layout(
    tick: Graph, varying: Sequence[str], tensors: Mapping[str, Tensor], initial: Mapping[str, Tensor]
) -> Layout:
    """The layout for these tensors; `varying` are over time (or one tick, with a leading 1). Raises Unsupported."""
    types = {name: _type(tensor, name in varying) for name, tensor in tensors.items()}
    for register in tick.registers:
        types[register.value] = Type(initial[register.initial].dtype, tuple(initial[register.initial].shape))
    first = dict(types)
    infer_nodes(tick.nodes, first)
    later = dict(types)
    later.update({r.value: _tick_type(first[r.next]) for r in tick.registers})
    infer_nodes(tick.nodes, later)
    _check_first_tick(tick, first, later)
    shape: Shape = ()
    for name in (*(o for node in tick.nodes for o in node.outputs), *(r.value for r in tick.registers)):
        shape = torch.broadcast_shapes(shape, later[name].tick_axes)
    for register in tick.registers:  # of a state that is given and never read, nothing else is as large
        shape = torch.broadcast_shapes(shape, first[register.value].tick_axes)
    drawn = draw_inside(tick, later, shape)
    tick, varying = drawn.graph, (*varying, *drawn.inputs)
    later.update({name: draw.type for name, draw in drawn.ahead.items()})
    if drawn.key is not None:
        later[drawn.key] = Type(torch.int64, shape)
    infer_nodes(tick.nodes, later)
    for name in tick.outputs:
        if later[name].tick_axes != shape:
            raise Unsupported(f"its output is {list(later[name].tick_axes)} a tick, and its state {list(shape)}")
    kinds = dict.fromkeys(tick.inputs, Kind.TICK)
    kinds |= {n: Kind.SCALAR if x.numel() == 1 else Kind.ROW for n, x in tensors.items() if n not in varying}
    kinds |= dict.fromkeys(matrices(tick.nodes) - set(varying), Kind.MATRIX)
    kinds |= dict.fromkeys(passive_inputs(tick), Kind.PASSIVE)
    kinds.update({drawn.key: Kind.KEY} if drawn.key is not None else {})
    matrix = Kind.MATRIX in kinds.values() or Kind.PASSIVE in kinds.values()
    lead = max(len(shape) - 1, 0) if matrix else min(1, max(len(shape) - 1, 0))
    neurons = math.prod(shape[lead:])
    for name, kind in kinds.items():
        if kind == Kind.MATRIX and tuple(tensors[name].shape) != (neurons, neurons):
            raise Unsupported(f"a weight {list(tensors[name].shape)} inside the loop over {neurons} neurons")
    fixed = set(tick.inputs) - set(varying)
    typed = {n: t if n in fixed else replace(t, axes=(TIME, *t.tick_axes)) for n, t in later.items()}
    states = tuple(tuple(map(int, later[r.value].tick_axes)) for r in tick.registers)
    return Layout(shape, lead, kinds, states, tick.with_types(typed), drawn)


def _check_first_tick(tick: Graph, first: Mapping[str, Type], later: Mapping[str, Type]) -> None:
    """A state may widen in the first tick; where that changes a dtype or an output, it is another program."""
    for node in tick.nodes:
        for name in node.outputs:
            if first[name].dtype != later[name].dtype:
                raise Unsupported(f"%{name} is {first[name].dtype} at the first tick and {later[name].dtype} later")
            if draws(node) and first[name].tick_axes != later[name].tick_axes:
                raise Unsupported(f"%{name} is drawn in another shape at the first tick")
    for register in tick.registers:
        if _tick_type(first[register.next]) != _tick_type(later[register.next]):
            raise Unsupported("the shape of its state changes at every tick")
        if first[register.value].dtype != later[register.value].dtype:
            raise Unsupported(f"its state is {first[register.value].dtype} and becomes {later[register.value].dtype}")
    for name in tick.outputs:
        if first[name].tick_axes != later[name].tick_axes:
            raise Unsupported("the shape of its output changes after the first tick")


def _type(tensor: Tensor, varying: bool) -> Type:
    shape = tuple(tensor.shape)
    return Type(tensor.dtype, (TIME, *shape[1:]) if varying else shape)


def _tick_type(type_: Type) -> Type:
    return Type(type_.dtype, type_.tick_axes)
