"""The public verbs, where the library, the compiler and the backends come together."""

from typing import Literal

from torch import nn

from norse.backends.cpu import CpuBackend
from norse.backends.cuda import CudaBackend
from norse.compiler.backend import Backend
from norse.compiler.module import CompiledModule
from norse.compiler.schedule import Options

BackendName = Literal["auto", "cpu", "cuda", "torch"]

_BACKENDS: dict[str, tuple[type[Backend], ...]] = {
    "auto": (CpuBackend, CudaBackend),  # whichever the tensors are on
    "cpu": (CpuBackend,),
    "cuda": (CudaBackend,),
    "torch": (),
}


def compile(
    model: nn.Module,
    *,
    backend: BackendName = "auto",
    exact: bool = False,
    fullgraph: bool = False,
    fast_math: bool = False,
) -> CompiledModule:
    """Compiles a spiking model: time loops become native code, synapses run for all ticks at once.

    The model is traced and built at the first call, and again when something that the trace took for constant has
    changed: a flag, a hook, a submodule, a parameter tuple. Values of tensors are never taken for constant, so optimizer
    steps, `.data` edits and `load_state_dict` are seen. What can't be followed runs eagerly inside the compiled model,
    and `explain()` says what and why.

    Given equal input currents, steps made of + - * /, comparisons, where, min, max, relu, abs and sqrt give eager's very
    bits. exp and its kin differ in the last bits, and recurrent weights are summed over the active neurons alone, so
    currents, and spikes that stand on the threshold, may differ by rounding; `exact=True` rules that out.

    Args:
        model: any module: neurons of `norse.torch`, cells or layers, in containers or in modules of your own.
        backend: "cpu" and "cuda" are native code for tensors there, "auto" is whichever the tensors are on, "torch"
            uses no native code. Without a C++ compiler, GPU or writable cache: torch runs instead, with one warning.
        exact: the whole network bit for bit as eager computes it: synapses are called tick by tick where eager does so,
            and exp and its kin run in torch.
        fullgraph: raise a CompileError instead of running a part of the model eagerly.
        fast_math: let the compiler contract and reassociate arithmetic; results may then differ in the last bits.

    Returns:
        A module with the model's call signature, state structure, `state_dict` and parameter objects, and with
        `explain()`, `graph`, `tick_graph` and `code`, which tell what became of the last call.

    Raises:
        TypeError: if model is no module.
        ValueError: if the backend is none of those above; at a call, if a layer can't take its input.
        CompileError: at a call with fullgraph=True, if a part of the model would run eagerly.

    Example:
        >>> import torch, norse, norse.torch as snn
        >>> model = snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF(), snn.LIFRecurrent(4, 5))
        >>> compiled = norse.compile(model)
        >>> z, state = compiled(torch.ones(100, 8, 3))  # [T, B, N], as the model itself
        >>> z.shape
        torch.Size([100, 8, 5])
        >>> print(compiled.explain())
        0  Linear        torch, all ticks at once
        1  LIF           one native loop over T
        2  LIFRecurrent  one native loop over T, its input synapse all ticks at once
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"norse.compile: argument model: expects a torch.nn.Module, got {type(model).__name__}")
    if backend not in _BACKENDS:
        raise ValueError(f"norse.compile: argument backend: expects one of {', '.join(_BACKENDS)}, got {backend!r}")
    backends = tuple(kind() for kind in _BACKENDS[backend])
    return CompiledModule(model, Options(backends, exact, fast_math), fullgraph)
