"""Prints a kernel as CUDA C++: a thread for each neuron and sample, or a block for each sample where neurons mix.

A thread holds its state in registers over all ticks. Where a tick needs whole rows (recurrent weights), the threads of
a block share a sample's neurons and meet at a barrier after every stage.
"""

from norse.backends.c_family.body import (
    constants,
    first_element,
    next_value,
    number_buffers,
    row,
    stage_body,
    tick_rows,
)
from norse.backends.c_family.printer import c_type, identifier, statements
from norse.backends.c_family.stages import cut_stages, rows_between
from norse.compiler.ir import Node
from norse.compiler.region import Kernel, Kind

_BARRIER = "__syncthreads();"
_EACH_NEURON = "for (int64_t neuron = threadIdx.x; neuron < count; neuron += blockDim.x) {"


def emit_cuda(kernel: Kernel, symbol: str, title: str = "") -> str:
    """A whole translation unit with one function `__global__ void symbol(norse_call, norse_buffers<COUNT>)`."""
    body = _block_for_each_sample(kernel) if kernel.mixes_neurons else _thread_for_each_neuron(kernel)
    lines = [
        f"// {title or symbol}",
        '#include "kernel.cuh"',
        *(['#include "philox.h"'] if kernel.draws else []),
        "",
        f'extern "C" __global__ void {symbol}(norse_call given, norse_buffers<{buffer_count(kernel)}> buffers) {{',
        "  given.buffers = buffers.at;",
        "  const norse_call* call = &given;",
        "  const int64_t count = call->neuron_end - call->neuron_begin;",
        *(f"  {line}" for line in body),
        "}",
        "",
    ]
    return "\n".join(lines)


def buffer_count(kernel: Kernel) -> int:
    return len(number_buffers(kernel)) + len(block_rows(kernel))


def block_rows(kernel: Kernel) -> tuple[str, ...]:
    """Values that need a row of memory for each sample, in buffers after all others. States are in their final rows."""
    return rows_between(kernel, cut_stages(kernel)) if kernel.mixes_neurons else ()


def _loop_over_ticks(kernel: Kernel) -> str:
    if kernel.reverse:
        return "for (int64_t tick = call->tick_end - 1; tick >= call->tick_begin; --tick) {"
    return "for (int64_t tick = call->tick_begin; tick < call->tick_end; ++tick) {"


# ---- a thread for each neuron and sample -----------------------------------------------------------------------------


def _thread_for_each_neuron(kernel: Kernel) -> list[str]:
    graph, buffers = kernel.graph, number_buffers(kernel)

    def load(name: str, place: str, tick: str) -> str:
        type_ = c_type(graph, name)
        return f"const {type_} {identifier(name)} = {_value(f'const {type_}', buffers[place], tick)};"

    registers = [(r, c_type(graph, r.value), f"{identifier(r.value)}_held") for r in graph.registers]
    first = [f"{type_} {held} = {_value(type_, buffers[f'initial {r.value}'])};" for r, type_, held in registers]
    fixed = [load(name, name, "0") for name in graph.inputs if kernel.kinds[name] == Kind.ROW]
    reads = [load(name, name, "tick") for name in graph.inputs if kernel.kinds[name] == Kind.TICK]
    reads += [f"const {type_} {identifier(r.value)} = {held};" for r, type_, held in registers]
    writes = [
        f"{_value(c_type(graph, name), buffers[f'output {name}'], 'tick')} = {identifier(name)};"
        for name in graph.outputs
    ]
    writes += [f"{held} = {next_value(kernel, r.value, r.next)};" for r, _, held in registers]
    return [
        "const int64_t place = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;",
        "const int64_t sample = call->sample_begin + place / count, neuron = call->neuron_begin + place % count;",
        "if (sample >= call->sample_end) return;",
        *(line for kind in (Kind.SCALAR, Kind.KEY) for line in constants(kernel, kind)),
        *first_element(kernel, "0"),
        *fixed,
        *first,
        _loop_over_ticks(kernel),
        *(f"  {line}" for line in (*reads, *statements(graph, graph.nodes), *writes)),
        "}",
        *(f"{_value(type_, buffers[f'final {r.value}'])} = {held};" for r, type_, held in registers),
    ]


def _value(type_: str, buffer: int, tick: str = "0") -> str:
    return f"norse_at<{type_}>(call, {buffer}, {tick}, sample, neuron)"


# ---- a block for each sample -----------------------------------------------------------------------------------------


def _block_for_each_sample(kernel: Kernel) -> list[str]:
    stages = cut_stages(kernel)
    return [
        "const int64_t sample = call->sample_begin + blockIdx.x;",
        *(line for kind in (Kind.SCALAR, Kind.MATRIX, Kind.KEY, Kind.ROW) for line in constants(kernel, kind)),
        *first_element(kernel, "call->neuron_begin"),
        *_rows_of_the_block(kernel),
        *_each_neuron(_starting_state(kernel)),
        _BARRIER,
        _loop_over_ticks(kernel),
        *(f"  {line}" for line in tick_rows(kernel)),
        *(f"  {line}" for index in range(len(stages)) for line in _stage(kernel, index)),
        "}",
    ]


def _rows_of_the_block(kernel: Kernel) -> list[str]:
    """Rows that its threads read of each other, so no pointer is restricted."""
    buffers = number_buffers(kernel)
    places = {register.value: buffers[f"final {register.value}"] for register in kernel.graph.registers}
    places.update((name, len(buffers) + index) for index, name in enumerate(block_rows(kernel)))
    types = {name: c_type(kernel.graph, name) for name in places}
    return [
        f"{types[name]}* {row(name)} = norse_row<{types[name]}>(call, {index}, 0, sample);"
        for name, index in places.items()
    ]


def _starting_state(kernel: Kernel) -> list[str]:
    buffers, lines = number_buffers(kernel), []
    for register in kernel.graph.registers:
        type_, index = c_type(kernel.graph, register.value), buffers[f"initial {register.value}"]
        lines.append(f"{row(register.value)}[neuron] = norse_row<const {type_}>(call, {index}, 0, sample)[neuron];")
    return lines


def _stage(kernel: Kernel, index: int) -> list[str]:
    """A stage and the synapses that follow it, each through before the next begins."""
    stages = cut_stages(kernel)
    body, synapses = stage_body(kernel, stages, index), stages[index].synapses
    lines = [*_each_neuron(body), _BARRIER] if body else []
    return [*lines, *(_synapse(node) for node in synapses), _BARRIER] if synapses else lines


def _each_neuron(body: list[str]) -> list[str]:
    return [_EACH_NEURON, *(f"  {line}" for line in body), "}"]


def _synapse(node: Node) -> str:
    values, matrix = node.uses
    return f"norse_vecmat({row(values)}, {identifier(matrix)}, {row(node.output)}, count, count);"
