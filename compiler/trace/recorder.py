"""Records what Python code does to tensors: torch.fx proxies that also know a fake value, so that types are at hand."""

import builtins
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Node, Operand, Ref

# What is fixed by the guard, so that reading it gives a constant of the trace.
_CONSTANT_ATTRIBUTES = frozenset({"dtype", "device", "ndim", "layout", "is_sparse", "is_cuda"})
_TENSOR_ATTRIBUTES = frozenset({"T", "mT", "H", "mH", "data", "real", "imag"})
_SIZE_ATTRIBUTES = frozenset({"shape", "numel", "nelement"})
_CONSTANT_METHODS = frozenset({"dim", "ndimension", "is_floating_point", "is_complex"})
_IN_PLACE = frozenset(
    getattr(operator, name) for name in dir(operator) if name[0] == "i" and hasattr(operator, name[1:])
) | {operator.setitem, operator.delitem}

# Files whose lines are not what the user wants to hear of.
NOT_THE_USERS = (str(Path(torch.__file__).parent), str(Path(__file__).parent.parent))


class Recorded(fx.Proxy):
    """A value of the graph in the making. `fake` is what it would be, without data."""

    @property
    def fake(self) -> Any:
        return self.node.meta["fake"]

    def __getattr__(self, name: str) -> Any:
        fake = self.node.meta.get("fake")
        if isinstance(fake, torch.Tensor):
            if name in _CONSTANT_ATTRIBUTES or name in _CONSTANT_METHODS:
                return getattr(fake, name)
            if name in _SIZE_ATTRIBUTES:
                self.tracer.reads_size(self.node, None)  # type: ignore[attr-defined]
                return getattr(fake, name)
            if name == "requires_grad" and name in self.node.meta:
                self.tracer.asked.add(self.node.name)  # type: ignore[attr-defined]
                return self.node.meta[name]
            if not hasattr(torch.Tensor, name):
                raise AttributeError(f"'Tensor' object has no attribute {name!r}")
            if name not in _TENSOR_ATTRIBUTES and not callable(getattr(torch.Tensor, name)):
                raise Unsupported(f"it reads .{name} of a tensor")
        return super().__getattr__(name)

    def __iter__(self) -> Iterator[Any]:
        return iter([operator.getitem(self, index) for index in range(len(self))])  # type: ignore[call-overload]

    def __len__(self) -> int:
        return int(self.size(0))

    def unbind(self, dim: int = 0) -> Any:
        if not isinstance(self.fake, torch.Tensor):
            raise AttributeError("unbind")
        before = (slice(None),) * (dim % self.fake.ndim)
        length = int(self.size(dim))
        return tuple(operator.getitem(self, (*before, k) if before else k) for k in range(length))  # type: ignore[call-overload]

    def size(self, dim: int | None = None) -> Any:
        self.tracer.reads_size(self.node, dim)  # type: ignore[attr-defined]
        return self.fake.size() if dim is None else self.fake.size(dim)

    def __bool__(self) -> bool:
        raise Unsupported("its control flow depends on the value of a tensor")

    def item(self) -> Any:
        raise Unsupported("it makes a Python number of the value of a tensor")

    __int__ = __float__ = __index__ = tolist = item

    def __setitem__(self, index: Any, value: Any) -> None:
        raise Unsupported("it assigns into a tensor")

    def _change(self, other: Any) -> Any:
        raise Unsupported("it changes a tensor in place")

    # Without these, `v += x` would be `v = v + x`, and other names of v would keep their value.
    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __ipow__ = _change
    __iand__ = __ior__ = __ixor__ = __imatmul__ = __ilshift__ = __irshift__ = _change


class Recorder(fx.proxy.GraphAppendingTracer):
    """Appends what is done to its values to an fx graph, and computes the same with fake tensors."""

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__(fx.Graph())
        self.mode = mode
        self.asked: set[str] = set()  # of which values it was read whether they require a gradient
        self._settings = settings()
        self._fakes: dict[Any, Any] = {}  # what calls have made of values of a shape

    def proxy(self, node: fx.Node) -> Recorded:
        return Recorded(node, self)

    def placeholder(self, name: str, value: Any) -> Recorded:
        node = self.graph.placeholder(name)
        fake = value
        if isinstance(value, torch.Tensor) and not self.mode.is_our_fake(value):
            fake = self.mode.from_tensor(value.detach())
        node.meta["fake"] = fake
        return self.proxy(node)

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, torch.Tensor):
            raise Unsupported("it uses a tensor that is not one of its arguments (pass it in p, or as a parameter)")
        if isinstance(a, torch.Generator):
            raise Unsupported("it draws random numbers from a generator of its own")
        return super().create_arg(a)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **options: Any) -> Any:
        if kind == "call_method" and target.endswith("_") and not target.endswith("__"):
            raise Unsupported(f"it changes a tensor in place (.{target})")
        if target in _IN_PLACE or "out" in (kwargs or {}):
            raise Unsupported(f"it changes a tensor in place ({getattr(target, '__name__', target)})")
        self.check_settings()
        if target is torch.unbind and is_recorded(args[0]):
            return args[0].unbind(*args[1:], **kwargs)
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **options)
        self.describe(proxy.node)
        if kind not in ("call_function", "call_method"):
            return proxy
        proxy.node.meta["fake"] = made = self.fake_call(kind, target, args, kwargs or {})
        proxy.node.meta["line"] = users_line()
        return self._parts(proxy.node, made) if isinstance(made, tuple | list) else proxy

    def describe(self, node: fx.Node) -> None:
        """Notes where a call stands."""

    def _parts(self, node: fx.Node, made: Any) -> Any:
        """A call with more than one result: a value for each, in what the call returns."""
        if not all(isinstance(part, torch.Tensor) for part in made):
            raise Unsupported(f"{_target_name(node)} returns something else than tensors")
        if type(made) in (tuple, list) and _target_name(node).split(".")[-1] not in _FIXED_NUMBERS:
            self.reads_size(node, None)  # which decides how many there are
        parts = []
        for fake in made:
            part = self.graph.create_node("call_function", _part, (), {}, node.name)
            part.meta.update(node.meta, fake=fake, ir=None)
            parts.append(self.proxy(part))
        node.meta["parts"] = tuple(part.node.name for part in parts)
        return type(made)(*parts) if hasattr(made, "_fields") else type(made)(parts)

    def reads_size(self, node: fx.Node, dim: int | None) -> None:
        """A size is asked for (None: all of them), which becomes the Python number that it is in this call."""
        raise Unsupported("it needs a size as a Python number")

    def check_settings(self) -> None:
        """A graph has no notion of `with torch.no_grad()` around a part of it."""
        if settings() != self._settings:
            raise Unsupported("it switches gradients, inference mode, autocast or the default dtype on or off")

    def fake_call(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        args, kwargs = self.fakes(args), self.fakes(kwargs)
        key = (kind, target, *shapes_of((args, kwargs)))
        try:
            if key in self._fakes:  # a loop calls the same again and again
                return self._fakes[key]
        except TypeError:  # slices and the like have no hash
            key = ()
        tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        versions = [_version(x) for x in tensors]
        with self.mode, torch.no_grad():
            made = getattr(args[0], target)(*args[1:], **kwargs) if kind == "call_method" else target(*args, **kwargs)
        if versions != [_version(x) for x in tensors]:
            raise Unsupported(f"it changes a tensor in place ({getattr(target, '__name__', target)})")
        if key and isinstance(made, torch.Tensor):
            self._fakes[key] = made
        return made

    @staticmethod
    def fakes(values: Any) -> Any:
        return pytree.tree_map(lambda v: v.node.meta["fake"] if is_recorded(v) else v, values, is_leaf=is_recorded)


def _part(*_: Any) -> None:
    """The target of nodes that stand for one of a call's results."""


# Calls whose number of results does not depend on a size.
_FIXED_NUMBERS = frozenset({f"{kind}max_pool{d}d_with_indices" for kind in ("", "adaptive_") for d in (1, 2, 3)})


def _version(x: torch.Tensor) -> int:
    """Which counts the changes in place, where torch does."""
    return 0 if x.is_inference() else x._version


def shapes_of(values: Any) -> tuple[Any, ...]:
    """A key of what decides which shapes and types a call makes of some values: all that is not in tensors."""
    leaves, structure = pytree.tree_flatten(values)
    kinds = ((x.dtype, x.shape, x.device) if isinstance(x, torch.Tensor) else (type(x), x) for x in leaves)
    return structure, *kinds


def settings() -> tuple[Any, ...]:
    """torch's modes that a graph holds for."""
    autocast = tuple(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), autocast, torch.get_default_dtype()


@contextmanager
def recorded_are_tensors() -> Iterator[None]:
    """While inside, `isinstance(x, torch.Tensor)` in users' code is what it will be: true of a recorded tensor.

    A `__class__` would say so to torch's C code as well, which would take the object for a tensor.
    """
    original = builtins.isinstance

    def answer(value: Any, kinds: Any) -> bool:
        if issubclass(type(value), fx.Proxy):
            frame = sys._getframe(1)
            if frame.f_code is torch.is_tensor.__code__ and frame.f_back is not None:
                frame = frame.f_back
            if not frame.f_code.co_filename.startswith(NOT_THE_USERS):
                value = value.node.meta.get("fake")
        return original(value, kinds)

    builtins.isinstance = answer
    try:
        yield
    finally:
        builtins.isinstance = original


def is_recorded(value: Any) -> bool:
    return isinstance(value, fx.Proxy)


def any_recorded(values: Any) -> bool:
    return any(is_recorded(leaf) for leaf in pytree.tree_leaves(values, is_leaf=is_recorded))


@contextmanager
def intercepted_functions(handle: Callable[[Any, tuple[Any, ...]], Any]) -> Iterator[None]:
    """While inside, `autograd.Function.apply` on recorded values is `handle(function, args)`.

    Plain fx would walk through `forward` and lose the backward without a word.
    """
    original = torch.autograd.Function.__dict__["apply"]

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if not any_recorded((args, kwargs)):
            return original.__func__(cls, *args, **kwargs)
        if kwargs:
            raise Unsupported(f"{cls.__name__}.apply has keyword arguments")
        return handle(cls, args)

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.autograd.Function.apply = original  # type: ignore[method-assign]


def raw_graph(recorder: Recorder, outputs: tuple[Any, ...]) -> Graph:
    """What was recorded, as IR: every call a node `call` with its target; `normalise` gives them their ops."""
    inputs: list[str] = []
    nodes: list[Node] = []
    for node in recorder.graph.nodes:
        if node.op == "placeholder":
            inputs.append(node.name)
        elif "ir" in node.meta:  # made as IR already: custom derivatives, neurons
            if node.meta["ir"] is not None:
                nodes.append(node.meta["ir"])
        else:
            kwargs = {key: operand(value) for key, value in node.kwargs.items()}
            attrs = {"target": _target_name(node), "_target": node.target, "_kwargs": kwargs}
            attrs["_over_time"] = node.meta.get("over_time", False)
            attrs["_line"] = node.meta.get("line")
            # Keyword operands stand behind the positional ones, so that every use is among the inputs.
            positional = tuple(operand(value) for value in node.args)
            module = node.meta.get("module", "")
            nodes.append(
                Node("call", node.meta.get("parts", (node.name,)), (*positional, *kwargs.values()), attrs, module)
            )
    return Graph(tuple(inputs), tuple(nodes), tuple(_name(output) for output in outputs))


def operand(value: Any) -> Operand:
    if isinstance(value, fx.Node):
        return Ref(value.name)
    if isinstance(value, fx.Proxy):
        return Ref(value.node.name)
    if isinstance(value, list | tuple):
        return tuple(operand(part) for part in value)
    if value is None or value is Ellipsis or isinstance(value, bool | int | float | str | torch.dtype):
        return value
    if isinstance(value, slice) and not any(isinstance(x, fx.Node) for x in (value.start, value.stop, value.step)):
        return value
    raise Unsupported(f"it passes a {type(value).__name__} to a torch function")


def _name(value: Any) -> str:
    if not isinstance(value, fx.Proxy):
        raise Unsupported(f"it returns a {type(value).__name__} where a tensor that depends on its input is expected")
    return str(value.node.name)


def users_line() -> str:
    """Where the user's code stands now."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(NOT_THE_USERS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _target_name(node: fx.Node) -> str:
    if node.op == "call_method":
        return f".{node.target}"
    module = getattr(node.target, "__module__", "") or "torch"
    return f"{module.removeprefix('_').split('.')[0]}.{getattr(node.target, '__name__', node.target)}"
