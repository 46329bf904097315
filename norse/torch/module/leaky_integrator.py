"""Leaky integrators as modules."""

from typing import Any

from torch import Tensor

from norse.torch.functional.exponential import li_feed_forward_step_exponential
from norse.torch.functional.leaky_integrator import LI_DEFAULTS, LIParameters, LIState, li_feed_forward_step, li_step
from norse.torch.module.checks import check_sizes
from norse.torch.module.snn import SNN, SNNCell
from norse.torch.module.steps import Steps

_FEED_FORWARD = Steps(li_feed_forward_step, exponential=li_feed_forward_step_exponential)


class LICell(SNNCell):
    """One tick of leaky integrators, [B, N] -> [B, N]; see `li_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt and activation_sparse, as in `SNNCell`; integrator="exponential" is exact, where "euler" is not.

    Returns:
        `forward(input_tensor, state=None)` gives (membrane potentials, LIState).

    Raises:
        TypeError, ValueError: as `SNNCell`.

    Example:
        >>> import torch
        >>> LICell()(torch.ones(1, 2))[0]
        tensor([[0.1000, 0.1000]], grad_fn=<AddBackward0>)
    """

    state_type = LIState
    steps = _FEED_FORWARD

    def __init__(self, p: LIParameters = LI_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)


class LI(SNN):
    """A layer of leaky integrators over time, [T, B, N] -> [T, B, N]; see `li_feed_forward_step` for the equations.

    Args:
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt, activation_sparse and record_states, as in `SNN`; integrator as in `LICell`.

    Returns:
        `forward(input_tensor, state=None)` gives (membrane potentials, LIState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> LI()(torch.ones(100, 8, 3))[0].shape
        torch.Size([100, 8, 3])
    """

    state_type = LIState
    steps = _FEED_FORWARD

    def __init__(self, p: LIParameters = LI_DEFAULTS, **kwargs: Any) -> None:
        step, kwargs = self.steps.chosen(p, kwargs)
        super().__init__(step, self.initial_state, p, **kwargs)


class LILinearCell(SNNCell):
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
        >>> import torch
        >>> LILinearCell(3, 4)(torch.ones(8, 3))[0].shape
        torch.Size([8, 4])
    """

    axes = ("N",)
    weight_names = ("input_weights",)
    state_type = LIState
    scalar_rest = False
    input_weights: Tensor

    def __init__(self, input_size: int, hidden_size: int, p: LIParameters = LI_DEFAULTS, dt: float = 0.001) -> None:
        super().__init__(li_step, self.initial_state, p, dt)
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.register_weights("input_weights", None, (hidden_size, input_size), scale=max(input_size, 1) ** -0.5)

    def extra_repr(self) -> str:
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}, {super().extra_repr()}"


class LILinear(SNN):
    """A layer of leaky integrators behind a linear synapse over time, [T, B, input] -> [T, B, hidden]; see `li_step`.

    Args:
        input_size: number of input features.
        hidden_size: number of integrators.
        p: parameters (s⁻¹, dimensionless potentials).
        kwargs: dt, activation_sparse and record_states, as in `SNN`.

    Returns:
        `forward(input_tensor, state=None)` gives (membrane potentials, LIState).

    Raises:
        TypeError, ValueError: as `SNN`.

    Example:
        >>> import torch
        >>> LILinear(3, 4)(torch.ones(100, 8, 3))[0].shape
        torch.Size([100, 8, 4])
    """

    axes = ("T", "N")
    weight_names = ("input_weights",)
    state_type = LIState
    input_weights: Tensor

    def __init__(self, input_size: int, hidden_size: int, p: LIParameters = LI_DEFAULTS, **kwargs: Any) -> None:
        super().__init__(li_step, self.initial_state, p, **kwargs)
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.register_weights("input_weights", None, (hidden_size, input_size), scale=max(input_size, 1) ** -0.5)

    def extra_repr(self) -> str:
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}, {super().extra_repr()}"
