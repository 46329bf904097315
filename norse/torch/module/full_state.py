"""Neurons whose step needs its state in full: a given state that broadcasts is expanded before the first tick."""

from typing import Any

import torch
from torch import Tensor

from norse.torch.module.neuron import Neuron
from norse.torch.module.shapes import tick_shape


class FullState(Neuron):
    """Neurons whose spikes take their shape from the state, not from the input, or whose step mixes the state.

    Stands in front of a form, as in `class LSNNCell(FullState, SNNCell)`.
    """

    def starting_state(self, input_tensor: Tensor, state: Any) -> Any:
        return _expanded(super().starting_state(input_tensor, state), tick_shape(self, input_tensor))


def _expanded(state: Any, shape: tuple[int, ...]) -> Any:
    if not isinstance(state, Tensor):
        return type(state)(*(_expanded(field, shape) for field in state))
    return state if state.shape == shape else state.expand(torch.broadcast_shapes(state.shape, shape))
