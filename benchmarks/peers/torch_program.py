"""Programs of the libraries that are made of torch modules: everything but the layers themselves."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from benchmarks.workloads import Layer, Workload, cotangent

torch.set_num_threads(int(os.environ.get("BENCH_THREADS", torch.get_num_threads())))


class Network(Protocol):
    """Layers that keep their state between calls. A call takes [T, B, ...], in the mode "tick" [B, ...]."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def reset(self) -> None:
        """Puts the neurons to rest."""

    def spikes(self, x: Tensor) -> list[Tensor]:
        """What each spiking layer gives, instead of the last one alone."""

    def weights(self) -> list[list[Tensor]]:
        """The weights of each layer, in the workload's order."""


@dataclass(frozen=True)
class Stage:
    """A layer of a `Stages`."""

    run: Callable[[Tensor], Tensor]
    reset: Callable[[], None] = lambda: None
    weights: Sequence[Tensor] = ()
    spikes: bool = False


class Stages:
    """Layers that are run one after the other, each over all ticks."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.stages = list(stages)

    def __call__(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage.run(x)
        return x

    def reset(self) -> None:
        for stage in self.stages:
            stage.reset()

    def spikes(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.stages:
            x = stage.run(x)
            if stage.spikes:
                found.append(x)
        return found

    def weights(self) -> list[list[Tensor]]:
        return [list(stage.weights) for stage in self.stages]


def over_ticks(module: torch.nn.Module, workload: Workload) -> Callable[[Tensor], Tensor]:
    """Calls a module that knows no time once for all ticks, which it takes for samples."""
    if workload.mode == "tick":
        return module

    def run(x: Tensor) -> Any:
        return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    return run


def synapses(layer: Layer) -> torch.nn.Module:
    """torch's own layers, as all of these libraries use them."""
    if layer.kind == "linear":
        return torch.nn.Linear(layer.inputs, layer.outputs, bias=False)
    if layer.kind == "conv":
        return torch.nn.Conv2d(layer.inputs, layer.outputs, layer.size, bias=False)
    if layer.kind == "avg_pool":
        return torch.nn.AvgPool2d(layer.size)
    return torch.nn.Flatten()


class TorchProgram:
    """A workload computed by torch modules."""

    def __init__(self, workload: Workload, network: Network, time_first: bool = True) -> None:
        self.mode, self.network = workload.mode, network
        x = torch.from_numpy(workload.spikes())
        self.input = x if time_first else x.transpose(0, 1).contiguous()
        self.batch_dim = 1 if time_first else 0
        self.ticks = [tick.contiguous() for tick in x.unbind(0)]
        self.kept = network.weights()  # alive as long as the program is
        self.gained = gained(workload, self.kept)
        for given, own in zip(workload.weights(), self.kept, strict=True):
            for values, weight in zip(given, own, strict=True):
                weight.data.copy_(torch.from_numpy(values))
        self.unscaled = [[weight.detach().clone() for weight in weights] for weights in self.gained]
        self.parameters = [weight for weights in self.kept for weight in weights]
        self.cotangent: Tensor | None = None

    def scale(self, layer: int, gain: float) -> None:
        for weight, unscaled in zip(self.gained[layer], self.unscaled[layer], strict=True):
            weight.data.copy_(unscaled * gain)

    @torch.no_grad()
    def rates(self, samples: int | None) -> list[float]:
        self.network.reset()
        if self.mode == "tick":
            ticks = [[float(z.mean()) for z in self.network.spikes(x[:samples])] for x in self.ticks]
            return [float(rate) for rate in np.mean(ticks, axis=0)]
        x = self.input if samples is None else self.input.narrow(self.batch_dim, 0, min(samples, len(self.ticks[0])))
        return [float(z.mean()) for z in self.network.spikes(x)]

    def step(self) -> None:
        self.network.reset()
        if self.mode == "train":
            for weight in self.parameters:
                weight.grad = None
            y = self.network(self.input)
            if self.cotangent is None:
                self.cotangent = torch.from_numpy(cotangent(tuple(y.shape)))
            y.backward(self.cotangent)
            return
        with torch.no_grad():
            if self.mode == "forward":
                self.network(self.input)
                return
            for x in self.ticks:
                self.network(x)

    def gradient_norms(self) -> list[float]:
        return [float(weight.grad.norm()) for weight in self.parameters if weight.grad is not None]


def gained(workload: Workload, weights: list[list[Tensor]]) -> list[list[Tensor]]:
    """For each spiking layer the weights in front of it, or its own."""
    found: list[list[Tensor]] = []
    latest: list[Tensor] = []
    for layer, own in zip(workload.layers, weights, strict=True):
        latest = own or latest
        if layer.spikes:
            found.append(latest)
    return found
