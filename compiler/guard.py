"""The guard: what a trace took for constant, compared at every call. A miss traces anew.

Not T, batch or sizes, and no tensor's values: those are arguments.
"""

from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from norse.compiler.identity import Identity
from norse.torch.module.parameters import ParameterTuple

_DEPTH = 4  # how far into lists, dicts and objects of a module a change is looked for
_OPAQUE = (type, FunctionType, ModuleType, nn.Module)  # what is inside these is nobody's setting, or looked at itself


def call_key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a trace depends on in a call's arguments: structure, constants, tensors' dtype, device and rank."""
    leaves, structure = pytree.tree_flatten((args, kwargs))
    return structure, tuple(_leaf_key(leaf) for leaf in leaves), torch.is_grad_enabled()


def _leaf_key(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf.dtype, leaf.device, leaf.ndim, leaf.layout
    try:
        hash(leaf)
    except TypeError:
        return id(leaf)
    return type(leaf), leaf


class Guard:
    """A snapshot of a model: `holds` while nothing that was read as a constant has changed."""

    def __init__(self, root: nn.Module, read: Iterable[str]) -> None:
        self._root = root
        # Of modules whose Python ran while tracing, plain attributes may have steered it.
        self._read = frozenset(read)
        self._seen = self._snapshot()

    def holds(self) -> bool:
        return self._snapshot() == self._seen

    def _snapshot(self) -> list[Any]:
        return [fact for path, module in self._root.named_modules() for fact in self._facts(path, module)]

    def _facts(self, path: str, module: nn.Module) -> Iterable[Any]:
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
        backward_hooks = len(module._backward_hooks) + len(module._backward_pre_hooks)
        yield (
            path,
            Identity(module),
            type(module),
            module.training,
            hooks,
            backward_hooks,
            module.__dict__.get("forward"),
        )
        if isinstance(module, ParameterTuple):
            yield tuple(_constant(value) for value in module.__dict__.values())
        elif hasattr(module, "state_fallback") or path in self._read:
            yield tuple((n, _constant(v)) for n, v in module.__dict__.items() if n[0] != "_" and n != "training")
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                yield name, tensor.dtype, tensor.device, tensor.ndim


def _constant(value: Any, depth: int = _DEPTH) -> Any:
    """What can be compared of an attribute: simple values by value, all else by identity and what is inside."""
    if value is None or isinstance(value, int | float | str | bool | torch.dtype):
        return type(value), value
    if isinstance(value, Tensor):
        return value.dtype, value.device, value.ndim
    if isinstance(value, tuple | list) and depth:
        return type(value), [_constant(part, depth - 1) for part in value]
    if isinstance(value, dict) and depth:
        return type(value), [(key, _constant(part, depth - 1)) for key, part in value.items()]
    if hasattr(value, "__func__"):  # bound methods are made anew at every access
        return Identity(value.__self__), value.__func__
    inside = None if isinstance(value, _OPAQUE) else getattr(value, "__dict__", None)
    return Identity(value), _constant(inside, depth - 1) if inside and depth else None
