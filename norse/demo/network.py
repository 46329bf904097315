"""The network: two layers of spiking neurons, the second of them recurrent, and a leaky readout."""

import torch
from torch import Tensor

import norse.torch as snn
from norse.demo.digits import CLASSES, PIXELS

NEURONS = 128
SPIKING = {1: "LIF", 2: "LIFRecurrent"}  # position in the network: the name in tables and plots


def network() -> snn.SequentialState:
    """[T, B, 64] spikes -> [T, B, 10] membrane potentials, one for each digit."""
    p = snn.LIFParameters(alpha=torch.tensor(10.0))  # a wide surrogate: neurons far below threshold learn as well
    return snn.SequentialState(
        torch.nn.Linear(PIXELS, NEURONS),
        snn.LIF(p),
        snn.LIFRecurrent(NEURONS, NEURONS, p),
        torch.nn.Linear(NEURONS, CLASSES),
        snn.LI(),
    )


def observed(model: snn.SequentialState) -> snn.SequentialState:
    """The same layers with the same parameters, returning the output of each of them instead of only the last."""
    return snn.SequentialState(*model, return_hidden=True)


def scores(potentials: Tensor) -> Tensor:
    """The network's answer, [B, 10]: the digit whose readout was highest on average over time."""
    return potentials.mean(dim=0)
