"""Programs of loops that were lowered before: layers of one kind have one, and so have models compiled again."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from norse.compiler.build import identity
from norse.compiler.ir import Graph, Node
from norse.compiler.region import Kind, RegionProgram, lower_region

_MOST = 256
# With the graph, whose custom functions the key knows by their identity.
_PROGRAMS: OrderedDict[Any, tuple[Graph, RegionProgram]] = OrderedDict()


def known_program(
    tick: Graph,
    kinds: Mapping[str, Kind],
    wanted: frozenset[str],
    fast_math: bool,
    requiring: frozenset[str],
    cutoff: float = 0.0,
    emitted: str | None = None,
) -> RegionProgram:
    """As `lower_region`, once for all ticks that are alike."""
    key = (_key(tick), tuple(kinds.items()), wanted, fast_math, requiring, cutoff, emitted)
    if key not in _PROGRAMS:
        _PROGRAMS[key] = tick, lower_region(tick, kinds, wanted, fast_math, requiring, cutoff, emitted)
        if len(_PROGRAMS) > _MOST:
            _PROGRAMS.popitem(last=False)
    _PROGRAMS.move_to_end(key)
    return _PROGRAMS[key][1]


def _key(tick: Graph) -> Any:
    """All of a tick that its program is made of: of sizes nothing, so that layers of any width share it."""
    types = tuple((name, t.dtype, len(t.axes), t.spike) for name, t in tick.types.items())
    return tick.inputs, tuple(map(_node_key, tick.nodes)), tick.outputs, tick.registers, types


def _node_key(node: Node) -> Any:
    custom = tuple(id(node.attrs[name]) for name in ("_forward", "_backward")) if node.op == "custom" else ()
    gradients = tuple(node.attrs["_gradients"]) if node.op == "custom" else ()
    return node.op, node.outputs, identity(node.inputs), custom, gradients
