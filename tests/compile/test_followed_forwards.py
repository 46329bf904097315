"""A user's forward is run once to be traced; whatever it decided then must hold at every call, or it stays eager."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn


class Forward(nn.Module):
    """A module whose forward is `function(self, x)`, with layers, a parameter, a buffer and an object to use."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.before, self.neurons, self.behind = nn.Linear(5, 5), snn.LIF(), nn.Linear(5, 5)
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("scale", torch.linspace(0.5, 2.0, 5))
        self.memory = SimpleNamespace(z=None)
        self._function = function
        nn.init.normal_(self.before.weight, std=4.0)

    def forward(self, x: Tensor) -> Any:
        return self._function(self, x)


@dataclass
class Answer:
    z: Tensor


def leaves(result: Any) -> list[Tensor]:
    result = (result.z,) if isinstance(result, Answer) else result
    return [leaf for leaf in torch.utils._pytree.tree_leaves(result) if isinstance(leaf, Tensor)]


def frozen_features(m: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        z, _ = m.neurons(m.before(x))
    return m.behind(z)


def tensor_or_not(m: Any, x: Tensor) -> Tensor:
    return m.neurons(m.before(x * 3 if isinstance(x, Tensor) else x))[0]


def attribute_or_not(m: Any, x: Tensor) -> Tensor:
    return m.neurons(m.before(x * 3 if hasattr(x, "no_such_thing") else x))[0]


def swallowed_error(m: Any, x: Tensor) -> Tensor:
    try:
        count = len(x)
    except Exception:
        count = 1
    return m.neurons(m.before(x) * count)[0]


def half_precision(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        current = m.before(x)
    return m.neurons(current.float())[0]


def number_of_a_parameter(m: Any, x: Tensor) -> Tensor:
    return m.neurons(m.before(x) * m.gain.item())[0]


def decision_by_a_parameter(m: Any, x: Tensor) -> Tensor:
    return m.neurons(m.before(x) if m.gain > 1 else x * 30)[0]


def answer_in_an_object(m: Any, x: Tensor) -> Answer:
    return Answer(m.neurons(m.before(x))[0])


def kept_on_an_object(m: Any, x: Tensor) -> Tensor:
    z, state = m.neurons(m.before(x), m.memory.z)
    m.memory.z = type(state)(*(field.detach() for field in state))
    return z


FORWARDS = (
    frozen_features,
    tensor_or_not,
    attribute_or_not,
    swallowed_error,
    half_precision,
    number_of_a_parameter,
    decision_by_a_parameter,
    answer_in_an_object,
    kept_on_an_object,
)


def gradients(model: nn.Module, result: Any) -> dict[str, Tensor | None]:
    model.zero_grad()
    sum(leaf.sum() for leaf in leaves(result)).backward()  # type: ignore[union-attr]
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("function", FORWARDS, ids=lambda f: f.__name__)
def test_a_forward_that_a_trace_could_misread_gives_what_eager_gives(function: Callable[..., Any]) -> None:
    eager, model = Forward(function), Forward(function)
    compiled = norse.compile(model)
    for length, gain in ((20, 2.0), (7, 0.3)):  # the second call: other values, another length
        eager.gain.data.fill_(gain)
        model.gain.data.fill_(gain)
        torch.manual_seed(length)
        x = torch.rand(length, 3, 5)
        expected, found = eager(x), compiled(x)
        assert any(leaf.any() for leaf in leaves(expected))
        for one, other in zip(leaves(expected), leaves(found), strict=True):
            assert type(other) is Tensor
            assert torch.equal(one, other)
        for (name, one), other in zip(
            gradients(eager, expected).items(), gradients(model, found).values(), strict=True
        ):
            assert (one is None) == (other is None), name
            if one is not None and other is not None:
                torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


class Scaled(nn.Module):
    """Scales every neuron of a tick by a buffer, which is no sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.linspace(0.5, 2.0, 5))
        self.gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x * self.scale * self.gain], -1)


@pytest.mark.parametrize("length", [0, 4, 5, 20])
def test_a_lifted_module_reads_its_buffers_whole_at_every_tick(length: int) -> None:
    torch.manual_seed(0)
    model = snn.Lift(snn.SequentialState(Scaled(), nn.Linear(10, 5), snn.LIFCell()))
    nn.init.normal_(model.lifted_module[1].weight, std=4.0)
    compiled = norse.compile(model)
    x = torch.rand(length, 3, 5)
    (expected, _), (found, _) = model(x), compiled(x)
    assert torch.equal(expected, found)
    assert bool(expected.any()) == (length > 0)
    assert "eager" not in compiled.explain()


class Counting(nn.Module):
    """Returns a number that depends on the length, and cannot be followed."""

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        count = x.shape[0]
        return (x * 2 if count > 3 else x), count


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.counting, self.neurons = Counting(), snn.LIF()

    def forward(self, x: Tensor) -> Any:
        y, count = self.counting(x)
        return self.neurons(y * 10)[0] / count, count


def test_what_an_eager_module_returns_besides_tensors_is_no_constant() -> None:
    model = Around()
    compiled = norse.compile(model)
    for length in (20, 7, 2):
        x = torch.rand(length, 3, 5)
        (expected, count), (found, other_count) = model(x), compiled(x)
        assert torch.equal(expected, found)
        assert expected.any()
        assert count == other_count == length


def test_autocast_leaves_no_tensors_without_numbers_behind() -> None:
    model = Forward(lambda m, x: m.behind(m.neurons(m.before(x))[0]))
    x = torch.randn(6, 2, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = model(x)
        found = norse.compile(model)(x)
    assert type(found) is Tensor and torch.isfinite(found).all()
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_a_function_that_changes_its_input_is_left_to_eager() -> None:
    class Doubled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x * 1.0
            return torch.nn.functional.relu(h, inplace=True) + h

    x = torch.randn(4, 2, 5)
    for model in (Doubled(), snn.Lift(Doubled())):
        compiled = norse.compile(model)
        torch.testing.assert_close(compiled(x), model(x))


def test_a_layer_that_counts_its_calls_counts_them_in_eagers_order() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(5)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(2 * self.norm(x) + 1)

    torch.manual_seed(0)
    model = snn.Lift(Twice())
    other = copy.deepcopy(model)
    x = torch.randn(7, 3, 5)
    torch.testing.assert_close(norse.compile(model)(x), other(x))
    torch.testing.assert_close(model.lifted_module.norm.running_mean, other.lifted_module.norm.running_mean)
