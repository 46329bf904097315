"""What is compared, and all that can be seen of it from outside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import torch

Arrays = dict[str, np.ndarray]  # read from or written to an .npz file: inputs, or what was observed
Values = dict[str, Any]  # tensors to build a model from: "x", weights and parameters, all of which get a gradient

BATCH, INPUTS, HIDDEN = 4, 6, 8
RECURRENT = {"input_weights": (HIDDEN, INPUTS), "recurrent_weights": (HIDDEN, HIDDEN)}
NEURON = {"tau_syn_inv": 180.0, "tau_mem_inv": 90.0, "v_leak": 0.0625, "v_th": 0.8, "v_reset": -0.125}


@dataclass(frozen=True)
class Model:
    """One comparison of a module with a state.

    Args:
        build: makes the module from our names, which are those of Norse 1.1.0 as well unless `published` is given.
        drive: mean and deviation of the input, such that neurons spike now and then.
        published: makes the module where 1.1.0 has the step, but no class for this form of it.
        layer: whether the module takes a sequence, [T, B, ...], or one tick.
        shape: of one sample's input.
        batch: number of samples.
        neuron: the parameters, of which `parameters` takes those that a neuron has.
        weights: the shapes of the weights.
        deviations: of the weights for which 1 / √inputs is too much or too little.
        spikes: which observation the spikes are; None: a spike is a potential that stands on its reset value.
        potential: which observation the spiking neurons' potential is, before they are reset, or how it follows from
            the observations and the inputs; None: there are no spikes.
        threshold: which observation the threshold is, or which parameter.
        start: makes the state of the first tick; None: the module does.
        tupled: whether input and state are given as one tuple.
        ungraded: the gradients that differ by intent; each has its test in `test_differences.py`.
        surrogates: with which gradients are compared.
        dtypes: in which 1.1.0 computes.
        compiled: whether ours is compared compiled as well.
    """

    build: Callable[[Values], torch.nn.Module]
    drive: tuple[float, float]
    published: Callable[[Values], torch.nn.Module] | None = None
    layer: bool = False
    shape: tuple[int, ...] = (INPUTS,)
    batch: int = BATCH
    neuron: Mapping[str, float] = field(default_factory=lambda: NEURON)
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    deviations: Mapping[str, float] = field(default_factory=dict)
    spikes: str | None = "out"
    potential: str | Callable[[Arrays, Arrays], np.ndarray] | None = "state.v"
    threshold: str = "v_th"
    start: Callable[[Values], Any] | None = None
    tupled: bool = False
    ungraded: frozenset[str] = frozenset()
    surrogates: tuple[str, ...] = ("tanh", "super")
    dtypes: tuple[str, ...] = ("float32", "float64")
    compiled: bool = True


def parameters(kind: Any, values: Values, **others: Any) -> Any:
    """The parameters of a neuron: the values that this kind knows."""
    return kind(**{name: values[name] for name in kind._fields if name in values}, **others)


def fixed(values: Values) -> Values:
    """The values, no neuron's parameter among them with a gradient."""
    weights = {name for name, value in values.items() if isinstance(value, torch.Tensor) and value.dim()}
    tensor = torch.Tensor
    return {k: v.detach() if isinstance(v, tensor) and k not in weights else v for k, v in values.items()}


def at(value: torch.Tensor, *shape: int) -> torch.Tensor:
    """A starting value in a shape, through which no gradient flows."""
    return value.detach().expand(shape).clone()


def forms(
    module: ModuleType,
    name: str,
    p: Callable[[Values], Any],
    drive: tuple[float, float],
    published_layer: Callable[[Values], torch.nn.Module] | None = None,
    **options: Any,
) -> dict[str, Model]:
    """The comparisons of a neuron's four forms.

    Args:
        module: where the classes of both libraries are.
        name: the neuron's.
        p: makes its parameters (or behaviour).
        drive: as in `Model`.
        published_layer: `Model.published` of the layer without recurrence.
        options: further arguments of `Model`.
    """

    def feed_forward(form: str) -> Callable[[Values], torch.nn.Module]:
        return lambda values: getattr(module, form)(p(values))

    def recurrent(form: str) -> Callable[[Values], torch.nn.Module]:
        return lambda values: getattr(module, form)(INPUTS, HIDDEN, p(values), **weights(values))

    cell, layer = f"{name}RecurrentCell", f"{name}Recurrent"
    return {
        f"{name}Cell": Model(feed_forward(f"{name}Cell"), drive, **options),
        name: Model(feed_forward(name), drive, layer=True, published=published_layer, **options),
        cell: Model(recurrent(cell), drive, weights=RECURRENT, **options),
        layer: Model(recurrent(layer), drive, layer=True, weights=RECURRENT, **options),
    }


def weights(values: Values) -> Values:
    return {name: values[name] for name in RECURRENT}


def with_weights(module: torch.nn.Module, values: Values, prefix: str = "") -> torch.nn.Module:
    """Replaces a module's own weights by the given ones."""
    for name, _ in list(module.named_parameters()):
        setattr(module, name, values[prefix + name])
    return module


def observe(model: Model, module: torch.nn.Module, values: Values) -> Arrays:
    """All that can be seen of a module from outside: outputs and states of every tick, and gradients.

    Args:
        model: what the module is.
        module: it.
        values: what it was built from, and its input "x"; their gradients are taken.

    Returns:
        "out…" and "state…" [T, ...] of calls with one tick each; "whole.out…" [T, ...] and "last.state…" of one call
        with the whole sequence, for layers; "gradient…" of everything that has one.
    """

    def call(x: torch.Tensor, state: Any) -> Any:
        if state is None:
            return module(x)
        return module((x, state)) if model.tupled else module(x, state)

    x, state, ticks = values["x"], model.start(values) if model.start else None, []
    for tick in x.split(1) if model.layer else x:
        out, state = call(tick, state)
        outs = {name: value[0] if model.layer else value for name, value in tensors("out", out)}
        ticks.append(outs | dict(tensors("state", state)))
    seen = {name: torch.stack([tick[name] for tick in ticks]) for name in ticks[0]}
    if model.layer:
        out, state = call(x, model.start(values) if model.start else None)
        seen |= {f"whole.{name}": value for name, value in tensors("out", out)}
        seen |= {f"last.{name}": value for name, value in tensors("state", state)}
    outputs = tensors("out", out)[-1][1] if model.layer else seen["out"]
    if model.surrogates:
        torch.autograd.backward(loss(outputs, state))
    return to_arrays(seen, values)


def to_arrays(seen: dict[str, torch.Tensor], values: Values) -> Arrays:
    """What was seen, and the gradients that the values have got by now."""
    leaves = {name: value for name, value in values.items() if isinstance(value, torch.nn.Parameter)}
    seen = seen | {f"gradient.{name}": leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    return {name: value.detach().numpy() for name, value in seen.items()}


def loss(outputs: torch.Tensor, state: Any) -> torch.Tensor:
    """A number in which every output has a weight of its own, and the last state's fields the weight 1."""
    wave = torch.arange(outputs.numel(), dtype=outputs.dtype).cos().view_as(outputs)
    return (wave * outputs).sum() + sum(value.sum() for _, value in tensors("state", state))


def tensors(name: str, value: Any) -> list[tuple[str, torch.Tensor]]:
    """The tensors in a nest of named tuples and lists, in order, with their paths."""
    if isinstance(value, torch.Tensor):
        return [(name, value.to_dense() if value.is_sparse else value)]
    if value is None:
        return []
    keys = getattr(value, "_fields", range(len(value)))
    return [found for key, inner in zip(keys, value, strict=True) for found in tensors(f"{name}.{key}", inner)]


def values_of(arrays: Arrays) -> Values:
    """Numbers become torch parameters; the surrogate's name and sharpness stay what they are."""
    method = {"method": str(arrays["method"]), "alpha": torch.from_numpy(arrays["alpha"])} if "method" in arrays else {}
    leaves = {name: array for name, array in arrays.items() if name not in method}
    return method | {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in leaves.items()}
