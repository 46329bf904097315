"""Shapes of what a neuron module takes and gives."""

from typing import Any

from torch import Tensor


def tick_shape(module: Any, input_tensor: Tensor) -> tuple[int, ...]:
    """The shape of one tick's output, such as [B, N].

    Args:
        module: a neuron module with `axes`, and `input_weights` [hidden, input] if "N" is among them.
        input_tensor: its input.

    Returns:
        The input's shape without time, and with as many features as there are neurons.
    """
    axes = module.axes
    shape = tuple(input_tensor.shape[1:] if axes[:1] == ("T",) else input_tensor.shape)
    return (*shape[:-1], module.input_weights.shape[0]) if axes[-1:] == ("N",) else shape
