"""Spiking layers in whole numbers, after docs/quantization.md alone: numpy's int64, shifts, no scale and no torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Layer:
    """Integers of one layer: weights, decays out of 2^d, potentials. None: there is no such part."""

    w: Any  # [out, in]
    bias: Any  # [out], or 0
    d: int
    bits: int
    wraps: bool = False
    w_rec: Any = None
    mem: Any = None
    syn: Any = None
    leak: Any = 0
    v_th: Any = None
    v_reset: Any = 0
    subtracts: bool = False


def run(layer: Layer, x: Any) -> Any:
    """Spikes, or membrane potentials, [T, B, out] of integers [T, B, in]."""
    shape = (x.shape[1], len(layer.w))
    v = np.zeros(shape, np.int64) + (layer.v_reset if layer.mem is None else layer.leak)
    i, z = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    out = []
    for now in x:
        jump = now @ layer.w.T + layer.bias
        if layer.w_rec is not None:
            jump = jump + z @ layer.w_rec.T
        if layer.syn is not None:
            jump = _fit(layer, i + jump)
            i = _left(jump, layer.syn, layer.d)
        if layer.mem is not None:
            v = layer.leak + _left(v - layer.leak, layer.mem, layer.d)
        v = _fit(layer, v + jump)
        if layer.v_th is None:
            out.append(v)
            continue
        z = (v > layer.v_th).astype(np.int64)
        v = np.where(z == 1, v - layer.v_th if layer.subtracts else layer.v_reset, v)
        out.append(z)
    return np.stack(out)


def _left(value: Any, decay: Any, d: int) -> Any:
    """A multiplication and a shift, towards zero."""
    return np.sign(value) * ((np.abs(value) * (2**d - decay)) >> d)


def _fit(layer: Layer, value: Any) -> Any:
    half = 1 << (layer.bits - 1)
    if layer.wraps:
        return ((value + half) & (2 * half - 1)) - half
    return np.clip(value, -half, half - 1)
