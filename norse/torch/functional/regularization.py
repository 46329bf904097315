"""Regularisation: what a layer's spikes or potentials amount to over time, as a term of the loss."""

from typing import Any, Protocol

from torch import Tensor


class Accumulator(Protocol):
    """What a tick adds to the amount: `(z, s, state) -> state`.

    Args:
        z: a tick's spikes.
        s: a tick's neuron state.
        state: the amount so far, None before the first tick.
    """

    def __call__(self, z: Tensor, s: Any, state: Any = None, /) -> Any:
        """The amount with this tick."""
        ...


def spike_accumulator(z: Tensor, _: Any, state: Tensor | None = None) -> Tensor:
    """Counts spikes: n' = n + Σ z.

    Args:
        z: spikes, [B, N] or any shape.
        _: the neuron's state (not used here).
        state: n, the count so far; None means 0.

    Returns:
        The count, 0-d.

    Example:
        >>> import torch
        >>> spike_accumulator(torch.tensor([1.0, 0.0, 1.0]), None, torch.tensor(3.0))
        tensor(5.)
    """
    count = z.sum()
    return count if state is None else state + count


def voltage_accumulator(z: Tensor, s: Any, state: Tensor | None = None) -> Tensor:
    """Sums membrane potentials: a' = a + v.

    Args:
        z: spikes (not used here).
        s: the neuron's state, with a field v, [B, N].
        state: a, the sum so far; None means 0.

    Returns:
        The sum for each neuron, in the shape of v.

    Example:
        >>> import torch
        >>> from norse.torch.functional.lif import LIFFeedForwardState
        >>> state = LIFFeedForwardState(v=torch.tensor([0.5, 0.1]), i=torch.zeros(2))
        >>> voltage_accumulator(torch.zeros(2), state, torch.tensor([1.0, 0.0]))
        tensor([1.5000, 0.1000])
    """
    return s.v if state is None else state + s.v  # type: ignore[no-any-return]


def regularize_step(
    z: Tensor, s: Any, accumulator: Accumulator = spike_accumulator, state: Any | None = None
) -> tuple[Tensor, Any]:
    """Adds one tick's spikes or state to an amount that a loss can keep small or close to a target.

    Source: G. Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking neurons", Nature
    Communications 11 (2020), methods: firing rate regularisation.

    Args:
        z: a tick's spikes, [B, N] or any shape.
        s: a tick's neuron state.
        accumulator: what to add, such as `spike_accumulator` or `voltage_accumulator`.
        state: the amount so far; None means that there is none yet.

    Returns:
        The spikes as they are, and the amount.

    Example:
        >>> import torch
        >>> z, count = regularize_step(torch.tensor([1.0, 0.0]), None)
        >>> regularize_step(torch.tensor([1.0, 1.0]), None, state=count)
        (tensor([1., 1.]), tensor(3.))
    """
    return z, accumulator(z, s, state)
