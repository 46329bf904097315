"""Steps that users might write, with derivatives of their own making."""

from typing import Any

import torch
from torch import Tensor

import norse.torch as snn


class TripleGradient(torch.autograd.Function):
    """A spike whose backward is odd on purpose: 3 g, whatever the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * 3


class SavesIntermediates(torch.autograd.Function):
    """A product of which forward keeps a value that is neither input nor output, and a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, gain: float) -> Tensor:
        root = torch.sqrt(torch.abs(x) + 1.0)
        ctx.save_for_backward(root, y)
        ctx.gain = gain
        return root * y * gain

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        root, y = ctx.saved_tensors
        return g * y / root, g * root * ctx.gain, None


class SetsUpItsContext(torch.autograd.Function):
    """The other style: forward without a ctx, which is filled afterwards, from the output too."""

    @staticmethod
    def forward(x: Tensor, sharpness: float) -> Tensor:
        return torch.relu(x) * sharpness

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        x, ctx.sharpness = inputs
        ctx.save_for_backward(x, output)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        x, out = ctx.saved_tensors
        return g * (out - x) * ctx.sharpness, None


class TwoOutputs(torch.autograd.Function):
    """Two results whose gradients cross over."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        return x * y, x - y

    @staticmethod
    def backward(ctx: Any, g: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        return h * x, g - 2.0 * h


def _integrated(x: Tensor, v: Tensor) -> Tensor:
    return v + 0.3 * (x - v)


def triple_gradient_step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    u = _integrated(x, v) * p
    z = TripleGradient.apply(u - 0.5)
    return z, u - z


def saves_intermediates_step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    u = SavesIntermediates.apply(_integrated(x, v), p * v, 0.7)
    return snn.super_fn(u - 0.2, 2.0), u


def sets_up_its_context_step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    u = SetsUpItsContext.apply(_integrated(x, v) * p, 1.5)
    return u, u - 0.1


def two_outputs_step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    product, difference = TwoOutputs.apply(x, v)
    return product * p, _integrated(difference, v)


def one_of_two_outputs_step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    return TwoOutputs.apply(x, v)[1] * p, v


def undetached_reset_step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    u = _integrated(x, v)
    z = snn.super_fn(u - p, 2.0)
    return z, u * (1 - z)


def detached_reset_step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    u = _integrated(x, v)
    z = snn.super_fn(u - p, 2.0)
    return z, u * (1 - z.detach())


USER_STEPS = (
    triple_gradient_step,
    saves_intermediates_step,
    sets_up_its_context_step,
    two_outputs_step,
    one_of_two_outputs_step,
    undetached_reset_step,
    detached_reset_step,
)
