"""A network as chips see it: its layers with their sizes, whatever it was written in."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import networkx
import nir
import numpy as np
from torch import nn

from norse.backends.chips.bits import bits_needed, bits_needed_by_row
from norse.backends.chips.connections import NEURON_KINDS, WEIGHTED_KINDS, Connection, Shape, count
from norse.backends.nir_export.build import ReadNetwork, read_in_dialect, read_network
from norse.backends.nir_export.diagram import Diagram
from norse.backends.nir_export.dialect_neurons import SAID_AS
from norse.backends.nir_export.export import described
from norse.backends.nir_export.file import read_file
from norse.backends.nir_export.layers import BY_PRIMITIVE as LAYERS
from norse.backends.nir_export.network import Example, trace_network
from norse.backends.nir_export.neurons import BY_PRIMITIVE as NEURONS
from norse.backends.nir_export.neurons import has_lower_bound
from norse.backends.nir_export.spoken import spoken_in
from norse.backends.nir_export.translate import step_said


@dataclass(frozen=True)
class Layer:
    """A node of the graph. What a kind of node has not is empty or 0.

    Args:
        name: of the node.
        primitive: its type in NIR.
        said_as: its type in the file, where a dialect says it by another one; else "".
        shape_in: of one sample that it takes.
        shape_out: of one sample that it gives.
        map_in: shape_in as it was before flattening.
        weights: how many it stores.
        bits: that they need with one scale for all (None: they are floats).
        bits_by_row: that they need with a scale for each output.
        biases: how many are not 0.
        kernel, stride, padding, dilation: of convolutions and pools.
        groups: of convolutions.
        neurons: how many it has.
        role: "hidden" or "output", of neurons.
        recurrent: whether their spikes come back to them.
        fan_in: synapses into the neuron that has most.
        fan_out: out of the neuron that has most.
        hidden_fan_out: of those, to hidden neurons.
        times: time constants in s, by name, each once.
        reset_by: what a spike does: v becomes a potential ("zero"), falls by the threshold ("subtract"), or by the
            threshold as often as it can, each time with a spike ("several"); "" of what has no spikes or no state.
        reset: the potentials that v becomes, each once.
        bounded: whether v does not fall below -v_threshold.
    """

    name: str
    primitive: str
    shape_in: Shape
    shape_out: Shape
    map_in: Shape
    said_as: str = ""
    weights: int = 0
    bits: int | None = 0
    bits_by_row: int | None = 0
    biases: int = 0
    kernel: Shape = ()
    stride: Shape = ()
    padding: Shape = ()
    dilation: Shape = ()
    groups: int = 1
    neurons: int = 0
    role: str = ""
    recurrent: bool = False
    fan_in: int = 0
    fan_out: int = 0
    hidden_fan_out: int = 0
    times: tuple[tuple[str, tuple[float, ...]], ...] = ()
    reset_by: str = ""
    reset: tuple[float, ...] = ()
    bounded: bool = False

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.primitive})"


@dataclass(frozen=True)
class Network:
    """Layers in the order in which they run, what connects them, and the time step in s (None: unknown).

    `repairs` is what was put right in a file, `dialect` the one that it was read in ("" for a module), `read_as` that
    in words, and `doubt` what speaks for another.
    """

    layers: tuple[Layer, ...]
    inputs: Mapping[str, Shape]
    connections: tuple[Connection, ...]
    edges: tuple[tuple[str, str], ...]
    dt: float | None
    repairs: tuple[str, ...] = ()
    dialect: str = ""
    read_as: str = ""
    doubt: str = ""

    @property
    def neurons(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.neurons)

    @property
    def weighted(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.weights)

    def after(self, name: str) -> list[Layer]:
        """What a layer's output goes to, flattening aside."""
        return self._neighbours(name, 0, 1)

    def before(self, name: str) -> list[Layer]:
        """What a layer's input comes from, flattening aside; inputs of the network are none."""
        return self._neighbours(name, 1, 0)

    def _neighbours(self, name: str, at: int, other: int) -> list[Layer]:
        by_name = {layer.name: layer for layer in self.layers}
        found: list[Layer] = []
        for edge in self.edges:
            if edge[at] == name and edge[other] in by_name:
                layer = by_name[edge[other]]
                found += self._neighbours(layer.name, at, other) if layer.primitive == "Flatten" else [layer]
        return found


class NirCannotSay(ValueError):
    """A model that can be followed, but has a layer that NIR has no primitive for."""


def network_of(
    source: Any,
    example_input: Example | None = None,
    dt: float | None = None,
    *,
    reset: str | None = None,
    dialect: str | None = None,
) -> Network:
    """The network that a module, a nir.NIRGraph or a file is; the arguments are those of `norse.check`.

    Raises:
        TypeError: if it is none of these.
        NirCannotSay: if it is a module that NIR can't say.
        ValueError, OSError: as `norse.to_nir` and `norse.from_nir`.
    """
    if dt is not None and not 0 < dt < float("inf"):
        raise ValueError(f"norse.check: argument dt: expects a time step in s above 0, got {dt}")
    if reset not in (None, "zero", "subtract"):
        raise ValueError(f"norse.check: argument reset: expects zero or subtract, got {reset!r}")
    if isinstance(source, nn.Module):
        for name, value in (("reset", reset), ("dialect", dialect)):
            if value is not None:
                raise ValueError(
                    f"norse.check: argument {name}: expects None with a module, whose neurons say what they do, "
                    f"got {value!r}"
                )
        return _of_module(source, example_input, dt)
    if isinstance(source, nir.NIRGraph):
        return _of_graph(source, "", dt, reset, dialect)
    if isinstance(source, str | os.PathLike):
        return _of_graph(read_file(source), f"{os.fspath(source)}: ", dt, reset, dialect)
    raise TypeError(
        "norse.check: argument model_or_file: expects a torch.nn.Module, a nir.NIRGraph or a path, got "
        f"{type(source).__name__}"
    )


def _of_module(model: nn.Module, example_input: Example | None, dt: float | None) -> Network:
    try:
        trace_network(model, example_input)
    except ValueError as error:
        raise ValueError(f"norse.check: {type(model).__name__}: {error}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that other tools may not read: none is written
        try:
            said = described(model, example_input, dt)
        except ValueError as error:
            raise NirCannotSay(f"{type(model).__name__}: {error}") from error
        read = read_network(said.graph)
    step = dt if dt is not None else step_said(said.graph.metadata)
    return _summarised(read, said.resets, step)


def _of_graph(graph: Any, where: str, dt: float | None, reset: str | None, dialect: str | None) -> Network:
    spoken = spoken_in(graph, dialect, "norse.check")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read, step = read_in_dialect(graph, spoken.dialect, dt, reset)
        except ValueError as error:
            raise ValueError(f"norse.check: {where}{error}") from error
    # What else reading warns of is about running a network, which nobody does here.
    told = (str(warning.message).partition("norse.from_nir: ")[2] for warning in caught)
    repairs = tuple(text for text in told if text.startswith(("node ", "edge ")))
    resets = dict.fromkeys(read.diagram.nodes, reset or spoken.dialect.reset)
    also = f"; a spike {_RESETS[reset]}, as asked" if reset is not None else ""
    return replace(
        _summarised(read, resets, step),
        repairs=repairs,
        dialect=spoken.name,
        read_as=f"{spoken}{also}",
        doubt=spoken.doubt,
    )


_RESETS = {"zero": "sets v to v_reset", "subtract": "lowers v by the threshold"}


def _summarised(read: ReadNetwork, resets: Mapping[str, str], dt: float | None) -> Network:
    diagram, shapes = read.diagram, read.shapes
    outputs = _last_neurons(diagram)
    counted = count(diagram, shapes, outputs)
    everything: Any = networkx.DiGraph(diagram.edges)
    loops = [part for part in networkx.strongly_connected_components(everything) if len(part) > 1]
    recurrent = {name for part in loops for name in part} | {a for a, b in diagram.edges if a == b}
    layers = []
    for name in diagram.order():
        node = diagram.nodes[name]
        if isinstance(node, nir.Input | nir.Output) or name not in counted.taken:
            continue
        fields: dict[str, Any] = {}
        if isinstance(node, NEURON_KINDS):
            fields = _of_neurons(node, counted.given[name], resets.get(name, "")) | {
                "role": "output" if name in outputs else "hidden",
                "recurrent": name in recurrent,
                "fan_in": counted.fan_in[name],
                "fan_out": counted.fan_out[name],
                "hidden_fan_out": counted.hidden_fan_out[name],
            }
        elif isinstance(node, WEIGHTED_KINDS):
            fields = _of_weights(node)
        if isinstance(node, nir.Conv1d | nir.Conv2d | nir.AvgPool2d | nir.SumPool2d):
            fields |= _of_kernel(LAYERS[type(node)].read(node), len(counted.taken[name]) - 1)
        taken, given = counted.taken[name], counted.given[name]
        layers.append(Layer(name, type(node).__name__, taken, given, counted.maps.get(name, taken), **fields))
    inputs = {name: shapes[name] for name in diagram.of(nir.Input)}
    return Network(tuple(layers), inputs, counted.connections, diagram.edges, dt)


def _last_neurons(diagram: Diagram) -> frozenset[str]:
    """Neurons that an Output gets without others or weights in between: behind weights there should be others."""
    found: set[str] = set()
    seen: set[str] = set()
    todo = diagram.of(nir.Output)
    while todo:
        name = todo.pop()
        for source in diagram.before(name):
            if isinstance(diagram.nodes[source], NEURON_KINDS):
                found.add(source)
            elif source not in seen and not isinstance(diagram.nodes[source], WEIGHTED_KINDS):
                seen.add(source)
                todo.append(source)
    return frozenset(found)


def _of_neurons(node: Any, shape: Shape, reset: str) -> dict[str, Any]:
    row = NEURONS.get(type(node))
    times = tuple((field, _each(getattr(node, field))) for field in (row.rates if row else ()))
    reset = reset if row is not None and "v_reset" in row.potentials else ""
    return {
        "said_as": str(node.metadata.get(SAID_AS, "")) if isinstance(node.metadata, dict) else "",
        "neurons": int(np.prod(shape)),
        "times": times,
        "reset_by": reset,
        "reset": _each(node.v_reset) if reset == "zero" else (),
        "bounded": reset in ("subtract", "several") and has_lower_bound(node),
    }


def _of_weights(node: Any) -> dict[str, Any]:
    weight = np.asarray(node.weight)
    bias = getattr(node, "bias", None)
    return {
        "weights": int(weight.size),
        "bits": bits_needed(weight),
        "bits_by_row": bits_needed_by_row(weight),
        "biases": 0 if bias is None else int(np.count_nonzero(bias)),
    }


def _of_kernel(module: Any, rank: int) -> dict[str, Any]:
    """kernel, stride, ... of a torch layer, a number for each dimension."""
    kernel, stride = _sizes(module.kernel_size, rank), _sizes(module.stride, rank)
    dilation = _sizes(getattr(module, "dilation", 1), rank)
    if module.padding == "same":
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    else:
        padding = _sizes(0 if module.padding == "valid" else module.padding, rank)
    groups = int(getattr(module, "groups", 1))
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _sizes(value: Any, rank: int) -> Shape:
    return tuple(int(size) for size in value) if isinstance(value, tuple) else (int(value),) * rank


def _each(value: Any) -> tuple[float, ...]:
    return tuple(float(number) for number in np.unique(np.asarray(value)))
