"""Neurons that fire as often in a tick as their threshold fits into the potential, as Sinabs' and Rockpool's do."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import norse.torch as snn
from norse.torch.functional.iaf import iaf_feed_forward_step
from norse.torch.functional.lif import lif_feed_forward_step
from norse.torch.functional.lif_box import lif_box_feed_forward_step
from norse.torch.functional.reset import reset_subtract, reset_subtract_bounded


def kept(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """A reset that leaves v as it is: the steps below lower it themselves."""
    return v


def kept_bounded(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """The same, of neurons that don't fall below -th."""
    return torch.maximum(v, -th)


# What a neuron of one spike does to its membrane -> the same of several: by the steps below, for each of them.
COUNTED: Mapping[Any, Any] = {
    reset_subtract: kept,
    kept: kept,
    reset_subtract_bounded: kept_bounded,
    kept_bounded: kept_bounded,
}


def several_iaf_step(x: Tensor, state: Any, p: Any, dt: float = 0.001) -> tuple[Tensor, Any]:
    """v' = v + x, with `kept_bounded` max(v + x, -v_th), and floor(v' / v_th) spikes, each of which lowers v' by v_th.

    p.reset_method must be `kept` or `kept_bounded`.
    """
    return _fired(*iaf_feed_forward_step(x, state, p, dt), p)


def several_lif_box_step(x: Tensor, state: Any, p: Any, dt: float = 0.001) -> tuple[Tensor, Any]:
    """`lif_box_feed_forward_step`, with floor(v / v_th) spikes in a tick. p.reset_method must be `kept`."""
    return _fired(*lif_box_feed_forward_step(x, state, p, dt), p)


def several_lif_step(x: Tensor, state: Any, p: Any, dt: float = 0.001) -> tuple[Tensor, Any]:
    """`lif_feed_forward_step`, with floor(v / v_th) spikes in a tick. p.reset_method must be `kept`."""
    return _fired(*lif_feed_forward_step(x, state, p, dt), p)


def _fired(z: Tensor, state: Any, p: Any) -> tuple[Tensor, Any]:
    """The gradient is that of the single spike z; further spikes have none."""
    count = torch.floor(torch.relu(state.v) / p.v_th)
    spikes = z + (count - z).detach()
    return spikes, state._replace(v=state.v - count * p.v_th)


class SeveralIAFCell(snn.IAFCell):
    """One tick of neurons without a leak that fire several spikes in a tick, [B, N] -> [B, N].

    Args:
        p: parameters, with `reset_subtract`, or with `reset_subtract_bounded`, which makes them Sinabs' IAF.
        dt: time step in s.

    Raises:
        ValueError: for another reset.

    Example:
        >>> p = snn.IAFParameters(reset_method=snn.reset_subtract_bounded)
        >>> z, state = SeveralIAFCell(p)(torch.tensor([[2.5, -7.0]]))
        >>> z.tolist(), state.v.tolist()
        ([[2.0, 0.0]], [[0.5, -1.0]])
    """

    def __init__(self, p: Any, dt: float = 0.001) -> None:
        snn.SNNCell.__init__(self, several_iaf_step, self.initial_state, _counted(self, p), dt=dt)


class SeveralLIFBoxCell(snn.LIFBoxCell):
    """One tick of neurons with a leak that fire several spikes in a tick, as Sinabs' LIF, [B, N] -> [B, N].

    Args:
        p: parameters, with `reset_subtract`.
        dt: time step in s.

    Raises:
        ValueError: for another reset.

    Example:
        >>> p = snn.LIFBoxParameters(reset_method=snn.reset_subtract)
        >>> SeveralLIFBoxCell(p)(torch.tensor([[25.0]]))[0].tolist()
        [[2.0]]
    """

    def __init__(self, p: Any, dt: float = 0.001) -> None:
        snn.SNNCell.__init__(self, several_lif_box_step, self.initial_state, _counted(self, p), dt=dt)


class SeveralLIFCell(snn.LIFCell):
    """One tick of neurons with leak and synapse that fire several spikes in a tick, as Rockpool's, [B, N] -> [B, N].

    Args:
        p: parameters, with `reset_subtract`.
        dt: time step in s.

    Raises:
        ValueError: for another reset.

    Example:
        >>> p = snn.LIFParameters(reset_method=snn.reset_subtract)
        >>> SeveralLIFCell(p)(torch.tensor([[25.0]]))[0].tolist()
        [[2.0]]
    """

    def __init__(self, p: Any, dt: float = 0.001) -> None:
        snn.SNNCell.__init__(self, several_lif_step, self.initial_state, _counted(self, p), dt=dt)


def _counted(cell: Any, p: Any) -> Any:
    method = p.reset_method
    if method not in COUNTED:
        got = getattr(method, "__name__", method)
        raise ValueError(
            f"{type(cell).__name__}: expected reset_method=reset_subtract or reset_subtract_bounded, got {got}"
        )
    return p._replace(reset_method=COUNTED[method])
