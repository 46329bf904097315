"""`from_nir` with the published arguments; `norse.from_nir` reads the graph."""

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from norse.torch.functional.reset import ResetMethod, reset_value
from norse.torch.module.neuron import Neuron
from norse.torch.utils.pytree import StateTuple

if TYPE_CHECKING:
    import nir


class CubaLIFState(StateTuple):
    """State of a `CubaLIF`.

    Args:
        synapse: the synapse's state.
        lif: the neurons' state.
    """

    synapse: Any
    lif: Any


class CubaLIF(torch.nn.Module):
    """NIR's CubaLIF, put together from its parts: z = lif(r · synapse(w_in · x)).

    τs di/dt = -i + w_in x and τm dv/dt = (v_leak - v) + r i, one step of forward Euler each, the synapse first.

    Args:
        w_in: input weight, a number or a tensor that broadcasts with x.
        synapse: a leaky integrator without a synapse of its own, such as LIBoxCell.
        r: resistance, a number or a tensor.
        lif: spiking neurons without a synapse of their own, such as LIFBoxCell.

    Returns:
        `forward(x, state=None)` gives (spikes, CubaLIFState).

    Example:
        >>> from norse.torch.module.leaky_integrator_box import LIBoxCell
        >>> from norse.torch.module.lif_box import LIFBoxCell
        >>> z, state = CubaLIF(2.0, LIBoxCell(), 3.0, LIFBoxCell())(torch.ones(1, 2))
        >>> state.synapse.v, state.lif.v  # 0.1 · 2, 0.1 · 3 · 0.2
        (tensor([[0.2000, 0.2000]], grad_fn=<AddBackward0>), tensor([[0.0600, 0.0600]], grad_fn=<AddBackward0>))
    """

    w_in: Tensor
    r: Tensor

    def __init__(self, w_in: Tensor | float, synapse: torch.nn.Module, r: Tensor | float, lif: torch.nn.Module) -> None:
        super().__init__()
        for name, value in (("w_in", w_in), ("r", r)):
            if isinstance(value, torch.nn.Parameter):
                self.register_parameter(name, value)
            else:
                self.register_buffer(name, torch.as_tensor(value))
        self.synapse = synapse
        self.lif = lif

    def forward(self, x: Tensor, state: CubaLIFState | None = None) -> tuple[Tensor, CubaLIFState]:
        """One tick: input [B, ...] and state (or None) -> spikes [B, ...] and state."""
        before = CubaLIFState(None, None) if state is None else CubaLIFState(*state)
        i, synapse = self.synapse(self.w_in * x, before.synapse)
        z, lif = self.lif(self.r * i, before.lif)
        return z, CubaLIFState(synapse, lif)


def from_nir(
    node: "nir.NIRNode",
    ignore_warnings: bool = False,
    reset_method: ResetMethod = reset_value,
    dt: float = 0.001,
) -> torch.nn.Module:
    """Reads a network in NIR, the exchange format of neuromorphic tools: `norse.from_nir` by another name.

    Source: as `norse.torch.utils.export_nir.to_nir`.

    Args:
        node: a nir.NIRGraph, another NIR node, or a file's path.
        ignore_warnings: whether to keep silent about what is repaired or coarse in the graph.
        reset_method: what a spike does to the membrane: `reset_value`, as NIR defines it, `reset_subtract` or a
            function like them.
        dt: time step in s.

    Returns:
        A module of one tick: `forward(x, state=None)` gives (output, state), with x [B, ...].

    Raises:
        TypeError: if node is no NIR node.
        ValueError: if the graph can't be run; the message names the node.

    Example:
        >>> import nir, numpy
        >>> model = from_nir(nir.LI(tau=numpy.array([0.01]), r=numpy.array([2.0]), v_leak=numpy.array([0.0])))
        >>> y, state = model(torch.ones(1, 1))
        >>> y.item()  # 0.1 · 2
        0.2...
    """
    import nir

    from norse.verbs import from_nir as read

    if isinstance(node, nir.NIRNode) and not isinstance(node, nir.NIRGraph):
        node = nir.NIRGraph.from_list(node)
    with warnings.catch_warnings():
        if ignore_warnings:
            warnings.simplefilter("ignore")
        model = read(node, dt=dt)
    if reset_method is not reset_value:
        for module in model.modules():
            if isinstance(module, Neuron) and hasattr(module.p, "reset_method"):
                module.p = module.p._replace(reset_method=reset_method)
    return model
