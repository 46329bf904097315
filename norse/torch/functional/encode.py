"""Encoders: from values to spikes."""

import torch
from torch import Tensor


def _as_spikes(spikes: Tensor, values: Tensor) -> Tensor:
    return spikes.to(values.dtype if values.is_floating_point() else torch.get_default_dtype())


def poisson_encode(
    input_values: Tensor,
    seq_length: int,
    f_max: float = 100,
    dt: float = 0.001,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Spike trains with a rate proportional to the input: z_t ~ Bernoulli(dt f_max x).

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 7.3.

    Args:
        input_values: x, [B, N] or any shape, in 0..1.
        seq_length: T, the number of ticks.
        f_max: rate of x = 1, in Hz.
        dt: time step in s.
        generator: where the random numbers come from; None means torch's default one.

    Returns:
        Spikes, [T, B, N].

    Example:
        >>> poisson_encode(torch.tensor([0.0, 1.0]), seq_length=3, f_max=1000)
        tensor([[0., 1.],
                [0., 1.],
                [0., 1.]])
    """
    draws = torch.rand(seq_length, *input_values.shape, device=input_values.device, generator=generator)
    return _as_spikes(draws < dt * f_max * input_values, input_values)


def poisson_encode_step(
    input_values: Tensor, f_max: float = 1000, dt: float = 0.001, generator: torch.Generator | None = None
) -> Tensor:
    """One tick of `poisson_encode`: z ~ Bernoulli(dt f_max x).

    Args:
        input_values: x, [B, N] or any shape, in 0..1.
        f_max: rate of x = 1, in Hz.
        dt: time step in s.
        generator: where the random numbers come from; None means torch's default one.

    Returns:
        Spikes in the shape of x.

    Example:
        >>> poisson_encode_step(torch.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """
    draws = torch.rand(input_values.shape, device=input_values.device, generator=generator)
    return _as_spikes(draws < dt * f_max * input_values, input_values)
