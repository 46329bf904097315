"""What neurons with coupled membranes have besides: the coupling, and as many input features as compartments."""

from typing import Any

import torch
from torch import Tensor

from norse.torch.module.full_state import FullState


class Compartments(FullState):
    """Neurons whose membranes are coupled by conductances [hidden, hidden]; stands in front of a form."""

    g_coupling: Tensor

    def couple(self, hidden_size: int, g_coupling: Tensor | None) -> None:
        """Makes the coupling, or takes the given one: an nn.Parameter is learnt, another tensor is not.

        Args:
            hidden_size: number of compartments.
            g_coupling: [hidden, hidden]; None means a learnt one that starts as randn / √hidden.

        Raises:
            ValueError: if the size is negative or a given coupling has another shape.
        """
        if hidden_size < 0:
            raise ValueError(f"{type(self).__name__}: argument hidden_size: expects at least 0, got {hidden_size}")
        self.hidden_size = torch.as_tensor(hidden_size)
        self.register_weights("g_coupling", g_coupling, (hidden_size, hidden_size), scale=max(hidden_size, 1) ** -0.5)


class FeedForwardCompartments(Compartments):
    """Coupled neurons that each have an input of their own."""

    weight_names = ("g_coupling",)

    def starting_state(self, input_tensor: Tensor, state: Any) -> Any:
        compartments = self.g_coupling.shape[-1]
        if isinstance(input_tensor, Tensor) and input_tensor.shape[len(self.axes) :][-1:] != (compartments,):
            raise ValueError(
                f"{type(self).__name__}: argument input_tensor: expects [{', '.join((*self.axes, '...', 'N'))}] with "
                f"N = {compartments} compartments, got shape {list(input_tensor.shape)}"
            )
        return super().starting_state(input_tensor, state)

    def extra_repr(self) -> str:
        return f"hidden_size={int(self.hidden_size)}, {super().extra_repr()}"
