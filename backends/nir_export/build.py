"""`from_nir`: a NIR graph as a torch module of one tick."""

import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import networkx
import nir
import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from norse.backends.nir_export.arrays import finite, tensor
from norse.backends.nir_export.cycles import Edge
from norse.backends.nir_export.delays import read_delay, waits
from norse.backends.nir_export.diagram import Diagram, read_diagram, repaired, shape_of
from norse.backends.nir_export.dialects import Dialect
from norse.backends.nir_export.file import read_file
from norse.backends.nir_export.layers import BY_PRIMITIVE as LAYERS
from norse.backends.nir_export.levels import Level, paths_of
from norse.backends.nir_export.neurons import BY_PRIMITIVE as NEURONS
from norse.backends.nir_export.neurons import ReadNeuron, read_neuron, shortest_time
from norse.backends.nir_export.scale import Scale
from norse.backends.nir_export.spoken import spoken_in
from norse.backends.nir_export.translate import meant, step_said, time_step
from norse.torch.module.stateful import is_stateful

DEFAULT_DT = 0.001
MOST_VALUES = 2**28  # of one sample at one node: a GiB
_ELEMENTWISE = {nir.Scale: "scale", nir.Threshold: "threshold", nir.Delay: "delay"}  # a number for each of its inputs
_RESETS = ("zero", "subtract")
_INTEGRATORS = ("euler", "exponential")


def from_nir(
    path_or_graph: str | os.PathLike[str] | Any,
    *,
    dt: float | None = None,
    reset: str | None = None,
    integrator: str = "euler",
    dialect: str | None = None,
) -> nn.Module:
    """The graph in a file, or a nir.NIRGraph, as a module of one tick. See `norse.from_nir`."""
    if reset is not None and reset not in _RESETS:
        raise ValueError(f"norse.from_nir: argument reset: expects {' or '.join(_RESETS)}, got {reset!r}")
    if integrator not in _INTEGRATORS:
        expected = " or ".join(_INTEGRATORS)
        raise ValueError(f"norse.from_nir: argument integrator: expects {expected}, got {integrator!r}")
    if dt is not None and not (dt > 0 and np.isfinite(dt)):
        raise ValueError(f"norse.from_nir: argument dt: expects a time step in s above 0, got {dt}")
    if isinstance(path_or_graph, str | os.PathLike):
        graph, where = read_file(path_or_graph), f"norse.from_nir: {os.fspath(path_or_graph)}: "
    elif isinstance(path_or_graph, nir.NIRGraph):
        graph, where = path_or_graph, "norse.from_nir: "
    else:
        got = type(path_or_graph).__name__
        raise TypeError(f"norse.from_nir: argument path_or_graph: expects a path or a nir.NIRGraph, got {got}")
    said = spoken_in(graph, dialect, "norse.from_nir")
    if said.doubt:
        repaired(said.doubt)
    spoken = said.dialect
    try:
        if not spoken.is_plain:
            if integrator != "euler":
                raise ValueError(
                    f"{spoken.tool} has an arithmetic of its own: expected integrator='euler', got {integrator!r}"
                )
            graph, dt = _in_plain_nir(graph, spoken, dt)
        return read_network(graph, dt, reset or spoken.reset, integrator).module
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def read_in_dialect(
    graph: Any, dialect: Dialect, dt: float | None = None, reset: str | None = None
) -> tuple["ReadNetwork", float | None]:
    """The network, in plain NIR, that a graph in a dialect means, without what makes its neurons late; and its time
    step, None where nobody says one.

    Raises ValueError, with the node's name, where the graph is none that can be run.
    """
    step = time_step(graph, dialect, dt)
    plain = meant(graph, dialect, DEFAULT_DT if step is None else step, late=False)
    return read_network(plain, step, reset or dialect.reset), step


def _in_plain_nir(graph: Any, dialect: Dialect, dt: float | None) -> tuple[Any, float]:
    step = time_step(graph, dialect, dt)
    if step is None:
        step = DEFAULT_DT
        warnings.warn(f"norse.from_nir: the file does not say its time step; dt={step} s is assumed", stacklevel=4)
    return meant(graph, dialect, step), step


@dataclass(frozen=True)
class ReadNetwork:
    """A graph as a module of one tick, and what was found on the way: its time step, and what each node gives."""

    module: nn.Module
    diagram: Diagram
    dt: float
    shapes: Mapping[str, tuple[int, ...]]


def read_network(graph: Any, dt: float | None = None, reset: str = "zero", integrator: str = "euler") -> ReadNetwork:
    """Raises ValueError, with the node's name, where the graph is none that can be run."""
    diagram, step = read_diagram(graph, partial(_time_step, given=dt, exact=integrator == "exponential"))
    reader = _Reader(diagram, paths_of(graph), step, reset, integrator)
    module = reader.module()
    return ReadNetwork(module, diagram, step, reader.shapes)


def _time_step(nodes: Sequence[Any], metadata: Mapping[str, Any], given: float | None, exact: bool) -> float:
    """The argument, or what the file says, or a guess that is said aloud if it matters."""
    try:
        shortest = min((shortest_time(node) for node in nodes), default=float("inf"))
    except ValueError:
        shortest = float("inf")  # no numbers: said of the node when it is read
    dt = given if given is not None else step_said(metadata)
    if dt is None:
        dt = DEFAULT_DT
        if np.isfinite(shortest) or any(isinstance(node, nir.Delay) for node in nodes):
            warnings.warn(
                f"norse.from_nir: the file does not say its time step; dt={dt} s is assumed, pass dt= for another",
                stacklevel=5,
            )
    if 0 < shortest < dt * (1 - 1e-6) and not exact:  # float32 may have rounded it below
        warnings.warn(
            f"norse.from_nir: dt={dt} s is longer than the shortest time constant, {shortest:.3g} s; forward Euler "
            "overshoots there",
            stacklevel=5,
        )
    return dt


@dataclass
class _Reader:
    diagram: Diagram
    paths: Mapping[str, tuple[str, ...]]  # of each node, the graphs that it is in
    dt: float
    reset: str
    integrator: str
    modules: dict[str, nn.Module] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    delayed: set[Edge] = field(default_factory=set)
    neurons: dict[str, ReadNeuron] = field(default_factory=dict)
    scaled: dict[str, str] = field(default_factory=dict)  # a Scale that was put before a neuron -> that neuron
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # what each node gives, of one sample

    def module(self) -> nn.Module:
        inputs = self.diagram.of(nir.Input)
        sinks = self.diagram.of(nir.Output)
        self.edges, self.delayed = list(self.diagram.edges), set(self.diagram.delayed)
        for name, node in self.diagram.nodes.items():
            if not isinstance(node, nir.Input | nir.Output):
                self._named(name, node)
        for name in list(self.neurons):
            self._recur(name)
        order = self._order(inputs, sinks)
        self._check_shapes(inputs, sinks, order)
        paths = {name: self.paths.get(self.scaled.get(name, name), ()) for name in order}
        shapes = {edge: self.shapes[edge[0]] for edge in self.edges if edge in self.delayed}
        return Level({name: self.modules[name] for name in order}, paths, self.edges, shapes, inputs, sinks).module()

    def _named(self, name: str, node: Any) -> None:
        """The module of a node, behind a Scale of its own if its input is to be multiplied."""
        try:
            if isinstance(node, nir.Delay):
                shortened = any(target == name for _, target in self.delayed) and waits(node, self.dt)
                self.modules[name] = read_delay(node, self.dt, self.dt if shortened else 0.0)
                return
            if type(node) not in NEURONS:
                self.modules[name] = LAYERS[type(node)].read(node)
                return
            neuron = self.neurons[name] = read_neuron(node, self.dt, self.reset, self.integrator)
        except (ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
            raise ValueError(f"node {name!r} ({type(node).__name__}): {error}") from error
        self.modules[name] = neuron.cell(self.dt)
        if neuron.gain is not None:
            self._insert_before(name, Scale(neuron.gain))

    def _insert_before(self, name: str, module: nn.Module) -> None:
        new = f"{name}_scale"
        while new in self.diagram.nodes or new in self.modules:
            new += "_"
        self.modules[new], self.scaled[new] = module, name
        self.delayed = {(a, new if b == name else b) for a, b in self.delayed}
        self.edges = [(a, new if b == name else b) for a, b in self.edges] + [(new, name)]

    # ---- recurrence --------------------------------------------------------------------------------------------------

    def _recur(self, name: str) -> None:
        """Neurons that a Linear or Affine feeds back to themselves become one recurrent cell."""
        neuron = self.neurons[name]
        entry = name
        if neuron.gain is not None:
            (entry,) = self._before(name)
        loops = [a for a in self._before(entry) if self._before(a) == [name] and self._after(a) == [entry]]
        loops = [a for a in loops if self._is_linear(a) and (name, a) in self.delayed]
        others = [a for a in self._before(entry) if a not in loops]
        if len(loops) != 1 or not others or not neuron.can_recur():
            return
        (loop,) = loops
        w_rec, b_rec = self._affine(loop)
        if w_rec.shape != (*neuron.shape, *neuron.shape):
            return
        first = (
            others[0] if len(others) == 1 and self._is_linear(others[0]) and self._after(others[0]) == [entry] else ""
        )
        first = "" if (first, entry) in self.delayed else first
        if b_rec is not None and not first:
            return  # its bias has no place in a recurrent cell
        gain = torch.ones(()) if neuron.gain is None else neuron.gain
        w_in: Tensor = torch.eye(*neuron.shape, dtype=w_rec.dtype)
        removed = {loop}
        if first:
            weight, bias = self._affine(first)
            if weight.shape[0] != neuron.shape[0]:
                return
            if bias is None and b_rec is None:
                w_in = nn.Parameter(_scaled(weight, neuron.gain))
                removed.add(first)
            elif b_rec is not None:
                layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
                layer.weight, total = nn.Parameter(weight), b_rec if bias is None else bias + b_rec
                layer.bias = nn.Parameter(total)
                self.modules[first] = layer
        if not isinstance(w_in, nn.Parameter) and neuron.gain is not None:
            w_in = w_in * gain  # columns of a unit matrix: one neuron each
        if entry != name:
            removed.add(entry)
        self.modules[name] = neuron.recurrent_cell(w_in, nn.Parameter(_scaled(w_rec, neuron.gain)), self.dt)
        sources = self._before(first) if first in removed else others
        at = min(self.edges.index((a, entry)) for a in others)
        kept = [(a, b) for a, b in self.edges if a not in removed and b not in removed and b != name]
        self.edges = [*kept[:at], *((a, name) for a in sources), *kept[at:]]
        moved = {(a, name if b in removed else b) for a, b in self.delayed if a not in removed}
        self.delayed = moved & set(self.edges)
        for part in removed:
            del self.modules[part]

    def _is_linear(self, name: str) -> bool:
        return isinstance(self.diagram.nodes.get(name), nir.Linear | nir.Affine)

    def _affine(self, name: str) -> tuple[Tensor, Tensor | None]:
        """Weights, and the bias unless it is 0."""
        node = self.diagram.nodes[name]
        bias = tensor(finite(node.bias, "bias")) if isinstance(node, nir.Affine) else None
        return tensor(finite(node.weight, "weight")), bias if bias is not None and bias.any() else None

    def _before(self, name: str) -> list[str]:
        return [source for source, target in self.edges if target == name]

    def _after(self, name: str) -> list[str]:
        return [target for source, target in self.edges if source == name]

    # ---- order and shapes --------------------------------------------------------------------------------------------

    def _order(self, inputs: list[str], sinks: list[str]) -> list[str]:
        forward: networkx.DiGraph = networkx.DiGraph()
        forward.add_nodes_from([*inputs, *self.modules, *sinks])
        forward.add_edges_from(edge for edge in self.edges if edge not in self.delayed)
        order = list(networkx.lexicographical_topological_sort(forward, key=str))
        return [name for name in order if name in self.modules]

    def _check_shapes(self, inputs: list[str], sinks: list[str], order: list[str]) -> None:
        """Runs one tick of one sample, node by node, and compares with what the nodes say."""
        for source in inputs:
            try:
                self.shapes[source] = self._without_batch(source, shape_of(self.diagram.nodes[source], MOST_VALUES))
            except ValueError as error:
                raise ValueError(f"node {source!r} (Input): {error}") from error
        for name in order:
            shape = self._incoming(name)
            self._repair_flatten(name, shape)
            self._compare(name, shape)
            self.shapes[name] = self._run(name, shape)
        for a, b in self.delayed:
            if self.shapes[a] != self._incoming(b):
                raise ValueError(
                    f"node {b!r}: expected shape {list(self._incoming(b))}, got {list(self.shapes[a])} from {a!r}"
                )
        for sink in sinks:
            shape = self._incoming(sink)
            try:
                said = shape_of(self.diagram.nodes[sink], MOST_VALUES)
            except ValueError:
                said = ()
            if said != shape:
                repaired(f"node {sink!r} (Output): it says shape {list(said)}, what comes in has {list(shape)}; taken")

    def _incoming(self, name: str) -> tuple[int, ...]:
        sources = [a for a in self._before(name) if (a, name) not in self.delayed]
        shapes = {self.shapes[a] for a in sources}
        if not sources:  # fed by the last tick only
            shapes = {self.shapes[a] for a in self._before(name) if a in self.shapes} or {self._said(name)}
        if len(shapes) != 1:
            got = ", ".join(f"{list(self.shapes[a])} from {a!r}" for a in sources)
            raise ValueError(f"node {name!r}: expected one shape to add up, got {got}")
        return next(iter(shapes))

    def _said(self, name: str) -> tuple[int, ...]:
        node, neuron = self.diagram.nodes.get(name), self.neurons.get(name)
        if type(node) in _ELEMENTWISE and np.ndim(own := getattr(node, _ELEMENTWISE[type(node)])):
            return tuple(np.shape(own))
        weight = getattr(self.modules[name], "weight", None)
        if neuron is None and weight is None:
            raise ValueError(f"node {name!r}: expected an input that does not only come from the last tick")
        return neuron.shape if neuron is not None else (weight.shape[1],)  # type: ignore[union-attr]

    def _compare(self, name: str, shape: tuple[int, ...]) -> None:
        """What has a number for each neuron must not make its input larger, or say another size."""
        node_name = self.scaled.get(name, name)
        node, module = self.diagram.nodes[node_name], self.modules[name]
        if type(node) in _ELEMENTWISE:
            own = tuple(np.shape(getattr(node, _ELEMENTWISE[type(node)])))
        elif node_name in self.neurons and (name in self.scaled or name not in self.scaled.values()):
            own = self.neurons[node_name].shape
        else:
            return
        if own == shape or hasattr(module, "input_weights"):
            return
        where = f"node {node_name!r} ({type(node).__name__})"
        if int(np.prod(own)) != 1:
            raise ValueError(f"{where}: expected parameters of its input's shape {list(shape)}, got {list(own)}")
        repaired(
            f"{where}: its parameters have shape {list(own)}, what comes in has {list(shape)}; taken for all neurons"
        )

    def _without_batch(self, source: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Some writers count a batch of 1 among an Input's dimensions, which no layer behind it has."""
        after = self._after(source)
        ranks = {np.ndim(getattr(self.diagram.nodes.get(name), "weight", 0.0)) - 1 for name in after}  # -1: no weights
        behind = {self.scaled.get(name, name) for target in after for name in self._after(target)}
        if ranks == {1}:  # a Linear takes any dimensions: the neurons behind it tell how many there are
            ranks = {len(self.neurons[name].shape) if name in self.neurons else len(shape) for name in behind}
        if shape[0] != 1 or len(shape) == 1 or ranks != {len(shape) - 1}:
            return shape
        repaired(f"node {source!r} (Input): shape {list(shape)} counts a batch; taken as {list(shape[1:])}")
        return shape[1:]

    def _repair_flatten(self, name: str, shape: tuple[int, ...]) -> None:
        """Some writers count the batch among a Flatten's dimensions, though its shape has none."""
        layer = self.modules[name]
        after = [self.diagram.nodes.get(target) for target in self._after(name)]
        sizes = {node.weight.shape[1] for node in after if isinstance(node, nir.Linear | nir.Affine)}
        if (
            isinstance(layer, nn.Flatten)
            and sizes == {int(np.prod(shape))}
            and (layer.start_dim, layer.end_dim) == (2, -1)
        ):
            repaired(f"node {name!r} (Flatten): start_dim=1 leaves {shape[0]} rows for a Linear of all; taken as 0")
            self.modules[name] = nn.Flatten()

    def _run(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that a module makes of a shape, without memory for either: a file may say any."""
        module = self.modules[name]
        kind = type(self.diagram.nodes.get(name, module)).__name__
        where = f"node {name!r} ({kind})"
        weights = getattr(module, "input_weights", None)
        if weights is not None:
            if shape != weights.shape[1:]:
                raise ValueError(f"{where}: expected {weights.shape[1]} inputs, got shape {list(shape)}")
            return (int(weights.shape[0]),)
        if is_stateful(module):
            return shape  # neurons and delays: `_compare` has seen that their parameters are of it
        dtype = next((t.dtype for t in (*module.parameters(), *module.buffers()) if t.dim() > 1), torch.float32)
        try:
            with _quiet(), FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
                result = tuple(module(torch.zeros(1, *shape, dtype=dtype)).shape[1:])
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ValueError(f"{where}: it can't take samples of shape {list(shape)}: {error}") from error
        if math.prod(result) > MOST_VALUES:
            raise ValueError(f"{where}: expected at most {MOST_VALUES} values in a sample, got shape {list(result)}")
        return result


@contextmanager
def _quiet() -> Iterator[None]:
    """torch logs what a shape does not fit with a traceback; the error that is raised says it too."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _scaled(weight: Tensor, gain: Tensor | None) -> Tensor:
    """Rows of weights, one a neuron, times the neurons' gain."""
    if gain is None:
        return weight
    return weight * (gain if gain.dim() == 0 else gain[:, None])
