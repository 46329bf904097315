"""The graphs that consumers are given: every primitive, and networks of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

import norse.torch as snn
from norse.backends.nir_export.integrator import IntegratorCell
from norse.backends.nir_export.scale import Scale
from norse.torch.functional.reset import reset_subtract, reset_subtract_bounded, reset_value

TICKS = 100


@dataclass(frozen=True)
class Kind:
    """A consumer's neurons: how they are reset, and how much higher thresholds are for one spike a tick to do."""

    reset: Any
    height: float = 1.0

    def th(self, v_th: float, more: float = 1.0) -> torch.Tensor:
        return torch.tensor(v_th * (self.height * more if self.height > 1 else 1.0))


KINDS = {"zero": Kind(reset_value), "subtract": Kind(reset_subtract), "several": Kind(reset_subtract, 2.0)}


@dataclass(frozen=True)
class Case:
    """A network, made for the neurons that a consumer has."""

    make: Callable[[Kind], nn.Module]
    shape: tuple[int, ...] = (3,)
    excitation: float = 0.25  # added to each weight, times 1 / √fan-in; where thresholds are higher, more

    def model(self, reset: str) -> nn.Module:
        torch.manual_seed(1)
        kind = KINDS[reset]
        model = self.make(kind).eval()
        with torch.no_grad():
            fired = False
            for module in model.modules():
                fired |= hasattr(getattr(module, "p", None), "v_th")
                if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                    fan_in = module.weight[0].numel()
                    module.weight += self.excitation * kind.height**2 / fan_in**0.5
                    if reset == "subtract" and fired and module.bias is not None:  # Spyx, whose neurons are late
                        module.bias.zero_()
        return model

    def spikes(self, seed: int = 0) -> Any:
        """[T, ...], 0 and 1."""
        return ((np.random.default_rng(seed).random((TICKS, *self.shape)) < 0.4) * 1.0).astype(np.float32)


def _chain(*layers: Any) -> nn.Module:
    return snn.SequentialState(*layers)


def _lif(kind: Kind, more: float = 2.0) -> nn.Module:
    return snn.LIFCell(snn.LIFParameters(v_th=kind.th(0.3, more), reset_method=kind.reset))


def _box(kind: Kind) -> nn.Module:
    return snn.LIFBoxCell(snn.LIFBoxParameters(v_th=kind.th(0.15), reset_method=kind.reset))


def _iaf(kind: Kind, more: float = 1.0) -> nn.Module:
    return snn.IAFCell(snn.IAFParameters(v_th=kind.th(1.5, more), reset_method=kind.reset))


def _bounded(kind: Kind) -> nn.Module:
    return snn.IAFCell(snn.IAFParameters(v_th=kind.th(1.5), reset_method=reset_subtract_bounded))


def _recurrent(kind: Kind, inputs: int) -> nn.Module:
    return snn.LIFRecurrentCell(inputs, 6, snn.LIFParameters(v_th=kind.th(0.3, 2.0), reset_method=kind.reset))


IMAGE = (1, 6, 6)
PRIMITIVES: dict[str, Case] = {
    "Affine": Case(lambda kind: _chain(nn.Linear(3, 5))),
    "Linear": Case(lambda kind: _chain(nn.Linear(3, 5, bias=False))),
    "Scale": Case(lambda kind: _chain(nn.Linear(3, 5), Scale(torch.arange(1.0, 6.0)))),
    "Conv1d": Case(lambda kind: _chain(nn.Conv1d(1, 2, 3)), (1, 8)),
    "Conv2d": Case(lambda kind: _chain(nn.Conv2d(1, 2, 3, bias=False)), IMAGE),
    "Flatten": Case(lambda kind: _chain(nn.Flatten(), nn.Linear(36, 5)), IMAGE),
    "AvgPool2d": Case(lambda kind: _chain(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2)), IMAGE),
    "SumPool2d": Case(lambda kind: _chain(nn.Conv2d(1, 2, 3), nn.LPPool2d(1, 2)), IMAGE),
    "Threshold": Case(lambda kind: _chain(nn.Linear(3, 5), snn.Threshold(torch.tensor(0.5)))),
    "Delay": Case(lambda kind: _chain(nn.Linear(3, 5), snn.SynapseDelayCell(torch.tensor(0.002), 0.002))),
    "I": Case(lambda kind: _chain(nn.Linear(3, 5), IntegratorCell())),
    "IF": Case(lambda kind: _chain(nn.Linear(3, 5), _iaf(kind))),
    "IF, bounded": Case(lambda kind: _chain(nn.Linear(3, 5), _bounded(kind)), excitation=0.0),
    "LI": Case(lambda kind: _chain(nn.Linear(3, 5), snn.LIBoxCell())),
    "LIF": Case(lambda kind: _chain(nn.Linear(3, 5), _box(kind))),
    "CubaLI": Case(lambda kind: _chain(nn.Linear(3, 5), snn.LICell())),
    "CubaLIF": Case(lambda kind: _chain(nn.Linear(3, 5), _lif(kind))),
}
NETWORKS: dict[str, Case] = {
    "feed-forward, LIF": Case(
        lambda kind: _chain(nn.Linear(3, 20), _box(kind), nn.Linear(20, 5), _box(kind))
    ),
    "feed-forward, CubaLIF": Case(
        lambda kind: _chain(nn.Linear(3, 20), _lif(kind), nn.Linear(20, 5), _lif(kind))
    ),
    "inhibition, IF": Case(
        lambda kind: _chain(nn.Linear(20, 64, bias=False), _iaf(kind), nn.Linear(64, 2, bias=False), _iaf(kind)),
        (20,), excitation=0.05,
    ),
    "readout, CubaLIF and CubaLI": Case(
        lambda kind: _chain(nn.Linear(3, 20), _lif(kind), nn.Linear(20, 2), snn.LICell())
    ),
    "filter, CubaLI": Case(
        lambda kind: _chain(
            nn.Linear(3, 20), _lif(kind), nn.Linear(20, 4), snn.LICell(), nn.Linear(4, 3), _lif(kind, 12.0)
        ),
        excitation=0.2,
    ),
    "recurrent, CubaLIF": Case(lambda kind: _chain(nn.Linear(3, 4), _recurrent(kind, 4), nn.Linear(6, 5), _lif(kind))),
    "convolution, IF": Case(
        lambda kind: _chain(
            nn.Conv2d(1, 2, 3), _bounded(kind) if kind.height > 1 else _iaf(kind), nn.LPPool2d(1, 2),
            nn.Flatten(), nn.Linear(8, 5), _iaf(kind, 2.0),
        ),
        IMAGE, excitation=0.15,
    ),
}  # fmt: skip
CASES = PRIMITIVES | NETWORKS
