"""What backward reads at spikes alone: values that the forward keeps where a decision says so, and nowhere else.

An adjoint `where(z > 0, a, b)` reads what `a` is computed from only where there is a spike. Walking the adjoint back, a
value's demand is the set of conjunctions of decisions under which something reads it; one that is read in any case
has the empty conjunction among them. Decisions that are read everywhere are kept as bits. The minimum cut of `saved.py`
is made again with what that costs, and taken where it is cheaper: for EventProp it is a bit for every neuron and tick,
and the potential's speed before and after each spike.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import networkx
import torch

from norse.compiler.build import Builder
from norse.compiler.ir import Graph, Node, Ref, Type
from norse.compiler.passes.infer_types import infer_nodes
from norse.compiler.saved import choose_saved, cost_of, cut_of, flow_of, forward_nodes, values_read

# What a value costs of one that is kept for every neuron and tick.
_BIT = 1 / 32
_AT_SPIKES = 1 / 8

_Conjunction = frozenset[tuple[str, bool]]
_Demand = frozenset[_Conjunction]
_ALWAYS: _Demand = frozenset({frozenset()})
_MOST = 4  # conjunctions; of more, the value is taken for one that is always read


@dataclass(frozen=True)
class Kept:
    """What forward keeps: `saved` values, of which `masks` says under which decision each is read, if not always.

    `forward` is the tick with what it has to compute for that, besides its own values.
    """

    saved: tuple[str, ...]
    masks: Mapping[str, str]
    forward: Graph


def choose_kept(tick: Graph, adjoint: Graph, forced: Collection[str]) -> Kept:
    """What the adjoint reads of the forward besides the inputs, with outputs of the tick where that is cheap.

    `forced` are activities, which products after the loop read.
    """
    dense = choose_saved(tick, adjoint, forced)
    compact = _choose_compact(tick, adjoint, forced, cost_of(tick, set(dense) - set(forced)))
    return Kept(dense, {}, tick) if compact is None else compact


def _choose_compact(tick: Graph, adjoint: Graph, forced: Collection[str], dense: float) -> Kept | None:
    forward = forward_nodes(tick, adjoint)
    demands = _demands(adjoint, set(forward))
    if all(demand == _ALWAYS for name, demand in demands.items() if name in forward):
        return None
    types = dict(tick.types)
    infer_nodes(tuple(node for node in forward.values() if node.output not in types), types)

    def capacity(name: str) -> float | None:
        if name in tick.outputs:  # would keep what the user has, dense
            return None
        if types[name].dtype == torch.bool:
            return _BIT
        return 1.0 if demands.get(name, _ALWAYS) == _ALWAYS else _AT_SPIKES

    flow = flow_of(tick, adjoint, forced, lambda name: None if (c := capacity(name)) is None else 2 * c)
    try:
        cost, cut = cut_of(flow)
    except networkx.NetworkXUnbounded:
        return None
    reads = tuple(register.value for register in tick.registers)
    numbers = [
        name
        for name in dict.fromkeys((*reads, *forward))
        if name in cut and types[name].dtype != torch.bool and demands[name] != _ALWAYS
    ]
    if not numbers or cost >= dense:
        return None
    builder = Builder(tick.names | adjoint.names)
    masks = {name: _decision(builder, demands[name]) for name in numbers}
    masks |= {
        name: builder.emit("ne", Ref(name), 0).ref.name
        for name in reads
        if name in forced and _of_spikes(tick, name, types)
    }
    chosen = {*cut, *masks.values(), *(set(forced) - set(tick.inputs))}
    nodes = [*tick.nodes, *(node for node in forward.values() if node.output not in tick.types), *builder.nodes]
    order = dict.fromkeys((*reads, *(name for node in nodes for name in node.outputs)))
    whole = replace(tick, nodes=_needed(nodes, {*chosen, *tick.outputs, *(r.next for r in tick.registers)}))
    return Kept(tuple(name for name in order if name in chosen), masks, whole)


def _of_spikes(tick: Graph, name: str, types: Mapping[str, Type]) -> bool:
    """Whether it is what a register held of a spike: 0/1 but for what the user starts with."""
    return any(register.value == name and types[register.next].spike for register in tick.registers)


def _demands(adjoint: Graph, forward: Collection[str]) -> dict[str, _Demand]:
    """Under which decisions the adjoint reads each value."""
    demands: dict[str, _Demand] = dict.fromkeys((*adjoint.outputs, *(r.next for r in adjoint.registers)), _ALWAYS)
    for node in reversed(adjoint.nodes):
        demand = demands.get(node.output)
        if demand is None:
            continue
        condition = node.inputs[0] if node.op == "where" else None
        chosen = isinstance(condition, Ref) and condition.name in forward
        for place, operand in enumerate(node.inputs):
            if isinstance(operand, Ref) and operand.name in values_read(node):
                here = _and(demand, condition.name, place == 1) if chosen and place else demand  # type: ignore[union-attr]
                demands[operand.name] = _or(demands.get(operand.name, frozenset()), here)
    return demands


def _and(demand: _Demand, decision: str, holds: bool) -> _Demand:
    other = (decision, not holds)
    return frozenset(conjunction | {(decision, holds)} for conjunction in demand if other not in conjunction)


def _or(one: _Demand, other: _Demand) -> _Demand:
    every = one | other
    resolved = {c - {(name, holds)} for c in every for name, holds in c if c ^ {(name, True), (name, False)} in every}
    if not resolved <= every:  # what is read whether a decision holds or not
        return _or(every, frozenset(resolved))
    least = frozenset(c for c in every if not any(d < c for d in every))
    return least if len(least) <= _MOST else _ALWAYS


def _decision(builder: Builder, demand: _Demand) -> str:
    """The name of the decision, in nodes of its own where it is made of several."""
    whole: Any = None
    for conjunction in sorted(sorted(c) for c in demand):
        part: Any = None
        for name, holds in conjunction:
            literal = builder.expression(Ref(name))
            literal = literal if holds else literal.logical_not()
            part = literal if part is None else part.logical_and(literal)
        whole = part if whole is None else whole.logical_or(part)
    return str(whole.ref.name)


def _needed(nodes: Iterable[Node], wanted: Collection[str]) -> tuple[Node, ...]:
    alive, kept = set(wanted), []
    for node in reversed(list(nodes)):
        if alive.intersection(node.outputs):
            alive.update(node.uses)
            kept.append(node)
    return tuple(reversed(kept))
