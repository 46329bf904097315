"""Leaky integrators as modules."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from norse.torch.functional.leaky_integrator import LI_DEFAULTS, LIParameters, LIState, li_feed_forward_step, li_step
from norse.torch.module.initial import at_rest, hidden_shape, potential
from norse.torch.module.parameters import HoldsParameters
from norse.torch.module.snn import SNN, SNNCell, starting_state


class LICell(SNNCell):
    """One tick of leaky integrators, [B, N] -> [B, N]; see `li_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt and activation_sparse, as in `SNNCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (membrane potentials, LIState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> LICell()(torch.ones(1, 2))[0]
        tensor([[0.1000, 0.1000]], grad_fn=<AddBackward0>)
    """

    state_type = LIState

    def __init__(self, p: LIParameters = LI_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(li_feed_forward_step, self.initial_state, p, **kwargs)

    def initial_state(self, input_tensor: Tensor) -> LIState:
        """v = v_leak (0-d), i = 0."""
        return at_rest(LIState, input_tensor, input_tensor.shape, v=potential(self.p.v_leak, input_tensor))


class LI(SNN):
    """A layer of leaky integrators over time, [T, B, N] -> [T, B, N]; see `li_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (membrane potentials, LIState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> LI()(torch.ones(100, 8, 3))[0].shape
        torch.Size([100, 8, 3])
    """

    state_type = LIState

    def __init__(self, p: LIParameters = LI_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(li_feed_forward_step, self.initial_state, p, **kwargs)

    def initial_state(self, input_tensor: Tensor) -> LIState:
        """v = v_leak, i = 0, in the shape of one tick."""
        shape = input_tensor.shape[1:]
        return at_rest(LIState, input_tensor, shape, v=potential(self.p.v_leak, input_tensor, shape))


class LILinearCell(HoldsParameters, torch.nn.Module):
    """One tick of leaky integrators behind a linear synapse, [B, input] -> [B, hidden]; see `li_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of integrators.
        p: parameters (s⁻¹, dimensionless potentials).
        dt: time step in s.

    Returns:
        `forward(input_tensor, state=None)` gives (membrane potentials, LIState).

    Raises:
        TypeError: if the input is no floating point tensor, or the state is no LIState.
        ValueError: if the input has another number of features; if the state is on another device or doesn't broadcast.

    Example:
        >>> LILinearCell(3, 4)(torch.ones(8, 3))[0].shape
        torch.Size([8, 4])
    """

    axes: ClassVar[tuple[str, ...]] = ("N",)
    state_type: ClassVar[type | None] = LIState

    def __init__(self, input_size: int, hidden_size: int, p: LIParameters = LI_DEFAULTS, dt: float = 0.001) -> None:
        super().__init__()
        self.activation = li_step
        self.state_fallback = self.initial_state
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.p = p
        self.dt = dt
        self.input_weights = torch.nn.Parameter(torch.randn(hidden_size, input_size) / input_size**0.5)

    def extra_repr(self) -> str:
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}, p={self.p}, dt={self.dt}"

    def initial_state(self, input_tensor: Tensor) -> LIState:
        """v = v_leak, i = 0, in the shape of the output."""
        shape = hidden_shape(input_tensor.shape, self.input_weights)
        return at_rest(LIState, input_tensor, shape, v=potential(self.p.v_leak, input_tensor, shape))

    def forward(self, input_tensor: Tensor, state: LIState | None = None) -> tuple[Tensor, LIState]:
        """One tick: input [B, input] and state (or None) -> membrane potentials [B, hidden] and state."""
        state = starting_state(self, input_tensor, state)
        return self.activation(input_tensor, state, self.input_weights, self.p, self.dt)
