"""Replays one call of a compiled model without Python: its kernels and linear layers, one after the other, in C++.

A call is recorded by running it on tensors of its own, whose memory the recorded actions read and write ever after.
"""

import ctypes
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from norse.backends.c_family.call import Call
from norse.backends.cpu.build import NUMBERS, load_runtime
from norse.backends.cpu.run import Action, recording
from norse.compiler.draws import draws
from norse.compiler.module import CompiledModule, Variant
from norse.compiler.passes.plan_memory import AllKept
from norse.compiler.steps.loop import LoopStep
from norse.compiler.steps.torch_nodes import TorchStep, has_weights
from norse.compiler.trace.copies import may_draw

_KERNEL, _COPY, _PRODUCT = 0, 1, 2


class Recorder:
    """What a call does, as actions on memory. It does it too, so that what comes after it can be recorded."""

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.kept: list[Any] = []  # alive as long as the actions

    def kernel(self, function: ctypes.c_void_p, call: Call, scratch_bytes: int, *kept: Any) -> None:
        scratch = torch.empty(scratch_bytes + 64, dtype=torch.uint8)
        call.scratch = (scratch.data_ptr() + 63) // 64 * 64
        self._add(Action(_KERNEL, function=function, call=ctypes.addressof(call)), call, scratch, *kept)

    def copy(self, to: Tensor, source: Tensor) -> None:
        self._add(Action(_COPY, to=to.data_ptr(), x=source.data_ptr(), samples=to.nbytes), to, source)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        matrix = weight.detach().t().contiguous()
        out = torch.empty(*x.shape[:-1], matrix.shape[1], dtype=x.dtype)
        index = torch.empty(matrix.shape[0] + 64, dtype=torch.int32)
        bias = None if bias is None else bias.detach().contiguous()
        self._add(
            Action(
                _PRODUCT,
                element_size=x.element_size(),
                x=x.data_ptr(),
                matrix=matrix.data_ptr(),
                bias=None if bias is None else bias.data_ptr(),
                to=out.data_ptr(),
                samples=out.numel() // out.shape[-1],
                inputs=matrix.shape[0],
                outputs=matrix.shape[1],
                index=index.data_ptr(),
            ),
            x, matrix, bias, out, index,
        )  # fmt: skip
        return out

    def _add(self, action: Action, *kept: Any) -> None:
        _library().norse_replay(ctypes.byref(action), 1)
        self.actions.append(action)
        self.kept += kept


class NotReplayable(Exception):
    """A call does something that no action stands for."""


class Replay:
    """A recorded call: its input and its state are in memory of its own, and stay there."""

    def __init__(self, compiled: CompiledModule, variant: Variant, x: Tensor, state: Any) -> None:
        self.x = x.clone(memory_format=torch.contiguous_format)
        self._state = pytree.tree_map_only(
            Tensor, lambda leaf: leaf.clone(memory_format=torch.contiguous_format), state
        )
        self._recorder = Recorder()
        with recording(self._recorder):
            self.out, final = _call(variant, self.x, self._state, self._recorder)
        if not _alike(final, self._state):
            raise NotReplayable("its state changes its form")
        for to, source in zip(_tensors(self._state), _tensors(final), strict=True):
            self._recorder.copy(to, source)
        self.restart(state)
        self._tensors = [*compiled.model.parameters(), *compiled.model.buffers()]
        self._versions = [tensor._version for tensor in self._tensors]
        count = len(self._recorder.actions)
        actions = (Action * count)(*self._recorder.actions)
        self.run: Callable[[], None] = partial(_library().norse_replay, actions, count)

    def current(self) -> bool:
        return [tensor._version for tensor in self._tensors] == self._versions

    def state(self) -> Any:
        return pytree.tree_map_only(Tensor, Tensor.clone, self._state)

    def restart(self, state: Any) -> bool:
        if not _alike(state, self._state):
            return False
        for held, given in zip(_tensors(self._state), _tensors(state), strict=True):
            held.copy_(given)
        return True


def record(compiled: CompiledModule, x: Tensor, state: Any) -> Replay | None:
    """The replay of a call, or None. It is compared with the call before it is trusted: memory that an action should
    read, and does not, would show."""
    if x.device.type != "cpu" or x.dtype not in NUMBERS:
        return None
    try:
        with torch.random.fork_rng(devices=()):  # what these calls draw is no tick's
            compiled(x, state)
            variant = compiled.variant
            replay = Replay(compiled, variant, x, state)
            return replay if _agrees(replay, variant, x, state) else None
    except NotReplayable:
        return None


def _agrees(replay: Replay, variant: Variant, x: Tensor, state: Any) -> bool:
    """Whether a few ticks of noise and spikes give the very same."""
    first = state
    generator = torch.Generator().manual_seed(0)
    same = True
    for number in range(4):
        noise = torch.rand(x.shape, generator=generator).to(x.dtype)
        tick = noise if number % 2 else (noise < 0.3).to(x.dtype)
        out, state = _call(variant, tick, state, Recorder())
        replay.x.copy_(tick)
        replay.run()
        pairs = zip((out, *_tensors(state)), (replay.out, *_tensors(replay.state())), strict=True)
        same &= all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)
    replay.restart(first)
    return same


def _call(variant: Variant, x: Tensor, state: Any, recorder: Recorder) -> tuple[Tensor, Any]:
    """The model's call; of what depends on its arguments, only what actions stand for, and views."""
    if variant.trace is None:
        raise NotReplayable("it runs eagerly")
    values = AllKept(zip(variant.trace.graph.inputs, _tensors((x, state)), strict=True))
    moving = set(values)
    for step in variant.steps:
        before = set(values)
        if isinstance(step, LoopStep):
            if any(map(draws, step.tick.graph.nodes)):  # by a key that would stay the same
                raise NotReplayable("it draws random numbers")
            step.run(values)
            if step.reason:
                raise NotReplayable(step.reason)
            moving |= set(values) - before
        elif isinstance(step, TorchStep):
            for node in step.nodes:
                if may_draw(node):
                    raise NotReplayable("it draws random numbers")
                if moving.isdisjoint(node.uses):
                    step.run_node(node, values)
                    continue
                linear = step.weighted_operands(node, values) if has_weights(node) else None
                if linear is None or linear[1].ndim != 2:  # a convolution
                    step.run_node(node, values)
                    if not all(_is_view(values[name], (values[other] for other in moving)) for name in node.outputs):
                        raise NotReplayable(f"it calls {node.op}")
                elif not moving.isdisjoint(node.uses[1:]):
                    raise NotReplayable("its weights move")
                else:
                    values[node.output] = recorder.linear(*linear)
                moving.update(node.outputs)
        else:
            raise NotReplayable(f"it runs tick by tick: {type(step).__name__}")
    out, state = variant.results(values)
    return out, state


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _alike(final: Any, first: Any) -> bool:
    """Whether one state can stand where the other did."""
    if pytree.tree_structure(final) != pytree.tree_structure(first):
        return False
    pairs = zip(pytree.tree_leaves(final), pytree.tree_leaves(first), strict=True)
    return all(
        a.shape == b.shape and a.dtype == b.dtype and a.is_contiguous()
        if isinstance(a, Tensor) and isinstance(b, Tensor)
        else a is b
        for a, b in pairs
    )


def _is_view(x: Any, others: Iterable[Any]) -> bool:
    return isinstance(x, Tensor) and any(_memory(x) == _memory(other) for other in others)


def _memory(x: Any) -> int | None:
    return x.untyped_storage().data_ptr() if isinstance(x, Tensor) else None


@cache
def _library() -> ctypes.CDLL:
    library = load_runtime("replay")
    library.norse_replay.restype = None
    library.norse_replay.argtypes = (ctypes.c_void_p, ctypes.c_int64)
    return library
