"""Synaptic delays as modules."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from norse.torch.functional.delay import (
    ROUNDING,
    SynapseDelayParameters,
    SynapseDelayState,
    buffer_length,
    kernel_named,
    synapse_delay,
    synapse_delay_step,
)
from norse.torch.module.checks import check_dt, check_input, check_state
from norse.torch.module.state_fields import StateFields, state_fields


class _Delay(torch.nn.Module):
    axes: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type | None] = SynapseDelayState
    state_fields: ClassVar[StateFields] = state_fields(SynapseDelayState)
    delay: Tensor
    sigma: Tensor | None

    def __init__(
        self,
        delay: float | Tensor,
        max_delay: float,
        learn_delay: bool = False,
        kernel: str = "linear",
        dt: float = 0.001,
        sigma: float | None = None,
    ) -> None:
        super().__init__()
        kernel_named(kernel)
        check_dt(self, dt)
        if not 0 < max_delay < math.inf:
            raise ValueError(
                f"{type(self).__name__}: argument max_delay: expects a positive time in s, got {max_delay}"
            )
        self.max_delay = float(max_delay)
        self.learn_delay = learn_delay
        self.kernel = kernel
        self.dt = dt
        if kernel == "gaussian":
            self.register_buffer("sigma", torch.tensor(self.max_delay / 2))
        else:
            self.register_buffer("sigma", None)
        if sigma is not None:
            self.sigma = sigma  # type: ignore[assignment]  # see __setattr__
        own = self._checked(delay)
        if learn_delay:
            self.delay = torch.nn.Parameter(own)
        else:
            self.register_buffer("delay", own)

    def _checked(self, delay: float | Tensor) -> Tensor:
        own = torch.as_tensor(delay).detach().clone()
        if not own.is_floating_point():
            own = own.to(torch.get_default_dtype())
        longest = self.max_delay * (1 + max(ROUNDING, torch.finfo(own.dtype).eps))
        if not own.is_meta and not bool(((own >= 0) & (own <= longest)).all()):
            raise ValueError(
                f"{type(self).__name__}: argument delay: expects times between 0 and max_delay={self.max_delay} s, "
                f"got {_described(own)}"
            )
        return own

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "sigma":
            if self.kernel != "gaussian":
                raise ValueError(
                    f"{type(self).__name__}: argument sigma: expects kernel='gaussian', got kernel={self.kernel!r}"
                )
            if not value > 0:
                raise ValueError(f"{type(self).__name__}: argument sigma: expects a positive time in s, got {value}")
            value = torch.as_tensor(value).detach().to(self._buffers["sigma"])
        super().__setattr__(name, value)

    def extra_repr(self) -> str:
        text = (
            f"delay={_described(self.delay)}, max_delay={self.max_delay}, learn_delay={self.learn_delay}, "
            f"kernel={self.kernel!r}, dt={self.dt}"
        )
        return text if self.sigma is None else f"{text}, sigma={self.sigma.item():g}"

    @property
    def p(self) -> SynapseDelayParameters:
        """The delay's parameters as the functions take them."""
        return SynapseDelayParameters(self.delay, self.max_delay, self.kernel, self.sigma)

    def initial_state(self, input_tensor: Tensor) -> SynapseDelayState:
        """Zeros: nothing came in before the first tick."""
        tick = input_tensor.shape[len(self.axes) :]
        length = buffer_length(self.max_delay, self.dt)
        return SynapseDelayState(torch.zeros(length, *tick, dtype=input_tensor.dtype, device=input_tensor.device))

    def _starting_state(self, input_tensor: Tensor, state: SynapseDelayState | None) -> SynapseDelayState:
        check_input(self, input_tensor)
        if state is None:
            return self.initial_state(input_tensor)
        check_state(self, input_tensor, state)
        return state


class SynapseDelayCell(_Delay):
    """One tick of a delay, [B, N] -> [B, N]; see `synapse_delay_step` for the equations.

    Every channel has a delay of its own, or all have one; a delay need not be a whole number of ticks, and can be
    learnt. It is kept in s in `delay`, which is saved with the model, learnt or not. So is `sigma`.

    Source: I. Hammouamri, I. Khalfaoui-Hassani, T. Masquelier, "Learning Delays in Spiking Neural Networks using
    Dilated Convolutions with Learnable Spacings", ICLR 2024.

    Args:
        delay: in s, a number or a tensor that broadcasts with one tick's features, such as [N] or [C, 1, 1].
        max_delay: the largest delay in s; the last ⌈max_delay / dt⌉ inputs are kept.
        learn_delay: whether `delay` is an nn.Parameter. It is in s, so a learning rate of dt moves it by ticks.
        kernel: how a delay between two ticks is interpolated: "linear", or "gaussian", which finds delays from afar.
        dt: time step in s.
        sigma: width of the gaussian kernel in s, max_delay / 2 by default. An attribute: let it shrink to about dt / 2
            in training, by `cell.sigma *= 0.95`.

    Returns:
        `forward(input_tensor, state=None)` gives (the delayed input, SynapseDelayState). Before the first tick all
        input was zero.

    Raises:
        TypeError: if the input is no floating point tensor, or the state is no SynapseDelayState.
        ValueError: if a delay is not within 0..max_delay, max_delay, dt or sigma is not positive, or the kernel is
            unknown; from forward, if the delay doesn't broadcast with the input, or the state is of another length,
            shape or device.

    Example:
        >>> cell = SynapseDelayCell(delay=0.001, max_delay=0.003)
        >>> y, state = cell(torch.ones(1, 2))
        >>> cell(torch.zeros(1, 2), state)[0]
        tensor([[1., 1.]])
    """

    def forward(self, input_tensor: Tensor, state: SynapseDelayState | None = None) -> tuple[Tensor, SynapseDelayState]:
        """One tick: input [B, N] and state (or None) -> delayed input [B, N] and state."""
        return synapse_delay_step(input_tensor, self._starting_state(input_tensor, state), self.p, self.dt)


class SynapseDelay(_Delay):
    """A delay over time, [T, B, N] -> [T, B, N]; see `synapse_delay_step` for the equations.

    All ticks are computed at once; `SynapseDelayCell`, tick by tick, gives the same, and so does a sequence cut in
    pieces whose state is carried.

    Source: I. Hammouamri, I. Khalfaoui-Hassani, T. Masquelier, "Learning Delays in Spiking Neural Networks using
    Dilated Convolutions with Learnable Spacings", ICLR 2024.

    Args:
        delay: in s, as in `SynapseDelayCell`.
        max_delay: the largest delay in s; the last ⌈max_delay / dt⌉ inputs are kept.
        learn_delay: whether `delay` is an nn.Parameter. It is in s, so a learning rate of dt moves it by ticks.
        kernel: "linear" or "gaussian", as in `SynapseDelayCell`.
        dt: time step in s.
        sigma: width of the gaussian kernel in s, as in `SynapseDelayCell`.

    Returns:
        `forward(input_tensor, state=None)` gives (the delayed input, SynapseDelayState).

    Raises:
        TypeError, ValueError: as `SynapseDelayCell`; ValueError also if the input has no time dimension.

    Example:
        >>> layer = SynapseDelay(delay=torch.tensor([0.0, 0.001, 0.0015]), max_delay=0.002, learn_delay=True)
        >>> y, state = layer(torch.eye(4)[:, :1].expand(4, 3))
        >>> y.detach()
        tensor([[1.0000, 0.0000, 0.0000],
                [0.0000, 1.0000, 0.5000],
                [0.0000, 0.0000, 0.5000],
                [0.0000, 0.0000, 0.0000]])
    """

    axes = ("T",)

    def forward(self, input_tensor: Tensor, state: SynapseDelayState | None = None) -> tuple[Tensor, SynapseDelayState]:
        """All ticks: input [T, B, N] and state (or None) -> delayed input [T, B, N] and state."""
        return synapse_delay(input_tensor, self._starting_state(input_tensor, state), self.p, self.dt)


def _described(delay: Tensor) -> str:
    if delay.numel() == 1:
        return f"{delay.item():g}"
    if delay.numel() == 0:
        return f"shape {list(delay.shape)}"
    return f"{delay.min().item():g}..{delay.max().item():g} {list(delay.shape)}"
