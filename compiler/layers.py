"""The layer table: torch's stateless layers that the compiler knows, one row each, and the library's own.

A layer in its row acts on every sample alone, so inside a lifted module all ticks can go through it at once, with time
folded into the batch. One that doesn't as it is set now, such as a batch norm in training, is called tick by tick. Any
other layer runs as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import Tensor, nn

from norse.compiler.errors import InputError, Unsupported
from norse.torch.module.conv import LConv2d
from norse.torch.module.encode import (
    ConstantCurrentLIFEncoder,
    PoissonEncoder,
    PoissonEncoderStep,
    PopulationEncoder,
    SignedPoissonEncoder,
    SignedPoissonEncoderStep,
    SpikeLatencyLIFEncoder,
)
from norse.torch.module.quantized import QuantizedConv1d, QuantizedConv2d, QuantizedLinear
from norse.torch.module.threshold import Threshold

# Whether a layer, as it is set now, acts on every sample alone when a tick has so many dimensions.
PerSample = Callable[[Any, int], bool]


@dataclass(frozen=True)
class Layer:
    sample_rank: int | None  # dimensions of one sample; None: a tick has any number, and the batch is the first
    per_sample: PerSample = lambda layer, rank: True
    has_weights: bool = False  # a weight and a bias, which `weight_and_bias` gives
    keeps_spikes: bool = False  # 0/1 in, 0/1 out, however it is set
    keeps_order: bool = False  # the same numbers in the same order, in another shape
    gives_spikes: bool = False  # 0/1 out, whatever comes in
    keeps_leading: bool = False  # acts on every leading position alone, whatever the input's rank
    random: bool = False  # draws random numbers in training
    always_random: bool = False  # draws, or may, in eval too
    features: tuple[str, int | None] | None = None  # the attribute with the sizes it expects, and their first dimension
    indices: bool = False  # takes whole numbers
    fixed_buffers: bool = False  # what it holds besides parameters stays as it is at a call


# ---- which layers act on every sample alone ------------------------------------------------------


def _in_eval(layer: Any, rank: int) -> bool:
    return not layer.training


def _never(layer: Any, rank: int) -> bool:
    return False


def _by_kept_statistics(layer: Any, rank: int) -> bool:
    """A batch norm that keeps none takes them from the batch in eval too."""
    return not layer.training and layer.running_mean is not None


def _keeps_no_statistics(layer: Any, rank: int) -> bool:
    """An instance norm's are each sample's own, but a call in training moves those that it keeps."""
    return not layer.training or layer.running_mean is None


def _along_features(layer: Any, rank: int) -> bool:
    """Its dimension isn't the batch's; None is torch's guess."""
    return isinstance(layer.dim, int) and layer.dim % max(rank, 1) > 0


def _flattens_features(layer: Any, rank: int) -> bool:
    return bool(layer.start_dim % max(rank, 1) > 0)


def _leaves_its_weight(layer: Any, rank: int) -> bool:
    """Else what a call does to the weight, or to its gradient, depends on which rows the call reads."""
    return layer.max_norm is None and not layer.scale_grad_by_freq


# ---- the table -----------------------------------------------------------------------------------


def _spatial(*kinds: type, features: str | None = None, **facts: Any) -> dict[type, Layer]:
    """Rows of a layer for one, two and three dimensions of space, behind the channels."""
    return {
        kind: Layer(rank, features=None if features is None else (features, -rank), **facts)
        for rank, kind in enumerate(kinds, start=2)
    }


def _each(*kinds: type, **facts: Any) -> dict[type, Layer]:
    """The same row for layers that take ticks of any number of dimensions."""
    return dict.fromkeys(kinds, Layer(None, **facts))


LAYERS: Mapping[type, Layer] = {
    # synapses
    nn.Linear: Layer(1, has_weights=True, keeps_leading=True, features=("in_features", -1)),
    **_spatial(nn.Conv1d, nn.Conv2d, nn.Conv3d, has_weights=True, features="in_channels"),
    QuantizedLinear: Layer(1, has_weights=True, keeps_leading=True, features=("in_features", -1), fixed_buffers=True),
    **_spatial(QuantizedConv1d, QuantizedConv2d, has_weights=True, features="in_channels", fixed_buffers=True),
    **_spatial(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, features="in_channels"),
    LConv2d: Layer(None, _never, keeps_leading=True, features=("in_channels", -3)),  # it has time itself
    nn.Embedding: Layer(0, _leaves_its_weight, keeps_leading=True, indices=True),
    # pooling
    **_spatial(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    **_spatial(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, keeps_spikes=True),
    **_spatial(nn.LPPool1d, nn.LPPool2d, nn.LPPool3d),
    **_spatial(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    **_spatial(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, keeps_spikes=True),
    # normalisation
    nn.BatchNorm1d: Layer(None, _by_kept_statistics, features=("num_features", 1)),
    nn.BatchNorm2d: Layer(None, _by_kept_statistics, features=("num_features", 1)),
    nn.BatchNorm3d: Layer(None, _by_kept_statistics, features=("num_features", 1)),
    **_spatial(
        nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
        per_sample=_keeps_no_statistics, features="num_features",
    ),
    nn.GroupNorm: Layer(None, features=("num_channels", 1)),
    **_each(nn.LayerNorm, nn.RMSNorm, keeps_leading=True, features=("normalized_shape", None)),
    nn.LocalResponseNorm: Layer(None),
    # noise, drawn anew at every call. In training the values that stay are scaled, so they are no spikes.
    **_each(
        nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RReLU,
        per_sample=_in_eval, keeps_leading=True, random=True,
    ),
    **_spatial(nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, per_sample=_in_eval, random=True),
    # encoders: of spikes over time, or of the tick that they are called at
    **_each(PoissonEncoder, SignedPoissonEncoder, per_sample=_never, random=True, always_random=True),
    **_each(PoissonEncoderStep, SignedPoissonEncoderStep, keeps_leading=True, random=True, always_random=True),
    **_each(ConstantCurrentLIFEncoder, SpikeLatencyLIFEncoder, per_sample=_never),
    PopulationEncoder: Layer(None, _never, random=True, always_random=True),  # by functions that may be the user's
    # activations
    nn.Identity: Layer(None, keeps_leading=True, keeps_spikes=True, keeps_order=True),
    **_each(nn.ReLU, nn.ReLU6, keeps_leading=True, keeps_spikes=True),
    **_each(
        nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid,
        nn.Mish, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink,
        nn.Threshold,
        keeps_leading=True,
    ),
    **_each(nn.GLU, nn.LogSoftmax, nn.Softmax, nn.Softmin, per_sample=_along_features),
    nn.Softmax2d: Layer(3),
    nn.PReLU: Layer(None),
    Threshold: Layer(None, keeps_leading=True, gives_spikes=True, fixed_buffers=True),
    # shapes
    nn.Flatten: Layer(None, _flattens_features, keeps_spikes=True, keeps_order=True),
    nn.Unflatten: Layer(None, _along_features, keeps_spikes=True, keeps_order=True),
    **_each(nn.PixelShuffle, nn.PixelUnshuffle, keeps_leading=True, keeps_spikes=True),
    nn.ChannelShuffle: Layer(None, keeps_spikes=True),
    nn.Unfold: Layer(3, keeps_spikes=True),
    nn.Fold: Layer(2),
    # borders
    **_each(nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, keeps_leading=True, keeps_spikes=True),
    **_each(nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d, keeps_leading=True),
    **_spatial(nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d, keeps_spikes=True),
    **_spatial(nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d, keeps_spikes=True),
    **_spatial(nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d, keeps_spikes=True),
    # resolution
    **_each(nn.Upsample, nn.UpsamplingBilinear2d),
    nn.UpsamplingNearest2d: Layer(None, keeps_spikes=True),
}  # fmt: skip


def check_layer_input(layer: nn.Module, path: str, x: Tensor) -> None:
    """Raises InputError where a layer of the table can't take x, before torch says so in terms of matrices.

    Raises Unsupported where the layer, as it is set now, gives something else than one new tensor.
    """
    row, name = LAYERS[type(layer)], f'layer "{path}" ({type(layer).__name__})'
    if getattr(layer, "return_indices", False):
        raise Unsupported(f"{type(layer).__name__} with return_indices=True gives two results")
    if row.indices and (x.is_floating_point() or x.is_complex()):
        raise InputError(f"norse.compile: {name}: argument input: expects whole numbers, got {x.dtype}")
    if not row.indices and getattr(layer, "weight", None) is not None and not (x.is_floating_point() or x.is_complex()):
        raise InputError(f"norse.compile: {name}: argument input: expects floating point numbers, got {x.dtype}")
    if row.features is not None:
        _check_sizes(layer, name, x, *row.features)


def counts_its_calls(layer: nn.Module) -> bool:
    """Whether a call changes what the layer holds: a normalisation's statistics, in training."""
    return bool(layer._buffers) and layer.training and not LAYERS[type(layer)].fixed_buffers


def changes_its_input(layer: nn.Module) -> bool:
    """Noise does so in training alone."""
    return bool(getattr(layer, "inplace", False)) and (layer.training or not LAYERS[type(layer)].random)


def _check_sizes(layer: nn.Module, name: str, x: Tensor, attribute: str, first: int | None) -> None:
    sizes = getattr(layer, attribute)
    expected = tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,)
    first = -len(expected) if first is None else first
    enough = x.ndim >= (-first if first < 0 else first + 1)
    got = tuple(x.shape[first:][: len(expected)]) if enough else ()
    if got == expected or next(chain(layer.parameters(), layer.buffers()), None) is None:
        return  # a normalisation that holds nothing takes any number of channels
    what = "input features" if attribute in ("in_features", "normalized_shape") else "input channels"
    found = " x ".join(map(str, got)) if enough else f"{x.ndim} dimensions"
    raise InputError(
        f"norse.compile: {name} expects {' x '.join(map(str, expected))} {what}, got {found}; its input is "
        f"{list(x.shape)}"
    )
