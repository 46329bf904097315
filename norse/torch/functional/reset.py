"""What a spike does to the membrane potential."""

from typing import Protocol

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


def reset_value_detached(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """`reset_value` through whose spikes no gradient flows."""
    return reset_value(z.detach(), v, reset, th)
