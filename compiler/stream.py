"""A stream: a model that is called tick by tick and keeps its state."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse.torch as snn

Tick = Tensor | numpy.ndarray[Any, Any]


class Replay(Protocol):
    """A call of the model, recorded: it reads `x`, writes `out`, and moves the state on."""

    x: Tensor
    out: Tensor
    run: Callable[[], None]

    def current(self) -> bool:
        """Whether the parameters are those that it was recorded with."""

    def state(self) -> Any: ...

    def restart(self, state: Any) -> bool:
        """Goes on from this state, unless it's of another form than the recorded one."""


# Of a compiled model, and of an input and a state as it takes them: what replays it, or None where nothing can.
Record = Callable[[Any, Tensor, Any], Replay | None]


def no_replay(compiled: Any, x: Tensor, state: Any) -> None:
    """Every tick is a call."""


def takes_time(model: nn.Module) -> bool:
    """Whether it has layers over time."""
    return any(isinstance(module, snn.SNN | snn.SNNRecurrent | snn.Lift) for module in model.modules())


class Stream:
    """Calls a compiled model one tick at a time. Made by `CompiledModule.stream`."""

    def __init__(self, compiled: nn.Module, record: Record, over_time: bool, state: Any) -> None:
        self._compiled, self._record, self._over_time = compiled, record, over_time
        self._state = state
        self._tried: Any = None  # the kind of tick that was recorded last, or can't be
        self._replay: Replay | None = None
        self._x, self._out = torch.empty(0), torch.empty(0)  # what a replay reads and writes, of one tick
        self._x_array, self._out_array = self._x.numpy(), self._out.numpy()

    @property
    def state(self) -> Any:
        """The state after the last tick, of the model's own structure. It may be set; None starts anew."""
        return self._state if self._replay is None else self._replay.state()

    @state.setter
    def state(self, state: Any) -> None:
        if self._replay is None or not self._replay.restart(state):
            self._state, self._replay, self._tried = state, None, None

    @property
    def replayed(self) -> bool:
        """Whether the next tick is replayed, if it is like the last one."""
        return self._replay is not None

    def __call__(self, x: Tick) -> Any:
        """The model's output at this tick: a tensor for a tensor, an array for an array.

        Args:
            x: one tick as the model's layers take it, `[B, N]`.

        Raises:
            TypeError: if x is neither, or the model does not return its output and its state.
        """
        replay = self._replay
        if replay is not None and x.shape == self._x.shape and replay.current():
            if isinstance(x, Tensor):
                if x.dtype == self._x.dtype:
                    self._x.copy_(x)
                    replay.run()
                    return self._out.clone()
            elif x.dtype == self._x_array.dtype:
                self._x_array[...] = x
                replay.run()
                return self._out_array.copy()
        return self._called(x)

    def _called(self, x: Tick) -> Any:
        """One tick by an ordinary call. The next one of its kind is replayed."""
        if not isinstance(x, Tensor | numpy.ndarray):
            raise TypeError(f"stream: argument x: expects a tensor or an array, got {type(x).__name__}")
        if self._replay is not None:
            self._state, self._replay, self._tried = self._replay.state(), None, None
        tick = (x if isinstance(x, Tensor) else torch.from_numpy(x)).detach()
        with torch.no_grad():
            result = self._compiled(tick[None] if self._over_time else tick, self._state)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(
                f"stream: expects a model that returns its output and its state, not {type(result).__name__}"
            )
        out, self._state = result
        if isinstance(out, Tensor) and self._tried != (tick.shape, tick.dtype):
            self._tried = (tick.shape, tick.dtype)
            with torch.no_grad():
                self._replay = self._record(self._compiled, tick[None] if self._over_time else tick, self._state)
            if self._replay is not None:
                self._x, self._out = (self._of_tick(t) for t in (self._replay.x, self._replay.out))
                self._x_array, self._out_array = self._x.numpy(), self._out.numpy()
        return pytree.tree_map(lambda leaf: self._like(leaf, x), out)

    def _of_tick(self, x: Tensor) -> Tensor:
        return x[0] if self._over_time else x

    def _like(self, leaf: Any, x: Tick) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return self._of_tick(leaf) if isinstance(x, Tensor) else self._of_tick(leaf).numpy()
