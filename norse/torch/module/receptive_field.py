"""Receptive fields in space and time as modules."""

from norse.torch.module.receptive_field_spatial import (
    ParameterizedSpatialReceptiveField2d,
    SampledSpatialReceptiveField2d,
    SpatialReceptiveField2d,
)
from norse.torch.module.receptive_field_temporal import TemporalReceptiveField

__all__ = [
    "ParameterizedSpatialReceptiveField2d",
    "SampledSpatialReceptiveField2d",
    "SpatialReceptiveField2d",
    "TemporalReceptiveField",
]
