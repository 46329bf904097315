"""norse: this project's and the published one, with one API. The options "compile" and "memory" are this project's."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # at its end: there, norse is this project's
from benchmarks.peers.protocol import restrict_threads, serve

restrict_threads()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils._pytree import tree_map_only  # noqa: E402

import norse.torch as snn  # noqa: E402
from benchmarks.peers.torch_program import TorchProgram, synapses  # noqa: E402
from benchmarks.workloads import Layer, Workload  # noqa: E402


class Spike(torch.autograd.Function):
    """A user's threshold, with the same surrogate derivative as the library's."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Any:
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (v,) = ctx.saved_tensors
        return g / (100.0 * v.abs() + 1.0) ** 2


def user_step(x: Tensor, state: tuple[Tensor, Tensor], p: Any, dt: float) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """LIF as a user would write it who doesn't know that it's in the library."""
    v, i = state
    i = i + x
    v = v + dt * 100.0 * (i - v)
    i = i - dt * 200.0 * i
    z = Spike.apply(v - 1.0)
    return z, ((1.0 - z) * v, i)


def user_state(x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(x[0]), torch.zeros_like(x[0])


def neurons(model: str, tick: bool) -> Any:
    if model == "UserLIF":
        return snn.SNN(user_step, user_state, p=None)
    if model == "Izhikevich":
        return snn.Izhikevich(snn.tonic_spiking)
    return getattr(snn, f"{model}Cell" if tick else model)()


def module(layer: Layer, tick: bool) -> Any:
    if layer.kind == "neuron":
        return neurons(layer.model, tick)
    if layer.kind == "recurrent":
        return (snn.LIFRecurrentCell if tick else snn.LIFRecurrent)(layer.inputs, layer.outputs)
    if layer.kind in ("conv", "avg_pool"):
        return synapses(layer) if tick else snn.Lift(synapses(layer))
    if layer.kind == "flatten":
        return torch.nn.Flatten(1 if tick else 2)
    return synapses(layer)


class Norse:
    """A SequentialState, compiled or not; compiled, a tick at a time is a stream. Firing rates are found without
    compiling."""

    def __init__(self, workload: Workload, options: dict[str, Any]) -> None:
        self.modules = [module(layer, workload.mode == "tick") for layer in workload.layers]
        self.layers = workload.layers
        self.model: Any = snn.SequentialState(*self.modules)
        if options.get("compile"):
            import norse

            self.model = norse.compile(self.model, memory=options.get("memory", "auto"))
        self.stream: Any = self.model.stream() if options.get("compile") and workload.mode == "tick" else None
        self.state: Any = None
        self.states: list[Any] = [None] * len(self.layers)

    def __call__(self, x: Tensor) -> Any:
        if self.stream is not None:
            return self.stream(x)
        y, self.state = self.model(x, self.state)
        return y

    def reset(self) -> None:
        if self.stream is not None and self.stream.state is not None:  # all of these neurons rest at 0
            self.stream.state = tree_map_only(Tensor, torch.zeros_like, self.stream.state)
        self.state, self.states = None, [None] * len(self.layers)

    def spikes(self, x: Tensor) -> list[Tensor]:
        found = []
        for place, (layer, own) in enumerate(zip(self.layers, self.modules, strict=True)):
            if layer.kind in ("neuron", "recurrent"):
                x, self.states[place] = own(x, self.states[place])
            else:
                x = own(x)
            if layer.spikes:
                found.append(x)
        return found

    def weights(self) -> list[list[Tensor]]:
        names = {"recurrent": ("input_weights", "recurrent_weights")}
        return [
            [getattr(own, name) for name in names["recurrent"]] if layer.kind == "recurrent" else list(own.parameters())
            for layer, own in zip(self.layers, self.modules, strict=True)
        ]


def build(workload: Workload, options: dict[str, Any]) -> TorchProgram:
    return TorchProgram(workload, Norse(workload, options))


if __name__ == "__main__":
    serve(build, {"norse": version("norse"), "torch": torch.__version__})
