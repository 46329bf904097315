"""Weights as convolutions: what a core of a convolutional chip does with them."""

from dataclasses import dataclass

from norse.backends.chips.chip import Chip
from norse.backends.chips.connections import Shape
from norse.backends.chips.summary import Layer, Network


@dataclass(frozen=True)
class Convolution:
    """A layer's weights as a 2d convolution; sizes are height and width."""

    layer: Layer
    channels_in: int
    channels_out: int
    kernel: Shape
    stride: Shape
    padding: Shape
    map_out: Shape


def convolutions(network: Network, chip: Chip) -> tuple[Convolution, ...]:
    """The network's 2d convolutions; and its linear layers, where the chip makes convolutions of them.

    A linear layer of a map is a convolution with a kernel of the map's size, and of a vector one of 1x1.
    """
    made = []
    for layer in network.weighted:
        if layer.primitive == "Conv2d":
            sizes = (layer.kernel, layer.stride, layer.padding)
            made.append(Convolution(layer, layer.shape_in[0], layer.shape_out[0], *sizes, layer.shape_out[1:]))
        elif layer.primitive in ("Linear", "Affine") and "linear" in chip.limits:
            channels, height, width = layer.map_in if len(layer.map_in) == 3 else (layer.shape_in[-1], 1, 1)
            sizes = ((height, width), (1, 1), (0, 0))
            made.append(Convolution(layer, channels, layer.shape_out[-1], *sizes, (1, 1)))
    return tuple(made)
