"""Spatial receptive fields: Gaussians, stretched and turned, and tables of them and their derivatives."""

import math

import torch
from torch import Tensor

from norse.torch.functional.receptive_field_derivatives import (
    calculate_normalization,
    derive_kernel,
    derive_spatial_receptive_field,
    derive_spatial_receptive_field_single,
)
from norse.torch.functional.receptive_field_parameters import (
    COLUMNS,
    spatial_parameters,
    spatio_temporal_parameters,
    temporal_scale_distribution,
)

__all__ = [
    "calculate_normalization",
    "covariance_matrix",
    "derive_kernel",
    "derive_spatial_receptive_field",
    "derive_spatial_receptive_field_single",
    "gaussian_kernel",
    "spatial_parameters",
    "spatial_receptive_field",
    "spatial_receptive_fields_with_derivatives",
    "spatio_temporal_parameters",
    "temporal_scale_distribution",
]


def gaussian_kernel(size: int, c: Tensor, x: Tensor, y: Tensor, domain: float = 8) -> Tensor:
    """A Gaussian's density, sampled on a square grid.

    g(p) = exp(-½ (p - m)ᵀ C⁻¹ (p - m)) / (2π √det C),  p ∈ linspace(-domain, domain, size)²,  m = (x, y)

    The first coordinate runs over columns, the second over rows.

    Args:
        size: number of pixels per side, s.
        c: C, covariance matrices, [..., 2, 2].
        x: the centre's first coordinate, in the unit of domain, a number or [...].
        y: its second coordinate, likewise.
        domain: half the side of the square, in the unit of √C.

    Returns:
        The densities, [..., s, s].

    Raises:
        ValueError: if size is less than 1 or c is no 2x2 matrix.

    Example:
        >>> gaussian_kernel(3, torch.eye(2), torch.tensor(0.0), torch.tensor(0.0), domain=1)
        tensor([[0.0585, 0.0965, 0.0585],
                [0.0965, 0.1592, 0.0965],
                [0.0585, 0.0965, 0.0585]])
    """
    density = torch.exp(-_squared_distance(size, c, x, y, domain) / 2)
    return density / (2 * math.pi * torch.sqrt(_determinant(c)))[..., None, None]


def covariance_matrix(sigma1: Tensor, sigma2: Tensor, phi: Tensor) -> Tensor:
    """The covariance matrix of a Gaussian from its deviations along two axes, and the angle by which they are turned.

    C = [[cxx, cxy], [cxy, cyy]],  cxx = σ₁² cos²φ + σ₂² sin²φ,  cxy = (σ₁² - σ₂²) cos φ sin φ,
    cyy = σ₁² sin²φ + σ₂² cos²φ

    Source: T. Lindeberg, "A computational theory of visual receptive fields", Biol. Cybern. 107 (2013).

    Args:
        sigma1: σ₁, standard deviation along the axis at angle φ, a number or [...].
        sigma2: σ₂, standard deviation across it, likewise.
        phi: φ in radians, likewise.

    Returns:
        C, [..., 2, 2].

    Example:
        >>> covariance_matrix(torch.tensor(2.0), torch.tensor(1.0), torch.tensor(0.0))
        tensor([[4., 0.],
                [0., 1.]])
    """
    sigma1, sigma2, phi = torch.broadcast_tensors(*_tensors(sigma1, sigma2, phi))
    cos, sin, along, across = torch.cos(phi), torch.sin(phi), sigma1**2, sigma2**2
    cxy = (along - across) * cos * sin
    rows = (along * cos**2 + across * sin**2, cxy), (cxy, along * sin**2 + across * cos**2)
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def spatial_receptive_field(
    scale: Tensor | float,
    angle: Tensor | float,
    ratio: Tensor | float,
    x: Tensor | float,
    y: Tensor | float,
    size: int,
    dx: int = 0,
    dy: int = 0,
    domain: float = 10,
) -> Tensor:
    """A receptive field: a Gaussian of sum 1, stretched and turned, or a directional derivative of it.

    g(p) ∝ exp(-½ (p - m)ᵀ C⁻¹ (p - m)),  Σ g = 1,  C = scale · covariance_matrix(ratio, 1 / ratio, angle),
    p ∈ linspace(-domain, domain, size)²,  m = (x, y)

    and its derivatives as in `derive_spatial_receptive_field_single`. The first coordinate runs over columns.

    Source: T. Lindeberg, "A computational theory of visual receptive fields", Biol. Cybern. 107 (2013);
    J. E. Pedersen, J. Conradt, T. Lindeberg, "Covariant spatio-temporal receptive fields for spiking neural networks",
    Nat. Commun. 16 (2025).

    Args:
        scale: variance of the circular field, in the unit of domain², above 0, a number or [...].
        angle: the field's axis in radians, likewise.
        ratio: by which the deviation along the axis grows and that across it shrinks, above 0, likewise.
        x: the centre's first coordinate, in the unit of domain, likewise.
        y: its second coordinate, likewise.
        size: number of pixels per side, s.
        dx: order of the derivative along the axis.
        dy: order of the derivative across it.
        domain: half the side of the square on which the field is sampled.

    Returns:
        The field, [..., s, s].

    Raises:
        ValueError: if size is less than 1 (2 for a derivative), or an order is negative.

    Example:
        >>> one, zero = torch.tensor(1.0), torch.tensor(0.0)
        >>> field = spatial_receptive_field(one, zero, one, zero, zero, size=9)
        >>> field.shape, field.sum()
        (torch.Size([9, 9]), tensor(1.))
    """
    scale, angle, ratio, x, y = _tensors(scale, angle, ratio, x, y)
    c = scale[..., None, None] * covariance_matrix(ratio, 1 / ratio, angle)
    # softmax is exp / Σ exp; it stays a number where a narrow field has no pixel near its centre
    logarithm = -_squared_distance(size, c, x, y, domain) / 2
    field = torch.softmax(logarithm.flatten(-2), -1).unflatten(-1, (size, size))
    return derive_spatial_receptive_field_single(field, scale, angle, dx, dy)


def spatial_receptive_fields_with_derivatives(combinations: Tensor, size: int, domain: float = 1) -> Tensor:
    """Receptive fields from a table of their parameters; see `spatial_receptive_field`.

    Args:
        combinations: one row (scale, angle, ratio, x, y, dx, dy) per field, [n, 7], as `spatial_parameters` makes them.
            The orders dx and dy get no gradient.
        size: number of pixels per side, s.
        domain: half the side of the square on which the fields are sampled.

    Returns:
        The fields, [n, s, s].

    Raises:
        ValueError: if combinations has another shape, or orders that are no whole numbers of at least 0.

    Example:
        >>> table = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0, 0, 0], [1.0, 0.0, 1.0, 0.0, 0.0, 1, 0]])
        >>> spatial_receptive_fields_with_derivatives(table, size=9, domain=8).sum((1, 2)).abs()
        tensor([1., 0.])
    """
    return receptive_fields(combinations[:, :5], derivative_orders(combinations), size, domain)


def derivative_orders(combinations: Tensor) -> list[tuple[int, int]]:
    """The orders of derivation in a table of parameters.

    Args:
        combinations: rows (scale, angle, ratio, x, y, dx, dy), [n, 7].

    Returns:
        n pairs (dx, dy).

    Raises:
        ValueError: if combinations has another shape, or orders that are no whole numbers of at least 0.

    Example:
        >>> derivative_orders(torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0, 2.0, 1.0]]))
        [(2, 1)]
    """
    if combinations.dim() != 2 or combinations.shape[1] != len(COLUMNS):
        raise ValueError(
            f"receptive fields: expects parameters in rows ({', '.join(COLUMNS)}), [n, {len(COLUMNS)}], "
            f"got shape {list(combinations.shape)}"
        )
    orders = combinations[:, 5:].detach().tolist()
    for order in (order for row in orders for order in row):
        if order < 0 or order != int(order):
            raise ValueError(f"receptive fields: expects dx and dy to be whole numbers of at least 0, got {order}")
    return [(int(dx), int(dy)) for dx, dy in orders]


def receptive_fields(shapes: Tensor, derivatives: list[tuple[int, int]], size: int, domain: float) -> Tensor:
    """`spatial_receptive_fields_with_derivatives` with the orders of derivation apart, as numbers.

    Args:
        shapes: one row (scale, angle, ratio, x, y) per field, [n, 5].
        derivatives: n pairs (dx, dy).
        size: number of pixels per side, s.
        domain: half the side of the square on which the fields are sampled.

    Returns:
        The fields, [n, s, s].

    Example:
        >>> receptive_fields(torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0]]), [(0, 0)], size=5, domain=4).shape
        torch.Size([1, 5, 5])
    """
    scale, angle, ratio, x, y = shapes.unbind(1)
    fields = spatial_receptive_field(scale, angle, ratio, x, y, size, domain=domain)
    kinds: dict[tuple[int, int], list[int]] = {}
    for row, orders in enumerate(derivatives):
        kinds.setdefault(orders, []).append(row)
    derived = [
        derive_spatial_receptive_field_single(fields[rows], scale[rows], angle[rows], dx, dy)
        for (dx, dy), rows in kinds.items()
    ]
    places = [row for rows in kinds.values() for row in rows]
    back = sorted(range(len(places)), key=places.__getitem__)
    return torch.cat(derived)[back] if derived else fields


def _squared_distance(size: int, c: Tensor, x: Tensor | float, y: Tensor | float, domain: float) -> Tensor:
    """(p - m)ᵀ C⁻¹ (p - m) at all pixels, [..., s, s]; the inverse of a 2x2 matrix is written out."""
    if size < 1:
        raise ValueError(f"receptive fields: argument size: expects at least 1 pixel, got {size}")
    if c.shape[-2:] != (2, 2):
        raise ValueError(f"receptive fields: argument c: expects matrices [..., 2, 2], got shape {list(c.shape)}")
    pixels = torch.linspace(-domain, domain, size, dtype=c.dtype, device=c.device)
    x, y = (torch.as_tensor(centre, dtype=c.dtype, device=c.device)[..., None, None] for centre in (x, y))
    x, y = pixels - x, pixels[:, None] - y
    cxx, cxy, cyy = (c[..., i, j][..., None, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    return (cyy * x**2 - 2 * cxy * x * y + cxx * y**2) / _determinant(c)[..., None, None]


def _determinant(c: Tensor) -> Tensor:
    return c[..., 0, 0] * c[..., 1, 1] - c[..., 0, 1] * c[..., 1, 0]


def _tensors(*values: Tensor | float) -> tuple[Tensor, ...]:
    """Numbers as tensors of the dtype and on the device of the first tensor among the values."""
    like = next((value for value in values if isinstance(value, Tensor)), torch.empty(0))
    dtype = like.dtype if like.is_floating_point() else torch.get_default_dtype()
    return tuple(torch.as_tensor(value, dtype=dtype, device=like.device) for value in values)
