"""A convolution whose kernels are receptive fields, made of a few learnt quantities."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.receptive_field import receptive_fields

QUANTITIES = ("scales", "angles", "ratios", "x", "y")
POSITIVE = ("scales", "ratios")
CONVOLUTION = ("bias", "stride", "padding", "dilation")  # what conv2d takes besides the weights and groups


class ReceptiveFields2d(torch.nn.Module):
    """What all modules of spatial receptive fields are: a 2d convolution with kernels made of a table of quantities.

    The kernels of learnt quantities are made anew in every forward, so that they follow each step of an optimiser and
    every backward has its own graph; those of fixed quantities are made once. Where time matters, give several ticks
    at once, in the batch.

    A learnt quantity is an nn.Parameter; with optimize_log, scales and ratios are learnt as their logarithms, the
    parameters `log_scales` and `log_ratios`, so that they stay above 0. The attributes `scales`, `angles`, `ratios`,
    `x` and `y` are the quantities themselves in any case.

    Args:
        in_channels: C, number of input channels.
        size: number of pixels per side of a kernel, s.
        values: scales, angles, ratios, x and y, vectors.
        rows: the places in these vectors of every field's quantities, [n, 5].
        derivatives: every field's orders of derivation, n pairs (dx, dy).
        optimised: the quantities that are learnt.
        optimize_log: whether scales and ratios are learnt as logarithms.
        aggregate: True sums the input channels, False keeps them apart.
        domain: half the side of the square on which the fields are sampled.
        convolution: bias, stride, padding and dilation of `torch.nn.functional.conv2d`; a bias that is an nn.Parameter
            is learnt.

    Returns:
        `forward(x)` of x [B, C, H, W] gives [B, n, H', W'], or [B, C · n, H', W'] if not aggregated.

    Raises:
        ValueError: if scales or ratios are not above 0, in_channels or size too small, there is no field, or bias is no
            tensor of the right size.
        TypeError: if conv2d does not take the other arguments.

    Example:
        >>> one, rows = torch.tensor([1.0]), torch.zeros(1, 5, dtype=torch.int64)
        >>> fields = ReceptiveFields2d(1, 5, [one] * 5, rows, [(0, 0)], optimised=["scales"], optimize_log=True)
        >>> fields.scales, [name for name, _ in fields.named_parameters()]
        (tensor([1.], grad_fn=<ExpBackward0>), ['log_scales'])
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        values: Sequence[Tensor],
        rows: Tensor,
        derivatives: list[tuple[int, int]],
        optimised: Collection[str],
        optimize_log: bool,
        aggregate: bool = True,
        domain: float = 8,
        **convolution: Any,
    ) -> None:
        super().__init__()
        self._check(in_channels, size, values, derivatives, convolution)
        self.in_channels = in_channels
        self.size = size
        self.aggregate = aggregate
        self.domain = domain
        self.derivatives = derivatives
        self.out_channels = len(derivatives) * (1 if aggregate else in_channels)
        for name, value in zip(QUANTITIES, values, strict=True):
            value = value.detach().clone()
            if name not in optimised:
                self.register_buffer(name, value, persistent=False)
            elif optimize_log and name in POSITIVE:
                self.register_parameter(f"log_{name}", torch.nn.Parameter(value.log()))
            else:
                self.register_parameter(name, torch.nn.Parameter(value))
        self.register_buffer("rows", rows.to(values[0].device), persistent=False)
        self._register_bias(convolution.pop("bias", None))
        self.convolution = convolution
        self.register_buffer("fixed_kernels", None if optimised else self._kernels(), persistent=False)

    def __getattr__(self, name: str) -> Any:
        # Python asks here for what is not found: scales and ratios that are held as logarithms
        if name in POSITIVE:
            logarithm = getattr(self, f"log_{name}", None)
            if logarithm is not None:
                return logarithm.exp()
        return super().__getattr__(name)

    @property
    def rf_parameters(self) -> Tensor:
        """The fields' parameters as they are now: rows (scale, angle, ratio, x, y, dx, dy), [n, 7]."""
        shapes = self._shapes()
        return torch.cat([shapes, shapes.new_tensor(self.derivatives)], 1)

    @property
    def weights(self) -> Tensor:
        """The convolution's weights as they are now: [n, C, s, s]; not aggregated, block-diagonal [C · n, C, s, s]."""
        kernels = self._kernels()
        if self.aggregate:
            return self._aggregated(kernels)
        blocks = torch.eye(self.in_channels, dtype=kernels.dtype, device=kernels.device)
        return torch.einsum("cd,nij->cndij", blocks, kernels).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The fields' responses.

        Args:
            x: images, [B, C, H, W] or [C, H, W].

        Returns:
            [B, n, H', W'], or [B, C · n, H', W'] if not aggregated.

        Raises:
            ValueError: if x has another number of dimensions or channels.
        """
        if x.dim() not in (3, 4) or x.shape[-3] != self.in_channels:
            raise ValueError(
                f"{type(self).__name__}: argument x: expects [B, {self.in_channels}, H, W] or "
                f"[{self.in_channels}, H, W], got shape {list(x.shape)}"
            )
        kernels = self._kernels()
        if self.aggregate:
            return torch.nn.functional.conv2d(x, self._aggregated(kernels), self.bias, **self.convolution)
        # every channel is a group of its own: the block-diagonal weights without their zeros
        weights = kernels[:, None].repeat(self.in_channels, 1, 1, 1)
        return torch.nn.functional.conv2d(x, weights, self.bias, groups=self.in_channels, **self.convolution)

    def extra_repr(self) -> str:
        learnt = ", ".join(name for name, _ in self.named_parameters()) or "nothing"
        return (
            f"{self.in_channels}, {self.out_channels}, size={self.size}, aggregate={self.aggregate}, "
            f"domain={self.domain}, learns {learnt}"
        )

    def _shapes(self) -> Tensor:
        columns = zip(QUANTITIES, self.rows.unbind(1), strict=True)
        return torch.stack([getattr(self, name)[row] for name, row in columns], 1)

    def _kernels(self) -> Tensor:
        fixed = self._buffers.get("fixed_kernels")
        if fixed is not None:
            return fixed
        return receptive_fields(self._shapes(), self.derivatives, self.size, self.domain)

    def _aggregated(self, kernels: Tensor) -> Tensor:
        return kernels[:, None].expand(-1, self.in_channels, -1, -1)

    def _register_bias(self, bias: Tensor | None) -> None:
        if bias is not None and (not isinstance(bias, Tensor) or bias.shape != (self.out_channels,)):
            got = list(bias.shape) if isinstance(bias, Tensor) else repr(bias)
            raise ValueError(f"{type(self).__name__}: argument bias: expects a tensor [{self.out_channels}], got {got}")
        if isinstance(bias, torch.nn.Parameter):
            self.register_parameter("bias", bias)
        else:
            self.register_buffer("bias", bias, persistent=False)

    def _check(
        self,
        in_channels: int,
        size: int,
        values: Sequence[Tensor],
        derivatives: list[tuple[int, int]],
        convolution: dict[str, Any],
    ) -> None:
        name = type(self).__name__
        if in_channels < 1:
            raise ValueError(f"{name}: argument in_channels: expects at least 1, got {in_channels}")
        smallest = 2 if any(map(any, derivatives)) else 1
        if size < smallest:
            raise ValueError(f"{name}: argument size: expects at least {smallest} pixels per side, got {size}")
        if not derivatives:
            raise ValueError(f"{name}: expects at least one field, got none")
        for quantity, value in zip(QUANTITIES, values, strict=True):
            if quantity in POSITIVE and not bool((value > 0).all()):
                raise ValueError(f"{name}: argument {quantity}: expects numbers above 0, got {value.tolist()}")
        unknown = convolution.keys() - set(CONVOLUTION)
        if unknown:
            raise TypeError(f"{name}: expects of conv2d {', '.join(CONVOLUTION)}, got {', '.join(sorted(unknown))}")
