"""The layer table: torch's stateless layers that the compiler knows, one row each.

A layer in its row acts on every sample alone, so inside a lifted module all ticks can go through it at once, with time
folded into the batch. Any other layer runs as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from norse.compiler.errors import InputError


def _always(layer: Any) -> bool:
    return True


def _in_eval(layer: Any) -> bool:
    return not layer.training


def _keeps_the_batch(layer: Any) -> bool:
    return bool(layer.start_dim >= 1)


@dataclass(frozen=True)
class Layer:
    sample_rank: int | None  # dimensions of one sample; None: any
    per_sample: Callable[[Any], bool] = _always  # whether this one, as it is set now, acts on every sample alone
    keeps_spikes: bool = False  # 0/1 in, 0/1 out
    keeps_leading: bool = False  # acts on every leading position alone, whatever the input's rank
    random: bool = False  # draws random numbers in training
    features: tuple[str, int] | None = None  # the attribute that says how many it expects, and in which dimension


LAYERS: Mapping[type, Layer] = {
    nn.Linear: Layer(1, keeps_leading=True, features=("in_features", -1)),
    nn.Conv1d: Layer(2, features=("in_channels", -2)),
    nn.Conv2d: Layer(3, features=("in_channels", -3)),
    nn.AvgPool2d: Layer(3),
    nn.MaxPool2d: Layer(3, keeps_spikes=True),
    nn.Flatten: Layer(None, _keeps_the_batch, keeps_spikes=True),
    nn.BatchNorm1d: Layer(None, _in_eval),
    nn.BatchNorm2d: Layer(3, _in_eval, features=("num_features", -3)),
    nn.Dropout: Layer(None, _in_eval, keeps_spikes=True, keeps_leading=True, random=True),
    nn.ReLU: Layer(None, keeps_spikes=True, keeps_leading=True),
    nn.Identity: Layer(None, keeps_spikes=True, keeps_leading=True),
}


def check_layer_input(layer: nn.Module, path: str, x: Tensor) -> None:
    """Raises InputError where a layer of the table can't take x, before torch says so in terms of matrices."""
    row, name = LAYERS[type(layer)], f'layer "{path}" ({type(layer).__name__})'
    weight = getattr(layer, "weight", None)
    if weight is not None and not x.is_floating_point():
        raise InputError(f"norse.compile: {name}: argument input: expects floating point numbers, got {x.dtype}")
    if row.features is None:
        return
    attribute, dimension = row.features
    expected = getattr(layer, attribute)
    if x.ndim < -dimension or x.shape[dimension] != expected:
        got = x.shape[dimension] if x.ndim >= -dimension else f"{x.ndim} dimensions"
        what = "input features" if dimension == -1 else "input channels"
        raise InputError(f"norse.compile: {name} expects {expected} {what}, got {got}; its input is {list(x.shape)}")
