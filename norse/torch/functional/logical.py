"""Logic with spikes, 0 or 1: gates, the Muller C-element and an edge detector, for floating point and bool tensors."""

import torch
from torch import Tensor

from norse.torch.functional.superspike import super_fn

ALPHA = 1.0
"""The surrogate's sharpness in these gates: as wide as the inputs' distance from 0 to 1."""


def logical_and(x: Tensor, y: Tensor) -> Tensor:
    """x ∧ y = x y.

    Args:
        x: zeros and ones, of any shape.
        y: zeros and ones, broadcastable with x.

    Returns:
        1 where both are 1, else 0.

    Example:
        >>> logical_and(torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0]))
        tensor([0., 0., 0., 1.])
    """
    return x * y


def logical_xor(x: Tensor, y: Tensor) -> Tensor:
    """x ⊕ y = |x - y|.

    Args:
        x: zeros and ones, of any shape.
        y: zeros and ones, broadcastable with x.

    Returns:
        1 where exactly one is 1, else 0.

    Example:
        >>> logical_xor(torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0]))
        tensor([0., 1., 1., 0.])
    """
    if x.dtype == torch.bool:
        return x ^ y
    return (x - y).abs()


def logical_or(x: Tensor, y: Tensor) -> Tensor:
    """x ∨ y = Θ(x + y), with the surrogate derivative of `super_fn` (α = 1).

    Args:
        x: zeros and ones, of any shape.
        y: zeros and ones, broadcastable with x.

    Returns:
        1 where one or both are 1, else 0.

    Example:
        >>> logical_or(torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0]))
        tensor([0., 1., 1., 1.])
    """
    return super_fn(x + y, ALPHA)


def muller_c(y_prev: Tensor, x_1: Tensor, x_2: Tensor) -> Tensor:
    """The Muller C-element: takes its inputs' value when they agree, and holds its own while they don't.

    y = Θ(x₁ x₂ + x₁ y_prev + x₂ y_prev), with the surrogate derivative of `super_fn` (α = 1).

    Source: D. E. Muller, W. S. Bartky, "A theory of asynchronous circuits", Int. Symp. Theory of Switching (1959).

    Args:
        y_prev: its last output, zeros and ones, of any shape.
        x_1: an input, zeros and ones, broadcastable with y_prev.
        x_2: the other input, likewise.

    Returns:
        The new output, zeros and ones.

    Example:
        >>> y = torch.tensor(0.0)
        >>> for x_1, x_2 in [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]:
        ...     y = muller_c(y, torch.tensor(x_1), torch.tensor(x_2))
        ...     print(y.item())
        0.0
        1.0
        1.0
        0.0
    """
    return super_fn(x_1 * x_2 + x_1 * y_prev + x_2 * y_prev, ALPHA)


def posedge_detector(z: Tensor, z_prev: Tensor) -> Tensor:
    """Finds rising edges: z (1 - z_prev).

    Args:
        z: this tick's zeros and ones, of any shape.
        z_prev: the last tick's, broadcastable with z.

    Returns:
        1 where z is 1 and z_prev is 0, else 0.

    Example:
        >>> posedge_detector(torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0]))
        tensor([0., 0., 1., 0.])
    """
    if z_prev.dtype == torch.bool:
        return z * ~z_prev
    return z * (1 - z_prev)
