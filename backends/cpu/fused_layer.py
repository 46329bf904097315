"""A linear layer and the loop behind it in one pass over its events (runtime/fused_layer.cpp).

The currents are in no memory, nor are spikes that only such layers read. Backward, the two go one after the other.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor

from norse.backends.at_spikes import Sizes
from norse.backends.c_family.call import VERSION, Call
from norse.backends.cpu.build import load_runtime
from norse.backends.cpu.events import Events
from norse.backends.cpu.memory import empty
from norse.backends.cpu.run import Bound, Executable, is_recorded
from norse.backends.cpu.synapse import events_worth_it, layer_gradients, takes
from norse.backends.cpu.threads import gomp_parallel, threads_for
from norse.backends.operators import BuiltRegion, refuse_a_graph, registered_region, save, saved, stand_in
from norse.compiler.backend import FusedCall, FusedResults, SpikeTrain
from norse.compiler.region import Kernel


@dataclass(frozen=True)
class FusedLayers:
    """Runs a linear layer and the loop behind it in one pass: always, or ("auto") where the density that is found makes
    events cheaper than a dense product."""

    sparse: Literal[True, "auto"]

    def __call__(self, call: FusedCall) -> FusedResults | None:
        """None where the two are to be computed one after the other."""
        region = registered_region(call.program.key, "cpu") if _fits(call) else None
        if region is None:
            return None
        known = None if call.spikes is None else call.spikes.events
        events = events_worth_it(call.x, call.weight, self.sparse, known)
        if events is None:
            return None
        forward = _Forward(region.executables[0], call, events)  # type: ignore[arg-type]
        if call.program.backward is not None and torch.is_grad_enabled():
            results = _FusedLayer.apply(region, forward, call.x, call.weight, call.bias, *call.inputs)  # type: ignore[no-untyped-call]
        else:
            results = region.forward(call.inputs, call.sizes, forward)
        return FusedResults(list(results), forward.spikes)

    def dense(self, x: Tensor, spikes: SpikeTrain) -> Tensor:
        """The tensor that `x` stands for."""
        return _Dense.apply(x, spikes.events)  # type: ignore[no-any-return, no-untyped-call]


def _fits(call: FusedCall) -> bool:
    """Whether the loop's kernels can run on tiles of these tensors, and need the currents for nothing else."""
    program, (ticks, samples, neurons) = call.program, call.sizes
    current, (*rows, inputs) = program.inputs[call.current], call.x.shape
    return (
        takes(call.x, call.weight, call.bias)
        and not is_recorded()
        and not program.forward.mixes_neurons
        and not program.masks  # what backward reads is kept at spikes, piece by piece
        and program.forward.dtype(current) == call.x.dtype
        and current not in program.read_by_backward
        and (program.backward is None or current in program.ticks)
        and call.weight.shape == (neurons, inputs)
        and (call.bias is None or call.bias.shape == (neurons,))
        and prod(rows) == ticks * samples
        and call.x.numel() > 0
    )


class _Layer(ctypes.Structure):
    """`norse_layer` of runtime/fused_layer.cpp."""

    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("call", ctypes.c_void_p),
        ("inputs", ctypes.c_int32),
        ("registers", ctypes.c_int32),
        ("outputs", ctypes.c_int32),
        ("currents", ctypes.c_int32),
        ("spikes", ctypes.c_int32),
        ("reach", ctypes.c_int32),
        ("scratch_rows", ctypes.c_int64),
        ("begin", ctypes.c_void_p),
        ("index", ctypes.c_void_p),
        ("value", ctypes.c_void_p),
        ("width", ctypes.c_int64),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("spike_bits", ctypes.c_void_p),
        ("reach_bits", ctypes.c_void_p),
        ("bits_stride", ctypes.c_int64),
    )


@dataclass
class _Forward:
    """Runs the forward kernel behind the layer."""

    executable: Executable
    call: FusedCall
    events: Events
    spikes: SpikeTrain | None = None  # once it has run: what `call.emitted` is

    @property
    def kernel(self) -> Kernel:
        return self.executable.kernel

    def run(self, tensors: dict[str, Tensor], sizes: Sizes) -> tuple[list[Tensor], list[Tensor]]:
        call, place = self.call, self.executable.places
        current, emitted = call.program.inputs[call.current], call.emitted
        in_memory = call.in_memory or emitted in call.program.read_by_backward
        nowhere = {call.program.reach, *(() if in_memory else (emitted,))}
        outputs = [
            None if name in nowhere else empty(sizes, self.kernel.dtype(name)) for name in self.kernel.graph.outputs
        ]
        bound = self.executable.bind(tensors, sizes, outputs, without=current)
        layer = _described(self.executable, bound, self.events, place[current])
        weight = call.weight.detach().contiguous()
        bias = None if call.bias is None else call.bias.detach().contiguous()
        layer.weight, layer.bias = weight.data_ptr(), None if bias is None else bias.data_ptr()
        if emitted is None:
            _run(layer, bound, sizes, self.events, call.x.dtype)
            return bound.outputs, bound.final  # type: ignore[return-value]
        bits = torch.zeros(2, sizes[0] * sizes[1], -(-sizes[2] // 64), dtype=torch.int64)
        layer.bits_stride = bits.shape[2] * bits.element_size()
        layer.spikes, layer.spike_bits = place[f"output {emitted}"], bits[0].data_ptr()
        if call.program.reach:
            layer.reach, layer.reach_bits = place[f"output {call.program.reach}"], bits[1].data_ptr()
        _run(layer, bound, sizes, self.events, call.x.dtype)
        reach = bits[1] if call.program.reach and not in_memory else None
        self.spikes = SpikeTrain(_events_of(bits[0], sizes[2], call.x.dtype), in_memory, reach)
        filler = stand_in(sizes, call.x.dtype, call.x.device)
        return [filler if x is None else x for x in bound.outputs], bound.final


class _FusedLayer(torch.autograd.Function):
    """Keeps the events, not the input, and no currents."""

    @staticmethod
    def forward(
        ctx: Any,
        region: BuiltRegion,
        forward: _Forward,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        call, events = forward.call, forward.events
        results = region.forward(inputs, call.sizes, forward)
        reach = None if call.spikes is None else call.spikes.reach
        save(ctx, region.program, inputs, results, weight, events.begin, events.index, events.value, reach)
        ctx.region, ctx.sizes, ctx.current, ctx.shape = region, call.sizes, call.current, x.shape
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        refuse_a_graph()
        inputs, results, (weight, begin, index, value, reach) = saved(ctx)
        events = Events(begin, index, value, weight.shape[1])
        found = ctx.region.backward(grads, inputs, results, ctx.sizes)
        of_currents, found[ctx.current] = found[ctx.current], None
        needs = ctx.needs_input_grad[2:5]
        return (
            None,
            None,
            *layer_gradients(of_currents.flatten(0, 1), weight, events, ctx.shape, needs, reach),
            *found,
        )


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, spikes: Events) -> Tensor:
        rows = torch.repeat_interleave(torch.arange(spikes.rows), spikes.begin.diff())
        dense = torch.zeros(spikes.rows, spikes.inputs, dtype=x.dtype)
        dense[rows, spikes.index.long()] = 1
        return dense.view(x.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad, None


def _described(executable: Executable, bound: Bound, events: Events, currents: int) -> _Layer:
    graph = executable.kernel.graph
    return _Layer(
        kernel=executable.function,
        inputs=len(graph.inputs),
        registers=len(graph.registers),
        outputs=len(graph.outputs),
        currents=currents,
        spikes=-1,
        reach=-1,
        scratch_rows=executable.scratch_rows,
        begin=events.begin.data_ptr(),
        index=events.index.data_ptr(),
        value=None if events.value is None else events.value.data_ptr(),
        width=events.inputs,
    )


def _run(layer: _Layer, bound: Bound, sizes: Sizes, events: Events, dtype: torch.dtype) -> None:
    ticks, samples, neurons = sizes
    buffers = bound.buffers()
    call = Call(VERSION, len(buffers), ctypes.addressof(buffers), 0, ticks, 0, samples, 0, neurons, neurons, None)
    layer.call = ctypes.addressof(call)
    threads = threads_for((events.rows + events.index.numel()) * neurons)
    status = _library(dtype).norse_layer_forward(ctypes.byref(layer), threads, gomp_parallel())
    if status:
        raise RuntimeError(f"norse fused layer: {('', 'version', '', 'out of memory', 'too many buffers')[status]}")


def _events_of(bits: Tensor, inputs: int, dtype: torch.dtype) -> Events:
    """The events of rows of bits, by the library for numbers of this type."""
    library = _library(dtype)
    rows, stride = bits.shape[0], bits.shape[1] * bits.element_size()
    begin = torch.empty(rows + 1, dtype=torch.int32)
    found = library.norse_count_bits(bits.data_ptr(), stride, rows, begin.data_ptr())
    if found < 0:
        raise RuntimeError("norse fused layer: more spikes than 32 bits can count")
    index = torch.empty(found, dtype=torch.int32)
    threads = threads_for(bits.numel())
    library.norse_list_bits(bits.data_ptr(), stride, rows, begin.data_ptr(), index.data_ptr(), threads, gomp_parallel())
    return Events(begin, index, None, inputs)


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    library = load_runtime("fused_layer", dtype)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.norse_layer_forward.argtypes, library.norse_layer_forward.restype = (pointer, number, pointer), ctypes.c_int
    library.norse_count_bits.argtypes = (pointer, number, number, pointer)
    library.norse_count_bits.restype = number
    library.norse_list_bits.argtypes = (pointer, number, number, pointer, pointer, number, pointer)
    library.norse_list_bits.restype = None
    return library
