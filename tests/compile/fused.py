"""Layers and spikes whose sums are exact, and what becomes of them when layers are fused with the loops behind them."""

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from norse.backends.cpu.fused_layer import FusedLayers
from norse.compiler.backend import FusedCall, FusedResults
from norse.compiler.module import CompiledModule
from norse.compiler.steps.fused_layer import FusedLayerStep


def exact(layer: nn.Module, inputs: int) -> nn.Module:
    """With weights that are multiples of 1/64, so that currents are the same in every order of summing."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_((torch.randn(parameter.shape) * 64 * 12 / inputs**0.5).round() / 64)
    return layer


def linear(inputs: int, outputs: int, bias: bool = False, dtype: torch.dtype = torch.float32) -> nn.Module:
    return exact(nn.Linear(inputs, outputs, bias=bias, dtype=dtype), inputs)


def spikes(*shape: int, density: float = 0.1, dtype: torch.dtype = torch.float32) -> Tensor:
    return (torch.rand(*shape) < density).to(dtype)


def fused_steps(compiled: CompiledModule) -> list[FusedLayerStep]:
    return [step for step in compiled.variant.fused if isinstance(step, FusedLayerStep)]


def kept_bytes(compiled: CompiledModule, x: Tensor) -> int:
    """What autograd keeps of a call: of what is expanded, the numbers in memory alone."""
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        held = 1
        for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
            held *= size if stride else 1
        kept += held * tensor.element_size()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        compiled(x)
    return kept


class Watched(FusedLayers):
    """Notes what was fused, and which of the spikes it left out of memory."""

    made: list[tuple[bool, bool]]

    def __call__(self, call: FusedCall) -> FusedResults | None:
        found = super().__call__(call)
        hidden = found is not None and found.spikes is not None and not found.spikes.in_memory
        self.made.append((found is not None, hidden))
        return found


def watch(compiled: CompiledModule) -> list[tuple[bool, bool]]:
    watched = Watched(True)
    object.__setattr__(watched, "made", [])
    for step in fused_steps(compiled):
        step.fuses = watched
    return watched.made
