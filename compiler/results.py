"""What a call returns, put together from its values: the structure is known from the trace, only tensors change."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from torch.utils import _pytree as pytree

from norse.compiler.ir import Ref
from norse.torch.module.parameters import is_named_tuple

Build = Callable[[Mapping[str, Any]], Any]


def builder(tree: Any, names: Mapping[str, str]) -> Build:
    """A function of all values that makes the tree with a value in place of each reference.

    Tuples and lists are made here: pytree's walk takes 10 µs for the states of three layers.

    Args:
        tree: what the model returned while it was traced.
        names: of the values, for the references.
    """
    if isinstance(tree, Ref):
        return itemgetter(names[tree.name])
    kind = type(tree)
    if kind is tuple or kind is list:
        parts = [builder(part, names) for part in tree]
        return lambda values: kind([part(values) for part in parts])
    if is_named_tuple(tree):
        fields = [builder(field, names) for field in tree]
        return lambda values: kind(*[field(values) for field in fields])
    leaves, structure = pytree.tree_flatten(tree, is_leaf=lambda leaf: isinstance(leaf, Ref))
    if len(leaves) == 1 and leaves[0] is tree:
        return lambda values: tree
    made = [builder(leaf, names) for leaf in leaves]
    return lambda values: pytree.tree_unflatten([leaf(values) for leaf in made], structure)
