"""VGG networks of spiking neurons."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from norse.torch.models.initial import initialise, refuse_pretrained
from norse.torch.module.lif import LIF
from norse.torch.module.lift import Lift
from norse.torch.module.sequential import SequentialState

Layers = Sequence[int | str]

# Table 1 of the paper: numbers are the maps of 3 x 3 convolutions, M is max pooling.
CONFIGURATIONS: dict[str, Layers] = {
    "A": (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
    "B": (64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
    "D": (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"),
    "E": (64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"),
}
MAP_SIZE = 7  # of the last maps of a 224 x 224 image; other images are brought to it
HIDDEN = 4096


class VGG(torch.nn.Module):
    """A VGG network with layers of LIF neurons for its nonlinearities.

    Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.

    Args:
        features: the convolutional part over time, as of `make_layers`, that ends with 512 maps.
        num_classes: outputs.
        init_weights: whether to set the first weights (He et al. 2015 for convolutions, N(0, 0.01²) for linear
            layers); if not, they are torch's.

    Returns:
        `forward(x)` takes [T, B, 3, H, W] and gives one number a class and tick, [T, B, num_classes]. H and W are
        at least 32 for the published configurations. Every call starts at rest.

    Raises:
        ValueError: if x has not five dimensions.

    Example:
        >>> with torch.device("meta"):  # shapes alone: its linear layers have 10⁸ weights
        ...     tiny = VGG(make_layers([8, "M", 512, "M"]), num_classes=10)
        ...     tiny(torch.empty(2, 1, 3, 32, 32)).shape
        torch.Size([2, 1, 10])
    """

    def __init__(self, features: torch.nn.Module, num_classes: int = 1000, init_weights: bool = True) -> None:
        super().__init__()
        self.features = features
        self.avgpool = Lift(torch.nn.AdaptiveAvgPool2d((MAP_SIZE, MAP_SIZE)))
        self.classifier = SequentialState(
            Lift(torch.nn.Linear(512 * MAP_SIZE**2, HIDDEN)),
            LIF(),
            Lift(torch.nn.Dropout()),
            Lift(torch.nn.Linear(HIDDEN, HIDDEN)),
            LIF(),
            Lift(torch.nn.Dropout()),
            Lift(torch.nn.Linear(HIDDEN, num_classes)),
        )
        if init_weights:
            initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, 3, H, W] -> [T, B, num_classes]."""
        if x.dim() != 5:
            raise ValueError(f"{type(self).__name__}: argument x: expects shape [T, B, C, H, W], got {list(x.shape)}")
        maps = self.features(x)
        if isinstance(maps, tuple):  # with the neurons' states
            maps = maps[0]
        return self.classifier(self.avgpool(maps).flatten(2))[0]  # type: ignore[no-any-return]


def make_layers(cfg: Layers, batch_norm: bool = False) -> SequentialState:
    """The convolutional part of a VGG network, over time.

    Args:
        cfg: from the input on, the number of maps of each 3 x 3 convolution with padding 1, and "M" for max pooling
            by 2.
        batch_norm: whether to normalise between convolution and neurons.

    Returns:
        The layers, each convolution followed by LIF neurons, [T, B, 3, H, W] -> ([T, B, C, H', W'], states).

    Raises:
        ValueError: if an entry is something else.

    Example:
        >>> [type(getattr(layer, "lifted_module", layer)).__name__ for layer in make_layers([8, "M"])]
        ['Conv2d', 'LIF', 'MaxPool2d']
    """
    layers: list[torch.nn.Module] = []
    channels = 3
    for entry in cfg:
        if entry == "M":
            layers.append(Lift(torch.nn.MaxPool2d(2)))
        elif isinstance(entry, int) and entry > 0:
            layers.append(Lift(torch.nn.Conv2d(channels, entry, 3, padding=1)))
            if batch_norm:
                layers.append(Lift(torch.nn.BatchNorm2d(entry)))
            layers.append(LIF())
            channels = entry
        else:
            raise ValueError(f'make_layers: argument cfg: expects numbers of maps and "M", got {entry!r}')
    return SequentialState(*layers)


def _vgg(name: str, cfg: str, batch_norm: bool, pretrained: bool, **kwargs: Any) -> VGG:
    refuse_pretrained(name, pretrained)
    return VGG(make_layers(CONFIGURATIONS[cfg], batch_norm), **kwargs)


def vgg11(pretrained: bool = False, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-11 of spiking neurons: configuration A of the paper. See `VGG`.

    Args:
        pretrained: must be False: there are no trained weights to download.
        progress: has no meaning without a download.
        kwargs: num_classes and init_weights, as in `VGG`.

    Returns:
        The network.

    Raises:
        ValueError: if pretrained.

    Example:
        >>> with torch.device("meta"):
        ...     model = vgg11(num_classes=10)
        >>> model.classifier[-1].lifted_module.out_features
        10
    """
    return _vgg("vgg11", "A", False, pretrained, **kwargs)


def vgg11_bn(pretrained: bool = False, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-11 with batch normalisation of spiking neurons: configuration A of the paper. See `VGG`.

    Args:
        pretrained: must be False: there are no trained weights to download.
        progress: has no meaning without a download.
        kwargs: num_classes and init_weights, as in `VGG`.

    Returns:
        The network.

    Raises:
        ValueError: if pretrained.

    Example:
        >>> with torch.device("meta"):
        ...     model = vgg11_bn(num_classes=10)
        >>> model.classifier[-1].lifted_module.out_features
        10
    """
    return _vgg("vgg11_bn", "A", True, pretrained, **kwargs)


def vgg13(pretrained: bool = False, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-13 of spiking neurons: configuration B of the paper. See `VGG`.

    Args:
        pretrained: must be False: there are no trained weights to download.
        progress: has no meaning without a download.
        kwargs: num_classes and init_weights, as in `VGG`.

    Returns:
        The network.

    Raises:
        ValueError: if pretrained.

    Example:
        >>> with torch.device("meta"):
        ...     model = vgg13(num_classes=10)
        >>> model.classifier[-1].lifted_module.out_features
        10
    """
    return _vgg("vgg13", "B", False, pretrained, **kwargs)


def vgg13_bn(pretrained: bool = False, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-13 with batch normalisation of spiking neurons: configuration B of the paper. See `VGG`.

    Args:
        pretrained: must be False: there are no trained weights to download.
        progress: has no meaning without a download.
        kwargs: num_classes and init_weights, as in `VGG`.

    Returns:
        The network.

    Raises:
        ValueError: if pretrained.

    Example:
        >>> with torch.device("meta"):
        ...     model = vgg13_bn(num_classes=10)
        >>> model.classifier[-1].lifted_module.out_features
        10
    """
    return _vgg("vgg13_bn", "B", True, pretrained, **kwargs)


def vgg16(pretrained: bool = False, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-16 of spiking neurons: configuration D of the paper. See `VGG`.

    Args:
        pretrained: must be False: there are no trained weights to download.
        progress: has no meaning without a download.
        kwargs: num_classes and init_weights, as in `VGG`.

    Returns:
        The network.

    Raises:
        ValueError: if pretrained.

    Example:
        >>> with torch.device("meta"):
        ...     model = vgg16(num_classes=10)
        >>> model.classifier[-1].lifted_module.out_features
        10
    """
    return _vgg("vgg16", "D", False, pretrained, **kwargs)


def vgg16_bn(pretrained: bool = False, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-16 with batch normalisation of spiking neurons: configuration D of the paper. See `VGG`.

    Args:
        pretrained: must be False: there are no trained weights to download.
        progress: has no meaning without a download.
        kwargs: num_classes and init_weights, as in `VGG`.

    Returns:
        The network.

    Raises:
        ValueError: if pretrained.

    Example:
        >>> with torch.device("meta"):
        ...     model = vgg16_bn(num_classes=10)
        >>> model.classifier[-1].lifted_module.out_features
        10
    """
    return _vgg("vgg16_bn", "D", True, pretrained, **kwargs)


def vgg19(pretrained: bool = False, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-19 of spiking neurons: configuration E of the paper. See `VGG`.

    Args:
        pretrained: must be False: there are no trained weights to download.
        progress: has no meaning without a download.
        kwargs: num_classes and init_weights, as in `VGG`.

    Returns:
        The network.

    Raises:
        ValueError: if pretrained.

    Example:
        >>> with torch.device("meta"):
        ...     model = vgg19(num_classes=10)
        >>> model.classifier[-1].lifted_module.out_features
        10
    """
    return _vgg("vgg19", "E", False, pretrained, **kwargs)


def vgg19_bn(pretrained: bool = False, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-19 with batch normalisation of spiking neurons: configuration E of the paper. See `VGG`.

    Args:
        pretrained: must be False: there are no trained weights to download.
        progress: has no meaning without a download.
        kwargs: num_classes and init_weights, as in `VGG`.

    Returns:
        The network.

    Raises:
        ValueError: if pretrained.

    Example:
        >>> with torch.device("meta"):
        ...     model = vgg19_bn(num_classes=10)
        >>> model.classifier[-1].lifted_module.out_features
        10
    """
    return _vgg("vgg19_bn", "E", True, pretrained, **kwargs)
