"""Steps that draw random numbers: by default each kernel's own, made of a key and a place; with exact=True eager's.

What a place gives is compared with Philox as its authors define it, written here once more in numpy; distributions by
chi-square tests with fixed seeds.
"""

import copy
import ctypes
import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import norse
import norse.torch as snn
from norse.backends import operators
from norse.backends.cpu import CpuBackend
from norse.backends.cpu.build import load
from norse.backends.cpu.run import Executable, translation_unit
from norse.backends.cuda import ShimBackend
from norse.compiler.draws import new_key
from norse.compiler.module import CompiledModule
from norse.compiler.region import RegionProgram
from norse.compiler.schedule import Options
from norse.torch.functional.threshold import circ_dist_fn, logistic_fn

from .comparison import assert_same_results, observe
from .neurons import currents

Step = Callable[..., tuple[Tensor, Tensor]]
UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def layer(step: Step, p: Any = None) -> snn.SNN:
    return snn.SNN(step, lambda x: x.new_zeros(x.shape[1:]), p)


def cell(step: Step) -> snn.SNNCell:
    return snn.SNNCell(step, torch.zeros_like, None)


def seeded(module: nn.Module, x: Tensor, state: Any = None) -> Any:
    torch.manual_seed(11)
    return module(x)


def first(result: Any) -> Tensor:
    return result[0] if isinstance(result, tuple) else result  # type: ignore[no-any-return]


# ---- steps -----------------------------------------------------------------------------------------------------------


def uniform(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    return torch.rand_like(x), v


def normal(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    return torch.randn_like(x), v


def chance(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    return torch.bernoulli(x), v


def two_numbers(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    """The first in the thousands, so that both can be read from the sum."""
    return torch.floor(torch.rand_like(x) * 11) * 1000 + torch.floor(torch.rand_like(x) * 11), v


def spikes_by_chance(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    v = 0.9 * v + x
    z = logistic_fn(v - 0.5, 2.0)
    return z, v * (1 - z)


def spikes_of_another_kind(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    v = 0.9 * v + x
    z = circ_dist_fn(v - 0.5, 0.5)
    return z, v * (1 - z)


def compares_with_a_draw(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    v = 0.9 * v + x
    return (torch.rand_like(v) < torch.sigmoid(v)) * v, v


def has_noise(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    v = 0.9 * v + x + 0.3 * torch.randn_like(x)
    return v + torch.bernoulli(torch.sigmoid(v)), v


def scaled_by_a_draw(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    """Smooth, and its derivative needs both draws."""
    v = 0.8 * v * torch.rand_like(v) + torch.tanh(x * torch.randn_like(x))
    return v * v, v


STEPS = [spikes_by_chance, spikes_of_another_kind, compares_with_a_draw, has_noise, scaled_by_a_draw]
EVERY_STEP = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__.replace("_", " "))


# ---- the generator ---------------------------------------------------------------------------------------------------


def philox(counter: list[Any], key: tuple[int, int]) -> list[Any]:
    """Philox4x32-10: J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 4.3."""
    low = numpy.uint64(0xFFFFFFFF)
    a, b, c, d = (numpy.asarray(word, dtype=numpy.uint64) for word in counter)
    for turn in range(10):
        left, right = ((k + turn * weyl) & 0xFFFFFFFF for k, weyl in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True))
        p, q = a * numpy.uint64(0xD2511F53), c * numpy.uint64(0xCD9E8D57)
        shift = numpy.uint64(32)
        a, b, c, d = (
            (q >> shift) ^ b ^ numpy.uint64(left), q & low, (p >> shift) ^ d ^ numpy.uint64(right), p & low,
        )  # fmt: skip
    return [a, b, c, d]


# Random123's kat_vectors, "philox4x32 10": counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN, ids=["zeros", "ones", "pi"])
def test_philox_gives_the_published_answers(counter: str, key: str, result: str) -> None:
    library = load(
        '#include "philox.h"\n'
        'extern "C" void known_answer(uint32_t* x, const uint32_t* key) {\n'
        "  const norse_words y = norse_philox<10>({x[0], x[1], x[2], x[3]}, key[0], key[1]);\n"
        "  x[0] = y.a; x[1] = y.b; x[2] = y.c; x[3] = y.d;\n"
        "}\n"
    )
    x, k = (ctypes.c_uint32 * 4)(*words(counter)), (ctypes.c_uint32 * 2)(*words(key))
    library.known_answer(x, k)
    assert list(x) == words(result)
    assert [int(word) for word in philox(words(counter), (words(key)[0], words(key)[1]))] == words(result)


def expected_words(seed: int, shape: tuple[int, ...], block: int = 0) -> list[Any]:
    """The four words of every tick, sample and neuron, for the first loop that runs after torch.manual_seed."""
    torch.manual_seed(seed)
    key = int(new_key()) & (2**64 - 1)
    ticks, elements = shape[0], math.prod(shape[1:])
    tick, element = numpy.indices((ticks, elements))
    found = philox([element, numpy.zeros_like(element), tick, block], (key & 0xFFFFFFFF, key >> 32))
    return [word.reshape(shape) for word in found]


def as_uniform(dtype: torch.dtype, a: Any, b: Any) -> Tensor:
    a, b = numpy.asarray(a, dtype=numpy.uint64), numpy.asarray(b, dtype=numpy.uint64)
    shift = numpy.uint64
    whole = a >> shift(8) if dtype == torch.float32 else (a >> shift(5)) * numpy.uint64(2**26) + (b >> shift(6))
    return torch.from_numpy(whole.astype(numpy.float64) * UNIT[dtype]).to(dtype)


def in_rows(x: Tensor) -> Tensor:
    return x


def strided(x: Tensor) -> Tensor:
    """Samples far apart, so that kernels can't take all neurons of all samples for one row."""
    wide = x.new_zeros(*x.shape[:-1], 2 * x.shape[-1])
    wide[..., : x.shape[-1]] = x
    return wide[..., : x.shape[-1]]


@BOTH
@pytest.mark.parametrize("laid_out", [in_rows, strided])
@pytest.mark.parametrize("shape", [(3, 1, 1), (4, 5, 3), (2, 3, 2500), (2, 2, 3, 4, 5)], ids=str)
def test_every_place_has_its_own_words(shape: tuple[int, ...], laid_out: Any, dtype: torch.dtype) -> None:
    compiled = norse.compile(layer(uniform), fullgraph=True)
    a, b, _, _ = expected_words(3, shape)
    torch.manual_seed(3)
    assert torch.equal(compiled(laid_out(torch.zeros(shape, dtype=dtype)))[0], as_uniform(dtype, a, b))


@BOTH
def test_draws_of_a_tick_take_words_one_after_the_other(dtype: torch.dtype) -> None:
    """A float64 takes two words, so that the third starts another block of four."""

    def three(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        return torch.rand_like(x) / (torch.rand_like(x) + 3 * torch.rand_like(x)), v

    shape = (3, 2, 5)
    drawn = [*expected_words(3, shape), *expected_words(3, shape, block=1)]
    width = 1 if dtype == torch.float32 else 2
    one, two, three_ = (as_uniform(dtype, drawn[k * width], drawn[k * width + 1]) for k in range(3))
    compiled = norse.compile(layer(three), fullgraph=True)
    torch.manual_seed(3)
    assert torch.equal(compiled(torch.zeros(shape, dtype=dtype))[0], one / (two + 3 * three_))


@BOTH
def test_a_normal_number_is_box_and_mullers(dtype: torch.dtype) -> None:
    shape = (50, 4, 60)
    compiled = norse.compile(layer(normal), fullgraph=True)
    a, b, c, d = (word.astype(numpy.float64) for word in expected_words(3, shape))
    if dtype == torch.float32:
        size, turn = (numpy.floor(a / 2) + 0.5) / 2**31, b / 2**32
    else:
        size = (numpy.floor(a / 32) * 2**26 + numpy.floor(b / 64) + 0.5) / 2**53
        turn = (c + numpy.floor(d / 2) / 2**31) / 2**32
    expected = numpy.sqrt(-2 * numpy.log(size)) * numpy.cos(2 * math.pi * turn)
    torch.manual_seed(3)
    found = compiled(torch.zeros(shape, dtype=dtype))[0]
    assert float((found.double() - torch.from_numpy(expected)).abs().max()) < 40 * torch.finfo(dtype).eps


# ---- the same for all that a seed must not depend on -----------------------------------------------------------------


def recurrent_by_chance() -> nn.Module:
    def step(x: Tensor, v: Tensor, w: Tensor, r: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        v = 0.9 * v + nn.functional.linear(x, w) + nn.functional.linear(torch.tanh(v), r)
        z = logistic_fn(v - 0.5 + 0.1 * torch.randn_like(v), 2.0)
        return z, v * (1 - z)

    torch.manual_seed(0)
    return snn.SNNRecurrent(step, lambda x: x.new_zeros(x.shape[1], 9), 6, 9, None)


MODELS = {
    **{step.__name__.replace("_", " "): lambda step=step: layer(step) for step in STEPS},
    "recurrent by chance": recurrent_by_chance,
}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


def through(backend: Any, name: str) -> CompiledModule:
    return CompiledModule(MODELS[name](), Options((backend,)), fullgraph=True)


def results_and_gradients(module: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    z, v = seeded(module, x)
    generator = torch.Generator().manual_seed(5)
    loss = sum((y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in (z, v) if y.requires_grad)
    return [z, v, *torch.autograd.grad(loss, [x, *module.parameters()])]  # type: ignore[arg-type, list-item]


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs)
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


@EVERY_MODEL
def test_threads_change_no_draw(name: str) -> None:
    compiled, before = through(CpuBackend(), name), torch.get_num_threads()
    shape = (20, 300, 6) if "recurrent" in name else (20, 5, 1500)  # worth a second thread, and of several tiles
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(results_and_gradients(compiled, x))
    finally:
        torch.set_num_threads(before)
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


@BOTH
@EVERY_MODEL
def test_the_cuda_text_draws_what_the_cpus_draws(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(12, 3, 6, dtype=dtype, generator=torch.Generator().manual_seed(0))
    cpu, shim = through(CpuBackend(), name).to(dtype), through(ShimBackend(4), name).to(dtype)
    ours, theirs = results_and_gradients(shim, x), results_and_gradients(cpu, x)
    for mine, other in zip(ours, theirs, strict=True):  # sums of currents and of gradients have another order
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours[0], theirs[0]) or "recurrent" in name


class Recording(CpuBackend):
    """The CPU backend; keeps the programs that it is given."""

    def __init__(self) -> None:
        self.programs: list[RegionProgram] = []

    def prepare(self, program: RegionProgram, title: str) -> Any:
        self.programs.append(program)
        return super().prepare(program, title)


@pytest.mark.parametrize("cuts", [(0, 5, 20), (0, 1, 2, 19, 20)], ids=str)
def test_pieces_of_time_draw_what_one_call_draws(cuts: tuple[int, ...]) -> None:
    recording = Recording()
    x = torch.randn(20, 3, 7, generator=torch.Generator().manual_seed(0))
    CompiledModule(layer(has_noise), Options((recording,)), fullgraph=True)(x)
    (program,) = recording.programs
    kernel = Executable(program.forward, load(translation_unit(program.forward, None, "")), "norse_forward")
    (register,) = program.forward.graph.registers
    tensors = {**dict(zip(program.inputs, (x, new_key()), strict=False)), register.initial: torch.zeros(3, 7)}
    whole, last = kernel.run(tensors, (20, 3, 7))
    outputs = [torch.full_like(output, torch.nan) for output in whole]
    for begin, end in itertools.pairwise(cuts):
        _, now = kernel.run(tensors, (20, 3, 7), ticks=(begin, end), outputs=outputs)
        tensors[register.initial] = now[0]
    assert_same([*outputs, *now], [*whole, *last])


def test_the_backward_draws_again_what_the_forward_drew() -> None:
    """By finite differences: with the seed set at every call, the model is a function of its input."""
    compiled = norse.compile(layer(scaled_by_a_draw), fullgraph=True)
    x = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: seeded(compiled, x), (x,))


def test_draws_are_not_kept_for_the_backward() -> None:
    recording = Recording()
    compiled = CompiledModule(layer(scaled_by_a_draw), Options((recording,)), fullgraph=True)
    compiled(torch.randn(5, 2, 3, requires_grad=True))
    (program,) = recording.programs
    assert program.backward is not None
    drawn = {node.output for node in program.forward.graph.nodes if node.op in ("uniform", "normal")}
    assert len(drawn) == 2
    assert not drawn.intersection(program.saved)
    assert {node.op for node in program.backward.graph.nodes} >= {"uniform", "normal"}


def test_numbers_that_all_samples_share_are_drawn_once_for_them() -> None:
    def step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        return x + torch.rand_like(p), v

    z = norse.compile(layer(step, torch.ones(5)), fullgraph=True)(torch.zeros(4, 3, 5))[0]
    assert torch.equal(z, z[:, :1].expand_as(z))
    assert len(z[:, 0].unique()) == 20


def test_calls_and_layers_draw_different_numbers() -> None:
    compiled = norse.compile(snn.SequentialState(layer(uniform), layer(uniform)), fullgraph=True)
    both = norse.compile(snn.SequentialState(layer(uniform), snn.Lift(nn.Identity())), fullgraph=True)
    x = torch.zeros(4, 3, 5)
    torch.manual_seed(1)
    drawn = [compiled(x)[0], compiled(x)[0], both(x)[0], both(x)[0]]
    assert len(torch.cat([y.flatten() for y in drawn]).unique()) == 4 * x.numel()


def test_a_call_without_ticks_or_samples_draws_nothing() -> None:
    compiled = norse.compile(layer(has_noise), fullgraph=True)
    before = torch.get_rng_state()
    assert compiled(torch.zeros(0, 3, 5))[0].shape == (0, 3, 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert compiled(torch.zeros(4, 0, 5))[0].shape == (4, 0, 5)


# ---- distributions ---------------------------------------------------------------------------------------------------

TICKS, SAMPLES, NEURONS = 200, 10, 101


def quantile(probability: float, freedom: int) -> float:
    """Of chi-square, to a part in a thousand for 100 degrees of freedom and more: E. Wilson, M. Hilferty, "The
    distribution of chi-square", Proc. Natl. Acad. Sci. 17 (1931)."""
    term = 2 / (9 * freedom)
    return freedom * (1 - term + NormalDist().inv_cdf(probability) * math.sqrt(term)) ** 3


def test_the_quantile_is_that_of_tables() -> None:
    """NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4, for 100 degrees of freedom."""
    assert abs(quantile(0.999, 100) - 149.449) < 0.1
    assert abs(quantile(0.001, 100) - 61.918) < 0.1


def assert_chi_square(counts: Any, probabilities: Any) -> None:
    """Neither too far from the distribution nor too near: each happens for one seed in a thousand. Ours are fixed."""
    counts, expected = numpy.asarray(counts).ravel(), numpy.asarray(probabilities).ravel() * numpy.sum(counts)
    assert expected.min() > 5
    statistic = float(((counts - expected) ** 2 / expected).sum())
    freedom = len(counts) - 1
    assert quantile(0.001, freedom) < statistic < quantile(0.999, freedom)


def drawn(step: Step, dtype: torch.dtype, x: float = 0.0) -> Any:
    compiled = norse.compile(layer(step), fullgraph=True)
    return seeded(compiled, torch.full((TICKS, SAMPLES, NEURONS), x, dtype=dtype))[0].double().numpy()


@BOTH
def test_uniform_numbers_are_uniform(dtype: torch.dtype) -> None:
    numbers = drawn(uniform, dtype)
    assert 0 <= numbers.min() < 1e-4
    assert 1 - 1e-4 < numbers.max() < 1
    assert_chi_square(numpy.histogram(numbers, 101, (0, 1))[0], numpy.full(101, 1 / 101))


@BOTH
def test_normal_numbers_are_normal(dtype: torch.dtype) -> None:
    numbers = drawn(normal, dtype)
    edges = [NormalDist().inv_cdf(k / 101) for k in range(1, 101)]
    assert_chi_square(numpy.histogram(numbers, [-math.inf, *edges, math.inf])[0], numpy.full(101, 1 / 101))
    assert 4 < abs(numbers).max() < 6.5  # 202 000 draws: beyond 4 with certainty, beyond 6.5 one time in 60 000


@BOTH
def test_chances_are_those_that_are_asked_for(dtype: torch.dtype) -> None:
    """How often each of 101 neurons with chances of its own spikes in 2000 ticks and samples."""
    chances = torch.linspace(0.02, 0.98, NEURONS, dtype=dtype)
    compiled = norse.compile(layer(chance), fullgraph=True)
    spikes = seeded(compiled, chances.expand(TICKS, SAMPLES, NEURONS))[0].double()
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    count, p = TICKS * SAMPLES, chances.double().numpy()
    spiked = spikes.sum((0, 1)).numpy()
    statistic = float(((spiked - count * p) ** 2 / (count * p * (1 - p))).sum())
    assert quantile(0.001, NEURONS) < statistic < quantile(0.999, NEURONS)
    assert not drawn(chance, dtype, 0.0).any()
    assert (drawn(chance, dtype, 1.0) == 1).all()


def test_what_is_no_probability_gives_nan() -> None:
    """Eager raises an error, which a kernel can't."""
    compiled = norse.compile(layer(chance), fullgraph=True)
    z = compiled(torch.tensor([0.0, -0.1, 1.1, torch.nan, torch.inf, 1.0]).expand(3, 2, 6))[0]
    assert torch.equal(z.isnan(), torch.tensor([False, True, True, True, True, False]).expand(3, 2, 6))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (numpy.s_[:-1], numpy.s_[1:]),
        (numpy.s_[:, :-1], numpy.s_[:, 1:]),
        (numpy.s_[:, :, :-1], numpy.s_[:, :, 1:]),
        (numpy.s_[:, :, :-4], numpy.s_[:, :, 4:]),
    ],
    ids=["ticks", "samples", "neurons", "neurons four apart"],
)
def test_neighbours_are_independent(one: Any, other: Any) -> None:
    numbers = drawn(uniform, torch.float32)
    pairs = numpy.histogram2d(numbers[one].ravel(), numbers[other].ravel(), 11, [[0, 1], [0, 1]])[0]
    assert_chi_square(pairs, numpy.full(121, 1 / 121))


@BOTH
def test_two_draws_of_a_tick_are_independent(dtype: torch.dtype) -> None:
    numbers = drawn(two_numbers, dtype)
    pairs = numpy.histogram2d((numbers // 1000).ravel(), (numbers % 1000).ravel(), 11, [[0, 11], [0, 11]])[0]
    assert_chi_square(pairs, numpy.full(121, 1 / 121))


def test_spikes_by_chance_are_as_many_as_eagers() -> None:
    """Two samples of spike counts, eager's and ours, of neurons at 60 currents: chi-square of two counts each."""
    x = torch.linspace(-0.05, 1, 120).expand(400, 20, 120)
    eager = seeded(layer(spikes_by_chance), x)[0].sum((0, 1)).double()
    ours = seeded(norse.compile(layer(spikes_by_chance), fullgraph=True), x)[0].sum((0, 1)).double()
    # A train's variance is no binomial's, since a spike resets: 8000 ticks of each neuron, in 20 independent trains.
    trains = seeded(layer(spikes_by_chance), x)[0].sum(0).double()
    statistic = float(((ours - eager) ** 2 / (2 * 20 * trains.var(0))).sum())
    assert not torch.equal(ours, eager)
    assert quantile(0.0001, 120) < statistic < quantile(0.9999, 120) * 1.3  # the variances are estimates of 20 values


# ---- exact=True: eager's numbers, in eager's order -------------------------------------------------------------------


class Loop(nn.Module):
    """Two neurons that draw at every tick of a user's loop."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.fc, self.other = cell(has_noise), nn.Linear(5, 5), cell(spikes_by_chance)

    def forward(self, x: Tensor) -> Tensor:
        s = r = None
        out = []
        for t in range(x.shape[0]):
            z, s = self.one(x[t], s)
            z, r = self.other(self.fc(z), r)
            out.append(z)
        return torch.stack(out)


class OneOfALoop(Loop):
    """One neuron of the loop draws."""

    def __init__(self) -> None:
        super().__init__()
        self.other = snn.LIFCell()


class DropoutInALoop(Loop):
    def forward(self, x: Tensor) -> Tensor:
        s, out = None, []
        for t in range(x.shape[0]):
            z, s = self.one(nn.functional.dropout(x[t], 0.5), s)
            out.append(z)
        return torch.stack(out)


class NoiseInALoop(Loop):
    """The user's own noise, fresh at every tick, twice; the second is like something that is no tick."""

    def forward(self, x: Tensor) -> Tensor:
        s, out, fixed = None, [], x[0] * 0
        for t in range(x.shape[0]):
            z, s = self.other(x[t] + torch.randn_like(x[t]) - torch.rand_like(fixed), s)
            out.append(z)
        return torch.stack(out)


class UnusedDraw(Loop):
    """A number that nothing reads counts, too."""

    def forward(self, x: Tensor) -> Tensor:
        torch.rand_like(x)
        return first(self.other(x[0]))


class RandomStart(nn.Module):
    """A state that is drawn, of neurons that draw."""

    def __init__(self) -> None:
        super().__init__()
        start = lambda x: torch.rand_like(x[0])  # noqa: E731
        self.layers = snn.SequentialState(
            snn.SNN(spikes_by_chance, start, None), nn.Linear(5, 5), snn.SNN(has_noise, start, None)
        )

    def forward(self, x: Tensor) -> Tensor:
        return first(self.layers(x))


class CalledTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = layer(spikes_by_chance)

    def forward(self, x: Tensor) -> Tensor:
        z, state = self.one(x)
        return first(self.one(z, state))


EXACT: dict[str, Callable[[], nn.Module]] = {
    **{step.__name__.replace("_", " "): lambda step=step: layer(step) for step in STEPS},
    "two layers": lambda: snn.SequentialState(layer(has_noise), nn.Linear(5, 5), layer(spikes_by_chance)),
    "dropout before and between": lambda: snn.SequentialState(
        nn.Dropout(), layer(has_noise), nn.Dropout(), layer(spikes_by_chance)
    ),
    "cells in a Lift": lambda: snn.Lift(snn.SequentialState(cell(has_noise), nn.Linear(5, 5), cell(has_noise))),
    "one cell in a Lift": lambda: snn.Lift(snn.SequentialState(cell(has_noise), nn.Linear(5, 5), snn.LIFCell())),
    "dropout in a Lift": lambda: snn.Lift(snn.SequentialState(nn.Dropout(), nn.Linear(5, 5), snn.LIFCell())),
    "dropout and a cell in a Lift": lambda: snn.Lift(snn.SequentialState(nn.Dropout(), cell(spikes_by_chance))),
    "a Lift behind a layer": lambda: snn.SequentialState(
        layer(has_noise), snn.Lift(snn.SequentialState(cell(has_noise), cell(has_noise)))
    ),
    "a loop": Loop,
    "one of a loop": OneOfALoop,
    "dropout in a loop": DropoutInALoop,
    "noise in a loop": NoiseInALoop,
    "an unused draw": UnusedDraw,
    "a random start": RandomStart,
    "called twice": CalledTwice,
    "recurrent": lambda: snn.SequentialState(nn.Linear(5, 6), recurrent_by_chance(), layer(has_noise)),
    "noise around a layer": lambda: snn.SequentialState(Noise(), layer(spikes_by_chance), Noise()),
    "encoder step": lambda: snn.Lift(snn.SequentialState(snn.PoissonEncoderStep(200), cell(spikes_by_chance))),
}


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


@BOTH
@pytest.mark.parametrize("name", EXACT)
def test_exact_draws_what_eager_draws(name: str, dtype: torch.dtype) -> None:
    """And leaves torch's generator where eager leaves it."""
    torch.manual_seed(0)
    model = EXACT[name]().to(dtype)
    x = torch.rand(
        9, 4, 5, dtype=dtype, generator=torch.Generator().manual_seed(1)
    )  # randn fills 16 and more otherwise
    compiled = norse.compile(copy.deepcopy(model), exact=True)
    eager = seeded(model, x)
    after = torch.get_rng_state()
    for _ in range(2):  # the call that traces, and one that doesn't
        ours = seeded(compiled, x)
        assert torch.equal(torch.get_rng_state(), after)
        for mine, theirs in zip(_tensors(ours), _tensors(eager), strict=True):
            assert torch.equal(mine, theirs)


def _tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(result) if isinstance(leaf, Tensor)]


def test_cells_that_are_called_tick_by_tick_draw_what_eager_draws() -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(cell(has_noise), nn.Linear(5, 5), cell(spikes_by_chance))
    compiled = norse.compile(copy.deepcopy(model), exact=True, fullgraph=True)
    found = []
    for module in (model, compiled):
        torch.manual_seed(2)
        state, outputs = None, []
        for x in torch.rand(9, 4, 5, generator=torch.Generator().manual_seed(1)):
            z, state = module(x, state)
            outputs.append(z)
        found.append(torch.stack(outputs))
    assert torch.equal(*found)


@EVERY_STEP
def test_exact_gradients_are_eagers(step: Step) -> None:
    model, x = layer(step), currents("", 30, 4, 6)
    eager = observe(copy.deepcopy(model), x, call=seeded)
    ours = observe(norse.compile(model, exact=True, fullgraph=True), x, call=seeded)
    assert_same_results(ours, eager)
    for name, theirs in eager.gradients.items():
        torch.testing.assert_close(ours.gradients[name], theirs, rtol=1e-10, atol=1e-12)


def test_explain_says_why_exact_runs_eagerly() -> None:
    compiled = norse.compile(Loop(), exact=True)
    compiled(torch.rand(9, 4, 5))
    assert "is not all that draws random numbers at a tick" in compiled.explain()
    lifted = norse.compile(EXACT["cells in a Lift"](), exact=True)
    lifted(torch.rand(9, 4, 5))
    assert "is not all that draws random numbers at a tick" in lifted.explain()


# ---- what else draws -------------------------------------------------------------------------------------------------


class SeesNoise(nn.Module):
    """At every tick the noise of a value that is the same for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = snn.LICell()

    def forward(self, x: Tensor) -> Tensor:
        s, out, fixed = None, [], x[0] * 0
        for _ in range(x.shape[0]):
            noise = torch.rand_like(fixed)
            _, s = self.cell(noise, s)
            out.append(noise)
        return torch.stack(out)


def test_noise_of_the_same_value_is_fresh_at_every_tick_of_a_loop() -> None:
    assert len(norse.compile(SeesNoise())(torch.zeros(12, 3, 5)).unique()) == 12 * 3 * 5


def test_noise_made_before_a_loop_is_the_same_at_every_tick() -> None:
    class Once(SeesNoise):
        def forward(self, x: Tensor) -> Tensor:
            s, out, noise = None, [], torch.rand_like(x[0])
            for t in range(x.shape[0]):
                v, s = self.cell(x[t] + noise, s)
                out.append(s.i - 0 * v)
            return torch.stack(out)

    model = Once()
    assert torch.equal(seeded(norse.compile(model, fullgraph=True), x := torch.zeros(12, 3, 5)), seeded(model, x))


def draws_by_a_shape(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    return x + torch.rand(x.shape), v


def draws_from_a_generator(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    return torch.bernoulli(torch.sigmoid(x), generator=torch.default_generator), v


def draws_into_a_tensor(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x).uniform_() + x, v


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (draws_by_a_shape, "it needs a size as a Python number"),
        (draws_from_a_generator, "it draws random numbers from a generator of its own"),
        (draws_into_a_tensor, "it changes a tensor in place (.uniform_)"),
    ],
)
def test_a_step_that_draws_in_another_way_stays_eager(step: Step, reason: str) -> None:
    model, x = layer(step), torch.rand(7, 3, 5)
    compiled = norse.compile(copy.deepcopy(model))
    assert torch.equal(seeded(compiled, x)[0], seeded(model, x)[0])
    assert reason in compiled.explain()


ENCODERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "PoissonEncoder": (lambda: snn.PoissonEncoder(20, f_max=500), (3, 5)),
    "SignedPoissonEncoder": (lambda: snn.SignedPoissonEncoder(20, f_max=500), (3, 5)),
    "ConstantCurrentLIFEncoder": (lambda: snn.ConstantCurrentLIFEncoder(20), (3, 5)),
    "SpikeLatencyLIFEncoder": (lambda: snn.SpikeLatencyLIFEncoder(20), (3, 5)),
    "SpikeLatencyEncoder": (snn.SpikeLatencyEncoder, (20, 3, 5)),
    "PopulationEncoder": (lambda: snn.PopulationEncoder(5), (20, 3, 5)),
    "PopulationEncoder with a scale": (lambda: snn.PopulationEncoder(5, scale=2.0), (20, 3, 5)),
}


@BOTH
@pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_layers_of_the_compiled_graph(name: str, exact: bool, dtype: torch.dtype) -> None:
    make, shape = ENCODERS[name]
    torch.manual_seed(0)
    model = snn.SequentialState(make(), nn.Linear(5, 7), snn.LIF()).to(dtype)
    x = 4 * torch.rand(shape, dtype=dtype) - (1 if name == "SignedPoissonEncoder" else 0)
    compiled = norse.compile(copy.deepcopy(model), exact=exact, fullgraph=True)
    eager = seeded(model, x)[0]
    assert 0 < float(eager.detach().mean()) < 1
    assert torch.equal(seeded(compiled, x)[0], eager)
    assert "one native loop over T" in compiled.explain()


@pytest.mark.parametrize("encoder", [snn.PoissonEncoderStep, snn.SignedPoissonEncoderStep])
def test_an_encoders_step_draws_anew_at_every_tick(encoder: type[nn.Module]) -> None:
    lifted = norse.compile(snn.Lift(nn.Sequential(encoder(500), nn.Linear(200, 3))), fullgraph=True)
    lifted(torch.full((6, 10, 200), 0.5))
    alone = norse.compile(snn.Lift(encoder(500)), fullgraph=True)
    spikes = seeded(alone, torch.full((6, 10, 200), 0.5))
    assert abs(float(spikes.mean()) - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 12_000)
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(spikes))


# ---- the boundary to torch -------------------------------------------------------------------------------------------


@EVERY_MODEL
def test_checkpointing_draws_the_same_again(name: str) -> None:
    compiled = through(CpuBackend(), name)
    x = torch.randn(12, 3, 6, generator=torch.Generator().manual_seed(0))
    plain = results_and_gradients(compiled, x)

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = compiled

        def forward(self, x: Tensor) -> Any:
            return checkpoint(self.inner, x, use_reentrant=False)

    assert_same(results_and_gradients(Checkpointed(), x), plain)


def test_without_gradients_the_draws_are_the_same() -> None:
    compiled, x = norse.compile(layer(has_noise), fullgraph=True), torch.randn(12, 3, 6)
    with torch.no_grad():
        silent = seeded(compiled, x)[0]
    assert torch.equal(silent, seeded(compiled, x.requires_grad_())[0])


def test_the_key_is_an_input_of_the_operator() -> None:
    """Which is a function of its inputs: the same key, the same numbers."""
    recording = Recording()
    compiled = CompiledModule(layer(scaled_by_a_draw), Options((recording,)), fullgraph=True)
    x = torch.randn(4, 3, 5, requires_grad=True)
    compiled(x)
    (program,) = recording.programs
    keys = [new_key(), new_key()]
    results = [torch.ops.norse.region([x, key, torch.zeros(3, 5)], program.key, [4, 3, 5]) for key in (*keys, keys[0])]
    assert torch.equal(results[0][0], results[2][0])
    assert not torch.equal(results[0][0], results[1][0])
    arguments = ([x, keys[0], torch.zeros(3, 5)], program.key, [4, 3, 5])
    torch.library.opcheck(torch.ops.norse.region, arguments)


def test_the_operator_draws_what_the_shortcut_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under torch.compile and export the dispatcher is in between."""
    compiled = norse.compile(layer(scaled_by_a_draw), fullgraph=True)
    x = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    direct = results_and_gradients(compiled, x)
    monkeypatch.setattr(operators, "is_traced", lambda inputs: True)
    assert_same(results_and_gradients(compiled, x), direct)


def test_torch_compile_and_export_draw_by_the_seed() -> None:
    """The key is drawn in their graphs, at every call."""
    compiled, x = norse.compile(layer(scaled_by_a_draw), fullgraph=True), torch.randn(4, 3, 5)
    expected = seeded(compiled, x)[0]
    torch._dynamo.reset()
    for module in (torch.compile(compiled, backend="aot_eager"), torch.export.export(compiled, (x,)).module()):
        assert torch.equal(seeded(module, x)[0], expected)
        assert not torch.equal(module(x)[0], expected)
    torch._dynamo.reset()


@pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
def test_a_stream_draws_anew_at_every_tick(exact: bool) -> None:
    """None of its ticks is a replay of another, and recording them draws nothing."""
    stream = norse.compile(layer(spikes_by_chance), exact=exact).stream()
    model, state = cell(spikes_by_chance), None
    torch.manual_seed(1)
    x = torch.rand(60, 2, 50)
    with torch.no_grad():
        torch.manual_seed(2)
        ticks = [stream(tick).clone() for tick in x]
        torch.manual_seed(2)
        for tick, ours in zip(x, ticks, strict=True):
            theirs, state = model(tick, state)
            assert not exact or torch.equal(ours, theirs)
    assert not stream.replayed
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(ticks))


def test_torchs_own_path_draws_by_the_seed() -> None:
    model, x = layer(has_noise), torch.randn(12, 3, 5)
    assert torch.equal(seeded(norse.compile(model, backend="torch"), x)[0], seeded(model, x)[0])


def test_tracing_leaves_torchs_generator_alone() -> None:
    compiled, x = norse.compile(layer(spikes_by_chance)), currents("", 5, 2, 3)
    drawn_while_tracing = seeded(compiled, x)[0]
    assert torch.equal(seeded(compiled, x)[0], drawn_while_tracing)
