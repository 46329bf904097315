"""SuperSpike: the default surrogate derivative, a fast sigmoid."""

import torch
from torch import Tensor

from norse.torch.functional.surrogate import Alpha, backward_of, save_input, spike


def super_grad(x: Tensor, alpha: Alpha, g: Tensor) -> Tensor:
    """g / (α|x| + 1)²."""
    return g / (alpha * torch.abs(x) + 1.0) ** 2


class SuperSpike(torch.autograd.Function):
    """Heaviside forward, g / (α|x| + 1)² backward (Zenke & Ganguli, SuperSpike, Neural Computation 30, 2018, eq. 2)."""

    generate_vmap_rule = True
    forward = staticmethod(spike)
    setup_context = staticmethod(save_input)
    backward = staticmethod(backward_of(super_grad))


def super_fn(x: Tensor, alpha: Alpha = 100.0) -> Tensor:
    """SuperSpike: z = Θ(x), with the surrogate derivative dz/dx = 1 / (α|x| + 1)².

    Source: F. Zenke, S. Ganguli, "SuperSpike", Neural Computation 30 (2018).

    Args:
        x: distance to the threshold, v - v_th, of any shape.
        alpha: sharpness of the surrogate, in 1/unit of x.

    Returns:
        Spikes, 0 or 1, in the shape and dtype of x.

    Example:
        >>> x = torch.tensor([-0.01, 0.01], requires_grad=True)
        >>> super_fn(x, 100.0).sum().backward()
        >>> x.grad
        tensor([0.2500, 0.2500])
    """
    return SuperSpike.apply(x, alpha)  # type: ignore[no-any-return, no-untyped-call]
