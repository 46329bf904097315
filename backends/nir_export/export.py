"""`to_nir`: the network level of the IR, node by node, as a NIR graph."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

import norse.torch as snn
from norse.backends.nir_export.arrays import finite, of_shape
from norse.backends.nir_export.cycles import Edge
from norse.backends.nir_export.delays import KINDS as DELAYS
from norse.backends.nir_export.delays import write_delay
from norse.backends.nir_export.diagram import flattened
from norse.backends.nir_export.dialect_neurons import Reset
from norse.backends.nir_export.dialects import Dialect, dialect_of
from norse.backends.nir_export.file import write_file
from norse.backends.nir_export.layers import INSTEAD, VANISHING, row_of
from norse.backends.nir_export.nested import nested
from norse.backends.nir_export.network import AS_ONE_TICK, Example, Network, trace_network
from norse.backends.nir_export.neurons import (
    BY_STEP,
    NEURONS,
    check_reset,
    instead_of,
    is_bounded,
    reset_of,
    starts_at_rest,
    write_neuron,
)
from norse.backends.nir_export.scale import Scale
from norse.backends.nir_export.timing import Lagged, timed_edges, understood
from norse.backends.nir_export.translate import not_taken, raise_if, said, scales_in_weights
from norse.backends.nir_export.verify import Calls
from norse.backends.nir_export.verify import verify as run_both
from norse.compiler.ir import Node, Operand, Ref, refs
from norse.compiler.module import CompiledModule
from norse.compiler.trace.model import untraceable
from norse.torch.functional.quantization import QuantizedStep
from norse.torch.module.quantized import freeze_quantized, is_quantized

DISCRETISATION = "forward Euler, synapse before membrane; IF: v += r * input in each tick"


def to_nir(
    model: nn.Module,
    path: str | os.PathLike[str] | None = None,
    *,
    example_input: Example | None = None,
    dt: float | None = None,
    time_scaling_factor: float = 1.0,
    subgraphs: bool = False,
    verify: bool = True,
    dialect: str = "nir",
) -> Any:
    """The model as a nir.NIRGraph, written to `path` if there is one. See `norse.to_nir`."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"norse.to_nir: argument model: expects a torch.nn.Module, got {type(model).__name__}")
    if not time_scaling_factor > 0:
        raise ValueError(f"norse.to_nir: argument time_scaling_factor: expects above 0, got {time_scaling_factor}")
    model = _plain(model)
    spoken = dialect_of(dialect, "norse.to_nir")
    try:
        network = trace_network(model, example_input)
        writer = _Writer(network, time_scaling_factor, spoken)
        in_dialect = said(writer.written(dt, subgraphs), spoken, writer.refused)
        graph = in_dialect.graph
        graph.verification = None
        graph.metadata["dialect"] = dialect
        if not spoken.is_plain:
            graph.metadata["discretisation"] = spoken.tool
        for caution in writer.cautions(graph):
            warnings.warn(f"norse.to_nir: {caution}", stacklevel=3)
        for calls in writer.calls.values():
            calls.nodes = [in_dialect.names.get(name, name) for name in calls.nodes]

        def check(read: Any) -> None:
            if verify:
                graph.verification = run_both(
                    read, model, network, writer.calls, graph.metadata["dt"], example_input,
                    spoken, in_dialect.scales, bool(writer.single), in_dialect.late,
                )  # fmt: skip

        if path is None:
            check(graph)
        else:
            write_file(graph, path, check)
        if graph.verification is not None and graph.verification.spikes == 0 and writer.resets:
            warnings.warn(
                "norse.to_nir: verified without a single spike: neither thresholds nor resets were tried. Pass an "
                "example_input [T, B, ...] that makes neurons fire",
                stacklevel=3,
            )
    except ValueError as error:
        raise ValueError(f"norse.to_nir: {type(model).__name__}: {error}") from error
    return graph


def _plain(model: nn.Module) -> nn.Module:
    """Without `norse.compile` around it, and with the rounded numbers that a file has."""
    while isinstance(model, CompiledModule):
        model = model.model
    return freeze_quantized(model) if is_quantized(model) else model


@dataclass(frozen=True)
class Described:
    """A model in NIR's primitives whatever its neurons' resets, which NIR can't all say: those are told aside.

    Args:
        graph: a nir.NIRGraph, of no use without the resets.
        resets: of each node of neurons that spike.
    """

    graph: Any
    resets: Mapping[str, Reset]


def described(model: nn.Module, example_input: Example | None, dt: float | None) -> Described:
    """What `to_nir` would write, were there a NIR that can say every reset. States that are integers are as if they
    were not rounded; a Scale behind weights of its own is in the weights, as for the tools of the dialects.

    Raises ValueError, with the layer's name, where NIR has no primitive for a layer.
    """
    model = _plain(model)
    writer = _Writer(trace_network(model, example_input), 1.0, None)
    graph = writer.written(dt, False)
    raise_if(writer.refused)
    return Described(scales_in_weights(graph), writer.resets)


@dataclass(frozen=True)
class _LastTick:
    """Stands for what a value was one tick ago."""

    of: str


Source = str | _LastTick


@dataclass
class _Writer:
    network: Network
    scaling: float
    dialect: Dialect | None  # None: any reset is taken, and told in `resets`
    single: list[str] = field(default_factory=list)  # layers of one spike a tick, for a tool of several
    resets: dict[str, Reset] = field(default_factory=dict)  # of the nodes of spiking neurons
    unbounded: dict[str, str] = field(default_factory=dict)  # layers without a lower bound, by their nodes' names
    refused: list[str] = field(default_factory=list)  # all that NIR or the tool can't say
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[Source, str]] = field(default_factory=list)
    # For every value of the IR, the NIR nodes whose outputs add up to it.
    sources: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    inside: tuple[str, ...] = ()  # the modules that the operation is in, outermost first
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of each node, those and its name
    calls: dict[str, Calls] = field(default_factory=dict)  # of neurons, by their paths
    steps: dict[float, str] = field(default_factory=dict)  # dt of neurons -> the first such layer

    def written(self, dt: float | None, subgraphs: bool) -> Any:
        graph = self.network.graph
        for wish, value in self.network.inputs.items():
            name = self._add(wish, nir.Input({"input": np.array(self.network.shape(value))}))
            self.sources[value] = (name,)
            self.inputs.append(name)
        self.sources.update({name: (_LastTick(value),) for name, value in self.network.fed_back.items()})
        needed, whole = _needed(self.network), True
        for node in graph.nodes:
            if needed.intersection(node.outputs):
                try:
                    self._write(node)
                except ValueError as error:
                    self.refused.append(str(error))
                    self.sources |= dict.fromkeys(node.outputs, ())  # to find what else is refused
                    whole = False
        if not whole:
            raise_if([*self.refused, *self._not_taken()])
        for wish, value in self.network.outputs:
            self.inside = ()
            self._add(wish, nir.Output({"output": np.array(self.network.shape(value))}), self.sources[value])
        step = self._dt(dt)
        edges = self._edges(step)
        metadata = {"dt": step, "discretisation": DISCRETISATION}
        nodes = self.nodes
        if subgraphs:
            nodes, edges = self._nested(edges, step)
        if all(_nir_infers(node) for node in self.nodes.values()):
            # In its check nir makes an Output of whatever leads nowhere: an input that the model doesn't use.
            used = {source for source, _ in edges} | {target for _, target in edges}
            check = nodes is self.nodes and used == set(nodes)
            return nir.NIRGraph(nodes, edges, metadata=metadata, type_check=check)
        warnings.warn(
            "norse.to_nir: nir can't work out the shapes of grouped convolutions and of rectangular kernels: other "
            "tools may need nir.read(file, type_check=False)",
            stacklevel=4,
        )
        return nir.NIRGraph(nodes, edges, metadata=metadata, type_check=False)

    def _not_taken(self) -> Iterator[str]:
        """What the tool has nothing for, if it is for one."""
        if self.dialect is not None:
            found = (not_taken(name, node, self.dialect) for name, node in self.nodes.items())
            yield from (reason for reason in found if reason is not None)

    def cautions(self, graph: Any) -> Iterator[str]:
        """Where the graph is the model only under a condition, or is not what one may look for."""
        if self.dialect is None:
            return
        tool = self.dialect.tool
        if self.single:
            yield (
                f"{tool} fires several spikes in a tick where v reaches twice v_threshold, and "
                f"{', '.join(self.single)} one: the same as long as that does not happen"
            )
        held = [where for name, where in self.unbounded.items() if isinstance(graph.nodes[name], nir.IF)]
        others = [where for where in self.unbounded.values() if where not in held]
        if held:
            yield (
                f"{tool} holds v of IF at -v_threshold from below, which {', '.join(held)} is not: the same as "
                "long as v does not fall below it, or with reset_method=reset_subtract_bounded"
            )
        if others:
            yield (
                f"{tool} holds v of IF at -v_threshold from below, which {', '.join(others)} is not: written as "
                "LIF without a leak. Where it must be IF, as for Speck, train with reset_method=reset_subtract_bounded"
            )

    # ---- nodes -------------------------------------------------------------------------------------------------------

    def _write(self, node: Node) -> None:
        path = str(node.attrs.get("_path", f"{node.module}."))
        self.inside = tuple(part for part in path.split(".")[:-1] if part and part != "lifted_module")
        if node.op in ("enter", "leave", "detach", "identity") or self._makes_numbers(node):
            self.sources[node.output] = self._of(node.inputs[0])
        elif node.op in ("add", "sub"):
            self._sum(node)
        elif node.op in ("mul", "div", "neg"):
            self._product(node)
        elif node.op == "gt":
            self._threshold(node)
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
        if isinstance(layer, DELAYS) and not untraceable(layer):
            self._delay(node, path, layer, where)
            return
        if node.op == "eager" and (row_of(layer) is None or untraceable(layer)):
            reason = self.network.eager.get(path, "it can't be traced")
            reason += instead_of(getattr(layer, "activation", None))
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
        if isinstance(layer, snn.Threshold):
            (name,) = self.sources[node.outputs[0]]
            self.calls.setdefault(path, Calls(node.outputs[0])).nodes.append(str(name))

    def _named(self, where: str, path: str, node: Node, write: Callable[[], Any]) -> None:
        try:
            made = write()
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        self.sources[node.outputs[0]] = (self._add(_wish(path, node), made, self._of(node.inputs[0])),)

    def _delay(self, node: Node, path: str, layer: Any, where: str) -> None:
        operand, *state = node.uses
        if isinstance(layer, snn.SynapseDelay):
            carried = not state
        else:
            carried = [self.network.fed_back.get(name) for name in state] == [*node.outputs[1:]]
        if not carried or self.network.over_time != isinstance(layer, snn.SynapseDelay):
            raise ValueError(f"{where}: {self._not_carried()}")
        self.steps.setdefault(float(layer.dt), where)
        shape, dtype = self.network.shape(operand), self.network.dtype(operand)
        self._named(where, path, node, lambda: write_delay(layer, shape, dtype, self.scaling))

    def _neuron(self, node: Node) -> None:
        path: str = node.attrs["_path"]
        module: Any = self.network.modules[path]
        where = _layer_name(path, module)
        step = module.activation
        if isinstance(step, QuantizedStep) and self.dialect is None:
            step = step.step
        if isinstance(step, QuantizedStep):
            raise ValueError(
                f"{where}: NIR can't say that states are integers: expected state_bits=None, with which norse.quantize "
                f"gives the same weights, decays and thresholds, got {step.precision.states}"
            )
        row = BY_STEP.get(step)
        if row is None:
            known = sorted({step.__name__ for r in NEURONS for step in r.steps})
            name = getattr(step, "__name__", repr(step))
            if getattr(getattr(module, "steps", None), "exponential", None) is step:
                raise ValueError(
                    f"{where}: a file is run by forward Euler: expected integrator='euler', got 'exponential'"
                )
            got = f"{name}{instead_of(step)}"
            if not str(getattr(step, "__module__", "")).startswith("norse."):
                got += ", a step of your own, which is no primitive even where it computes the same as one"
            raise ValueError(f"{where}: NIR can't say its step: expected one of {', '.join(known)}, got {got}")
        self._check_state(where, node, module, row)
        weights = self._weights(node)
        shape = self.network.shape(node.outputs[0])
        dtype = self.network.dtype(node.outputs[0])
        if row.rates:
            self.steps.setdefault(float(module.dt), where)
        try:
            if self.dialect is not None:
                check_reset(row, module.p, self.dialect)
            reset = reset_of(module.p)
        except ValueError as error:
            self.refused.append(f"{where}: {error}")
            reset = None
        try:
            written = write_neuron(row, module.p, float(module.dt), shape, dtype, self.scaling)
            arrays = {name: finite(value, name) for name, value in weights.items()}
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        sources, wish = self._of(node.inputs[0]), _wish(path, node)
        if "input_weights" in arrays:
            if len(self.network.shape(_only_ref(node.inputs[0]))) != 1:
                raise ValueError(f"{where}: expected samples of 1 dimension, got {list(shape)}; put a Flatten before")
            if not np.array_equal(arrays["input_weights"], np.eye(shape[0])):
                sources = (self._add(f"{wish}_input", nir.Linear(arrays["input_weights"]), sources),)
        name = self._add(wish, written, sources)
        if reset is not None:
            self.resets[name] = reset
            self._conditions(where, name, module.p, reset)
        self.calls.setdefault(path, Calls(node.outputs[0])).nodes.append(name)
        if "recurrent_weights" in arrays:
            recurrent = self._add(
                f"{wish}_recurrent", nir.Linear(arrays["recurrent_weights"]), (_LastTick(node.outputs[0]),)
            )
            self.edges.append((recurrent, name))
        self.sources[node.outputs[0]] = (name,)

    def _conditions(self, where: str, name: str, p: Any, reset: Reset) -> None:
        """Where the tool's neurons are others than the model's, as `cautions` says."""
        if self.dialect is not None:
            if self.dialect.reset == "several" and reset == "subtract":
                self.single.append(where)
            if type(self.nodes[name]) in self.dialect.bounded and not is_bounded(p):
                self.unbounded[name] = where

    def _not_carried(self) -> str:
        remedy = f", or does not begin with None; {AS_ONE_TICK}" if self.network.rolled else ""
        return (
            "expected its state to be carried from each tick to the next, unchanged; got a model that drops, changes "
            f"or replaces it{remedy}"
        )

    def _weights(self, node: Node) -> dict[str, Tensor]:
        made = self.network.graph.producers
        inputs = [made[name] for name in node.uses if name in made and made[name].op == "parameter"]
        names = [parameter.attrs["_name"] for parameter in inputs if parameter.attrs["_name"] != "p"]
        return {name: getattr(self.network.modules[node.attrs["_path"]], name) for name in names}

    def _check_state(self, where: str, node: Node, module: Any, row: Any) -> None:
        """A neuron's state starts at rest and is carried from tick to tick: NIR knows no other."""
        graph = self.network.graph
        starts = (graph.producers[name] for name in node.uses if _is_start(graph.producers.get(name)))
        start = next(starts, None)
        if start is None:  # a loop hands it something else
            carried = False
        elif self.network.over_time:
            if not node.attrs["_over_time"]:
                raise ValueError(f"{where}: expected a layer over time, got a cell of one tick; wrap it in snn.Lift")
            carried = start.attrs["_given"] is None
            if self.network.rolled:  # there a state of its own that a layer reads at each tick is in no register
                carried &= set(start.outputs) <= set(node.uses)
            elif not node.attrs["_own_time"]:
                carried &= any(n.op == "last" and n.uses[0] in node.outputs for n in graph.nodes)
        else:
            given = tuple(refs(start.inputs[1:]))
            carried = bool(given) and tuple(self.network.fed_back.get(name) for name in given) == node.outputs[1:]
        if not carried:
            raise ValueError(f"{where}: {self._not_carried()}")
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
        shape, dtype = self.network.shape(node.output), self.network.dtype(node.output)
        if not dtype.is_floating_point:
            raise ValueError(
                f"{_forward(node)}: NIR adds up numbers, not {dtype}; make spikes of it first, by .float()"
            )
        if any(self.network.shape(use) != shape for use in node.uses):
            raise ValueError(
                f"{_forward(node)}: expected two values of one shape in a sum, got {node.uses} that broadcast"
            )
        sign = -1.0 if node.op == "sub" else 1.0
        if sign < 0 or set(one) & set(other):
            other = (self._add("scale", nir.Scale(of_shape(sign, shape, dtype, "scale")), other),)
        self.sources[node.output] = (*one, *other)
        if node.output in self.network.fed_back.values():  # a sum that is handed on to the next tick needs a node
            whole = nir.Scale(of_shape(1.0, shape, dtype, "scale"))
            self.sources[node.output] = (self._add(_wish(node.module, node, "sum"), whole, (*one, *other)),)

    def _product(self, node: Node) -> None:
        """x · c, x / c and -x, with c a number or a parameter, are a Scale."""
        values = [operand for operand in node.inputs if isinstance(operand, Ref) and operand.name in self.sources]
        if len(values) != 1 or (node.op == "div" and values[0] != node.inputs[0]):
            raise ValueError(f"{_forward(node)}: NIR can't {_not_a_product(node, len(values))}")
        others = [operand for operand in node.inputs if operand != values[0]]
        shape, dtype = self.network.shape(node.output), self.network.dtype(node.output)
        if shape != self.network.shape(values[0].name):
            raise ValueError(f"{_forward(node)}: expected a product of the value's shape, got {list(shape)}")
        factor = self._constant(node, others[0]) if others else -1.0
        made = of_shape(factor, shape, dtype, f"{_forward(node)}: factor")
        if node.op == "div":
            made = finite(1 / made, f"{_forward(node)}: 1 / {factor}")
        suffix = "" if isinstance(self.network.modules.get(node.module), Scale) else "scale"
        name = self._add(_wish(node.module, node, suffix), nir.Scale(made), self._of(values[0]))
        self.sources[node.output] = (name,)

    def _makes_numbers(self, node: Node) -> bool:
        """Whether it is a cast to another float, or 1 and 0 of a comparison."""
        chosen = node.op == "where" and node.inputs[1:] == (1.0, 0.0)
        return (chosen or node.op == "cast") and self.network.dtype(node.output).is_floating_point

    def _threshold(self, node: Node) -> None:
        """x > c, with c a number or a parameter."""
        x, limit = node.inputs
        if (
            not isinstance(x, Ref)
            or x.name not in self.sources
            or (isinstance(limit, Ref) and limit.name in self.sources)
        ):
            raise ValueError(f"{_forward(node)}: NIR can compare a value with a constant alone, as x > 0.5")
        shape, dtype = self.network.shape(node.output), self.network.dtype(x.name)
        value = of_shape(self._constant(node, limit), shape, dtype, f"{_forward(node)}: threshold")
        name = self._add(_wish(node.module, node, "threshold"), nir.Threshold(value), self._of(x))
        self.sources[node.output] = (name,)

    def _linear(self, node: Node) -> None:
        weight = finite(self._constant(node, node.inputs[1]), f"{_forward(node)}: weight")
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            made = nir.Affine(weight, finite(self._constant(node, node.inputs[2]), f"{_forward(node)}: bias"))
        else:
            made = nir.Linear(weight)
        self.sources[node.output] = (self._add(_wish(node.module, node, "linear"), made, self._of(node.inputs[0])),)

    def _call(self, node: Node) -> None:
        if node.attrs.get("_target") not in (torch.flatten, "flatten"):
            target, remedy = node.attrs.get("target", "this call"), ""
            if str(target).rpartition(".")[2] in ("getitem", "stack", "cat"):
                remedy = f"; if it loops over time: example_input [T, B, ...] of several ticks, or {AS_ONE_TICK}"
            raise ValueError(f"{_forward(node)}: NIR can't say {target}{remedy}")
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
        self.paths[name] = (*self.inside, name)
        self.edges += [(source, name) for source in sources]
        return name

    def _of(self, operand: Operand) -> tuple[Source, ...]:
        name = _only_ref(operand)
        if name not in self.sources:
            raise ValueError(
                f"its forward: {name.rstrip('_0123456789') or name!r} is neither computed from the input nor handed on "
                f"from tick to tick beginning with torch.zeros: {AS_ONE_TICK}"
            )
        return self.sources[name]

    def _edges(self, dt: float) -> list[Edge]:
        lagged: list[Lagged] = []
        for source, target in self.edges:
            lagged += [(name, target, lag) for name, lag in self._traced_back(source)]
        return timed_edges(self.nodes, lagged, self.inputs, self._shape, dt)

    def _traced_back(self, source: Source, lag: int = 0) -> list[tuple[str, int]]:
        """The nodes that a source is the sum of, each with how many ticks ago its value was."""
        if isinstance(source, str):
            return [(source, lag)]
        if lag > len(self.network.fed_back):
            raise ValueError("its state hands a value on from tick to tick for ever, and nothing gives it one")
        if source.of not in self.sources:
            raise ValueError(
                f"its forward: NIR can't hand {source.of.rstrip('_0123456789')!r} to the next tick: it is a part of a "
                "neuron's state, of which a file's neurons give their outputs alone"
            )
        return [found for before in self.sources[source.of] for found in self._traced_back(before, lag + 1)]

    def _shape(self, name: str) -> tuple[int, ...]:
        """Of what a node gives, of one sample."""
        values = [value for value, sources in self.sources.items() if sources == (name,)]
        if values:
            return self.network.shape(values[0])
        return tuple(int(size) for size in next(iter(self.nodes[name].output_type.values())))

    def _nested(self, edges: list[Edge], dt: float) -> tuple[dict[str, Any], list[Edge]]:
        """With submodules as graphs, if a reader who puts them in place again finds the same edges that wait."""
        shapes = {name: self._shape(name) for name in self.nodes}
        nodes, outer = nested(self.nodes, edges, self.paths, shapes)
        flat, flat_edges = flattened(nir.NIRGraph(nodes, outer, metadata={}, type_check=False), "")
        own = {id(node): name for name, node in self.nodes.items()}
        names = {name: own[id(node)] for name, node in flat.items()}
        flat_edges = [(names[a], names[b]) for a, b in flat_edges]
        waiting = partial(understood, self.nodes, inputs=self.inputs, dt=dt)
        same = set(flat_edges) == set(edges) and waiting(flat_edges) == waiting(edges)
        if not same:
            return self.nodes, edges
        inner = {name: flat for flat, name in names.items()}
        for calls in self.calls.values():
            calls.nodes = [inner[name] for name in calls.nodes]
        return nodes, outer

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


def _needed(network: Network) -> set[str]:
    """The values that the outputs depend on, in this tick or an earlier one."""
    producers = network.graph.producers
    needed: set[str] = set()
    todo = [value for _, value in network.outputs]
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


def _not_a_product(node: Node, values: int) -> str:
    if not values:
        return f"say {node.op} of what is not computed from the input"
    if node.op == "div":
        return "divide by a value"
    return "multiply two values, only a value with a number or a parameter"


def _device(module: nn.Module) -> torch.device:
    return next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))


def _nir_infers(node: Any) -> bool:
    """nir 1.0.8 takes a kernel's height for its width, and weight.shape[1] for the number of input channels."""
    if isinstance(node, nir.Conv2d | nir.Conv1d):
        return node.groups == 1 and len(set(node.weight.shape[2:])) == 1
    return True
