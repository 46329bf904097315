"""A graph of plain NIR as the tool of a dialect is given it, and what a file in a dialect means in plain NIR."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx
import nir
import numpy as np
from numpy.typing import NDArray

from norse.backends.nir_export.dialect_neurons import Written
from norse.backends.nir_export.dialects import Dialect

_PORTS = (nir.Input, nir.Output)


@dataclass(frozen=True)
class Scale:
    """Potentials in a file are (v - leak) · factor of a model's v."""

    factor: Any
    leak: Any


@dataclass(frozen=True)
class Said:
    """A graph in a dialect; what became of the names of nodes that moved, and of the scale of potentials; and whether
    the graph is as late as the tool, which is so where Delays stood for that."""

    graph: Any
    names: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    late: bool = False


def said(graph: Any, dialect: Dialect, refused: Sequence[str] = ()) -> Said:
    """The graph in a dialect, which gives the same spikes in its tool.

    Raises ValueError where the tool can't take it: with all that is in its way, each with the node's name and what to
    use instead, and with what was refused already.
    """
    if dialect.is_plain:
        raise_if(refused)
        return Said(graph)
    refused = list(refused)
    dt = float(graph.metadata["dt"])
    late = dialect.late and _all_late(graph, dt)
    graph = _without_delays(graph) if late else graph
    graph, factors = (graph, {}) if nir.Scale in dialect.takes else _without_scales(graph)
    nodes, edges, scales = dict(graph.nodes), list(graph.edges), dict[str, Scale]()
    for name, node in graph.nodes.items():
        where = f"node {name!r} ({type(node).__name__})"
        if (reason := not_taken(name, node, dialect)) is not None:
            refused.append(reason)
        elif type(node) in dialect.write:
            try:
                written = dialect.write[type(node)](node, dt)
                if hasattr(node, "v_threshold"):
                    leak = getattr(node, "v_leak", np.zeros(()))
                    scales[name] = Scale(np.asarray(written.scale), np.asarray(leak, np.float64))
                elif np.any(written.scale != 1):
                    _shrink_input(nodes, graph.edges, name, written.scale, factors)
            except ValueError as error:
                refused.append(f"{where}, for {dialect.tool}: {error}")
            else:
                _place(nodes, edges, name, written)
    for name, node in nodes.items():
        if node is not graph.nodes.get(name):
            node.metadata = {}  # a rate that it keeps belongs to other time constants
    loops = _loops(nodes, graph.edges, dialect, refused)
    if dialect.chains and any(_neighbours(edges, name, end) > 1 for name in nodes for end in (0, 1)):
        refused.append(
            f"{dialect.tool} takes a chain of nodes: its neurons fire a tick late, so branches would not meet"
        )
    if dialect.late and not late:
        refused += _late_biases(nodes, edges, dialect)
    raise_if(refused)
    metadata = dict(graph.metadata, dt=dt if dialect.dt is None else dialect.dt)
    nested, edges = _nested(nodes, edges, loops)
    scales |= {f"{name}.lif": scales.pop(name) for name in loops}
    scales |= {name: Scale(factor, np.zeros(())) for name, factor in factors.items()}
    made = nir.NIRGraph(nested, edges, metadata=metadata, type_check=False)
    return Said(made, {name: f"{name}.lif" for name in loops}, scales, late)


def not_taken(name: str, node: Any, dialect: Dialect) -> str | None:
    """Why a tool can't take a node, if it can't."""
    if dialect.is_plain:
        return None
    where = f"node {name!r} ({type(node).__name__})"
    if isinstance(node, nir.NIRGraph):
        return f"{where}: expected subgraphs=False for {dialect.tool}"
    if type(node) in dialect.write or isinstance(node, (*_PORTS, *dialect.takes)):
        return None
    instead = dialect.instead.get(type(node), "compute it outside of the tool")
    return f"{where}: {dialect.tool} does not take it: {instead}"


def raise_if(refused: Sequence[str]) -> None:
    """A ValueError that says all that is in the way of a file, each thing once, if anything is."""
    refused = list(dict.fromkeys(refused))  # a layer that is called twice says it twice
    if len(refused) == 1:
        raise ValueError(refused[0])
    if refused:
        raise ValueError("\n- ".join([f"{len(refused)} things are in the way of a file:", *refused]))


def _place(nodes: dict[str, Any], edges: list[Any], name: str, written: Written) -> None:
    """What was written for a node, in its place: with the synapse before it, and what feeds it back."""
    nodes[name] = written.node
    if written.before is not None:
        synapse = _free(nodes, f"{name}_synapse")
        edges[:] = [(a, synapse if b == name else b) for a, b in edges]
        at = next((k for k, (a, _) in enumerate(edges) if a == name), len(edges))
        edges.insert(at, (synapse, name))
        _place(nodes, edges, synapse, written.before)
    if written.back is not None:
        back = _free(nodes, f"{name}_back")
        nodes[back] = written.back
        at = next((k for k, (a, _) in enumerate(edges) if a == name), len(edges))
        edges[at:at] = [(name, back), (back, name)]  # first: what Norse runs last is its output


def _free(nodes: Mapping[str, Any], wish: str) -> str:
    while wish in nodes:
        wish += "_"
    return wish


def meant(graph: Any, dialect: Dialect, dt: float, late: bool = True) -> Any:
    """The plain NIR of a graph in a dialect. With `late` a neuron that fires a tick late has a Delay behind it."""
    if not dialect.read and not dialect.late:
        return graph
    nodes, edges = dict[str, Any](), list(graph.edges)
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            nodes[name] = meant(node, dialect, dt, late)
            continue
        try:
            nodes[name] = dialect.read[type(node)](node, dt) if type(node) in dialect.read else node
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"node {name!r} ({type(node).__name__}): {error}") from error
        if dialect.late and late and hasattr(node, "v_threshold"):
            wait = f"{name}_late"
            nodes[wait] = nir.Delay(np.full(np.shape(node.v_threshold), dt, np.float32))
            edges = [(wait if a == name else a, b) for a, b in edges] + [(name, wait)]
    return nir.NIRGraph(nodes, edges, metadata=graph.metadata, type_check=False)


def time_step(graph: Any, dialect: Dialect, given: float | None) -> float | None:
    """The time step of a file in a dialect: what is given, the tool's own, or what the file says; None: it does not."""
    if dialect.dt is not None:
        if given is not None and not np.isclose(given, dialect.dt, rtol=1e-6, atol=0):
            raise ValueError(f"argument dt: expected {dialect.dt}, the time step of {dialect.tool}, got {given}")
        return dialect.dt
    step = given if given is not None else step_said(graph.metadata)
    return _time_step_in_r(graph) if step is None and dialect.dt_in_r else step


def step_said(metadata: Any) -> float | None:
    """The time step in a graph's metadata, if there is one that can be."""
    known = metadata.get("dt") if isinstance(metadata, dict) else None
    if known is None or np.ndim(known) or not np.isreal(known) or not 0 < float(known) < float("inf"):
        return None
    return float(known)


def _time_step_in_r(graph: Any) -> float | None:
    """From r = exp(-dt / tau) tau / dt, by Newton's method from r = tau / dt - 1, which is near."""
    steps = []
    for node in graph.nodes.values():
        if isinstance(node, nir.LIF | nir.CubaLIF):
            tau = np.asarray(node.tau if isinstance(node, nir.LIF) else node.tau_mem, np.float64)
            r = np.asarray(node.r, np.float64)
            if not (r > 0).all():
                raise ValueError(f"its r does not tell its time step, {r.min()}: pass dt=")
            ticks = r + 1
            for _ in range(20):
                decay = np.exp(-1 / ticks)
                ticks = ticks - (ticks * decay - r) / (decay * (1 + 1 / ticks))
            steps += (tau / ticks).ravel().tolist()
    if not steps:
        return None
    if not np.allclose(steps, steps[0], rtol=1e-3):
        raise ValueError(f"its neurons have time steps from {min(steps):.4g} to {max(steps):.4g} s: pass dt=")
    return float(f"{steps[0]:.6g}")  # r is float32


def _neighbours(edges: Any, name: str, end: int) -> int:
    return sum(edge[end] == name for edge in edges)


def _shrink_input(
    nodes: dict[str, Any], edges: Any, name: str, factor: Any, factors: dict[str, NDArray[np.float64]]
) -> None:
    """What a neuron without a threshold gives is its potential: its input is made as much smaller as that is larger."""
    changed = _multiplied(nodes, edges, name, 1 / np.asarray(factor, np.float64), factors)
    if changed is None:
        raise ValueError("its input is scaled: expected it from a Linear of its own")
    nodes |= changed


def scales_in_weights(graph: Any) -> Any:
    """Without the Scales that can be part of the weights before them."""
    return _without_scales(graph)[0]


def _without_scales(graph: Any) -> tuple[Any, dict[str, NDArray[np.float64]]]:
    """And by how much larger the potentials of neurons between those weights and the Scales are now."""
    nodes, edges, factors = dict(graph.nodes), list(graph.edges), dict[str, NDArray[np.float64]]()
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.Scale):
            continue
        changed = _multiplied(nodes, edges, name, np.asarray(node.scale, np.float64), factors)
        if changed is not None:
            nodes |= changed
            sources, targets = [a for a, b in edges if b == name], [b for a, b in edges if a == name]
            joined = {target: [(source, target) for source in sources] for target in targets}
            if any(set(new) & set(edges) for new in joined.values()):
                continue  # an edge counts once
            del nodes[name]
            edges = [new for a, b in edges if b != name for new in (joined[b] if a == name else [(a, b)])]
    return nir.NIRGraph(nodes, edges, metadata=graph.metadata, type_check=False), factors


def _multiplied(
    nodes: Mapping[str, Any],
    edges: Any,
    name: str,
    factor: NDArray[np.float64],
    factors: dict[str, NDArray[np.float64]],
) -> dict[str, Any] | None:
    """What has to stand in place of the nodes before a node so that it gets `factor` times as much; None if that can't
    be. `factors` notes by how much the potentials of neurons on the way grow."""
    changed: dict[str, Any] = {}
    passed: list[str] = []
    todo, seen = [name], {name}
    while todo:
        target = todo.pop()
        sources = [a for a, b in edges if b == target]
        if not sources:
            return None
        for source in sources:
            node = nodes[source]
            if _neighbours(edges, source, 0) != 1:
                return None
            scaled = _scaled(node, factor)
            if scaled is not None:
                changed[source] = scaled
            elif _is_linear(node) and source not in seen and np.all(factor):
                passed.append(source)
                seen.add(source)
                todo.append(source)
            else:
                return None
    for source in passed:
        factors[source] = factors.get(source, np.ones(())) * factor
    return changed


def _is_linear(node: Any) -> bool:
    """Whether a neuron gives so many times as much for an input that is so many times as large."""
    return isinstance(node, nir.LI | nir.CubaLI | nir.I) and not np.any(getattr(node, "v_leak", 0))


def _all_late(graph: Any, dt: float) -> bool:
    """Whether all spikes go through Delays of a tick, which then are those of a tool whose neurons are late."""
    late = [name for name, node in graph.nodes.items() if hasattr(node, "v_threshold")]
    return bool(late) and all(_delay_behind(graph, name, dt) is not None for name in late)


def _delay_behind(graph: Any, name: str, dt: float) -> str | None:
    behind = [b for a, b in graph.edges if a == name]
    if len(behind) != 1 or _neighbours(graph.edges, behind[0], 1) != 1:
        return None
    node = graph.nodes[behind[0]]
    is_tick = isinstance(node, nir.Delay) and np.allclose(node.delay, dt, rtol=1e-4, atol=0)
    return behind[0] if is_tick else None


def _without_delays(graph: Any) -> Any:
    """Neurons with what stands behind the Delays behind them."""
    behind = {b: a for a, b in graph.edges if hasattr(graph.nodes[a], "v_threshold")}
    nodes = {name: node for name, node in graph.nodes.items() if name not in behind}
    edges = [(behind.get(a, a), b) for a, b in graph.edges if b not in behind]
    return nir.NIRGraph(nodes, edges, metadata=graph.metadata, type_check=False)


def _scaled(node: Any, factor: Any) -> Any:
    """Weights that give `factor` times as much; None if a node has none that can."""
    alike = factor.size > 0 and bool((factor == factor.flat[0]).all())
    if not isinstance(node, nir.Linear | nir.Affine | nir.Conv1d | nir.Conv2d) or (
        np.ndim(node.weight) > 2 and not alike
    ):
        return None
    made = copy.copy(node)
    rows = np.broadcast_to(factor.flat[0] if alike else factor, node.weight.shape[:1])
    made.weight = (node.weight * rows.reshape(-1, *[1] * (node.weight.ndim - 1))).astype(node.weight.dtype)
    if hasattr(node, "bias"):
        made.bias = (node.bias * rows).astype(node.bias.dtype)
    return made


def _late_biases(nodes: Mapping[str, Any], edges: Any, dialect: Dialect) -> Iterator[str]:
    """Behind a neuron that fires a tick late a bias acts for one tick more, before the first spike can come."""
    following: networkx.DiGraph = networkx.DiGraph(list(edges))
    for name, node in nodes.items():
        late = any(hasattr(nodes[before], "v_threshold") for before in networkx.ancestors(following, name))
        if late and isinstance(node, nir.Affine) and np.any(node.bias):
            where = f"node {name!r} (Affine): neurons of {dialect.tool} fire a tick late"
            yield f"{where}, and a bias behind them acts in that tick: use nn.Linear with bias=False"


def _loops(nodes: Mapping[str, Any], edges: Any, dialect: Dialect, refused: list[str]) -> dict[str, str]:
    """The neurons that become graphs of their own, and the weights that feed each back."""
    if dialect.cycles == "any":
        return {}
    circles: networkx.DiGraph = networkx.DiGraph(list(edges))
    loops: dict[str, str] = {}
    for part in networkx.strongly_connected_components(circles):
        if len(part) == 1 and not any(circles.has_edge(name, name) for name in part):
            continue
        names = " -> ".join(sorted(part))
        if dialect.cycles == "none":
            refused.append(f"nodes {names}: {dialect.tool} takes no recurrence: use a layer without recurrent weights")
            continue
        weights = [name for name in part if isinstance(nodes[name], nir.Linear)]
        neurons = [name for name in part if hasattr(nodes[name], "v_threshold")]
        if len(part) != 2 or len(weights) != 1 or len(neurons) != 1 or _neighbours(edges, weights[0], 1) > 1:
            refused.append(f"nodes {names}: {dialect.tool} takes one neuron layer with one Linear back to itself")
            continue
        loops[neurons[0]] = weights[0]
    return loops


def _nested(
    nodes: Mapping[str, Any], edges: Any, loops: Mapping[str, str]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    kept: dict[str, Any] = {}
    for name, node in nodes.items():
        if name in loops:
            shape = np.array(np.shape(node.v_threshold))
            inner = {"input": nir.Input({"input": shape}), "lif": node, "w_rec": nodes[loops[name]]}
            inner["output"] = nir.Output({"output": shape})
            within = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
            kept[name] = nir.NIRGraph(inner, within, metadata={}, type_check=False)
        elif name not in loops.values():
            kept[name] = node
    return kept, [(a, b) for a, b in edges if a in kept and b in kept]
