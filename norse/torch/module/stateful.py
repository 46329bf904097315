"""Which modules carry a state."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch


def is_stateful(module: torch.nn.Module) -> bool:
    """Whether a module is called with a state and returns one: `module(x, state) -> (y, state)`.

    It is if its `forward` has a parameter called state, or if it is one of torch's recurrent layers.

    Args:
        module: any module.

    Returns:
        True for stateful modules.

    Example:
        >>> from norse.torch.module.lif import LIFCell
        >>> is_stateful(LIFCell()), is_stateful(torch.nn.LSTM(2, 3)), is_stateful(torch.nn.Linear(2, 3))
        (True, True, False)
    """
    if isinstance(module, torch.nn.RNNBase):
        return True
    return _takes_state(getattr(module.forward, "__func__", module.forward))


@cache
def _takes_state(forward: Callable[..., Any]) -> bool:
    return "state" in inspect.signature(forward).parameters
