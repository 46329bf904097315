"""The op table: one row an op, and in it all that the compiler knows about the op.

`eager` computes it with torch (the prologue, the torch path and every check run exactly this), `result` gives its type,
`derivative` its adjoint in terms of other rows, `c` its C expression. Adding an op is adding a row.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from norse.compiler.errors import Unsupported
from norse.compiler.ir import TIME, Type

# A type rule sees the types of the operands (constants as they are) and the attributes.
Rule = Callable[..., Type]
# A derivative sees the gradient of the result, the result, and the operands; it gives one gradient an operand, or None.
Derivative = Callable[..., tuple[Any, ...]]
# Whether a result is 0/1, by the same.
Spikes = Callable[..., bool]


# ---- what is 0/1 ---------------------------------------------------------------------------------


def is_spike(operand: Any) -> bool:
    """Of a value its mark, of a number whether it is 0 or 1. A decision is 0/1 by its dtype."""
    if isinstance(operand, Type):
        return operand.spike or operand.dtype == torch.bool
    return isinstance(operand, int | float) and operand in (0, 1)


def never(*_: Any) -> bool:
    return False


def always(*_: Any) -> bool:
    return True


def if_all(*operands: Any) -> bool:
    return all(map(is_spike, operands))


def if_first(operand: Any, *_: Any) -> bool:
    return is_spike(operand)


def if_second(_: Any, operand: Any) -> bool:
    return is_spike(operand)


def _if_complement(a: Any, b: Any) -> bool:
    """1 - z"""
    return not isinstance(a, Type) and a == 1 and is_spike(b)


# ---- a row ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Op:
    name: str
    eager: Callable[..., Any]
    result: Rule
    derivative: Derivative | None = None
    c: str | None = None
    targets: tuple[Any, ...] = ()  # what the user may have called: functions, and names of tensor methods
    exact: bool = True  # the C expression gives torch's bits
    draws: str | None = None  # the row whose random numbers are in it
    words: int = 0  # of 32 random bits, that a float32 of it takes; a float64 takes twice as many
    synapse: bool = False  # mixes the neurons: never inside an elementwise loop
    reshapes: bool = False  # makes ticks of another shape: never inside any loop
    spikes: Spikes = never  # whether the result is 0/1


# ---- type rules ----------------------------------------------------------------------------------


def _stand_in(operand: Any) -> Any:
    """Something that torch promotes as it promotes the operand: a tensor of its dtype, with or without dimensions."""
    if isinstance(operand, Type):
        return torch.empty((1,) * min(len(operand.tick_axes), 1), dtype=operand.dtype, device="meta")
    return operand


def promoted(*operands: Any) -> torch.dtype:
    """torch's dtype for arithmetic between the operands (dimensions outrank 0-d tensors, which outrank numbers)."""
    parts = sorted((_stand_in(operand) for operand in operands if operand is not None), key=_rank, reverse=True)
    results = []
    for rank, group in groupby(parts, _rank):
        result, *others = group
        for part in others:
            if rank >= 0:
                result = torch.empty((1,) * rank, dtype=torch.result_type(result, part), device="meta")
            else:
                result = max(result, part, key=lambda number: (isinstance(number, float), not isinstance(number, bool)))
        results.append(result)
    result, *others = results
    for part in others:  # of a lower rank
        result = torch.empty((1,) * _rank(result), dtype=torch.result_type(result, part), device="meta")
    return result.dtype if isinstance(result, torch.Tensor) else torch.result_type(result, result)


def _rank(part: Any) -> int:
    """What outranks what: -1 for a number."""
    return part.ndim if isinstance(part, torch.Tensor) else -1


def broadcast(*operands: Any) -> tuple[str | int, ...]:
    """The axes of an elementwise result: one tick's axes aligned from the right, and time if any operand has it."""
    types = [operand for operand in operands if isinstance(operand, Type)]
    rank = max((len(type_.tick_axes) for type_ in types), default=0)
    axes: list[str | int] = [1] * rank
    for type_ in types:
        for position, axis in enumerate(reversed(type_.tick_axes), start=1):
            known = axes[-position]
            if known != axis and 1 not in (known, axis):
                raise Unsupported(f"shapes {[str(t) for t in types]} do not broadcast")
            axes[-position] = axis if known == 1 else known
    over_time = any(type_.over_time for type_ in types)
    return ((TIME,) if over_time else ()) + tuple(axes)


def arithmetic(*operands: Any) -> Type:
    return Type(_floating(promoted(*operands)), broadcast(*operands))


def scaled(*operands: Any) -> Type:
    """The last operand is a number that takes no part in the promotion."""
    return arithmetic(*operands[:-1])


def product(*operands: Any) -> Type:
    return Type(_floating(promoted(*operands)), broadcast(*operands))


def step_type(x: Any, at_zero: Any) -> Type:
    return Type(_floating(promoted(x, at_zero)), broadcast(x, at_zero))


def comparison(*operands: Any) -> Type:
    return Type(torch.bool, broadcast(*operands))


def decision(*operands: Any) -> Type:
    """Of decisions: `&` of whole numbers is something else."""
    if any(operand.dtype != torch.bool for operand in operands if isinstance(operand, Type)):
        raise Unsupported("bitwise arithmetic of numbers")
    return comparison(*operands)


def selection(condition: Type, a: Any, b: Any) -> Type:
    return Type(promoted(a, b), broadcast(condition, a, b))


def cast_to(operand: Type, dtype: torch.dtype) -> Type:
    return Type(dtype, operand.axes)


def same(operand: Type, *_: Any) -> Type:
    return Type(operand.dtype, operand.axes)


def as_often(operand: Type, clock: Type) -> Type:
    axes = ((TIME,) if clock.over_time else ()) + operand.tick_axes
    return Type(operand.dtype, axes)


def filled(operand: Type, *_: Any) -> Type:
    return Type(operand.dtype, operand.axes)


def drawn(key: Type, slot: int, dtype: torch.dtype) -> Type:
    return Type(dtype, key.axes)


def chance(probability: Type) -> Type:
    return Type(_floating(probability.dtype), probability.axes)


def with_dimension(x: Type, dim: int) -> Type:
    """A negative dimension is the same with time in front and without."""
    axes = x.tick_axes
    if not isinstance(dim, int) or not -len(axes) - 1 <= dim < 0:
        raise Unsupported(f"unsqueeze({dim}): in a step, count dimensions from the last one, which is -1")
    place = len(axes) + 1 + dim
    return Type(x.dtype, (*((TIME,) if x.over_time else ()), *axes[:place], 1, *axes[place:]))


def without_dimension(x: Type, dim: int) -> Type:
    axes = x.tick_axes
    if not isinstance(dim, int) or not -len(axes) <= dim < 0:
        raise Unsupported(f"sum({dim}): in a step, count dimensions from the last one, which is -1")
    place = len(axes) + dim
    return Type(_floating(x.dtype), (*((TIME,) if x.over_time else ()), *axes[:place], *axes[place + 1 :]))


def expanded_type(x: Any, like: Any) -> Type:
    if not isinstance(x, Type) or not isinstance(like, Type):
        raise Unsupported("expand_as of a number")
    return Type(x.dtype, broadcast(x, like))


def outer_type(rows: Type, activity: Type) -> Type:
    """Summed over samples, [hidden, input]."""
    return Type(promoted(rows, activity), (rows.axes[-1], activity.axes[-1]))


def diagonal_type(matrix: Type) -> Type:
    if len(matrix.axes) != 2 or matrix.axes[0] != matrix.axes[1]:
        raise Unsupported(f"the diagonal of {matrix}")
    return Type(matrix.dtype, matrix.axes[1:])


def linear_type(x: Type, weight: Type, bias: Any = None) -> Type:
    if not x.axes or len(weight.axes) != 2 or x.axes[-1] != weight.axes[1]:
        raise Unsupported(f"linear of {x} with a weight {weight}")
    return Type(promoted(x, weight), (*x.axes[:-1], weight.axes[0]))


def matrix_transpose(weight: Type) -> Type:
    axes = weight.tick_axes
    if len(axes) > 2:
        raise Unsupported(f"the transpose of {weight}")
    return Type(weight.dtype, (*weight.axes[: len(weight.axes) - len(axes)], *axes[::-1]))


def _floating(dtype: torch.dtype) -> torch.dtype:
    if not dtype.is_floating_point:
        raise Unsupported(f"arithmetic of {dtype} values")
    return dtype


# ---- what torch computes -------------------------------------------------------------------------


def _in_kernels_alone(*operands: Any) -> torch.Tensor:
    raise NotImplementedError("torch has no such random numbers")


def _outer(rows: torch.Tensor, activity: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...h,...i->hi", rows, activity)


def _clamp(x: torch.Tensor, low: Any, high: Any) -> torch.Tensor:
    return torch.clamp(x, low, high)


def _clamp_derivative(g: Any, out: Any, x: Any, low: Any, high: Any) -> tuple[Any, ...]:
    inside, by_low, by_high = g, None, None
    if low is not None:
        inside = (x >= low).where(inside, 0)
    if high is not None:
        inside = (x <= high).where(inside, 0)
    # Of bounds that contradict each other, the upper one holds.
    if not _is_number(low) and low is not None:
        by_low = (x < low).where(g, 0)
        by_low = by_low if high is None else (low < high).where(by_low, 0)
    if not _is_number(high) and high is not None:
        by_high = (x > high).where(g, 0)
        by_high = by_high if low is None else (high < low).where(g, by_high)
    return inside, by_low, by_high


def _larger_side(g: Any, a: Any, b: Any) -> Any:
    """The share of an extremum's gradient that goes to a: all unless a < b (NaN too), half where they are equal."""
    return a.eq(b).where(g * 0.5, (a < b).where(0, g))


def _pow_derivative(g: Any, out: Any, a: Any, b: Any) -> tuple[Any, Any]:
    by_base = None if _is_number(a) else g * (b * a.builder.emit("pow", a, b - 1))
    if _is_number(b):
        return (by_base if b != 0 else None), None
    by_exponent = g * (out * (_log(a) if _is_number(a) else a.log()))
    if _is_number(a):
        return None, (b >= 0).where(0, by_exponent) if a == 0 else by_exponent
    # 0 ** b is 0 for every b > 0; a ** 0 is 1 for every a.
    by_exponent = a.eq(0).where((b >= 0).where(0, by_exponent), by_exponent)
    return b.eq(0).where(0, by_base), by_exponent


def _remainder_derivative(g: Any, out: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """a - out is a multiple of b; which one, is the derivative by b."""
    return g, None if _is_number(b) else -g * ((a - out) / b).round()


def _softplus_derivative(g: Any, out: Any, x: Any, beta: Any, threshold: Any) -> tuple[Any, ...]:
    e = (x * beta).exp()
    return (x * beta > threshold).where(g, g * (e / (e + 1.0))), None, None


def _silu_derivative(g: Any, out: Any, x: Any) -> tuple[Any]:
    s = x.sigmoid()
    return (g * (s * (x * (1.0 - s) + 1.0)),)


def _lerp_derivative(g: Any, out: Any, a: Any, b: Any, weight: Any) -> tuple[Any, ...]:
    return g * (1.0 - weight), g * weight, None if _is_number(weight) else g * (b - a)


def _atan2_derivative(g: Any, out: Any, a: Any, b: Any) -> tuple[Any, Any]:
    square = a * a + b * b
    return square.eq(0).where(0, g * (b / square)), square.eq(0).where(0, g * (-a / square))


def _log(number: float) -> float:
    if number > 0:
        return math.log(number)
    return -math.inf if number == 0 else math.nan


def _is_number(operand: Any) -> bool:
    return isinstance(operand, int | float)


_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)

_ROWS = (
    # arithmetic
    Op("add", operator.add, arithmetic, lambda g, out, a, b: (g, g), "{0} + {1}",
       (operator.add, torch.add, "add")),
    Op("sub", operator.sub, arithmetic, lambda g, out, a, b: (g, -g), "{0} - {1}",
       (operator.sub, torch.sub, "sub"), spikes=_if_complement),
    Op("mul", operator.mul, product, lambda g, out, a, b: (g * b, g * a), "{0} * {1}",
       (operator.mul, torch.mul, "mul"), spikes=if_all),
    Op("div", operator.truediv, arithmetic, lambda g, out, a, b: (g / b, -g * (out / b)), "{0} / {1}",
       (operator.truediv, torch.div, torch.true_divide, "div", "true_divide")),
    Op("neg", operator.neg, arithmetic, lambda g, out, a: (-g,), "-{0}",
       (operator.neg, torch.neg, "neg")),
    Op("abs", torch.abs, arithmetic, lambda g, out, a: (g * a.sign(),), "norse_abs({0})",
       (operator.abs, torch.abs, "abs"), spikes=if_all),
    Op("sign", torch.sign, arithmetic, lambda g, out, a: (None,), "norse_sign({0})",
       (torch.sign, "sign"), spikes=if_all),
    Op("square", torch.square, arithmetic, lambda g, out, a: (g * (2.0 * a),), "{0} * {0}",
       (torch.square, "square"), spikes=if_all),
    Op("reciprocal", torch.reciprocal, arithmetic, lambda g, out, a: (-g * (out * out),), "1 / {0}",
       (torch.reciprocal, "reciprocal")),
    Op("relu", torch.relu, arithmetic, lambda g, out, a: ((out <= 0).where(0, g),), "norse_relu({0})",
       (torch.relu, torch.nn.functional.relu, "relu"), spikes=if_all),
    Op("minimum", torch.minimum, arithmetic, lambda g, out, a, b: (_larger_side(g, b, a), _larger_side(g, a, b)),
       "norse_minimum({0}, {1})", (torch.minimum, "minimum"), spikes=if_all),
    Op("maximum", torch.maximum, arithmetic, lambda g, out, a, b: (_larger_side(g, a, b), _larger_side(g, b, a)),
       "norse_maximum({0}, {1})", (torch.maximum, "maximum"), spikes=if_all),
    Op("clamp", _clamp, arithmetic, _clamp_derivative, "norse_clamp({0}, {1}, {2})"),
    # libm and torch differ in the last bits; torch with MKL rounds even sqrt wrongly in some of the elements
    Op("sqrt", torch.sqrt, arithmetic, lambda g, out, a: (g / (2.0 * out),), "norse_sqrt({0})",
       (torch.sqrt, "sqrt"), exact=False),
    Op("rsqrt", torch.rsqrt, arithmetic, lambda g, out, a: (g * (-0.5 * (out * out * out)),), "1 / norse_sqrt({0})",
       (torch.rsqrt, "rsqrt"), exact=False),
    Op("exp", torch.exp, arithmetic, lambda g, out, a: (g * out,), "norse_exp({0})",
       (torch.exp, "exp"), exact=False),
    Op("expm1", torch.expm1, arithmetic, lambda g, out, a: (g * (out + 1.0),), "norse_expm1({0})",
       (torch.expm1, "expm1"), exact=False),
    Op("log", torch.log, arithmetic, lambda g, out, a: (g / a,), "norse_log({0})",
       (torch.log, "log"), exact=False),
    Op("log1p", torch.log1p, arithmetic, lambda g, out, a: (g / (a + 1.0),), "norse_log1p({0})",
       (torch.log1p, "log1p"), exact=False),
    Op("sin", torch.sin, arithmetic, lambda g, out, a: (g * a.cos(),), "norse_sin({0})",
       (torch.sin, "sin"), exact=False),
    Op("cos", torch.cos, arithmetic, lambda g, out, a: (-g * a.sin(),), "norse_cos({0})",
       (torch.cos, "cos"), exact=False),
    Op("tanh", torch.tanh, arithmetic, lambda g, out, a: (g * (1.0 - out * out),), "norse_tanh({0})",
       (torch.tanh, "tanh"), exact=False),
    Op("sigmoid", torch.sigmoid, arithmetic, lambda g, out, a: (g * ((1.0 - out) * out),), "1 / (1 + norse_exp(-{0}))",
       (torch.sigmoid, torch.nn.functional.sigmoid, "sigmoid"), exact=False),
    Op("atan", torch.atan, arithmetic, lambda g, out, a: (g / (a * a + 1.0),), "norse_atan({0})",
       (torch.atan, torch.arctan, "atan", "arctan"), exact=False),
    Op("atan2", torch.atan2, arithmetic, _atan2_derivative, "norse_atan2({0}, {1})",
       (torch.atan2, torch.arctan2, "atan2", "arctan2"), exact=False),
    Op("asin", torch.asin, arithmetic, lambda g, out, a: (g / (1.0 - a * a).sqrt(),), "norse_asin({0})",
       (torch.asin, torch.arcsin, "asin", "arcsin"), exact=False),
    Op("acos", torch.acos, arithmetic, lambda g, out, a: (-g / (1.0 - a * a).sqrt(),), "norse_acos({0})",
       (torch.acos, torch.arccos, "acos", "arccos"), exact=False),
    Op("exp2", torch.exp2, arithmetic, lambda g, out, a: (g * (out * math.log(2)),), "norse_exp2({0})",
       (torch.exp2, "exp2"), exact=False),
    Op("log2", torch.log2, arithmetic, lambda g, out, a: (g / (a * math.log(2)),), "norse_log2({0})",
       (torch.log2, "log2"), exact=False),
    Op("log10", torch.log10, arithmetic, lambda g, out, a: (g / (a * math.log(10)),), "norse_log10({0})",
       (torch.log10, "log10"), exact=False),
    Op("softplus", torch.nn.functional.softplus, arithmetic, _softplus_derivative, "norse_softplus({0}, {1}, {2})",
       exact=False),
    Op("silu", torch.nn.functional.silu, arithmetic, _silu_derivative, "{0} / (1 + norse_exp(-{0}))",
       (torch.nn.functional.silu,), exact=False),
    Op("elu", torch.nn.functional.elu, arithmetic,
       lambda g, out, x, alpha: ((x > 0).where(g, g * (x.exp() * alpha)), None),
       "{0} > 0 ? {0} : norse_expm1({0}) * {1}", exact=False),
    Op("leaky_relu", torch.nn.functional.leaky_relu, arithmetic,
       lambda g, out, x, slope: ((x > 0).where(g, g * slope), None), "{0} > 0 ? {0} : {0} * {1}"),
    # fused multiply-add where torch vectorises
    Op("lerp", torch.lerp, arithmetic, _lerp_derivative, "norse_lerp({0}, {1}, {2})", (torch.lerp, "lerp"),
       exact=False),
    Op("add_scaled", lambda a, b, scale: torch.add(a, b, alpha=scale), scaled,
       lambda g, out, a, b, scale: (g, g * scale, None), "{0} + {2} * {1}", exact=False),
    Op("addcmul", lambda a, b, c, scale: torch.addcmul(a, b, c, value=scale), scaled,
       lambda g, out, a, b, c, scale: (g, g * (c * scale), g * (b * scale), None), "{0} + {3} * {1} * {2}",
       exact=False),
    Op("addcdiv", lambda a, b, c, scale: torch.addcdiv(a, b, c, value=scale), scaled,
       lambda g, out, a, b, c, scale: (g, g * (c.reciprocal() * scale), -g * (b / (c * c) * scale), None),
       "{0} + {3} * {1} / {2}", exact=False),
    Op("erf", torch.erf, arithmetic, lambda g, out, a: (g * (_TWO_OVER_ROOT_PI * (-(a * a)).exp()),), "norse_erf({0})",
       (torch.erf, "erf"), exact=False),
    Op("pow", operator.pow, arithmetic, _pow_derivative, "norse_pow({0}, {1})",
       (operator.pow, torch.pow, "pow"), exact=False),
    # steps, whose derivative is zero
    Op("floor", torch.floor, arithmetic, lambda g, out, a: (None,), "norse_floor({0})", (torch.floor, "floor"),
       spikes=if_all),
    Op("ceil", torch.ceil, arithmetic, lambda g, out, a: (None,), "norse_ceil({0})", (torch.ceil, "ceil"),
       spikes=if_all),
    Op("round", torch.round, arithmetic, lambda g, out, a: (None,), "norse_round({0})", (torch.round, "round"),
       spikes=if_all),
    Op("trunc", torch.trunc, arithmetic, lambda g, out, a: (None,), "norse_trunc({0})",
       (torch.trunc, torch.fix, "trunc", "fix"), spikes=if_all),
    Op("frac", torch.frac, arithmetic, lambda g, out, a: (g,), "{0} - norse_trunc({0})", (torch.frac, "frac")),
    Op("fmod", torch.fmod, arithmetic, _remainder_derivative, "norse_fmod({0}, {1})", (torch.fmod, "fmod")),
    Op("remainder", torch.remainder, arithmetic, _remainder_derivative, "norse_remainder({0}, {1})",
       (operator.mod, torch.remainder, "remainder")),
    Op("heaviside", torch.heaviside, step_type, lambda g, out, a, b: (None, None), "{0} == 0 ? {1} : {0} > 0",
       (torch.heaviside, "heaviside"), spikes=if_second),
    # decisions
    Op("gt", operator.gt, comparison, None, "{0} > {1}", (operator.gt, torch.gt, torch.greater, "gt", "greater")),
    Op("ge", operator.ge, comparison, None, "{0} >= {1}", (operator.ge, torch.ge, torch.greater_equal, "ge")),
    Op("lt", operator.lt, comparison, None, "{0} < {1}", (operator.lt, torch.lt, torch.less, "lt", "less")),
    Op("le", operator.le, comparison, None, "{0} <= {1}", (operator.le, torch.le, torch.less_equal, "le")),
    Op("eq", operator.eq, comparison, None, "{0} == {1}", (operator.eq, torch.eq, "eq")),
    Op("ne", operator.ne, comparison, None, "{0} != {1}", (operator.ne, torch.ne, "ne")),
    Op("logical_and", torch.logical_and, comparison, None, "{0} && {1}", (torch.logical_and, "logical_and")),
    Op("logical_or", torch.logical_or, comparison, None, "{0} || {1}", (torch.logical_or, "logical_or")),
    Op("logical_xor", torch.logical_xor, comparison, None, "{0} != {1}", (torch.logical_xor, "logical_xor")),
    Op("bitwise_and", operator.and_, decision, None, "{0} && {1}",
       (operator.and_, torch.bitwise_and, "bitwise_and")),
    Op("bitwise_or", operator.or_, decision, None, "{0} || {1}", (operator.or_, torch.bitwise_or, "bitwise_or")),
    Op("bitwise_xor", operator.xor, decision, None, "{0} != {1}", (operator.xor, torch.bitwise_xor, "bitwise_xor")),
    Op("bitwise_not", operator.invert, decision, None, "!{0}",
       (operator.invert, torch.bitwise_not, "bitwise_not")),
    Op("logical_not", torch.logical_not, comparison, None, "!{0}", (torch.logical_not, "logical_not")),
    Op("isfinite", torch.isfinite, comparison, None, "norse_isfinite({0})", (torch.isfinite, "isfinite")),
    Op("where", torch.where, selection, lambda g, out, c, a, b: (None, c.where(g, 0), c.where(0, g)),
       "{0} ? {1} : {2}", (torch.where,), spikes=lambda condition, a, b: is_spike(a) and is_spike(b)),
    # random numbers of torch, which kernels draw otherwise or read: see draws.py
    Op("bernoulli", torch.bernoulli, chance, lambda g, out, a: (None,), None,
       (torch.bernoulli, "bernoulli"), exact=False, draws="uniform", spikes=always),
    Op("rand_like", torch.rand_like, filled, lambda g, out, a: (None,), None,
       (torch.rand_like,), exact=False, draws="uniform"),
    Op("randn_like", torch.randn_like, filled, lambda g, out, a: (None,), None,
       (torch.randn_like,), exact=False, draws="normal"),
    # the numbers of a kernel's own generator, from a key, the first of their words, and their dtype
    Op("uniform", _in_kernels_alone, drawn, lambda g, out, key, slot, dtype: (None, None, None), "norse_uniform",
       exact=False, words=1),
    Op("normal", _in_kernels_alone, drawn, lambda g, out, key, slot, dtype: (None, None, None), "norse_normal",
       exact=False, words=2),
    # the same value, seen otherwise
    Op("cast", lambda x, dtype: x.to(dtype), cast_to,
       lambda g, out, x, dtype: (g if dtype.is_floating_point else None, None), "{0}", spikes=if_first),
    Op("detach", torch.detach, same, lambda g, out, x: (None,), "{0}", (torch.detach, "detach"), spikes=if_first),
    Op("identity", torch.clone, same, lambda g, out, x: (g,), "{0}", (torch.clone, "clone", "contiguous"),
       spikes=if_first),
    Op("paced", lambda x, clock: x, as_often, lambda g, out, x, clock: (g, None), None,  # at every tick of the clock
       spikes=if_first),
    Op("expand_as", torch.Tensor.expand_as, expanded_type, lambda g, out, x, like: (g, None), "{0}", ("expand_as",),
       spikes=if_first),  # in a loop all values are as wide as the widest
    Op("full_like", torch.full_like, filled, lambda g, out, x, value: (None, None), "{1}", (torch.full_like,),
       spikes=if_second),
    # synapses: they mix neurons, one sample and one tick at a time
    Op("linear", torch.nn.functional.linear, linear_type, None, None,
       (torch.nn.functional.linear,), synapse=True),
    # what gives a tick another shape
    Op("unsqueeze", torch.unsqueeze, with_dimension, lambda g, out, x, dim: (g.sum(dim), None), None, reshapes=True,
       spikes=if_first),
    Op("sum", torch.sum, without_dimension, lambda g, out, x, dim: (g.unsqueeze(dim), None), None, reshapes=True),
    Op("transpose", torch.t, matrix_transpose, None, None, spikes=if_first),
    Op("diagonal", torch.diagonal, diagonal_type, None, None, (torch.diagonal, torch.diag, "diagonal", "diag"),
       reshapes=True, spikes=if_first),
    # the gradient of a weight, which a custom's backward sums over samples, and a loop over ticks as well
    Op("outer", _outer, outer_type, None, None, reshapes=True),
)  # fmt: skip

OPS: Mapping[str, Op] = {row.name: row for row in _ROWS}

TARGETS: Mapping[Any, str] = {target: row.name for row in _ROWS for target in row.targets}
