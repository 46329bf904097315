"""What a compiled model refuses, it refuses as eager does: naming the layer, the argument, what is expected and came.

At the first call, and after it has compiled.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import norse
import norse.torch as snn
from norse.compiler.errors import CompileError
from norse.compiler.module import CompiledModule

X = torch.rand(5, 2, 4)
MODELS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "LIF": (snn.LIF, X),
    "LIFCell": (snn.LIFCell, X[0]),
    "LIFRecurrent": (lambda: snn.LIFRecurrent(4, 3), X),
    "LIFRecurrentCell": (lambda: snn.LIFRecurrentCell(4, 3), X[0]),
    "LILinearCell": (lambda: snn.LILinearCell(4, 3), X[0]),
}
models = pytest.mark.parametrize("name", MODELS)
recurrent_models = pytest.mark.parametrize("name", ["LIFRecurrent", "LIFRecurrentCell", "LILinearCell"])
compiled_before = pytest.mark.parametrize("called", [False, True], ids=["at the first call", "later"])


def compiled(name: str, called: bool, **options: Any) -> tuple[CompiledModule, torch.Tensor]:
    make, x = MODELS[name]
    model = norse.compile(make(), **options)
    if called:
        _, state = model(x)
        model(x, state)
    return model, x


def assert_refused(model: nn.Module, *args: Any, names: tuple[str, ...], error: type[Exception]) -> None:
    """As eager refuses it, and in words that help."""
    with pytest.raises(error) as eager:
        model.model(*args)
    with pytest.raises(error) as ours:
        model(*args)
    for name in names:
        assert re.search(name, str(ours.value)), f"{name!r} is not in: {ours.value}"
    assert str(eager.value) in str(ours.value)


@compiled_before
class TestAnInput:
    @recurrent_models
    def test_with_another_number_of_features(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        names = (f"{name}: ", "input_tensor", "expects 4 input features", "got 3")
        assert_refused(model, x[..., :3], names=names, error=ValueError)

    @models
    def test_of_integers(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        names = (f"{name}: ", "input_tensor", "expects floating point", "torch.int64", r"\.float\(\)")
        assert_refused(model, x.long(), names=names, error=TypeError)

    @models
    def test_of_complex_numbers(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        names = (f"{name}: ", "input_tensor", "expects floating point", "torch.complex64")
        assert_refused(model, x.to(torch.complex64), names=names, error=TypeError)

    @models
    def test_of_booleans(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        assert_refused(model, x > 0.5, names=(f"{name}: ", "input_tensor", "torch.bool"), error=TypeError)

    @pytest.mark.parametrize("name", ["LIF", "LIFRecurrent"])
    def test_without_a_time_dimension(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        assert_refused(model, x[0, 0, 0], names=(f"{name}: ", "input_tensor", r"\[T", r"shape \[\]"), error=ValueError)

    def test_without_any_tensor(self, called: bool) -> None:
        model, _ = compiled("LIF", called)
        assert_refused(model, [1.0, 2.0], names=("LIF: ", "input_tensor", "torch.Tensor", "list"), error=TypeError)

    def test_in_a_chain_names_the_layer_that_refuses(self, called: bool) -> None:
        model = norse.compile(snn.SequentialState(nn.Linear(4, 6), snn.LIF(), snn.LIFRecurrent(5, 3)))
        if called:
            model.model[0] = nn.Linear(4, 5)
            model(X)
            model.model[0] = nn.Linear(4, 6)
        names = ("LIFRecurrent: ", "input_tensor", "expects 5 input features", "got 6")
        assert_refused(model, X, names=names, error=ValueError)


@compiled_before
class TestAState:
    @models
    def test_of_another_structure(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        state = (torch.zeros(()), torch.zeros(()))
        assert_refused(model, x, state, names=(f"{name}: ", "state", "expects LI", "tuple"), error=TypeError)

    @models
    def test_of_another_neuron(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        state = snn.IAF.state_type(v=torch.zeros(()))
        assert_refused(model, x, state, names=(f"{name}: ", "state", "fields", "got IAF"), error=TypeError)

    @models
    def test_with_something_else_than_tensors_in_it(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        state = model.model(x)[1]._replace(v=0.5)
        assert_refused(model, x, state, names=(f"{name}: ", r"state\.v", "torch.Tensor", "float"), error=TypeError)

    @models
    def test_on_another_device(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        state = model.model(x)[1]
        state = state._replace(v=state.v.to("meta"))
        names = (f"{name}: ", r"state\.v", "device cpu", "on meta", r"\.to\(\)")
        assert_refused(model, x, state, names=names, error=ValueError)

    @models
    def test_that_does_not_broadcast(self, name: str, called: bool) -> None:
        model, x = compiled(name, called)
        state = model.model(x)[1]
        state = state._replace(v=torch.zeros(7))
        assert_refused(model, x, state, names=(f"{name}: ", r"state\.v", "broadcasts", r"got \[7\]"), error=ValueError)

    def test_of_a_chain_that_is_too_short(self, called: bool) -> None:
        model = norse.compile(snn.SequentialState(nn.Linear(4, 4), snn.LIF()))
        if called:
            model(X)
        assert_refused(model, X, [None], names=("SequentialState: ", "state", "2 states", "got 1"), error=ValueError)


class TestALayersOwnErrors:
    @pytest.mark.parametrize(
        ("layer", "good", "bad", "words"),
        [
            (nn.Linear(4, 4), X, X[..., :3], "expects 4 input features, got 3"),
            (nn.Linear(4, 4), X, X.long(), "floating point.*torch.int64"),
            (nn.Conv2d(2, 3, 3), torch.rand(5, 2, 6, 6), torch.rand(5, 3, 6, 6), "expects 2 input channels, got 3"),
            (snn.Lift(nn.BatchNorm1d(4)), X, X[..., :3], "expects 4|should contain 3|running_mean"),
        ],
        ids=["features", "integers", "channels", "batch norm"],
    )
    def test_name_the_layer(self, layer: nn.Module, good: torch.Tensor, bad: torch.Tensor, words: str) -> None:
        """Where torch would speak of matrices: the first time, and when the layer runs."""
        model = norse.compile(snn.SequentialState(layer, snn.LIF()))
        for _ in range(2):
            with pytest.raises((ValueError, RuntimeError, TypeError), match=words):
                model(bad)
            model(good)

    def test_leave_nothing_behind(self) -> None:
        """After a refused call the next good one is right."""
        torch.manual_seed(0)
        model = norse.compile(snn.SequentialState(nn.Linear(4, 4), snn.LIFRecurrent(4, 4)), exact=True)
        with pytest.raises(ValueError, match='layer "0"'):
            model(X[..., :3])
        with pytest.raises(TypeError):
            model(X, [None, (1, 2)])
        assert torch.equal(model(X)[0], model.model(X)[0])


class TestACompilation:
    @pytest.mark.parametrize(
        "thing", [snn.LIF, torch.relu, None, "LIF", lambda x: x], ids=["class", "function", "None", "str", "lambda"]
    )
    def test_of_something_that_is_no_module(self, thing: Any) -> None:
        with pytest.raises(TypeError, match=r"norse\.compile: argument model: expects a torch\.nn\.Module, got "):
            norse.compile(thing)

    @pytest.mark.parametrize("name", ["gpu", "", "CPU", None, 3])
    def test_for_a_backend_that_is_none(self, name: Any) -> None:
        with pytest.raises(
            ValueError, match=r"norse\.compile: argument backend: expects one of auto, cpu, cuda, torch, got "
        ):
            norse.compile(snn.LIF(), backend=name)

    def test_that_was_not_called_has_nothing_to_explain(self) -> None:
        model = norse.compile(snn.LIF())
        for ask in (model.explain, lambda: model.graph, lambda: model.code, lambda: model.tick_graph):
            with pytest.raises(CompileError, match="call it once"):
                ask()
