"""What the tracer can't understand runs eagerly inside the compiled model, right, and `explain` says which and why."""

import copy
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.compiler.errors import CompileError

from .comparison import assert_same_gradients, assert_same_results, observe
from .neurons import UserState, currents, zeros_over_time


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if x.sum() > 0 else x - 1


class BranchesOnAShape(nn.Module):
    """Nothing but T decides: a trace of one T must not be taken for another."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if x.shape[0] > 10 else x - 1


class CountsItsCalls(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class CountsInABuffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class ReplacesABuffer(CountsInABuffer):
    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return x * self.calls


class RemembersItsInput(nn.Module):
    """Its buffer takes part in what the next call gives."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        out = x + self.last
        self.last = x.detach().mean()
        return out


class AppendsToAList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.shape[0])
        return x * len(self.seen)


class AddsInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x * 1.5
        x.add_(0.1)
        x[0] = 0.5
        x *= 2
        return x


class ClampsInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(x * 1.0, inplace=True)


class PythonsRandomness(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * random.random()


class NumpysRandomness(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(np.random.rand())


class TorchsRandomness(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand(())


class RandomPerElement(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


class MeanOverTime(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - 0.5 * x.mean(0)


class MeanOverTheBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - 0.5 * x.mean(1, keepdim=True)


class SumOverTime(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.3 * x.cumsum(0)


class ReversedTime(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(0)


class DelayedByOne(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(x[:1]), x[:-1]])


class LoopsOverTime(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        ticks, last = [], torch.zeros_like(x[0])
        for t in range(x.shape[0]):
            last = 0.5 * last + x[t]
            ticks.append(last)
        return torch.stack(ticks)


class UsesAnItem(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / x.abs().max().item()


class TakesASecondArgument(nn.Module):
    """Called with a keyword and a constant by its parent."""

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return x * scale if scale > 0 else -x


class HoldsASecondArgument(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = TakesASecondArgument()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, scale=2.0) + self.inner(x, -1.0) + self.inner(x)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return 3 * self.inner(x, x, x)[0]


class GRUOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return 5 * self.gru(x)[0]


class SharesAWeight(nn.Module):
    """Followed, not eager: a functional call of a parameter that another layer has too."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.linear(x), self.linear.weight.relu())


MODULES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "branches on a sum": (Branches, r'layer "1" \(Branches\): its control flow'),
    "branches on a shape": (BranchesOnAShape, ""),
    "counts its calls": (CountsItsCalls, "calls"),
    "counts in a buffer": (CountsInABuffer, ""),
    "replaces a buffer": (ReplacesABuffer, ""),
    "remembers its input": (RemembersItsInput, ""),
    "appends to a list": (AppendsToAList, "seen"),
    "adds in place": (AddsInPlace, "in place"),
    "clamps in place": (ClampsInPlace, ""),
    "draws from random": (PythonsRandomness, "random"),
    "draws from numpy": (NumpysRandomness, "random"),
    "draws from torch": (TorchsRandomness, ""),
    "draws for each element": (RandomPerElement, ""),
    "has a mean over time": (MeanOverTime, ""),
    "has a mean over the batch": (MeanOverTheBatch, ""),
    "has a sum over time": (SumOverTime, ""),
    "turns time round": (ReversedTime, ""),
    "delays by one": (DelayedByOne, ""),
    "loops over time": (LoopsOverTime, ""),
    "uses an item": (UsesAnItem, ""),
    "has keyword arguments": (HoldsASecondArgument, ""),
    "is an attention": (SelfAttention, ""),
    "holds a GRU": (GRUOutput, "GRU is not in the layer table"),
    "is a Softplus": (nn.Softplus, ""),
    "is a LayerNorm": (lambda: nn.LayerNorm(6), ""),
    "is a transformer's layer": (
        lambda: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0),
        "TransformerEncoderLayer is not in the layer table",
    ),
    "is a Dropout in training": (nn.Dropout, ""),
    "shares a weight": (lambda: SharesAWeight(nn.Linear(6, 6)), ""),
}
modules = pytest.mark.parametrize("name", MODULES)

X = 4 * currents("", 12, 3, 6)


def around(module: nn.Module) -> snn.SequentialState:
    torch.manual_seed(4)
    model = snn.SequentialState(
        nn.Linear(6, 6), module, snn.LIF(p=snn.LIF().p._replace(alpha=torch.tensor(10.0))), snn.LI()
    )
    return model.double().train()


def seeded(model: nn.Module, x: Tensor = X, backward: bool = True) -> Any:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    return observe(model, x, backward=backward)


@modules
def test_a_network_is_right_with_a_module_that(name: str) -> None:
    """Three calls: what a module remembers from one to the next is eager's too. Another T, and no time at all."""
    make, reason = MODULES[name]
    model = around(make())
    eager, compiled = copy.deepcopy(model), norse.compile(model, exact=True)
    for x in (X, X, X[:7], -X):
        theirs, mine = seeded(eager, x), seeded(compiled, x)
        assert_same_results(mine, theirs)
        assert_same_gradients(mine, theirs)
    for (path, buffer), other in zip(compiled.named_buffers(), eager.buffers(), strict=True):
        assert torch.equal(buffer, other), path
    for mine_module, other_module in zip(model.modules(), eager.modules(), strict=True):
        for attribute in ("calls", "seen"):
            if attribute in vars(other_module):
                assert getattr(mine_module, attribute) == getattr(other_module, attribute)
    assert re.search(reason, compiled.explain()), compiled.explain()


@modules
def test_a_network_is_right_without_exactness_with_a_module_that(name: str) -> None:
    make, _ = MODULES[name]
    model = around(make())
    eager, compiled = copy.deepcopy(model), norse.compile(model)
    for x in (X, X[:7]):
        theirs, mine = seeded(eager, x), seeded(compiled, x)
        for ours, other in zip(mine.leaves, theirs.leaves, strict=True):
            if isinstance(other, Tensor):
                torch.testing.assert_close(ours, other, rtol=1e-12, atol=1e-12)
        assert_same_gradients(mine, theirs)


@pytest.mark.parametrize(
    "name", [name for name, (_, reason) in MODULES.items() if reason and name not in ("is a Dropout in training",)]
)
def test_fullgraph_names_a_module_that(name: str) -> None:
    make, reason = MODULES[name]
    with pytest.raises(CompileError, match=r"norse\.compile\(fullgraph=True\)") as error:
        norse.compile(around(make()), fullgraph=True)(X)
    assert re.search(reason, str(error.value)), str(error.value)


def test_fullgraph_is_content_with_a_model_that_it_can_compile() -> None:
    model = snn.SequentialState(nn.Linear(6, 6), snn.LIFRecurrent(6, 6), snn.Lift(nn.Linear(6, 2)), snn.LI()).double()
    compiled = norse.compile(model, fullgraph=True)
    assert torch.isfinite(compiled(X)[0]).all()


def test_only_the_unknown_module_is_eager() -> None:
    compiled = norse.compile(around(nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0)))
    compiled(X)
    lines = {line.split()[0]: line for line in compiled.explain().splitlines()}
    assert "eager" in lines["1"] and "TransformerEncoderLayer" in lines["1"]
    assert "native" in lines["2"] and "native" in lines["3"], compiled.explain()


class TestWhatIsNoTick:
    """Ops that mix ticks, or samples, or take one for the other."""

    def compare(self, model: nn.Module, x: Tensor) -> str:
        eager, compiled = copy.deepcopy(model), norse.compile(model, exact=True)
        for length in (len(x), len(x) - 3):
            theirs, mine = seeded(eager, x[:length]), seeded(compiled, x[:length])
            assert_same_results(mine, theirs)
            assert_same_gradients(mine, theirs)
        free = norse.compile(copy.deepcopy(model))
        assert_same_gradients(seeded(free, x), seeded(eager, x))
        return compiled.explain()

    def test_a_readout_of_the_last_tick(self) -> None:
        class Last(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.neurons, self.readout = snn.LIF(), nn.Linear(6, 2)

            def forward(self, x: Tensor) -> Tensor:
                z, state = self.neurons(x)
                return self.readout(z[-1]) + self.readout(state.v)

        torch.manual_seed(0)
        assert "native" in self.compare(Last().double(), X)

    @pytest.mark.parametrize(
        "reduce",
        [
            lambda z: z.mean(0),
            lambda z: z.sum(0),
            lambda z: z.max(0).values,
            lambda z: z.cumsum(0),
            lambda z: z.flatten(1),
            lambda z: z.flatten(0, 1),
            lambda z: z.transpose(0, 1),
            lambda z: z.sum(),
            lambda z: z.softmax(-1).mean(0),
        ],
        ids=["mean", "sum", "max", "cumsum", "flatten features", "flatten time", "transpose", "sum of all", "softmax"],
    )
    def test_a_reduction_behind_a_neuron(self, reduce: Callable[[Tensor], Tensor]) -> None:
        class Reduces(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.input, self.neurons = nn.Linear(6, 6), snn.LI()

            def forward(self, x: Tensor) -> tuple[Tensor, Any]:
                z, state = self.neurons(self.input(x))
                return reduce(z), state

        torch.manual_seed(0)
        self.compare(Reduces().double(), X)

    def test_a_flatten_that_merges_the_batch(self) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(snn.LIF(), nn.Flatten(1), nn.Linear(18, 4), snn.LIF())
        self.compare(model.double(), X)

    def test_a_convolution_that_takes_time_for_the_batch(self) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Conv2d(2, 3, 3), snn.LIF(), nn.MaxPool2d(2), snn.LI())
        self.compare(model.double(), 5 * currents("", 9, 2, 6, 6))

    def test_a_convolution_over_time(self) -> None:
        """[T, C, L] is to Conv1d a batch of T; [C, T] would be time as its length."""
        torch.manual_seed(0)
        model = snn.SequentialState(snn.LIF(), nn.Conv1d(3, 3, 3, padding=1), snn.LIF())
        self.compare(model.double(), X)

    def test_a_batch_norm_over_the_batch_as_features(self) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(snn.LIF(), nn.BatchNorm1d(3), snn.LI()).double()
        self.compare(model.eval(), X)
        self.compare(model.train(), X)

    def test_a_lifted_batch_norm(self) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Linear(6, 6), snn.Lift(nn.BatchNorm1d(6)), snn.LIF()).double()
        self.compare(model.train(), X)
        self.compare(model.eval(), X)

    def test_a_neuron_that_mixes_its_batch(self) -> None:
        def inhibited(x: Tensor, s: UserState, p: None, dt: float) -> tuple[Tensor, UserState]:
            v = 0.9 * s.v + x - 0.1 * s.trace.mean(0)
            return v, UserState(v, v * v)

        explained = self.compare(snn.SNN(inhibited, zeros_over_time, None), X)
        assert "mean is not in the op table" in explained

    def test_a_skip_connection_and_a_shared_neuron(self) -> None:
        class Skips(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.neurons = nn.Linear(6, 6), snn.LIF()

            def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
                z, first = self.neurons(self.a(x), state)
                y, second = self.neurons(self.a(z) + x)
                return z + y, (first, second)

        torch.manual_seed(0)
        assert "native" in self.compare(Skips().double(), X)


class TestASteps:
    """A neuron whose step can't be compiled is eager, and the rest is not."""

    @pytest.mark.parametrize(
        ("step", "reason"),
        [
            (lambda x, s, p, dt: (x if x.sum() > 0 else -x, s), "control flow|told without"),
            (lambda x, s, p, dt: (x * 2, UserState(s.v.clone().add_(x), s.trace)), "in place"),
            (lambda x, s, p, dt: (torch.softmax(x, -1), UserState(s.v + x, s.trace)), "softmax"),
            (lambda x, s, p, dt: (x - x.mean(), UserState(s.v + x, s.trace)), "mean"),
            (lambda x, s, p, dt: (x * torch.tensor(2.0), UserState(s.v + x, s.trace)), "not one of its arguments"),
            (lambda x, s, p, dt: (x.roll(1, -1), UserState(s.v + x, s.trace)), "roll"),
            (lambda x, s, p, dt: (x, UserState(s.v + x * x.shape[0], s.trace)), ""),
        ],
        ids=["branch", "in place", "softmax", "mean", "constant tensor", "roll", "shape"],
    )
    def test_that_can_not_be_compiled(self, step: Callable[..., Any], reason: str) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Linear(6, 6), snn.SNN(step, zeros_over_time, None), snn.LIF()).double()
        eager, compiled = copy.deepcopy(model), norse.compile(model, exact=True)
        for x in (X, X[:, :2], -X):
            theirs, mine = seeded(eager, x), seeded(compiled, x)
            assert_same_results(mine, theirs)
            assert_same_gradients(mine, theirs)
        assert re.search(reason, compiled.explain()), compiled.explain()
