"""Decodes spike trains to the times of their first spikes."""

import torch
from torch import Tensor

from norse.torch.functional.spikes_to_times_decoder import ToSpikeTimes
from norse.torch.module.checks import check_dt

ONE_SPIKE = torch.tensor(1)


class SpikesToTimesDecoder(torch.nn.Module):
    """The times of the first k spikes of each train, [T, B, N] -> [min(k, T), B, N].

    tⱼ = dt · (the zero-based tick of the j-th spike), ∞ where there is none. The gradient of a loss L of these times
    with respect to the spikes is -dt ∂L/∂tⱼ in the tick of the j-th spike and 0 in all others.

    Args:
        spike_count: k, how many spikes of each train.
        convert_indices_to_times: whether to return times in the unit of dt, not ticks (gradient -∂L/∂tⱼ).
        dt: time step in s.

    Returns:
        `forward(spike_input)` gives the times in ascending order.

    Raises:
        ValueError: if k < 1, or dt is not positive.

    Example:
        >>> SpikesToTimesDecoder(spike_count=2)(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
        tensor([[0.0010, 0.0020],
                [0.0020,    inf]])
    """

    def __init__(
        self, spike_count: Tensor | int = ONE_SPIKE, convert_indices_to_times: bool = True, dt: float = 0.001
    ) -> None:
        super().__init__()
        if spike_count < 1:
            raise ValueError(f"SpikesToTimesDecoder: argument spike_count: expects at least 1, got {int(spike_count)}")
        check_dt(self, dt)
        self.spike_count = int(spike_count)
        self.convert_indices_to_times = convert_indices_to_times
        self.dt = dt

    def extra_repr(self) -> str:
        return f"spike_count={self.spike_count}, convert_indices_to_times={self.convert_indices_to_times}, dt={self.dt}"

    def forward(self, spike_input: Tensor) -> Tensor:
        """Spikes, [T, B, N] -> times of the first k, [min(k, T), B, N]."""
        ticks: Tensor = ToSpikeTimes.apply(spike_input, self.spike_count)  # type: ignore[no-untyped-call]
        return ticks * self.dt if self.convert_indices_to_times else ticks
