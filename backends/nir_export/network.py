"""The network that a model is, from the IR: its graph, what its results are, and what it hands to its next tick."""

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse.torch as snn
from norse.backends.nir_export.delays import KINDS as DELAYS
from norse.backends.nir_export.graph_module import GraphModule
from norse.compiler.errors import Unsupported
from norse.compiler.ir import BATCH, TIME, Graph, Node, Ref
from norse.compiler.module import CompiledModule
from norse.compiler.trace.model import Trace, trace_model, untraceable
from norse.torch.functional.delay import buffer_length
from norse.torch.module.neuron import Neuron
from norse.torch.module.stateful import is_stateful

# One tensor; a tuple of them, the arguments of a forward; a dictionary of them, its only argument.
Example = Tensor | tuple[Tensor, ...] | dict[str, Tensor]

_TICKS = 8  # of an example for a forward that loops over time
AS_ONE_TICK = "write one tick as a module, forward(x, state=None) that returns (output, state), and snn.Lift it"


@dataclass(frozen=True)
class Network:
    """A traced model. `fed_back` maps what is 0 at first to the value that it takes from the last tick: of a model of
    one tick the parts of its state, which are inputs of the graph, of a forward that loops over time its registers."""

    graph: Graph
    modules: Mapping[str, nn.Module]
    inputs: Mapping[str, str]  # name -> value
    outputs: tuple[tuple[str, str], ...]  # name, value
    places: tuple[int, ...]  # of the outputs, among the leaves of what the model gives, its state aside
    fed_back: Mapping[str, str]
    over_time: bool
    eager: Mapping[str, str]  # module path -> why it could not be followed

    @property
    def rolled(self) -> bool:
        """Whether the model's own forward loops over the ticks of its input, and each tick is the same."""
        return self.over_time and any(node.op == "enter" and not node.module for node in self.graph.nodes)

    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of one sample at one tick."""
        axes = self.graph.types[value].axes
        if TIME in axes:
            return tuple(int(axis) for axis in self.graph.types[value].tick_axes[1:])
        return tuple(int(axis) for axis in axes[1 + self.over_time :])

    def dtype(self, value: str) -> torch.dtype:
        return self.graph.types[value].dtype

    def leading(self, value: str, in_lift: bool) -> int:
        """How many dimensions the model's own code sees in front of a sample's."""
        return 2 if self.over_time and not in_lift else 1


def trace_network(model: nn.Module, example: Example | None) -> Network:
    """Traces the model, with an example input [B, ...] of one tick or [T, B, ...] over time.

    Raises:
        ValueError: if the example's shape is needed, or does not fit.
    """
    model, lifts = tick_of(model)
    over_time = runs_over_time(model)
    if example is None:
        example = _example(model, over_time, lifts)
        ticks = example.expand(_TICKS, *example.shape)
        if not over_time and not lifts and _loops(model, ticks):
            example = ticks
    else:
        expected = "[T, B, features ...]" if over_time or lifts else "[B, features ...]"
        leaves = pytree.tree_leaves(example)
        for leaf in leaves or [None]:
            if not isinstance(leaf, Tensor) or leaf.dim() < 2 + (over_time or lifts > 0):
                got = list(leaf.shape) if isinstance(leaf, Tensor) else type(leaf).__name__
                raise ValueError(f"argument example_input: expected a tensor {expected}, got {got}")
            if leaf.is_floating_point() and not bool(torch.isfinite(leaf).all()):
                raise ValueError("argument example_input: expected finite numbers, got NaN or infinite ones")
        for _ in range(lifts):
            example = pytree.tree_map(lambda leaf: leaf[0], example)
        if not over_time and not lifts and isinstance(example, Tensor) and 0 < len(example) < _TICKS:
            # Of few ticks, if that is what they are, it is not seen what they have in common.
            ticks = torch.cat([example] * _TICKS)[:_TICKS]
            example = ticks if example.dim() > 2 and _loops(model, ticks) else example
    args = example if isinstance(example, tuple) else (example,)
    inputs = _input_names(model, example)
    trace = _trace(model, args)
    result = trace.outputs
    over_time |= _is_rolled(trace.graph)
    if over_time and is_stateful(model) and gives_state(result):
        return _network(model, trace, inputs, result[0], _registers(trace.graph), over_time)
    if over_time or not is_stateful(model):
        states = {name for node in trace.graph.nodes for name in node.outputs[0 if node.op == "last" else 1 :]}
        return _network(model, trace, inputs, result, _registers(trace.graph), over_time, states)
    if not gives_state(result):
        raise ValueError(
            "its forward takes a state, and of one tick it has to give it back: return (output, state), then snn.Lift "
            "carries it from tick to tick"
        )
    state = pytree.tree_map(
        lambda leaf: _zeros(trace.graph, leaf.name, model, args) if isinstance(leaf, Ref) else leaf,
        result[1],
        is_leaf=_is_ref,
    )
    carried = _trace(model, args, state)
    if pytree.tree_structure(carried.outputs[1], is_leaf=_is_ref) != pytree.tree_structure(state):
        raise ValueError("its state has another structure after its second tick than after its first")
    after = pytree.tree_leaves(carried.outputs[1], is_leaf=_is_ref)
    places = [leaf for leaf, before in zip(after, pytree.tree_leaves(state), strict=True) if isinstance(before, Tensor)]
    if not all(isinstance(leaf, Ref) for leaf in places):
        raise ValueError("its state is a tensor in one tick and something else in another")
    fed_back = dict(zip(carried.graph.inputs[len(inputs) :], (leaf.name for leaf in places), strict=True))
    return _network(model, carried, inputs, carried.outputs[0], fed_back, over_time)


def tick_of(model: nn.Module) -> tuple[nn.Module, int]:
    """The model without `norse.compile` and without Lifts around it, and how many of these there were."""
    while isinstance(model, CompiledModule):
        model = model.model
    lifts = 0
    while type(model) is snn.Lift and untraceable(model) is None:
        model, lifts = model.lifted_module, lifts + 1
    return model, lifts


def runs_over_time(model: nn.Module) -> bool:
    """Whether a model's input has ticks: one with a layer over time."""
    kinds = snn.SNN | snn.SNNRecurrent | snn.Lift | snn.SynapseDelay
    return any(isinstance(module, kinds) for module in model.modules())


def gives_state(result: Any) -> bool:
    """Whether what a model with a state gives is (output, state), and not an output alone."""
    return isinstance(result, tuple) and len(result) == 2


def _is_rolled(graph: Graph) -> bool:
    """Whether the model's own forward loops over the ticks of its input, and each tick is the same."""
    return any(TIME in graph.types[name].axes for name in graph.inputs)


def _loops(model: nn.Module, ticks: Tensor) -> bool:
    """Whether a forward over cells loops over the ticks of an input."""
    if not any(isinstance(module, Neuron) for module in model.modules()):
        return False
    try:
        return _is_rolled(_trace(model, (ticks,)).graph)
    except Exception as why:  # whatever a forward of one tick raises when it is given several
        return AS_ONE_TICK in str(why)  # a loop whose ticks differ: the trace that follows says how


def _registers(graph: Graph) -> dict[str, str]:
    """What a loop hands from tick to tick and begins with zeros; what begins with another value NIR can't say."""
    made = {register.value: graph.producers.get(register.initial) for register in graph.registers}
    return {register.value: register.next for register in graph.registers if _is_zeros(made[register.value])}


def _is_zeros(node: Node | None) -> bool:
    """Whether a node makes zeros: by its name, or by what a function of torch gave when the model was traced."""
    if node is None or node.op != "call":
        return False
    tensor = getattr(node.attrs.get("_target"), "tensor", None)
    if isinstance(tensor, Tensor):
        return not bool(tensor.any())
    return str(node.attrs.get("target")).rpartition(".")[2] in ("zeros", "zeros_like", "new_zeros")


def _network(
    model: nn.Module,
    trace: Trace,
    inputs: tuple[str, ...],
    result: Any,
    fed_back: Mapping[str, str],
    over_time: bool,
    states: Collection[str] = (),
) -> Network:
    """`states` are values that the model gives besides its outputs."""
    leaves = pytree.tree_leaves(result, is_leaf=_is_ref)
    places = tuple(k for k, leaf in enumerate(leaves) if isinstance(leaf, Ref) and leaf.name not in states)
    if not places:
        lasts = {name for node in trace.graph.nodes if node.op == "last" for name in node.outputs}
        if any(isinstance(leaf, Ref) and leaf.name in lasts for leaf in leaves):
            raise ValueError(
                "it returns the last tick alone, and a file's output is that of every tick: return "
                "torch.stack of the ticks, [T, B, ...], and take the last one outside of the model"
            )
        raise ValueError("it returns no tensor")
    outputs = tuple(zip(_output_names(result, len(places)), (leaves[k].name for k in places), strict=True))
    named = dict(zip(inputs, trace.graph.inputs, strict=False))
    modules = dict(model.named_modules())
    return Network(trace.graph, modules, named, outputs, places, fed_back, over_time, trace.eager)


def _trace(model: nn.Module, args: tuple[Any, ...], state: Any = None) -> Trace:
    try:
        if state is None:
            return trace_model(model, args, {}, kept=DELAYS)
        if len(args) == 1:
            return trace_model(model, (*args, state), {}, kept=DELAYS)
        return trace_model(model, args, {"state": state}, kept=DELAYS)
    except Unsupported as why:
        remedy = f"; {AS_ONE_TICK}" if "loop over time" in str(why) else ""
        if "batched) input to conv" in str(why) and runs_over_time(model):
            remedy = "; run the whole model over time: cells in place of layers over time (snn.LIFCell), in snn.Lift"
        raise ValueError(f"it can't be traced: {why}{remedy}") from why


def _input_names(model: nn.Module, example: Example) -> tuple[str, ...]:
    """One input is called input; several have the names that the model's forward gives them."""
    if isinstance(example, dict):
        return tuple(map(str, example))
    if isinstance(example, tuple) and len(example) > 1:
        names = [name for name in inspect.signature(model.forward).parameters if name != "state"]
        return tuple(names[k] if k < len(names) else f"input_{k}" for k in range(len(example)))
    return ("input",)


def _example(model: nn.Module, over_time: bool, lifts: int) -> Tensor:
    """Zeros, of as many features as the model's first layer takes, where that is told by its weights."""
    first = model
    if isinstance(model, GraphModule):  # its modules are in the order of the cycles' computation
        fed = [model.attributes[target] for source, target in model.edges if source in model.inputs]
        first = model.get_submodule(fed[0]) if len(model.inputs) == 1 and fed else model
    for module in first.modules():
        weight = getattr(module, "input_weights", module.weight if isinstance(module, nn.Linear) else None)
        if isinstance(weight, Tensor):
            leading = (2, 1) if over_time else (1,)
            return torch.zeros(*leading, weight.shape[1], dtype=weight.dtype, device=weight.device)
        if isinstance(module, nn.Flatten | nn.Conv1d | nn.Conv2d | nn.AvgPool2d | nn.LPPool2d):
            break
    raise ValueError(
        "what shape its input has can't be told from its layers: pass "
        + (
            "example_input=torch.zeros(T, B, ...)"
            if over_time or lifts
            else "example_input=torch.zeros(B, ...), of a forward that loops over time torch.zeros(T, B, ...)"
        )
    )


def _zeros(graph: Graph, name: str, model: nn.Module, args: tuple[Any, ...]) -> Tensor:
    """A state of the shape that a tick leaves. The first axis of a delay's buffer is no batch, but ticks."""
    example, type_, made = pytree.tree_leaves(args)[0], graph.types[name], graph.producers.get(name)
    sizes: list[Any] = [example.shape[0] if axis == BATCH else axis for axis in type_.axes]
    if made is not None and made.op == "eager" and name != made.outputs[0]:
        layer: Any = model.get_submodule(made.attrs["_path"])
        if isinstance(layer, DELAYS):
            delayed = graph.types[made.outputs[0]].axes
            sizes = [buffer_length(layer.max_delay, layer.dt), example.shape[0], *delayed[1:]]
    return torch.zeros(sizes, dtype=type_.dtype, device=example.device)


def _output_names(result: Any, count: int) -> list[str]:
    """The keys of a dictionary, else output, or output_0, output_1, ..."""
    if isinstance(result, dict) and len(result) == count and all(isinstance(leaf, Ref) for leaf in result.values()):
        return list(map(str, result))
    return ["output"] if count == 1 else [f"output_{k}" for k in range(count)]


def _is_ref(leaf: Any) -> bool:
    return isinstance(leaf, Ref)
