"""What can be compared of a Python value that a trace has read, and of the code that has read it."""

import dis
import functools
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy
import torch
from torch import Tensor, nn

_DEPTH = 4  # how far into lists, dicts and objects a change is looked for
_SIMPLE = frozenset({type(None), bool, int, str, bytes, torch.dtype, torch.device, torch.Size})
_OPAQUE = (ModuleType, BuiltinFunctionType, logging.Logger)
_LIBRARIES = frozenset({"torch", "norse", "numpy", *sys.builtin_module_names, *sys.stdlib_module_names})
MODULES_OWN = frozenset(vars(nn.Module()))  # what torch keeps of every module: nobody's setting
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")
# Of a class, what Python or torch calls without its name; other members only if code names them.
_UNNAMED = frozenset({"forward", "backward", "setup_context"})
_NEVER = frozenset(
    {"__init__", "__new__", "__repr__", "__str__", "__reduce__", "__del__", "__init_subclass__", "__class_getitem__"}
)


class Facts:
    """Facts about values: equal as long as the values are. What facts know by its identity is kept alive.

    While it learns it also follows functions and classes of the user's, for what they in turn can read: closure cells,
    globals, defaults, class attributes. After that these are only looked up and compared.
    """

    def __init__(self, known: Iterable[Any] = ()) -> None:
        self.names: set[str] = set()  # everything that the user's code names
        self._kept = list(known)
        self._known = {id(value) for value in self._kept}  # parts of the model: looked at by others
        self._functions: dict[FunctionType, tuple[tuple[str, ...], frozenset[str]]] = {}
        self._classes: dict[type, None] = {}
        # By identity: a value that stays as it is but for tensors in it, what it says, and those tensors, with whether
        # they are known to be parts of the model.
        self._unchanging: dict[int, tuple[Any, Any, tuple[tuple[Tensor, bool], ...]]] = {}
        self._learning = False

    def learn(self, snapshot: Callable[[], list[Any]]) -> list[Any]:
        """The snapshot, once no more code was found while taking it."""
        self._learning, size = True, None
        while size != (size := self._size()):
            seen = snapshot()
        self._learning = False
        return seen

    def keep(self, key: Callable[["Facts"], Any]) -> Any:
        """A key, whose values stay alive as long as these facts."""
        self._learning = True
        try:
            return key(self)
        finally:
            self._learning = False

    def of(self, value: Any) -> Any:
        """A fact about the value. Of what can't change it is found once: the value's identity says the rest."""
        held = self._unchanging.get(id(value))
        if held is None:
            if not (self._learning and _stays(value)):
                return self._of(value)
            tensors = tuple((tensor, id(tensor) in self._known) for tensor in _tensors_in(value))
            held = self._unchanging[id(value)] = value, self._of(value), tensors
        _, fact, tensors = held
        if not tensors:
            return fact
        return fact, [
            (None if known else x._version, x.dtype, x.device, x.shape, x.requires_grad) for x, known in tensors
        ]

    def is_constant(self, value: Any) -> bool:
        """Whether this value was met while learning, and its identity alone says that it is as it was."""
        held = self._unchanging.get(id(value))
        return held is not None and not held[2]

    def _of(self, value: Any, depth: int = _DEPTH) -> Any:
        kind = type(value)
        if kind in _SIMPLE:
            return kind, value
        if isinstance(value, float):
            return kind, value.hex()  # tells 0.0 from -0.0, and nan is nan
        if kind is FunctionType:
            return self._of_function(value)
        if kind is MethodType:
            return self._of(value.__func__), self._of(value.__self__, depth - 1)
        if isinstance(value, tuple | list) and depth > 0:
            parts = [self._of(part, depth - 1) for part in value]
            return kind, (parts, self._of(vars(value), depth - 1)) if hasattr(value, "__dict__") else parts
        if isinstance(value, dict) and depth > 0:
            return kind, [(self._of(key, 1), self._of(part, depth - 1)) for key, part in value.items()]
        return self._of_object(value, kind, depth)

    def _of_object(self, value: Any, kind: type, depth: int) -> Any:
        if isinstance(value, complex):
            return kind, value.real.hex(), value.imag.hex()
        if isinstance(value, Tensor):
            return self._of_tensor(value)
        if isinstance(value, numpy.ndarray | numpy.generic):
            inside = self._of(value.tolist(), depth - 1) if value.dtype.hasobject else value.tobytes()
            return kind, value.dtype.str, value.shape, inside
        if isinstance(value, functools.partial):
            return kind, self._of(value.func, depth - 1), self._of(value.args, depth), self._of(value.keywords, depth)
        if isinstance(value, property):
            return kind, self._of(value.fget, depth - 1)
        if isinstance(value, staticmethod | classmethod):
            return kind, self._of(value.__func__, depth - 1)
        if isinstance(value, type):
            self._met_class(value)
            return self._identity(value)
        if depth <= 0 or isinstance(value, _OPAQUE) or id(value) in self._known:
            return self._identity(value), len(value) if isinstance(value, tuple | list | dict) else None
        if isinstance(value, set | frozenset):
            return kind, frozenset(value)
        self._met_class(kind)
        inside = getattr(value, "__dict__", None) or {}
        own = MODULES_OWN - {"training"} if isinstance(value, nn.Module) else frozenset[str]()
        slots = {name: getattr(value, name) for name in _slots(kind) if hasattr(value, name)}
        parts = [(name, self._of(part, depth - 1)) for name, part in {**inside, **slots}.items() if name not in own]
        return self._identity(value), parts

    def _of_tensor(self, tensor: Tensor) -> Any:
        """One that is no part of the model can't be an argument of the trace, so its values may be constants of it."""
        version = None if tensor.is_inference() or id(tensor) in self._known else tensor._version
        return self._identity(tensor), version, tensor.dtype, tensor.device, tensor.shape, tensor.requires_grad

    def _of_function(self, function: FunctionType) -> int:
        if self._learning and function not in self._functions:
            self._kept.append(function)
            users = _is_the_users(function.__module__)
            if users or function.__closure__ or function.__defaults__ or function.__kwdefaults__:
                read, named = _names(function.__code__) if users else ((), frozenset[str]())
                self._functions[function] = read, named
                self.names |= named
        return id(function)

    def _identity(self, value: Any) -> int:
        if self._learning:
            self._kept.append(value)
        return id(value)

    # ---- what code can read ----------------------------------------------------------------------

    def read_classes(self, classes: Iterable[type]) -> None:
        """They and their bases are code that was run, as far as they are the user's."""
        for cls in classes:
            self._classes.update((base, None) for base in cls.__mro__ if _is_the_users(base.__module__))

    def _met_class(self, cls: type) -> None:
        if self._learning:
            self.read_classes((cls,))

    def of_code(self) -> list[Any]:
        """What the functions and classes that were found can read, as it is now."""
        facts = [self._read_by(function, *names) for function, names in tuple(self._functions.items())]
        for cls in tuple(self._classes):
            facts.append([(name, self.of(member)) for name, member in vars(cls).items() if self._counts(name, member)])
        return facts

    def _counts(self, name: str, member: Any) -> bool:
        if name in self.names or name in _UNNAMED:
            return True
        return name[:2] == "__" and name not in _NEVER and isinstance(member, FunctionType)

    def _read_by(self, function: FunctionType, names: tuple[str, ...], named: frozenset[str]) -> list[Any]:
        facts: list[Any] = [id(function.__code__), self.of(function.__defaults__), self.of(function.__kwdefaults__)]
        facts += [self.of(_content(cell)) for cell in function.__closure__ or ()]
        for name in names:
            value = function.__globals__.get(name)
            facts.append(self.of(value))
            if type(value) is ModuleType and _is_the_users(value.__name__):
                facts += [self.of(part) for other, part in vars(value).items() if other in named]
        if function.__dict__:
            facts.append(self.of(function.__dict__))
        return facts

    def _size(self) -> tuple[int, ...]:
        return len(self.names), len(self._functions), len(self._classes)


def _stays(value: Any) -> bool:
    """Whether it can't change, but for tensors in it. Of functions and classes, what they read is looked at apart."""
    if isinstance(value, tuple) and not hasattr(value, "__dict__"):
        return all(_stays(part) or (type(part) is Tensor and not part.is_inference()) for part in value)
    return type(value) in _SIMPLE or isinstance(value, float | FunctionType | type)


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, tuple):
        for part in value:
            yield from (part,) if isinstance(part, Tensor) else _tensors_in(part)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return None


def _is_the_users(module: str | None) -> bool:
    return module is None or module.partition(".")[0] not in _LIBRARIES


def _names(code: CodeType) -> tuple[tuple[str, ...], frozenset[str]]:
    """The globals that it loads, and all that it names: attributes, and strings that may name some for getattr."""
    read = dict.fromkeys(i.argval for i in dis.get_instructions(code) if i.opname in _GLOBALS)
    named = {*code.co_names, *(constant for constant in code.co_consts if isinstance(constant, str))}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            more, others = _names(constant)
            read.update(dict.fromkeys(more))
            named |= others
    return tuple(read), frozenset(named)


@functools.cache
def _slots(kind: type) -> tuple[str, ...]:
    slots = (vars(base).get("__slots__", ()) for base in kind.__mro__ if _is_the_users(base.__module__))
    names = (name for some in slots for name in ((some,) if isinstance(some, str) else some))
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))
