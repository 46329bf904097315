"""From one tick to a whole sequence: the time loop."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor

from norse.torch.functional.sparse import stack, unbind

Step = Callable[[Any, Any], tuple[Any, Any]]


@overload
def over_time(step: Step, input_tensor: Tensor, state: Any, record_states: bool = False) -> tuple[Tensor, Any]: ...
@overload
def over_time(step: Step, input_tensor: Any, state: Any, record_states: bool = False) -> tuple[Any, Any]: ...
def over_time(step: Step, input_tensor: Any, state: Any, record_states: bool = False) -> tuple[Any, Any]:
    """Runs `step(x, state) -> (z, state)` over the first dimension of the input.

    Args:
        step: one tick.
        input_tensor: [T, ...], or a dictionary of such, of which the step gets one tick by the same names. What the
            step gives may be a dictionary of tensors too.
        state: the state before the first tick.
        record_states: whether to return the states of all ticks, each field [T, ...], instead of the last one.

    Returns:
        The outputs [T, ...], and the last state or all of them. With T = 0 the output is empty, in the shape that
        one tick of zeros has, and the state is the given one.
    """
    if isinstance(input_tensor, dict):
        unbound = zip(*map(unbind, input_tensor.values()), strict=True)
        ticks: Any = (dict(zip(input_tensor, tick, strict=True)) for tick in unbound)
        length = next(iter(input_tensor.values())).shape[0]
    else:
        ticks, length = unbind(input_tensor), input_tensor.shape[0]
    if length == 0:
        return _over_no_time(step, input_tensor, state, record_states)
    outputs: list[Any] = []
    states: list[Any] = []
    for x in ticks:
        z, state = step(x, state)
        outputs.append(z)
        if record_states:
            states.append(state)
    return _stacked(outputs), stack_states(states) if record_states else state


def _stacked(outputs: Sequence[Any]) -> Any:
    if isinstance(outputs[0], dict):
        return {name: stack([output[name] for output in outputs]) for name in outputs[0]}
    return stack(outputs)


def _over_no_time(step: Step, input_tensor: Any, state: Any, record_states: bool) -> tuple[Any, Any]:
    def of(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
        return {name: change(x) for name, x in value.items()} if isinstance(value, dict) else change(value)

    with torch.no_grad():
        z, probe = step(of(input_tensor, lambda x: x.new_zeros(x.shape[1:])), state)
    return of(z, lambda y: y.new_empty((0, *y.shape))), stack_states([probe], empty=True) if record_states else state


def stack_states(states: Sequence[Any], empty: bool = False) -> Any:
    """The states of successive ticks as one state, each field [T, ...]; nested states too.

    Args:
        states: at least one state: a tensor, None, or a (named) tuple or list of such.
        empty: whether to keep none of them, T = 0.

    Returns:
        A state of the same structure.
    """
    first = states[0]
    if isinstance(first, Tensor):
        return first.new_empty((0, *first.shape)) if empty else stack(states)
    if isinstance(first, tuple | list):
        fields = [stack_states(field, empty) for field in zip(*states, strict=True)]
        return type(first)(*fields) if hasattr(first, "_fields") else type(first)(fields)
    return first


def _lifted(step: Callable[..., tuple[Tensor, Any]], input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    return over_time(step, input_tensor, state)


def lift(activation: Callable[..., tuple[Tensor, Any]], p: Any = None) -> Callable[..., tuple[Tensor, Any]]:
    """Turns a step over one tick into a function over a sequence.

    Args:
        activation: `(x, state) -> (z, state)`, or `(x, state, p) -> (z, state)` if p is given; a cell will do.
        p: parameters handed to the activation by the name p, or None for an activation without.

    Returns:
        `(x [T, ...], state=None) -> (z [T, ...], last state)`.

    Example:
        >>> from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
        >>> lif = lift(lif_feed_forward_step, p=LIFParameters())
        >>> z, state = lif(torch.ones(100, 8, 3), LIFFeedForwardState(v=torch.zeros(8, 3), i=torch.zeros(8, 3)))
        >>> z.shape
        torch.Size([100, 8, 3])
    """
    return partial(_lifted, activation if p is None else partial(activation, p=p))
