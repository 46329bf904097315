"""The public verbs, where the library, the compiler and the backends come together."""

from typing import Literal

from torch import nn

from norse.backends.cpu import CpuBackend
from norse.compiler.backend import Backend
from norse.compiler.module import CompiledModule
from norse.compiler.schedule import Options

BackendName = Literal["auto", "cpu", "cuda", "torch"]


def compile(
    model: nn.Module,
    *,
    backend: BackendName = "auto",
    exact: bool = False,
    fullgraph: bool = False,
    fast_math: bool = False,
) -> CompiledModule:
    """Compiles a spiking model.

    Args:
        model: any module.

    Returns:
        A module with the same call signature, state structure and parameter objects.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"norse.compile: argument model: expects a torch.nn.Module, got {type(model).__name__}")
    return CompiledModule(model, Options(_backends(backend), exact, fast_math), fullgraph)


def _backends(name: str) -> tuple[Backend, ...]:
    if name in ("auto", "cpu"):
        return (CpuBackend(),)
    if name == "torch":
        return ()
    raise ValueError(f"norse.compile: argument backend: expects auto, cpu, cuda or torch, got {name!r}")
