"""The way to a chip: the trained network as a NIR file, read back and run against the original."""

from pathlib import Path

import torch
from torch import Tensor

import norse
import norse.torch as snn
from norse.demo.network import SPIKING, observed


def spikes_kept(model: snn.SequentialState, file: Path, spikes: Tensor) -> float:
    """Writes the network to a file, reads the file, runs both on the same input spikes [T, B, 64].

    Of the spikes that either of them fires, in any spiking layer, the share that both fire. (To compare all entries,
    most of which are no spike in either, would flatter.)
    """
    norse.to_nir(model, file)
    with torch.no_grad():
        original, _ = observed(model)(spikes)
        returned = tick_by_tick(norse.from_nir(file), spikes)
    both = sum(int((original[layer] * returned[layer]).sum()) for layer in SPIKING)
    either = sum(int(torch.maximum(original[layer], returned[layer]).sum()) for layer in SPIKING)
    return both / either


def tick_by_tick(cells: torch.nn.Module, spikes: Tensor) -> list[Tensor]:
    """The outputs of all layers, each [T, B, N]. What is read from a file is a network of one tick, made of cells."""
    assert isinstance(cells, snn.SequentialState)  # as ours is a chain
    model, state, ticks = observed(cells), None, []
    for x in spikes:
        outputs, state = model(x, state)
        ticks.append(outputs)
    return [torch.stack(layer) for layer in zip(*ticks, strict=True)]
