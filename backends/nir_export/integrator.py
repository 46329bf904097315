"""NIR's I, an integrator without a leak and without spikes, as a torch module."""

from typing import NamedTuple

import torch
from torch import Tensor

from norse.torch.module.snn import SNNCell
from norse.torch.utils.pytree import StateTuple


class IntegratorParameters(NamedTuple):
    """An integrator has none: its resistance is a Scale before it."""


class IntegratorState(StateTuple):
    """State of integrators.

    Args:
        v: what they have added up, [B, N].
    """

    v: Tensor


def integrator_step(
    input_tensor: Tensor, state: IntegratorState, p: IntegratorParameters, dt: float = 0.001
) -> tuple[Tensor, IntegratorState]:
    """One tick of integrators: v' = v + x, which is also the output.

    Source: NIR's I, v̇ = R I, read as its IF is (see `docs/nir.md`): an input is a pulse whose weight is x.

    Args:
        input_tensor: x, [B, N].
        state: v, [B, N].
        p: unused.
        dt: unused.

    Returns:
        v', and the new state.

    Example:
        >>> integrator_step(torch.ones(2), IntegratorState(torch.ones(2)), IntegratorParameters())[0]
        tensor([2., 2.])
    """
    v = state.v + input_tensor
    return v, IntegratorState(v)


def _at_rest(input_tensor: Tensor) -> IntegratorState:
    return IntegratorState(torch.zeros_like(input_tensor))


class IntegratorCell(SNNCell):
    """One tick of integrators, [B, N] -> [B, N]; see `integrator_step`.

    Args:
        p: unused.
        dt: time step in s.

    Returns:
        `forward(input_tensor, state=None)` gives (v, IntegratorState).

    Example:
        >>> v, state = IntegratorCell()(torch.ones(1, 2))
        >>> IntegratorCell()(torch.ones(1, 2), state)[0]
        tensor([[2., 2.]])
    """

    def __init__(self, p: IntegratorParameters = IntegratorParameters(), dt: float = 0.001) -> None:  # noqa: B008
        super().__init__(integrator_step, _at_rest, p, dt=dt)
