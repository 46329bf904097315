"""NIR's Delay and the library's `SynapseDelay`: y(t) = x(t - τ)."""

import math
import warnings
from typing import Any

import nir
import numpy as np
import torch

import norse.torch as snn
from norse.backends.nir_export.arrays import finite, of_shape, tensor
from norse.torch.functional.delay import ROUNDING

KINDS = (snn.SynapseDelay, snn.SynapseDelayCell)
MOST_TICKS = 2**20  # of a delay that is read: its buffer must fit into memory


def write_delay(layer: Any, shape: tuple[int, ...], dtype: torch.dtype, scaling: float) -> Any:
    """The NIR node of a delay of values of this shape; `scaling` is the model's unit of time in s."""
    if layer.kernel != "linear":
        raise ValueError(
            f"NIR's Delay shifts and does not blur: expected kernel='linear', got {layer.kernel!r}; give a layer with "
            "kernel='linear' the delays that were learnt"
        )
    delay = of_shape(layer.delay.detach().clamp(0, layer.max_delay), shape, dtype, "delay")
    ticks = delay / layer.dt
    if not np.allclose(ticks, np.round(ticks), rtol=0, atol=ROUNDING * max(1.0, float(np.max(ticks, initial=0)))):
        warnings.warn(
            "norse.to_nir: a delay is no whole number of ticks: a spike arrives in two parts, other tools may round it",
            stacklevel=2,
        )
    return nir.Delay((delay * scaling).astype(delay.dtype))


def read_delay(node: Any, dt: float, less: float = 0.0) -> torch.nn.Module:
    """The delay of a node as a module of one tick, shortened by `less` s, which an edge that waits takes over."""
    delay = finite(node.delay, "delay")
    if delay.size and delay.min() < 0:
        raise ValueError(f"delay: expected no negative time, got {delay.min()}")
    longest = float(np.max(delay, initial=0))
    if longest / dt > MOST_TICKS:
        raise ValueError(f"delay: expected at most {MOST_TICKS} ticks of dt={dt} s, got {longest} s")
    if less:
        shorter = delay.astype(np.float64) - less
        shorter[np.abs(shorter) < ROUNDING * (delay + dt)] = 0.0
        delay, longest = shorter.astype(delay.dtype), float(np.max(shorter, initial=0))
    alike = bool(delay.size) and bool((delay == delay.flat[0]).all())
    # A whole number of ticks, where float32 has rounded it: the buffer is one tick longer else.
    ticks = round(longest / dt) if math.isclose(longest / dt, round(longest / dt), rel_tol=ROUNDING) else longest / dt
    return snn.SynapseDelayCell(tensor(delay.flat[0] if alike else delay), max(longest, ticks * dt, dt), dt=dt)


def waits(node: Any, dt: float) -> bool:
    """Whether whatever goes through a node is at least a tick late, so that a cycle through it needs no other wait."""
    if not isinstance(node, nir.Delay):
        return False
    delay = np.asarray(node.delay)
    return bool(delay.size and delay.dtype.kind in "fiu" and (delay >= dt * (1 - ROUNDING)).all())
