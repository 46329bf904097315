"""Neurons that fire as often in a tick as their threshold fits into the potential, as Sinabs' and Rockpool's do."""

from typing import Any

import torch
from torch import Tensor

import norse.torch as snn
from norse.torch.functional.iaf import iaf_feed_forward_step
from norse.torch.functional.lif import lif_feed_forward_step
from norse.torch.functional.lif_box import lif_box_feed_forward_step


def kept(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
    """A reset that leaves v as it is: the steps below lower it themselves."""
    return v


def several_iaf_step(x: Tensor, state: Any, p: Any, dt: float = 0.001) -> tuple[Tensor, Any]:
    """v' = max(v + x, -v_th), and floor(v' / v_th) spikes, each of which lowers v' by v_th.

    p.reset_method must be `kept`.
    """
    z, state = iaf_feed_forward_step(x, state, p, dt)
    return _fired(z, state._replace(v=torch.maximum(state.v, -p.v_th)), p)


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
    """One tick of such neurons without a leak, [B, N] -> [B, N]; see `several_iaf_step`."""

    def __init__(self, p: Any, dt: float = 0.001) -> None:
        snn.SNNCell.__init__(self, several_iaf_step, self.initial_state, p, dt=dt)


class SeveralLIFBoxCell(snn.LIFBoxCell):
    """One tick of such neurons with a leak, [B, N] -> [B, N]; see `several_lif_box_step`."""

    def __init__(self, p: Any, dt: float = 0.001) -> None:
        snn.SNNCell.__init__(self, several_lif_box_step, self.initial_state, p, dt=dt)


class SeveralLIFCell(snn.LIFCell):
    """One tick of such neurons with a leak and a synapse, [B, N] -> [B, N]; see `several_lif_step`."""

    def __init__(self, p: Any, dt: float = 0.001) -> None:
        snn.SNNCell.__init__(self, several_lif_step, self.initial_state, p, dt=dt)
