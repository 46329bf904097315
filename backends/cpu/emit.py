"""Prints a kernel as C++: for every sample, a loop over ticks; in a tick, loops over a block of neurons in L1."""

from norse.backends.c_family.printer import c_type, identifier, statements
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
        self.between = rows_between(kernel, self.stages)
        registers = tuple(register.value for register in self.graph.registers)
        self.scratch = (*registers, *self.between)
        names = (
            *self.graph.inputs,
            *(f"initial {r}" for r in registers),
            *(f"output {o}" for o in self.graph.outputs),
            *(f"final {r}" for r in registers),
        )
        self.buffer = {name: index for index, name in enumerate(names)}

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
            *self._constants(Kind.SCALAR),
            *self._constants(Kind.MATRIX),
            "  for (int64_t sample = call->sample_begin; sample < call->sample_end; ++sample) {",
            *self._constants(Kind.ROW),
            *self._state("initial"),
            f"    for (int64_t tick = call->{first}; {end}; {step}) {{",
            *self._tick_rows(),
            *(line for index in range(len(self.stages)) for line in self._stage(index)),
            "    }",
            *self._state("final"),
            "  }",
            "}",
            "",
        ]

    def _scratch_rows(self) -> list[str]:
        return [
            f"  {c_type(self.graph, name)}* NORSE_RESTRICT {_row(name)} = "
            f"norse_scratch<{c_type(self.graph, name)}>(call, {index}, count);"
            for index, name in enumerate(self.scratch)
        ]

    def _constants(self, kind: Kind) -> list[str]:
        """What does not vary with time: numbers and matrices once a call, rows once a sample."""
        lines = []
        for name in self.graph.inputs:
            if self.kernel.kinds[name] != kind:
                continue
            type_, index = c_type(self.graph, name), self.buffer[name]
            if kind == Kind.SCALAR:
                lines.append(f"  const {type_} {identifier(name)} = norse_scalar<{type_}>(call, {index});")
            elif kind == Kind.MATRIX:
                pointer = f"(const {type_}*)call->buffers[{index}].data"
                lines.append(f"  const {type_}* NORSE_RESTRICT {identifier(name)} = {pointer};")
            else:
                pointer = f"norse_row<const {type_}>(call, {index}, 0, sample)"
                lines.append(f"    const {type_}* NORSE_RESTRICT {_row(name)} = {pointer};")
        return lines

    def _state(self, when: str) -> list[str]:
        lines = []
        for register in self.graph.registers:
            type_, index = c_type(self.graph, register.value), self.buffer[f"{when} {register.value}"]
            pointer = f"norse_row<{type_}>(call, {index}, 0, sample)"
            row = _row(register.value)
            ends = (row, pointer) if when == "initial" else (pointer, row)
            lines.append(f"    norse_copy({ends[0]}, {ends[1]}, count);")
        return lines

    def _tick_rows(self) -> list[str]:
        lines = []
        for name in self.graph.inputs:
            if self.kernel.kinds[name] == Kind.TICK:
                type_ = f"const {c_type(self.graph, name)}"
                pointer = f"norse_row<{type_}>(call, {self.buffer[name]}, tick, sample)"
                lines.append(f"      {type_}* NORSE_RESTRICT {_row(name)} = {pointer};")
        for name in self.graph.outputs:
            type_ = c_type(self.graph, name)
            pointer = f"norse_row<{type_}>(call, {self.buffer[f'output {name}']}, tick, sample)"
            lines.append(f"      {type_}* NORSE_RESTRICT {_row(f'output {name}')} = {pointer};")
        return lines

    def _stage(self, index: int) -> list[str]:
        stage, last = self.stages[index], index == len(self.stages) - 1
        made = {node.output for node in stage.elementwise}
        stores = [f"{_row(name)}[neuron] = {identifier(name)};" for name in self.between if name in made]
        ends: list[str] = []
        if last:
            # Every state is written in the last stage, after all of its reads.
            ends = [f"{_row(f'output {name}')}[neuron] = {identifier(name)};" for name in self.graph.outputs]
            ends += [f"{_row(r.value)}[neuron] = {self._as_register(r.value, r.next)};" for r in self.graph.registers]
        read = dict.fromkeys(use for node in stage.elementwise for use in node.uses)
        if last:
            read.update(dict.fromkeys(self.graph.outputs))
            read.update(dict.fromkeys(register.next for register in self.graph.registers))
        loads = [
            f"const {c_type(self.graph, name)} {identifier(name)} = {_row(name)}[neuron];"
            for name in read
            if name not in made and self._in_a_row(name)
        ]
        body = [*loads, *statements(self.graph, stage.elementwise), *stores, *ends]
        lines = []
        if stores or ends:
            lines = ["      NORSE_VECTORISE", "      for (int64_t neuron = 0; neuron < count; ++neuron) {"]
            lines += [f"        {line}" for line in body] + ["      }"]
        return lines + [f"      {self._synapse(node)}" for node in stage.synapses]

    def _in_a_row(self, name: str) -> bool:
        return name in self.scratch or self.kernel.kinds.get(name) in (Kind.TICK, Kind.ROW)

    def _as_register(self, value: str, next_: str) -> str:
        type_ = c_type(self.graph, value)
        return identifier(next_) if c_type(self.graph, next_) == type_ else f"({type_}){identifier(next_)}"

    def _synapse(self, node: Node) -> str:
        row, matrix = node.uses
        return f"norse_vecmat({_row(row)}, {identifier(matrix)}, {_row(node.output)}, count, count);"


def _row(name: str) -> str:
    return f"{identifier(name)}_row"
