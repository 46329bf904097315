"""NIR's Scale as a torch module."""

import torch
from torch import Tensor


class Scale(torch.nn.Module):
    """Multiplies every feature by a number of its own: y = x · scale.

    Args:
        scale: of the shape of one sample, or 0-d.

    Example:
        >>> Scale(torch.tensor([1.0, 2.0]))(torch.ones(1, 2))
        tensor([[1., 2.]], grad_fn=<MulBackward0>)
    """

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(scale)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale
