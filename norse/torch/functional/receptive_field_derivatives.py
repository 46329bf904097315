"""Directional derivatives of receptive fields, by finite differences."""

import math
from typing import cast

import torch
from torch import Tensor


def derive_kernel(kernel: Tensor, angle: Tensor | float) -> Tensor:
    """The derivative of a sampled field in a direction, by finite differences of neighbouring pixels.

    cos φ ∂/∂x + sin φ ∂/∂y, x over columns, with ∂f(i) = (f(i + 1) - f(i - 1)) / 2 inside and one-sided differences
    at the edges. The pixels' distance is 1.

    Args:
        kernel: the field, [..., s, s] with s >= 2.
        angle: φ in radians, a number or [...].

    Returns:
        The derivative, [..., s, s].

    Raises:
        ValueError: if there are less than 2 pixels per side.

    Example:
        >>> derive_kernel(torch.tensor([[0.0, 2.0], [1.0, 3.0]]), 0.0)
        tensor([[2., 2.],
                [2., 2.]])
    """
    if kernel.dim() < 2 or min(kernel.shape[-2:]) < 2:
        raise ValueError(
            f"derive_kernel: argument kernel: expects at least 2 pixels per side, got shape {list(kernel.shape)}"
        )
    along_y, along_x = torch.gradient(kernel, dim=(-2, -1))
    angle = torch.as_tensor(angle, dtype=kernel.dtype, device=kernel.device)[..., None, None]
    return torch.cos(angle) * along_x + torch.sin(angle) * along_y


def calculate_normalization(dx: int, scale: Tensor | float, gamma: float = 1) -> Tensor | float:
    """The factor that makes derivatives comparable between scales.

    (s²)^((n (1 - γ) + γ) / 2), which is s for γ = 1

    Source: T. Lindeberg, "Feature detection with automatic scale selection", Int. J. Comput. Vis. 30 (1998), eq. 20.

    Args:
        dx: n, the order of the derivative.
        scale: s.
        gamma: γ, dimensionless.

    Returns:
        The factor, in the shape of scale.

    Example:
        >>> calculate_normalization(1, 2.0), calculate_normalization(2, 3.0, gamma=0)
        (2.0, 9.0)
    """
    return cast(Tensor | float, (scale**2) ** ((dx * (1 - gamma) + gamma) / 2))


def derive_spatial_receptive_field_single(
    field: Tensor, scale: Tensor | float, angle: Tensor | float, dx: int, dy: int
) -> Tensor:
    """A higher derivative of a field along its axis and across it, normalised for its scale.

    First along the axis, then across it, in turns while there is an order left; every derivative is multiplied by
    `calculate_normalization(1, scale)`.

    Args:
        field: the field, [..., s, s].
        scale: its scale, a number or [...].
        angle: its axis in radians, likewise.
        dx: order of the derivative along the axis.
        dy: order of the derivative across it, in the direction angle + π/2.

    Returns:
        The derivative, [..., s, s].

    Raises:
        ValueError: if an order is negative, or there is nothing to derive (less than 2 pixels per side).

    Example:
        >>> x = torch.arange(3.0).expand(3, 3)
        >>> derive_spatial_receptive_field_single(x, 2.0, 0.0, 1, 0)[0]
        tensor([2., 2., 2.])
    """
    if dx < 0 or dy < 0:
        raise ValueError(
            f"derive_spatial_receptive_field_single: arguments dx, dy: expects orders of at least 0, got ({dx}, {dy})"
        )
    scale, angle = (torch.as_tensor(value, dtype=field.dtype, device=field.device) for value in (scale, angle))
    factor = torch.as_tensor(calculate_normalization(1, scale))[..., None, None]
    for order in range(max(dx, dy)):
        if order < dx:
            field = factor * derive_kernel(field, angle)
        if order < dy:
            field = factor * derive_kernel(field, angle + math.pi / 2)
    return field


def derive_spatial_receptive_field(
    field: Tensor, scale: Tensor | float, angle: Tensor | float, derivatives: list[tuple[int, int]]
) -> Tensor:
    """Several derivatives of a field; see `derive_spatial_receptive_field_single`.

    Args:
        field: the field, [s, s].
        scale: its scale.
        angle: its axis in radians.
        derivatives: n pairs (dx, dy) of orders along the axis and across it.

    Returns:
        The derivatives, [n, s, s].

    Raises:
        ValueError: as `derive_spatial_receptive_field_single`.

    Example:
        >>> derive_spatial_receptive_field(torch.ones(5, 5), 1.0, 0.0, [(0, 0), (1, 0), (0, 1)]).shape
        torch.Size([3, 5, 5])
    """
    return torch.stack([derive_spatial_receptive_field_single(field, scale, angle, dx, dy) for dx, dy in derivatives])
