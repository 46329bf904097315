"""The boundary to torch: two operators for the whole library, `norse::region` and `norse::region_backward`.

A region is named by its key, the hash of its program, which is enough to find or build it in another process. Outside
torch.compile and torch.export, `call` goes past the dispatcher to the same kernels.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from norse.backends.at_spikes import (
    Compaction,
    Empty,
    Executable,
    Kept,
    Sizes,
    TorchCompaction,
    run_backward,
    run_forward,
)
from norse.compiler.region import Kernel, Kind, RegionProgram


def _empty(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(sizes, dtype=dtype, device=device)


class Runner(Protocol):
    """Another way to run a kernel than as it was built."""

    @property
    def kernel(self) -> Kernel: ...

    def run(self, tensors: dict[str, Tensor], sizes: Sizes) -> tuple[list[Tensor], list[Tensor]]: ...


class BuiltRegion:
    """A program with its kernels built: computes outputs and gradients of plain tensors."""

    def __init__(
        self,
        program: RegionProgram,
        forward: Executable,
        backward: Executable | None,
        weight_gradient: Callable[[Tensor, Tensor], Tensor] = lambda gradient, activity: gradient.t() @ activity,
        empty: Empty = _empty,
        compaction: Compaction | None = None,
    ) -> None:
        self.program, self.executables = program, (forward, backward)
        self._weight_gradient, self._empty = weight_gradient, empty
        self._compaction = compaction or TorchCompaction()
        registers = program.forward.graph.registers
        names = program.inputs[len(program.inputs) - len(registers) :]
        # Register -> the region's input that it starts from.
        self.initial = {register.value: name for register, name in zip(registers, names, strict=True)}

    def forward(self, inputs: Sequence[Tensor], sizes: Sizes, runner: Runner | None = None) -> list[Tensor]:
        """The tick's outputs, the final state, then what backward reads."""
        executable = runner or self.executables[0]
        count = len(self.program.outputs)
        outputs, final = executable.run(self._forward_tensors(executable.kernel, inputs), sizes)
        return [*outputs[:count], *final, *outputs[count : count + len(self.program.saved)]]

    def forward_at_spikes(self, inputs: Sequence[Tensor], sizes: Sizes) -> tuple[list[Tensor], Kept]:
        """The tick's outputs and the final state; and what backward reads, kept at spikes where that is enough."""
        executable = self.executables[0]
        tensors = self._forward_tensors(executable.kernel, inputs)
        outputs, final, kept = run_forward(self.program, executable, tensors, sizes, self._empty, self._compaction)
        return [*outputs, *final], kept

    def _forward_tensors(self, kernel: Kernel, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        tensors = self._named_inputs(kernel, inputs)
        tensors.update((f"initial_{register}", tensors[name]) for register, name in self.initial.items())
        return tensors

    def backward(
        self,
        grads: Sequence[Tensor | None],
        inputs: Sequence[Tensor],
        results: Sequence[Tensor],
        sizes: Sizes,
        kept: Kept | None = None,
    ) -> list[Tensor | None]:
        """One gradient an input, None where the program has none. `results`, `kept`: all that forward gave."""
        program, executable = self.program, self.executables[1]
        if executable is None:
            raise RuntimeError("this region was built without a backward")
        _, b, n = sizes
        outputs, registers = program.outputs, program.forward.graph.registers
        saved = results[len(outputs) + len(registers) :]
        tensors = self._named_inputs(executable.kernel, inputs)
        tensors.update(zip(outputs, results, strict=False))
        tensors.update(zip(program.saved, saved, strict=kept is None))
        for seed, grad, result in zip(program.seeds, grads, results, strict=False):
            tensors[seed] = result.new_zeros(sizes[2]).expand(sizes) if grad is None else grad
        finals = dict(zip((r.value for r in registers), grads[len(outputs) :], strict=False))
        states = {adjoint: register for register, adjoint in program.adjoints.items()}
        for register in executable.kernel.graph.registers:
            dtype = executable.kernel.dtype(register.value)
            grad = finals.get(states.get(register.value, ""))
            tensors[register.initial] = _row_of(inputs).new_zeros((b, n), dtype=dtype) if grad is None else grad
        if kept is None:
            ticks, last = executable.run(tensors, sizes)
        else:
            ticks, last = run_backward(program, executable, tensors, kept, sizes, self._empty, self._compaction)
        over_time = dict(zip(executable.kernel.graph.outputs, ticks, strict=True))
        at_end = dict(zip((r.value for r in executable.kernel.graph.registers), last, strict=True))
        found = {name: over_time[source] for name, source in program.ticks.items()}
        for table in (program.sums, program.states):
            found.update({name: at_end[source] for name, source in table.items()})
        for weight in program.weights:
            activity = tensors.get(weight.activity)
            activity = inputs[program.inputs.index(weight.activity)] if activity is None else activity
            rows = over_time[weight.gradient].reshape(-1, n)
            product = self._weight_gradient(rows, activity.reshape(-1, activity.shape[-1]))
            if weight.factor is not None:
                product = product * inputs[program.inputs.index(weight.factor)]
            _add(found, weight.weight, product, weight.scale)
        for row in program.rows:
            matrix = inputs[program.inputs.index(row.matrix)]
            _add(found, row.input, over_time[row.gradient] @ (matrix.t() if row.transposed else matrix), row.scale)
        return [
            found[name].sum_to_size(x.shape).to(x.dtype) if name in found else None
            for name, x in zip(program.inputs, inputs, strict=True)
        ]

    def _named_inputs(self, kernel: Kernel, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        tensors = dict(zip(self.program.inputs, inputs, strict=True))
        for name in kernel.graph.inputs:
            if kernel.kinds[name] == Kind.MATRIX and name not in tensors:
                tensors[name] = tensors[name.removesuffix("_transposed")].detach().t()
        return tensors


def _add(found: dict[str, Tensor], name: str, product: Tensor, scale: float) -> None:
    product = product if scale == 1 else product * scale
    found[name] = found[name] + product if name in found else product


_REGIONS: dict[tuple[str, str], BuiltRegion] = {}  # by key and torch's device type
_REBUILDERS: dict[str, Callable[[str], BuiltRegion | None]] = {}


def register_region(region: BuiltRegion, device: str) -> None:
    _REGIONS[region.program.key, device] = region


def registered_region(key: str, device: str) -> BuiltRegion | None:
    """A region that was built in this process already."""
    return _REGIONS.get((key, device))


def register_rebuilder(rebuild: Callable[[str], BuiltRegion | None], device: str) -> None:
    """A backend's way to build a region from its key in a process that has not traced it."""
    _REBUILDERS[device] = rebuild


def region_of(key: str, inputs: Sequence[Tensor]) -> BuiltRegion:
    """The region for the device that the inputs are on."""
    device = _row_of(inputs).device.type
    if (key, device) not in _REGIONS:
        region = _REBUILDERS[device](key) if device in _REBUILDERS else None
        if region is None:
            raise RuntimeError(f"norse::region: no region {key!r} for {device} in this process or in the cache")
        _REGIONS[key, device] = region
    return _REGIONS[key, device]


def _row_of(inputs: Sequence[Tensor]) -> Tensor:
    """An input on the region's device: numbers may be elsewhere."""
    return next(tensor for tensor in inputs if tensor.ndim)


def call(region: BuiltRegion, inputs: Sequence[Tensor], sizes: Sizes) -> list[Tensor]:
    """Runs a region, differentiably where its program has a backward."""
    if is_traced(inputs):
        results = list(torch.ops.norse.region(list(inputs), region.program.key, list(sizes)))
        return [x.detach() if place in region.program.constant else x for place, x in enumerate(results)]
    if region.program.backward is not None and torch.is_grad_enabled():
        return list(_RegionFunction.apply(region, sizes, *inputs))  # type: ignore[no-untyped-call]
    return region.forward(inputs, sizes)


def is_traced(inputs: Sequence[Tensor]) -> bool:
    """Whether torch records or simulates this call instead of running it."""
    return (
        torch.compiler.is_compiling()
        or _get_current_dispatch_mode() is not None
        or any(isinstance(tensor, FakeTensor) for tensor in inputs)
    )


class _RegionFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, region: BuiltRegion, sizes: Sizes, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.region, ctx.sizes, ctx.counts = region, sizes, None
        if region.program.masks:
            results, kept = region.forward_at_spikes(inputs, sizes)
            ctx.counts = kept.counts
            save(ctx, region.program, inputs, results, *kept.tensors)
        else:
            results = region.forward(inputs, sizes)
            save(ctx, region.program, inputs, results)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        refuse_a_graph()
        inputs, results, more = saved(ctx)
        kept = None if ctx.counts is None else Kept.of(more, ctx.counts)
        return (None, None, *ctx.region.backward(grads, inputs, results, ctx.sizes, kept))


def save(
    ctx: Any, program: RegionProgram, inputs: Sequence[Tensor], results: Sequence[Tensor], *more: Tensor | None
) -> None:
    """Keeps what backward reads, and more; of all else, what it is like. So users may write into what no gradient
    needs. Marks the results that no gradient leads to. What is kept at spikes is not among the results."""
    _keep(ctx, program, inputs, results, *more)
    ctx.set_materialize_grads(False)
    count = len(program.outputs) + len(program.forward.graph.registers)
    constant = {*program.constant, *range(count, len(results))}
    ctx.mark_non_differentiable(*(r for k, r in enumerate(results) if k in constant or not r.is_floating_point()))


def _keep(
    ctx: Any, program: RegionProgram, inputs: Sequence[Tensor], results: Sequence[Tensor], *more: Tensor | None
) -> None:
    names = (*program.inputs, *program.outputs, *(None for _ in program.forward.graph.registers), *program.saved)
    read = [name in program.read_by_backward for name in names]
    tensors = (*inputs, *results)
    read = read[: len(tensors)]
    ctx.save_for_backward(*(tensor for tensor, kept in zip(tensors, read, strict=True) if kept), *more)
    ctx.inputs = len(inputs)
    ctx.like = [
        None if kept else (tensor.shape, tensor.dtype, tensor.device)
        for tensor, kept in zip(tensors, read, strict=True)
    ]


def saved(ctx: Any) -> tuple[list[Tensor], list[Tensor], list[Any]]:
    """Inputs and results again, and what more was kept; in place of what was not, something of its shape."""
    kept = iter(ctx.saved_tensors)
    tensors = [next(kept) if like is None else stand_in(*like) for like in ctx.like]
    return tensors[: ctx.inputs], tensors[ctx.inputs :], list(kept)


def stand_in(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor that is only looked at from outside: one number in memory, which is none."""
    filler = torch.empty((), dtype=dtype, device=device)
    return (filler.fill_(torch.nan) if dtype.is_floating_point else filler).expand(tuple(shape))


def refuse_a_graph() -> None:
    """Gradients of a kernel know nothing of how they were made: differentiated again, they would count as constants."""
    if torch.is_grad_enabled():  # in a backward: with create_graph
        raise RuntimeError(
            "loops that norse.compile built can't be differentiated twice (create_graph=True): use the eager model"
        )


# ---- the operators -------------------------------------------------------------------------------

_LIBRARY = torch.library.Library("norse", "DEF")
_LIBRARY.define("region(Tensor[] inputs, str key, int[] flags) -> Tensor[]")
_LIBRARY.define("region_backward(Tensor[] grads, Tensor[] inputs, Tensor[] results, str key, int[] flags) -> Tensor[]")


def _sizes(flags: Sequence[int]) -> Sizes:
    t, b, n = flags
    return t, b, n


@torch.library.impl("norse::region", ("cpu", "cuda"))  # type: ignore[untyped-decorator]
def _region(inputs: list[Tensor], key: str, flags: list[int]) -> list[Tensor]:
    return region_of(key, inputs).forward(inputs, _sizes(flags))


@torch.library.register_fake("norse::region")
def _region_fake(inputs: list[Tensor], key: str, flags: list[int]) -> list[Tensor]:
    program = region_of(key, inputs).program
    kernel = program.forward
    t, b, n = flags
    row = _row_of(inputs)

    def over_time(name: str) -> Tensor:
        return row.new_empty((t, b, n), dtype=kernel.dtype(name))

    outputs = [over_time(name) for name in kernel.graph.outputs]
    states = [row.new_empty((b, n), dtype=kernel.dtype(r.value)) for r in kernel.graph.registers]
    count = len(program.outputs)
    return [*outputs[:count], *states, *outputs[count : count + len(program.saved)]]


@torch.library.impl("norse::region_backward", ("cpu", "cuda"))  # type: ignore[untyped-decorator]
def _region_backward(
    grads: list[Tensor], inputs: list[Tensor], results: list[Tensor], key: str, flags: list[int]
) -> list[Tensor]:
    found = region_of(key, inputs).backward(grads, inputs, results, _sizes(flags))
    return [gradient for gradient in found if gradient is not None]


@torch.library.register_fake("norse::region_backward")
def _region_backward_fake(
    grads: list[Tensor], inputs: list[Tensor], results: list[Tensor], key: str, flags: list[int]
) -> list[Tensor]:
    program = region_of(key, inputs).program
    return [
        torch.empty_like(x) for name, x in zip(program.inputs, inputs, strict=True) if _differentiable(program, name)
    ]


def _differentiable(program: RegionProgram, name: str) -> bool:
    products = {*(weight.weight for weight in program.weights), *(row.input for row in program.rows)}
    return name in program.ticks or name in program.sums or name in program.states or name in products


def _setup(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    tensors, ctx.key, ctx.flags = inputs
    _keep(ctx, region_of(ctx.key, tensors).program, tensors, output)


def _differentiate(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, None, None]:
    refuse_a_graph()
    inputs, results, _ = saved(ctx)
    program = region_of(ctx.key, inputs).program
    count = len(results) - len(program.saved)
    given = [torch.zeros_like(r) if g is None else g for g, r in zip(grads[:count], results[:count], strict=True)]
    found = iter(torch.ops.norse.region_backward(given, inputs, results, ctx.key, ctx.flags))
    return [next(found) if _differentiable(program, name) else None for name in program.inputs], None, None


torch.library.register_autograd("norse::region", _differentiate, setup_context=_setup)
