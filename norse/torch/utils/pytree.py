"""States as pytrees: named tuples of tensors that can be moved, converted and broadcast as a whole."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar, dataclass_transform

import torch
from torch import Tensor
from torch.utils import _pytree

T = TypeVar("T")


def map_only(ty: type[T]) -> Callable[[Callable[[T], Any]], Callable[[Any], Any]]:
    """A decorator: the function is applied to values of one type, all others stay as they are.

    Args:
        ty: the type.

    Returns:
        The decorator of a function of one value.

    Example:
        >>> map_only(int)(lambda x: x + 1)(1), map_only(int)(lambda x: x + 1)("a")
        (2, 'a')
    """

    def decorate(fn: Callable[[T], Any]) -> Callable[[Any], Any]:
        return lambda value: fn(value) if isinstance(value, ty) else value

    return decorate


def tree_map_only(ty: type[T], fn: Callable[[T], Any], pytree: Any) -> Any:
    """Applies a function to all values of one type in a nest of tuples, lists and dicts.

    Args:
        ty: the type.
        fn: the function.
        pytree: the nest.

    Returns:
        A nest of the same structure.

    Example:
        >>> tree_map_only(int, lambda x: -x, {"a": (1, None), "b": "c"})
        {'a': (-1, None), 'b': 'c'}
    """
    return _pytree.tree_map(map_only(ty)(fn), pytree)


def register_tuple(typ: Any) -> None:
    """Makes torch's pytrees see the fields of a named tuple that has other base classes than tuple.

    Args:
        typ: the class of named tuples.

    Example:
        >>> class Pair(NamedTuple):
        ...     a: int
        ...     b: int
        >>> register_tuple(Pair)
        >>> tree_map_only(int, lambda x: -x, Pair(1, 2))
        Pair(a=-1, b=-2)
    """
    if typ in _pytree.SUPPORTED_NODES:
        return
    _pytree.register_pytree_node(
        typ,
        lambda value: (list(value), None),
        lambda values, _: typ(*values),
        serialized_type_name=f"{typ.__module__}.{typ.__qualname__}",
    )


def broadcast_input(potential_scalar: Any, template: Tensor) -> Any:
    """A value for every element of a tensor, if it is one number; any other value as it is.

    Args:
        potential_scalar: a number, a tensor or anything else.
        template: the tensor whose shape, dtype and device a number takes.

    Returns:
        A tensor like template, filled with the number, or the value itself.

    Example:
        >>> broadcast_input(torch.tensor(2.0), torch.zeros(3))
        tensor([2., 2., 2.])
    """
    if isinstance(potential_scalar, Tensor):
        return potential_scalar if potential_scalar.dim() else potential_scalar.expand(template.shape).clone()
    if isinstance(potential_scalar, int | float) and not isinstance(potential_scalar, bool):
        return torch.full_like(template, potential_scalar)
    return potential_scalar


@dataclass_transform(frozen_default=True)
class MultipleInheritanceNamedTupleMeta(type):
    """Makes a named tuple out of a class with annotated fields, in spite of its base classes.

    Args:
        typename: the class's name.
        bases: its base classes.
        ns: its body; annotations become the fields, assigned values their defaults.

    Example:
        >>> class Pair(StateTuple):
        ...     a: Tensor
        ...     b: Tensor
        >>> Pair(a=torch.zeros(1), b=torch.ones(1))._fields
        ('a', 'b')
    """

    def __new__(mcs, typename: str, bases: tuple[type, ...], ns: dict[str, Any]) -> Any:
        declared = {name: value for name, value in ns.items() if name == "__module__" or name.startswith("__anno")}
        annotations = getattr(type(typename, (), declared), "__annotations__", {})
        if not annotations:
            return super().__new__(mcs, typename, bases, {"__slots__": (), **ns})
        fields: Any = NamedTuple(typename, list(annotations.items()))  # type: ignore[misc]
        defaults = [ns[name] for name in annotations if name in ns]
        if defaults:
            fields.__new__.__defaults__ = tuple(defaults)
            fields._field_defaults = dict(zip(list(annotations)[-len(defaults) :], defaults, strict=True))
        body = {name: value for name, value in ns.items() if name not in annotations}
        made = super().__new__(mcs, typename, (*bases, fields), {"__slots__": (), **body})
        register_tuple(made)
        return made


class StateTuple(tuple[Any, ...], metaclass=MultipleInheritanceNamedTupleMeta):
    """Base of a neuron's state: a named tuple whose tensors are moved and converted as a whole, nested ones too.

    Example:
        >>> class LIFLike(StateTuple):
        ...     v: Tensor
        ...     i: Tensor
        >>> state = LIFLike(v=torch.tensor(0.5), i=torch.zeros(2))
        >>> state.to(torch.float64).v
        tensor(0.5000, dtype=torch.float64)
        >>> state.broadcast(torch.zeros(2)).v
        tensor([0.5000, 0.5000])
        >>> state._replace(v=torch.tensor(1.0))
        LIFLike(v=tensor(1.), i=tensor([0., 0.]))
    """

    if TYPE_CHECKING:  # what every named tuple has
        _fields: ClassVar[tuple[str, ...]]
        _field_defaults: ClassVar[dict[str, Any]]

        @classmethod
        def _make(cls, iterable: Iterable[Any]) -> Self: ...
        def _replace(self, **fields: Any) -> Self: ...
        def _asdict(self) -> dict[str, Any]: ...

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """All tensors moved or converted, as by `Tensor.to(...)`: a device, a dtype, or both."""
        return self._map(lambda x: x.to(*args, **kwargs))

    def cpu(self) -> Self:
        """All tensors in the processor's memory."""
        return self._map(lambda x: x.cpu())

    def cuda(self) -> Self:
        """All tensors on the current CUDA device."""
        return self._map(lambda x: x.cuda())

    def float(self) -> Self:
        """All tensors as float32."""
        return self._map(lambda x: x.float())

    def double(self) -> Self:
        """All tensors as float64."""
        return self._map(lambda x: x.double())

    def int(self) -> Self:
        """All tensors as int32, rounded towards zero."""
        return self._map(lambda x: x.int())

    def detach(self) -> Self:
        """All tensors without their history: where backpropagation through time is cut off."""
        return self._map(lambda x: x.detach())

    def broadcast(self, template: Tensor) -> Self:
        """Fields that are one number, as of a neuron at rest, in the shape of `template`, such as one tick's output."""
        return self._map(lambda x: broadcast_input(x, template))

    def _map(self, fn: Callable[[Tensor], Tensor]) -> Self:
        return tree_map_only(Tensor, fn, self)  # type: ignore[no-any-return]
