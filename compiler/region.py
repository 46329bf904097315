"""A loop region: one tick lowered to what a backend prints, the forward kernel and, for gradients, its adjoint.

A region is a pure function of tensors. Inputs, in order: the tick's inputs (over time `[T, B, N]`, others `[B, N]`, a
number or a matrix), then the initial state. Outputs: the tick's outputs `[T, B, N]`, the final state `[B, N]`, then
what the backward reads (`saved`, `[T, B, N]`).
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import torch

from norse.compiler.adjoint import (
    differentiate,
    expand_custom_into,
    gradient_types,
    is_spike_function,
    may_vanish,
    reaches,
)
from norse.compiler.at_spikes import choose_kept
from norse.compiler.build import Builder
from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Node, Operand, Ref, Register, Type
from norse.compiler.ops import OPS
from norse.compiler.passes.infer_types import infer_types
from norse.compiler.products import InputGradient, WeightGradient, factors
from norse.compiler.saved import backward_graph

_DTYPES = (torch.float32, torch.float64, torch.bool)


class Kind(StrEnum):
    """How a kernel reads an input."""

    TICK = "tick"  # [T, B, N]: a row for each tick and sample
    ROW = "row"  # [B, N]: a row for each sample, the same at every tick
    SCALAR = "scalar"  # one number
    MATRIX = "matrix"  # [N, N], row-major
    PASSIVE = "passive"  # read by no kernel, but by products after the loop
    KEY = "key"  # 64 bits, of which a number for each tick, sample and neuron is made


@dataclass(frozen=True)
class Kernel:
    """One loop over time: what a backend prints and runs. With `reverse`, from the last tick to the first."""

    graph: Graph
    kinds: Mapping[str, Kind]
    reverse: bool = False

    @cached_property
    def mixes_neurons(self) -> bool:
        """Whether a tick needs whole rows: then a sample is the smallest piece of work, else a block of neurons."""
        return any(node.op == "vecmat" for node in self.graph.nodes)

    @cached_property
    def draws(self) -> bool:
        """Whether it makes random numbers."""
        return Kind.KEY in self.kinds.values()

    def dtype(self, name: str) -> torch.dtype:
        return self.graph.types[name].dtype


@dataclass(frozen=True)
class RegionProgram:
    """The kernels of a region and how their results become its outputs and gradients; all of it is in `key`."""

    inputs: tuple[str, ...]  # the tick's inputs, then the registers' initial values
    forward: Kernel
    seeds: tuple[str, ...]  # what backward calls the gradient of each output
    saved: tuple[str, ...]  # what backward reads of forward's values, apart from inputs and outputs
    backward: Kernel | None
    ticks: Mapping[str, str]  # input -> output of backward: gradient at every tick
    sums: Mapping[str, str]  # input -> register of backward: gradient summed over ticks
    states: Mapping[str, str]  # initial value -> register of backward: its gradient
    adjoints: Mapping[str, str]  # register of forward -> register of backward that carries its gradient
    weights: tuple[WeightGradient, ...]
    fast_math: bool = False
    constant: tuple[int, ...] = ()  # of outputs and final states, those that nothing wanted leads to
    reach: str = ""  # where gradients pass the spikes of an output: a further value of forward, behind what is saved
    rows: tuple[InputGradient, ...] = ()
    masks: Mapping[str, str] = field(default_factory=dict)  # of saved values, where each is read, if not everywhere

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(to_json(self).encode()).hexdigest()[:24]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The tick's own outputs; forward's graph also gives what is saved, and the reach."""
        more = len(self.saved) + bool(self.reach)
        return self.forward.graph.outputs[: len(self.forward.graph.outputs) - more]

    @cached_property
    def read_by_backward(self) -> frozenset[str]:
        """Inputs, outputs and saved values that must still be there when gradients are computed."""
        if self.backward is None:
            return frozenset()
        names = {*self.backward.graph.inputs, *(weight.activity for weight in self.weights)}
        names |= factors((*self.weights, *self.rows))
        matrices = (name for name in names if self.backward.kinds.get(name) == Kind.MATRIX)
        return frozenset(names.union(name.removesuffix("_transposed") for name in matrices))


def lower_region(
    tick: Graph,
    kinds: Mapping[str, Kind],
    wanted: Collection[str],
    fast_math: bool = False,
    requiring: Collection[str] = (),
    cutoff: float = 0.0,
    emitted: str | None = None,
) -> RegionProgram:
    """`tick` is typed; `wanted` are the inputs and initial values that need a gradient. Raises Unsupported.

    `requiring`: further ones that make eager's results require a gradient, though nobody asks for theirs. `cutoff`: the
    surrogate derivatives that count as zero are smaller. `emitted`: the spikes whose gradient is best computed only
    where it passes.
    """
    expanded, renamed = _expanded(tick)
    _check(expanded, kinds)
    inputs = (*tick.inputs, *(register.initial for register in tick.registers))
    if not wanted:
        forward = _kernel(expanded, kinds)
        return RegionProgram(inputs, forward, (), (), None, {}, {}, {}, {}, (), fast_math)
    adjoint = differentiate(tick, wanted, cutoff)
    forced = {weight.activity for weight in adjoint.weights}
    kept = choose_kept(expanded, adjoint.graph, forced)
    saved = tuple(name for name in kept.saved if name not in expanded.outputs)
    forward_graph = infer_types(replace(kept.forward, outputs=(*expanded.outputs, *saved)))
    types = {**forward_graph.types, **gradient_types(tick, adjoint)}
    backward = backward_graph(expanded, adjoint.graph, kept.saved, types)
    for register in backward.registers:
        types[register.initial] = types[register.value]
    backward = infer_types(backward.with_types(types))
    alive = {register.value for register in backward.registers}
    forward_graph, reach = _with_reach(forward_graph, tick, renamed, emitted, cutoff)
    seeds = tuple(f"grad_{name}" for name in tick.outputs)
    given = dict.fromkeys((*seeds, *saved, *expanded.outputs), Kind.TICK)
    return RegionProgram(
        inputs,
        _kernel(forward_graph, kinds),
        seeds,
        saved,
        _kernel(backward, {**kinds, **given}, reverse=True),
        adjoint.ticks,
        adjoint.sums,
        {initial: register for initial, register in adjoint.states.items() if initial in wanted and register in alive},
        {r.value: adjoint.states[r.initial] for r in tick.registers if adjoint.states.get(r.initial) in alive},
        adjoint.weights,
        fast_math,
        _constant(tick, {*wanted, *requiring}),
        reach,
        adjoint.rows,
        kept.masks,
    )


def _with_reach(
    forward: Graph, tick: Graph, renamed: Mapping[str, str], emitted: str | None, cutoff: float
) -> tuple[Graph, str]:
    """The forward that also tells where a gradient passes the spikes `emitted`, if it may not pass everywhere."""
    node = tick.producers.get(emitted or "")
    if node is None or not is_spike_function(node, tick) or not (cutoff or may_vanish(node)):
        return forward, ""
    builder = Builder(forward.names)
    operands = [builder.expression(Ref(renamed.get(o.name, o.name)) if isinstance(o, Ref) else o) for o in node.inputs]
    output = builder.expression(Ref(renamed.get(node.output, node.output)))
    passed = reaches(builder, node, operands, output, cutoff)
    if passed is None:
        return forward, ""
    name = passed.ref.name
    graph = replace(forward, nodes=(*forward.nodes, *builder.nodes), outputs=(*forward.outputs, name))
    return infer_types(graph), name


def _constant(tick: Graph, requiring: Collection[str]) -> tuple[int, ...]:
    """Places of the results that do not require a gradient in eager either."""
    led_to, before = set(requiring), -1
    while len(led_to) > before:  # registers lead from one tick to the next
        before = len(led_to)
        led_to.update(r.value for r in tick.registers if led_to.intersection((r.initial, r.next)))
        for node in tick.nodes:
            if led_to.intersection(node.uses) and node.op not in ("detach", "full_like"):
                cut = node.attrs.get("_constant", ())
                led_to.update(
                    name
                    for place, name in enumerate(node.outputs)
                    if place not in cut and tick.types[name].dtype.is_floating_point
                )
    results = (*tick.outputs, *(register.next for register in tick.registers))
    return tuple(place for place, name in enumerate(results) if name not in led_to)


def _expanded(tick: Graph) -> tuple[Graph, dict[str, str]]:
    """The tick in rows of the op table alone, what `custom` nodes compute spelt out, and what its values are there."""
    builder = Builder((*tick.inputs, *(register.value for register in tick.registers)))
    renamed = {name: value.ref.name for name, value in expand_custom_into(builder, tick).items()}
    registers = tuple(replace(r, next=renamed.get(r.next, r.next)) for r in tick.registers)
    outputs: list[str] = []
    for name in tick.outputs:
        value = renamed.get(name, name)
        if value in outputs:  # computed like another output: a copy of it
            copied = builder.names.fresh(name)
            builder.nodes.append(Node("identity", (copied,), (Ref(value),)))
            value = copied
        outputs.append(value)
    graph = replace(tick, nodes=tuple(builder.nodes), registers=registers, outputs=tuple(outputs))
    return infer_types(graph), renamed


def _check(tick: Graph, kinds: Mapping[str, Kind]) -> None:
    for name, type_ in tick.types.items():
        if type_.dtype not in _DTYPES and kinds.get(name) != Kind.KEY:
            raise Unsupported(f"%{name} is {str(type_.dtype).removeprefix('torch.')}: kernels know float32 and float64")
    for node in tick.nodes:
        if node.op not in OPS or (OPS[node.op].c is None and not OPS[node.op].synapse):
            raise Unsupported(f"{node.op} has no C expression")
        if OPS[node.op].synapse and not _is_matrix(tick, node.inputs[1]):
            raise Unsupported(f"a {node.op} inside the loop needs a weight that does not vary with time")


def _is_matrix(tick: Graph, operand: Operand) -> bool:
    return isinstance(operand, Ref) and operand.name in tick.inputs and len(tick.types[operand.name].axes) == 2


def _kernel(graph: Graph, kinds: Mapping[str, Kind], reverse: bool = False) -> Kernel:
    """Synapses become `vecmat(x, M)`, out[n] = sum_k x[k] M[k, n], with the weight or its transpose as a matrix."""
    transposed = {node.output: node.uses[0] for node in graph.nodes if node.op == "transpose"}
    nodes, matrices, types = [], {}, dict(graph.types)
    for node in graph.nodes:
        if node.op == "transpose":
            continue
        if node.op == "linear":
            weight = node.uses[1]
            matrix = transposed.get(weight) or f"{weight}_transposed"
            matrices[matrix] = Kind.MATRIX
            types[matrix] = types[weight]
            node = Node("vecmat", node.outputs, (node.inputs[0], Ref(matrix)), {}, node.module)
        nodes.append(node)
    used = {use for node in nodes for use in node.uses} | {r.next for r in graph.registers} | set(graph.outputs)
    inputs = (*(n for n in graph.inputs if n in used and kinds[n] != Kind.MATRIX), *matrices)
    registers = tuple(Register(r.value, f"initial_{r.value}", r.next) for r in graph.registers)
    named = {name: matrices.get(name) or kinds[name] for name in inputs}
    kept = {*inputs, *(n.output for n in nodes), *(r.value for r in registers)}
    types = {name: _row_or_number(type_) for name, type_ in types.items() if name in kept}
    return Kernel(Graph(inputs, tuple(nodes), graph.outputs, registers, types), named, reverse)


def _row_or_number(type_: Type) -> Type:
    """Of a value's axes a kernel knows only whether there are any: numbers promote less than rows."""
    return Type(type_.dtype, ("N",) if type_.tick_axes else (), type_.spike)


# ---- as text, so that another process can build it from its key ----------------------------------


def to_json(program: RegionProgram) -> str:
    return json.dumps(_plain(program), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, RegionProgram):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Kernel):
        graph = value.graph
        return {
            "inputs": [[name, value.kinds[name]] for name in graph.inputs],
            "nodes": [[node.op, node.output, [_plain(o) for o in node.inputs]] for node in graph.nodes],
            "outputs": list(graph.outputs),
            "registers": [[r.value, r.next] for r in graph.registers],
            "types": {name: [str(type_.dtype), len(type_.axes)] for name, type_ in graph.types.items()},
            "reverse": value.reverse,
        }
    if isinstance(value, WeightGradient | InputGradient):
        return [getattr(value, part.name) for part in fields(value)]
    if isinstance(value, Ref):
        return {"ref": value.name}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def from_json(text: str) -> RegionProgram:
    plain = json.loads(text)
    backward = plain["backward"]
    return RegionProgram(
        tuple(plain["inputs"]),
        _kernel_of(plain["forward"]),
        tuple(plain["seeds"]),
        tuple(plain["saved"]),
        None if backward is None else _kernel_of(backward),
        plain["ticks"],
        plain["sums"],
        plain["states"],
        plain["adjoints"],
        tuple(WeightGradient(*weight) for weight in plain["weights"]),
        plain["fast_math"],
        tuple(plain["constant"]),
        plain["reach"],
        tuple(InputGradient(*row) for row in plain["rows"]),
        plain["masks"],
    )


def _kernel_of(plain: dict[str, Any]) -> Kernel:
    nodes = tuple(Node(op, (out,), tuple(_operand_of(o) for o in inputs)) for op, out, inputs in plain["nodes"])
    registers = tuple(Register(value, f"initial_{value}", next_) for value, next_ in plain["registers"])
    types = {name: Type(_dtype_of(text), ("N",) * rank) for name, (text, rank) in plain["types"].items()}
    graph = Graph(tuple(n for n, _ in plain["inputs"]), nodes, tuple(plain["outputs"]), registers, types)
    return Kernel(graph, {name: Kind(kind) for name, kind in plain["inputs"]}, plain["reverse"])


def _operand_of(plain: Any) -> Operand:
    if isinstance(plain, dict):
        return Ref(plain["ref"]) if "ref" in plain else _dtype_of(plain["dtype"])
    return plain  # type: ignore[no-any-return]


def _dtype_of(text: str) -> torch.dtype:
    return getattr(torch, text.removeprefix("torch."))  # type: ignore[no-any-return]
