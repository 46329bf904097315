"""The Heaviside step function, without a derivative."""

import torch
from torch import Tensor


def heaviside(data: Tensor) -> Tensor:
    """Heaviside step: Θ(x) = 1 where x > 0, else 0 (so Θ(0) = 0). Has no gradient.

    Args:
        data: tensor of any shape.

    Returns:
        A tensor of zeros and ones with the shape and dtype of `data`.

    Example:
        >>> heaviside(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 0., 1.])
    """
    return torch.gt(data, 0).to(data.dtype)
