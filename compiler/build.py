"""Builds graphs by writing arithmetic: `g * (1 - out * out)` on `Expression`s appends the nodes that compute it."""

import math
from collections.abc import Iterable
from typing import Any

from norse.compiler.ir import Names, Node, Operand, Ref


class Builder:
    """Collects nodes; equal nodes without side effects are made once."""

    def __init__(self, taken: Iterable[str] = (), module: str = "") -> None:
        self.names = Names(taken)
        self.nodes: list[Node] = []
        self.module = module
        self._made: dict[Any, str] = {}

    def emit(self, op: str, *operands: Any, wish: str = "", **attrs: Any) -> "Expression":
        inputs = tuple(_operand(operand) for operand in operands)
        key = (op, identity(inputs), tuple((name, identity(attrs[name])) for name in sorted(attrs)))
        if key not in self._made:
            name = self.names.fresh(wish or op)
            self.nodes.append(Node(op, (name,), inputs, attrs, self.module))
            self._made[key] = name
        return Expression(self, Ref(self._made[key]))

    def expression(self, operand: Operand) -> Any:
        """An operand as something to calculate with: a value becomes an `Expression`, a constant stays as it is."""
        return Expression(self, operand) if isinstance(operand, Ref) else operand


class Expression:
    """A value of a graph in the making."""

    def __init__(self, builder: Builder, ref: Ref) -> None:
        self.builder, self.ref = builder, ref

    def __add__(self, other: Any) -> "Expression":
        return self.builder.emit("add", self, other)

    def __sub__(self, other: Any) -> "Expression":
        return self.builder.emit("sub", self, other)

    def __mul__(self, other: Any) -> "Expression":
        return self.builder.emit("mul", self, other)

    def __truediv__(self, other: Any) -> "Expression":
        return self.builder.emit("div", self, other)

    def __radd__(self, other: Any) -> "Expression":
        return self.builder.emit("add", other, self)

    def __rsub__(self, other: Any) -> "Expression":
        return self.builder.emit("sub", other, self)

    def __rmul__(self, other: Any) -> "Expression":
        return self.builder.emit("mul", other, self)

    def __neg__(self) -> "Expression":
        return self.builder.emit("neg", self)

    def __gt__(self, other: Any) -> "Expression":
        return self.builder.emit("gt", self, other)

    def __lt__(self, other: Any) -> "Expression":
        return self.builder.emit("lt", self, other)

    def __ge__(self, other: Any) -> "Expression":
        return self.builder.emit("ge", self, other)

    def __le__(self, other: Any) -> "Expression":
        return self.builder.emit("le", self, other)

    def __getattr__(self, op: str) -> Any:
        """`x.exp()`, `condition.where(a, b)`: any op of the table as a method."""
        if op.startswith("_"):
            raise AttributeError(op)
        return lambda *operands, **attrs: self.builder.emit(op, self, *operands, **attrs)


def identity(constant: Any) -> Any:
    """1, 1.0 and True are equal and hash alike, and so are 0.0 and -0.0, but they are not the same constant."""
    if isinstance(constant, tuple):
        return tuple(identity(part) for part in constant)
    if isinstance(constant, slice):  # it has no hash
        return slice, identity((constant.start, constant.stop, constant.step))
    if isinstance(constant, float):
        return float, constant, math.copysign(1, constant)
    return type(constant), constant


def _operand(operand: Any) -> Operand:
    return operand.ref if isinstance(operand, Expression) else operand
