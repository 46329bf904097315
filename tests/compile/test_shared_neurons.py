"""Threads that share the neurons of a recurrent layer: the bits that one thread gives, forward and backward."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

import norse
import norse.torch as snn
from norse.backends.cpu import run, sharing
from norse.backends.cpu.run import Executable
from norse.backends.cpu.sharing import Pace
from norse.torch.functional.threshold import logistic_fn

from .comparison import assert_same_gradients, observe
from .neurons import Bell

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


class Drivers:
    """The driver, which counts how often neurons were shared, by how many threads."""

    def __init__(self, library: Any) -> None:
        self.library, self.shared = library, list[int]()

    def norse_run_together(self, *arguments: Any) -> int:
        self.shared.append(arguments[4])
        return int(self.library.norse_run_together(*arguments))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.library, name)


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> Drivers:
    """Neurons are shared by all of torch's threads, however few they are and whatever it costs."""
    found = Drivers(run.driver())
    monkeypatch.setattr(run, "driver", lambda: found)
    monkeypatch.setattr(run, "threads_for", lambda values: torch.get_num_threads())
    monkeypatch.setattr(run, "team_for", lambda samples, neurons, threads, *, gradients: threads)
    monkeypatch.setattr(Pace, "shares", lambda self, ticks: True)
    return found


def kernels_of(model: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """All that kernels write in a call and its backward: what torch sums after them may depend on its threads."""
    written: list[Tensor] = []
    original = Executable.run

    def writes(self: Executable, *arguments: Any, **named: Any) -> Any:
        outputs, final = original(self, *arguments, **named)
        written.extend(part.clone() for part in (*outputs, *final))
        return outputs, final

    with monkeypatch.context() as patched:
        patched.setattr(Executable, "run", writes)
        observe(model, x)
    return written


def assert_bits_of_one_thread(model: nn.Module, x: Tensor, drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    expected = kernels_of(model, x, monkeypatch)
    assert not drivers.shared
    for number in (2, 3, 5):
        torch.set_num_threads(number)
        found = kernels_of(model, x, monkeypatch)
        assert len(found) == len(expected)
        assert all(torch.equal(_bits(a), _bits(b)) for a, b in zip(found, expected, strict=True))
        assert drivers.shared
        assert set(drivers.shared) == {number}
        drivers.shared.clear()


def _bits(x: Tensor) -> Tensor:
    return x.contiguous().view({1: torch.int8, 4: torch.int32, 8: torch.int64}[x.element_size()])


def layer(make: Callable[..., nn.Module], neurons: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Input weights are the identity: the input is the current."""
    torch.manual_seed(0)
    made = make(neurons, neurons).to(dtype)
    with torch.no_grad():
        made.input_weights.copy_(torch.eye(neurons))
        made.recurrent_weights.copy_(torch.randn(neurons, neurons) / neurons**0.5)
    return made


def currents(ticks: int, samples: int, neurons: int, dtype: torch.dtype = torch.float32, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(neurons + samples)
    return scale * torch.randn(ticks, samples, neurons, generator=generator, dtype=dtype)


@BOTH
@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("neurons", [5, 65, 130, 333])
def test_a_recurrent_layer(
    neurons: int, samples: int, dtype: torch.dtype, drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer ranges than threads, ranges of several lengths, rows that end within a vector."""
    compiled = norse.compile(layer(snn.LIFRecurrent, neurons, dtype))
    assert_bits_of_one_thread(compiled, currents(12, samples, neurons, dtype), drivers, monkeypatch)


@pytest.mark.parametrize("scale", [0.0, 0.5, 50.0])
def test_whatever_is_active(scale: float, drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence, few events, and rows that are multiplied whole; more samples than share a tile, in several tiles."""
    compiled = norse.compile(layer(snn.LIFRecurrent, 100))
    assert_bits_of_one_thread(compiled, currents(10, 19, 100, scale=scale), drivers, monkeypatch)


class TwoProducts(NamedTuple):
    z: Tensor
    v: Tensor


def two_products(x: Tensor, state: TwoProducts, w_in: Tensor, w_rec: Tensor, p: None, dt: float) -> Any:
    """A tick whose second product reads what the first has led to, numbers that aren't spikes."""
    first = torch.tanh(linear(x, w_in) + linear(state.z, w_rec))
    v = 0.8 * state.v + linear(first, w_rec)
    z = Bell.apply(v - 0.5)
    return z, TwoProducts(z, v * (1 - z))


def by_chance(x: Tensor, state: TwoProducts, w_in: Tensor, w_rec: Tensor, p: None, dt: float) -> Any:
    v = 0.9 * state.v + linear(x, w_in) + linear(state.z, w_rec)
    z = logistic_fn(v - 0.5 + 0.1 * torch.randn_like(v), 2.0)
    return z, TwoProducts(z, v * (1 - z))


def of_a_user(step: Callable[..., Any]) -> Callable[..., nn.Module]:
    def make(inputs: int, neurons: int) -> nn.Module:
        def start(x: Tensor) -> TwoProducts:
            return TwoProducts(*(x.new_zeros(x.shape[1], neurons) for _ in range(2)))

        return snn.SNNRecurrent(step, start, inputs, neurons, None)

    return make


MODELS = {
    "LSNN": snn.LSNNRecurrent,
    "EventProp": lambda *sizes: snn.LIFRecurrent(*sizes, p=snn.LIFParameters(method="adjoint")),
    "LIFEx": snn.LIFExRecurrent,
    "two products": of_a_user(two_products),
    "by chance": of_a_user(by_chance),
}


@pytest.mark.parametrize("fast_math", [False, True], ids=["", "fast_math"])
@pytest.mark.parametrize("name", MODELS)
def test_other_neurons(name: str, fast_math: bool, drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = norse.compile(layer(MODELS[name], 200), fast_math=fast_math)
    x = currents(20, 2, 200)

    class Seeded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = compiled

        def forward(self, x: Tensor) -> Any:
            torch.manual_seed(3)
            return self.inner(x)

    assert_bits_of_one_thread(Seeded(), x, drivers, monkeypatch)


@pytest.mark.parametrize("number", [2, 3])
def test_it_is_eagers_spikes_and_gradients(number: int, drivers: Drivers) -> None:
    model = layer(snn.LIFRecurrent, 150, torch.float64)
    x = currents(30, 1, 150, torch.float64)
    eager = observe(model, x)
    torch.set_num_threads(number)
    ours = observe(norse.compile(model), x)
    assert drivers.shared == [number, number]
    assert torch.equal(ours.results[0], eager.results[0])
    assert eager.results[0].any()
    assert_same_gradients(ours, eager)


@pytest.mark.parametrize("number", [2, 3])
def test_one_call_after_the_other_gives_the_same(number: int, drivers: Drivers) -> None:
    """What a thread wrote before others had read it, or read too early, would show sooner or later."""
    compiled = norse.compile(layer(snn.LIFRecurrent, 130))
    x = currents(300, 1, 130)
    with torch.no_grad():
        expected, state = compiled(x)
        torch.set_num_threads(number)
        for _ in range(50):
            z, after = compiled(x)
            assert torch.equal(z, expected)
            assert torch.equal(after.v, state.v)
    assert drivers.shared == [number] * 50


def test_without_openmp_the_pool_shares_them(drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "gomp_parallel", lambda: None)
    monkeypatch.setattr(run, "gomp_size", lambda: None)
    compiled = norse.compile(layer(snn.LIFRecurrent, 200))
    assert_bits_of_one_thread(compiled, currents(30, 2, 200), drivers, monkeypatch)


# In processes of their own: libraries read the environment once, and a fork leaves threads behind.
_MODEL = """
    import os
    import torch
    import norse, norse.torch as snn
    from norse.backends.cpu import run

    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    model = norse.compile(snn.LIFRecurrent(200, 200), sparse=True)  # torch's products may not be done in a forked child
    x = 3 * torch.randn(200, 1, 200)
    torch.set_num_threads(1)
    expected, _ = model(x)
    assert expected.any()
    torch.set_num_threads(5)
    members = []
    def all_of_them(samples, neurons, threads, *, gradients):
        members.append(threads)
        return threads
    run.team_for = all_of_them
    run.Pace.shares = lambda pace, ticks: True
    assert torch.equal(model(x)[0], expected)
    assert members == [5]
"""

_FORKED = """
    child = os.fork()
    if not child:
        same = (model(x)[0].numpy() == expected.numpy()).all()  # by one thread, not torch's
        os._exit(0 if same and members == [5, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert torch.equal(model(x)[0], expected)
"""


def run_alone(text: str, **environment: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(text)]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, **environment})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_a_forked_child_shares_with_nobody() -> None:
    run_alone(_MODEL + _FORKED)


@pytest.mark.parametrize("limit", ["1", "2"])
def test_nobody_waits_for_threads_that_openmp_does_not_give(limit: str) -> None:
    run_alone(_MODEL, OMP_THREAD_LIMIT=limit)


# ---- when neurons are shared -----------------------------------------------------------------------------------------


class TestWhoMayShare:
    @pytest.fixture(autouse=True)
    def many_processors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sharing, "_processors", lambda: 64)

    @pytest.mark.parametrize(
        ("samples", "neurons", "threads", "gradients", "expected"),
        [
            (1, 1000, 1, False, 1),
            (1, 256, 2, False, 1),  # a meeting takes as long as is saved
            (1, 512, 2, False, 2),
            (1, 256, 2, True, 2),
            (1, 1000, 16, False, 3),  # no more than have enough to do
            (1, 8192, 16, False, 16),
            (2, 1000, 2, False, 1),  # each has a sample
            (3, 1000, 2, False, 2),  # one would have two samples, the other one
            (2, 1000, 3, False, 3),
            (8, 1000, 16, False, 1),  # three threads, for one sample after the other, would take longer
            (64, 1000, 2, False, 1),
        ],
    )
    def test_threads_with_nothing_else_to_do(
        self, samples: int, neurons: int, threads: int, gradients: bool, expected: int
    ) -> None:
        assert sharing.team_for(samples, neurons, threads, gradients=gradients) == expected

    def test_no_more_than_there_are_processors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sharing, "_processors", lambda: 2)
        assert sharing.team_for(1, 4000, 5, gradients=False) == 2

    def test_nobody_where_openmp_would_not_say_how_many_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sharing, "gomp_parallel", lambda: 1)
        monkeypatch.setattr(sharing, "gomp_size", lambda: None)
        assert sharing.team_for(1, 4000, 2, gradients=False) == 1


class TestWhoDoesShare:
    """Runs of a hundred ticks that take what a clock would say."""

    def runs(self, pace: Pace, seconds: dict[bool, float], count: int) -> list[bool]:
        done = []
        for _ in range(count):
            done.append(pace.shares(100))
            pace.note(done[-1], seconds[done[-1]], 100)
        return done

    @pytest.mark.parametrize("faster", [True, False])
    def test_what_was_faster_after_both_were_tried_twice(self, faster: bool) -> None:
        assert self.runs(Pace(), {faster: 1.0, not faster: 2.0}, 12) == [False, True, False, True, *[faster] * 8]

    def test_the_slower_is_tried_again_when_it_costs_a_sixteenth(self) -> None:
        done = self.runs(Pace(), {False: 1.0, True: 4.0}, 4 + 64 + 1 + 64 + 1)
        assert [k for k, shared in enumerate(done) if shared] == [1, 3, 68, 133]

    def test_a_change_is_noticed(self) -> None:
        pace = Pace()
        assert not self.runs(pace, {False: 1.0, True: 1.5}, 20)[-1]
        assert self.runs(pace, {False: 1.0, True: 0.5}, 30)[-1]
        assert not self.runs(pace, {False: 1.0, True: 50.0}, 3)[-1]

    def test_one_run_that_was_interrupted_decides_nothing(self) -> None:
        pace = Pace()
        for shared, seconds in ((False, 9.0), (True, 2.0), (False, 1.0), (True, 2.0)):
            pace.note(shared, seconds, 100)
        assert not pace.shares(100)
        pace.note(False, 3.0, 100)
        assert not pace.shares(100)

    def test_runs_of_any_length_are_compared_by_their_ticks(self) -> None:
        pace = Pace()
        for _ in range(2):
            pace.note(False, 10.0, 1000)
            pace.note(True, 2.0, 100)
        assert not pace.shares(10)


def test_a_layer_at_batch_1_tries_both(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Drivers(run.driver())
    monkeypatch.setattr(run, "driver", lambda: found)
    monkeypatch.setattr(sharing, "_processors", lambda: 2)
    compiled = norse.compile(layer(snn.LIFRecurrent, 512))
    x = currents(100, 1, 512)
    with torch.no_grad():
        torch.set_num_threads(2)
        first, second = compiled(x)[0], compiled(x)[0]
    assert found.shared == [2]
    assert torch.equal(first, second)
