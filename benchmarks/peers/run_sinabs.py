"""Sinabs: layers take [B, T, ...].

Written from its documentation. Its readout, ExpLeak, has no synaptic current.
"""

import math
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.peers.protocol import restrict_threads, serve

restrict_threads()

import sinabs.activation as sa  # noqa: E402
import sinabs.layers as sl  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.peers.torch_program import Stage, Stages, TorchProgram, synapses  # noqa: E402
from benchmarks.workloads import Layer, Workload  # noqa: E402

TAU_MEM, TAU_SYN = -1 / math.log(0.9), -1 / math.log(0.8)  # in ticks: the decays of norse's LIF


def neurons(layer: Layer, recurrent: torch.nn.Module | None) -> Any:
    if layer.model == "LI":
        return sl.ExpLeak(tau_mem=TAU_MEM)
    common = {
        "tau_mem": TAU_MEM,
        "tau_syn": TAU_SYN,
        "spike_fn": sa.SingleSpike,
        "reset_fn": sa.MembraneReset(),
        "norm_input": False,
    }
    return sl.LIF(**common) if recurrent is None else sl.LIFRecurrent(rec_connect=recurrent, **common)


def folded(own: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    """A layer that knows no time: [B, T, ...] as B times T samples."""

    def run(x: Tensor) -> Any:
        return own(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    return run


def stages(workload: Workload) -> list[Stage]:
    found = []
    for layer in workload.layers:
        if layer.kind == "neuron":
            own: Any = neurons(layer, None)
            found.append(Stage(own, own.reset_states, spikes=layer.spikes))
        elif layer.kind == "recurrent":
            incoming = torch.nn.Linear(layer.inputs, layer.outputs, bias=False)
            among = torch.nn.Linear(layer.outputs, layer.outputs, bias=False)
            own = neurons(layer, among)
            run = lambda x, incoming=incoming, own=own: own(incoming(x))  # noqa: E731
            found.append(Stage(run, own.reset_states, (incoming.weight, among.weight), True))
        else:
            own = synapses(layer)
            found.append(Stage(own if layer.kind == "linear" else folded(own), weights=list(own.parameters())))
    return found


class OneTick:
    """Adds the axis of time to a tick, and takes it away."""

    def __init__(self, network: Stages) -> None:
        self.network = network
        self.reset, self.weights = network.reset, network.weights

    def __call__(self, x: Tensor) -> Tensor:
        return self.network(x.unsqueeze(1)).squeeze(1)

    def spikes(self, x: Tensor) -> list[Tensor]:
        return self.network.spikes(x.unsqueeze(1))


def build(workload: Workload, options: dict[str, Any]) -> TorchProgram:
    network = Stages(stages(workload))
    return TorchProgram(workload, OneTick(network) if workload.mode == "tick" else network, time_first=False)


if __name__ == "__main__":
    serve(build, {"sinabs": version("sinabs"), "torch": torch.__version__})
