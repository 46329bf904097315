"""The derivative of a tick: reverse-mode differentiation of a graph, by the rules of the op table, as a graph again.

The result runs over time in reverse. Its registers are the adjoints of the forward registers (gradient with respect to
what the register held) and the sums of the gradients of what does not vary with time, so one printer serves both.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from norse.compiler.build import Builder, Expression
from norse.compiler.ir import Graph, Node, Ref, Register, Type, substitute
from norse.compiler.ops import OPS
from norse.compiler.passes.eliminate_dead_code import eliminate_dead_code


@dataclass(frozen=True)
class WeightGradient:
    """dL/dW = sum over ticks and samples of `gradient` ⊗ `activity`: one matrix product after the loop."""

    weight: str
    gradient: str
    activity: str


@dataclass(frozen=True)
class Adjoint:
    """`graph` with the forward's values still computed in it (`saved.py` decides which of them are kept instead).

    Inputs: those of the forward, then a gradient for each of its outputs. `sums` names the register that adds up the
    gradient of an input that does not vary with time, `states` the one that carries a register's gradient, `ticks` the
    output that is the gradient of an input at this tick.
    """

    graph: Graph
    ticks: dict[str, str]
    sums: dict[str, str]
    states: dict[str, str]
    weights: tuple[WeightGradient, ...]


def differentiate(tick: Graph, wanted: Collection[str]) -> Adjoint:
    """The adjoint of a typed tick. `wanted`: the inputs and registers' initial values whose gradient is asked for."""
    builder = Builder((*tick.inputs, *(register.value for register in tick.registers)))
    flat, renamed = expand_custom_into(builder, tick)
    gradients: dict[str, Any] = {}
    seeds = {name: f"grad_{name}" for name in tick.outputs}
    for name, seed in seeds.items():
        _add(gradients, renamed.get(name, name), builder.expression(Ref(builder.names.fresh(seed))))
    adjoints: dict[str, str] = {}
    for register in tick.registers:
        if not tick.types[register.value].dtype.is_floating_point:
            continue
        adjoints[register.value] = builder.names.fresh(f"adjoint_{register.value}")
        _add(gradients, renamed.get(register.next, register.next), builder.expression(Ref(adjoints[register.value])))

    active = _active(flat, tick, wanted)
    weights: list[WeightGradient] = []
    for node in reversed(flat):
        grads = [gradients.get(name) for name in node.outputs]
        if not active.intersection(node.outputs) or all(g is None for g in grads):
            continue
        for operand, gradient in zip(node.inputs, _operand_gradients(builder, node, grads), strict=False):
            if gradient is None or not isinstance(operand, Ref) or operand.name not in active:
                continue
            if isinstance(gradient, _Outer):
                weights.append(WeightGradient(operand.name, gradient.gradient, gradient.activity))
            else:
                _add(gradients, operand.name, gradient)

    ticks, sums, registers = {}, {}, []
    for name in tick.inputs:
        if name not in wanted or not isinstance(gradients.get(name), Expression):
            continue
        if tick.types[name].over_time:
            ticks[name] = gradients[name].ref.name
        else:
            total = builder.names.fresh(f"sum_{name}")
            next_ = builder.emit("add", Ref(total), gradients[name])
            sums[name] = total
            registers.append(Register(total, f"initial_{total}", next_.ref.name))
    for value, adjoint in adjoints.items():
        gradient = gradients.get(value)
        if gradient is None:
            gradient = builder.emit("full_like", Ref(adjoint), 0)
        registers.append(Register(adjoint, f"final_{value}", gradient.ref.name))

    needed = [*ticks.values(), *(w.gradient for w in weights)]
    inputs = (*tick.inputs, *(r.value for r in tick.registers), *seeds.values())
    graph = Graph(inputs, tuple(builder.nodes), tuple(dict.fromkeys(needed)), tuple(registers))
    activities = (weight.activity for weight in weights)
    keep = [*graph.outputs, *activities, *sums.values()]
    keep += (a for v, a in adjoints.items() if _initial(tick, v) in wanted)
    pruned = eliminate_dead_code(replace(graph, outputs=tuple(dict.fromkeys(keep))))
    graph = replace(pruned, outputs=graph.outputs)
    return Adjoint(graph, ticks, sums, {_initial(tick, v): a for v, a in adjoints.items()}, tuple(weights))


def gradient_types(tick: Graph, adjoint: Adjoint) -> dict[str, Type]:
    """Types of the adjoint's inputs and registers: a gradient has dtype and axes of what it is the gradient of."""
    types = {name: tick.types[name] for name in (*tick.inputs, *(r.value for r in tick.registers))}
    for name in tick.outputs:
        types[f"grad_{name}"] = _analog(tick.types[name])
    for register in tick.registers:
        if register.initial in adjoint.states:
            types[adjoint.states[register.initial]] = _analog(tick.types[register.value])
    for name, total in adjoint.sums.items():
        types[total] = _analog(tick.types[name])
    return types


@dataclass(frozen=True)
class _Outer:
    gradient: str
    activity: str


def _operand_gradients(builder: Builder, node: Node, grads: list[Any]) -> list[Any]:
    if node.op == "custom":
        return _custom_gradients(builder, node, grads)
    row = OPS[node.op]
    operands = [builder.expression(operand) for operand in node.inputs]
    if row.synapse:
        g, x, weight = grads[0], operands[0], operands[1]
        back = builder.emit("linear", g, builder.emit("transpose", weight))
        return [back, _Outer(g.ref.name, x.ref.name), g]
    if row.derivative is None:
        return [None] * len(operands)
    return list(row.derivative(grads[0], builder.expression(Ref(node.output)), *operands))


def _custom_gradients(builder: Builder, node: Node, grads: list[Any]) -> list[Any]:
    """The function's own backward, inlined. A gradient that nobody gives is zero."""
    backward: Graph = node.attrs["_backward"]
    outputs = [builder.expression(Ref(name)) for name in node.outputs]
    given = [out.full_like(0) if g is None else g for g, out in zip(grads, outputs, strict=True)]
    operands = [builder.expression(operand) for operand in node.inputs]
    values = dict(zip(backward.inputs, [*operands, *given], strict=True))
    emit_graph(builder, backward, values)
    found = iter(backward.outputs)
    return [values[next(found)] if has else None for has in node.attrs["_gradients"]]


def emit_graph(builder: Builder, graph: Graph, values: dict[str, Any], wishes: Mapping[str, str] | None = None) -> None:
    """Writes the nodes of a graph into the builder; `values` has its inputs and gets all its values.

    `wishes` are other names for some of its values: a custom's results keep the name that they have outside.
    """
    wishes = wishes or {}
    for node in graph.nodes:
        operands = [values[o.name] if isinstance(o, Ref) else o for o in node.inputs]
        if node.op == "custom":
            forward: Graph = node.attrs["_forward"]
            inner = dict(zip(forward.inputs, operands, strict=True))
            outer = [wishes.get(name, name) for name in node.outputs]
            emit_graph(builder, forward, inner, dict(zip(forward.outputs, outer, strict=True)))
            values.update(zip(node.outputs, (inner[name] for name in forward.outputs), strict=True))
        else:
            values[node.output] = builder.emit(node.op, *operands, wish=wishes.get(node.output, node.output))


def expand_custom_into(builder: Builder, tick: Graph) -> tuple[list[Node], dict[str, str]]:
    """Writes the forward into the builder with what customs compute spelt out, so that their backward finds it.

    Returns the forward's nodes as they were (customs whole, for differentiation), with the builder's names, and what
    each old name became.
    """
    values: dict[str, Any] = {name: Ref(name) for name in (*tick.inputs, *(r.value for r in tick.registers))}
    made: dict[str, Ref] = {}
    flat = []
    for node in tick.nodes:
        operands = tuple(substitute(operand, made) for operand in node.inputs)
        emit_graph(builder, replace(tick, nodes=(node,)), values)
        made.update({name: values[name].ref for name in node.outputs})
        outputs = tuple(made[name].name for name in node.outputs)
        flat.append(replace(node, inputs=operands, outputs=outputs))
    return flat, {name: ref.name for name, ref in made.items()}


def _active(nodes: list[Node], tick: Graph, wanted: Collection[str]) -> set[str]:
    """Values that a wanted gradient flows through: those that depend on what is wanted, or on any register."""
    active = set(wanted) | {r.value for r in tick.registers if tick.types[r.value].dtype.is_floating_point}
    for node in nodes:
        if node.op != "detach" and active.intersection(node.uses):
            active.update(node.outputs)
    return active


def _add(gradients: dict[str, Any], name: str, gradient: Any) -> None:
    known = gradients.get(name)
    gradients[name] = gradient if known is None else known + gradient


def _initial(tick: Graph, value: str) -> str:
    return next(register.initial for register in tick.registers if register.value == value)


def _analog(type_: Type) -> Type:
    return replace(type_, spike=False)
