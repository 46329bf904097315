"""`to_nir`: the network level of the IR, node by node, as a NIR graph."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import networkx
import nir
import numpy as np
import torch
from torch import Tensor, nn

from norse.backends.nir_export.arrays import finite, of_shape
from norse.backends.nir_export.cycles import Edge, delayed_edges
from norse.backends.nir_export.file import write_file
from norse.backends.nir_export.layers import INSTEAD, VANISHING, row_of
from norse.backends.nir_export.network import Network, trace_network
from norse.backends.nir_export.neurons import BY_STEP, NEURONS, starts_at_rest, write_neuron
from norse.compiler.ir import Node, Operand, Ref, refs
from norse.compiler.trace.model import untraceable

DISCRETISATION = "forward Euler, synapse before membrane; IF: v += r * input in each tick"


def to_nir(
    model: nn.Module,
    path: str | os.PathLike[str] | None = None,
    *,
    example_input: Tensor | None = None,
    dt: float | None = None,
    time_scaling_factor: float = 1.0,
) -> Any:
    """The model as a nir.NIRGraph, written to `path` if there is one. See `norse.to_nir`."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"norse.to_nir: argument model: expects a torch.nn.Module, got {type(model).__name__}")
    if not time_scaling_factor > 0:
        raise ValueError(f"norse.to_nir: argument time_scaling_factor: expects above 0, got {time_scaling_factor}")
    try:
        network = trace_network(model, example_input)
        graph = _Writer(network, time_scaling_factor).written(dt)
    except ValueError as error:
        raise ValueError(f"norse.to_nir: {type(model).__name__}: {error}") from error
    if path is not None:
        write_file(graph, path)
    return graph


@dataclass(frozen=True)
class _LastTick:
    """Stands for what a value was one tick ago."""

    of: str


Source = str | _LastTick


@dataclass
class _Writer:
    network: Network
    scaling: float
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[Source, str]] = field(default_factory=list)
    # For every value of the IR, the NIR nodes whose outputs add up to it.
    sources: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    steps: dict[float, str] = field(default_factory=dict)  # dt of neurons -> the first such layer

    def written(self, dt: float | None) -> Any:
        graph = self.network.graph
        self._add("input", nir.Input({"input": np.array(self.network.shape(graph.inputs[0]))}))
        self.sources[graph.inputs[0]] = ("input",)
        self.sources.update({name: (_LastTick(value),) for name, value in self.network.fed_back.items()})
        needed = _needed(self.network)
        for node in graph.nodes:
            if needed.intersection(node.outputs):
                self._write(node)
        for k, name in enumerate(self.network.outputs):
            wish = "output" if len(self.network.outputs) == 1 else f"output_{k}"
            self._add(wish, nir.Output({"output": np.array(self.network.shape(name))}), self.sources[name])
        edges = self._ordered(*self._resolved())
        metadata = {"dt": self._dt(dt), "discretisation": DISCRETISATION}
        if all(_nir_infers(node) for node in self.nodes.values()):
            return nir.NIRGraph(self.nodes, edges, metadata=metadata)
        warnings.warn(
            "norse.to_nir: nir can't work out the shapes of grouped convolutions and of rectangular kernels: other "
            "tools may need nir.read(file, type_check=False)",
            stacklevel=4,
        )
        return nir.NIRGraph(self.nodes, edges, metadata=metadata, type_check=False)

    # ---- nodes -------------------------------------------------------------------------------------------------------

    def _write(self, node: Node) -> None:
        if node.op in ("enter", "leave", "detach", "identity"):
            self.sources[node.output] = self._of(node.inputs[0])
        elif node.op == "add":
            self._sum(node)
        elif node.op == "mul":
            self._product(node)
        elif node.op == "linear":
            self._linear(node)
        elif node.op == "call":
            self._call(node)
        elif "_step" in node.attrs:
            self._neuron(node)
        elif "_path" in node.attrs and node.op not in ("initial_state", "parameter"):
            self._layer(node)
        else:
            where = f"layer {node.module!r}: " if node.module else "its forward: "
            raise ValueError(f"{where}NIR can't say {node.op}")

    def _layer(self, node: Node) -> None:
        path = node.attrs["_path"]
        layer = self.network.modules[path]
        where = _layer_name(path, layer)
        if node.op == "eager" and (row_of(layer) is None or untraceable(layer)):
            reason = self.network.eager.get(path, "it can't be traced")
            raise ValueError(f"{where}: expected a layer that the compiler understands, but {reason}")
        operand = _only_ref(node.inputs[0])
        if isinstance(layer, VANISHING):
            if layer.training and isinstance(layer, nn.Dropout) and layer.p > 0:
                raise ValueError(f"{where}: expected a model in eval mode, got Dropout in training; call model.eval()")
            self.sources[node.output] = self._of(Ref(operand))
            return
        row = row_of(layer)
        if row is None:
            raise ValueError(f"{where}: {INSTEAD.get(type(layer).__name__, 'NIR has no such primitive')}")
        shape = self.network.shape(operand)
        if row.rank is not None and len(shape) != row.rank:
            raise ValueError(
                f"{where}: expected samples of {row.rank} dimensions, got shape {list(shape)} (without time and batch)"
            )
        leading = self.network.leading(operand, bool(node.attrs.get("_over_time")))
        self._named(where, path, node, lambda: row.write(layer, shape, leading))

    def _named(self, where: str, path: str, node: Node, write: Callable[[], Any]) -> None:
        try:
            made = write()
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        self.sources[node.output] = (self._add(_wish(path, node), made, self._of(node.inputs[0])),)

    def _neuron(self, node: Node) -> None:
        path: str = node.attrs["_path"]
        module: Any = self.network.modules[path]
        where = _layer_name(path, module)
        row = BY_STEP.get(module.activation)
        if row is None:
            known = sorted({step.__name__ for r in NEURONS for step in r.steps})
            name = getattr(module.activation, "__name__", repr(module.activation))
            raise ValueError(f"{where}: NIR can't say its step: expected one of {', '.join(known)}, got {name}")
        self._check_state(where, node, module, row)
        weights = self._weights(node)
        shape = self.network.shape(node.outputs[0])
        dtype = self.network.dtype(node.outputs[0])
        if row.rates:
            self.steps.setdefault(float(module.dt), where)
        try:
            written = write_neuron(row, module.p, float(module.dt), shape, dtype, self.scaling)
            arrays = {name: finite(value, name) for name, value in weights.items()}
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        sources, wish = self._of(node.inputs[0]), _wish(path, node)
        if "input_weights" in arrays:
            if len(self.network.shape(_only_ref(node.inputs[0]))) != 1:
                raise ValueError(f"{where}: expected samples of 1 dimension, got {list(shape)}; put a Flatten before")
            sources = (self._add(f"{wish}_input", nir.Linear(arrays["input_weights"]), sources),)
        name = self._add(wish, written, sources)
        if "recurrent_weights" in arrays:
            recurrent = self._add(
                f"{wish}_recurrent", nir.Linear(arrays["recurrent_weights"]), (_LastTick(node.outputs[0]),)
            )
            self.edges.append((recurrent, name))
        self.sources[node.outputs[0]] = (name,)

    def _weights(self, node: Node) -> dict[str, Tensor]:
        made = self.network.graph.producers
        inputs = [made[name] for name in node.uses if name in made and made[name].op == "parameter"]
        names = [parameter.attrs["_name"] for parameter in inputs if parameter.attrs["_name"] != "p"]
        return {name: getattr(self.network.modules[node.attrs["_path"]], name) for name in names}

    def _check_state(self, where: str, node: Node, module: Any, row: Any) -> None:
        """A neuron's state starts at rest and is carried from tick to tick: NIR knows no other."""
        graph = self.network.graph
        start = next(graph.producers[name] for name in node.uses if _is_start(graph.producers.get(name)))
        if self.network.over_time:
            if not node.attrs["_over_time"]:
                raise ValueError(f"{where}: expected a layer over time, got a cell of one tick; wrap it in snn.Lift")
            carried = start.attrs["_given"] is None
            if not node.attrs["_own_time"]:
                carried &= any(n.op == "last" and n.uses[0] in node.outputs for n in graph.nodes)
        else:
            given = tuple(refs(start.inputs[1:]))
            carried = bool(given) and tuple(self.network.fed_back.get(name) for name in given) == node.outputs[1:]
        if not carried:
            raise ValueError(
                f"{where}: expected its state to be carried from each tick to the next, unchanged; got a model that "
                "drops, changes or replaces it"
            )
        x = graph.types[_only_ref(node.inputs[0])]
        leading = (1, 1) if node.attrs["_own_time"] else (1,)
        sample = self.network.shape(_only_ref(node.inputs[0]))
        example = torch.zeros(*leading, *sample, dtype=x.dtype, device=_device(module))
        with torch.no_grad():
            if not starts_at_rest(row, module.p, module.state_fallback(example)):
                raise ValueError(
                    f"{where}: expected v to start at {row.start} and the rest at 0, got another initial state"
                )

    # ---- operations in a module's own forward ------------------------------------------------------------------------

    def _sum(self, node: Node) -> None:
        """Edges into one node add up. NIR knows an edge once, so what is added to itself goes through a Scale by 1."""
        if not all(isinstance(operand, Ref) and operand.name in self.sources for operand in node.inputs):
            raise ValueError(f"{_forward(node)}: NIR can't add a constant; use the bias of a Linear")
        one, other = (self._of(operand) for operand in node.inputs)
        if self.network.shape(node.uses[0]) != self.network.shape(node.uses[1]):
            raise ValueError(
                f"{_forward(node)}: expected two values of one shape in a sum, got {node.uses} that broadcast"
            )
        if set(one) & set(other):
            scale = nir.Scale(np.ones(self.network.shape(node.output), np.float32))
            other = (self._add("scale", scale, other),)
        self.sources[node.output] = (*one, *other)

    def _product(self, node: Node) -> None:
        values = [operand for operand in node.inputs if isinstance(operand, Ref) and operand.name in self.sources]
        if len(values) != 1:
            raise ValueError(f"{_forward(node)}: NIR can't multiply two values")
        (factor,) = (operand for operand in node.inputs if operand != values[0])
        shape, dtype = self.network.shape(node.output), self.network.dtype(node.output)
        if shape != self.network.shape(values[0].name):
            raise ValueError(f"{_forward(node)}: expected a product of the value's shape, got {list(shape)}")
        scale = nir.Scale(of_shape(self._constant(node, factor), shape, dtype, f"{_forward(node)}: factor"))
        self.sources[node.output] = (self._add(_wish(node.module, node, "scale"), scale, self._of(values[0])),)

    def _linear(self, node: Node) -> None:
        weight = finite(self._constant(node, node.inputs[1]), f"{_forward(node)}: weight")
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            made = nir.Affine(weight, finite(self._constant(node, node.inputs[2]), f"{_forward(node)}: bias"))
        else:
            made = nir.Linear(weight)
        self.sources[node.output] = (self._add(_wish(node.module, node, "linear"), made, self._of(node.inputs[0])),)

    def _call(self, node: Node) -> None:
        if node.attrs.get("_target") not in (torch.flatten, "flatten"):
            raise ValueError(f"{_forward(node)}: NIR can't say {node.attrs.get('target', 'this call')}")
        operand = _only_ref(node.inputs[0])
        names = ("start_dim", "end_dim")
        given: dict[str, Any] = dict(zip(names, node.inputs[1:], strict=False)) | dict(node.attrs.get("_kwargs", {}))
        layer = nn.Flatten(given.get("start_dim", 0), given.get("end_dim", -1))
        row = row_of(layer)
        assert row is not None
        leading = self.network.leading(operand, bool(node.attrs.get("_over_time")))
        shape = self.network.shape(operand)
        self._named(_forward(node), node.module, node, lambda: row.write(layer, shape, leading))

    def _constant(self, node: Node, operand: Operand) -> Any:
        """What a parameter holds, or a number of the trace."""
        if not isinstance(operand, Ref):
            return operand
        made = self.network.graph.producers.get(operand.name)
        if made is None or made.op != "parameter":
            raise ValueError(
                f"{_forward(node)}: expected weights that are a parameter, got the result of a computation"
            )
        return getattr(self.network.modules[made.attrs["_path"]], made.attrs["_name"])

    # ---- edges -------------------------------------------------------------------------------------------------------

    def _add(self, wish: str, node: Any, sources: tuple[Source, ...] = ()) -> str:
        name, count = wish, 1
        while name in self.nodes:
            name, count = f"{wish}_{count}", count + 1
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def _of(self, operand: Operand) -> tuple[Source, ...]:
        return self.sources[_only_ref(operand)]

    def _resolved(self) -> tuple[list[Edge], frozenset[Edge]]:
        """The edges between nodes, and those among them that carry the last tick's value."""
        edges: list[Edge] = []
        delayed: set[Edge] = set()
        for source, target in self.edges:
            if isinstance(source, str):
                edges.append((source, target))
                continue
            for before in self.sources[source.of]:
                if not isinstance(before, str):
                    raise ValueError(f"node {target!r}: NIR can't say a value of two ticks ago")
                edges.append((before, target))
                delayed.add((before, target))
        if len(set(edges)) != len(edges):
            raise ValueError(f"NIR knows an edge once, got {sorted(e for e in edges if edges.count(e) > 1)} twice")
        return edges, frozenset(delayed)

    def _ordered(self, edges: list[Edge], delayed: frozenset[Edge]) -> list[Edge]:
        """In the order of computation, which a reader needs to see which edges are the delayed ones."""
        forward: networkx.DiGraph = networkx.DiGraph()
        forward.add_nodes_from(self.nodes)
        forward.add_edges_from(edge for edge in edges if edge not in delayed)
        place = {name: index for index, name in enumerate(networkx.lexicographical_topological_sort(forward, key=str))}
        edges = sorted(edges, key=lambda edge: place[edge[1]])
        stateless = frozenset(name for name, node in self.nodes.items() if type(node) not in _STATEFUL)
        understood = delayed_edges(["input"], edges, stateless)
        if understood != delayed:
            raise ValueError(
                "NIR leaves to the reader which edge of a cycle takes a tick: expected "
                f"{sorted(map(_arrow, delayed))}, a reader takes {sorted(map(_arrow, understood))}"
            )
        return edges

    def _dt(self, dt: float | None) -> float:
        if len(self.steps) > 1:
            raise ValueError(
                f"expected one dt, got {', '.join(f'{dt} in {where}' for dt, where in self.steps.items())}"
            )
        own = next(iter(self.steps), None)
        if own is None:
            return 0.001 if dt is None else float(dt)
        if dt is not None and not np.isclose(dt, own * self.scaling, rtol=1e-6, atol=0):
            raise ValueError(f"argument dt: expected {own * self.scaling}, the dt of {self.steps[own]}, got {dt}")
        return own * self.scaling


_STATEFUL = tuple(row.primitive for row in NEURONS)


def _needed(network: Network) -> set[str]:
    """The values that the outputs depend on, in this tick or an earlier one."""
    producers = network.graph.producers
    needed: set[str] = set()
    todo = list(network.outputs)
    while todo:
        name = todo.pop()
        if name in needed:
            continue
        needed.add(name)
        node = producers.get(name)
        if node is None:
            todo += [network.fed_back[name]] if name in network.fed_back else []
        else:
            todo += [
                use for use in node.uses if not _is_start(producers.get(use)) and not _is_parameter(producers.get(use))
            ]
    return needed


def _is_start(node: Node | None) -> bool:
    return node is not None and node.op == "initial_state"


def _is_parameter(node: Node | None) -> bool:
    return node is not None and node.op == "parameter"


def _only_ref(operand: Operand) -> str:
    (name,) = refs(operand)
    return name


def _wish(path: str, node: Node, suffix: str = "") -> str:
    """A node's name: its module's path, with underscores, because other tools make module names of it."""
    parts = [part for part in path.split(".") if part and part != "lifted_module"]
    return "_".join([*parts, suffix] if suffix else parts) or node.op.lower()


def _layer_name(path: str, module: nn.Module) -> str:
    return f"layer {path!r} ({type(module).__name__})"


def _forward(node: Node) -> str:
    return f"the forward of layer {node.module!r}" if node.module else "its forward"


def _arrow(edge: Edge) -> str:
    return " -> ".join(edge)


def _device(module: nn.Module) -> torch.device:
    return next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))


def _nir_infers(node: Any) -> bool:
    """nir 1.0.8 takes a kernel's height for its width, and weight.shape[1] for the number of input channels."""
    if isinstance(node, nir.Conv2d | nir.Conv1d):
        return node.groups == 1 and len(set(node.weight.shape[2:])) == 1
    return True
