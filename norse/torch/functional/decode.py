"""Decoders: from spikes to values."""

from torch import Tensor


def sum_decode(tensor: Tensor, dimension: int = 0) -> Tensor:
    """Sums over time: how many spikes each neuron emitted, Σₜ zₜ.

    Args:
        tensor: spikes or potentials, [T, B, N].
        dimension: that of time.

    Returns:
        The sums, [B, N].

    Example:
        >>> import torch
        >>> sum_decode(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
        tensor([1., 2.])
    """
    return tensor.sum(dimension)
