"""What a NIR graph computes, in float64 with numpy, straight from NIR's equations: the judge of files and readers.

Forward Euler, one sample, one tick after the other, nothing fast. It shares no code with reading, writing or compiling.
What NIR's equations leave open is as `docs/nir.md` says: synapses before membranes, v > v_threshold is a spike, neurons
start at v_leak (IF: v_reset), an input into IF and I is a pulse of that weight, and in a cycle the edge that comes back
depth first waits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

# What a tick's spikes are, where somebody else shall decide: (node, tick, distance to the threshold, spikes) -> spikes.
Judge = Callable[[str, int, Any, Any], Any]
Edge = tuple[str, str]


@dataclass
class Trace:
    """What happened, tick by tick, [T, ...] by the names of nodes; those of subgraphs have the graph's in front."""

    outputs: dict[str, Any] = field(default_factory=dict)
    spikes: dict[str, Any] = field(default_factory=dict)
    potentials: dict[str, Any] = field(default_factory=dict)  # after the reset


def run(
    graph: Any,
    inputs: Mapping[str, Any],
    dt: float,
    judge: Judge | None = None,
    reset: str = "zero",
    bounds: Mapping[str, Any] | None = None,
) -> Trace:
    """Runs a graph.

    Args:
        graph: a nir.NIRGraph.
        inputs: for each Input node, its values [T, ...] in the shape that the node says.
        dt: time step in s.
        judge: sees the spikes of each tick before they count and returns those that do.
        reset: what a spike does: v becomes v_reset ("zero"), falls by the threshold ("subtract"), or by the threshold
            as often as that fits into it ("several").
        bounds: what v does not fall below, by the names of nodes; in NIR there is no such bound.

    Returns:
        What happened.

    Example:
        >>> graph = nir.NIRGraph.from_list(nir.IF(r=np.array([0.5]), v_threshold=np.array([0.9])))
        >>> run(graph, {"input": np.ones((3, 1))}, dt=0.001).spikes["if"].ravel()
        array([0., 1., 0.])
    """
    nodes, edges = _one_level(graph)
    edges = list(dict.fromkeys(edges))
    starts = [name for name, node in nodes.items() if isinstance(node, nir.Input)]
    held = {name: _ticks_held(node, dt) for name, node in nodes.items() if isinstance(node, nir.Delay)}
    ready = {name for name, ticks in held.items() if ticks.size and ticks.min() >= 1}  # known before their input
    late = _late(nodes, [edge for edge in edges if edge[1] not in ready], starts)
    order = _in_order(nodes, [edge for edge in edges if edge not in late and edge[1] not in ready])
    before: dict[str, list[str]] = {name: [a for a, b in edges if b == name] for name in nodes}
    length = len(next(iter(inputs.values())))
    state: dict[str, dict[str, Any]] = {name: {} for name in nodes}
    last: dict[str, Any] = {a: np.zeros(_shape_said(nodes[a])) for a, _ in late}
    seen: list[tuple[str, str, Any]] = []
    held_above = bounds or {}
    for tick in range(length):
        now: dict[str, Any] = {name: _from_the_past(state[name], held[name]) for name in ready}
        for name in order:
            node = nodes[name]
            if name in ready:
                continue
            if isinstance(node, nir.Input):
                now[name] = np.asarray(inputs[name][tick], np.float64)
                continue
            x = _sum(last[a] if (a, name) in late else now[a] for a in before[name])
            if isinstance(node, nir.Output):
                now[name] = x
                seen.append(("outputs", name, x))
            elif isinstance(node, nir.Delay):
                _remember(state[name], x)
                now[name] = _from_the_past(state[name], held[name] + 1)
            elif type(node) in _NEURONS or isinstance(node, nir.Threshold):
                now[name] = _neuron(node, name, tick, x, state[name], dt, judge, seen, reset, held_above.get(name))
            else:
                now[name] = _STATELESS[type(node)](node, x)
        for name in ready:
            _remember(state[name], _sum(now[a] for a in before[name]))
        last = now
    trace = Trace()
    for kind, name, value in seen:
        getattr(trace, kind).setdefault(name, []).append(value)
    for found in (trace.outputs, trace.spikes, trace.potentials):
        found.update({name: np.array(np.broadcast_arrays(*values)) for name, values in found.items()})
    return trace


# ---- neurons ---------------------------------------------------------------------------------------------------------


def _neuron(
    node: Any,
    name: str,
    tick: int,
    x: Any,
    state: dict[str, Any],
    dt: float,
    judge: Judge | None,
    seen: list[Any],
    reset: str,
    bound: Any,
) -> Any:
    if isinstance(node, nir.Threshold):
        v, threshold, resets = x, _of(node.threshold), None
    else:
        v = _NEURONS[type(node)](node, x, state, dt)
        if not hasattr(node, "v_threshold"):
            state["v"] = v
            seen.append(("potentials", name, v))
            return v
        threshold, resets = _of(node.v_threshold), _of(node.v_reset)
        if bound is not None:
            v = np.maximum(v, _of(bound))
    z = np.where(v > threshold, 1.0, 0.0)
    if reset == "several" and resets is not None:
        z = np.maximum(np.floor(v / threshold), 0.0)
    z = z if judge is None else judge(name, tick, v - threshold, z)
    seen.append(("spikes", name, z))
    if resets is not None:
        state["v"] = np.where(z > 0, resets, v) if reset == "zero" else v - z * threshold
        seen.append(("potentials", name, state["v"]))
    return z


def _membrane(node: Any, x: Any, state: dict[str, Any], dt: float, tau: Any) -> Any:
    """τ dv/dt = (v_leak - v) + R I."""
    v = state.get("v", _of(node.v_leak))
    return v + dt / _of(tau) * ((_of(node.v_leak) - v) + _of(node.r) * x)


def _without_synapse(node: Any, x: Any, state: dict[str, Any], dt: float) -> Any:
    return _membrane(node, x, state, dt, node.tau)


def _with_synapse(node: Any, x: Any, state: dict[str, Any], dt: float) -> Any:
    """τ_syn dI/dt = -I + w_in S, then the membrane with the new I."""
    current = state.get("current", 0.0)
    state["current"] = current + dt / _of(node.tau_syn) * (_of(node.w_in) * x - current)
    return _membrane(node, state["current"], state, dt, node.tau_mem)


def _integrator(node: Any, x: Any, state: dict[str, Any], dt: float) -> Any:
    """dv/dt = R I, in which a tick's input is a pulse of that weight."""
    v = state.get("v", _of(node.v_reset) if isinstance(node, nir.IF) else 0.0)
    return v + _of(node.r) * x


_NEURONS: Mapping[type, Any] = {
    nir.LI: _without_synapse,
    nir.LIF: _without_synapse,
    nir.CubaLI: _with_synapse,
    nir.CubaLIF: _with_synapse,
    nir.I: _integrator,
    nir.IF: _integrator,
}


# ---- delays ----------------------------------------------------------------------------------------------------------


def _ticks_held(node: Any, dt: float) -> Any:
    """In ticks, with what is within float32 of a whole number taken for it."""
    ticks = _of(node.delay) / dt
    whole = np.round(ticks)
    return np.where(np.abs(ticks - whole) <= 1e-6 * np.maximum(1.0, whole), whole, ticks)


def _remember(state: dict[str, Any], x: Any) -> None:
    state.setdefault("past", []).append(x)


def _from_the_past(state: dict[str, Any], ticks: Any) -> Any:
    """The mean over a tick of x(t - τ), x being constant in each tick; `ticks` counts from the tick after the last."""
    past = state.get("past", [])
    shape = np.broadcast_shapes(np.shape(ticks), *(np.shape(x) for x in past[-1:]))
    ticks, result = np.broadcast_to(ticks, shape), np.zeros(shape)
    for place in np.ndindex(shape):
        whole = int(np.floor(ticks[place]))
        part = ticks[place] - whole
        for share, back in ((1 - part, whole), (part, whole + 1)):
            if share and 1 <= back <= len(past):
                result[place] += share * np.broadcast_to(past[-back], shape)[place]
    return result


# ---- nodes without a state -------------------------------------------------------------------------------------------


def _linear(node: Any, x: Any) -> Any:
    y = _of(node.weight) @ np.broadcast_to(x, np.shape(node.weight)[-1:])
    return y + _of(node.bias) if isinstance(node, nir.Affine) else y


def _convolution(node: Any, x: Any) -> Any:
    """y[o] = b[o] + Σ w[o, c] ⋆ x[c], the correlation that all tools mean."""
    weight, rank = _of(node.weight), np.ndim(node.weight) - 2
    stride, dilation = _each(node.stride, rank), _each(node.dilation, rank)
    x = np.pad(x, [(0, 0), *_borders(node.padding, weight.shape[2:], dilation)])
    groups = int(node.groups)
    inner, outer = weight.shape[1], weight.shape[0] // groups
    sizes = [
        (size - d * (k - 1) - 1) // s + 1
        for size, k, d, s in zip(x.shape[1:], weight.shape[2:], dilation, stride, strict=True)
    ]
    y = np.zeros((weight.shape[0], *sizes))
    for place in np.ndindex(weight.shape[2:]):  # every weight meets a part of x that is as large as y
        starts = [p * d for p, d in zip(place, dilation, strict=True)]
        spans = zip(starts, sizes, stride, strict=True)
        part = x[(slice(None), *(slice(start, start + n * s - s + 1, s) for start, n, s in spans))]
        for group in range(groups):
            rows, columns = slice(group * outer, (group + 1) * outer), slice(group * inner, (group + 1) * inner)
            y[rows] += np.tensordot(weight[(rows, slice(None), *place)], part[columns], 1)
    return y + _of(node.bias).reshape(-1, *[1] * rank)


def _borders(padding: Any, kernel: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    named = padding.decode() if isinstance(padding, bytes) else padding
    if isinstance(named, str):
        total = [d * (k - 1) if named == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
        return [(size // 2, size - size // 2) for size in total]
    return [(size, size) for size in _each(padding, len(kernel))]


def _pool(node: Any, x: Any) -> Any:
    kernel, stride, padding = (_each(value, 2) for value in (node.kernel_size, node.stride, node.padding))
    x = np.pad(x, [(0, 0), *((size, size) for size in padding)])
    windows = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel), axis=(1, 2))[:, :: stride[0], :: stride[1]]
    total = windows.sum((3, 4))
    return total / (kernel[0] * kernel[1]) if isinstance(node, nir.AvgPool2d) else total


def _flatten(node: Any, x: Any) -> Any:
    start, end = (int(d) % np.ndim(x) for d in (node.start_dim, node.end_dim))
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


_STATELESS: Mapping[type, Any] = {
    nir.Linear: _linear,
    nir.Affine: _linear,
    nir.Scale: lambda node, x: x * _of(node.scale),
    nir.Conv1d: _convolution,
    nir.Conv2d: _convolution,
    nir.SumPool2d: _pool,
    nir.AvgPool2d: _pool,
    nir.Flatten: _flatten,
}


# ---- the graph -------------------------------------------------------------------------------------------------------


def _shape_said(node: Any) -> tuple[int, ...]:
    """Of what a node gives, where it says so; a number counts for all shapes."""
    said = (node.output_type or {}).get("output")
    return () if said is None else tuple(int(size) for size in said)


def _one_level(graph: Any, prefix: str = "") -> tuple[dict[str, Any], list[Edge]]:
    """Subgraphs opened up: their Inputs and Outputs hand on what they get, as a Scale by 1 would."""
    nodes: dict[str, Any] = {}
    edges: list[Edge] = []

    def port(name: str, kind: Any) -> str:
        node = graph.nodes[name]
        if not isinstance(node, nir.NIRGraph):
            return prefix + name
        (inner,) = (key for key, part in node.nodes.items() if isinstance(part, kind))
        return f"{prefix}{name}.{inner}"

    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            inner, inner_edges = _one_level(node, f"{prefix}{name}.")
            nodes |= {
                key: nir.Scale(np.ones(())) if key.count(".") == prefix.count(".") + 1 and _is_port(part) else part
                for key, part in inner.items()
            }
            edges += inner_edges
        else:
            nodes[prefix + name] = node
    edges += [(port(a, nir.Output), port(b, nir.Input)) for a, b in graph.edges]
    return nodes, edges


def _is_port(node: Any) -> bool:
    return isinstance(node, nir.Input | nir.Output)


def _late(nodes: Mapping[str, Any], edges: Sequence[Edge], starts: Sequence[str]) -> set[Edge]:
    """The edges that close cycles, moved to before the weights that they come through."""
    open_, done, found = set[str](), set[str](), list[Edge]()

    def visit(name: str) -> Iterator[str]:
        open_.add(name)
        for source, target in edges:
            if source == name:
                if target in open_:
                    found.append((source, target))
                elif target not in done:
                    yield target
        open_.remove(name)
        done.add(name)

    for start in [*starts, *(a for a, _ in edges)]:
        stack = [] if start in done else [visit(start)]
        while stack:
            deeper = next(stack[-1], None)
            if deeper is None:
                stack.pop()
            else:
                stack.append(visit(deeper))
    return {_before_weights(edge, nodes, edges) for edge in found}


def _before_weights(edge: Edge, nodes: Mapping[str, Any], edges: Sequence[Edge]) -> Edge:
    walked, (source, target) = [edge[0]], edge
    while type(nodes[source]) in _STATELESS or isinstance(nodes[source], nir.Threshold):
        into, out = [e for e in edges if e[1] == source], [e for e in edges if e[0] == source]
        if len(into) != 1 or len(out) != 1:
            break
        ((source, target),) = into
        if source in walked:
            return edge
        walked.append(source)
    return source, target


def _in_order(nodes: Mapping[str, Any], edges: Sequence[Edge]) -> list[str]:
    waiting = {name: sum(b == name for _, b in edges) for name in nodes}
    ready, order = [name for name, count in waiting.items() if not count], list[str]()
    while ready:
        name = ready.pop(0)
        order.append(name)
        for a, b in edges:
            if a == name:
                waiting[b] -= 1
                if not waiting[b]:
                    ready.append(b)
    if len(order) < len(nodes):
        raise ValueError(f"a cycle without a wait through {sorted(set(nodes) - set(order))}")
    return order


def _of(value: Any) -> Any:
    return np.asarray(value, np.float64)


def _each(value: Any, rank: int) -> list[int]:
    sizes = [int(size) for size in np.atleast_1d(value)]
    return sizes * rank if len(sizes) == 1 else sizes


def _sum(values: Any) -> Any:
    total: Any = 0.0
    for value in values:
        total = total + value
    return total
