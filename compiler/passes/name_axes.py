"""Name axes: which dimension of a network's values is time, and which is the batch.

Axes come from the neurons: a layer over time puts T at dimension 0, a cell has none. They go on, both ways, through the
ops that act on every leading position alone. Where nothing tells which axis is time, the model is one tick.
"""

from norse.compiler.ir import BATCH, TIME, Graph, Node, Type
from norse.compiler.ops import OPS


def name_axes(graph: Graph) -> Graph:
    """`[100, 16, 256]` becomes `[T, B, 256]` where the first dimension is time. Types before have sizes for axes."""
    lifted = {name for node in graph.nodes if is_of_one_tick(node) for name in node.outputs}
    lifted |= {register.value for register in graph.registers}
    over_time = _over_time(graph)
    alike = {node.output for node in graph.nodes if node.op == "parameter"} | _states_of_all_samples(graph)
    types = {}
    for name, type_ in graph.types.items():
        axes = type_.axes
        if name not in alike:
            # Inside a Lift, sizes are those of one tick.
            first = (TIME,) if name in lifted or name in over_time else ()
            rest = axes[1:] if name in over_time and name not in lifted else axes
            axes = (*first, *((BATCH, *rest[1:]) if len(rest) > 1 else rest))
        types[name] = Type(type_.dtype, axes)
    return graph.with_types(types)


def _states_of_all_samples(graph: Graph) -> set[str]:
    """States of fewer dimensions than a tick: a membrane that starts where each neuron of a map rests."""
    found: set[str] = set()
    registers = {register.value for register in graph.registers}
    for node in graph.nodes:
        if "_step" in node.attrs:
            rank = len(graph.types[node.uses[0]].axes) - bool(node.attrs.get("_own_time"))
            states = (use for use in node.uses[1:] if use in graph.types and use not in registers)
            found.update(use for use in states if len(graph.types[use].axes) < rank)
    return found


def is_of_one_tick(node: Node) -> bool:
    """Whether it is inside of a Lift or a user's loop, where values are those of a tick."""
    over_time, own_time = node.attrs.get("_over_time", False), node.attrs.get("_own_time", False)
    return node.op == "enter" or (over_time and not own_time and node.op != "initial_state")


def _over_time(graph: Graph) -> set[str]:
    """Values whose first dimension is time: found forwards and backwards, until nothing is added."""
    known: set[str] = set()
    size = -1
    while len(known) > size:
        size = len(known)
        for node in graph.nodes:
            makes_time = node.op == "leave" or node.attrs.get("_own_time")
            if makes_time or (_keeps_leading(node) and known.intersection(node.uses)):
                known.update(node.outputs)
        for node in reversed(graph.nodes):
            if node.op == "enter" or node.attrs.get("_own_time"):
                known.add(node.uses[0])
            elif _keeps_leading(node) and known.intersection(node.outputs):
                known.update(_sequences(node, graph))
    return known


def _sequences(node: Node, graph: Graph) -> tuple[str, ...]:
    """The operands that have a result's leading dimension: those of its rank."""
    rank = len(graph.types[node.outputs[0]].axes)
    return tuple(use for use in node.uses if use in graph.types and len(graph.types[use].axes) == rank)


def _keeps_leading(node: Node) -> bool:
    if "_row" in node.attrs:
        return bool(node.attrs["_row"].keeps_leading)
    return node.op == "linear" or (node.op in OPS and not OPS[node.op].synapse)
