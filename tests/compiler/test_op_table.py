"""The op table, row by row: every test here is made from the table, so a new row is tested by being there.

torch is what all is compared with: the bits of its results, its result types and its gradients.
"""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from norse.compiler.adjoint import differentiate
from norse.compiler.errors import Unsupported
from norse.compiler.interpret import run_nodes
from norse.compiler.ir import Graph, Node, Ref, Type
from norse.compiler.ops import OPS, TARGETS, Op, decision
from norse.compiler.passes.infer_types import infer_types

from .graphs import built, over_time, program_of

ELEMENTWISE = [row for row in OPS.values() if row.c is not None and not row.words]  # torch has no such random numbers
ULPS = 4  # of rows that are not exact: libm against torch

# Operands of the rows that take something else than numbers; the others take any that torch takes.
SPECIAL: dict[str, list[tuple[Any, ...]]] = {
    "where": [("m", "a", "b"), ("m", "c", "d"), ("m", "a", 0.1), ("m", 1.0, "c"), ("m", "a", "c"), ("m", "s64", "a")],
    "clamp": [
        *(("a", -0.5, 1.5), ("c", -0.1, 0.1), ("a", None, 0.1), ("c", 0.0, None), ("a", 0.0, 1.0), ("c", -1.0, -0.0)),
        *(("a", "b", None), ("c", None, "d"), ("a", "b", "a"), ("a", "s64", None)),
    ],
    "cast": [("a", torch.float64), ("c", torch.float32), ("m", torch.float64), ("a", torch.bool), ("c", torch.bool)],
    "full_like": [("a", 0.1), ("c", 0.1), ("a", 1)],
    # The exponents 2, 0.5, -0.5 and -1 have rows of their own: see normalise.
    "fmod": (rests := [("e", "f"), ("f", "e"), ("e", 0.7), (5.0, "f"), ("e", "s32")]),
    "remainder": [*rests, ("e", -0.7), (-5.0, "f")],
    "pow": [("a", "b"), ("c", "d"), ("a", "s64"), ("a", 3.0), ("c", -2), ("c", 1.3), (2, "a"), (0.1, "c"), (0, "c")],
}
PLAIN: dict[int, list[tuple[Any, ...]]] = {
    1: [("a",), ("c",), ("m",)],
    2: [
        *(("a", "b"), ("c", "d"), ("a", "c"), ("c", "a"), ("m", "a"), ("c", "m"), ("m", "m")),
        *(("a", "s64"), ("s64", "a"), ("c", "s32"), ("s32", "d"), ("a", "s32")),
        *(("a", 0.1), (0.1, "a"), ("c", 0.1), (0.1, "c"), ("a", 2), (2, "c"), ("c", -0.5), ("a", 3.0)),
    ],
    3: [("a", "b", "a"), ("c", "d", "c"), ("d", "c", "c"), ("a", "s32", "b"), ("s64", "c", "d")],
}


LOGIC = {row.name for row in OPS.values() if row.result is decision}  # rows for decisions alone
SPECIAL.update({name: [("m",), ("n",)] if name == "bitwise_not" else [("m", "n"), ("m", True)] for name in LOGIC})

# The numbers that rows take behind their tensors.
NUMBERS: dict[str, list[tuple[float, ...]]] = {
    "softplus": [(1, 20), (2.5, 3.0)],
    "elu": [(1.0,), (0.3,)],
    "leaky_relu": [(0.01,), (1.5,)],
    "lerp": [(0.3,), (0.75,), (-1.0,)],
    "add_scaled": [(2.0,), (-0.3,)],
    "addcmul": [(1,), (-0.3,)],
    "addcdiv": [(1,), (-0.3,)],
}


def with_numbers(row: Op, cases: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(*case, *numbers) for case in cases for numbers in NUMBERS.get(row.name, [()])]


def arity(row: Op) -> int:
    """How many tensors torch wants."""
    (numbers, *_) = NUMBERS.get(row.name, [()])
    for count in PLAIN:
        try:
            row.eager(*(torch.ones(2),) * count, *numbers)
        except TypeError:
            continue
        return count
    raise AssertionError(f"{row.name} takes something else than tensors: give its operands in SPECIAL")


def operands_of(row: Op) -> list[tuple[Any, ...]]:
    return SPECIAL.get(row.name) or with_numbers(row, PLAIN[arity(row)])


def values() -> dict[str, Tensor]:
    """All pairs of special values, then random ones of all sizes; in float32 a and b, in float64 c and d."""
    special = [0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-40, -1e-40, 1e-310, 1e30, -1e30, 1.0, -1.0, 0.5, 3.0]
    first, second = (
        torch.tensor(column, dtype=torch.float64) for column in zip(*itertools.product(special, special), strict=True)
    )
    generator = torch.Generator().manual_seed(0)
    size = torch.logspace(-3, 2, 2 * 3 * 337 - len(first), dtype=torch.float64)
    c, d = (
        torch.cat([known, size * torch.randn(len(size), generator=generator, dtype=torch.float64)]).reshape(2, 3, 337)
        for known in (first, second)
    )
    m = torch.rand(c.shape, generator=generator) < 0.5
    scalars = {"s32": torch.tensor(0.7), "s64": torch.tensor(0.7, dtype=torch.float64)}
    e, f = (20 * torch.rand(c.shape, generator=generator) - 10 for _ in range(2))  # with moderate quotients
    return {"a": c.float(), "b": d.float(), "c": c, "d": d, "e": e, "f": f, "m": m, "n": m.flip(-1), **scalars}


def type_of(tensor: Tensor) -> Type:
    return over_time(*tensor.shape[2:], dtype=tensor.dtype) if tensor.ndim else Type(tensor.dtype)


def graph_of(row: Op, cases: list[tuple[Any, ...]], types: dict[str, Type]) -> Graph:
    """One node of the row for each case."""
    refs = [tuple(Ref(operand) if operand in types else operand for operand in case) for case in cases]
    nodes = tuple(Node(row.name, (f"y{k}",), case) for k, case in enumerate(refs))
    used = tuple(dict.fromkeys(use for node in nodes for use in node.uses))
    return Graph(used, nodes, tuple(node.output for node in nodes), (), {name: types[name] for name in used})


def eager(row: Op, case: tuple[Any, ...], given: dict[str, Tensor]) -> Tensor | None:
    """What torch makes of it, or None where it refuses."""
    try:
        result = row.eager(*(given.get(operand, operand) if isinstance(operand, str) else operand for operand in case))
    except (TypeError, RuntimeError):
        return None
    assert isinstance(result, Tensor)
    return result


def in_order(x: Tensor) -> Tensor:
    """Integers such that neighbouring floats are neighbours."""
    bits = x.view(torch.int32 if x.dtype == torch.float32 else torch.int64).to(torch.int64)
    lowest = torch.iinfo(torch.int32 if x.dtype == torch.float32 else torch.int64).min
    return torch.where(bits < 0, lowest - bits, bits)


def same_bits(x: Tensor, y: Tensor) -> Tensor:
    if not x.is_floating_point():
        return x == y
    return (in_order(x) == in_order(y)) & (x.signbit() == y.signbit()) | (x.isnan() & y.isnan())


def within_terms(row: Op, case: tuple[Any, ...], given: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Whether results of a sum whose terms may cancel differ by no more than the rounding of the terms."""
    terms = [given[o].double().abs() if isinstance(o, str) else o for o in case]
    if row.name == "lerp":
        bound = (terms[0] + terms[1]) * (1 + abs(case[2]) if not isinstance(case[2], str) else 1 + terms[2])
    else:
        bound = row.eager(*terms[:-1], abs(case[-1]))
    near = (x - y).abs() <= ULPS * torch.finfo(x.dtype).eps * bound
    return near | ~bound.isfinite() | (x == y) | (x.isnan() & y.isnan())


def within_ulps(x: Tensor, y: Tensor, ulps: int) -> Tensor:
    apart = (in_order(x) - in_order(y)).abs()
    return (apart <= ulps) & (x.isnan() == y.isnan()) | (x.isnan() & y.isnan())


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
def test_the_kernel_computes_what_torch_computes(row: Op) -> None:
    given = values()
    types = {name: type_of(tensor) for name, tensor in given.items()}
    cases = []
    for case in operands_of(row):
        if eager(row, case, given) is not None:
            try:
                infer_types(graph_of(row, [case], types))
            except Unsupported:
                continue
            cases.append(case)
    assert len(cases) > 1
    tick = infer_types(graph_of(row, cases, types))
    program = program_of(tick)
    results = built(program).forward([given[name] for name in program.inputs], given["c"].shape)
    for case, result in zip(cases, results, strict=True):
        expected = eager(row, case, given)
        assert expected is not None
        assert result.dtype == expected.dtype
        right = same_bits(result, expected) if row.exact else within_ulps(result, expected, ULPS)
        if row.name in ("lerp", "add_scaled", "addcmul"):
            right |= within_terms(row, case, given, result, expected)
        wrong = [
            tuple(given[o].expand(right.shape)[~right][0].item() if o in types else o for o in case),
            result[~right][:1],
            expected[~right][:1],
        ] if not right.all() else None  # fmt: skip
        assert wrong is None, f"{row.name}{case}: {int((~right).sum())} differ, the first of them {wrong}"


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
def test_the_result_type_is_the_one_that_torch_computes(row: Op) -> None:
    dimensioned = [torch.rand(5).to(dtype) for dtype in (torch.float32, torch.float64, torch.bfloat16)]
    narrow = [torch.rand(1), torch.rand(3, 1)]
    zero_d = [torch.rand(()).to(dtype) for dtype in (torch.float32, torch.float64, torch.float16)]
    others = [torch.rand(5) < 0.5, torch.arange(5), torch.tensor(True), 0.5, 2, True]
    floats = [*dimensioned, *narrow, *zero_d]
    operands = [*floats, *others]
    mask = torch.rand(5) < 0.5
    special: dict[str, list[tuple[Any, ...]]] = {
        "where": [(mask, x, y) for x in operands for y in operands],
        "clamp": [
            (x, low, high)
            for x in floats
            for low, high in (
                *itertools.product((None, 0, 0.1), (None, 1)),
                *itertools.product(floats, (None, *floats)),
            )
        ],
        "cast": [(x, dtype) for x in floats for dtype in (torch.float32, torch.float64, torch.bool)],
        "full_like": [(x, value) for x in floats for value in (0, 0.5)],
        **{name: [(x, y) for x in (mask, mask[:1]) for y in (mask, True)] * 3 for name in LOGIC - {"bitwise_not"}},
        "bitwise_not": [(mask,)] * len(floats),
    }
    compared = 0
    for case in special.get(row.name) or with_numbers(row, list(itertools.product(operands, repeat=arity(row)))):
        if not any(isinstance(operand, Tensor) for operand in case):
            continue
        try:
            expected = row.eager(*case)
        except (TypeError, RuntimeError):
            continue
        types = tuple(Type(x.dtype, tuple(x.shape)) if isinstance(x, Tensor) else x for x in case)
        try:
            found = row.result(*types)
        except Unsupported:  # all arithmetic that is left to torch is that of integers
            inputs = [x for x in case if isinstance(x, Tensor) and x.is_floating_point()]
            assert not expected.is_floating_point() or not inputs, f"{row.name}{types} is refused"
            continue
        assert found.dtype == expected.dtype, f"{row.name}{types}"
        assert found.axes == tuple(expected.shape), f"{row.name}{types}"
        compared += 1
    assert compared >= len(floats)


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
def test_a_value_said_to_be_a_spike_is_zero_or_one(row: Op) -> None:
    spike, analog = over_time(4, spike=True), over_time(4)
    zero_one, other = torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([-1.0, 2.0, 0.5, torch.inf])
    mask = torch.tensor([True, True, False, False])
    choices = [(spike, zero_one), (analog, other), (0, 0), (1, 1), (2.0, 2.0)]
    special: dict[str, list[tuple[Any, ...]]] = {
        "where": [((over_time(4, dtype=torch.bool), mask), x, y) for x in choices for y in choices],
        "clamp": [(x, (low, low), (None, None)) for x in choices[:2] for low in (None, -1.0)],
        "cast": [(x, (torch.float64, torch.float64)) for x in choices[:2]],
        "full_like": [(x, (2.0, 2.0)) for x in choices[:2]],
        **{name: [((over_time(4, dtype=torch.bool), mask),) * (1 + (name != "bitwise_not"))] for name in LOGIC},
    }
    numbers = [(number, number) for number in NUMBERS.get(row.name, [()])[0]]
    for case in special.get(row.name) or itertools.product(choices, repeat=arity(row)):
        types, tensors = zip(*case, *numbers, strict=True)
        if not any(isinstance(tensor, Tensor) for tensor in tensors):
            continue
        try:
            said, result = row.result(*types), row.eager(*tensors)
        except (Unsupported, TypeError, RuntimeError):
            continue
        if isinstance(result, Tensor) and said.spike:
            assert set(result.double().unique().tolist()) <= {0.0, 1.0}, f"{row.name}{types}"


# ---- derivatives -----------------------------------------------------------------------------------------------------


def gradients_by_the_row(row: Op, case: tuple[Any, ...], given: dict[str, Tensor], seed: Tensor) -> dict[str, Tensor]:
    """What the row's derivative gives for each tensor, zero where it gives none."""
    types = {name: over_time(dtype=tensor.dtype) for name, tensor in given.items()}
    tick = infer_types(graph_of(row, [case], types))
    wanted = [name for name in tick.inputs if given[name].is_floating_point()]
    adjoint = differentiate(tick, wanted)
    found: dict[str, Any] = {**given, "grad_y0": seed}
    run_nodes(adjoint.graph.nodes, found)
    zero = torch.zeros_like(seed)
    return {name: found[adjoint.ticks[name]] if name in adjoint.ticks else zero for name in wanted}


def gradients_by_autograd(row: Op, case: tuple[Any, ...], given: dict[str, Tensor], seed: Tensor) -> dict[str, Tensor]:
    wanted = [o for o in dict.fromkeys(case) if isinstance(o, str) and given[o].is_floating_point()]
    leaves = {**given, **{name: given[name].clone().requires_grad_() for name in wanted}}
    result = eager(row, case, leaves)
    assert result is not None
    if not result.requires_grad:
        return {name: torch.zeros_like(seed) for name in wanted}
    found = torch.autograd.grad(result, [leaves[name] for name in wanted], seed, allow_unused=True)
    return {name: torch.zeros_like(seed) if g is None else g for name, g in zip(wanted, found, strict=True)}


DERIVED: dict[str, list[tuple[Any, ...]]] = {
    "where": [("m", "c", "d"), ("m", "c", 0.5), ("m", 2.0, "d")],
    "clamp": [
        *(("c", -0.5, 1.5), ("c", None, 1.0), ("c", 0.0, None)),
        *(("c", "d", None), ("c", None, "d"), ("c", "d", "c"), ("d", "c", "d"), ("m", "c", "d")),
    ],
    "cast": [("c", torch.float64), ("c", torch.bool)],
    "full_like": [("c", 0.5)],
    "fmod": [("e", "f"), ("e", 0.7), (5.0, "f")],
    "remainder": [("e", "f"), ("e", -0.7)],
}
DERIVED_PLAIN: dict[int, list[tuple[Any, ...]]] = {
    1: [("c",)],
    2: [("c", "d"), ("c", 2.0), ("c", 1), ("c", 0), ("c", -0.5), (2.0, "d"), (0, "d")],
    3: [("c", "d", "c"), ("d", "c", "d")],
}


def derived_cases(row: Op, given: dict[str, Tensor]) -> list[tuple[Any, ...]]:
    cases = DERIVED.get(row.name) or with_numbers(row, DERIVED_PLAIN[arity(row)])
    return [case for case in cases if eager(row, case, given) is not None]


# Of decisions there are none, and torch refuses to go back through a heaviside.
WITH_DERIVATIVES = [row for row in ELEMENTWISE if row.name not in {*LOGIC, "heaviside"}]


@pytest.mark.parametrize("row", WITH_DERIVATIVES, ids=lambda row: row.name)
def test_the_derivative_is_the_one_of_autograd(row: Op) -> None:
    generator = torch.Generator().manual_seed(1)
    edges = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.0, -2.0]  # kinks, ties, poles
    first, second = (
        torch.tensor(column, dtype=torch.float64) for column in zip(*itertools.product(edges, edges), strict=True)
    )
    c, d = (torch.cat([x, torch.randn(50, generator=generator, dtype=torch.float64)]) for x in (first, second))
    given = {"c": c, "d": d, "m": torch.rand(c.shape, generator=generator) < 0.5}
    given |= {name: 10 * torch.rand(c.shape, generator=generator, dtype=torch.float64) - 5 for name in ("e", "f")}
    seed = torch.randn(c.shape, generator=generator, dtype=torch.float64)
    for case in derived_cases(row, given):
        found, expected = gradients_by_the_row(row, case, given, seed), gradients_by_autograd(row, case, given, seed)
        for name, gradient in expected.items():
            right = torch.isclose(found[name].expand(seed.shape), gradient, rtol=1e-12, atol=0, equal_nan=True)
            columns = (c, d, found[name].expand(seed.shape), gradient)
            at = list(zip(*(column[~right][:4].tolist() for column in columns), strict=True))
            assert right.all(), f"d {row.name}{case} / d{name}: (c, d, found, expected): {at}"


DIFFERENTIABLE = [
    row for row in WITH_DERIVATIVES if row.name != "detach"
]  # whose derivative is zero although it changes


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda row: row.name)
def test_the_derivative_is_the_one_of_finite_differences(row: Op) -> None:
    generator = torch.Generator().manual_seed(2)
    c, d = (0.2 + 1.6 * torch.rand(50, generator=generator, dtype=torch.float64) for _ in range(2))
    given = {"c": c, "d": d, "e": 5 * c, "f": d, "m": torch.rand(c.shape, generator=generator) < 0.5}
    seed, h = torch.ones_like(c), 1e-5
    for case in derived_cases(row, given):
        for name, gradient in gradients_by_the_row(row, case, given, seed).items():
            above, below = (eager(row, case, {**given, name: given[name] + step}) for step in (h, -h))
            assert above is not None
            assert below is not None
            slope = (above.double() - below.double()) / (2 * h)
            if not slope.isfinite().all():  # divided by zero
                continue
            torch.testing.assert_close(gradient.expand(slope.shape), slope, rtol=1e-8, atol=1e-8)


# ---- the table itself ------------------------------------------------------------------------------------------------


def test_a_name_means_one_op() -> None:
    targets = [target for row in OPS.values() for target in row.targets]
    assert len(targets) == len(set(targets)) == len(TARGETS)


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
def test_every_target_of_a_row_does_what_the_row_does(row: Op) -> None:
    given = values()
    cases = [case for case in operands_of(row) if isinstance(case[0], str) and eager(row, case, given) is not None]
    operands = [given[o] if isinstance(o, str) else o for o in cases[0]]
    for target in row.targets:
        called = getattr(operands[0], target)(*operands[1:]) if isinstance(target, str) else target(*operands)
        assert same_bits(called, row.eager(*operands)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_synapse_has_the_type_that_torch_computes(dtype: torch.dtype) -> None:
    x, weight, bias = (torch.rand(shape, dtype=dtype) for shape in ((2, 3), (5, 3), (5,)))
    types = [Type(tensor.dtype, tuple(tensor.shape)) for tensor in (x, weight, bias)]
    for case, tensors in ((types, (x, weight, bias)), (types[:2], (x, weight))):
        expected = torch.nn.functional.linear(*tensors)
        assert OPS["linear"].result(*case) == Type(expected.dtype, tuple(expected.shape))
    assert OPS["transpose"].result(types[1]) == Type(dtype, (3, 5))


def test_a_synapse_of_another_size_is_refused() -> None:
    with pytest.raises(Unsupported, match="linear of"):
        OPS["linear"].result(over_time(3), Type(torch.float32, (5, 4)))
