"""Synapses end on neurons: what every chip here expects of weights, whatever its limits are."""

from collections.abc import Iterator

from norse.backends.chips.report import Row
from norse.backends.chips.summary import Layer, Network

NAME = "weights_to_neurons"  # of the rows, which no chip's data name: there is no chip without it


def check_synapses(network: Network) -> Iterator[Row]:
    """A row for weights whose result nobody but neurons should get and others do, and for a network without neurons.

    Flattening, pooling, scaling and delaying may stand between: whether a chip has them is said elsewhere.
    """
    rows = [row for layer in network.weighted for row in _ends(network, layer)]
    if not network.neurons and not rows:
        rows.append(Row(NAME, "does not fit", "there are no neurons; chips compute with them, weights in front"))
    yield from rows


def _ends(network: Network, layer: Layer) -> Iterator[Row]:
    receivers = _receivers(network, layer.name)
    behind = [receiver for receiver in receivers if receiver is not None and receiver.weights]
    if behind:
        names = ", ".join(map(str, behind))
        yield _row(layer, f"feeds the weights of {names}; put neurons between, or multiply the two weights into one")
    if None in receivers or not receivers:
        what = "end the model in neurons, or leave it out and apply it to the spikes outside of the chip"
        yield _row(layer, f"no neurons receive its result; {what}")


def _row(layer: Layer, text: str) -> Row:
    return Row(NAME, "does not fit", text, layer.name, layer.primitive)


def _receivers(network: Network, name: str) -> list[Layer | None]:
    """Neurons and weights that get what a layer gives, and None for an output of the network."""
    layers = {layer.name: layer for layer in network.layers}
    found: list[Layer | None] = []
    seen: set[str] = set()
    todo = [name]
    while todo:
        source = todo.pop()
        for target in (after for before, after in network.edges if before == source and after not in seen):
            seen.add(target)
            layer = layers.get(target)
            if layer is None or layer.neurons or layer.weights:
                found.append(layer)
            else:
                todo.append(target)
    return found
