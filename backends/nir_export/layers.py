"""The layer table: torch's stateless layers and NIR's primitives without state, one row a pair, read both ways."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from torch import nn

import norse.torch as snn
from norse.backends.nir_export.arrays import finite, of_shape, tensor, uniform
from norse.backends.nir_export.scale import Scale

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A torch layer that can be written as a NIR primitive, and read from it."""

    layer: type
    primitive: Any
    rank: int | None  # dimensions of one sample; None: any
    write: Callable[[Any, Shape, int], Any]  # (layer, shape of one sample, leading dimensions) -> node
    read: Callable[[Any], nn.Module]
    applies: Callable[[Any], bool] = lambda layer: True


# ---- to NIR ----------------------------------------------------------------------------------------------------------


def _write_linear(layer: Any, shape: Shape, leading: int) -> Any:
    return nir.Linear(weight=finite(layer.weight, "weight"))


def _write_affine(layer: Any, shape: Shape, leading: int) -> Any:
    return nir.Affine(weight=finite(layer.weight, "weight"), bias=finite(layer.bias, "bias"))


def _conv_fields(layer: Any) -> dict[str, Any]:
    _expect(layer, "padding_mode", "zeros")
    weight = finite(layer.weight, "weight")
    bias = np.zeros(weight.shape[:1], weight.dtype) if layer.bias is None else finite(layer.bias, "bias")
    return {"weight": weight, "bias": bias, "groups": layer.groups}


def _write_conv1d(layer: Any, shape: Shape, leading: int) -> Any:
    padding = layer.padding if isinstance(layer.padding, str) else layer.padding[0]
    return nir.Conv1d(
        input_shape=shape[1], stride=layer.stride[0], padding=padding, dilation=layer.dilation[0], **_conv_fields(layer)
    )


def _write_conv2d(layer: Any, shape: Shape, leading: int) -> Any:
    return nir.Conv2d(
        input_shape=shape[1:],
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        **_conv_fields(layer),
    )


def _write_flatten(layer: Any, shape: Shape, leading: int) -> Any:
    rank = len(shape)
    start, end = (d - leading if d >= 0 else d + rank for d in (layer.start_dim, layer.end_dim))
    if start < 0:
        raise ValueError(
            f"expected start_dim {leading} or above (a batch is not flattened), got start_dim={layer.start_dim}"
        )
    # Counted from the end: some tools count a batch in front, some don't.
    return nir.Flatten({"input": np.array(shape)}, start_dim=start - rank, end_dim=end - rank)


def _write_pool(primitive: Any) -> Callable[[Any, Shape, int], Any]:
    def write(layer: Any, shape: Shape, leading: int) -> Any:
        _expect(layer, "ceil_mode", False)
        padding = _pair(getattr(layer, "padding", 0))
        if primitive is nir.AvgPool2d and padding.any():
            _expect(layer, "count_include_pad", True)
        stride = layer.kernel_size if layer.stride is None else layer.stride
        return primitive(kernel_size=_pair(layer.kernel_size), stride=_pair(stride), padding=padding)

    return write


def _write_threshold(layer: Any, shape: Shape, leading: int) -> Any:
    return nir.Threshold(of_shape(layer.threshold, shape, layer.threshold.dtype, "threshold"))


def _expect(layer: Any, name: str, value: Any) -> None:
    if getattr(layer, name) != value:
        raise ValueError(f"NIR can't say {name}: expected {value!r}, got {getattr(layer, name)!r}")


def _pair(value: Any) -> Any:
    return np.array(value if isinstance(value, tuple) else (value, value))


# ---- from NIR --------------------------------------------------------------------------------------------------------


def _read_linear(node: Any) -> nn.Module:
    """Made without values first, so that reading a file draws no random numbers."""
    weight = tensor(finite(node.weight, "weight"))
    if weight.dim() != 2:
        raise ValueError(f"weight: expected [output, input], got shape {list(weight.shape)}")
    bias = getattr(node, "bias", None)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    return _filled(layer, weight, bias)


def _read_conv(kind: Any, rank: int) -> Callable[[Any], nn.Module]:
    def read(node: Any) -> nn.Module:
        weight, groups = tensor(finite(node.weight, "weight")), int(node.groups)
        if weight.dim() != rank + 2:
            raise ValueError(f"weight: expected {rank + 2} dimensions, got shape {list(weight.shape)}")
        sizes = {name: _sizes(getattr(node, name), rank) for name in ("stride", "padding", "dilation")}
        channels = (weight.shape[1] * groups, weight.shape[0])
        layer = kind(*channels, tuple(weight.shape[2:]), **sizes, groups=groups, device="meta")
        return _filled(layer, weight, node.bias)

    return read


def _read_flatten(node: Any) -> nn.Module:
    start, end = int(node.start_dim), int(node.end_dim)
    return nn.Flatten(start + 1 if start >= 0 else start, end + 1 if end >= 0 else end)


def _read_pool(**options: Any) -> Callable[[Any], nn.Module]:
    def read(node: Any) -> nn.Module:
        kernel, stride, padding = (_sizes(getattr(node, name), 2) for name in ("kernel_size", "stride", "padding"))
        return nn.AvgPool2d(kernel, stride, padding, **options)

    return read


def _filled(layer: Any, weight: torch.Tensor, bias: Any) -> nn.Module:
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(tensor(finite(bias, "bias")))
        if layer.bias.shape != weight.shape[:1]:
            raise ValueError(f"bias: expected shape {list(weight.shape[:1])}, got {list(layer.bias.shape)}")
    return layer  # type: ignore[no-any-return]


def _sizes(value: Any, rank: int) -> Any:
    """2, [2], [2, 2], "same": as torch wants them."""
    if isinstance(value, str | bytes):
        return value if isinstance(value, str) else value.decode()
    sizes = tuple(int(size) for size in np.atleast_1d(value))
    if len(sizes) not in (1, rank):
        raise ValueError(f"expected {rank} sizes, got {list(sizes)}")
    return sizes * rank if len(sizes) == 1 else sizes


def _sums(layer: Any) -> bool:
    return bool(layer.divisor_override == 1)


# layer, primitive, dimensions of a sample, write, read, of which layers
LAYERS = (
    Layer(nn.Linear, nir.Affine, 1, _write_affine, _read_linear, lambda layer: layer.bias is not None),
    Layer(nn.Linear, nir.Linear, 1, _write_linear, _read_linear, lambda layer: layer.bias is None),
    Layer(nn.Conv1d, nir.Conv1d, 2, _write_conv1d, _read_conv(nn.Conv1d, 1)),
    Layer(nn.Conv2d, nir.Conv2d, 3, _write_conv2d, _read_conv(nn.Conv2d, 2)),
    Layer(nn.Flatten, nir.Flatten, None, _write_flatten, _read_flatten),
    Layer(nn.AvgPool2d, nir.AvgPool2d, 3, _write_pool(nir.AvgPool2d), _read_pool(),
          lambda layer: layer.divisor_override is None),
    Layer(nn.AvgPool2d, nir.SumPool2d, 3, _write_pool(nir.SumPool2d), _read_pool(divisor_override=1), _sums),
    Layer(nn.LPPool2d, nir.SumPool2d, 3, _write_pool(nir.SumPool2d), _read_pool(divisor_override=1),
          lambda layer: layer.norm_type == 1),
    Layer(Scale, nir.Scale, None, lambda layer, shape, leading: nir.Scale(scale=finite(layer.scale, "scale")),
          lambda node: Scale(tensor(finite(node.scale, "scale")))),
    Layer(snn.Threshold, nir.Threshold, None, _write_threshold,
          lambda node: snn.Threshold(uniform(finite(node.threshold, "threshold")))),
)  # fmt: skip

BY_PRIMITIVE: Mapping[type, Layer] = {row.primitive: row for row in reversed(LAYERS)}

# Layers that are nothing when a network runs, and how to say what is missing of others.
VANISHING = (nn.Dropout, nn.Identity)
INSTEAD: Mapping[str, str] = {
    "MaxPool2d": "NIR has no maximum; use nn.AvgPool2d",
    "ReLU": "NIR has no ReLU; use a spiking neuron",
    "BatchNorm1d": "NIR has no normalisation; fold it into the layer before",
    "BatchNorm2d": "NIR has no normalisation; fold it into the layer before",
}


def row_of(layer: nn.Module) -> Layer | None:
    """The row that a torch layer is written by."""
    return next((row for row in LAYERS if type(layer) is row.layer and row.applies(layer)), None)
