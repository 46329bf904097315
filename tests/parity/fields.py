"""The receptive fields that are compared. What 1.1.0 calls ∂x goes along the rows: it is given the transpose."""

from typing import Any

import torch

from norse.torch.functional import receptive_field as fields
from norse.torch.module.receptive_field import SpatialReceptiveField2d, TemporalReceptiveField

from .calculation import SINGLE, Calculation, Draw
from .observation import Values

SIZE = 9
SHAPE = {"scale": Draw((), 1, 3), "angle": Draw((), 0, 3), "ratio": Draw((), 0.5, 2)}
LISTS = {"scales": Draw((2,), 1, 3), "angles": Draw((3,), 0, 3), "ratios": Draw((2,), 0.5, 0.9)}
DERIVATIVES = [(0, 0), (1, 0), (0, 1), (2, 1)]


def combinations(values: Values) -> torch.Tensor:
    return fields.spatial_parameters(values["scales"], values["angles"], values["ratios"], DERIVATIVES)


def without_places(values: Values) -> torch.Tensor:
    """(scale, angle, ratio, x, y, dx, dy) without (x, y), which 1.1.0 doesn't have."""
    rows = combinations(values)
    return torch.cat([rows[:, :3], rows[:, -2:]], dim=1)


def centred(values: Values) -> Any:
    zero = torch.zeros((), dtype=values["angle"].dtype)
    return zero, zero


def kernel(values: Values) -> torch.Tensor:
    covariance = fields.covariance_matrix(values["ratio"], 1 / values["ratio"], values["angle"]) * values["scale"]
    return fields.gaussian_kernel(SIZE, covariance, *centred(values), 8)


def published_kernel(values: Values) -> torch.Tensor:
    covariance = fields.covariance_matrix(values["ratio"], 1 / values["ratio"], values["angle"]) * values["scale"]
    return fields.gaussian_kernel(SIZE, covariance, 8)


def field(values: Values) -> torch.Tensor:
    shape = (values["scale"], values["angle"], values["ratio"])
    return fields.spatial_receptive_field(*shape, *centred(values), SIZE, dx=2, dy=1, domain=8)


def published_field(values: Values) -> torch.Tensor:
    kernel = published_kernel(values)
    kernel = (kernel / kernel.sum()).T
    return fields.derive_spatial_receptive_field_single(kernel, values["scale"], values["angle"], 2, 1).T


def undirected(values: Values) -> torch.Tensor:
    return fields.spatial_parameters(values["scales"], values["angles"], values["ratios"], [(0, 0)])


def convolved(values: Values) -> torch.Tensor:
    rows = undirected(values).detach()
    return SpatialReceptiveField2d(2, SIZE, rows, domain=8, optimize_fields=False)(values["x"])


def smoothed(values: Values) -> Any:
    module, state, seen = TemporalReceptiveField((2, 3, 3), n_scales=3, min_scale=2.0), None, []
    for x in values["x"]:
        out, state = module(x, state)
        seen.append(out)
    return seen


FIELDS = {
    "covariance_matrix": Calculation(
        lambda v: fields.covariance_matrix(v["ratio"], 1 / v["ratio"], v["angle"]), SHAPE, dtypes=SINGLE
    ),
    "gaussian_kernel": Calculation(kernel, SHAPE, published=published_kernel, dtypes=SINGLE),
    "derive_kernel": Calculation(
        lambda v: fields.derive_kernel(v["x"], v["angle"]),
        SHAPE | {"x": Draw((SIZE, SIZE))},
        published=lambda v: fields.derive_kernel(v["x"].T, v["angle"]).T,
    ),
    "calculate_normalization": Calculation(
        lambda v: torch.stack([fields.calculate_normalization(n, v["scale"]) for n in (1, 2, 3)]), SHAPE
    ),
    "derive_spatial_receptive_field": Calculation(
        lambda v: fields.derive_spatial_receptive_field(v["x"], v["scale"], v["angle"], DERIVATIVES),
        SHAPE | {"x": Draw((SIZE, SIZE))},
        published=lambda v: fields.derive_spatial_receptive_field(v["x"].T, v["scale"], v["angle"], DERIVATIVES).mT,
    ),
    "spatial_receptive_field": Calculation(field, SHAPE, published=published_field, dtypes=SINGLE),
    "spatial_parameters": Calculation(without_places, LISTS, published=combinations),
    "spatial_receptive_fields_with_derivatives": Calculation(
        lambda v: fields.spatial_receptive_fields_with_derivatives(undirected(v), SIZE, 8), LISTS, dtypes=SINGLE
    ),
    "temporal_scale_distribution": Calculation(
        lambda v: fields.temporal_scale_distribution(5, min_scale=1.5), {"x": Draw(())}, dtypes=SINGLE, backward=False
    ),
    "temporal_scale_distribution up to a scale": Calculation(
        lambda v: fields.temporal_scale_distribution(5, min_scale=1.5, max_scale=9.0),
        {"x": Draw(())},
        dtypes=SINGLE,
        backward=False,
    ),
    "SpatialReceptiveField2d": Calculation(convolved, LISTS | {"x": Draw((2, 2, 15, 15))}, dtypes=SINGLE),
    "TemporalReceptiveField": Calculation(smoothed, {"x": Draw((20, 2, 2, 3, 3))}, backward=False),
}
