"""What every spike function is made of: a Heaviside forward and, backward, a surrogate derivative `grad(x, alpha, g)`.

A surrogate is declared as one plain torch function and three static methods put together:

    class MySpike(torch.autograd.Function):
        generate_vmap_rule = True
        forward = staticmethod(spike)
        setup_context = staticmethod(save_input)
        backward = staticmethod(backward_of(my_grad))
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

from norse.torch.functional.heaviside import heaviside

Alpha: TypeAlias = float | Tensor
SurrogateGradient: TypeAlias = Callable[[Tensor, Alpha, Tensor], Tensor]


def spike(x: Tensor, alpha: Alpha) -> Tensor:
    """1 where x > 0, else 0; the sharpness alpha matters only to the backward."""
    return heaviside(x)


def save_input(ctx: Any, inputs: tuple[Tensor, Alpha], output: Tensor) -> None:
    """Keeps what a surrogate derivative needs: the distance to the threshold and the sharpness."""
    x, alpha = inputs
    ctx.save_for_backward(x)
    ctx.alpha = alpha


def backward_of(grad: SurrogateGradient) -> Callable[..., Any]:
    """The backward of a spike function whose surrogate derivative is `grad(x, alpha, g)`."""

    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad(x, ctx.alpha, g), None

    return backward
