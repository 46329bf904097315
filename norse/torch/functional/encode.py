"""Encoders: from values to spikes."""

import operator
from collections.abc import Callable
from functools import partial
from typing import SupportsIndex

import torch
from torch import Tensor

from norse.torch.functional.lif import LIF_DEFAULTS, LIFParameters, lif_current_encoder
from norse.torch.functional.lift import over_time


def gaussian_rbf(tensor: Tensor, sigma: float = 1) -> Tensor:
    """Gaussian radial basis function of squared distances: exp(-d / (2σ²)).

    Source: D. Broomhead, D. Lowe, "Multivariable functional interpolation and adaptive networks", Complex Systems 2
    (1988).

    Args:
        tensor: d, squared distances, of any shape.
        sigma: σ, the width, in the unit of √d.

    Returns:
        Values in 0..1, in the shape of d.

    Example:
        >>> gaussian_rbf(torch.tensor([0.0, 2.0]))
        tensor([1.0000, 0.3679])
    """
    return torch.exp(-tensor / (2 * sigma**2))


def euclidean_distance(x: Tensor, y: Tensor) -> Tensor:
    """Squared distance of numbers: (x - y)².

    Args:
        x: a tensor of any shape.
        y: a tensor that broadcasts with x.

    Returns:
        The squared distances, in the shape that x and y broadcast to.

    Example:
        >>> euclidean_distance(torch.tensor([0.0, 5.0]), torch.tensor(3.0))
        tensor([9., 4.])
    """
    return (x - y) ** 2


def population_encode(
    input_values: Tensor,
    out_features: int,
    scale: float | Tensor | None = None,
    kernel: Callable[[Tensor], Tensor] = gaussian_rbf,
    distance_function: Callable[[Tensor, Tensor], Tensor] = euclidean_distance,
) -> Tensor:
    """Encodes each value in the activities of a population, whose members prefer values between 0 and s.

    aₖ = kernel(s · distance(x, cₖ)) with the centres cₖ = k s / (n - 1), k = 0..n-1

    Source: A. Georgopoulos, A. Schwartz, R. Kettner, "Neuronal population coding of movement direction", Science 233
    (1986).

    Args:
        input_values: x, [B, N] or any shape, in 0..s.
        out_features: n, the size of the population.
        scale: s, a number or a tensor of one number; None or 0 means the largest of the input values.
        kernel: the activity at a distance.
        distance_function: the distance between values and centres, which are broadcast.

    Returns:
        Activities, [B, N, n].

    Raises:
        ValueError: if n < 1, or the scale is not one number.

    Example:
        >>> population_encode(torch.tensor([0.0, 1.0]), 3)
        tensor([[1.0000, 0.8825, 0.6065],
                [0.6065, 0.8825, 1.0000]])
    """
    if out_features < 1:
        raise ValueError(f"population_encode: argument out_features: expects at least 1, got {out_features}")
    if isinstance(scale, Tensor):
        if scale.dim():
            raise ValueError(f"population_encode: argument scale: expects one number, got shape {list(scale.shape)}")
        largest = torch.where(scale == 0, input_values.max(), scale)
    else:
        largest = torch.as_tensor(scale) if scale else input_values.max()
    dtype = _spike_dtype(input_values)  # a scale of 2.5 stays one for integer values
    largest = largest.to(device=input_values.device, dtype=dtype)
    positions = torch.linspace(0, 1, out_features, dtype=dtype, device=input_values.device)
    return kernel(distance_function(input_values.unsqueeze(-1), positions * largest) * largest)


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

    Raises:
        TypeError: if T is no whole number.
        ValueError: if T or f_max is negative, or dt not positive.

    Example:
        >>> poisson_encode(torch.tensor([0.0, 1.0]), seq_length=3, f_max=1000)
        tensor([[0., 1.],
                [0., 1.],
                [0., 1.]])
    """
    _check_length("poisson_encode", seq_length)
    return _drawn("poisson_encode", input_values, (seq_length, *input_values.shape), f_max, dt, generator)


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

    Raises:
        ValueError: if f_max is negative, or dt not positive.

    Example:
        >>> poisson_encode_step(torch.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """
    return _drawn("poisson_encode_step", input_values, input_values.shape, f_max, dt, generator)


def signed_poisson_encode(
    input_values: Tensor,
    seq_length: int,
    f_max: float = 100,
    dt: float = 0.001,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Spike trains with the sign of the input and a rate proportional to its size: z_t ~ sign(x) Bernoulli(dt f_max |x|).

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 7.3.

    Args:
        input_values: x, [B, N] or any shape, in -1..1.
        seq_length: T, the number of ticks.
        f_max: rate of |x| = 1, in Hz.
        dt: time step in s.
        generator: where the random numbers come from; None means torch's default one.

    Returns:
        Spikes, -1, 0 or 1, [T, B, N].

    Raises:
        TypeError: if T is no whole number.
        ValueError: if T or f_max is negative, or dt not positive.

    Example:
        >>> signed_poisson_encode(torch.tensor([0.0, 1.0, -1.0]), seq_length=2, f_max=1000)
        tensor([[ 0.,  1., -1.],
                [ 0.,  1., -1.]])
    """  # noqa: E501
    _check_length("signed_poisson_encode", seq_length)
    shape = (seq_length, *input_values.shape)
    return _with_sign(_drawn("signed_poisson_encode", input_values.abs(), shape, f_max, dt, generator), input_values)


def signed_poisson_encode_step(
    input_values: Tensor, f_max: float = 1000, dt: float = 0.001, generator: torch.Generator | None = None
) -> Tensor:
    """One tick of `signed_poisson_encode`: z ~ sign(x) Bernoulli(dt f_max |x|).

    Args:
        input_values: x, [B, N] or any shape, in -1..1.
        f_max: rate of |x| = 1, in Hz.
        dt: time step in s.
        generator: where the random numbers come from; None means torch's default one.

    Returns:
        Spikes, -1, 0 or 1, in the shape of x.

    Raises:
        ValueError: if f_max is negative, or dt not positive.

    Example:
        >>> signed_poisson_encode_step(torch.tensor([0.0, 1.0, -1.0]))
        tensor([ 0.,  1., -1.])
    """
    sizes = input_values.abs()
    return _with_sign(_drawn("signed_poisson_encode_step", sizes, sizes.shape, f_max, dt, generator), input_values)


def constant_current_lif_encode(
    input_current: Tensor, seq_length: int, p: LIFParameters = LIF_DEFAULTS, dt: float = 0.001
) -> Tensor:
    """The spikes of LIF neurons at a constant current, T ticks of `lif_current_encoder` from v = 0.

    With v_leak = v_reset = 0 a current x > v_th gives a spike every ⌊ln(1 - v_th / x) / ln(1 - dt τm⁻¹)⌋ + 1 ticks.

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3.

    Args:
        input_current: x, [B, N] or any shape.
        seq_length: T, the number of ticks.
        p: parameters; the synaptic time constant is not used.
        dt: time step, in the unit of the membrane time constant (s by default).

    Returns:
        Spikes, [T, B, N].

    Raises:
        TypeError: if T is no whole number.
        ValueError: if T is negative, or dt not positive.

    Example:
        >>> constant_current_lif_encode(torch.tensor([0.5, 6.0]), seq_length=4).T
        tensor([[0., 0., 0., 0.],
                [0., 1., 0., 1.]])
    """
    _check_length("constant_current_lif_encode", seq_length)
    _check_time_step("constant_current_lif_encode", dt)
    currents = input_current.to(_spike_dtype(input_current)).expand(seq_length, *input_current.shape)
    start = torch.zeros(input_current.shape, dtype=currents.dtype, device=currents.device)
    return over_time(partial(lif_current_encoder, p=p, dt=dt), currents, start)[0]


def spike_latency_encode(input_spikes: Tensor) -> Tensor:
    """Keeps the first spike of each train and drops all later ones, so that only its time says something.

    The gradient passes up to the first spike: there a spike would be kept, later it would not.

    Source: S. Thorpe, D. Fize, C. Marlot, "Speed of processing in the human visual system", Nature 381 (1996).

    Args:
        input_spikes: spikes, [T, B, N]; whatever is not 0 is one.

    Returns:
        Spikes, [T, B, N], at most one over time.

    Example:
        >>> spike_latency_encode(torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))
        tensor([[0., 1.],
                [1., 0.],
                [0., 0.]])
    """
    spiked = (input_spikes != 0).long()
    none_before = spiked.cumsum(0) == spiked
    return torch.where(none_before, input_spikes, torch.zeros_like(input_spikes))


def spike_latency_lif_encode(
    input_current: Tensor, seq_length: int, p: LIFParameters = LIF_DEFAULTS, dt: float = 0.001
) -> Tensor:
    """The first spike of LIF neurons at a constant current: the larger the current, the earlier the spike.

    `spike_latency_encode` of `constant_current_lif_encode`. With v_leak = 0 the spike is in the tick
    ⌊ln(1 - v_th / x) / ln(1 - dt τm⁻¹)⌋ + 1, counted from 1.

    Source: W. Gerstner et al., "Neuronal Dynamics" (2014), ch. 1.3.

    Args:
        input_current: x, [B, N] or any shape.
        seq_length: T, the number of ticks.
        p: parameters; the synaptic time constant is not used.
        dt: time step, in the unit of the membrane time constant (s by default).

    Returns:
        Spikes, [T, B, N], at most one over time.

    Raises:
        TypeError: if T is no whole number.
        ValueError: if T is negative, or dt not positive.

    Example:
        >>> spike_latency_lif_encode(torch.tensor([0.5, 6.0]), seq_length=4).T
        tensor([[0., 0., 0., 0.],
                [0., 1., 0., 0.]])
    """
    return spike_latency_encode(constant_current_lif_encode(input_current, seq_length, p, dt))


def _drawn(
    caller: str, rates: Tensor, shape: tuple[int, ...], f_max: float, dt: float, generator: torch.Generator | None
) -> Tensor:
    _check_time_step(caller, dt)
    if f_max < 0:
        raise ValueError(f"{caller}: argument f_max: expects a rate in Hz that is not negative, got {f_max}")
    draws = torch.rand(shape, device=rates.device, generator=generator)
    return (draws < dt * f_max * rates).to(_spike_dtype(rates))


def _with_sign(spikes: Tensor, values: Tensor) -> Tensor:
    return torch.where(spikes == 0, spikes, values.detach().sign().to(spikes.dtype))


def _spike_dtype(values: Tensor) -> torch.dtype:
    return values.dtype if values.is_floating_point() else torch.get_default_dtype()


def _check_length(caller: str, seq_length: int) -> None:
    if not isinstance(seq_length, SupportsIndex):
        raise TypeError(f"{caller}: argument seq_length: expects a number of ticks, got {seq_length!r}")
    if operator.index(seq_length) < 0:
        raise ValueError(f"{caller}: argument seq_length: expects a number of ticks, got {seq_length}")


def _check_time_step(caller: str, dt: float) -> None:
    if not dt > 0:
        raise ValueError(f"{caller}: argument dt: expects a positive time step, got {dt}")
