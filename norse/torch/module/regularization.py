"""Regularisation as a module."""

from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.regularization import Accumulator, regularize_step, spike_accumulator
from norse.torch.utils.pytree import tree_map_only


class RegularizationCell(torch.nn.Module):
    """Lets spikes through and adds up what they or their neurons' states amount to; see `regularize_step`.

    The amount is the attribute `state`, with its gradient; set it to None before the next sequence.

    Args:
        accumulator: what to add, such as `spike_accumulator` or `voltage_accumulator`.
        state: the amount to start from; None means that there is none yet.

    Returns:
        `forward(z, s)` gives (z, amount).

    Example:
        >>> cell = RegularizationCell()
        >>> z, count = cell(torch.ones(2), None)
        >>> z, count = cell(torch.ones(2), None)
        >>> count
        tensor(4.)
    """

    def __init__(self, accumulator: Accumulator = spike_accumulator, state: Any = None) -> None:
        super().__init__()
        self.accumulator = accumulator
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        # A copy or a pickle keeps the amount but not its graph, which torch would refuse to copy.
        return {**self.__dict__, "state": tree_map_only(Tensor, Tensor.detach, self.state)}

    def extra_repr(self) -> str:
        return f"accumulator={getattr(self.accumulator, '__name__', self.accumulator)}"

    def forward(self, z: Tensor, s: Any) -> tuple[Tensor, Any]:
        """One tick: spikes and neuron state -> the same spikes, and the amount so far."""
        z, self.state = regularize_step(z, s, self.accumulator, self.state)
        return z, self.state
