"""A layer with weights and the loop behind it in one pass over its events: the currents are in no memory, nor are
spikes that only such layers read. Backward, the two go one after the other.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from norse.backends.at_spikes import Sizes
from norse.backends.c_family.call import VERSION, Call
from norse.backends.cpu import convolution, pooling, synapse
from norse.backends.cpu.build import load_runtime
from norse.backends.cpu.convolution import shape_of
from norse.backends.cpu.events import MOST_EVENTS, Bits, Events, Spikes, fill, join_rows
from norse.backends.cpu.fused_convolution import FusedConvolution
from norse.backends.cpu.fused_linear import FusedLinear
from norse.backends.cpu.fused_loop import WRONG, FusedSynapse, Loop
from norse.backends.cpu.memory import empty
from norse.backends.cpu.run import Executable, is_recorded
from norse.backends.cpu.synapse import takes
from norse.backends.operators import BuiltRegion, refuse_a_graph, registered_region, save, saved, stand_in
from norse.compiler.backend import BackendUnavailable, FusedCall, FusedResults, SpikeTrain
from norse.compiler.region import Kernel

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True)
class FusedLayers:
    """Runs a layer and the loop behind it in one pass: always, or ("auto") where the density that is found makes events
    cheaper than dense arithmetic."""

    sparse: Literal[True, "auto"]

    def takes(self, layer: nn.Module | None) -> bool:
        return layer is None or isinstance(layer, (nn.Linear, *_CONVOLUTIONS))

    def shape(self, layer: nn.Module | None, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[int, ...] | None:
        if is_recorded() or not takes(x, weight, bias):
            return None
        if isinstance(layer, _CONVOLUTIONS):
            of = None if x.ndim < 3 else shape_of(layer, (prod(x.shape[:2]), *x.shape[2:]))
            return None if of is None else (*x.shape[:2], weight.shape[0], *of.out[4 - weight.ndim :])
        if x.ndim < 2 or weight.ndim != 2 or x.shape[-1] != weight.shape[1] or not x.numel():
            return None
        return (*x.shape[:-1], weight.shape[0])

    def __call__(self, call: FusedCall) -> FusedResults | None:
        ready = _fits(call) and _is_built(isinstance(call.layer, _CONVOLUTIONS), call.x.dtype)
        region = registered_region(call.program.key, "cpu") if ready else None
        found = None if region is None else self._synapse(call)
        if region is None or found is None:
            return None
        forward = _Forward(region.executables[0], call, *found)  # type: ignore[arg-type]
        if call.program.backward is not None and torch.is_grad_enabled():
            results = _FusedLayer.apply(region, forward, call.x, call.weight, call.bias, *call.inputs)  # type: ignore[no-untyped-call]
        else:
            results = region.forward(call.inputs, call.sizes, forward)
        return FusedResults(list(results), forward.spikes)

    def _synapse(self, call: FusedCall) -> tuple[FusedSynapse, Events] | None:
        """What runs the layer, and the events that enter it; None where dense arithmetic is cheaper."""
        (ticks, samples, neurons), x, weight = call.sizes, call.x, call.weight
        known = None if call.spikes is None else call.spikes.events
        if isinstance(call.layer, _CONVOLUTIONS):
            of = shape_of(call.layer, (prod(x.shape[:2]), *x.shape[2:]))
            if of is None or x.shape[:2] != (ticks, samples) or prod(of.sizes[1:]) != neurons:
                return None
            events = convolution.events_worth_it(x, weight, of, self.sparse, known)
            return None if events is None else (FusedConvolution(of), events)
        if prod(x.shape[:-1]) != ticks * samples or weight.shape != (neurons, x.shape[-1]):
            return None
        events = synapse.events_worth_it(x, weight, self.sparse, known)
        return None if events is None else (FusedLinear(), events)

    def pools(self, layer: nn.Module) -> bool:
        return pooling.window_of(layer) is not None

    def pool(self, layer: nn.Module, x: Tensor, spikes: SpikeTrain) -> tuple[Tensor, SpikeTrain] | None:
        try:
            made = pooling.pool_events(layer, x, spikes.events)
        except BackendUnavailable:
            return None
        return None if made is None else (made[0], SpikeTrain(made[1], in_memory=False))

    def join(
        self, tensors: Sequence[Tensor], spikes: Sequence[SpikeTrain], dim: int
    ) -> tuple[Tensor, SpikeTrain] | None:
        around = {(x.dtype, x.ndim, x.shape[:dim], x.shape[dim + 1 :]) for x in tensors}
        row = sum(prod(x.shape[dim:]) for x in tensors)
        if len(around) > 1 or row > MOST_EVENTS or not all(x.numel() for x in tensors):
            return None
        lists = [each.events.in_rows_of(prod(x.shape[dim:])) for x, each in zip(tensors, spikes, strict=True)]
        made = _Join.apply(dim, *tensors)  # type: ignore[no-untyped-call]
        return made, SpikeTrain(join_rows(lists, tensors[0].dtype), in_memory=False)

    def dense(self, x: Tensor, spikes: SpikeTrain) -> Tensor:
        """The tensor that `x` stands for."""
        return _Dense.apply(x, spikes.events)  # type: ignore[no-any-return, no-untyped-call]


@cache
def _is_built(convolution: bool, dtype: torch.dtype) -> bool:
    """Whether there is, or can be built, all that such a layer runs on, backward too, and what brings its spikes to
    memory: the loop may be there from a time with a compiler."""
    names = ("fused_convolution", "convolution") if convolution else ("fused_linear",)
    try:
        for name in (*names, "synapse"):
            load_runtime(name, dtype)
        load_runtime("lists")
    except BackendUnavailable:
        return False
    return True


def _fits(call: FusedCall) -> bool:
    """Whether the loop's kernels can run on tiles of these tensors, and need the currents for nothing else."""
    program, neurons = call.program, call.sizes[2]
    current = program.inputs[call.current]
    outputs = neurons if call.weight.ndim == 2 else call.weight.shape[0]
    return (
        not program.forward.mixes_neurons
        and not program.masks  # what backward reads is kept at spikes, piece by piece
        and program.forward.dtype(current) == call.x.dtype
        and current not in program.read_by_backward
        and (program.backward is None or current in program.ticks)
        and (call.bias is None or call.bias.shape == (outputs,))
        and call.x.numel() > 0
    )


@dataclass
class _Forward:
    """Runs the forward kernel behind the layer."""

    executable: Executable
    call: FusedCall
    synapse: FusedSynapse
    events: Events
    spikes: SpikeTrain | None = None  # once it has run: what `call.emitted` is

    @property
    def kernel(self) -> Kernel:
        return self.executable.kernel

    def run(self, tensors: dict[str, Tensor], sizes: Sizes) -> tuple[list[Tensor], list[Tensor]]:
        call, place = self.call, self.executable.places
        current = call.program.inputs[call.current]
        # Of another dtype than the currents are, spikes stay as the kernel writes them.
        emitted = None if call.emitted is None or self.kernel.dtype(call.emitted) != call.x.dtype else call.emitted
        in_memory = call.in_memory or emitted in call.program.read_by_backward
        nowhere = {call.program.reach, *(() if in_memory else (emitted,))}
        outputs = [
            None if name in nowhere else empty(sizes, self.kernel.dtype(name)) for name in self.kernel.graph.outputs
        ]
        bound = self.executable.bind(tensors, sizes, outputs, without=current)
        (ticks, samples, neurons), buffers = sizes, bound.buffers()
        whole = Call(VERSION, len(buffers), ctypes.addressof(buffers), 0, ticks, 0, samples, 0, neurons, neurons, None)
        loop = Loop.of(self.executable, current)
        loop.call = ctypes.addressof(whole)
        bits = None if emitted is None else Bits.zeros(ticks * samples, neurons)
        reach = Bits.zeros(ticks * samples, neurons) if bits is not None and call.program.reach else None
        if bits is not None:
            loop.bits_stride = bits.words.shape[1]
            loop.spikes, loop.spike_bits = place[f"output {emitted}"], bits.words.data_ptr()
        if reach is not None:
            loop.reach, loop.reach_bits = place[f"output {call.program.reach}"], reach.words.data_ptr()
        weight = call.weight.detach().contiguous()
        bias = None if call.bias is None else call.bias.detach().contiguous()
        status = self.synapse.run(loop, self.events, weight, bias, neurons)
        if status:
            raise RuntimeError(f"norse fused layer: {WRONG[status]}")
        if bits is not None:
            self.spikes = SpikeTrain(bits, in_memory, None if in_memory or reach is None else reach.words)
        made = [stand_in(sizes, call.x.dtype, call.x.device) if x is None else x for x in bound.outputs]
        return made, bound.final


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
        ctx.synapse, ctx.width = forward.synapse, events.inputs
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        refuse_a_graph()
        inputs, results, (weight, begin, index, value, reach) = saved(ctx)
        events = Events(begin, index, value, ctx.width)
        found = ctx.region.backward(grads, inputs, results, ctx.sizes)
        of_currents, found[ctx.current] = found[ctx.current], None
        needs = ctx.needs_input_grad[2:5]
        return None, None, *ctx.synapse.gradients(of_currents, weight, events, ctx.shape, needs, reach), *found


class _Join(torch.autograd.Function):
    """A concatenation of what is in no memory."""

    @staticmethod
    def forward(ctx: Any, dim: int, *tensors: Tensor) -> Tensor:
        ctx.dim, ctx.sizes = dim, [x.shape[dim] for x in tensors]
        first = tensors[0]
        return stand_in((*first.shape[:dim], sum(ctx.sizes), *first.shape[dim + 1 :]), first.dtype, first.device)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return None, *grad.split(ctx.sizes, ctx.dim)


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, spikes: Spikes) -> Tensor:
        return fill(spikes.in_rows_of(spikes.inputs), x.dtype).view(x.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad, None
