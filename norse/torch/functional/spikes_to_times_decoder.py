"""From spike trains to the ticks of their first spikes, with a gradient."""

from typing import Any

import torch
from torch import Tensor


def _to_spike_ticks(spike_input: Tensor, spike_count: Tensor | int) -> Tensor:
    length = spike_input.shape[0]
    ticks = torch.arange(length, device=spike_input.device).view(-1, *(1,) * (spike_input.dim() - 1))
    # As integers, which are exact in every tick; bfloat16 isn't from the 257th on.
    ticks = torch.where(spike_input != 0, ticks, length)
    first = ticks.topk(min(int(spike_count), length), dim=0, largest=False).values
    dtype = spike_input.dtype if spike_input.is_floating_point() else torch.get_default_dtype()
    return torch.where(first < length, first.to(dtype), torch.inf)


def _save_spikes(ctx: Any, inputs: tuple[Tensor, Tensor | int], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


def _to_spikes(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
    (spike_input,) = ctx.saved_tensors
    count = grad_output.shape[0]
    if count == 0:
        return torch.zeros_like(spike_input), None
    spiked = spike_input != 0
    rank = spiked.cumsum(0) - 1
    gradient = -grad_output.gather(0, rank.clamp(0, count - 1))
    return torch.where(spiked & (rank < count), gradient, 0).to(spike_input.dtype), None


class ToSpikeTimes(torch.autograd.Function):
    """The ticks of the first k spikes of each train: `ToSpikeTimes.apply(spike_input, spike_count)`.

    Forward tⱼ, the zero-based tick of the j-th spike, ∞ where there is none; backward ∂L/∂z = -∂L/∂tⱼ in that tick
    and 0 in all others: what drives a neuron more lets it spike earlier.

    Args:
        spike_input: spikes, [T, B, N]; whatever is not 0 is one.
        spike_count: k, how many spikes of each train.

    Returns:
        Ticks in ascending order, [min(k, T), B, N].

    Example:
        >>> ToSpikeTimes.apply(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), 2)
        tensor([[1., 2.],
                [2., inf]])
    """

    generate_vmap_rule = True
    forward = staticmethod(_to_spike_ticks)
    setup_context = staticmethod(_save_spikes)
    backward = staticmethod(_to_spikes)
