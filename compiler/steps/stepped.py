"""A neuron's loop over time in Python: synapses by torch tick by tick as eager calls them, the rest in native ticks."""

from collections.abc import Container, MutableMapping, Sequence
from typing import Any, Protocol

import torch

from norse.compiler.interpret import run_node
from norse.compiler.ir import Node, Register
from norse.compiler.passes.plan_memory import release
from norse.compiler.steps.alignment import ticks_of

Values = MutableMapping[str, Any]


class Runs(Protocol):
    def run(self, values: Values) -> None: ...


class SynapseTick:
    """One synapse, at one tick, by torch."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def run(self, values: Values) -> None:
        run_node(self.node, values)


class SteppedStep:
    """Runs `parts` in order at every tick. `varying`: inputs over time; `outputs`: what is wanted of all ticks."""

    def __init__(
        self,
        title: str,
        parts: Sequence[Runs],
        registers: Sequence[Register],
        varying: Sequence[str],
        fixed: Sequence[str],
        outputs: Sequence[str],
        apart: Container[str] = (),
        nodes: Sequence[Node] = (),
    ) -> None:
        self.title = title
        self.parts, self.registers = tuple(parts), tuple(registers)
        self.varying, self.fixed, self.outputs = tuple(varying), tuple(fixed), tuple(outputs)
        self._apart = apart
        self.nodes = tuple(nodes)  # in the model, behind which values are freed

    def run(self, values: Values) -> None:
        ticks = [ticks_of(name, values, name in self._apart) for name in self.varying]
        fixed = {name: values[name] for name in self.fixed}
        states = {register.value: values[register.initial] for register in self.registers}
        made: dict[str, list[Any]] = {name: [] for name in self.outputs}
        for now_varying in zip(*ticks, strict=True):
            now: dict[str, Any] = {**fixed, **states, **dict(zip(self.varying, now_varying, strict=True))}
            for part in self.parts:
                part.run(now)
            states = {register.value: now[register.next] for register in self.registers}
            for name, rows in made.items():
                rows.append(now[name])
        if not ticks[0]:
            self._no_ticks(values, {**fixed, **states}, made)
        values.update({name: torch.stack(rows) for name, rows in made.items() if rows})
        values.update({f"final {value}": state for value, state in states.items()})
        release(values, self.nodes)

    def _no_ticks(self, values: Values, now: dict[str, Any], made: dict[str, list[Any]]) -> None:
        """T = 0: outputs of the right shape without ticks, found with one tick of zeros."""
        with torch.no_grad():
            now.update({name: values[name].new_zeros(values[name].shape[1:]) for name in self.varying})
            for part in self.parts:
                part.run(now)
        values.update({name: now[name].new_empty((0, *now[name].shape)) for name in made})
