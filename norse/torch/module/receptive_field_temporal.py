"""Temporal receptive fields: copies of a signal, smoothed at several temporal scales."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.receptive_field_parameters import temporal_scale_distribution
from norse.torch.module.leaky_integrator_box import LIBoxCell


def li_box_parameters(t: Tensor) -> LIBoxParameters:
    """Leaky integrators with the given inverse time constants.

    Args:
        t: inverse time constants, 1/s.

    Returns:
        The parameters.

    Example:
        >>> li_box_parameters(torch.tensor(50.0))
        LIBoxParameters(tau_mem_inv=tensor(50.), v_leak=tensor(0.))
    """
    return LIBoxParameters(tau_mem_inv=t)  # a lambda could not be pickled


class TemporalReceptiveField(torch.nn.Module):
    """Temporal receptive fields: the input in a new dimension of scales, each smoothed by neurons of its own speed.

    With the default leaky integrators, v_k' = v_k + dt τ_k⁻¹ (x - v_k), so an impulse decays as (1 - dt τ_k⁻¹)^t, with
    τ_k⁻¹ = 1 / (dt √τ) for the n √τ of `temporal_scale_distribution`. The inverse time constants, one per scale and
    channel, are learnt: they are nn.Parameters of `neurons`.

    Source: T. Lindeberg, "Time-causal and time-recursive spatio-temporal receptive fields", J. Math. Imaging Vis. 55
    (2016); J. E. Pedersen, J. Conradt, T. Lindeberg, "Covariant spatio-temporal receptive fields for spiking neural
    networks", Nat. Commun. 16 (2025).

    Args:
        shape: of one input without the batch, channels first, such as [C, H, W].
        n_scales: n, number of temporal scales.
        activation: the neurons' module, called as `activation(p, dt=dt)`.
        activation_state_map: makes the neurons' parameters from their inverse time constants, [n, C, 1, 1]. It gives
            them on as they are: a number computed from them would not follow the learning.
        min_scale: least temporal scale, in ticks squared.
        max_scale: as in `temporal_scale_distribution`.
        c: as in `temporal_scale_distribution`.
        time_constants: inverse time constants in 1/s instead of those of the scales, [n], [n, C] or of as many
            dimensions as [n, C, H, W], which they are broadcast to.
        dt: time step in s.

    Returns:
        `forward(x, state=None)` of x [..., C, H, W] gives (output [..., n, C, H, W], the neurons' state).

    Raises:
        TypeError: if shape is no sequence.
        ValueError: if shape is empty, n_scales less than 1, dt or a scale not above 0, time_constants have another
            shape, or the map computes with the time constants.

    Example:
        >>> fields = TemporalReceptiveField((2, 8, 8), n_scales=3)
        >>> out, state = fields(torch.ones(5, 2, 8, 8))
        >>> out.shape, state.v.shape
        (torch.Size([5, 3, 2, 8, 8]), torch.Size([5, 3, 2, 8, 8]))
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_scales: int = 4,
        activation: Callable[..., torch.nn.Module] = LIBoxCell,
        activation_state_map: Callable[[Tensor], Any] = li_box_parameters,
        min_scale: float = 1,
        max_scale: float | None = None,
        c: float = 1.41421,
        time_constants: Tensor | None = None,
        dt: float = 0.001,
    ) -> None:
        super().__init__()
        if not isinstance(shape, Sequence):
            raise TypeError(
                f"TemporalReceptiveField: argument shape: expects a sequence of sizes such as (C, H, W), got {shape!r}"
            )
        if not shape:
            raise ValueError("TemporalReceptiveField: argument shape: expects at least the number of channels, got ()")
        if n_scales < 1:
            raise ValueError(f"TemporalReceptiveField: argument n_scales: expects at least 1, got {n_scales}")
        if not dt > 0:
            raise ValueError(f"TemporalReceptiveField: argument dt: expects a time step above 0, got {dt}")
        self.shape = tuple(shape)
        self.n_scales = n_scales
        if time_constants is None:
            time_constants = 1 / dt / temporal_scale_distribution(n_scales, min_scale, max_scale, c)
        learnt = torch.nn.Parameter(self._per_channel(time_constants))
        p = activation_state_map(learnt)
        if any(value.requires_grad and not value.is_leaf for value in _tensors(p)):
            raise ValueError(
                "TemporalReceptiveField: argument activation_state_map: expects to give the time constants on as they "
                f"are, got parameters computed from them, which would not follow the learning: {p!r}"
            )
        self.neurons = activation(p, dt=dt)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One tick.

        Args:
            x: input, [..., C, H, W].
            state: the neurons' state; None means that they are at rest.

        Returns:
            The neurons' output, [..., n, C, H, W], and their state.

        Raises:
            ValueError: if x has fewer dimensions than `shape`, or another number of channels.
        """
        dimensions = len(self.shape)
        if x.dim() < dimensions or x.shape[-dimensions] != self.shape[0]:
            raise ValueError(
                f"TemporalReceptiveField: argument x: expects [..., {', '.join(map(str, self.shape))}], "
                f"got shape {list(x.shape)}"
            )
        copies = [-1] * (x.dim() + 1)
        copies[-dimensions - 1] = self.n_scales
        output, state = self.neurons(x.unsqueeze(-dimensions - 1).expand(copies), state)
        return output, state

    def extra_repr(self) -> str:
        return f"{list(self.shape)}, n_scales={self.n_scales}"

    def _per_channel(self, time_constants: Tensor) -> Tensor:
        """Time constants with a dimension for every one of [n, *shape], and a value for every scale and channel."""
        given = torch.as_tensor(time_constants).detach()
        full = (self.n_scales, *self.shape)
        fits = 0 < given.dim() <= len(full) and all(a in (1, b) for a, b in zip(given.shape, full, strict=False))
        if not fits:
            raise ValueError(
                f"TemporalReceptiveField: argument time_constants: expects [{self.n_scales}] or a shape that "
                f"broadcasts with {list(full)}, got {list(given.shape)}"
            )
        rest = given.shape[2:] + (1,) * (len(full) - max(given.dim(), 2))
        return given.reshape(given.shape + (1,) * (len(full) - given.dim())).expand(*full[:2], *rest).clone()


def _tensors(p: Any) -> list[Tensor]:
    """All tensors in a nest of tuples."""
    if isinstance(p, Tensor):
        return [p]
    return [tensor for value in p for tensor in _tensors(value)] if isinstance(p, tuple) else []
