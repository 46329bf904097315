"""Prints what surrounds the arithmetic of a tick: which buffer a value is in, rows of memory, loads and stores.

Every pointer `x_row` is to the row of a sample at a tick; a body works on `x_row[neuron]`.
"""

from norse.backends.c_family.printer import c_type, identifier, statements
from norse.backends.c_family.stages import Stage, rows_between
from norse.compiler.region import Kernel, Kind


def row(name: str) -> str:
    return f"{identifier(name)}_row"


def number_buffers(kernel: Kernel) -> dict[str, int]:
    """The place of every buffer in a call: inputs, initial state, outputs, final state."""
    graph = kernel.graph
    registers = tuple(register.value for register in graph.registers)
    names = (
        *graph.inputs,
        *(f"initial {name}" for name in registers),
        *(f"output {name}" for name in graph.outputs),
        *(f"final {name}" for name in registers),
    )
    return {name: index for index, name in enumerate(names)}


def constants(kernel: Kernel, kind: Kind) -> list[str]:
    """Declares what does not vary with time: numbers, matrices, or the rows of a sample."""
    buffers, lines = number_buffers(kernel), []
    for name in kernel.graph.inputs:
        if kernel.kinds[name] != kind:
            continue
        if kind == Kind.KEY:
            lines.append(f"const uint64_t {identifier(name)} = norse_scalar<uint64_t>(call, {buffers[name]});")
            continue
        type_, index = c_type(kernel.graph, name), buffers[name]
        if kind == Kind.SCALAR:
            lines.append(f"const {type_} {identifier(name)} = norse_scalar<{type_}>(call, {index});")
        elif kind == Kind.MATRIX:
            pointer = f"(const {type_}*)call->buffers[{index}].data"
            lines.append(f"const {type_}* NORSE_RESTRICT {identifier(name)} = {pointer};")
        else:
            pointer = f"norse_row<const {type_}>(call, {index}, 0, sample)"
            lines.append(f"const {type_}* NORSE_RESTRICT {row(name)} = {pointer};")
    return lines


def first_element(kernel: Kernel, neuron: str) -> list[str]:
    """Where a tick draws random numbers: declares the place of neuron `neuron` among all samples' neurons."""
    return [f"const int64_t first = sample * call->neurons + {neuron};"] if kernel.draws else []


def tick_rows(kernel: Kernel) -> list[str]:
    """Declares the rows of a tick: its inputs and outputs."""
    graph, buffers, lines = kernel.graph, number_buffers(kernel), []
    for name in graph.inputs:
        if kernel.kinds[name] == Kind.TICK:
            type_ = f"const {c_type(graph, name)}"
            pointer = f"norse_row<{type_}>(call, {buffers[name]}, tick, sample)"
            lines.append(f"{type_}* NORSE_RESTRICT {row(name)} = {pointer};")
    for name in graph.outputs:
        type_ = c_type(graph, name)
        pointer = f"norse_row<{type_}>(call, {buffers[f'output {name}']}, tick, sample)"
        lines.append(f"{type_}* NORSE_RESTRICT {row(f'output {name}')} = {pointer};")
    return lines


def stage_body(kernel: Kernel, stages: tuple[Stage, ...], index: int) -> list[str]:
    """What a stage does to one neuron: loads, arithmetic, stores. Empty where nothing is stored."""
    graph, stage, last = kernel.graph, stages[index], index == len(stages) - 1
    between = rows_between(kernel, stages)
    made = {node.output for node in stage.elementwise}
    stores = [f"{row(name)}[neuron] = {identifier(name)};" for name in between if name in made]
    read = dict.fromkeys(use for node in stage.elementwise for use in node.uses)
    if last:
        # Every state is written in the last stage, after all of its reads.
        stores += [f"{row(f'output {name}')}[neuron] = {identifier(name)};" for name in graph.outputs]
        stores += [f"{row(r.value)}[neuron] = {next_value(kernel, r.value, r.next)};" for r in graph.registers]
        read.update(dict.fromkeys((*graph.outputs, *(register.next for register in graph.registers))))
    in_rows = {*between, *(register.value for register in graph.registers)}
    in_rows |= {name for name, kind in kernel.kinds.items() if kind in (Kind.TICK, Kind.ROW)}
    loads = [
        f"const {c_type(graph, name)} {identifier(name)} = {row(name)}[neuron];"
        for name in read
        if name not in made and name in in_rows
    ]
    return [*loads, *statements(graph, stage.elementwise), *stores] if stores else []


def next_value(kernel: Kernel, register: str, next_: str) -> str:
    """A register's next value, in the register's type."""
    type_ = c_type(kernel.graph, register)
    return identifier(next_) if c_type(kernel.graph, next_) == type_ else f"({type_}){identifier(next_)}"
