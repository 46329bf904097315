"""snnTorch: its neurons take one tick a call; the layers in front of them take all ticks at once.

Written from its documentation. Neurons: Synaptic, which has a synaptic current as norse's LIF, or, with the option
synapse=False, Leaky, which has none.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.peers.protocol import restrict_threads, serve

restrict_threads()

import snntorch  # noqa: E402
import torch  # noqa: E402
from snntorch import surrogate  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.peers.torch_program import Stage, Stages, TorchProgram, over_ticks, synapses  # noqa: E402
from benchmarks.workloads import Layer, Workload  # noqa: E402

DECAY = {"alpha": 0.8, "beta": 0.9}


class Neurons:
    """A layer of neurons that keeps what its cell returns; the readout gives its potential."""

    def __init__(self, cell: Any, readout: bool, tick: bool) -> None:
        self.cell, self.place, self.tick = cell, -1 if readout else 0, tick
        self.recurrent = hasattr(cell, "recurrent")
        self.reset()

    def reset(self) -> None:
        self.state = tuple(self.cell.reset_mem()) if self._many() else (self.cell.reset_mem(),)

    def _many(self) -> bool:
        return not isinstance(self.cell, snntorch.Leaky)

    def one(self, x: Tensor) -> Any:
        returned = self.cell(x, *self.state)
        self.state = returned if self.recurrent else returned[1:]
        return returned[self.place]

    def __call__(self, x: Tensor) -> Tensor:
        return self.one(x) if self.tick else torch.stack([self.one(tick) for tick in x.unbind(0)])


def cell_for(layer: Layer, synapse: bool) -> Any:
    decay = DECAY if synapse else {"beta": DECAY["beta"]}
    common = {
        "spike_grad": surrogate.fast_sigmoid(slope=25),
        "reset_mechanism": "none" if layer.model == "LI" else "zero",
    }
    if layer.kind != "recurrent":
        return (snntorch.Synaptic if synapse else snntorch.Leaky)(**decay, **common)
    cell = (snntorch.RSynaptic if synapse else snntorch.RLeaky)(**decay, **common, linear_features=layer.outputs)
    cell.recurrent.bias = None
    return cell


def stages(workload: Workload, synapse: bool) -> list[Stage]:
    found, tick = [], workload.mode == "tick"
    for layer in workload.layers:
        if layer.kind == "neuron":
            neurons = Neurons(cell_for(layer, synapse), layer.model == "LI", tick)
            found.append(Stage(neurons, neurons.reset, spikes=layer.spikes))
        elif layer.kind == "recurrent":
            incoming = torch.nn.Linear(layer.inputs, layer.outputs, bias=False)
            neurons = Neurons(cell_for(layer, synapse), False, tick)
            run = lambda x, incoming=incoming, neurons=neurons: neurons(incoming(x))  # noqa: E731
            found.append(Stage(run, neurons.reset, (incoming.weight, neurons.cell.recurrent.weight), True))
        else:
            own = synapses(layer)
            found.append(Stage(over_ticks(own, workload), weights=list(own.parameters())))
    return found


def build(workload: Workload, options: dict[str, Any]) -> TorchProgram:
    return TorchProgram(workload, Stages(stages(workload, options["synapse"])))


if __name__ == "__main__":
    serve(build, {"snntorch": version("snntorch"), "torch": torch.__version__})
