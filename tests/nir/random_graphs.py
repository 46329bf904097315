"""Random models of one tick as hypothesis draws them: neurons, layers, delays, branches, cycles, several ends."""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import norse.torch as snn
from norse.backends.nir_export.integrator import IntegratorCell
from norse.torch.module.stateful import is_stateful


@dataclass(frozen=True)
class Part:
    """A module of the graph, what goes into it now, and whose outputs of the last tick."""

    kind: str
    sources: tuple[int, ...]  # parts before it, or inputs (negative: -1 is the first)
    late: tuple[int, ...]  # parts anywhere, one tick ago
    bias: bool


@dataclass(frozen=True)
class Plan:
    width: int
    inputs: int
    parts: tuple[Part, ...]
    outputs: tuple[int, ...]
    seed: int


KINDS = (
    "linear", "scale", "threshold", "delay", "lif", "lif_box", "iaf", "li", "li_box", "lif_recurrent", "integrator",
)  # fmt: skip


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    width, inputs, count = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 6))
    parts = []
    for place in range(count):
        earlier = st.integers(-inputs, place - 1)
        sources = draw(st.lists(earlier, min_size=1, max_size=3, unique=True))
        late = draw(st.lists(st.integers(0, count - 1), max_size=2, unique=True))
        parts.append(Part(draw(st.sampled_from(KINDS)), tuple(sources), tuple(late), draw(st.booleans())))
    outputs = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=2, unique=True))
    return Plan(width, inputs, tuple(parts), tuple(outputs), draw(st.integers(0, 2**31)))


class Graph(nn.Module):
    """The model of a plan: `forward(x, state=None)`, with x a tensor, or a dictionary of them by name."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        torch.manual_seed(plan.seed)
        self.parts = nn.ModuleList(_module(part, plan.width) for part in plan.parts)

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        inputs = [x] if isinstance(x, Tensor) else list(x.values())
        if state is None:
            nothing = torch.zeros_like(inputs[0])
            state = ([None] * len(self.parts), [nothing] * len(self.parts))
        before, last = state
        after: list[Any] = []
        values: list[Tensor] = []
        for part, module, own in zip(self.plan.parts, self.parts, before, strict=True):
            current = reduce(add, (inputs[-s - 1] if s < 0 else values[s] for s in part.sources))
            for place in part.late:
                current = current + last[place]
            value, own = module(current, own) if is_stateful(module) else (module(current), None)
            values.append(value)
            after.append(own)
        outputs = [values[place] for place in self.plan.outputs]
        result = outputs[0] if len(outputs) == 1 else {f"out_{k}": value for k, value in enumerate(outputs)}
        return result, (after, values)


def _module(part: Part, width: int) -> nn.Module:
    rates = 30 + 300 * torch.rand(2, width)
    low = 0.05 + 0.2 * torch.rand(width)
    if part.kind == "linear":
        return nn.Linear(width, width, bias=part.bias)
    if part.kind == "scale":
        return Scaling(torch.randn(width))
    if part.kind == "threshold":
        return snn.Threshold(low)
    if part.kind == "delay":
        return snn.SynapseDelayCell(torch.randint(0, 4, (width,)) / 1000, 0.004)
    if part.kind == "lif":
        return snn.LIFCell(snn.LIFParameters(tau_syn_inv=rates[0], tau_mem_inv=rates[1], v_th=low))
    if part.kind == "lif_box":
        return snn.LIFBoxCell(snn.LIFBoxParameters(tau_mem_inv=rates[0], v_leak=low / 4, v_th=low))
    if part.kind == "iaf":
        return snn.IAFCell(snn.IAFParameters(v_th=low * 4, v_reset=-low))
    if part.kind == "li":
        return snn.LICell(snn.LIParameters(tau_syn_inv=rates[0], tau_mem_inv=rates[1]))
    if part.kind == "li_box":
        return snn.LIBoxCell(snn.LIBoxParameters(tau_mem_inv=rates[0], v_leak=low))
    if part.kind == "lif_recurrent":
        return snn.LIFRecurrentCell(width, width, snn.LIFParameters(v_th=low), autapses=part.bias)
    return IntegratorCell()


class Scaling(nn.Module):
    """A product in a module's own forward."""

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.factor = nn.Parameter(factor)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor
