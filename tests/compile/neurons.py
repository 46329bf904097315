"""The neurons that are compared: the library's own, and steps that a user wrote and the library has never seen."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

import norse.torch as snn
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract

Make = Callable[..., Any]

FEED_FORWARD: dict[str, tuple[type, type, Make]] = {
    "LIF": (snn.LIF, snn.LIFCell, LIFParameters),
    "LIFBox": (snn.LIFBox, snn.LIFBoxCell, LIFBoxParameters),
    "LIFBox, reset by subtraction": (
        snn.LIFBox,
        snn.LIFBoxCell,
        lambda **fields: LIFBoxParameters(reset_method=reset_subtract, **fields),
    ),
    "LI": (snn.LI, snn.LICell, LIParameters),
    "LIBox": (snn.LIBox, snn.LIBoxCell, LIBoxParameters),
    "IAF": (snn.IAF, snn.IAFCell, IAFParameters),
}
"""Name -> layer over time, cell, and what makes its parameters."""

RECURRENT: dict[str, tuple[type, type, Make]] = {
    "LIF": (snn.LIFRecurrent, snn.LIFRecurrentCell, LIFParameters),
    "LIFBox": (snn.LIFBoxRecurrent, snn.LIFBoxRecurrentCell, LIFBoxParameters),
    "LIFBox, reset by subtraction": (
        snn.LIFBoxRecurrent,
        snn.LIFBoxRecurrentCell,
        lambda **fields: LIFBoxParameters(reset_method=reset_subtract, **fields),
    ),
    "IAF": (snn.IAFRecurrent, snn.IAFRecurrentCell, IAFParameters),
}


# ---- a user's own ----------------------------------------------------------------------------------------------------


class UserParameters(NamedTuple):
    leak: Tensor = torch.tensor(0.8)
    v_th: Tensor = torch.tensor(1.0)


class UserState(NamedTuple):
    v: Tensor
    trace: Tensor


class UserRecurrentState(NamedTuple):
    z: Tensor
    v: Tensor
    trace: Tensor


class ThreeTimes(torch.autograd.Function):
    """A spike whose derivative nobody could guess: g * 3."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * 3


class Bell(torch.autograd.Function):
    """A spike that saves what its backward needs, g / (1 + x²)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return g / (1 + x * x)


def odd_backward_step(x: Tensor, state: UserState, p: UserParameters, dt: float) -> tuple[Tensor, UserState]:
    v = p.leak * state.v + x
    z = ThreeTimes.apply(0.1 * (v - p.v_th))
    return z, UserState(v=v * (1 - z.detach()), trace=0.5 * state.trace + z)


def detached_reset_step(x: Tensor, state: UserState, p: UserParameters, dt: float) -> tuple[Tensor, UserState]:
    v = p.leak * state.v + x
    z = Bell.apply(v - p.v_th)
    return z, UserState(v=v - z.detach() * p.v_th, trace=0.9 * state.trace + z)


def undetached_reset_step(x: Tensor, state: UserState, p: UserParameters, dt: float) -> tuple[Tensor, UserState]:
    v = p.leak * state.v + x
    z = Bell.apply(v - p.v_th)
    return z, UserState(v=v - z * p.v_th, trace=0.9 * state.trace + z)


def choosing_step(x: Tensor, state: UserState, p: UserParameters, dt: float) -> tuple[Tensor, UserState]:
    v = torch.clamp(p.leak * state.v + x, -2.0, 3.0)
    over = v - p.v_th - 0.1 * state.trace.abs()
    z = Bell.apply(over)
    v = torch.where(over > 0, v - p.v_th, v)
    return z, UserState(v=v, trace=torch.maximum(0.9 * state.trace, v) - torch.relu(-x) / 4)


USER_STEPS = {
    "a backward of g * 3": odd_backward_step,
    "a detached reset": detached_reset_step,
    "an undetached reset": undetached_reset_step,
    "where, clamp, abs, maximum": choosing_step,
}


def recurrent(step: Make) -> Make:
    """The six-argument form of a feed-forward step."""

    def recurrent_step(x: Tensor, state: UserRecurrentState, w_in: Tensor, w_rec: Tensor, p: Any, dt: float) -> Any:
        current = linear(x, w_in) + linear(state.z, w_rec)
        z, inner = step(current, UserState(state.v, state.trace), p, dt)
        return z, UserRecurrentState(z, *inner)

    return recurrent_step


def zeros_over_time(x: Tensor) -> UserState:
    return UserState(torch.zeros_like(x[0]), torch.zeros_like(x[0]))


def zeros(x: Tensor) -> UserState:
    return UserState(torch.zeros_like(x), torch.zeros_like(x))


def recurrent_zeros(hidden: int, over_time: bool) -> Make:
    def fallback(x: Tensor) -> UserRecurrentState:
        shape = (*(x.shape[1:-1] if over_time else x.shape[:-1]), hidden)
        return UserRecurrentState(*(x.new_zeros(shape) for _ in range(3)))

    return fallback


# ---- parameters that are learnt --------------------------------------------------------------------------------------


def learnt(make: Make, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Any:
    """Every number of a neuron's parameters, its surrogate's sharpness apart, as an nn.Parameter of a shape.

    The sharpness is 10 instead of 100: with 100, nearly all of a surrogate's gradient is a few neurons at threshold.
    """
    generator = torch.Generator().manual_seed(3)
    fields = make()._asdict()
    changed: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "alpha":
            changed[name] = torch.tensor(10.0, dtype=dtype)
        elif isinstance(value, Tensor):
            spread = 1 + 0.1 * torch.rand(shape, generator=generator, dtype=dtype)
            base = value.to(dtype) * spread
            changed[name] = nn.Parameter(base if value != 0 else 0.1 * (spread - 1))
    return make()._replace(**changed)


# ---- what makes each of them spike now and then ---------------------------------------------------------------------

DRIVE = {"LIF": 3.0, "LIFBox": 10.0, "LIFBox, reset by subtraction": 10.0, "LI": 1.0, "LIBox": 1.0, "IAF": 0.4}
"""Scale of an input under which the neurons both spike and are silent. For a user's: 0.5."""


def currents(name: str, *shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return DRIVE.get(name, 0.5) * (torch.randn(shape, generator=generator, dtype=dtype) + 0.5)


def states(state_type: Any, *shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Any:
    """A state of random fields, z (if it has one) of zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    fields = {name: torch.rand(shape, generator=generator, dtype=dtype) for name in state_type._fields}
    if "z" in fields:
        fields["z"] = (fields["z"] > 0.5).to(dtype)
    return state_type(**fields)
