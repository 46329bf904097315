"""Chips that share a resource out: memory of cores that differ, circuits that are joined for more inputs."""

import math
from collections.abc import Iterator

import networkx

from norse.backends.chips.chip import Chip, Limit
from norse.backends.chips.convolution import Convolution, convolutions
from norse.backends.chips.report import Row, row
from norse.backends.chips.summary import Network


def kernel_memory(conv: Convolution) -> int:
    """Entries of a core's kernel memory: c 2^(ceil(log2(kx ky)) + ceil(log2 f)), for addresses are made of bits.

    Source: Sinabs documentation, DynapcnnLayer.memory_summary.
    """
    return conv.channels_in * _power_of_two(math.prod(conv.kernel)) * _power_of_two(conv.channels_out)


def neuron_memory(conv: Convolution) -> int:
    """Entries of a core's neuron memory: f 2^(ceil(log2 fy) + ceil(log2 fx)). Source: as `kernel_memory`."""
    height, width = conv.map_out
    return conv.channels_out * _power_of_two(height) * _power_of_two(width)


def _power_of_two(size: int) -> int:
    """The power of two that is at least size."""
    return int(1 << (size - 1).bit_length())


def check_cores(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    """Whether each layer has a core of its own with memory enough, whatever the order of the cores."""
    neurons, biases = chip.limits["core_neurons"], chip.limits["core_biases"]
    made = convolutions(network, chip)
    needs = [(kernel_memory(conv), neuron_memory(conv), conv.layer.biases) for conv in made]
    has = list(zip(limit.value, neurons.value, biases.value, strict=True))
    graph: networkx.Graph = networkx.Graph()
    layers, first = range(len(made)), len(made)  # of the nodes; cores come after them
    graph.add_nodes_from(layers)
    for k, (conv, need) in enumerate(zip(made, needs, strict=True)):
        able = [j for j, core in enumerate(has) if all(n <= h for n, h in zip(need, core, strict=True))]
        graph.add_edges_from((k, first + j) for j in able)
        if able:
            continue
        alone = False
        for which, size in zip((limit, neurons, biases), need, strict=True):
            most = max(which.value)
            if size > most:
                alone = True
                text = f"{size:,} entries, the largest core has {most:,}, {size - most:,} too many"
                yield row(which, "does not fit", text, conv.layer, size, most)
        if not alone:
            text = f"{need[0]:,} weights and {need[1]:,} neurons, no core has room for both"
            yield row(limit, "does not fit", text, conv.layer, list(need[:2]), [list(core[:2]) for core in has])
    placeable = [k for k in layers if graph.degree(k)]
    matching = networkx.bipartite.maximum_matching(graph, layers)
    placed = sum(1 for k in placeable if k in matching)
    if placed < len(placeable):
        text = f"{placed} of {len(placeable)} layers find a core with room for them: {_needs(made, needs)}"
        yield row(limit, "does not fit", text, used=len(placeable), available=placed)
    elif len(placeable) == len(made):
        places = ", ".join(f"{conv.layer.name!r} on {matching[k] - first}" for k, conv in enumerate(made))
        text = f"each layer has a core with room for it, such as {places}; {_needs(made, needs)}"
        yield row(limit, "fits", text, used=[need[0] for need in needs])


def _needs(made: tuple[Convolution, ...], needs: list[tuple[int, int, int]]) -> str:
    told = (f"{conv.layer.name!r} {k:,} and {n:,}" for conv, (k, n, _) in zip(made, needs, strict=True))
    return f"weights and neurons: {', '.join(told)}"


def check_circuits(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    """Neurons with more inputs than a circuit has are made of several: ceil(fan-in / inputs) of each.

    Source: BrainScaleS-2 demos, Partitioning of Feedforward SNNs.
    """
    inputs = chip.limits["circuit_fan_in"].value
    layers = [(layer, max(1, math.ceil(layer.fan_in / inputs))) for layer in network.neurons]
    used = sum(layer.neurons * each for layer, each in layers)
    over = used - limit.value
    told = ", ".join(f"{layer.name!r} {layer.neurons:,} × {each} (fan-in {layer.fan_in:,})" for layer, each in layers)
    text = f"{used:,} of {limit.value:,} neuron circuits" + (f", {over:,} too many" if over > 0 else "") + f": {told}"
    yield row(limit, "does not fit" if over > 0 else "fits", text, used=used)
