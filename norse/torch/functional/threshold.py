"""Spike functions: Heaviside or a Bernoulli draw forward, a smooth surrogate derivative backward."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from norse.torch.functional.heaviside import heaviside
from norse.torch.functional.superspike import super_fn
from norse.torch.functional.surrogate import Alpha, backward_of, save_input, spike


def heavi_erfc_grad(x: Tensor, alpha: Alpha, g: Tensor) -> Tensor:
    """g · 2 exp(-(αx)²) / √π."""
    return g * (2.0 * torch.exp(-((alpha * x) ** 2)) / math.sqrt(math.pi))


def heavi_tanh_grad(x: Tensor, alpha: Alpha, g: Tensor) -> Tensor:
    """g · (1 - tanh²(αx))."""
    return g * (1.0 - torch.tanh(alpha * x) ** 2)


def heavi_circ_grad(x: Tensor, alpha: Alpha, g: Tensor) -> Tensor:
    """2αg · (-x² / (2(α² + x²)^1.5) + 1 / (2(α² + x²)^0.5))."""
    radius2 = alpha**2 + x**2
    return 2.0 * alpha * g * (-(x**2) / (2.0 * radius2**1.5) + 1.0 / (2.0 * radius2**0.5))


def triangle_grad(x: Tensor, alpha: Alpha, g: Tensor) -> Tensor:
    """g · α · relu(1 - |x|)."""
    return g * alpha * torch.relu(1.0 - torch.abs(x))


def _bernoulli_tanh(x: Tensor, alpha: Alpha) -> Tensor:
    return torch.bernoulli(0.5 + 0.5 * torch.tanh(alpha * x))


def _bernoulli_circ(x: Tensor, alpha: Alpha) -> Tensor:
    return torch.bernoulli(0.5 + 0.5 * (x / torch.sqrt(x**2 + alpha**2)))


class HeaviErfc(torch.autograd.Function):
    """Heaviside forward, g · 2 exp(-(kx)²) / √π backward."""

    generate_vmap_rule = True
    forward = staticmethod(spike)
    setup_context = staticmethod(save_input)
    backward = staticmethod(backward_of(heavi_erfc_grad))


class HeaviTanh(torch.autograd.Function):
    """Heaviside forward, g · (1 - tanh²(kx)) backward."""

    generate_vmap_rule = True
    forward = staticmethod(spike)
    setup_context = staticmethod(save_input)
    backward = staticmethod(backward_of(heavi_tanh_grad))


class HeaviCirc(torch.autograd.Function):
    """Heaviside forward, the derivative of a circle-like sigmoid, x / √(x² + k²), backward."""

    generate_vmap_rule = True
    forward = staticmethod(spike)
    setup_context = staticmethod(save_input)
    backward = staticmethod(backward_of(heavi_circ_grad))


class Triangle(torch.autograd.Function):
    """Heaviside forward, g · α · relu(1 - |x|) backward (Bellec et al., arXiv:1803.09574, eq. 5)."""

    generate_vmap_rule = True
    forward = staticmethod(spike)
    setup_context = staticmethod(save_input)
    backward = staticmethod(backward_of(triangle_grad))


class Logistic(torch.autograd.Function):
    """A draw from Bernoulli(½ + ½ tanh(kx)) forward, g · (1 - tanh²(kx)) backward."""

    generate_vmap_rule = True
    forward = staticmethod(_bernoulli_tanh)
    setup_context = staticmethod(save_input)
    backward = staticmethod(backward_of(heavi_tanh_grad))


class CircDist(torch.autograd.Function):
    """A draw from Bernoulli(½ + ½ x/√(x² + k²)) forward, as HeaviCirc backward."""

    generate_vmap_rule = True
    forward = staticmethod(_bernoulli_circ)
    setup_context = staticmethod(save_input)
    backward = staticmethod(backward_of(heavi_circ_grad))


def heavi_erfc_fn(x: Tensor, k: Alpha) -> Tensor:
    """z = Θ(x), with the derivative of the error function, dz/dx = 2 exp(-(kx)²) / √π, as a surrogate.

    Args:
        x: distance to the threshold, of any shape.
        k: sharpness.

    Returns:
        Spikes, 0 or 1, in the shape and dtype of x.

    Example:
        >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
        >>> heavi_erfc_fn(x, 1.0).sum().backward()
        >>> x.grad
        tensor([1.1284, 0.4151])
    """
    return HeaviErfc.apply(x, k)  # type: ignore[no-any-return, no-untyped-call]


def heavi_tanh_fn(x: Tensor, k: Alpha) -> Tensor:
    """z = Θ(x), with the derivative dz/dx = 1 - tanh²(kx) as a surrogate.

    Args:
        x: distance to the threshold, of any shape.
        k: sharpness.

    Returns:
        Spikes, 0 or 1, in the shape and dtype of x.

    Example:
        >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
        >>> heavi_tanh_fn(x, 1.0).sum().backward()
        >>> x.grad
        tensor([1.0000, 0.4200])
    """
    return HeaviTanh.apply(x, k)  # type: ignore[no-any-return, no-untyped-call]


def logistic_fn(x: Tensor, k: Alpha) -> Tensor:
    """Stochastic spikes: z ~ Bernoulli(½ + ½ tanh(kx)), with dz/dx = 1 - tanh²(kx) as a surrogate.

    Args:
        x: distance to the threshold, of any shape.
        k: sharpness; the larger, the less random.

    Returns:
        Spikes, 0 or 1, in the shape and dtype of x.

    Example:
        >>> logistic_fn(torch.tensor([-100.0, 100.0]), 1.0)
        tensor([0., 1.])
    """
    return Logistic.apply(x, k)  # type: ignore[no-any-return, no-untyped-call]


def heavi_circ_fn(x: Tensor, k: Alpha) -> Tensor:
    """z = Θ(x), with dz/dx = 2k(-x² / (2(k² + x²)^1.5) + 1 / (2(k² + x²)^0.5)) as a surrogate.

    Args:
        x: distance to the threshold, of any shape.
        k: width of the surrogate, in the unit of x.

    Returns:
        Spikes, 0 or 1, in the shape and dtype of x.

    Example:
        >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
        >>> heavi_circ_fn(x, 1.0).sum().backward()
        >>> x.grad
        tensor([1.0000, 0.3536])
    """
    return HeaviCirc.apply(x, k)  # type: ignore[no-any-return, no-untyped-call]


def circ_dist_fn(x: Tensor, k: Alpha) -> Tensor:
    """Stochastic spikes: z ~ Bernoulli(½ + ½ x/√(x² + k²)), with the surrogate of `heavi_circ_fn`.

    Args:
        x: distance to the threshold, of any shape.
        k: width of the distribution, in the unit of x.

    Returns:
        Spikes, 0 or 1, in the shape and dtype of x.

    Example:
        >>> circ_dist_fn(torch.tensor([-1e9, 1e9]), 0.01)
        tensor([0., 1.])
    """
    return CircDist.apply(x, k)  # type: ignore[no-any-return, no-untyped-call]


def triangle_fn(x: Tensor, alpha: Alpha = 0.3) -> Tensor:
    """z = Θ(x), with the triangle dz/dx = α · relu(1 - |x|) as a surrogate.

    Source: G. Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons",
    arXiv:1803.09574, eq. 5.

    Args:
        x: distance to the threshold, of any shape.
        alpha: height of the triangle.

    Returns:
        Spikes, 0 or 1, in the shape and dtype of x.

    Example:
        >>> x = torch.tensor([0.0, 0.5, 2.0], requires_grad=True)
        >>> triangle_fn(x).sum().backward()
        >>> x.grad
        tensor([0.3000, 0.1500, 0.0000])
    """
    return Triangle.apply(x, alpha)  # type: ignore[no-any-return, no-untyped-call]


def _heaviside_fn(x: Tensor, alpha: Alpha) -> Tensor:
    return heaviside(x)


METHODS: dict[str, Callable[[Tensor, Alpha], Tensor]] = {
    "super": super_fn,
    "heaviside": _heaviside_fn,
    "tanh": heavi_tanh_fn,
    "triangle": triangle_fn,
    "circ": heavi_circ_fn,
    "heavi_erfc": heavi_erfc_fn,
}
"""What a neuron's parameter `method` may be, and the spike function it means."""


def threshold(x: Tensor, method: str, alpha: Alpha) -> Tensor:
    """z = Θ(x) with the surrogate derivative called `method`.

    Args:
        x: distance to the threshold, v - v_th, of any shape.
        method: "super", "heaviside" (no derivative), "tanh", "triangle", "circ" or "heavi_erfc".
        alpha: the surrogate's sharpness, width or height; ignored by "heaviside".

    Returns:
        Spikes, 0 or 1, in the shape and dtype of x.

    Raises:
        ValueError: if no method has that name.

    Example:
        >>> threshold(torch.tensor([-1.0, 1.0]), "super", 100.0)
        tensor([0., 1.])
    """
    function = METHODS.get(method)
    if function is None:
        raise ValueError(f"threshold: unknown method {method!r}. Known methods: {', '.join(METHODS)}")
    return function(x, alpha)


def sign(x: Tensor, method: str, alpha: Alpha) -> Tensor:
    """The sign of x, -1 or 1 (-1 at 0), with the surrogate derivative of `threshold`, doubled: 2 threshold(x) - 1.

    Args:
        x: tensor of any shape.
        method: as in `threshold`.
        alpha: as in `threshold`.

    Returns:
        -1 or 1 in the shape and dtype of x.

    Raises:
        ValueError: if no method has that name.

    Example:
        >>> sign(torch.tensor([-3.0, 0.0, 3.0]), "super", 100.0)
        tensor([-1., -1.,  1.])
    """
    return 2.0 * threshold(x, method, alpha) - 1.0
