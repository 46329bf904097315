"""Synaptic delays: a signal arrives later, by a time that need not be a whole number of ticks and can be learnt."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from norse.torch.utils.pytree import StateTuple

# Closer to a whole tick than float32 can tell, relative to the delay: 0.003 s is 3 ticks of 0.001 s.
ROUNDING = 4 * torch.finfo(torch.float32).eps


class SynapseDelayParameters(NamedTuple):
    """Parameters of a delay.

    Args:
        delay: τ in s, a tensor that broadcasts with one tick's features, such as [N] or [C, 1, 1]; values outside of
            0..max_delay count as the nearer end.
        max_delay: the largest delay in s, for which the buffer is made.
        kernel: how a delay between two ticks is interpolated: "linear" or "gaussian".
        sigma: σ in s, the width of the gaussian kernel.

    Example:
        >>> SynapseDelayParameters(delay=torch.tensor([0.002, 0.0045]), max_delay=0.01).kernel
        'linear'
    """

    delay: Tensor
    max_delay: float
    kernel: str = "linear"
    sigma: Tensor | float | None = None


class SynapseDelayState(StateTuple):
    """State of a delay.

    Args:
        buffer: the last D inputs, oldest first, [D, B, N]; see `buffer_length`.
    """

    buffer: Tensor


def buffer_length(max_delay: float, dt: float = 0.001) -> int:
    """How many past inputs a delay needs: D = ⌈max_delay / dt⌉.

    Args:
        max_delay: the largest delay in s.
        dt: time step in s.

    Returns:
        D, in ticks.

    Example:
        >>> buffer_length(0.003), buffer_length(0.0031)
        (3, 4)
    """
    ticks = max_delay / dt
    return round(ticks) if math.isclose(ticks, round(ticks), rel_tol=ROUNDING) else math.ceil(ticks)


def synapse_delay_step(
    input_tensor: Tensor, state: SynapseDelayState, p: SynapseDelayParameters, dt: float = 0.001
) -> tuple[Tensor, SynapseDelayState]:
    """One tick of a delay: y_t = x_{t - τ/dt}, interpolated between ticks and zero before the first one.

    With δ = τ / dt and the inputs xₜ₋₀ (this tick's), ..., xₜ₋D (the buffer's oldest):

    linear: y = (1 - f) xₜ₋ₖ + f xₜ₋ₖ₋₁ with k = ⌊δ⌋, f = δ - k (k = D - 1, f = 1 if δ = D)
    gaussian: y = Σ_d w_d xₜ₋d with w_d ∝ exp(-((d - δ) dt / σ)² / 2), Σ_d w_d = 1, d = 0..D

    Whole ticks are exact shifts (linear); a spike that falls between ticks arrives in parts that sum to one. The
    delay's gradient is that of these equations. Linear, only inputs in the two neighbouring ticks contribute to
    it; gaussian, those within some σ do, so that a spike is found from afar: start wide, and let σ shrink to about
    half a tick while the delays are learnt. A delay that was pushed out of 0..max_delay gets only gradients that lead
    back into it.

    Source: I. Hammouamri, I. Khalfaoui-Hassani, T. Masquelier, "Learning Delays in Spiking Neural Networks using
    Dilated Convolutions with Learnable Spacings", ICLR 2024.

    Args:
        input_tensor: x, [B, N] or any shape that the delay broadcasts with.
        state: the buffer of the last inputs, [D, B, N].
        p: parameters.
        dt: time step in s.

    Returns:
        The delayed input in the shape of x, and the new state.

    Raises:
        ValueError: if the kernel is unknown, the delay doesn't broadcast with x, or the buffer has another shape.

    Example:
        >>> p = SynapseDelayParameters(delay=torch.tensor([0.0, 0.001, 0.0015]), max_delay=0.002)
        >>> state = SynapseDelayState(torch.zeros(2, 3))
        >>> y, state = synapse_delay_step(torch.ones(3), state, p)
        >>> y, state = synapse_delay_step(torch.zeros(3), state, p)
        >>> y
        tensor([0.0000, 1.0000, 0.5000])
    """
    output, history = _delayed(input_tensor.unsqueeze(0), state, p, dt)
    return output.squeeze(0), SynapseDelayState(history[1:])


def synapse_delay(
    input_tensor: Tensor, state: SynapseDelayState, p: SynapseDelayParameters, dt: float = 0.001
) -> tuple[Tensor, SynapseDelayState]:
    """`synapse_delay_step` over a sequence, all ticks at once.

    Args:
        input_tensor: x, [T, B, N]; T may be shorter than the buffer, and 0.
        state: the buffer of the last inputs, [D, B, N].
        p: parameters.
        dt: time step in s.

    Returns:
        The delayed input, [T, B, N], and the last state.

    Raises:
        ValueError: if the kernel is unknown, the delay doesn't broadcast with one tick, or the buffer has another
            shape.

    Example:
        >>> p = SynapseDelayParameters(delay=torch.tensor([0.0, 0.001, 0.0015]), max_delay=0.002)
        >>> y, state = synapse_delay(torch.eye(4)[:, :1].expand(4, 3), SynapseDelayState(torch.zeros(2, 3)), p)
        >>> y
        tensor([[1.0000, 0.0000, 0.0000],
                [0.0000, 1.0000, 0.5000],
                [0.0000, 0.0000, 0.5000],
                [0.0000, 0.0000, 0.0000]])
    """
    output, history = _delayed(input_tensor, state, p, dt)
    # A copy, as a state is kept and saved: a view would keep the whole sequence with it.
    return output, SynapseDelayState(history[input_tensor.shape[0] :].clone())


def _delayed(x: Tensor, state: SynapseDelayState, p: SynapseDelayParameters, dt: float) -> tuple[Tensor, Tensor]:
    length, tick = buffer_length(p.max_delay, dt), x.shape[1:]
    interpolate = kernel_named(p.kernel)
    if not _expands(p.delay.shape, tick):
        raise ValueError(
            f"synapse_delay: argument p.delay: expects a shape that broadcasts with {list(tick)}, "
            f"got {list(p.delay.shape)}"
        )
    if state.buffer.shape[:1] != (length,) or not _expands(state.buffer.shape[1:], tick):
        raise ValueError(
            f"synapse_delay: argument state.buffer: expects the last {length} inputs (max_delay={p.max_delay} s, "
            f"dt={dt} s), {[length, *tick]}, got {list(state.buffer.shape)}"
        )
    history = torch.cat([state.buffer.expand(length, *tick), x])
    if x.numel() == 0:
        return x, history
    return interpolate(history, delay_in_ticks(p.delay, p.max_delay, dt), p, dt), history


def delay_in_ticks(delay: Tensor, max_delay: float, dt: float = 0.001) -> Tensor:
    """A delay in ticks: δ = τ / dt with τ in 0..max_delay, exact where it is a whole number but for rounding.

    The gradient is 1 / dt. Outside of 0..max_delay it is 0 for gradient descent that would lead further out.

    Args:
        delay: τ in s, of any shape.
        max_delay: the largest delay in s.
        dt: time step in s.

    Returns:
        δ, in the shape of the delay.

    Example:
        >>> delay_in_ticks(torch.tensor([-0.001, 0.0015, 0.003, 0.02]), max_delay=0.01)
        tensor([ 0.0000,  1.5000,  3.0000, 10.0000])
    """
    ticks: Tensor = _WithinReach.apply(delay, max_delay) / dt  # type: ignore[no-untyped-call]
    whole = ticks.detach().round()
    off = whole - ticks.detach()
    rounding = max(ROUNDING, 4 * torch.finfo(ticks.dtype).eps)
    return ticks + torch.where(off.abs() <= rounding * whole, off, 0)


def _clamp_to_reach(delay: Tensor, max_delay: float) -> Tensor:
    return delay.clamp(0, max_delay)


def _save_delay(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.max_delay = inputs[1]


def _unless_it_leads_out(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
    (delay,) = ctx.saved_tensors
    out = ((delay < 0) & (grad_output > 0)) | ((delay > ctx.max_delay) & (grad_output < 0))
    return torch.where(out, 0, grad_output), None


class _WithinReach(torch.autograd.Function):
    """Clamps to 0..max_delay. Unlike torch.clamp it gives a value outside the gradient that leads back in."""

    generate_vmap_rule = True
    forward = staticmethod(_clamp_to_reach)
    setup_context = staticmethod(_save_delay)
    backward = staticmethod(_unless_it_leads_out)


def _linear(history: Tensor, ticks: Tensor, p: SynapseDelayParameters, dt: float) -> Tensor:
    length, tick = buffer_length(p.max_delay, dt), history.shape[1:]
    # δ = D is reached from below, as the older of its neighbours would be outside of the buffer.
    whole = ticks.detach().floor().clamp(max=length - 1)
    fraction = (ticks - whole).to(history.dtype)
    shift = length - whole.nan_to_num().long()  # a delay that is NaN gives NaN, not an index outside of the history
    time = torch.arange(-1, history.shape[0] - length, device=history.device).view(-1, *(1,) * len(tick))
    arriving = history.gather(0, (time + shift).expand(-1, *tick))
    return (1 - fraction) * arriving[1:] + fraction * arriving[:-1]


def _gaussian(history: Tensor, ticks: Tensor, p: SynapseDelayParameters, dt: float) -> Tensor:
    length, tick = buffer_length(p.max_delay, dt), history.shape[1:]
    if p.sigma is None:
        raise ValueError("synapse_delay: argument p.sigma: expects the width of the gaussian kernel in s, got None")
    past = torch.arange(length, -1, -1, dtype=ticks.dtype, device=ticks.device)  # oldest first, as the history
    distance = (past - ticks.unsqueeze(-1)) / (torch.as_tensor(p.sigma).to(ticks) / dt)
    weights = torch.softmax(-0.5 * distance**2, dim=-1).to(history.dtype)
    # A depthwise convolution over time: dimensions with a delay of their own are its channels, all others its batch.
    shape = (1,) * (len(tick) - ticks.dim()) + tuple(ticks.shape)
    channels = [d for d, size in enumerate(shape) if size != 1]
    batch = [d for d, size in enumerate(shape) if size == 1]
    order = [d + 1 for d in (*batch, *channels)] + [0]
    moved = history.permute(order)
    rows = moved.reshape(math.prod([tick[d] for d in batch]), math.prod([tick[d] for d in channels]), -1)
    delayed = torch.nn.functional.conv1d(rows, weights.reshape(-1, 1, length + 1), groups=rows.shape[1])
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return delayed.reshape(*moved.shape[:-1], -1).permute(inverse)


_KERNELS: dict[str, Callable[[Tensor, Tensor, SynapseDelayParameters, float], Tensor]] = {
    "linear": _linear,
    "gaussian": _gaussian,
}


def kernel_named(name: str) -> Callable[[Tensor, Tensor, SynapseDelayParameters, float], Tensor]:
    """The function that interpolates between ticks.

    Args:
        name: "linear" or "gaussian".

    Returns:
        `(history [D + T, B, N], delay in ticks, p, dt) -> output [T, B, N]`.

    Raises:
        ValueError: if there is no kernel of this name.

    Example:
        >>> kernel_named("cubic")
        Traceback (most recent call last):
        ValueError: SynapseDelay: argument kernel: expects 'linear' or 'gaussian', got 'cubic'
    """
    if name not in _KERNELS:
        raise ValueError(f"SynapseDelay: argument kernel: expects {' or '.join(map(repr, _KERNELS))}, got {name!r}")
    return _KERNELS[name]


def _expands(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return len(shape) <= len(target) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(target), strict=False)
    )
