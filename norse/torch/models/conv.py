"""Small convolutional networks of spiking neurons for images such as MNIST's."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lift import over_time
from norse.torch.module.leaky_integrator import LILinearCell
from norse.torch.module.lif import LIFCell

CLASSES = 10
KERNEL = 5
SECOND_GAIN = 10.0  # pooled spikes are few: their currents are raised, or the second layer stays silent
SMALLEST_IMAGE = 16  # leaves one pixel after two convolutions and poolings


class _SpikingConvNet(torch.nn.Module):
    """Convolution, LIF, pooling; again; a linear layer, LIF; a linear readout by leaky integrators."""

    def __init__(
        self,
        num_channels: int,
        feature_size: int,
        dtype: torch.dtype,
        widths: tuple[int, int, int],
        neurons: tuple[LIFParameters, LIFParameters, LIFParameters],
    ) -> None:
        super().__init__()
        if feature_size < SMALLEST_IMAGE:
            raise ValueError(
                f"{type(self).__name__}: argument feature_size: expects images of at least {SMALLEST_IMAGE} x "
                f"{SMALLEST_IMAGE} pixels, got {feature_size}"
            )
        first, second, hidden = widths
        self.feature_size = feature_size
        self.features = _after_convolution(_after_convolution(feature_size))  # height and width of the last maps
        self.dtype = dtype
        self.conv1 = torch.nn.Conv2d(num_channels, first, KERNEL, dtype=dtype)
        self.conv2 = torch.nn.Conv2d(first, second, KERNEL, dtype=dtype)
        self.fc1 = torch.nn.Linear(self.features**2 * second, hidden, dtype=dtype)
        self.lif0, self.lif1, self.lif2 = (LIFCell(p) for p in neurons)
        self.out = LILinearCell(hidden, CLASSES).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, H, W] -> the readout's membrane potentials, [T, B, 10]. Every call starts at rest."""
        if x.dim() != 5:
            raise ValueError(f"{type(self).__name__}: argument x: expects shape [T, B, C, H, W], got {list(x.shape)}")
        channels, *size = x.shape[2:]
        image = [self.conv1.in_channels, self.feature_size, self.feature_size]
        pixels = [_after_convolution(_after_convolution(length)) for length in size]
        if channels != image[0] or pixels != [self.features, self.features]:
            raise ValueError(
                f"{type(self).__name__}: argument x: expects images of shape {image} (num_channels, feature_size, "
                f"feature_size), got {list(x.shape[2:])}"
            )
        return over_time(self._tick, x, (None, None, None, None))[0]

    def _tick(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        s0, s1, s2, so = state
        z, s0 = self.lif0(self.conv1(x), s0)
        z, s1 = self.lif1(SECOND_GAIN * self.conv2(max_pool2d(z, 2)), s1)
        z, s2 = self.lif2(self.fc1(max_pool2d(z, 2).flatten(1)), s2)
        v, so = self.out(z, so)
        return v, (s0, s1, s2, so)


class ConvNet(_SpikingConvNet):
    """A spiking LeNet: two convolutions with 20 and 50 maps and pooling, 500 hidden neurons, 10 leaky integrators.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
    Proc. IEEE 86 (1998), with LIF neurons for its nonlinearities.

    Args:
        num_channels: channels of the input, such as 1 for grey images and 2 for events of two polarities.
        feature_size: height and width of the input in pixels.
        method: the neurons' surrogate derivative, see `norse.torch.functional.threshold.threshold`.
        dtype: of the weights, and so of the input.

    Returns:
        `forward(x)` takes [T, B, num_channels, feature_size, feature_size] and gives the readout's membrane
        potentials, [T, B, 10]. Every call starts at rest.

    Raises:
        ValueError: if feature_size is below 16; if x has not five dimensions, or images of another shape.

    Example:
        >>> ConvNet()(torch.rand(3, 2, 1, 28, 28)).shape
        torch.Size([3, 2, 10])
    """

    def __init__(
        self,
        num_channels: int = 1,
        feature_size: int = 28,
        method: str = "super",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        p = LIFParameters(method=method)
        super().__init__(num_channels, feature_size, dtype, (20, 50, 500), (p, p, p))


class ConvNet4(_SpikingConvNet):
    """The wider `ConvNet`: 32 and 64 maps, 1024 hidden neurons, and a threshold of 0.7 behind the convolutions.

    Args:
        num_channels: as in `ConvNet`.
        feature_size: as in `ConvNet`.
        method: as in `ConvNet`.
        dtype: as in `ConvNet`.

    Returns:
        As `ConvNet`.

    Raises:
        ValueError: as `ConvNet`.

    Example:
        >>> ConvNet4(num_channels=2, feature_size=34)(torch.rand(3, 2, 2, 34, 34)).shape
        torch.Size([3, 2, 10])
    """

    def __init__(
        self,
        num_channels: int = 1,
        feature_size: int = 28,
        method: str = "super",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        low, p = LIFParameters(method=method, v_th=torch.tensor(0.7)), LIFParameters(method=method)
        super().__init__(num_channels, feature_size, dtype, (32, 64, 1024), (low, low, p))


def _after_convolution(size: int) -> int:
    """Pixels on a side after a convolution without padding and a pooling by 2."""
    return (size - KERNEL + 1) // 2
