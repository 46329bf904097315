"""Prints a kernel as C++: for every sample, a loop over ticks; in a tick, loops over a block of neurons in L1."""

from norse.backends.c_family.body import constants, number_buffers, row, stage_body, tick_rows
from norse.backends.c_family.printer import c_type, identifier
from norse.backends.c_family.stages import cut_stages, rows_between
from norse.compiler.ir import Node
from norse.compiler.region import Kernel, Kind

_HEADERS = ("norse_kernel.h", "arithmetic.h", "rows.h")


def emit_cpp(kernel: Kernel, symbol: str, title: str = "") -> str:
    """A whole translation unit with one function `void symbol(const norse_call*)`."""
    return "\n".join(_Emitter(kernel, symbol, title).lines())


def scratch_rows(kernel: Kernel) -> int:
    """How many rows of scratch memory a kernel asks of its caller, of 8 bytes a neuron each."""
    return len(kernel.graph.registers) + len(rows_between(kernel, cut_stages(kernel)))


class _Emitter:
    def __init__(self, kernel: Kernel, symbol: str, title: str) -> None:
        self.kernel, self.graph, self.symbol, self.title = kernel, kernel.graph, symbol, title
        self.stages = cut_stages(kernel)
        registers = tuple(register.value for register in self.graph.registers)
        self.scratch = (*registers, *rows_between(kernel, self.stages))

    def lines(self) -> list[str]:
        first, step, end = "tick_begin", "++tick", "tick < call->tick_end"
        if self.kernel.reverse:
            first, step, end = "tick_end - 1", "--tick", "tick >= call->tick_begin"
        return [
            f"// {self.title or self.symbol}",
            *(f'#include "{header}"' for header in _HEADERS),
            "",
            f'extern "C" void {self.symbol}(const norse_call* call) {{',
            "  const int64_t count = call->neuron_end - call->neuron_begin;",
            *self._scratch_rows(),
            *(f"  {line}" for kind in (Kind.SCALAR, Kind.MATRIX) for line in constants(self.kernel, kind)),
            "  for (int64_t sample = call->sample_begin; sample < call->sample_end; ++sample) {",
            *(f"    {line}" for line in constants(self.kernel, Kind.ROW)),
            *self._state("initial"),
            f"    for (int64_t tick = call->{first}; {end}; {step}) {{",
            *(f"      {line}" for line in tick_rows(self.kernel)),
            *(line for index in range(len(self.stages)) for line in self._stage(index)),
            "    }",
            *self._state("final"),
            "  }",
            "}",
            "",
        ]

    def _scratch_rows(self) -> list[str]:
        return [
            f"  {c_type(self.graph, name)}* NORSE_RESTRICT {row(name)} = "
            f"norse_scratch<{c_type(self.graph, name)}>(call, {index}, count);"
            for index, name in enumerate(self.scratch)
        ]

    def _state(self, when: str) -> list[str]:
        buffers, lines = number_buffers(self.kernel), []
        for register in self.graph.registers:
            type_, index = c_type(self.graph, register.value), buffers[f"{when} {register.value}"]
            pointer = f"norse_row<{type_}>(call, {index}, 0, sample)"
            here = row(register.value)
            ends = (here, pointer) if when == "initial" else (pointer, here)
            lines.append(f"    norse_copy({ends[0]}, {ends[1]}, count);")
        return lines

    def _stage(self, index: int) -> list[str]:
        lines, body = [], stage_body(self.kernel, self.stages, index)
        if body:
            lines = ["      NORSE_VECTORISE", "      for (int64_t neuron = 0; neuron < count; ++neuron) {"]
            lines += [f"        {line}" for line in body] + ["      }"]
        return lines + [f"      {self._synapse(node)}" for node in self.stages[index].synapses]

    def _synapse(self, node: Node) -> str:
        values, matrix = node.uses
        return f"norse_vecmat({row(values)}, {identifier(matrix)}, {row(node.output)}, count, count);"
