"""What a spike does to the membrane potential."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class ResetMethod(Protocol):
    """A reset: `(z, v, reset, th) -> v'`, in plain torch arithmetic.

    Args:
        z: spikes, 0 or 1.
        v: membrane potential before the reset.
        reset: reset potential.
        th: threshold potential.
    """

    def __call__(self, z: Tensor, v: Tensor, reset: Tensor, th: Tensor, /) -> Tensor:
        """The membrane potential after the spikes."""
        ...


def reset_value(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """Sets the membrane to the reset potential where there is a spike: v' = (1 - z) v + z reset.

    Args:
        z: spikes, 0 or 1, [B, N] or any shape.
        v: membrane potential before the reset, broadcastable with z.
        reset: reset potential.
        th: threshold potential (not used here).

    Returns:
        The membrane potential after the reset.

    Example:
        >>> import torch
        >>> reset_value(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 1.5]), torch.tensor(0.0), torch.tensor(1.0))
        tensor([0.5000, 0.0000])
    """
    return (1 - z) * v + z * reset


def reset_subtract(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """Lowers the membrane by the threshold where there is a spike: v' = (1 - z) v + z (v - th).

    Args:
        z: spikes, 0 or 1, [B, N] or any shape.
        v: membrane potential before the reset, broadcastable with z.
        reset: reset potential (not used here).
        th: threshold potential.

    Returns:
        The membrane potential after the reset.

    Example:
        >>> import torch
        >>> reset_subtract(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 1.5]), torch.tensor(0.0), torch.tensor(1.0))
        tensor([0.5000, 0.5000])
    """
    return (1 - z) * v + z * (v - th)


def reset_subtract_bounded(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """Lowers the membrane by the threshold where there is a spike, and holds it at -th from below, as chips do.

    v' = max((1 - z) v + z (v - th), -th). Neurons without a leak would fall without end under inhibition; those of
    Sinabs, which places networks on Speck, don't.

    Args:
        z: spikes, 0 or 1, [B, N] or any shape.
        v: membrane potential before the reset, broadcastable with z.
        reset: reset potential (not used here).
        th: threshold potential, above 0.

    Returns:
        The membrane potential after the reset, at least -th.

    Example:
        >>> import torch
        >>> z, v = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([-5.0, 0.5, 1.5])
        >>> reset_subtract_bounded(z, v, torch.tensor(0.0), torch.tensor(1.0))
        tensor([-1.0000,  0.5000,  0.5000])
    """
    return torch.maximum(reset_subtract(z, v, reset, th), -th)


class DetachedReset(NamedTuple):
    """A reset through whose spikes no gradient flows.

    Args:
        reset: the reset that it does otherwise.

    Example:
        >>> import torch
        >>> z, v = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
        >>> DetachedReset(reset_subtract)(z, v, torch.tensor(0.0), torch.tensor(1.0)).backward()
        >>> z.grad, v.grad
        (None, tensor([1.]))
    """

    reset: ResetMethod

    def __call__(self, z: Tensor, v: Tensor, reset: Tensor, th: Tensor, /) -> Tensor:
        return self.reset(z.detach(), v, reset, th)
