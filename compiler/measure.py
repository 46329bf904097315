"""Profiles a compiled model: runs it piece by piece, forward and backward, with a clock around each."""

import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from norse.compiler.costs import extent, kernel_bytes, loop_operations, program_of, size_of, torch_operations
from norse.compiler.guard import flattened
from norse.compiler.ir import Graph
from norse.compiler.passes.plan_memory import AllKept
from norse.compiler.pieces import OF_THE_REST, Piece, pieces
from norse.compiler.profile import Profile, Row, merged
from norse.compiler.steps.loop import LoopStep
from norse.compiler.steps.stepped import Runs, SteppedStep
from norse.compiler.synapses import SynapseCounter
from norse.compiler.untouched import untouched

Values = MutableMapping[str, Any]


class Compiled(Protocol):
    """What is profiled: the variant of a model that ran last."""

    trace: Any
    ticks: Graph | None
    steps: list[Runs]

    def run(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: list[Any]) -> Any: ...


def profile(
    call: Callable[..., Any],
    variant: Callable[[], Any],
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    backward: bool,
    repeats: int,
) -> Profile:
    """Measures `call(*args, **kwargs)`; `variant()` is what was compiled for it once it has been called."""
    if repeats < 1:
        raise ValueError(f"profile: argument repeats: expects at least 1, got {repeats}")
    tensors = [x for x in (*pytree.tree_leaves((args, kwargs)), *model.parameters()) if isinstance(x, Tensor)]
    clock = _clock(any(x.is_cuda for x in tensors))
    with untouched(model):
        whole = partial(_whole_call, call, model, args, kwargs, backward)
        whole()  # builds what is not built
        rows = _rows(_Run(variant(), model, args, kwargs, backward, clock), repeats)
        times = [_timed(whole, clock) for _ in range(repeats)]
    return Profile(tuple(rows), median(times), repeats, partial(_record, whole, model))


def _whole_call(
    call: Callable[..., Any], model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], backward: bool
) -> None:
    """The call, and the gradients of the sum of all results; they are computed, and kept nowhere."""
    results = _differentiable(pytree.tree_leaves(call(*args, **kwargs)))
    if not backward:
        return
    wanted = _differentiable((*pytree.tree_leaves((args, kwargs)), *model.parameters()))
    if not results or not wanted:
        raise ValueError("profile: argument backward: nothing in this call requires a gradient")
    torch.autograd.grad(results, wanted, [torch.ones_like(x) for x in results], allow_unused=True)


def _record(whole: Callable[[], None], model: nn.Module, path: str) -> None:
    with untouched(model), torch.profiler.profile() as profiler:
        whole()
    profiler.export_chrome_trace(path)


class _Window(AllKept):
    """What a piece makes; what it reads comes from outside, cut off from what made it, so that its own backward can be
    run alone."""

    def __init__(self, outside: Mapping[str, Any], copies: bool) -> None:
        super().__init__()
        self.read: dict[str, Any] = {}
        self._outside, self._copies = outside, copies

    def __missing__(self, name: str) -> Any:
        if name not in self.read:
            self.read[name] = self._cut_off(self._outside[name])
        leaf = self.read[name]
        # a leaf that requires a gradient must not be changed in place, and eager modules may do that
        return leaf.clone() if self._copies and isinstance(leaf, Tensor) and leaf.requires_grad else leaf

    @staticmethod
    def _cut_off(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.detach().requires_grad_(value.requires_grad)


class _Measured:
    """A piece, and what was measured of it."""

    def __init__(self, piece: Piece, modules: Mapping[str, nn.Module], clock: Callable[[], float]) -> None:
        self.piece, self._clock = piece, clock
        paths = {node.attrs["_path"] for node in piece.nodes if node.op == "eager" or "_row" in node.attrs}
        self.parameters = [p for path in paths for p in modules[path].parameters()]
        self.window = _Window({}, False)
        self.forward: list[float] = []
        self.backward: list[float] = []
        self.gradients: list[Tensor | None] = []

    def run(self, values: Values) -> None:
        start = self._clock()
        self.window = self._run(values)
        self.forward.append(self._clock() - start)
        values.update(self.window)

    def _run(self, values: Mapping[str, Any]) -> _Window:
        window = _Window(values, copies=self.piece.runs == "eager")
        self.piece.step.run(window)
        return window

    def differentiate(self, grads: dict[str, Tensor]) -> None:
        """Takes the gradients of what it made out of `grads`, and adds those of what it read."""
        made = {name: x for name, x in self.window.items() if isinstance(x, Tensor) and x.requires_grad}
        given = {name: grads[name] for name in made if name in grads}
        leaves = {name: x for name, x in self.window.read.items() if isinstance(x, Tensor) and x.requires_grad}
        wanted = [*leaves.values(), *_differentiable(self.parameters)]
        start, found = self._clock(), list[Tensor | None]()
        if given and wanted:
            results = [made[name] for name in given]
            found = list(torch.autograd.grad(results, wanted, list(given.values()), allow_unused=True))
        self.backward.append(self._clock() - start if found else 0.0)
        self.gradients = [*given.values(), *found] if found else []
        for name, gradient in zip(leaves, found, strict=False):
            if gradient is not None:
                grads[name] = grads[name] + gradient if name in grads else gradient

    # ---- what is computed, on the window of the last run -------------------------------------------

    def rows(self, ticks: Graph | None, backward: bool) -> Iterator[tuple[Row, Sequence[float]]]:
        """What it costs forward, and backward if there was any."""
        flops, back = self._flops(backward)
        synops, density = self._synapses(ticks)
        moved, back_moved = self._bytes(backward)
        piece = self.piece
        first = Row(piece.layer, piece.operation, piece.runs, "forward", 0.0, moved, flops, synops, density)
        yield first, self.forward
        if any(self.backward):
            second = replace(first, direction="backward", bytes=back_moved, flops=back, synops=None, density=None)
            yield second, self.backward

    def _bytes(self, backward: bool) -> tuple[int, int]:
        window, step = self.window, self.piece.step
        if all(node.op in OF_THE_REST for node in self.piece.nodes) and self.piece.nodes:  # of what they read: shapes
            own = [name for node in self.piece.nodes if node.op == "initial_state" for name in node.outputs]
            return size_of(window[name] for name in own), size_of(self.gradients)
        moved = size_of([*window.read.values(), *window.values(), *self.parameters])
        program = program_of(step, backward) if isinstance(step, LoopStep) else None
        if not isinstance(step, LoopStep) or program is None:
            return moved, size_of([*self.gradients, *window.read.values(), *self.parameters])
        over, matrices = extent(step, window.read, window), self._matrices(step)
        saved = sum(program.forward.dtype(name).itemsize for name in program.saved)
        back = 0 if program.backward is None else kernel_bytes(program.backward, over, matrices)
        return moved + saved * over.all, back

    def _flops(self, backward: bool) -> tuple[int, int]:
        step = self.piece.step
        if isinstance(step, LoopStep):
            forward, back = self._loop_flops(step, self.window.read, self.window, backward)
            return forward, self._torch_flops()[1] if back is None else back
        forward, back = self._torch_flops()
        inner = self._inner_flops(step) if isinstance(step, SteppedStep) else 0
        return forward + torch_operations(self.piece.nodes, self.window) + inner, back

    def _torch_flops(self) -> tuple[int, int]:
        """Matrix products and convolutions."""
        with FlopCounterMode(display=False) as counter:
            window = self._run(self.window.read)
        if not self.gradients:
            return counter.get_total_flops(), 0
        self.window = window
        grads = {name: torch.ones_like(x) for name, x in window.items() if isinstance(x, Tensor)}
        with FlopCounterMode(display=False) as back:
            self.differentiate(grads)
        self.backward.pop()  # it is no measurement
        return counter.get_total_flops(), back.get_total_flops()

    def _loop_flops(
        self, loop: LoopStep, read: Mapping[str, Any], made: Mapping[str, Any], backward: bool
    ) -> tuple[int, int | None]:
        """Forward and backward; None for a backward that torch runs."""
        over, matrices, program = extent(loop, read, made), self._matrices(loop), program_of(loop, backward)
        if program is None:
            return loop_operations(loop.tick.graph, over, matrices), None if backward else 0
        forward = loop_operations(program.forward.graph, over, matrices)
        if program.backward is None:
            return forward, 0
        back = loop_operations(program.backward.graph, over, matrices)
        products = (*(weight.weight for weight in program.weights), *(row.matrix for row in program.rows))
        return forward, back + sum(2 * over.all * matrices[name][1] for name in products)

    def _inner_flops(self, step: SteppedStep) -> int:
        """What the native parts of a tick compute, seen at one tick with its neighbours' values."""
        ticks = self.window.read[step.varying[0]].shape[0]
        if not ticks:
            return 0
        now = {name: self.window.read[name] for name in step.fixed}
        now.update({name: self.window.read[name][0] for name in step.varying})
        now.update({register.value: self.window.read[register.initial] for register in step.registers})
        total = 0
        with torch.no_grad():
            for part in step.parts:
                window = _Window(now, copies=False)
                part.run(window)
                if isinstance(part, LoopStep):
                    total += ticks * self._loop_flops(part, window.read, window, False)[0]
                now.update(window)
        return total

    def _matrices(self, loop: LoopStep) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights inside a loop, by the names that they have there."""
        read = {name: self.window.read.get(outer) for name, outer in loop.tick.outer.items()}
        return {name: tuple(x.shape) for name, x in read.items() if isinstance(x, Tensor) and x.ndim == 2}

    def _synapses(self, ticks: Graph | None) -> tuple[int | None, float | None]:
        step: Any = self.piece.step
        if isinstance(step, LoopStep):
            if not any(node.op == "linear" for node in step.tick.graph.nodes):
                return None, None
            step = replace(step, backends=())  # torch runs the same ticks, so that it can be watched
        with SynapseCounter() as counter, torch.no_grad():
            step.run(_Window(self.window.read, copies=True))
        if counter.density is not None:
            return counter.operations, counter.density
        spikes = [
            self.window.read[name]
            for name in (use for node in self.piece.nodes for use in node.uses)
            if ticks is not None and name in ticks.types and ticks.types[name].spike and name in self.window.read
        ]
        if not spikes or not spikes[0].numel() or not self.piece.layer:
            return None, None
        return None, float((spikes[0] != 0).double().mean())


class _Run:
    """A model's call, cut into measured pieces."""

    def __init__(
        self,
        variant: Compiled,
        model: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        backward: bool,
        clock: Callable[[], float],
    ) -> None:
        self.variant, self.model, self.args, self.kwargs = variant, model, args, kwargs
        self.backward = backward
        modules = dict(model.named_modules())
        found = pieces(variant.steps, modules)
        if variant.trace is None:
            found = [Piece(_WholeModel(model, args, kwargs), "", type(model).__name__, whole=True)]
        self.measured = [_Measured(piece, modules, clock) for piece in found]
        if variant.trace is None:
            self.measured[0].parameters = list(model.parameters())

    def once(self) -> None:
        values: dict[str, Any] = {}
        if self.variant.trace is None:
            leaves = pytree.tree_leaves((self.args, self.kwargs))
            values.update({f"x{place}": leaf for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)})
            self.measured[0].run(values)
            outputs = [name for name in values if name.startswith("result")]
        else:
            steps = [_Watched(self.measured, values)]
            watched = replace(self.variant, steps=steps, fused=steps, staged=None)  # type: ignore[type-var]
            watched.run(self.model, self.args, self.kwargs, flattened(self.args, self.kwargs)[0])
            outputs = list(self.variant.ticks.outputs) if self.variant.ticks is not None else []
        if self.backward:
            results = {name: values[name] for name in outputs}
            grads = {n: torch.ones_like(x) for n, x in results.items() if isinstance(x, Tensor) and x.requires_grad}
            for measured in reversed(self.measured):
                measured.differentiate(grads)


class _Watched:
    """Runs the pieces in place of a variant's steps, and keeps all values."""

    def __init__(self, measured: Sequence[_Measured], values: dict[str, Any]) -> None:
        self._measured, self._values = measured, values

    def run(self, values: Values) -> None:
        for measured in self._measured:
            measured.run(values)
        self._values.update(values)


class _WholeModel:
    """A model that runs eagerly, as a step."""

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._model = model
        self._leaves, self._structure = pytree.tree_flatten((args, kwargs))

    def run(self, values: Values) -> None:
        leaves = [values[f"x{k}"] if isinstance(x, Tensor) else x for k, x in enumerate(self._leaves)]
        args, kwargs = pytree.tree_unflatten(leaves, self._structure)
        results = pytree.tree_leaves(self._model(*args, **kwargs))
        values.update({f"result{k}": x for k, x in enumerate(results) if isinstance(x, Tensor)})


def _rows(run: _Run, repeats: int) -> list[Row]:
    for _ in range(repeats + 1):
        run.once()
    for measured in run.measured:  # the first is warmer than it is fair
        del measured.forward[0], measured.backward[:1]
    found = [row for measured in run.measured for row in measured.rows(run.variant.ticks, run.backward)]
    forward = [row for row in found if row[0].direction == "forward"]
    backward = [row for row in found if row[0].direction == "backward"]
    return merged([*forward, *backward[::-1]])


def _clock(cuda: bool) -> Callable[[], float]:
    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronised if cuda else time.perf_counter


def _timed(function: Callable[[], None], clock: Callable[[], float]) -> float:
    start = clock()
    function()
    return clock() - start


def _differentiable(values: Sequence[Any]) -> list[Tensor]:
    return [x for x in values if isinstance(x, Tensor) and x.requires_grad]
