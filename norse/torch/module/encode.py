"""Encoders as modules."""

from collections.abc import Callable

import torch
from torch import Tensor

from norse.torch.functional.encode import (
    constant_current_lif_encode,
    euclidean_distance,
    gaussian_rbf,
    poisson_encode,
    poisson_encode_step,
    population_encode,
    signed_poisson_encode,
    signed_poisson_encode_step,
    spike_latency_encode,
    spike_latency_lif_encode,
)
from norse.torch.functional.lif import LIF_DEFAULTS, LIFParameters
from norse.torch.module.parameters import HoldsParameters, shown


class _RateEncoder(torch.nn.Module):
    def __init__(self, seq_length: int, f_max: float = 100, dt: float = 0.001) -> None:
        super().__init__()
        self.seq_length = seq_length
        self.f_max = f_max
        self.dt = dt

    def extra_repr(self) -> str:
        return f"seq_length={self.seq_length}, f_max={self.f_max}, dt={self.dt}"


class _RateEncoderStep(torch.nn.Module):
    def __init__(self, f_max: float = 1000, dt: float = 0.001) -> None:
        super().__init__()
        self.f_max = f_max
        self.dt = dt

    def extra_repr(self) -> str:
        return f"f_max={self.f_max}, dt={self.dt}"


class _CurrentEncoder(HoldsParameters):
    def __init__(self, seq_length: int, p: LIFParameters = LIF_DEFAULTS, dt: float = 0.001) -> None:
        super().__init__()
        self.seq_length = seq_length
        self.p = p
        self.dt = dt

    def extra_repr(self) -> str:
        return f"seq_length={self.seq_length}, p={shown(self.p)}, dt={self.dt}"


class ConstantCurrentLIFEncoder(_CurrentEncoder):
    """The spikes of LIF neurons at a constant current, [B, N] -> [T, B, N]; see `constant_current_lif_encode`.

    Args:
        seq_length: T, the number of ticks.
        p: parameters (s⁻¹, dimensionless potentials).
        dt: time step in s.

    Returns:
        `forward(input_currents)` gives the spikes.

    Raises:
        ValueError: from forward, if T is negative, or dt not positive.

    Example:
        >>> ConstantCurrentLIFEncoder(seq_length=4)(torch.tensor([6.0])).T
        tensor([[0., 1., 0., 1.]])
    """

    def forward(self, input_currents: Tensor) -> Tensor:
        """Currents, [B, N] -> spikes, [T, B, N]."""
        return constant_current_lif_encode(input_currents, self.seq_length, self.p, self.dt)


class PoissonEncoder(_RateEncoder):
    """Spike trains with a rate proportional to the input, [B, N] -> [T, B, N]; see `poisson_encode`.

    Args:
        seq_length: T, the number of ticks.
        f_max: rate of an input of 1, in Hz.
        dt: time step in s.

    Returns:
        `forward(x)` gives the spikes.

    Raises:
        ValueError: from forward, if T or f_max is negative, or dt not positive.

    Example:
        >>> PoissonEncoder(seq_length=100)(torch.rand(8, 3)).shape
        torch.Size([100, 8, 3])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Values in 0..1, [B, N] -> spikes, [T, B, N]."""
        return poisson_encode(x, self.seq_length, f_max=self.f_max, dt=self.dt)


class PoissonEncoderStep(_RateEncoderStep):
    """One tick of spikes with a rate proportional to the input, [B, N] -> [B, N]; see `poisson_encode_step`.

    Args:
        f_max: rate of an input of 1, in Hz.
        dt: time step in s.

    Returns:
        `forward(x)` gives the spikes.

    Raises:
        ValueError: from forward, if f_max is negative, or dt not positive.

    Example:
        >>> PoissonEncoderStep()(torch.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Values in 0..1, [B, N] -> spikes, [B, N]."""
        return poisson_encode_step(x, f_max=self.f_max, dt=self.dt)


class PopulationEncoder(torch.nn.Module):
    """Each value in the activities of a population, [B, N] -> [B, N, n]; see `population_encode`.

    Args:
        out_features: n, the size of the population.
        scale: the largest preferred value; None or 0 means the largest of the input values.
        kernel: the activity at a distance.
        distance_function: the distance between values and centres.

    Returns:
        `forward(input_tensor)` gives the activities.

    Raises:
        ValueError: from forward, if n < 1, or the scale is not one number.

    Example:
        >>> PopulationEncoder(3)(torch.tensor([0.0, 1.0]))
        tensor([[1.0000, 0.8825, 0.6065],
                [0.6065, 0.8825, 1.0000]])
    """

    def __init__(
        self,
        out_features: int,
        scale: float | Tensor | None = None,
        kernel: Callable[[Tensor], Tensor] = gaussian_rbf,
        distance_function: Callable[[Tensor, Tensor], Tensor] = euclidean_distance,
    ) -> None:
        super().__init__()
        self.out_features = out_features
        self.scale = scale
        self.kernel = kernel
        self.distance_function = distance_function

    def extra_repr(self) -> str:
        return f"out_features={self.out_features}, scale={self.scale}"

    def forward(self, input_tensor: Tensor) -> Tensor:
        """Values, [B, N] -> activities, [B, N, n]."""
        return population_encode(input_tensor, self.out_features, self.scale, self.kernel, self.distance_function)


class SignedPoissonEncoder(_RateEncoder):
    """Spike trains with the sign of the input, [B, N] -> [T, B, N]; see `signed_poisson_encode`.

    Args:
        seq_length: T, the number of ticks.
        f_max: rate of an input of 1 or -1, in Hz.
        dt: time step in s.

    Returns:
        `forward(x)` gives the spikes, -1, 0 or 1.

    Raises:
        ValueError: from forward, if T or f_max is negative, or dt not positive.

    Example:
        >>> SignedPoissonEncoder(seq_length=2, f_max=1000)(torch.tensor([1.0, -1.0]))
        tensor([[ 1., -1.],
                [ 1., -1.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Values in -1..1, [B, N] -> spikes, [T, B, N]."""
        return signed_poisson_encode(x, self.seq_length, f_max=self.f_max, dt=self.dt)


class SignedPoissonEncoderStep(_RateEncoderStep):
    """One tick of spikes with the sign of the input, [B, N] -> [B, N]; see `signed_poisson_encode_step`.

    Args:
        f_max: rate of an input of 1 or -1, in Hz.
        dt: time step in s.

    Returns:
        `forward(x)` gives the spikes, -1, 0 or 1.

    Raises:
        ValueError: from forward, if f_max is negative, or dt not positive.

    Example:
        >>> SignedPoissonEncoderStep()(torch.tensor([0.0, -1.0]))
        tensor([ 0., -1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Values in -1..1, [B, N] -> spikes, [B, N]."""
        return signed_poisson_encode_step(x, f_max=self.f_max, dt=self.dt)


class SpikeLatencyLIFEncoder(_CurrentEncoder):
    """The first spike of LIF neurons at a constant current, [B, N] -> [T, B, N]; see `spike_latency_lif_encode`.

    Args:
        seq_length: T, the number of ticks.
        p: parameters (s⁻¹, dimensionless potentials).
        dt: time step in s.

    Returns:
        `forward(input_current)` gives the spikes.

    Raises:
        ValueError: from forward, if T is negative, or dt not positive.

    Example:
        >>> SpikeLatencyLIFEncoder(seq_length=4)(torch.tensor([6.0])).T
        tensor([[0., 1., 0., 0.]])
    """

    def forward(self, input_current: Tensor) -> Tensor:
        """Currents, [B, N] -> spikes, [T, B, N]."""
        return spike_latency_lif_encode(input_current, self.seq_length, self.p, self.dt)


class SpikeLatencyEncoder(torch.nn.Module):
    """Keeps the first spike of each train, [T, B, N] -> [T, B, N]; see `spike_latency_encode`.

    Returns:
        `forward(input_spikes)` gives the spikes, at most one over time.

    Example:
        >>> SpikeLatencyEncoder()(torch.ones(3, 1)).T
        tensor([[1., 0., 0.]])
    """

    def forward(self, input_spikes: Tensor) -> Tensor:
        """Spikes, [T, B, N] -> the first ones, [T, B, N]."""
        return spike_latency_encode(input_spikes)
