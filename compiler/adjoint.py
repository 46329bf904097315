"""The derivative of a tick: reverse-mode differentiation of a graph, by the rules of the op table, as a graph again.

The result runs over time in reverse. Its registers are the adjoints of the forward registers (gradient with respect to
what the register held) and the sums of the gradients of what does not vary with time, so one printer serves both.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from norse.compiler.build import Builder, Expression
from norse.compiler.ir import Graph, Node, Ref, Register, Type
from norse.compiler.ops import OPS, comparison
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


def differentiate(tick: Graph, wanted: Collection[str], cutoff: float = 0.0) -> Adjoint:
    """The adjoint of a typed tick. `wanted`: the inputs and registers' initial values whose gradient is asked for.

    Surrogate derivatives that are smaller than `cutoff` count as zero.
    """
    builder = Builder((*tick.inputs, *(register.value for register in tick.registers)))
    # Gradients belong to the tick's own values: in the builder, values that are computed alike are one, but the output
    # of a custom and of plain arithmetic that computes the same have different derivatives.
    values = expand_custom_into(builder, tick)
    gradients: dict[str, Any] = {}
    seeds = {name: f"grad_{name}" for name in tick.outputs}
    for name, seed in seeds.items():
        _add(gradients, name, builder.expression(Ref(builder.names.fresh(seed))))
    adjoints: dict[str, str] = {}
    for register in tick.registers:
        if not tick.types[register.value].dtype.is_floating_point:
            continue
        adjoints[register.value] = builder.names.fresh(f"adjoint_{register.value}")
        _add(gradients, register.next, builder.expression(Ref(adjoints[register.value])))

    active = _active(tick, wanted)
    weights: list[WeightGradient] = []
    for node in reversed(tick.nodes):
        grads = [gradients.get(name) for name in node.outputs]
        if not active.intersection(node.outputs) or all(g is None for g in grads):
            continue
        found = _operand_gradients(values, builder, node, grads)
        if cutoff and is_spike_function(node, tick):
            above = grads[0]
            assert above is not None
            found = [None if gradient is None else _cut(gradient, above, cutoff) for gradient in found]
        for operand, gradient in zip(node.inputs, found, strict=False):
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


def _operand_gradients(values: Mapping[str, Any], builder: Builder, node: Node, grads: list[Any]) -> list[Any]:
    operands: list[Any] = [values[operand.name] if isinstance(operand, Ref) else operand for operand in node.inputs]
    outputs = [values[name] for name in node.outputs]
    if node.op == "custom":
        return _custom_gradients(builder, node, grads, operands, outputs)
    row = OPS[node.op]
    if row.synapse:
        g, x, weight = grads[0], operands[0], operands[1]
        back = builder.emit("linear", g, builder.emit("transpose", weight))
        return [back, _Outer(g.ref.name, x.ref.name), g]
    if row.derivative is None:
        return [None] * len(operands)
    return list(row.derivative(grads[0], outputs[0], *operands))


def _custom_gradients(
    builder: Builder, node: Node, grads: list[Any], operands: list[Any], outputs: list[Any]
) -> list[Any]:
    """The function's own backward, inlined. A gradient that nobody gives is zero."""
    backward: Graph = node.attrs["_backward"]
    given = [out.full_like(0) if g is None else g for g, out in zip(grads, outputs, strict=True)]
    values = dict(zip(backward.inputs, [*operands, *given], strict=True))
    emit_graph(builder, backward, values)
    found = iter(backward.outputs)
    return [values[next(found)] if has else None for has in node.attrs["_gradients"]]


def is_spike_function(node: Node, tick: Graph) -> bool:
    """Whether it decides what fires, with a derivative of its own."""
    return node.op == "custom" and len(node.outputs) == 1 and tick.types[node.output].spike


def reaches(builder: Builder, node: Node, operands: list[Any], output: Any, cutoff: float) -> Any:
    """Whether a gradient passes a spike function here: whether its derivative is not zero."""
    one = output.full_like(1)
    found = [g for g in _custom_gradients(builder, node, [one], operands, [output]) if g is not None]
    if len(found) != 1:
        return None
    return _is_small(found[0], one, cutoff).logical_not() if cutoff else found[0].ne(0)


def may_vanish(node: Node) -> bool:
    """Whether a spike function's derivative decides anything, as those do that are zero far from the threshold."""
    graph = eliminate_dead_code(node.attrs["_backward"])
    return any(each.op in ("relu", "where", "clamp") or OPS[each.op].result is comparison for each in graph.nodes)


def _cut(gradient: Expression, above: Expression, cutoff: float) -> Expression:
    """Zero where it is smaller than `cutoff` times what it is made of: a derivative is that factor."""
    return _is_small(gradient, above, cutoff).where(gradient.full_like(0), gradient)  # type: ignore[no-any-return]


def _is_small(gradient: Expression, above: Expression, cutoff: float) -> Expression:
    return gradient.abs() < above.abs() * cutoff  # type: ignore[no-any-return]


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
        elif node.op == "linear" and len(operands) == 3:  # inside a loop, the bias is added as any row is
            product = builder.emit("linear", *operands[:2], wish="product")
            values[node.output] = builder.emit("add", product, operands[2], wish=wishes.get(node.output, node.output))
        else:
            values[node.output] = builder.emit(node.op, *operands, wish=wishes.get(node.output, node.output))


def expand_custom_into(builder: Builder, tick: Graph) -> dict[str, Expression]:
    """Writes the forward into the builder with what customs compute spelt out, so that their backward finds it.

    Returns what each of the tick's values is in the builder.
    """
    starts = (*tick.inputs, *(r.value for r in tick.registers))
    values: dict[str, Any] = {name: builder.expression(Ref(name)) for name in starts}
    emit_graph(builder, tick, values)
    return values


def _active(tick: Graph, wanted: Collection[str]) -> set[str]:
    """Values that a wanted gradient flows through: those that depend on what is wanted, or on any register."""
    active = set(wanted) | {r.value for r in tick.registers if tick.types[r.value].dtype.is_floating_point}
    for node in tick.nodes:
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
