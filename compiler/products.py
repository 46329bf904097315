"""Gradients that are products over all ticks: what a loop leaves to one matrix product after it.

A weight's gradient is a sum of products `gradient ⊗ activity` over ticks and samples, the gradient of a synapse's input
a sum of `gradient @ matrix`. A custom backward may weight and add up such products; every other arithmetic of them is
refused.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from norse.compiler.build import Expression
from norse.compiler.errors import Unsupported
from norse.compiler.ir import Node, Ref

_SUMS = frozenset({"add", "sub", "neg", "mul", "div", "where", "identity", "detach", "expand_as"})


@dataclass(frozen=True)
class WeightGradient:
    """dL/dW = scale · factor ∘ (sum over ticks and samples of `gradient` ⊗ `activity`): one matrix product after the
    loop. `factor` is an input that does not vary with time."""

    weight: str
    gradient: str
    activity: str
    factor: str | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class InputGradient:
    """dL/dx = scale · `gradient` @ `matrix` at every tick: one matrix product after the loop."""

    input: str
    gradient: str
    matrix: str
    transposed: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class Product:
    """`gradient` ⊗ `other`, summed, where `of_weight`; else `gradient` @ `other`."""

    gradient: str
    other: str
    of_weight: bool
    transposed: bool = False
    factor: str | None = None
    scale: float = 1.0

    def of(self, operand: str) -> WeightGradient | InputGradient:
        """As the gradient of an operand."""
        if self.of_weight:
            return WeightGradient(operand, self.gradient, self.other, self.factor, self.scale)
        return InputGradient(operand, self.gradient, self.other, self.transposed, self.scale)


Products = tuple[Product, ...]


def is_products(value: Any) -> bool:
    return isinstance(value, tuple)


def outer(gradient: Any, activity: Any) -> Products:
    return (Product(gradient.ref.name, activity.ref.name, of_weight=True),)


def combined(node: Node, operands: list[Any], is_fixed: Callable[[str], bool]) -> Products:
    """What a node makes of products: sums of them, and multiples by numbers and by what does not vary with time."""
    if node.op == "outer":
        return outer(*operands)
    first, *others = operands
    if node.op not in _SUMS:
        raise Unsupported(f"the backward of its autograd.Function computes {node.op} of the gradient of a weight")
    if node.op == "neg":
        return _scaled(first, -1.0)
    if node.op in ("add", "sub") and all(map(is_products, operands)):
        return first + _scaled(others[0], -1.0 if node.op == "sub" else 1.0)  # type: ignore[no-any-return]
    if node.op == "mul":
        products, factor = (first, others[0]) if is_products(first) else (others[0], first)
        return _multiplied(products, factor, is_fixed)
    if node.op == "div" and is_products(first) and isinstance(others[0], int | float):
        return _scaled(first, 1.0 / others[0])
    if node.op == "where" and is_products(others[0]) and _is_zero(others[1]):
        return _multiplied(others[0], first, is_fixed)
    if node.op in ("identity", "detach", "expand_as"):
        return first  # type: ignore[no-any-return]
    raise Unsupported(
        f"the backward of its autograd.Function computes {node.op} of the gradient of a weight and others"
    )


def _multiplied(products: Products, factor: Any, is_fixed: Callable[[str], bool]) -> Products:
    if isinstance(factor, int | float):
        return _scaled(products, float(factor))
    fits = isinstance(factor, Expression) and isinstance(factor.ref, Ref) and is_fixed(factor.ref.name)
    if not fits or any(product.factor is not None or not product.of_weight for product in products):
        raise Unsupported("the backward of its autograd.Function multiplies the gradient of a weight by what varies")
    return tuple(replace(product, factor=factor.ref.name) for product in products)


def _scaled(products: Products, scale: float) -> Products:
    return tuple(replace(product, scale=product.scale * scale) for product in products)


def _is_zero(operand: Any) -> bool:
    return isinstance(operand, int | float) and operand == 0


def factors(products: Iterable[Any]) -> set[str]:
    """The inputs that products of gradients read, besides rows of ticks."""
    names = (p.factor if isinstance(p, WeightGradient) else p.matrix for p in products)
    return {name for name in names if name is not None}
