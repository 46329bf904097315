"""Prints a kernel as C++: for every sample, a loop over ticks; in a tick, loops over a block of neurons in L1."""

from norse.backends.c_family.body import constants, first_element, number_buffers, row, stage_body, tick_rows
from norse.backends.c_family.printer import c_type, identifier
from norse.backends.c_family.stages import cut_stages, rows_between
from norse.compiler.ir import Node
from norse.compiler.region import Kernel, Kind

_HEADERS = ("norse_kernel.h", "arithmetic.h", "rows.h")
_FIXED = (Kind.SCALAR, Kind.MATRIX, Kind.KEY)  # the same for all samples


def emit_cpp(kernel: Kernel, symbol: str, title: str = "") -> str:
    """A whole translation unit with one function `void symbol(const norse_call*)`."""
    return "\n".join(_Emitter(kernel, symbol, title).lines())


def scratch_rows(kernel: Kernel) -> int:
    """How many rows of scratch memory a kernel asks of its caller for a sample, of 8 bytes a neuron each."""
    rows = len(kernel.graph.registers) + len(rows_between(kernel, cut_stages(kernel)))
    return rows + kernel.mixes_neurons  # the places of a row's events


class _Emitter:
    def __init__(self, kernel: Kernel, symbol: str, title: str) -> None:
        self.kernel, self.graph, self.symbol, self.title = kernel, kernel.graph, symbol, title
        self.stages = cut_stages(kernel)
        registers = tuple(register.value for register in self.graph.registers)
        self.scratch = (*registers, *rows_between(kernel, self.stages))

    def lines(self) -> list[str]:
        return [
            f"// {self.title or self.symbol}",
            *(f'#include "{header}"' for header in (*_HEADERS, *(("philox.h",) if self.kernel.draws else ()))),
            "",
            f'extern "C" void {self.symbol}(const norse_call* call) {{',
            "  const int64_t count = call->neuron_end - call->neuron_begin;",
            *(f"  {line}" for kind in _FIXED for line in constants(self.kernel, kind)),
            *(self._samples_together() if self.kernel.mixes_neurons else self._sample_by_sample()),
            "}",
            "",
        ]

    def _sample_by_sample(self) -> list[str]:
        """A sample's state stays in L1 from its first tick to its last."""
        return [
            *(f"  {line}" for line in self._scratch_rows("{index}")),
            "  for (int64_t sample = call->sample_begin; sample < call->sample_end; ++sample) {",
            *(f"    {line}" for line in constants(self.kernel, Kind.ROW)),
            *(f"    {line}" for line in first_element(self.kernel, "call->neuron_begin")),
            *(f"    {line}" for line in self._state("initial")),
            f"    {self._ticks()}",
            *(f"      {line}" for line in tick_rows(self.kernel)),
            *(f"      {line}" for line in self._stage(0)),
            "    }",
            *(f"    {line}" for line in self._state("final")),
            "  }",
        ]

    def _samples_together(self) -> list[str]:
        """All samples pass a stage of a tick before the next, so that synapses read the matrix once for several."""
        scratch = self._scratch_rows("{index} * samples + sample - call->sample_begin")
        rows = [*scratch, *constants(self.kernel, Kind.ROW)]
        tick = [line for index in range(len(self.stages)) for line in self._stage_of_all(index, scratch)]
        return [
            "  const int64_t samples = call->sample_end - call->sample_begin;",
            f"  int32_t* const events = norse_scratch<int32_t>(call, {len(self.scratch)} * samples, count);",
            *(f"  {line}" for line in self._of_all([*rows, *self._state("initial")])),
            f"  {self._ticks()}",
            *(f"    {line}" for line in tick),
            "  }",
            *(f"  {line}" for line in self._of_all([*rows, *self._state("final")])),
        ]

    def _ticks(self) -> str:
        if self.kernel.reverse:
            return "for (int64_t tick = call->tick_end - 1; tick >= call->tick_begin; --tick) {"
        return "for (int64_t tick = call->tick_begin; tick < call->tick_end; ++tick) {"

    def _of_all(self, lines: list[str]) -> list[str]:
        header = "for (int64_t sample = call->sample_begin; sample < call->sample_end; ++sample) {"
        return [header, *(f"  {line}" for line in lines), "}"]

    def _scratch_rows(self, place: str) -> list[str]:
        return [
            f"{c_type(self.graph, name)}* NORSE_RESTRICT {row(name)} = "
            f"norse_scratch<{c_type(self.graph, name)}>(call, {place.format(index=index)}, count);"
            for index, name in enumerate(self.scratch)
        ]

    def _state(self, when: str) -> list[str]:
        buffers, lines = number_buffers(self.kernel), []
        for register in self.graph.registers:
            type_, index = c_type(self.graph, register.value), buffers[f"{when} {register.value}"]
            pointer = f"norse_row<{type_}>(call, {index}, 0, sample)"
            here = row(register.value)
            ends = (here, pointer) if when == "initial" else (pointer, here)
            lines.append(f"norse_copy({ends[0]}, {ends[1]}, count);")
        return lines

    def _stage(self, index: int) -> list[str]:
        """The loop over a row's neurons."""
        body = stage_body(self.kernel, self.stages, index)
        if not body:
            return []
        header = "for (int64_t neuron = 0; neuron < count; ++neuron) {"
        return ["NORSE_VECTORISE", header, *(f"  {line}" for line in body), "}"]

    def _stage_of_all(self, index: int, scratch: list[str]) -> list[str]:
        stage = self._stage(index)
        if stage:  # of the rows, those that it reads
            text = "\n".join(stage)
            rows = [*scratch, *constants(self.kernel, Kind.ROW), *tick_rows(self.kernel)]
            rows = [line for line in rows if f"{_declared(line)}[" in text]
            rows += first_element(self.kernel, "call->neuron_begin") if "first + neuron" in text else []
            stage = self._of_all(rows + stage)
        return [*stage, *(self._synapse(node) for node in self.stages[index].synapses)]

    def _synapse(self, node: Node) -> str:
        values, matrix = node.uses
        type_ = c_type(self.graph, node.output)
        operands = ", ".join((*self._rows_of_all(values), identifier(matrix), *self._rows_of_all(node.output)))
        return f"norse_products<{type_}>({operands}, samples, call->neurons, call->neurons, events, call->member);"

    def _rows_of_all(self, name: str) -> tuple[str, str]:
        """Where the first sample's row is, and how many values further the next one's."""
        type_ = c_type(self.graph, name)
        if name in self.scratch:
            first = f"norse_scratch<{type_}>(call, {self.scratch.index(name)} * samples, count)"
            return first, f"norse_stride<{type_}>(count)"
        buffer, tick = number_buffers(self.kernel)[name], "tick" if self.kernel.kinds[name] == Kind.TICK else "0"
        first = f"norse_row<const {type_}>(call, {buffer}, {tick}, call->sample_begin)"
        return first, f"call->buffers[{buffer}].sample_stride / (int64_t)sizeof({type_})"


def _declared(line: str) -> str:
    """The variable that a line declares."""
    return line.partition(" = ")[0].rpartition(" ")[2]
