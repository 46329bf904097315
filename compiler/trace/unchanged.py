"""Tracing runs a model's Python and must leave nothing behind: what it changes is put back, a reason to stay eager."""

import functools
import operator
import pickle
import random
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from norse.compiler.errors import Unsupported


@contextmanager
def unchanged_modules(root: nn.Module) -> Iterator["dict[int, Made]"]:
    """While inside, the model's tensors can't be written; attributes and random generators are put back after it.

    Gives what factories (`torch.zeros(3)`) make meanwhile, by where its numbers are.
    """
    modules = [_Attributes(path, module) for path, module in root.named_modules()]
    generators = _Generators()
    try:
        with _HandsOff(root) as mode:
            yield mode.made
    finally:
        changed = [name for module in modules for name in module.put_back()]
        drawn = generators.put_back()
    if changed:
        raise Unsupported(f"its forward changes {changed[0]}")
    if drawn:
        raise Unsupported(f"its forward draws from {drawn} generator, with no tensor that depends on its input")


# Operators that make a Python value of a tensor's numbers.
_READS = frozenset({torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default})


class Beginning:
    """What modules hold when tracing begins: one that is called again later must not hold anything else meanwhile."""

    def __init__(self, root: nn.Module) -> None:
        self._held = {id(module): _held(module) for module in root.modules()}

    def check(self, module: nn.Module) -> None:
        """Raises Unsupported where a module, or a part of it, was changed, if only for this call."""
        for part in module.modules():
            then, now = self._held.get(id(part)), _held(part)
            if then is not None and not _same(then, now):
                raise Unsupported(f"its forward changes attributes of {type(part).__name__} for a call")


def _held(module: nn.Module) -> list[Any]:
    return [part for kept in (vars(module), module._parameters, module._buffers) for part in _contents(kept)]


# Operators that make a tensor of nothing but numbers.
_FACTORIES = frozenset(
    {torch.ops.aten.zeros.default, torch.ops.aten.ones.default, torch.ops.aten.full.default}
    | {getattr(torch.ops.aten.arange, name) for name in torch.ops.aten.arange.overloads() if "out" not in name}
)


@dataclass(frozen=True)
class Made:
    """A tensor that the user's code makes of numbers, to be made anew at every call."""

    tensor: torch.Tensor = field(compare=False)
    function: Any
    arguments: str
    call: Any = field(compare=False)

    def __call__(self) -> Any:
        return self.call()

    @property
    def __name__(self) -> str:
        return str(self.function).split(".")[1]

    def still_is(self, value: torch.Tensor) -> bool:
        """Whether a tensor with its numbers is the whole of it, not changed since and no leaf of a graph."""
        kind = value.shape, value.stride(), value.dtype
        unchanged = not value.is_inference() and value._version == self.tensor._version == 0
        return (
            unchanged
            and not value.requires_grad
            and kind == (self.tensor.shape, self.tensor.stride(), self.tensor.dtype)
        )


class _HandsOff(TorchDispatchMode):
    """Refuses what would be done with a tensor's numbers now, and never again when the trace runs: writing into a
    tensor of the model, and making a Python number of any tensor that is not fake."""

    def __init__(self, root: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        tensors = (x for module in root.modules() for x in (*vars(module).values(), *module._buffers.values()))
        held = (*root.parameters(), *(x for x in tensors if isinstance(x, torch.Tensor)))
        self._places = {place_of(x) for x in held} - {0}
        self.made: dict[int, Made] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _READS and not any(isinstance(x, FakeTensor) for x in args):
            raise Unsupported("it makes a Python number of the value of a tensor")
        if func._schema.is_mutable:
            places = zip(func._schema.arguments, args, strict=False)
            written = [value for argument, value in places if _writes(argument)]
            written += [kwargs[a.name] for a in func._schema.arguments if a.name in kwargs and _writes(a)]
            tensors = (leaf for leaf in pytree.tree_leaves(written) if isinstance(leaf, torch.Tensor))
            if any(place_of(tensor) in self._places for tensor in tensors):
                raise Unsupported(f"it changes a tensor in place ({func._schema.name.removeprefix('aten::')})")
        result = func(*args, **kwargs)
        if func in _FACTORIES and not isinstance(result, FakeTensor) and not result.is_inference():
            again = functools.partial(func, *args, **kwargs)
            self.made[place_of(result)] = Made(result, func, repr((args, kwargs)), again)
        return result


def place_of(tensor: torch.Tensor) -> int:
    """Where its numbers are, views of it included; 0 for those that are nowhere."""
    return 0 if isinstance(tensor, FakeTensor) or tensor.is_sparse else tensor.untyped_storage()._cdata


def _writes(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


class _Attributes:
    """A module's attributes, and what the lists, dicts and sets among them hold (its buffers are in one)."""

    def __init__(self, path: str, module: nn.Module) -> None:
        self._path, self._module = path, module
        self._values = dict(vars(module))
        self._objects = [(n, vars(v), dict(vars(v))) for n, v in self._values.items() if _is_plain_object(v)]
        self._contents = {n: _contents(v) for n, v in self._values.items() if isinstance(v, list | dict | set)}

    def put_back(self) -> list[str]:
        """Names what had changed."""
        now = vars(self._module)
        changed = [name for name in {**self._values, **now} if now.get(name, self) is not self._values.get(name, self)]
        for name, before in self._contents.items():
            container = self._values[name]
            if not _same(_contents(container), before):
                changed.append(name)
                container.clear()
                _fill(container, before)
        for name, attributes, kept in self._objects:
            if not _same(_contents(attributes), _contents(kept)):
                changed.append(name)
                attributes.clear()
                attributes.update(kept)
        if changed:
            now.clear()
            now.update(self._values)
        within = f" of {self._path!r}" if self._path else ""
        return [f"self.{_CONTENTS.get(name, name)}{within}" for name in changed]


def _is_plain_object(value: Any) -> bool:
    """Whether a forward may keep things on it, as on a module: no function, class, module or tensor."""
    return hasattr(value, "__dict__") and not callable(value) and not isinstance(value, torch.Tensor | types.ModuleType)


_CONTENTS = {"_buffers": "(a buffer)", "_parameters": "(a parameter)", "_modules": "(a submodule)"}


def _contents(container: Any) -> list[Any]:
    """A dict's keys and then its values, anything else's entries."""
    return [*container, *container.values()] if isinstance(container, dict) else list(container)


def _fill(container: Any, contents: list[Any]) -> None:
    if isinstance(container, dict):
        half = len(contents) // 2
        container.update(zip(contents[:half], contents[half:], strict=True))
    else:
        container.extend(contents) if isinstance(container, list) else container.update(contents)


def _same(a: list[Any], b: list[Any]) -> bool:
    """By identity: entries may be tensors, which have no truth."""
    return len(a) == len(b) and all(map(operator.is_, a, b))


class _Generators:
    """Python's, numpy's and torch's random generators."""

    def __init__(self) -> None:
        self._python, self._numpy, self._torch = random.getstate(), _numpys(), torch.get_rng_state()

    def put_back(self) -> str:
        """Names the one that was drawn from."""
        drawn = ""
        if not torch.equal(self._torch, torch.get_rng_state()):
            drawn = "torch's random"
            torch.set_rng_state(self._torch)
        if _numpys() != self._numpy:
            drawn = "numpy's random"
            numpy.random.set_state(pickle.loads(self._numpy))
        if random.getstate() != self._python:
            drawn = "Python's random"
            random.setstate(self._python)
        return drawn


def _numpys() -> bytes:
    """numpy's state as bytes, which compare."""
    return pickle.dumps(numpy.random.get_state())
