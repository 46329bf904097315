"""The least time that a machine needs for the work that the spikes require."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from benchmarks.workloads import Layer, Workload


@dataclass(frozen=True)
class Work:
    """Of one pass: floating point operations, and bytes to and from memory."""

    flops: float
    bytes: float

    def seconds(self, ceilings: Mapping[str, float]) -> float:
        """With the ceilings of `benchmarks.measure.machine`."""
        flops = max(ceilings[name] for name in ("gemm", "onednn") if name in ceilings)
        return max(self.flops / flops, self.bytes / ceilings["copy"])


def output_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What a layer makes of a sample's shape."""
    if layer.kind in ("linear", "recurrent"):
        return (layer.outputs,)
    if layer.kind == "conv":
        return (layer.outputs, *(size - layer.size + 1 for size in shape[1:]))
    if layer.kind == "avg_pool":
        return (shape[0], *(size // layer.size for size in shape[1:]))
    if layer.kind == "flatten":
        return (prod(shape),)
    return shape


def fan_out(layer: Layer) -> int:
    """To how many neurons an active input of a layer of synapses leads (away from an image's border)."""
    return layer.outputs * layer.size**2 if layer.kind == "conv" else layer.outputs


def weight_bytes(layer: Layer, place: int, flops: float, training: bool) -> float:
    """Of one of a layer's weights, for a forward pass of that many operations and perhaps a backward pass."""
    all_of_them = 4.0 * prod(layer.weight_shapes()[place])
    return min(all_of_them, 4 * flops / 2) + (2 * all_of_them if training else 0.0)


def required(workload: Workload, rates: Sequence[float]) -> Work:
    """The work of a pass (of a tick, in the mode "tick") at these firing rates of the spiking layers.

    Forward, a synaptic operation, two floating point operations, for each active input and each of its synapses. In
    training as many again for the weight gradient, and a dense product for the gradient of what is not the network's
    input, as surrogate derivatives are nowhere zero. Bytes: the input as bytes, once a pass; the output and its
    gradient; for each neuron and tick one number kept by the forward and read by the backward pass; of the weights
    those that active inputs need, in training all of them in the backward pass and their gradient.
    """
    training = workload.mode == "train"
    samples = workload.batch * (1 if workload.mode == "tick" else workload.ticks)
    passes = 2 if training else 1
    shape, density, spiking = workload.inputs, workload.density, iter(rates)
    flops = 0.0
    moved = float(passes * samples * prod(shape))
    first = True
    for layer in workload.layers:
        inputs, shape = prod(shape), output_shape(layer, shape)
        if layer.kind in ("linear", "conv", "recurrent"):
            dense = 2.0 * samples * inputs * fan_out(layer)
            flops += passes * density * dense + (dense if training and not first else 0.0)
            moved += weight_bytes(layer, 0, density * dense, training)
            first = False
        if layer.kind == "avg_pool":
            density = min(1.0, density * layer.size**2)  # a pool of spikes is active if one of them is
        if layer.spikes:
            density = next(spiking)
        if layer.kind == "recurrent":
            dense = 2.0 * samples * layer.outputs**2
            flops += passes * density * dense + (dense if training else 0.0)
            moved += weight_bytes(layer, 1, density * dense, training)
        if layer.kind in ("neuron", "recurrent") and training:
            moved += 2 * 4 * samples * prod(shape)
    moved += passes * 4 * samples * prod(shape)
    return Work(flops, moved)
