"""Copies of numbers and tensors."""

from numbers import Number

import torch
from torch import Tensor


def clone_tensor(x: Tensor | Number | float, device: str | None = None) -> Tensor:
    """A copy with memory of its own and without history.

    Args:
        x: a tensor or a number.
        device: where the copy is; None means where x is.

    Returns:
        A tensor that requires no gradient.

    Raises:
        TypeError: if x is neither.

    Example:
        >>> clone_tensor(torch.ones(2, requires_grad=True) * 2), clone_tensor(1.5)
        (tensor([2., 2.]), tensor(1.5000))
    """
    if isinstance(x, Tensor):
        return x.detach().to(device=device, copy=True)
    if isinstance(x, Number):
        return torch.tensor(x, device=device)
    raise TypeError(f"clone_tensor: argument x: expects a torch.Tensor or a number, got {type(x).__name__}")
