"""What both libraries do alike: the experiments with the modules, and what ours gives."""

import math
import zlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

import norse

from .models import MODELS
from .observation import Arrays, observe, values_of

SEED = 2
TICKS = 200
ALPHA = {"tanh": 2.0, "super": 1.0, "triangle": 0.5, "circ": 1.5, "heavi_erfc": 1.5}

OURS: dict[str, Callable[[torch.nn.Module], torch.nn.Module]] = {
    "eager": lambda module: module,
    "compiled": norse.compile,
}


class Experiment(NamedTuple):
    """What both libraries do alike."""

    model: str
    dtype: str = "float64"
    method: str = "tanh"
    alpha: float = ALPHA["tanh"]

    def __str__(self) -> str:
        return f"{self.model}, {self.dtype}, {self.method}"


def compiles(experiment: Experiment) -> bool:
    """Whether ours is compared compiled as well: with one surrogate, or LIF with all of them."""
    return MODELS[experiment.model].compiled and (experiment.method == "tanh" or experiment.model == "LIF")


FORWARD = [Experiment(name, dtype) for name, model in MODELS.items() for dtype in model.dtypes]
BACKWARD = [
    *(experiment for experiment in FORWARD if "tanh" in MODELS[experiment.model].surrogates),
    *(
        Experiment(name, model.dtypes[-1], "super", ALPHA["super"])
        for name, model in MODELS.items()
        if model.potential and "super" in model.surrogates
    ),
    *(Experiment("LIF", method=method, alpha=ALPHA[method]) for method in ("triangle", "circ")),
    Experiment("LIF", "float32", "heavi_erfc", ALPHA["heavi_erfc"]),
]
RUNS = {
    direction: [(experiment, ours) for experiment in runs for ours in OURS if ours == "eager" or compiles(experiment)]
    for direction, runs in (("forward", FORWARD), ("backward", BACKWARD))
}


@cache
def inputs(experiment: Experiment) -> Arrays:
    """Random input and weights of a model, its parameters, and what to call it."""
    model, random = MODELS[experiment.model], np.random.default_rng([SEED, zlib.crc32(experiment.model.encode())])
    numbers = {
        "x": random.normal(*model.drive, (TICKS, model.batch, *model.shape)),
        **{
            name: random.normal(0, model.deviations.get(name, math.prod(shape[1:]) ** -0.5), shape)
            for name, shape in model.weights.items()
        },
        **model.neuron,
        "alpha": experiment.alpha,
    }
    arrays = {name: np.asarray(number, experiment.dtype) for name, number in numbers.items()}
    return arrays | {"method": np.array(experiment.method)}


@cache
def observe_ours(experiment: Experiment, ours: str) -> Arrays:
    model, values = MODELS[experiment.model], values_of(inputs(experiment))
    return observe(model, OURS[ours](model.build(values)), values)
