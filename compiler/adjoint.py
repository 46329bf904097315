"""The derivative of a tick: reverse-mode differentiation of a graph, by the rules of the op table, as a graph again.

The result runs over time in reverse. Its registers are the adjoints of the forward registers (gradient with respect to
what the register held) and the sums of the gradients of what does not vary with time, so one printer serves both.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from norse.compiler.build import Builder, Expression
from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Node, Ref, Register, Type
from norse.compiler.ops import OPS, comparison
from norse.compiler.passes.custom_operands import operands_of
from norse.compiler.passes.eliminate_dead_code import eliminate_dead_code
from norse.compiler.products import InputGradient, Product, WeightGradient, combined, is_products, outer


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
    rows: tuple[InputGradient, ...] = ()


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

    fixed = {name for name in tick.inputs if not tick.types[name].over_time}
    products = _accumulate(tick, builder, values, gradients, _active(tick, wanted), fixed.__contains__, cutoff)
    weights = tuple(found for name, p in products if isinstance(found := p.of(name), WeightGradient))
    rows = tuple(found for name, p in products if isinstance(found := p.of(name), InputGradient))

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

    needed = [*ticks.values(), *(product.gradient for _, product in products)]
    inputs = (*tick.inputs, *(r.value for r in tick.registers), *seeds.values())
    graph = Graph(inputs, tuple(builder.nodes), tuple(dict.fromkeys(needed)), tuple(registers))
    activities = (weight.activity for weight in weights)
    keep = [*graph.outputs, *activities, *sums.values()]
    keep += (a for v, a in adjoints.items() if _initial(tick, v) in wanted)
    pruned = eliminate_dead_code(replace(graph, outputs=tuple(dict.fromkeys(keep))))
    graph = replace(pruned, outputs=graph.outputs)
    return Adjoint(graph, ticks, sums, {_initial(tick, v): a for v, a in adjoints.items()}, weights, rows)


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


def pull_back(
    graph: Graph, starts: Collection[str], seed: str, taken: Collection[str]
) -> tuple[list[Node], list[str | None]]:
    """The nodes that compute, of the gradient `seed` of a graph's only output, those of `starts`; and their names."""
    builder = Builder(taken)
    values = {name: builder.expression(Ref(name)) for name in graph.names}
    gradients = {graph.outputs[0]: builder.expression(Ref(seed))}
    active = set(starts)
    for node in graph.nodes:
        if node.op != "detach" and active.intersection(node.uses):
            active.update(node.outputs)
    if _accumulate(graph, builder, values, gradients, active, lambda _: False):
        raise Unsupported("it calls torch.func.vjp with a function that mixes neurons")
    return builder.nodes, [gradients[name].ref.name if name in gradients else None for name in starts]


def _accumulate(
    graph: Graph,
    builder: Builder,
    values: Mapping[str, Any],
    gradients: dict[str, Any],
    active: Collection[str],
    is_fixed: Callable[[str], bool],
    cutoff: float = 0.0,
) -> list[tuple[str, Product]]:
    """Adds to `gradients` those of all that the graph's nodes read; gives what is a product after the loop, by value.

    `values` are the graph's own in the builder; a gradient is made for `active` ones alone.
    """
    products: list[tuple[str, Product]] = []
    for node in reversed(graph.nodes):
        grads = [gradients.get(name) for name in node.outputs]
        if not set(active).intersection(node.outputs) or all(g is None for g in grads):
            continue
        found = _operand_gradients(values, builder, node, grads, is_fixed)
        if cutoff and is_spike_function(node, graph):
            above = grads[0]
            assert above is not None
            found = [g if g is None or is_products(g) else _cut(g, above, cutoff) for g in found]
        for operand, gradient in zip(node.inputs, found, strict=False):
            if gradient is None or not isinstance(operand, Ref) or operand.name not in active:
                continue
            if not is_products(gradient):
                _add(gradients, operand.name, gradient)
            elif operand.name in graph.inputs:
                products += ((operand.name, product) for product in gradient)
            else:
                raise Unsupported(f"%{operand.name}, whose gradient is summed over samples, is computed in the loop")
    return products


def _operand_gradients(
    values: Mapping[str, Any], builder: Builder, node: Node, grads: list[Any], is_fixed: Callable[[str], bool]
) -> list[Any]:
    operands: list[Any] = [values[operand.name] if isinstance(operand, Ref) else operand for operand in node.inputs]
    outputs = [values[name] for name in node.outputs]
    if node.op == "custom":
        return _custom_gradients(builder, node, grads, operands, outputs, is_fixed)
    if node.op not in OPS:
        raise Unsupported(f"{node.attrs.get('target', node.op)} is not in the op table")
    row = OPS[node.op]
    if row.synapse:
        g, x, weight = grads[0], operands[0], operands[1]
        back = builder.emit("linear", g, builder.emit("transpose", weight))
        return [back, outer(g, x), g]
    if row.derivative is None:
        return [None] * len(operands)
    return list(row.derivative(grads[0], outputs[0], *operands))


def _custom_gradients(
    builder: Builder,
    node: Node,
    grads: list[Any],
    operands: list[Any],
    outputs: list[Any],
    is_fixed: Callable[[str], bool] = lambda _: False,
) -> list[Any]:
    """The function's own backward, inlined. A gradient that nobody gives is zero."""
    backward: Graph = node.attrs["_backward"]
    constant = node.attrs.get("_constant", ())
    given = [
        out.full_like(0) if g is None or place in constant else g
        for place, (g, out) in enumerate(zip(grads, outputs, strict=True))
    ]
    values = dict(zip(backward.inputs, [*operands, *given], strict=True))
    after = operands_of(node).after
    for inner in backward.nodes:
        read = [values[operand.name] if isinstance(operand, Ref) else operand for operand in inner.inputs]
        if after.intersection(inner.outputs):
            values[inner.output] = _product_after(backward, inner, values)
        elif inner.op == "outer" or any(map(is_products, read)):
            values[inner.output] = combined(inner, read, is_fixed)
        else:
            emit_graph(builder, replace(backward, nodes=(inner,)), values)
    found = iter(backward.outputs)
    return [values[next(found)] if has else None for has in node.attrs["_gradients"]]


def is_spike_function(node: Node, tick: Graph) -> bool:
    """Whether it decides what fires, with a derivative of its own."""
    return node.op == "custom" and len(node.outputs) == 1 and tick.types[node.output].spike


def reaches(builder: Builder, node: Node, operands: list[Any], output: Any, cutoff: float) -> Any:
    """Whether a gradient passes a spike function here: whether its derivative is not zero."""
    one = output.full_like(1)
    found = [g for g in _custom_gradients(builder, node, [one], operands, [output]) if g is not None]
    if len(found) != 1 or is_products(found[0]):
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


def _product_after(backward: Graph, node: Node, values: Mapping[str, Any]) -> tuple[Product, ...]:
    """`linear(%g, transpose(%W))` is g @ W, `linear(%g, %W)` g @ Wᵀ."""
    turned = {inner.output: inner.uses[0] for inner in backward.nodes if inner.op == "transpose"}
    gradient, weight = node.uses
    matrix = values[turned.get(weight, weight)]
    return (Product(values[gradient].ref.name, matrix.ref.name, of_weight=False, transposed=weight not in turned),)


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
        elif node.op == "expand_as":  # in a loop all values are as wide as the widest
            values[node.output] = operands[0]
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
