"""Encoders as modules."""

import torch
from torch import Tensor

from norse.torch.functional.encode import poisson_encode, poisson_encode_step


class PoissonEncoder(torch.nn.Module):
    """Spike trains with a rate proportional to the input, [B, N] -> [T, B, N]; see `poisson_encode`.

    Args:
        seq_length: T, the number of ticks.
        f_max: rate of an input of 1, in Hz.
        dt: time step in s.

    Returns:
        `forward(x)` gives the spikes.

    Example:
        >>> PoissonEncoder(seq_length=100)(torch.rand(8, 3)).shape
        torch.Size([100, 8, 3])
    """

    def __init__(self, seq_length: int, f_max: float = 100, dt: float = 0.001) -> None:
        super().__init__()
        self.seq_length = seq_length
        self.f_max = f_max
        self.dt = dt

    def extra_repr(self) -> str:
        return f"seq_length={self.seq_length}, f_max={self.f_max}, dt={self.dt}"

    def forward(self, x: Tensor) -> Tensor:
        """Values in 0..1, [B, N] -> spikes, [T, B, N]."""
        return poisson_encode(x, self.seq_length, f_max=self.f_max, dt=self.dt)


class PoissonEncoderStep(torch.nn.Module):
    """One tick of spikes with a rate proportional to the input, [B, N] -> [B, N]; see `poisson_encode_step`.

    Args:
        f_max: rate of an input of 1, in Hz.
        dt: time step in s.

    Returns:
        `forward(x)` gives the spikes.

    Example:
        >>> PoissonEncoderStep()(torch.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """

    def __init__(self, f_max: float = 1000, dt: float = 0.001) -> None:
        super().__init__()
        self.f_max = f_max
        self.dt = dt

    def extra_repr(self) -> str:
        return f"f_max={self.f_max}, dt={self.dt}"

    def forward(self, x: Tensor) -> Tensor:
        """Values in 0..1, [B, N] -> spikes, [B, N]."""
        return poisson_encode_step(x, f_max=self.f_max, dt=self.dt)
