"""SpikingJelly, in its multi-step mode: every layer takes all ticks at once.

Written from its documentation. Neurons: CUBALIFNode, which has a synaptic current as norse's LIF, or, with the option
synapse=False, LIFNode, which has none and is the one that the library made fast. Recurrent layers are a loop over a
single-step node and a Linear: the documented LinearRecurrentContainer would join input and spikes and multiply more.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.peers.protocol import restrict_threads, serve

restrict_threads()

import torch  # noqa: E402
from spikingjelly.activation_based import functional, neuron, surrogate  # noqa: E402
from spikingjelly.activation_based import layer as sj  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.peers.torch_program import Stage, Stages, TorchProgram  # noqa: E402
from benchmarks.workloads import Layer, Workload  # noqa: E402


def node(layer: Layer, synapse: bool, step_mode: str) -> Any:
    if synapse:
        made = neuron.CUBALIFNode(
            c_decay=0.8, v_decay=0.9, v_threshold=1.0, v_reset=0.0, surrogate_function=surrogate.SuperSpike()
        )
    else:
        made = neuron.LIFNode(tau=10.0, v_threshold=1.0, v_reset=0.0, surrogate_function=surrogate.SuperSpike())
    made.step_mode = step_mode
    return made


def synapses(layer: Layer, step_mode: str) -> Any:
    if layer.kind == "linear":
        return sj.Linear(layer.inputs, layer.outputs, bias=False, step_mode=step_mode)
    if layer.kind == "conv":
        return sj.Conv2d(layer.inputs, layer.outputs, layer.size, bias=False, step_mode=step_mode)
    if layer.kind == "avg_pool":
        return sj.AvgPool2d(layer.size, step_mode=step_mode)
    return sj.Flatten(step_mode=step_mode)


class Readout:
    """The potentials of neurons that don't spike. NonSpikingLIFNode takes whole sequences; a tick takes a LIFNode."""

    def __init__(self, tick: bool) -> None:
        if tick:
            self.node: Any = neuron.LIFNode(tau=10.0, v_threshold=float("inf"))
        else:
            self.node = neuron.NonSpikingLIFNode(tau=10.0)
            self.node.step_mode = "m"
        self.tick = tick

    def reset(self) -> None:
        functional.reset_net(self.node)

    def __call__(self, x: Tensor) -> Any:
        returned = self.node(x)
        return self.node.v if self.tick else torch.stack(returned)


class Recurrent:
    """Spikes of the last tick come back through a Linear."""

    def __init__(self, layer: Layer, synapse: bool, tick: bool) -> None:
        self.incoming = torch.nn.Linear(layer.inputs, layer.outputs, bias=False)
        self.recurrent = torch.nn.Linear(layer.outputs, layer.outputs, bias=False)
        self.node, self.tick = node(layer, synapse, "s"), tick
        self.z: Any = None

    def reset(self) -> None:
        functional.reset_net(self.node)
        self.z = None

    def one(self, current: Tensor) -> Any:
        self.z = self.node(current if self.z is None else current + self.recurrent(self.z))
        return self.z

    def __call__(self, x: Tensor) -> Tensor:
        current = self.incoming(x)
        return self.one(current) if self.tick else torch.stack([self.one(tick) for tick in current.unbind(0)])


def stages(workload: Workload, synapse: bool) -> list[Stage]:
    found, tick = [], workload.mode == "tick"
    step_mode = "s" if tick else "m"
    for layer in workload.layers:
        if layer.model == "LI":
            readout = Readout(tick)
            found.append(Stage(readout, readout.reset))
        elif layer.kind == "neuron":
            own = node(layer, synapse, step_mode)
            found.append(Stage(own, lambda own=own: functional.reset_net(own), spikes=layer.spikes))
        elif layer.kind == "recurrent":
            recurrent = Recurrent(layer, synapse, tick)
            weights = (recurrent.incoming.weight, recurrent.recurrent.weight)
            found.append(Stage(recurrent, recurrent.reset, weights, True))
        else:
            own = synapses(layer, step_mode)
            found.append(Stage(own, weights=list(own.parameters())))
    return found


def build(workload: Workload, options: dict[str, Any]) -> TorchProgram:
    return TorchProgram(workload, Stages(stages(workload, options["synapse"])))


if __name__ == "__main__":
    serve(build, {"spikingjelly": version("spikingjelly"), "torch": torch.__version__})
