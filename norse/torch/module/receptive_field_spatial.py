"""Spatial receptive fields: from a table of parameters, or at all combinations of a few quantities."""

from itertools import compress
from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.receptive_field import derivative_orders
from norse.torch.functional.receptive_field_parameters import (
    ORIGIN,
    Derivatives,
    combinations,
    quantities,
    spatial_parameters,
)
from norse.torch.module.receptive_field_convolution import QUANTITIES, ReceptiveFields2d


class SpatialReceptiveField2d(ReceptiveFields2d):
    """Spatial receptive fields as a 2d convolution, from a table of their parameters; see `spatial_receptive_field`.

    Source: J. E. Pedersen, J. Conradt, T. Lindeberg, "Covariant spatio-temporal receptive fields for spiking neural
    networks", Nat. Commun. 16 (2025).

    Args:
        in_channels: C, number of input channels.
        size: number of pixels per side of a kernel, s.
        rf_parameters: one row (scale, angle, ratio, x, y, dx, dy) per field, [n, 7]; see `spatial_parameters`.
        aggregate: True sums the responses over the input channels: weights [n, C, s, s]. False keeps them apart, output
            channel c · n + k is field k on input channel c: weights [C · n, C, s, s], block-diagonal.
        domain: half the side of the square on which the fields are sampled, in the unit of √scale.
        optimize_fields: whether scale, angle, ratio, x and y of every field are learnt.
        optimize_log: whether scale and ratio are learnt as their logarithms, `log_scales` and `log_ratios`.
        kwargs: bias, stride, padding and dilation of `torch.nn.functional.conv2d`.

    Returns:
        `forward(x)` of x [B, C, H, W] gives [B, n, H', W'], or [B, C · n, H', W'] if not aggregated.

    Raises:
        ValueError: if rf_parameters has another shape, scales or ratios that are not above 0, or orders that are no
            whole numbers; if in_channels or size is too small, or bias is no tensor of the right size.
        TypeError: if there are other kwargs.

    Example:
        >>> fields = SpatialReceptiveField2d(1, 9, torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]]))
        >>> fields.weights.shape, fields(torch.ones(1, 1, 9, 9)).shape
        (torch.Size([1, 1, 9, 9]), torch.Size([1, 1, 1, 1]))
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        rf_parameters: Tensor,
        aggregate: bool = True,
        domain: float = 8,
        optimize_fields: bool = True,
        optimize_log: bool = True,
        **kwargs: Any,
    ) -> None:
        rf_parameters = torch.as_tensor(rf_parameters)
        derivatives = derivative_orders(rf_parameters)
        super().__init__(
            in_channels,
            size,
            *_one_row_per_field(rf_parameters),
            derivatives,
            optimised=QUANTITIES if optimize_fields else (),
            optimize_log=optimize_log,
            aggregate=aggregate,
            domain=domain,
            **kwargs,
        )


class SampledSpatialReceptiveField2d(ReceptiveFields2d):
    """Spatial receptive fields at all combinations of a few quantities, which the fields share.

    Learning a scale changes all fields with this scale; see `ParameterizedSpatialReceptiveField2d` for the opposite.
    Which quantities meet in which field is settled at the start, as in `spatial_parameters`.

    Source: J. E. Pedersen, J. Conradt, T. Lindeberg, "Covariant spatio-temporal receptive fields for spiking neural
    networks", Nat. Commun. 16 (2025).

    Args:
        in_channels: C, number of input channels.
        size: number of pixels per side of a kernel, s.
        scales: variances of the circular fields, above 0, [scales].
        angles: in radians, [angles].
        ratios: of the axes, dimensionless, above 0, [ratios].
        derivatives: orders (dx, dy), [m, 2], a list of pairs or a number; see `spatial_parameters`.
        x: centres' first coordinates, in the unit of domain, [x].
        y: centres' second coordinates, likewise, [y].
        optimize_scales: whether the scales are learnt.
        optimize_angles: whether the angles are learnt.
        optimize_ratios: whether the ratios are learnt.
        optimize_x: whether the first coordinates are learnt.
        optimize_y: whether the second coordinates are learnt.
        optimize_log: whether scales and ratios are learnt as their logarithms, `log_scales` and `log_ratios`.
        kwargs: aggregate and domain as in `SpatialReceptiveField2d`; bias, stride, padding and dilation of
            `torch.nn.functional.conv2d`.

    Returns:
        `forward(x)` of x [B, C, H, W] gives [B, n, H', W'], or [B, C · n, H', W'] if not aggregated.

    Raises:
        TypeError, ValueError: as `SpatialReceptiveField2d` and `spatial_parameters`.

    Example:
        >>> scales, angles, ratios = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.5, 1.0])
        >>> fields = SampledSpatialReceptiveField2d(1, 9, scales, angles, ratios, 1, optimize_log=False, padding=4)
        >>> fields(torch.ones(1, 1, 9, 9)).shape, fields.scales.shape
        (torch.Size([1, 18, 9, 9]), torch.Size([2]))
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        scales: Tensor,
        angles: Tensor,
        ratios: Tensor,
        derivatives: Derivatives,
        x: Tensor = ORIGIN,
        y: Tensor = ORIGIN,
        optimize_scales: bool = True,
        optimize_angles: bool = True,
        optimize_ratios: bool = True,
        optimize_x: bool = True,
        optimize_y: bool = True,
        optimize_log: bool = True,
        **kwargs: Any,
    ) -> None:
        values = quantities(scales, angles, ratios, x, y)
        rows, orders = combinations(values, derivatives)
        flags = (optimize_scales, optimize_angles, optimize_ratios, optimize_x, optimize_y)
        super().__init__(
            in_channels, size, values, rows, orders, list(compress(QUANTITIES, flags)), optimize_log, **kwargs
        )


class ParameterizedSpatialReceptiveField2d(ReceptiveFields2d):
    """Spatial receptive fields that start at all combinations of a few quantities, and have their own each.

    Learning changes the scale of every field by itself; see `SampledSpatialReceptiveField2d` for the opposite.

    Source: J. E. Pedersen, J. Conradt, T. Lindeberg, "Covariant spatio-temporal receptive fields for spiking neural
    networks", Nat. Commun. 16 (2025).

    Args:
        in_channels: C, number of input channels.
        size: number of pixels per side of a kernel, s.
        scales: variances of the circular fields, above 0, [scales].
        angles: in radians, [angles].
        ratios: of the axes, dimensionless, above 0, [ratios].
        derivatives: orders (dx, dy), [m, 2], a list of pairs or a number; see `spatial_parameters`.
        x: centres' first coordinates, in the unit of domain, [x].
        y: centres' second coordinates, likewise, [y].
        optimize_scales: whether the scales are learnt.
        optimize_angles: whether the angles are learnt.
        optimize_ratios: whether the ratios are learnt.
        optimize_x: whether the first coordinates are learnt.
        optimize_y: whether the second coordinates are learnt.
        optimize_log: whether scales and ratios are learnt as their logarithms, `log_scales` and `log_ratios`.
        kwargs: aggregate and domain as in `SpatialReceptiveField2d`; bias, stride, padding and dilation of
            `torch.nn.functional.conv2d`.

    Returns:
        `forward(x)` of x [B, C, H, W] gives [B, n, H', W'], or [B, C · n, H', W'] if not aggregated.

    Raises:
        TypeError, ValueError: as `SpatialReceptiveField2d` and `spatial_parameters`.

    Example:
        >>> scales, angles, ratios = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.5, 1.0])
        >>> fields = ParameterizedSpatialReceptiveField2d(1, 9, scales, angles, ratios, 1, optimize_log=False)
        >>> fields(torch.ones(1, 1, 9, 9)).shape, fields.scales.shape
        (torch.Size([1, 18, 1, 1]), torch.Size([18]))
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        scales: Tensor,
        angles: Tensor,
        ratios: Tensor,
        derivatives: Derivatives,
        x: Tensor = ORIGIN,
        y: Tensor = ORIGIN,
        optimize_scales: bool = True,
        optimize_angles: bool = True,
        optimize_ratios: bool = True,
        optimize_x: bool = True,
        optimize_y: bool = True,
        optimize_log: bool = True,
        **kwargs: Any,
    ) -> None:
        table = spatial_parameters(scales, angles, ratios, derivatives, x, y)
        flags = (optimize_scales, optimize_angles, optimize_ratios, optimize_x, optimize_y)
        super().__init__(
            in_channels,
            size,
            *_one_row_per_field(table),
            derivative_orders(table),
            list(compress(QUANTITIES, flags)),
            optimize_log,
            **kwargs,
        )


def _one_row_per_field(table: Tensor) -> tuple[list[Tensor], Tensor]:
    """The columns of a table of parameters, and the places in them of every field's quantities: its own row."""
    values = quantities(*table[:, : len(QUANTITIES)].unbind(1))
    return values, torch.arange(len(table))[:, None].expand(-1, len(QUANTITIES))
