"""Networks in a chip's numbers: `norse.quantize` finds which weights add up in which neurons, and scales them alike."""

import copy
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import networkx
import torch
from torch import Tensor, nn

from norse.backends.nir_export.network import Example, Network, trace_network
from norse.compiler.ir import Graph, Node, refs
from norse.compiler.module import CompiledModule
from norse.quantization_scale import best_scale
from norse.torch.functional.quantization import (
    INTEGER_STEPS,
    POTENTIALS,
    RATES,
    Overflow,
    Precision,
    QuantizedStep,
    membrane_unit,
    quantize_parameters,
)
from norse.torch.module.neuron import Neuron
from norse.torch.module.quantized import QUANTIZED, is_quantized, set_parameters

_MANTISSA = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 24, torch.float64: 53}


def quantize(
    model: nn.Module,
    bits: int = 8,
    *,
    per: Literal["tensor", "channel"] = "tensor",
    decay_bits: int | None = 12,
    state_bits: int | None = None,
    overflow: Overflow = "saturate",
    skip: Sequence[str] = (),
    example_input: Example | None = None,
) -> nn.Module:
    """The network in a chip's numbers: integer weights and biases, decays as fractions, potentials on their grid.

    The new model rounds at every call, with gradients that pass rounding straight through, so it can be trained on
    (quantisation-aware training); compiled, all that is rounding once a call stands before the loops. `to_nir` writes
    its rounded numbers, `norse.freeze_quantized` makes plain layers of them, and `norse.compare_quantized` tells what
    they cost. `docs/quantization.md` has the scheme: weights and recurrent weights that add up in the same neurons
    have one scale, that of least square error; thresholds are whole units of what the weights add up to.

    Source: B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", CVPR (2018); Y. Bengio et al., arXiv:1308.3432 (2013).

    Args:
        model: any module that the compiler can follow; it stays as it is.
        bits: of a weight, its sign included, from 2 to 16. The largest is as far from 0 as the smallest.
        per: "tensor": one scale for all weights that add up in a layer of neurons; "channel": one for each neuron, or
            channel of a convolution.
        decay_bits: of a decay dt / tau as a fraction, from 2 to 16; None: neurons' parameters stay as they are.
        state_bits: of membrane potentials and synaptic currents, their signs included; None: they are not rounded, as
            NIR can't say it. At most 24 - ⌈decay_bits / 2⌉ in float32 (53 in float64), whose sums are then exact.
        overflow: what becomes of a state that has more bits: "saturate" or "wrap".
        skip: paths of modules that stay as they are, with all in them.
        example_input: as in `norse.to_nir`: it tells shapes where the first layer does not.

    Returns:
        A copy, with the same calls and states. `snn.quantized_weights(copy)` is a dictionary of its weights as
        integers, `layer.rounded()` the weight and the bias that a layer of it computes with.

    Raises:
        TypeError: if model is no module.
        ValueError: if an argument is none of those above, a weight is not finite, there is nothing to quantise, a
            layer or neuron has no integer form, or its input and states can't be on one grid.

    Example:
        >>> import torch, norse, norse.torch as snn
        >>> model = snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF(), snn.LIFRecurrent(4, 5))
        >>> quantized = norse.quantize(model, bits=4)
        >>> int((quantized[0].rounded().weight / quantized[0].scale).round().abs().max())
        7
        >>> z, state = norse.compile(quantized)(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 5])
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"norse.quantize: argument model: expects a torch.nn.Module, got {type(model).__name__}")
    _check_arguments(bits, per, decay_bits, state_bits, overflow)
    while isinstance(model, CompiledModule):
        model = model.model
    precision = Precision(bits, decay_bits, state_bits, overflow)
    try:
        if is_quantized(model):
            raise ValueError("expects a model in floating point, got one that is quantised; see freeze_quantized")
        _check_paths(model, skip)
        model = copy.deepcopy(model)
        if not any(isinstance(module, (*QUANTIZED, Neuron)) for module in model.modules()):
            raise ValueError(
                "there is nothing to quantise: expects Linear, Conv1d or Conv2d layers or neurons, got none"
            )
        with _in_eval(model):
            network = trace_network(model, example_input)
        left = {id(part) for path in skip for part in model.get_submodule(path).modules()}
        accumulators = _accumulators(network, left)
        if not accumulators:
            raise ValueError(f"there is nothing to quantise: all layers are among skip={list(skip)}")
        _check_all_are_covered(network.modules, accumulators, left, decay_bits is not None)
        for accumulator in accumulators:
            accumulator.quantize(precision, per)
    except ValueError as error:
        raise ValueError(f"norse.quantize: {type(model).__name__}: {error}") from error
    return model


def _check_arguments(bits: Any, per: Any, decay_bits: Any, state_bits: Any, overflow: Any) -> None:
    for name, value, most in (("bits", bits, 16), ("decay_bits", decay_bits, 16), ("state_bits", state_bits, 52)):
        if value is None and name != "bits":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 2 <= value <= most:
            raise ValueError(f"norse.quantize: argument {name}: expects a whole number from 2 to {most}, got {value!r}")
    if per not in ("tensor", "channel"):
        raise ValueError(f"norse.quantize: argument per: expects 'tensor' or 'channel', got {per!r}")
    if overflow not in ("saturate", "wrap"):
        raise ValueError(f"norse.quantize: argument overflow: expects 'saturate' or 'wrap', got {overflow!r}")
    if state_bits is not None and decay_bits is None:
        raise ValueError("norse.quantize: argument decay_bits: expects a number where state_bits is one, got None")


def _check_paths(model: nn.Module, skip: Any) -> None:
    if isinstance(skip, str):
        raise ValueError(f"argument skip: expects a list of paths, got the string {skip!r}")
    paths = [path for path, _ in model.named_modules()]
    for path in skip:
        if path not in paths or not path:
            raise ValueError(f"argument skip: expects paths of modules ({', '.join(paths[1:])}), got {path!r}")


@contextmanager
def _in_eval(model: nn.Module) -> Iterator[None]:
    """Traced so: a normalisation in training refuses one sample."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _layer(path: str, module: nn.Module) -> str:
    return f"layer {path!r} ({type(module).__name__})"


# ---- which weights add up in which neurons ---------------------------------------------------------


@dataclass
class _Accumulator:
    """Layers whose weights add up in the same neurons, and these neurons."""

    layers: dict[str, Any] = field(default_factory=dict)  # by their paths
    neurons: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of one sample of each of the neurons

    def quantize(self, precision: Precision, per: str) -> None:
        scale = self._scale(precision.weights, per)
        for layer in self.layers.values():
            layer.__class__ = QUANTIZED[type(layer)]
            layer.bits = precision.weights
            layer.register_buffer("scale", scale.to(layer.weight).clone())
        for path, neuron in self.neurons.items():
            shape = self.shapes[path]
            if scale.dim() and shape[0] != len(scale):
                raise ValueError(
                    f"{_layer(path, neuron)}: argument per: expects 'tensor' where neurons aren't the channels of the "
                    f"layer before, got 'channel' with {len(scale)} channels and neurons {list(shape)}"
                )
            own = scale.reshape(-1, *[1] * (len(shape) - 1)) if scale.dim() else scale
            _quantize_neuron(_layer(path, neuron), neuron, own.clone(), precision)

    def _scale(self, bits: int, per: str) -> Tensor:
        """One number, or one for each row of the weights. All weights that add up share it."""
        weights = {f"{path}.{name}" if path else name: value for path, name, value in self._weights()}
        for name, value in weights.items():
            if not torch.isfinite(value).all():
                raise ValueError(f"{name}: expects finite weights, got {value[~torch.isfinite(value)][0].item()}")
        if not weights:
            return _own_scale(self.neurons.values(), bits)
        if per == "tensor":
            rows = torch.cat([value.detach().reshape(1, -1) for value in weights.values()], dim=1)
            return best_scale(rows, bits)[0]
        outputs = {len(value) for value in weights.values()}
        if len(outputs) > 1:
            raise ValueError(f"{' and '.join(weights)} add up: expects as many channels of each for per='channel'")
        return best_scale(torch.cat([value.detach().flatten(1) for value in weights.values()], dim=1), bits)

    def _weights(self) -> Iterator[tuple[str, str, Tensor]]:
        for path, layer in self.layers.items():
            yield path, "weight", layer.weight
        for path, neuron in self.neurons.items():
            for name in neuron.weight_names[: _count(neuron)]:
                yield path, name, getattr(neuron, name)


def _count(neuron: Any) -> int:
    """How many of a neuron's weights are synapses'."""
    return sum(name in ("input_weights", "recurrent_weights") for name in neuron.weight_names)


def _accumulators(network: Network, left: set[int]) -> list[_Accumulator]:
    graph, modules = network.graph, network.modules
    joined: networkx.Graph = networkx.Graph()
    shapes: dict[str, tuple[int, ...]] = {}
    for node in graph.nodes:
        path = node.attrs.get("_path")
        if path is None or id(modules.get(path)) in left:
            continue
        if type(modules.get(path)) in QUANTIZED and "_row" in node.attrs:
            joined.add_node(path)
        elif "_step" in node.attrs:
            neuron: Any = modules[path]
            joined.add_node(path)
            shapes[path] = network.shape(node.outputs[0])
            if not _count(neuron):
                joined.add_edges_from((path, before) for before in _sources(graph, node, modules, left))
    places = {path: k for k, path in enumerate(modules)}
    found = []
    for part in networkx.connected_components(joined):
        made = _Accumulator()
        for path in sorted(part, key=places.__getitem__):
            (made.neurons if isinstance(modules[path], Neuron) else made.layers)[path] = modules[path]
        made.shapes = {path: shapes[path] for path in made.neurons}
        found.append(made)
    return found


def _sources(graph: Graph, neuron: Node, modules: Mapping[str, nn.Module], left: set[int]) -> set[str]:
    """The layers whose sums a neuron gets: those before it, other layers without weights between aside."""
    producers, found, seen = graph.producers, set[str](), set[str]()
    names = list(refs(neuron.inputs[0]))
    while names:
        name = names.pop()
        node = producers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        path = node.attrs.get("_path")
        layer = modules.get(path) if path is not None else None
        if layer is not None and type(layer) in QUANTIZED and "_row" in node.attrs:
            if id(layer) not in left:
                found.add(str(path))
        elif "_step" not in node.attrs and node.op not in ("eager", "parameter", "initial_state"):
            names += node.uses
    return found


def _check_all_are_covered(
    modules: Mapping[str, nn.Module], accumulators: Iterable[_Accumulator], left: set[int], parameters: bool
) -> None:
    """All that the model learns is in a form that is known, or left as it is on purpose."""
    known = {id(m) for made in accumulators for m in (*made.layers.values(), *made.neurons.values())}
    known |= {id(part) for path, m in modules.items() if id(m) in known for part in m.modules()}
    for path, module in modules.items():
        where = _layer(path, module)
        if id(module) in left:
            continue
        if id(module) not in known:
            held = [*module._parameters, *(["p"] if isinstance(module, Neuron) else [])]
            if held:
                raise ValueError(
                    f"{where}: {held[0]} has no integer form: expects Linear, Conv1d, Conv2d and neurons that the "
                    f"compiler follows; fold it into the layer before{_or_skip(path)}"
                )
        elif isinstance(module, Neuron) and parameters and module.activation not in INTEGER_STEPS:
            name = getattr(module.activation, "__name__", repr(module.activation))
            raise ValueError(
                f"{where}: its step {name} has no integer form: expects LIF, LIFBox, LI, LIBox or IAF neurons by "
                f"forward Euler; decay_bits=None rounds weights alone{_or_skip(path)}"
            )


def _or_skip(path: str) -> str:
    return f", skip=[{path!r}] leaves it as it is" if path else ""


# ---- neurons ---------------------------------------------------------------------------------------


def _own_scale(neurons: Iterable[Any], bits: int) -> Tensor:
    """Of neurons that no weights lead to: their largest potential is the largest number."""
    values = [
        torch.as_tensor(getattr(neuron.p, name)).detach().reshape(-1).double().cpu()
        for neuron in neurons
        for name in POTENTIALS
        if hasattr(neuron.p, name)
    ]
    return best_scale(torch.cat([*values, torch.zeros(1, dtype=torch.float64)])[None], bits)[0]


def _quantize_neuron(where: str, neuron: Any, scale: Tensor, precision: Precision) -> None:
    tensors = (*neuron.parameters(), *neuron.buffers())
    like = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.zeros(()))
    scale = scale.to(dtype=like.dtype, device=like.device)
    mantissa = _MANTISSA[like.dtype]
    if precision.states is not None and precision.decays is not None:
        most = mantissa - -(-precision.decays // 2)
        if precision.states > most:
            raise ValueError(
                f"{where}: argument state_bits: expects at most {most}, as {like.dtype} has {mantissa} bits and a "
                f"decay {precision.decays}, got {precision.states}; model.double() has room for more"
            )
    if precision.decays is not None:
        _check_decays(where, neuron)
        p = quantize_parameters(neuron.p, neuron.dt, scale, precision.decays)
        if hasattr(p, "v_th") and bool((p.v_th <= p.v_reset).any()):
            warnings.warn(
                f"norse.quantize: {where}: in units of its membrane the threshold is no higher than the reset",
                stacklevel=4,
            )
        _check_room(where, neuron, p, scale, precision)
        set_parameters(neuron, p, learnt=False)
    count = _count(neuron)
    neuron.register_buffer("scale", scale)
    neuron.weight_names = (*neuron.weight_names, "scale")
    neuron.activation = QuantizedStep(neuron.activation, precision, count)
    if neuron.activation_sparse is not None:
        sparse = None if precision.states is not None else QuantizedStep(neuron.activation_sparse, precision, count)
        neuron.activation_sparse = sparse


def _check_room(where: str, neuron: Any, p: Any, scale: Tensor, precision: Precision) -> None:
    """A threshold that the membrane can't reach would silence the neuron."""
    if precision.states is None or precision.decays is None:
        return
    unit = membrane_unit(p, neuron.dt, scale, precision.decays)
    for name in POTENTIALS:
        largest = float((getattr(p, name).detach() / unit).abs().max()) if hasattr(p, name) else 0.0
        needed = math.ceil(math.log2(round(largest) + 2)) + 1
        if needed > precision.states:
            raise ValueError(
                f"{where}: argument state_bits: expects at least {needed}, as p.{name} is {round(largest)} units of "
                f"the membrane, got {precision.states}; fewer bits of weights make larger units"
            )


def _check_decays(where: str, neuron: Any) -> None:
    for name in RATES:
        if hasattr(neuron.p, name):
            decay = neuron.dt * torch.as_tensor(getattr(neuron.p, name)).detach()
            if not bool(((decay > 0) & (decay <= 1)).all()):
                raise ValueError(
                    f"{where}: p.{name}: expects dt / tau above 0 and at most 1, got {float(decay.max()):g}"
                )
