"""Steps of neurons that nobody thought of: arithmetic on input, state and parameters, drawn operation by operation."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .neurons import Bell, UserParameters, UserState


@dataclass(frozen=True)
class Expression:
    """`operations` are (name, operands); operand k is the k-th of x, v, trace, leak, v_th and the results so far.

    The last three results become the spike's potential, the next v and the next trace.
    """

    operations: tuple[tuple[str, tuple[int, ...]], ...]
    reset: str = "multiply"  # "multiply", "subtract", "where", "detached", "none"


INPUTS = 5  # x, v, trace, leak, v_th

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": lambda a: -a,
    "abs": torch.abs,
    "relu": torch.relu,
    "square": lambda a: torch.clamp(a, -3, 3) ** 2,
    "clamp": lambda a: torch.clamp(a, -1.5, 2.0),
    "half": lambda a: 0.5 * a,
    "rest": lambda a: 1 - a,
    "detach": lambda a: a.detach(),
    "sign": torch.sign,
    "floor": lambda a: torch.floor(a) * 0.1,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": lambda a: torch.exp(-a.abs()),
    "log": lambda a: torch.log(1.5 + a.abs()),
    "sqrt": lambda a: torch.sqrt(0.5 + a.abs()),
    "reciprocal": lambda a: 1 / (1 + a.abs()),
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: torch.clamp(a, -4, 4) * b,
    "div": lambda a, b: a / (1 + b * b),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "spike": lambda a, b: Bell.apply(a - b),
    "mix": lambda a, b: torch.lerp(a, b, 0.25),
}
TERNARY: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "where": lambda a, b, c: torch.where(a > b, b, c),
    "masked": lambda a, b, c: torch.where((a > 0) & (b <= c), a, c),
    "addcmul": lambda a, b, c: torch.addcmul(a, torch.clamp(b, -2, 2), torch.clamp(c, -2, 2), value=0.5),
}


def draw_expression(choose: random.Random) -> Expression:
    operations: list[tuple[str, tuple[int, ...]]] = []
    for k in range(choose.choice([3, 4, 5, 6, 8])):
        table: dict[str, Any] = choose.choice([UNARY, BINARY, BINARY, TERNARY])
        arity = 1 if table is UNARY else 2 if table is BINARY else 3
        operands = tuple(_draw_operand(choose, INPUTS + k) for _ in range(arity))
        operations.append((choose.choice(list(table)), operands))
    return Expression(tuple(operations), choose.choice(["multiply", "subtract", "where", "detached", "none"]))


def _draw_operand(choose: random.Random, known: int) -> int:
    """The last results more often, so that something depends on most of them."""
    return choose.randrange(known) if choose.random() < 0.5 else known - 1 - choose.randrange(3)


def expression_step(expression: Expression) -> Callable[..., Any]:
    def step(x: Tensor, s: UserState, p: UserParameters, dt: float) -> tuple[Tensor, UserState]:
        values: list[Tensor] = [x, s.v, s.trace, p.leak, p.v_th]
        for name, operands in expression.operations:
            function: Any = UNARY.get(name) or BINARY.get(name) or TERNARY[name]
            values.append(function(*(values[k] for k in operands)))
        potential, v, trace = values[-1], values[-2], values[-3]
        potential = p.leak * s.v + 0.5 * x + 0.1 * potential
        z = Bell.apply(potential - p.v_th)
        v = torch.clamp(0.5 * potential + 0.5 * v, -4.0, 4.0)
        match expression.reset:
            case "multiply":
                v = v * (1 - z)
            case "subtract":
                v = v - z * p.v_th
            case "where":
                v = torch.where(potential > p.v_th, 0.25 * s.v, v)
            case "detached":
                v = v * (1 - z.detach())
        return z, UserState(v, torch.clamp(0.5 * s.trace + 0.5 * trace, -4.0, 4.0))

    return step


def step_parameters() -> UserParameters:
    return UserParameters()


def resting(over_time: bool) -> Callable[[Tensor], UserState]:
    def start(x: Tensor) -> UserState:
        return UserState(*(x.new_zeros(x.shape[1:] if over_time else x.shape) for _ in range(2)))

    return start
