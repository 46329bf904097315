"""The public verbs, where the library, the compiler and the backends come together."""

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from norse.backends import chips, nir_export
from norse.backends.cpu import CpuBackend
from norse.backends.cpu.layers import synapses
from norse.backends.cpu.memory import empty_like
from norse.backends.cpu.replay import record
from norse.backends.cpu.synapse import Sparse
from norse.backends.cuda import CudaBackend
from norse.backends.nir_export.dialect_names import DialectName
from norse.compiler.backend import Backend
from norse.compiler.memory import Memory, Mode
from norse.compiler.module import CompiledModule
from norse.compiler.schedule import Options

if TYPE_CHECKING:
    import nir

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
    sparse: Sparse = "auto",
    surrogate_cutoff: float = 0.0,
    memory: Mode = "auto",
) -> CompiledModule:
    """Compiles a spiking model: time loops become native code, synapses run for all ticks at once.

    The model is traced and built at the first call, and again when something that the trace took for constant has
    changed: a flag, a hook, a submodule, a parameter tuple. Values of tensors are never taken for constant, so
    optimizer steps, `.data` edits and `load_state_dict` are seen. What can't be followed runs eagerly inside the
    compiled model, and `explain()` says what and why.

    Given equal input currents, steps made of + - * /, comparisons, where, min, max, relu and abs give eager's very
    bits. sqrt, exp and their kin differ in the last bits, and linear layers and convolutions may sum over what is
    active alone, so currents, and spikes that stand on the threshold, may differ by rounding; `exact=True` rules that
    out.

    Random numbers of a neuron's step come from a generator in the kernel, seeded by torch's at every call: of eager's
    distribution, the same after the same `torch.manual_seed` for all numbers of threads and all devices, but not
    eager's numbers. With `exact=True` they are eager's, drawn by torch in eager's order.

    Args:
        model: any module: neurons of `norse.torch`, cells or layers, in containers or in modules of your own.
        backend: "cpu" and "cuda" are native code for tensors there, "auto" is whichever the tensors are on, "torch"
            uses no native code. Without a C++ compiler, GPU or writable cache: torch runs instead, with one warning.
        exact: outputs and states bit for bit as eager computes them: synapses are called tick by tick where eager does
            so, and exp and its kin and steps that draw random numbers run in torch. Recurrent layers may then be slower
            than eager. Gradients are sums in another order all the same.
        fullgraph: raise a CompileError instead of running a part of the model eagerly.
        fast_math: let the C++ compiler contract a product and a sum into one rounding and divide by reciprocals, and
            compute exp and tanh (and sigmoid, silu and softplus by them) by polynomials that are within 2 ulp and
            vectorise, where the C library's are calls. Results may then differ in the last bits.
        sparse: whether linear layers and convolutions (Conv1d, Conv2d) on the CPU run event-driven, over what is not
            zero alone: True and False always and never, "auto" where the density that is found at a call makes it
            cheaper on this machine.
        surrogate_cutoff: surrogate derivatives smaller than this count as zero in native loops (0: none do). It is an
            approximation that saves work: event-driven layers compute the gradient of hidden spikes only where it
            passes a derivative that is not zero. Derivatives that are zero by themselves (method="triangle", a compact
            one of yours) save it without, and exactly.
        memory: "low" keeps little for the backward of a call over time: forward keeps its input and the state every now
            and then, backward computes piece after piece of time again, from the last to the first, which costs about
            one more forward pass. "fast" keeps all that the backward reads, "auto" too unless that is more than half of
            the memory that is free at the first call of its shapes. Parts that look at several ticks, draw random
            numbers or count their calls run once for all ticks in each mode; `explain()` says which.

    Returns:
        A module with the model's call signature, state structure, `state_dict` and parameter objects, and with
        `explain()`, `graph`, `tick_graph` and `code`, which tell what became of the last call.

    Raises:
        TypeError: if model is no module.
        ValueError: if the backend, sparse, memory or surrogate_cutoff is none of those above; at a call, if a layer
            can't take its input.
        CompileError: at a call with fullgraph=True, if a part of the model would run eagerly.

    Example:
        >>> import torch, norse, norse.torch as snn
        >>> model = snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF(), snn.LIFRecurrent(4, 5))
        >>> compiled = norse.compile(model)
        >>> z, state = compiled(torch.ones(100, 8, 3))  # [T, B, N], as the model itself
        >>> z.shape
        torch.Size([100, 8, 5])
        >>> print(compiled.explain())
        0  Linear        in one pass with the loop behind it where its input is sparse, else torch, all ticks at once
        1  LIF           one native loop over T: 14 operations fused
        2  LIFRecurrent  one native loop over T, its input synapse all ticks at once: 16 operations fused, with its \
recurrent synapse
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"norse.compile: argument model: expects a torch.nn.Module, got {type(model).__name__}")
    if backend not in _BACKENDS:
        raise ValueError(f"norse.compile: argument backend: expects one of {', '.join(_BACKENDS)}, got {backend!r}")
    if sparse not in (True, False, "auto"):
        raise ValueError(f"norse.compile: argument sparse: expects True, False or 'auto', got {sparse!r}")
    number = isinstance(surrogate_cutoff, int | float) and not isinstance(surrogate_cutoff, bool)
    if not number or not 0 <= surrogate_cutoff < math.inf:
        raise ValueError(
            f"norse.compile: argument surrogate_cutoff: expects a number from 0 up, got {surrogate_cutoff!r}"
        )
    if memory not in ("auto", "low", "fast"):
        raise ValueError(f"norse.compile: argument memory: expects 'auto', 'low' or 'fast', got {memory!r}")
    backends = tuple(kind() for kind in _BACKENDS[backend])
    on_cpu = any(isinstance(kind, CpuBackend) for kind in backends)
    limits = Memory(memory, empty_like) if on_cpu else Memory(memory)
    options = Options(backends, exact, fast_math, float(surrogate_cutoff), memory=limits)
    if on_cpu and not exact:
        options = replace(options, synapses=synapses(sparse), record=record)
    return CompiledModule(model, options, fullgraph)


def to_nir(
    model: nn.Module,
    path: str | os.PathLike[str] | None = None,
    *,
    example_input: "Tensor | tuple[Tensor, ...] | dict[str, Tensor] | None" = None,
    dt: float | None = None,
    time_scaling_factor: float = 1.0,
    subgraphs: bool = False,
    verify: bool = True,
    dialect: DialectName = "nir",
) -> "nir.NIRGraph":
    """Writes a spiking model in NIR, the exchange format of neuromorphic tools.

    The model is traced as `compile` traces it, so cells, layers over time, chains, `Lift` and modules of your own can
    be written, if all that they do can be said in NIR: linear layers, convolutions, average and sum pooling,
    flattening, delays, thresholds, and LI, LIBox, LIF, LIFBox and IAF neurons, recurrent ones too, in any graph with
    any number of inputs and outputs. Nothing is approximated: what NIR can't say is refused. What a consumer has to
    compute to get the same spikes is derived in `docs/nir.md`.

    Source: J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction set for
    interoperable brain-inspired computing", Nature Communications 15, 8122 (2024).

    Args:
        model: any module of those. Dropout must be in eval mode.
        path: the file to write; None means none. An old file is replaced only when the new one is complete.
        example_input: [T, B, ...] for layers over time, `Lift` and forwards that loop over time, [B, ...] for cells, of
            any values; it tells the shapes. A tuple
            for a forward of several inputs, a dictionary for one that takes a dictionary. Not needed if the first layer
            is linear or recurrent.
        dt: time step in s, for a model whose neurons don't depend on it; it must agree with others'.
        time_scaling_factor: the model's unit of time in s, if it is another (0.001 for rates in 1/ms).
        subgraphs: whether a submodule becomes a graph of its own inside of the graph, where no cycle leads out of it.
            Not all tools read such files.
        verify: whether to read the new file before it takes its place, run it by NIR's equations alone, in numpy, and
            compare its spikes and potentials with the model's: on the example input, if it has ticks and is not zero,
            and on random spikes.
        dialect: the tool that is to run the file, where it is not one that takes NIR at its word: the file says in its
            way what gives the same spikes there, or there is none. `docs/nir.md` says what each tool computes.

    Returns:
        The graph. Its attribute `verification` is the report (None without verify): how many spikes there were, all
        equal, and the largest difference of potentials.

    Raises:
        TypeError: if model is no module.
        ValueError: if NIR can't say what a layer does, or a weight or parameter is NaN or infinite, or a time constant
            is not positive; if the dialect's tool can't take a node: the message names all of them. If the file would
            not run as the model does: it names the node and the tick, and why, where a tool's neurons are the cause.
        OSError: if the file can't be written. The old one stays as it was, whatever is raised.

    Example:
        >>> import torch, norse, norse.torch as snn
        >>> graph = norse.to_nir(snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF(), torch.nn.Linear(4, 2), snn.LI()))
        >>> [(name, type(node).__name__) for name, node in graph.nodes.items()][1:-1]
        [('0', 'Affine'), ('1', 'CubaLIF'), ('2', 'Affine'), ('3', 'CubaLI')]
        >>> print(graph.verification)
        64 ticks: ... spikes, all equal; largest difference of potentials ... in node ...
    """
    return nir_export.to_nir(
        model,
        path,
        example_input=example_input,
        dt=dt,
        time_scaling_factor=time_scaling_factor,
        subgraphs=subgraphs,
        verify=verify,
        dialect=dialect,
    )


def from_nir(
    path_or_graph: "str | os.PathLike[str] | nir.NIRGraph",
    *,
    dt: float | None = None,
    reset: Literal["zero", "subtract"] | None = None,
    integrator: Literal["euler", "exponential"] = "euler",
    dialect: DialectName | None = None,
) -> nn.Module:
    """Reads a network in NIR, the exchange format of neuromorphic tools, as a torch module.

    A chain becomes a `SequentialState` of this library's cells and torch's layers, and neurons that a linear layer
    feeds back to themselves a recurrent cell; another graph becomes a module that runs it, in which the edge that
    closes a cycle takes one tick. A graph in the graph becomes a module in the module, unless a cycle passes its
    border. `Lift` makes it a network over time, which compiles. A file that `to_nir` wrote gives the same spikes, bit
    for bit.

    A file is data: nothing in it is run. Small faults of other writers are repaired, with a warning.

    Source: as `to_nir`.

    Args:
        path_or_graph: a file, or a nir.NIRGraph.
        dt: time step in s; None means that of the file, or 0.001 (with a warning) if it says none.
        reset: whether a spike sets the membrane to v_reset ("zero", as NIR defines it) or lowers it by the threshold
            ("subtract", as some tools mean it). None means the dialect's, which is "zero" for NIR.
        integrator: "euler", which is what most tools do and what a file of `to_nir` means, or "exponential", which
            solves neurons with a leak exactly between spikes.
        dialect: the tool that wrote the file: it is read as that tool means it. None means what `to_nir` noted in the
            file, or NIR.

    Returns:
        A module of one tick: `forward(x, state=None)` gives (output, state), with x [B, ...]. Several inputs are taken,
        and several outputs given, in a dictionary by their names in the graph. Weights have the file's dtype, which is
        float64 where numpy's default was written: `.float()` makes the module one for float32 inputs.

    Raises:
        TypeError: if path_or_graph is neither.
        ValueError: if it is no NIR graph, or one that can't be run; the message names the node.
        OSError: if there is no such file, or it is no HDF5 file, or damaged.

    Example:
        >>> import torch, norse, norse.torch as snn
        >>> graph = norse.to_nir(snn.LIFRecurrent(3, 4))
        >>> cell = norse.from_nir(graph)
        >>> cell[0].input_size, cell[0].dt
        (tensor(3), 0.001)
        >>> z, state = snn.Lift(cell)(torch.ones(100, 8, 3))
        >>> z.shape
        torch.Size([100, 8, 4])
    """
    return nir_export.from_nir(path_or_graph, dt=dt, reset=reset, integrator=integrator, dialect=dialect)


def check(
    model_or_file: "nn.Module | nir.NIRGraph | str | os.PathLike[str]",
    target: str,
    *,
    example_input: "Tensor | tuple[Tensor, ...] | dict[str, Tensor] | None" = None,
    dt: float | None = None,
    reset: Literal["zero", "subtract"] | None = None,
    dialect: DialectName | None = None,
) -> chips.Report:
    """Compares a network with what a neuromorphic chip has: what does not fit, and by how much.

    Compared are primitives, numbers of neurons, layers and synapses, fan-in and fan-out, kernels, memory, bits of
    weights, time constants, as far as there are published numbers; each row of the report names its source, and what
    there is no number for is listed as not checked. `docs/chips.md` has all of them. On every chip weights end on
    neurons, and rows on that need no source. Placing a network on the chip is left to its vendor's tool, which the
    report names.

    A module is judged by what it is, also where plain NIR can't say it: neurons that are lowered by the threshold or
    held from below, or whose states are integers. A file is judged by what it means to the tool that wrote it, and the
    report says which that was taken to be.

    Args:
        model_or_file: a module of layers that `to_nir` takes, a nir.NIRGraph, or a NIR file.
        target: "speck", "xylo" (XyloAudio 3), "xylo_audio2", "xylo_imu", "loihi2", "spinnaker2" or "brainscales2".
        example_input: for a module, as `to_nir` takes it.
        dt: time step in s, if the model or file does not say it.
        reset: of a file, as `from_nir` takes it.
        dialect: of a file, as `from_nir` takes it.

    Returns:
        The report: `fits`, `rows`, `misfits`, `read_as`, `as_dict()`; printed, it is a text. A model with a layer that
        NIR has no primitive for fits no chip: the only row says which layer.

    Raises:
        TypeError: if model_or_file is none of these.
        ValueError: if there are no data of the target, the module can't be followed or its input's shape is not told,
            the graph can't be run, or reset or dialect is none of those above, or given with a module.
        OSError: if there is no such file, or it is no HDF5 file, or damaged.

    Example:
        >>> import torch, norse, norse.torch as snn
        >>> model = snn.SequentialState(torch.nn.Linear(20, 600), snn.LIF(), torch.nn.Linear(600, 10), snn.LI())
        >>> report = norse.check(model, "brainscales2")
        >>> report.fits, [(row.limit, row.over) for row in report.misfits if row.limit == "circuits"]
        (False, [('circuits', 138)])
    """
    return chips.check(model_or_file, target, example_input=example_input, dt=dt, reset=reset, dialect=dialect)
