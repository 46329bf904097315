"""Whether a neuron's initial state takes no more of its input than its shape, dtype and device."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from norse.compiler.ir import Node, Type
from norse.compiler.trace.model import starts_by_shape
from norse.compiler.trace.neuron import first_tick

_BY_SHAPE = frozenset(
    {"empty_like", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones_like", "zeros_like"}
)
_A_FEW = 2  # ticks or samples, to try it with


def start_reads(node: Node, types: Mapping[str, Type], modules: Mapping[str, Any]) -> bool:
    """Whether what a neuron starts with depends on more than its input's shape and a state that is given."""
    if node.attrs["_given"] is not None:
        return False
    x = types.get(node.uses[0])
    return x is None or reads_values(modules[node.attrs["_path"]], x, node.attrs["_over_time"])


def reads_values(neuron: Any, x: Type, of_a_tick: bool) -> bool:
    """Whether a state that the neuron makes itself depends on values of its input, or on chance.

    The library's do not. A user's function is run once, and what becomes of the input is followed. `of_a_tick`: whether
    it is given a tick of the input.
    """
    if starts_by_shape(neuron):
        return False
    with _disable_current_modes(), torch.no_grad():
        whole = torch.zeros([axis if isinstance(axis, int) else _A_FEW for axis in x.axes], dtype=x.dtype)
        tried = first_tick(whole) if of_a_tick else whole
        following = _Following(tried)
        try:
            with following:
                state = neuron.starting_state(tried, None)
        except Exception:  # of any kind, since it is the user's code
            return True
    return following.doubts or any(following.leads_to(leaf) for leaf in pytree.tree_leaves(state))


class _Following(TorchDispatchMode):
    """Follows what is computed from a tensor's values."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reached: dict[int, Any] = {id(x): x}  # kept alive, so that no other tensor gets its id
        self.doubts = False  # whether values became numbers, or something was drawn

    def leads_to(self, x: Any) -> bool:
        return id(x) in self._reached

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        reached = any(map(self.leads_to, pytree.tree_leaves((args, kwargs))))
        self.doubts |= torch.Tag.nondeterministic_seeded in func.tags
        if reached and func.overloadpacket.__name__ not in _BY_SHAPE:
            for leaf in pytree.tree_leaves(result):
                self.doubts |= not isinstance(leaf, Tensor)
                self._reached[id(leaf)] = leaf
        return result
