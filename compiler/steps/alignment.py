"""Where a tick lies in memory: torch's matrix products sum in an order that depends on it."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from norse.compiler.ir import Graph
from norse.compiler.passes.name_axes import is_of_one_tick
from norse.torch.functional.sparse import unbind

_ALIGNMENT = 64  # bytes; where torch puts a new tensor


def kept(name: str) -> str:
    """Where the ticks of a sequence are kept beside it as they were made: some are views, with strides of their own."""
    return f"ticks of {name}"


def ticks_of(name: str, values: Mapping[str, Any], apart: bool) -> Sequence[Tensor]:
    """The ticks of a sequence, where they lie or `apart`: each as an eager tick makes it, a tensor of its own."""
    if apart and kept(name) in values:
        return values[kept(name)]  # type: ignore[no-any-return]
    x: Tensor = values[name]
    ticks: Sequence[Tensor] = unbind(x)
    if not apart or x.is_sparse or not ticks or ticks[0].numel() * x.element_size() % _ALIGNMENT == 0:
        return ticks
    return [tick.clone() for tick in ticks]


def made_apart(network: Graph) -> frozenset[str]:
    """The values that eager makes anew at every tick, in a Lift or a user's loop. All others it cuts into ticks: those
    that leave one loop and enter another, too."""
    left = {node.output: node.uses[0] for node in network.nodes if node.op == "leave"}
    again = {left[node.uses[0]] for node in network.nodes if node.op == "enter" and node.uses[0] in left}
    made = (name for node in network.nodes if is_of_one_tick(node) and node.op != "enter" for name in node.outputs)
    return frozenset(made) - again
