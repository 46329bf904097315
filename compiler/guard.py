"""The guard: what a trace took for constant, compared at every call. A miss traces anew.

Not T, batch or sizes of arguments, and no parameter's values: those are arguments.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree as pytree

from norse.compiler.facts import MODULES_OWN, Facts
from norse.compiler.layers import LAYERS
from norse.torch.module.parameters import ParameterTuple

_ABSENT = object()


def flattened(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
    """A call's arguments as leaves, and their structure. torch's walk takes 5 µs, of tensors alone there is none."""
    if not kwargs and all(leaf is None or isinstance(leaf, Tensor) for leaf in args):
        return list(args), len(args)
    return pytree.tree_flatten((args, kwargs))


def call_key(leaves: Sequence[Any], structure: Any, facts: Facts) -> Any:
    """What a trace depends on in a call: structure, constants, tensors' dtype, device and rank, torch's modes."""
    modes = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        *((torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")),
    )
    return structure, [_leaf_key(leaf, facts) for leaf in leaves], modes


def _leaf_key(leaf: Any, facts: Facts) -> Any:
    if isinstance(leaf, Tensor):
        kind = Tensor if isinstance(leaf, FakeTensor) else type(leaf)  # one that torch simulates stands for its like
        return kind, leaf.dtype, leaf.device, leaf.ndim, leaf.layout
    return facts.of(leaf)


class Guard:
    """A snapshot of a model: `holds` while nothing that was read as a constant has changed.

    `read` are the paths of modules whose Python ran while tracing, so that anything it reads may have steered it;
    `eager` those of modules that run as they are, which may change themselves.
    """

    def __init__(self, root: nn.Module, read: Iterable[str], eager: Iterable[str] = ()) -> None:
        modules = dict(root.named_modules())
        tensors = (*root.parameters(), *root.buffers())
        self._facts = Facts((*modules.values(), *tensors))
        # Children are compared as pairs of name and module, so that the tree need not be walked at every call.
        self._tree = [(module, list(module._modules.items())) for module in modules.values()]
        read = frozenset(read)
        self._settings = [
            (module, *_settings(path, module, read, frozenset(eager))) for path, module in modules.items()
        ]
        self._facts.read_classes(type(module) for module, _, everything in self._settings if everything)
        self._facts.learn(self._snapshot)
        # Most attributes are what they were, and can't have changed: these are not looked into.
        self._constants = [
            (module, name, module.__dict__[name])
            for module, names, _ in self._settings
            for name in names
            if self._facts.is_constant(module.__dict__[name])
        ]
        constant = {(module, name) for module, name, _ in self._constants}
        self._settings = [
            (module, tuple(name for name in names if (module, name) not in constant), everything)
            for module, names, everything in self._settings
        ]
        self._seen = self._snapshot()

    def holds(self) -> bool:
        if any(list(module._modules.items()) != children for module, children in self._tree):
            return False
        of = self._facts.of
        for module, name, value in self._constants:
            now = module.__dict__.get(name, _ABSENT)
            if now is not value and of(now) != of(value):
                return False
        return self._snapshot() == self._seen

    def _snapshot(self) -> list[Any]:
        sizes = bool(self._facts.names)  # only a user's code asks a parameter for its shape
        found: list[Any] = []
        for module, names, everything in self._settings:
            own = module.__dict__
            found += (
                type(module),
                module.training,
                len(module._forward_hooks) + len(module._forward_pre_hooks),
                len(module._backward_hooks) + len(module._backward_pre_hooks),
                own.get("forward"),
            )
            for tensors in (module._parameters, module._buffers):
                if tensors:
                    found += [(name, None if x is None else _tensor(x, sizes)) for name, x in tensors.items()]
            if everything:
                found.append(len(own))
                found += [self._attribute(own.get(name, _ABSENT), sizes) for name in names]
            elif self._facts.names:  # only what is read off it from elsewhere
                others = self._facts.names
                found += [(n, self._attribute(own[n], sizes)) for n in own if n in others and n not in MODULES_OWN]
        found.append(self._facts.of_code())
        return found

    def _attribute(self, value: Any, sizes: bool) -> Any:
        if isinstance(value, Tensor):
            return _tensor(value, sizes)
        return self._facts.of(value)


def _settings(
    path: str, module: nn.Module, read: frozenset[str], eager: frozenset[str]
) -> tuple[tuple[str, ...], bool]:
    """The attributes that are compared, and whether those are all of them."""
    own = module.__dict__
    known = isinstance(module, ParameterTuple) or type(module) in LAYERS or "state_fallback" in own
    if path not in read and (not known or any(_within(path, other) for other in eager)):
        return (), False
    return tuple(name for name in own if name not in MODULES_OWN), True


def _within(path: str, other: str) -> bool:
    return other in ("", path) or path.startswith(f"{other}.")


def _tensor(tensor: Tensor, sizes: bool) -> Any:
    shape = tensor.shape if sizes else tensor.ndim
    return type(tensor), tensor.dtype, tensor.device, shape, tensor.requires_grad
