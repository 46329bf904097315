"""A region's kernels: eager's bits, eager's gradients, whatever the pieces, the threads and the process."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils import _pytree as pytree

import norse.torch as snn
from norse.backends.cpu.run import Executable
from norse.backends.operators import BuiltRegion
from norse.compiler.errors import Unsupported
from norse.compiler.region import RegionProgram, from_json, lower_region, to_json
from norse.torch.functional.lif import lif_feed_forward_step
from norse.torch.functional.reset import DetachedReset

from .graphs import built, eager_over_time, kinds_of, program_of, tick_of
from .steps import USER_STEPS

NEURONS = 7


@dataclass(frozen=True)
class Case:
    """A step with arguments, and the region that computes it over time."""

    name: str
    step: Callable[..., Any]
    state: Any  # of one neuron's fields, as numbers around which samples start
    rest: tuple[Any, ...]  # weights, parameters, time step
    scale: float = 3.0  # of the input

    def arguments(self, sizes: tuple[int, int, int], dtype: torch.dtype = torch.float64) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(sum(sizes))
        x = self.scale * torch.randn(sizes, generator=generator, dtype=torch.float64)
        state = pytree.tree_map(lambda at: at + 0.5 * torch.randn(sizes[1:], generator=generator).double(), self.state)
        cast = pytree.tree_map_only(Tensor, lambda tensor: tensor.to(dtype), (x, state, *self.rest))
        return tuple(cast)

    @cached_property
    def programs(self) -> dict[tuple[torch.dtype, bool], RegionProgram]:
        made = {}
        for dtype in (torch.float32, torch.float64):
            x, state, *rest = self.arguments((1, 2, NEURONS), dtype)
            tick = tick_of(self.step, x[0], state, *rest)
            everything = (*tick.inputs, *(register.initial for register in tick.registers))
            made[dtype, False], made[dtype, True] = program_of(tick), program_of(tick, everything)
        return made

    def region(self, dtype: torch.dtype, learns: bool) -> BuiltRegion:
        return _built(self.programs[dtype, learns].key, self.programs[dtype, learns])

    def __str__(self) -> str:
        return self.name


_REGIONS: dict[str, BuiltRegion] = {}


def _built(key: str, program: RegionProgram) -> BuiltRegion:
    if key not in _REGIONS:
        _REGIONS[key] = built(program)
    return _REGIONS[key]


def given_to(region: BuiltRegion, arguments: tuple[Any, ...]) -> list[Tensor]:
    """The arguments as the region's inputs: input, then what does not vary with time, then the state."""
    x, state, *rest = (pytree.tree_leaves(argument) for argument in arguments)
    fixed = [leaf for leaves in rest for leaf in leaves if isinstance(leaf, Tensor)]
    assert len(region.program.inputs) == 1 + len(fixed) + len(state)
    return [*x, *fixed, *state]


def recurrent(x: Tensor, state: Any, w: Tensor, p: Any, dt: float) -> tuple[Tensor, Any]:
    """LIF neurons that hear each other, driven by a current."""
    z, *others = state
    current = x + torch.nn.functional.linear(z, w)
    detached = p._replace(reset_method=DetachedReset(p.reset_method))
    z, inner = lif_feed_forward_step(current, snn.LIFFeedForwardState(*others), detached, dt)
    return z, snn.LIFState(z, *inner)


P = snn.LIFParameters(alpha=torch.tensor(3.0))
LIF = Case("LIF", lif_feed_forward_step, snn.LIFFeedForwardState(0.5, 0.0), (P, 0.01))  # type: ignore[arg-type]
WEIGHTS = torch.randn(NEURONS, NEURONS, generator=torch.Generator().manual_seed(0))
RECURRENT = Case("recurrent LIF", recurrent, snn.LIFState(0.0, 0.5, 0.0), (WEIGHTS, P, 0.01))  # type: ignore[arg-type]
USERS = [Case(step.__name__, step, 0.4, (torch.tensor(0.8), 0.001), scale=1.0) for step in USER_STEPS]
CASES = [LIF, RECURRENT, *USERS]
# Steps whose arithmetic torch and C do alike: no synapse, no square root.
ALIKE = [case for case in CASES if case.name not in ("recurrent LIF", "saves_intermediates_step")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", ALIKE, ids=str)
def test_given_equal_currents_bits_are_those_of_eager(case: Case, dtype: torch.dtype) -> None:
    for sizes in (
        (11, 1, NEURONS),
        (11, 2, NEURONS),
        (5, 3, 40),
        (3, 16, 1),
        (1, 1, 1),
        (0, 2, 3),
        (2, 0, 3),
        (2, 3, 0),
    ):
        region, arguments = case.region(dtype, learns=False), case.arguments(sizes, dtype)
        z, *state = region.forward(given_to(region, arguments), sizes)
        if sizes[0] == 0:
            assert z.shape == sizes
            assert all(torch.equal(x, y) for x, y in zip(state, pytree.tree_leaves(arguments[1]), strict=True))
            continue
        expected, expected_state = eager_over_time(case.step, *arguments)
        assert torch.equal(z, expected)
        assert all(torch.equal(x, y) for x, y in zip(state, pytree.tree_leaves(expected_state), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_everything_are_those_of_autograd(case: Case) -> None:
    sizes = (9, 3, NEURONS)
    region = case.region(torch.float64, learns=True)
    arguments = pytree.tree_map_only(Tensor, lambda x: x.requires_grad_(), case.arguments(sizes))
    expected, expected_state = eager_over_time(case.step, *arguments)
    inputs = given_to(region, arguments)
    results = region.forward([x.detach() for x in inputs], sizes)
    wholes = [expected, *pytree.tree_leaves(expected_state)]
    for ours, theirs in zip(results, wholes, strict=False):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)
    generator = torch.Generator().manual_seed(5)
    seeds = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in wholes]
    flows = [(x, seed) for x, seed in zip(wholes, seeds, strict=True) if x.requires_grad]
    grads = torch.autograd.grad([x for x, _ in flows], inputs, [seed for _, seed in flows], allow_unused=True)
    found = region.backward(seeds, [x.detach() for x in inputs], results, sizes)
    assert any(bool(gradient.any()) for gradient in grads if gradient is not None)
    for name, x, ours_or_none, theirs_or_none in zip(region.program.inputs, inputs, found, grads, strict=True):
        ours = torch.zeros_like(x) if ours_or_none is None else ours_or_none
        theirs = torch.zeros_like(x) if theirs_or_none is None else theirs_or_none
        scale = float(theirs.abs().max()) or 1.0
        assert float((ours - theirs).abs().max()) / scale < 1e-10, name


def test_a_gradient_that_nobody_gives_is_zero() -> None:
    sizes = (4, 2, NEURONS)
    region = LIF.region(torch.float64, learns=True)
    inputs = given_to(region, LIF.arguments(sizes))
    results = region.forward(inputs, sizes)
    silent = region.backward([None] * 3, inputs, results, sizes)
    assert all(not gradient.any() for gradient in silent if gradient is not None)
    one = torch.ones(sizes, dtype=torch.float64)
    zero = torch.zeros(sizes[1:], dtype=torch.float64)
    for ours, theirs in zip(
        region.backward([one, None, None], inputs, results, sizes),
        region.backward([one, zero, zero], inputs, results, sizes),
        strict=True,
    ):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)  # type: ignore[arg-type]


# ---- pieces of time, threads -----------------------------------------------------------------------------------------

TICKS = 12


@cache
def whole_run(case: Case) -> tuple[BuiltRegion, list[Tensor], list[Tensor], dict[str, Tensor], Any]:
    """A region, its inputs, its results, what its backward kernel reads, and what that gives in one call."""
    sizes = (TICKS, 3, NEURONS)
    region = case.region(torch.float32, learns=True)
    inputs = given_to(region, case.arguments(sizes, torch.float32))
    results = region.forward(inputs, sizes)
    captured: dict[str, Tensor] = {}
    backward = region.executables[1]
    assert isinstance(backward, Executable)

    class Captures:
        kernel = backward.kernel

        def run(self, tensors: dict[str, Tensor], sizes: tuple[int, int, int]) -> Any:
            captured.update(tensors)
            return backward.run(tensors, sizes)

    generator = torch.Generator().manual_seed(1)
    seeds = [
        torch.randn(x.shape, generator=generator) for x in results[: 1 + len(region.program.forward.graph.registers)]
    ]
    BuiltRegion(region.program, region.executables[0], Captures()).backward(seeds, inputs, results, sizes)
    return region, inputs, results, captured, backward.run(captured, sizes)


def in_pieces(kernel: Executable, tensors: dict[str, Tensor], sizes: tuple[int, int, int], cuts: list[int]) -> Any:
    """The outputs and last registers of a kernel that is called for one piece of time after the other."""
    ends = sorted({0, *cuts, sizes[0]})
    pieces = list(pairwise(ends))
    outputs = [torch.full(sizes, torch.nan, dtype=kernel.kernel.dtype(name)) for name in kernel.kernel.graph.outputs]
    now = dict(tensors)
    for piece in reversed(pieces) if kernel.kernel.reverse else pieces:
        _, last = kernel.run(now, sizes, ticks=piece, outputs=outputs)
        now.update(zip((r.initial for r in kernel.kernel.graph.registers), last, strict=True))
    return outputs, last


@pytest.mark.parametrize("case", [LIF, RECURRENT], ids=str)
@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, TICKS), max_size=4))
def test_pieces_of_time_give_what_one_call_gives(case: Case, cuts: list[int]) -> None:
    sizes = (TICKS, 3, NEURONS)
    region, inputs, results, captured, (ticks, last) = whole_run(case)
    forward, backward = region.executables
    assert isinstance(forward, Executable)
    assert isinstance(backward, Executable)
    tensors = region._named_inputs(forward.kernel, inputs)
    tensors.update({f"initial_{value}": inputs[region.program.inputs.index(i)] for value, i in region.initial.items()})
    outputs, final = in_pieces(forward, tensors, sizes, cuts)
    registers = len(final)
    assert all(torch.equal(x, y) for x, y in zip(final, results[1 : 1 + registers], strict=True))
    assert all(torch.equal(x, y) for x, y in zip(outputs, [results[0], *results[1 + registers :]], strict=True))
    grads, finals = in_pieces(backward, captured, sizes, cuts)
    assert all(torch.equal(x, y) for x, y in zip([*grads, *finals], [*ticks, *last], strict=True))


@pytest.mark.parametrize("case", [LIF, RECURRENT], ids=str)
def test_the_number_of_threads_changes_no_bit(case: Case) -> None:
    neurons = NEURONS if case is RECURRENT else 5003
    sizes = (40, 150 if case is RECURRENT else 3, neurons)
    region = case.region(torch.float32, learns=True)
    inputs = given_to(region, case.arguments(sizes, torch.float32))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results = region.forward(inputs, sizes)
            found.append([*results, *_kernel_gradients(region, inputs, results, sizes)])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], other, strict=True))


def _kernel_gradients(
    region: BuiltRegion, inputs: list[Tensor], results: list[Tensor], sizes: tuple[int, int, int]
) -> list[Tensor]:
    """The gradients that the kernel writes: those of the input and the initial state."""
    seeds = [torch.ones_like(x) for x in results[: 1 + len(region.program.forward.graph.registers)]]
    gradients = region.backward(seeds, inputs, results, sizes)
    by_kernel = {*region.program.ticks, *region.program.states}
    return [g for name, g in zip(region.program.inputs, gradients, strict=True) if name in by_kernel and g is not None]


# ---- text and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learns", [False, True], ids=["inference", "learning"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_region_read_back_from_its_text_is_the_same_region(case: Case, learns: bool) -> None:
    program = case.programs[torch.float32, learns]
    again = from_json(to_json(program))
    assert again.key == program.key
    assert to_json(again) == to_json(program)
    assert (again.inputs, again.outputs, again.saved) == (program.inputs, program.outputs, program.saved)


@pytest.mark.parametrize("case", [LIF, RECURRENT], ids=str)
def test_a_region_read_back_from_its_text_runs(case: Case) -> None:
    sizes = (5, 2, NEURONS)
    region = case.region(torch.float32, learns=True)
    again = built(from_json(to_json(region.program)))
    inputs = given_to(region, case.arguments(sizes, torch.float32))
    results, others = region.forward(inputs, sizes), again.forward(inputs, sizes)
    assert all(torch.equal(x, y) for x, y in zip(results, others, strict=True))
    seeds = [torch.ones_like(x) for x in results[: 1 + len(region.program.forward.graph.registers)]]
    for x, y in zip(
        region.backward(seeds, inputs, results, sizes), again.backward(seeds, inputs, others, sizes), strict=True
    ):
        assert (x is None and y is None) or torch.equal(x, y)  # type: ignore[arg-type]


def test_constants_come_back_as_they_were() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        u = torch.clamp(v * 0.1 + x * 1e-40 - 3, min=-1e30, max=float("inf")).double().float()
        return torch.where(u > 1, u, 0.30000001), u

    x = torch.randn(2, 3)
    program = program_of(tick_of(step, x, x, None, 0.1))
    again = from_json(to_json(program))
    assert again.key == program.key
    sizes = (1, 2, 3)
    z, v = built(again).forward([x[None], x], sizes)
    expected, state = eager_over_time(step, x[None], x, None, 0.1)
    assert torch.equal(z, expected)
    assert torch.equal(v, state)


def test_the_key_tells_regions_apart_and_does_not_depend_on_the_run() -> None:
    keys = {case.programs[dtype, learns].key for case in CASES for dtype, learns in case.programs}
    assert len(keys) == 4 * len(CASES)
    x = torch.rand(2, NEURONS)
    tick = tick_of(lif_feed_forward_step, x, snn.LIFFeedForwardState(x, x), P, 0.01)
    assert program_of(tick).key == LIF.programs[torch.float32, False].key
    assert lower_region(tick, kinds_of(tick), (), fast_math=True).key != program_of(tick).key


# ---- what has no kernel ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_dtypes_are_left_to_torch(dtype: torch.dtype) -> None:
    x = torch.rand(2, 3, dtype=dtype)
    with pytest.raises(Unsupported, match="kernels know float32 and float64"):
        program_of(tick_of(lambda x, v, p, dt: (v * x, v + x), x, x, None, 0.1))


def test_a_bias_inside_the_loop_is_added_as_any_row_is() -> None:
    x, p = torch.rand(2, 3), (torch.rand(3, 3), torch.rand(3))
    tick = tick_of(lambda x, v, p, dt: (torch.nn.functional.linear(v, *p) + x, v), x, x, p, 0.1)
    assert [node.op for node in program_of(tick).forward.graph.nodes] == ["vecmat", "add", "add"]
