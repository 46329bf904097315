"""Convolutions over space at every tick."""

import torch
from torch import Tensor


class LConv2d(torch.nn.Conv3d):
    """A 2-d convolution at every tick, [T, B, C, H, W] -> [T, B, C', H', W'], without bias.

    It is a 3-d convolution whose kernel, [C', C/groups, kh, kw, 1], spans one tick.

    Args:
        in_channels: C.
        out_channels: C'.
        kernel_size: height and width of the kernel in pixels, or one number for both.
        stride: in pixels, for height and width or for both.
        padding: zeros on each side, in pixels, for height and width or for both.
        dilation: distance between kernel elements in pixels, for height and width or for both.
        groups: how many groups of channels are convolved on their own.
        device: that of the weight.
        dtype: that of the weight.

    Returns:
        `forward(input_tensor)` gives the convolved sequence.

    Raises:
        ValueError: if a size is neither a number nor a pair of numbers; if the input has not five dimensions.

    Example:
        >>> LConv2d(1, 8, kernel_size=5, padding=2)(torch.ones(10, 4, 1, 28, 28)).shape
        torch.Size([10, 4, 8, 28, 28])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=(*_pair("kernel_size", kernel_size), 1),
            stride=(*_pair("stride", stride), 1),
            padding=(*_pair("padding", padding), 0),
            dilation=(*_pair("dilation", dilation), 1),
            groups=groups,
            bias=False,
            device=device,
            dtype=dtype,
        )

    def forward(self, input_tensor: Tensor) -> Tensor:
        """[T, B, C, H, W] -> [T, B, C', H', W']."""
        if input_tensor.dim() != 5:
            raise ValueError(
                f"LConv2d: argument input_tensor: expects the dimensions [T, B, C, H, W], got shape "
                f"{list(input_tensor.shape)}"
            )
        # All ticks as one batch: torch's 2-d convolutions are faster than its 3-d ones.
        ticks = torch.nn.functional.conv2d(
            input_tensor.flatten(0, 1),
            self.weight.squeeze(-1),
            stride=self.stride[:2],
            padding=(int(self.padding[0]), int(self.padding[1])),
            dilation=self.dilation[:2],
            groups=self.groups,
        )
        return ticks.view(*input_tensor.shape[:2], *ticks.shape[1:])


def _pair(name: str, size: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, tuple | list) and len(size) == 2:
        return size[0], size[1]
    raise ValueError(f"LConv2d: argument {name}: expects a number or a pair of numbers, got {size!r}")
