"""MobileNetV2 of spiking neurons."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from norse.torch.models.initial import initialise, refuse_pretrained
from norse.torch.module.lif import LIF
from norse.torch.module.lift import Lift
from norse.torch.module.sequential import SequentialState

NormLayer = Callable[[int], torch.nn.Module]
FIRST_CHANNELS, LAST_CHANNELS = 32, 1280
# Table 2 of the paper: expansion t, channels c, repetitions n, stride s of the first of them.
BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class ConvBNReLU(SequentialState):
    """Convolution, normalisation and, for the ReLU of the paper, LIF neurons, over time.

    Args:
        in_planes: channels of the input.
        out_planes: channels of the output.
        norm_layer: makes the normalisation of so many channels.
        kernel_size: of the convolution, padded so that stride 1 keeps the size.
        stride: of the convolution.
        groups: of the convolution.

    Returns:
        `forward(input, state=None)` gives (spikes [T, B, out_planes, H / stride, W / stride], states).

    Example:
        >>> z, states = ConvBNReLU(3, 8, torch.nn.BatchNorm2d, stride=2)(torch.rand(4, 2, 3, 16, 16))
        >>> z.shape
        torch.Size([4, 2, 8, 8, 8])
    """

    def __init__(
        self,
        in_planes: int,
        out_planes: int,
        norm_layer: NormLayer,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        padding = (kernel_size - 1) // 2
        super().__init__(
            Lift(torch.nn.Conv2d(in_planes, out_planes, kernel_size, stride, padding, groups=groups, bias=False)),
            Lift(norm_layer(out_planes)),
            LIF(),
        )

    def forward(self, input: Tensor, state: list[Any] | None = None) -> tuple[Any, list[Any]]:
        """[T, B, in_planes, H, W] and states (or None) -> spikes and states."""
        return super().forward(input, state)


class InvertedResidual(torch.nn.Module):
    """The bottleneck of MobileNetV2: expansion, depthwise convolution, linear projection, and a shortcut.

    The shortcut adds the input where stride is 1 and the channels stay the same.

    Source: M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018, sec. 3.3.

    Args:
        inp: channels of the input.
        oup: channels of the output.
        stride: of the depthwise convolution, 1 or 2.
        expand_ratio: t, by how much the channels are expanded inside.
        norm_layer: makes the normalisation of so many channels.

    Returns:
        `forward(x)` gives [T, B, oup, H / stride, W / stride], currents rather than spikes. Every call starts at rest.

    Raises:
        ValueError: if the stride is another.

    Example:
        >>> InvertedResidual(8, 8, 1, 6, torch.nn.BatchNorm2d)(torch.rand(4, 2, 8, 16, 16)).shape
        torch.Size([4, 2, 8, 16, 16])
    """

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: float, norm_layer: NormLayer) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"{type(self).__name__}: argument stride: expects 1 or 2, got {stride}")
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        hidden = round(inp * expand_ratio)
        layers: list[torch.nn.Module] = []
        if expand_ratio != 1:
            layers.append(ConvBNReLU(inp, hidden, norm_layer, kernel_size=1))
        layers += [
            ConvBNReLU(hidden, hidden, norm_layer, stride=stride, groups=hidden),
            Lift(torch.nn.Conv2d(hidden, oup, 1, bias=False)),
            Lift(norm_layer(oup)),
        ]
        self.conv = SequentialState(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, inp, H, W] -> [T, B, oup, H / stride, W / stride]."""
        y: Tensor = self.conv(x)[0]
        return x + y if self.use_res_connect else y


class MobileNetV2(torch.nn.Module):
    """MobileNetV2 with layers of LIF neurons for its nonlinearities.

    Source: M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018, table 2.

    Args:
        num_classes: outputs.
        width_mult: multiplies the number of channels of every layer.
        inverted_residual_setting: rows (t, c, n, s): n blocks with expansion t and c channels, the first of them with
            stride s; None means those of the paper.
        round_nearest: numbers of channels are multiples of this.
        block: what makes a block, with the arguments of `InvertedResidual`, which is used for None.
        norm_layer: makes the normalisation of so many channels; None means BatchNorm2d.

    Returns:
        `forward(x)` takes [T, B, 3, H, W] and gives one number a class and tick, [T, B, num_classes]. Every call
        starts at rest.

    Raises:
        ValueError: if the setting is empty or its rows have not four numbers; if x has not five dimensions.

    Example:
        >>> tiny = MobileNetV2(num_classes=10, inverted_residual_setting=[(1, 8, 1, 1), (2, 16, 2, 2)])
        >>> tiny(torch.rand(2, 2, 3, 32, 32)).shape
        torch.Size([2, 2, 10])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        block: Callable[..., torch.nn.Module] | None = None,
        norm_layer: NormLayer | None = None,
    ) -> None:
        super().__init__()
        settings = BOTTLENECKS if inverted_residual_setting is None else inverted_residual_setting
        if len(settings) == 0 or any(len(row) != 4 for row in settings):
            raise ValueError(
                f"{type(self).__name__}: argument inverted_residual_setting: expects rows of four numbers (t, c, n, "
                f"s), got {settings}"
            )
        block = InvertedResidual if block is None else block
        norm_layer = torch.nn.BatchNorm2d if norm_layer is None else norm_layer
        channels = _divisible(FIRST_CHANNELS * width_mult, round_nearest)
        self.last_channel = _divisible(LAST_CHANNELS * max(1.0, width_mult), round_nearest)
        layers: list[torch.nn.Module] = [ConvBNReLU(3, channels, norm_layer, stride=2)]
        for expansion, width, repetitions, stride in settings:
            out = _divisible(width * width_mult, round_nearest)
            for index in range(repetitions):
                step = stride if index == 0 else 1
                layers.append(block(channels, out, step, expand_ratio=expansion, norm_layer=norm_layer))
                channels = out
        layers.append(ConvBNReLU(channels, self.last_channel, norm_layer, kernel_size=1))
        self.features = SequentialState(*layers)
        self.pool = Lift(torch.nn.AdaptiveAvgPool2d(1))
        self.classifier = torch.nn.Sequential(
            Lift(torch.nn.Dropout(0.2)), Lift(torch.nn.Linear(self.last_channel, num_classes))
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, 3, H, W] -> [T, B, num_classes]."""
        if x.dim() != 5:
            raise ValueError(f"{type(self).__name__}: argument x: expects shape [T, B, C, H, W], got {list(x.shape)}")
        z, _ = self.features(x)
        return self.classifier(self.pool(z).flatten(2))  # type: ignore[no-any-return]


def mobilenet_v2(pretrained: bool = False, progress: bool = True, **kwargs: Any) -> MobileNetV2:
    """MobileNetV2 of spiking neurons; see `MobileNetV2`.

    Args:
        pretrained: must be False: there are no trained weights to download.
        progress: has no meaning without a download.
        kwargs: as in `MobileNetV2`.

    Returns:
        The network.

    Raises:
        ValueError: if pretrained.

    Example:
        >>> with torch.device("meta"):
        ...     model = mobilenet_v2()
        >>> sum(p.numel() for p in model.parameters())
        3504872
    """
    refuse_pretrained("mobilenet_v2", pretrained)
    return MobileNetV2(**kwargs)


def _divisible(channels: float, divisor: int) -> int:
    """The nearest multiple of the divisor, at least one, but none that takes more than a tenth of the channels away."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor
