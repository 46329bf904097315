"""Neurons among other layers: SequentialState, RecurrentSequential, Lift."""

from typing import Any

import torch

import norse.torch as snn

from .integrate_and_fire import li, lif
from .observation import HIDDEN, INPUTS, Model, Values, with_weights

CHAIN = {"0.weight": (HIDDEN, INPUTS), "0.bias": (HIDDEN,), "2.weight": (3, HIDDEN), "2.bias": (3,)}


def chain(values: Values, **options: Any) -> torch.nn.Module:
    first = with_weights(torch.nn.Linear(INPUTS, HIDDEN), values, "0.")
    second = with_weights(torch.nn.Linear(HIDDEN, 3), values, "2.")
    return snn.SequentialState(first, snn.LIF(lif(values)), second, snn.LI(li(values)), **options)


def convolution(values: Values) -> torch.nn.Module:
    return snn.SequentialState(snn.Lift(with_weights(torch.nn.Conv2d(1, 2, 3), values)), snn.LIF(lif(values)))


def feedback(values: Values) -> torch.nn.Module:
    linear = with_weights(torch.nn.Linear(INPUTS, INPUTS), values)
    return snn.RecurrentSequential(linear, snn.LIFCell(lif(values)))


NETWORKS = {
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
