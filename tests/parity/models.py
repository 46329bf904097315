"""The models that are compared, built from names that both libraries have: each Python that runs this has its norse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import norse.torch as snn
from norse.torch.module.snn import SNN, SNNRecurrent, SNNRecurrentCell

Arrays = dict[str, np.ndarray]  # read from or written to an .npz file: inputs, or what was observed
Values = dict[str, Any]  # tensors to build a model from: "x", weights and parameters, all of which get a gradient

BATCH, INPUTS, HIDDEN = 4, 6, 8
RECURRENT = {"input_weights": (HIDDEN, INPUTS), "recurrent_weights": (HIDDEN, HIDDEN)}
CHAIN = {"0.weight": (HIDDEN, INPUTS), "0.bias": (HIDDEN,), "2.weight": (3, HIDDEN), "2.bias": (3,)}


@dataclass(frozen=True)
class Model:
    """One comparison.

    Args:
        build: makes the module from our names, which are those of Norse 1.1.0 as well unless `published` is given.
        drive: mean and deviation of the input, such that neurons spike now and then.
        published: makes the module where 1.1.0 has the step, but no class for this form of it.
        layer: whether the module takes a sequence, [T, B, ...], or one tick.
        shape: of one sample's input.
        weights: the shapes of the weights.
        spikes: which observation the spikes are; None: a spike is a potential that stands on its reset value.
        potential: which observation the spiking neurons' potential is; None: there are no spikes.
        tupled: whether input and state are given as one tuple.
    """

    build: Callable[[Values], torch.nn.Module]
    drive: tuple[float, float]
    published: Callable[[Values], torch.nn.Module] | None = None
    layer: bool = False
    shape: tuple[int, ...] = (INPUTS,)
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    spikes: str | None = "out"
    potential: str | None = "state.v"
    tupled: bool = False


def parameters(kind: Any, values: Values, **others: Any) -> Any:
    """The parameters of a neuron: the values that this kind knows."""
    return kind(**{name: values[name] for name in kind._fields if name in values}, **others)


def li(values: Values) -> Any:
    return parameters(snn.LIParameters, values)


def li_box(values: Values) -> Any:
    return parameters(snn.LIBoxParameters, values)


def lif(values: Values) -> Any:
    return parameters(snn.LIFParameters, values)


def lif_box(values: Values) -> Any:
    return parameters(snn.LIFBoxParameters, values)


def lif_box_subtract(values: Values) -> Any:
    return parameters(snn.LIFBoxParameters, values, reset_method=snn.reset_subtract)


def iaf(values: Values) -> Any:
    return parameters(snn.IAFParameters, values)


def at(value: torch.Tensor, *shape: int) -> torch.Tensor:
    """A starting value in a shape, through which no gradient flows."""
    return value.detach().expand(shape).clone()


def weights(values: Values) -> Values:
    return {name: values[name] for name in RECURRENT}


def with_weights(module: torch.nn.Module, values: Values, prefix: str = "") -> torch.nn.Module:
    """Replaces a module's own weights by the given ones."""
    for name, _ in list(module.named_parameters()):
        setattr(module, name, values[prefix + name])
    return module


def chain(values: Values, **options: Any) -> torch.nn.Module:
    first = with_weights(torch.nn.Linear(INPUTS, HIDDEN), values, "0.")
    second = with_weights(torch.nn.Linear(HIDDEN, 3), values, "2.")
    return snn.SequentialState(first, snn.LIF(lif(values)), second, snn.LI(li(values)), **options)


def convolution(values: Values) -> torch.nn.Module:
    return snn.SequentialState(snn.Lift(with_weights(torch.nn.Conv2d(1, 2, 3), values)), snn.LIF(lif(values)))


def linear_integrator(values: Values) -> torch.nn.Module:
    cell = snn.LILinearCell(INPUTS, HIDDEN, li(values))
    cell.input_weights = values["input_weights"]
    return cell


def feedback(values: Values) -> torch.nn.Module:
    linear = with_weights(torch.nn.Linear(INPUTS, INPUTS), values)
    return snn.RecurrentSequential(linear, snn.LIFCell(lif(values)))


MODELS = {
    "LICell": Model(lambda v: snn.LICell(li(v)), (0, 1), potential=None),
    "LI": Model(lambda v: snn.LI(li(v)), (0, 1), potential=None, layer=True),
    "LILinearCell": Model(
        linear_integrator, (0, 1), potential=None, weights={"input_weights": RECURRENT["input_weights"]}
    ),
    "LIBoxCell": Model(lambda v: snn.LIBoxCell(li_box(v)), (0, 1), potential=None),
    "LIBox": Model(
        lambda v: snn.LIBox(li_box(v)),
        (0, 1),
        published=lambda v: SNN(snn.li_box_feed_forward_step, lambda x: snn.LIBoxState(at(v["v_leak"])), p=li_box(v)),
        potential=None,
        layer=True,
    ),
    "LIFCell": Model(lambda v: snn.LIFCell(lif(v)), (0.5, 1.5)),
    "LIF": Model(lambda v: snn.LIF(lif(v)), (0.5, 1.5), layer=True),
    "LIFBoxCell": Model(lambda v: snn.LIFBoxCell(lif_box(v)), (1, 4)),
    "LIFBoxCell, reset by subtraction": Model(lambda v: snn.LIFBoxCell(lif_box_subtract(v)), (1, 4)),
    "LIFBox": Model(
        lambda v: snn.LIFBox(lif_box(v)),
        (1, 4),
        published=lambda v: SNN(
            snn.lif_box_feed_forward_step, lambda x: snn.LIFBoxFeedForwardState(at(v["v_leak"])), p=lif_box(v)
        ),
        layer=True,
    ),
    "LIFBox, reset by subtraction": Model(
        lambda v: snn.LIFBox(lif_box_subtract(v)),
        (1, 4),
        published=lambda v: SNN(
            snn.lif_box_feed_forward_step, lambda x: snn.LIFBoxFeedForwardState(at(v["v_leak"])), p=lif_box_subtract(v)
        ),
        layer=True,
    ),
    "IAFCell": Model(lambda v: snn.IAFCell(iaf(v)), (0.1, 0.3)),
    "IAF": Model(lambda v: snn.IAF(iaf(v)), (0.1, 0.3), layer=True),
    "IAFRecurrentCell": Model(
        lambda v: snn.IAFRecurrentCell(INPUTS, HIDDEN, iaf(v), autapses=True, **weights(v)),
        (0, 0.5),
        published=lambda v: SNNRecurrentCell(
            snn.iaf_step,
            lambda x: snn.IAFState(z=x.new_zeros(BATCH, HIDDEN), v=at(v["v_reset"], BATCH, HIDDEN)),
            INPUTS,
            HIDDEN,
            p=iaf(v),
            autapses=True,
            **weights(v),
        ),
        weights=RECURRENT,
    ),
    "IAFRecurrent": Model(
        lambda v: snn.IAFRecurrent(INPUTS, HIDDEN, iaf(v), **weights(v)),
        (0, 0.5),
        published=lambda v: SNNRecurrent(
            snn.iaf_step,
            lambda x: snn.IAFState(z=x.new_zeros(BATCH, HIDDEN), v=at(v["v_reset"], BATCH, HIDDEN)),
            INPUTS,
            HIDDEN,
            p=iaf(v),
            **weights(v),
        ),
        layer=True,
        weights=RECURRENT,
    ),
    "LIFRecurrentCell": Model(
        lambda v: snn.LIFRecurrentCell(INPUTS, HIDDEN, lif(v), **weights(v)), (0.5, 1.5), weights=RECURRENT
    ),
    "LIFRecurrentCell with autapses": Model(
        lambda v: snn.LIFRecurrentCell(INPUTS, HIDDEN, lif(v), autapses=True, **weights(v)),
        (0.5, 1.5),
        weights=RECURRENT,
    ),
    "LIFRecurrent": Model(
        lambda v: snn.LIFRecurrent(INPUTS, HIDDEN, lif(v), **weights(v)), (0.5, 1.5), layer=True, weights=RECURRENT
    ),
    "SequentialState": Model(chain, (0.5, 1.5), layer=True, weights=CHAIN, spikes=None, potential="state.1.v"),
    "SequentialState, hidden outputs too": Model(
        lambda v: chain(v, return_hidden=True),
        (0.5, 1.5),
        layer=True,
        weights=CHAIN,
        spikes="out.1",
        potential="state.1.v",
    ),
    "RecurrentSequential": Model(
        feedback,
        (0.5, 1.5),
        weights={"weight": (INPUTS, INPUTS), "bias": (INPUTS,)},
        potential="state.state.1.v",
    ),
    "Lift of a cell": Model(lambda v: snn.Lift(snn.LIFCell(lif(v))), (0.5, 1.5), layer=True, tupled=True),
    "Lift of a convolution": Model(
        convolution,
        (0.5, 1.5),
        layer=True,
        shape=(1, 5, 5),
        weights={"weight": (2, 1, 3, 3), "bias": (2,)},
        potential="state.1.v",
    ),
}


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

    x, state, ticks = values["x"], None, []
    for tick in x.split(1) if model.layer else x:
        out, state = call(tick, state)
        outs = {name: value[0] if model.layer else value for name, value in tensors("out", out)}
        ticks.append(outs | dict(tensors("state", state)))
    seen = {name: torch.stack([tick[name] for tick in ticks]) for name in ticks[0]}
    if model.layer:
        out, state = call(x, None)
        seen |= {f"whole.{name}": value for name, value in tensors("out", out)}
        seen |= {f"last.{name}": value for name, value in tensors("state", state)}
    outputs = tensors("out", out)[-1][1] if model.layer else seen["out"]
    torch.autograd.backward(loss(outputs, state))
    leaves = {name: value for name, value in values.items() if isinstance(value, torch.nn.Parameter)}
    seen |= {f"gradient.{name}": leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    return {name: value.detach().numpy() for name, value in seen.items()}


def loss(outputs: torch.Tensor, state: Any) -> torch.Tensor:
    """A number in which every output has a weight of its own, and the last state's fields the weight 1."""
    wave = torch.arange(outputs.numel(), dtype=outputs.dtype).cos().view_as(outputs)
    return (wave * outputs).sum() + sum(value.sum() for _, value in tensors("state", state))


def tensors(name: str, value: Any) -> list[tuple[str, torch.Tensor]]:
    """The tensors in a nest of named tuples and lists, in order, with their paths."""
    if isinstance(value, torch.Tensor):
        return [(name, value)]
    if value is None:
        return []
    keys = getattr(value, "_fields", range(len(value)))
    return [found for key, inner in zip(keys, value, strict=True) for found in tensors(f"{name}.{key}", inner)]


def values_of(arrays: Arrays) -> Values:
    """Numbers become torch parameters; the surrogate's name and sharpness stay what they are."""
    fixed = {"method": str(arrays["method"]), "alpha": torch.from_numpy(arrays["alpha"])}
    leaves = {name: array for name, array in arrays.items() if name not in fixed}
    return fixed | {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in leaves.items()}
