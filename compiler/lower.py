"""From the network level to the tick level: every neuron becomes its traced step, every state field a register."""

import re
from collections import Counter
from dataclasses import replace

from norse.compiler.ir import Graph, Names, Node, Operand, Ref, Register, inline, substitute_inputs
from norse.compiler.trace.step import Step


def lower(network: Graph) -> Graph:
    """A neuron over time is inlined between registers; a cell's state goes in and comes out as values."""
    names = Names(network.names)
    known: dict[str, Operand] = {}  # network values that have another name, or none, on the tick level
    nodes: list[Node] = []
    registers: list[Register] = []
    calls: Counter[str] = Counter()
    for node in network.nodes:
        node = substitute_inputs(node, known)
        if node.op in ("enter", "leave"):
            known[node.output] = node.inputs[0]
        elif "_step" in node.attrs:
            calls[node.attrs["_path"]] += 1
            body, made, values = _inlined(node, names, home(node.attrs["_path"], calls[node.attrs["_path"]]))
            nodes += body
            registers += made
            known.update(values)
        else:
            nodes.append(node)

    def now(name: str) -> str:
        return _name(known.get(name, Ref(name)))

    outputs = tuple(now(name) for name in network.outputs)
    registers += [Register(r.value, now(r.initial), now(r.next)) for r in network.registers]
    tick = replace(network, nodes=tuple(nodes), outputs=outputs, registers=tuple(registers))
    reads = {register.value for register in network.registers}
    starts = {register.initial for register in registers}  # one may be what another call of the neuron made
    kept = {*network.inputs, *reads, *starts, *(name for node in tick.nodes for name in node.outputs if not node.tick)}
    # Which values are 0/1 is found out anew, from what neurons compute.
    types = {name: type_ for name, type_ in network.types.items() if name in kept}
    return tick.with_types(
        {name: replace(type_, spike=False) if type_.spike else type_ for name, type_ in types.items()}
    )


def home(path: str, call: int) -> str:
    """What the nodes of a neuron's call have for their module: each call has its own regions."""
    return path if call == 1 else f"{path} (call {call})"


def path_of(module: str) -> str:
    """The path of the module that a node belongs to."""
    return re.sub(r" \(call \d+\)$", "", module)


def _inlined(node: Node, names: Names, module: str) -> tuple[list[Node], list[Register], dict[str, Operand]]:
    step, over_time = node.attrs["_step"], node.attrs["_over_time"]
    arguments: dict[str, Operand] = {}
    reads = []
    for name, (argument, leaf), operand in zip(step.graph.inputs, step.inputs, node.inputs, strict=True):
        arguments[name] = operand
        if argument == 1 and over_time and leaf not in node.attrs.get("_carried", ()):
            read = names.fresh(name)
            arguments[name] = Ref(read)
            reads.append((read, _name(operand), node.outputs[1 + leaf]))
    made_by_step = {name for inner in step.graph.nodes for name in inner.outputs}
    moving = _moving(step) if over_time else made_by_step
    results: dict[str, str] = {}
    for inner, outer in zip(step.graph.outputs, node.outputs, strict=True):
        if inner in made_by_step & moving:
            results.setdefault(inner, outer)
    body, mapping = inline(step.graph, arguments, results, names, module)
    values = {outer: mapping[inner] for inner, outer in zip(step.graph.outputs, node.outputs, strict=True)}
    fed: set[str] = set()
    for place, (inner, outer) in enumerate(zip(step.graph.outputs, node.outputs, strict=True)):
        if inner not in moving:
            body.append(Node("paced", (outer,), (mapping[inner], node.inputs[0]), {}, module, tick=True))
            values[outer] = Ref(outer)
        # What is handed on as it is, and a value that two registers keep, get a node of the tick like all else.
        elif over_time and (inner not in made_by_step or inner in fed):
            body.append(Node("identity", (outer,), (mapping[inner],), {}, module, tick=True))
            values[outer] = Ref(outer)
        fed.update((inner,) if place else ())
    registers = [Register(read, initial, _name(values[after])) for read, initial, after in reads]
    return body, registers, values


def _moving(step: Step) -> set[str]:
    """The step's values that its input reaches, in whatever tick. The others' only clock is that there is an input."""
    moving = {name for name, (argument, _) in zip(step.graph.inputs, step.inputs, strict=True) if argument == 0}
    states = [name for name, (argument, _) in zip(step.graph.inputs, step.inputs, strict=True) if argument == 1]
    before = -1
    while len(moving) > before:
        before = len(moving)
        for node in step.graph.nodes:
            if moving.intersection(node.uses):
                moving.update(node.outputs)
        moving.update(read for read, fed in zip(states, step.graph.outputs[1:], strict=False) if fed in moving)
    return moving


def _name(operand: Operand) -> str:
    assert isinstance(operand, Ref)
    return operand.name
