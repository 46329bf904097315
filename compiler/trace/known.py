"""Steps of the library that were traced before: neurons of one kind are traced and checked once in a process.

A user's step may read what is about to change, and is traced for every neuron.
"""

from collections import OrderedDict
from types import FunctionType
from typing import Any

import torch
from torch.utils import _pytree as pytree

from norse.compiler.trace.recorder import settings
from norse.compiler.trace.step import Step
from norse.torch.functional.threshold import METHODS

_MOST = 256
_CONSTANTS = frozenset({type(None), bool, int, float, str})
_STEPS: OrderedDict[Any, Step] = OrderedDict()


def known_step(activation: Any, arguments: tuple[Any, ...]) -> Step | None:
    """The step of an earlier neuron like this one. `arguments` are those of a tick."""
    key = _key(activation, arguments)
    if key is None or key not in _STEPS:
        return None
    _STEPS.move_to_end(key)
    return _STEPS[key]


def remember_step(activation: Any, arguments: tuple[Any, ...], step: Step) -> Step:
    """Keeps it for the next neuron like this one. Equal steps for other shapes are one object: this one or an older."""
    key = _key(activation, arguments)
    if key is None:
        return step
    step = next((other for (of, *_), other in _STEPS.items() if of is activation and other.equals(step)), step)
    _STEPS[key] = step
    if len(_STEPS) > _MOST:
        _STEPS.popitem(last=False)
    return step


def _key(activation: Any, arguments: tuple[Any, ...]) -> Any:
    """All that a trace can depend on; None where that may be more than is known.

    Of sizes these are whether some are 1, 0 or equal: in a step, to ask for one as a number is a reason to stay eager.
    """
    leaves, structure = pytree.tree_flatten(arguments)
    if not _is_the_librarys(activation):
        return None
    numbered: dict[int, int] = {0: 0, 1: 1}
    found: list[Any] = []
    varying = len(pytree.tree_leaves(arguments[:2]))
    for place, leaf in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            if leaf.layout != torch.strided or any(type(size) is not int for size in leaf.shape):
                return None
            shape = tuple(numbered.setdefault(size, len(numbered)) for size in leaf.shape)
            found.append((leaf.dtype, leaf.device, shape, place >= varying and leaf.requires_grad))
        elif type(leaf) in _CONSTANTS or _is_the_librarys(leaf):
            found.append((type(leaf), leaf.hex() if isinstance(leaf, float) else leaf))
        else:
            return None
    # METHODS is what a step of the library reads besides its arguments: spike functions by their names.
    return activation, structure, tuple(found), settings(), tuple(METHODS.items())


def _is_the_librarys(function: Any) -> bool:
    """Whether it is plain code of the library, which nothing changes."""
    if type(function) is not FunctionType or function.__closure__:
        return False
    return function.__module__.startswith("norse.torch.")
