"""Whatever is done to a model after compiling it, the next call is right: what eager gives for the model as it is."""

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from types import MethodType, SimpleNamespace

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

import norse
import norse.torch as snn
from norse.compiler.module import CompiledModule
from norse.compiler.steps import fused_layer
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.threshold import threshold
from norse.torch.module.stateful import is_stateful

from .comparison import Observation, assert_same_gradients, assert_same_results, assert_spikes_and_silence, observe
from .neurons import currents, learnt


def network() -> snn.SequentialState:
    """Dropout, a batch norm, neurons with learnt parameters, and a recurrent layer, all in training mode."""
    torch.manual_seed(1)
    model = snn.SequentialState(
        nn.Linear(6, 8),
        snn.LIF(p=learnt(LIFParameters, (8,))),
        nn.Dropout(0.3),
        snn.Lift(nn.BatchNorm1d(8)),
        snn.LIFRecurrent(8, 7, p=learnt(LIFParameters, ()), autapses=True),
        nn.Linear(7, 3),
        snn.LI(),
    )
    with torch.no_grad():
        model[0].weight.normal_(0.3, 1.0)
    return model.double().train()


X = 4 * currents("", 20, 4, 6)


def seeded(model: nn.Module) -> Observation:
    torch.manual_seed(5)  # for Dropout
    return observe(model, X)


def assert_right(compiled: CompiledModule) -> None:
    """Compared with eager on a copy, which is made now; called twice, so that what a change caused is done with."""
    for _ in range(2):
        eager = copy.deepcopy(compiled.model)
        theirs, mine = seeded(eager), seeded(compiled)
        assert_same_results(mine, theirs)
        assert_same_gradients(mine, theirs)
        for (name, buffer), other in zip(compiled.named_buffers(), eager.buffers(), strict=True):
            assert torch.equal(buffer, other), name  # running statistics
    if compiled.training:
        assert_spikes_and_silence(compiled.model, X)


def takes_an_optimizer_step(model: nn.Module) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    model(X)[0].square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def edits_data(model: nn.Module) -> None:
    model[0].weight.data *= 1.2
    model[1].p.v_th.data += 0.1
    model[4].recurrent_weights.data.mul_(0.5)


def replaces_data(model: nn.Module) -> None:
    model[0].weight.data = model[0].weight.data.clone() * 0.9
    model[4].input_weights.data = torch.randn(7, 8).double()


def goes_to_eval(model: nn.Module) -> None:
    model.eval()


def goes_to_eval_in_one_layer(model: nn.Module) -> None:
    model[2].eval()


def goes_to_eval_and_back(model: nn.Module) -> None:
    model.eval()
    model(X)
    model.train()


def replaces_parameters_of_a_neuron(model: nn.Module) -> None:
    model[1].p = learnt(LIFParameters, ())._replace(v_th=nn.Parameter(torch.tensor(0.8)))


def replaces_the_surrogate(model: nn.Module) -> None:
    model[1].p = model[1].p._replace(method="tanh", alpha=torch.tensor(1.0))


def changes_the_sharpness(model: nn.Module) -> None:
    model[1].p = model[1].p._replace(alpha=3.0)


def changes_the_time_step(model: nn.Module) -> None:
    model[1].dt = 0.002
    model[4].dt = 0.0015


def records_states(model: nn.Module) -> None:
    model[4].record_states = True


def asks_for_hidden_outputs(model: nn.Module) -> None:
    model.return_hidden = True


def swaps_a_submodule(model: nn.Module) -> None:
    model[5] = nn.Linear(7, 3).double()


def swaps_a_layer_for_another_kind(model: nn.Module) -> None:
    model[2] = nn.ReLU()


def swaps_a_neuron(model: nn.Module) -> None:
    model[1] = snn.LIFBox(p=snn.LIFBox().p._replace(tau_mem_inv=torch.tensor(300.0)))


def appends_a_layer(model: nn.Module) -> None:
    model.append(nn.Linear(3, 2).double())


def replaces_a_weight(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.randn(8, 6).double() + 0.3)


def removes_a_bias(model: nn.Module) -> None:
    model[5].bias = None


def loads_a_state_dict(model: nn.Module) -> None:
    torch.manual_seed(9)
    model.load_state_dict({name: tensor * (1 + 0.1 * torch.rand(())) for name, tensor in model.state_dict().items()})


def loads_a_state_dict_by_assignment(model: nn.Module) -> None:
    model.load_state_dict({name: 1.1 * tensor for name, tensor in model.state_dict().items()}, assign=True)


def freezes_weights(model: nn.Module) -> None:
    for parameter in (model[0].weight, model[4].recurrent_weights, model[1].p.tau_mem_inv):
        parameter.requires_grad_(False)


def freezes_and_thaws_weights(model: nn.Module) -> None:
    freezes_weights(model)
    model(X)[0].sum().backward()
    model.requires_grad_(True)
    model.zero_grad()


def hooks_a_linear_layer(model: nn.Module) -> None:
    model[0].register_forward_hook(lambda module, args, out: 1.5 * out)


def hooks_a_linear_layers_input(model: nn.Module) -> None:
    model[5].register_forward_pre_hook(lambda module, args: (2 * args[0],))


def hooks_a_neuron(model: nn.Module) -> None:
    model[1].register_forward_hook(lambda module, args, out: (0.5 * out[0], out[1]))


def hooks_a_gradient(model: nn.Module) -> None:
    model[5].register_full_backward_hook(lambda module, incoming, outgoing: (3 * incoming[0],))


def hooks_a_parameters_gradient(model: nn.Module) -> None:
    model[0].weight.register_hook(_doubled)


def _doubled(gradient: Tensor) -> Tensor:
    return 2 * gradient


def replaces_a_forward(model: nn.Module) -> None:
    model[0].forward = MethodType(_shifted, model[0])


def _shifted(linear: nn.Linear, x: Tensor) -> Tensor:
    return nn.functional.linear(x, linear.weight, linear.bias) - 0.1


def parametrizes_a_weight(model: nn.Module) -> None:
    nn.utils.parametrizations.weight_norm(model[5])


def becomes_float32_and_float64_again(model: nn.Module) -> None:
    model.float()
    model(X.float())
    model.double()


CHANGES = {
    change.__name__.replace("_", " "): change
    for change in (
        takes_an_optimizer_step,
        edits_data,
        replaces_data,
        goes_to_eval,
        goes_to_eval_in_one_layer,
        goes_to_eval_and_back,
        replaces_parameters_of_a_neuron,
        replaces_the_surrogate,
        changes_the_sharpness,
        changes_the_time_step,
        records_states,
        asks_for_hidden_outputs,
        swaps_a_submodule,
        swaps_a_layer_for_another_kind,
        swaps_a_neuron,
        appends_a_layer,
        replaces_a_weight,
        removes_a_bias,
        loads_a_state_dict,
        loads_a_state_dict_by_assignment,
        freezes_weights,
        freezes_and_thaws_weights,
        hooks_a_linear_layer,
        hooks_a_linear_layers_input,
        hooks_a_neuron,
        hooks_a_gradient,
        replaces_a_forward,
        parametrizes_a_weight,
        becomes_float32_and_float64_again,
    )
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_next_call_is_right_after_one(name: str) -> None:
    compiled = norse.compile(network(), exact=True)
    assert_right(compiled)
    CHANGES[name](compiled.model)
    compiled.training = compiled.model.training
    assert_right(compiled)


@pytest.mark.parametrize("change", [goes_to_eval, goes_to_eval_and_back, takes_an_optimizer_step, freezes_weights])
def test_the_compiled_module_can_be_changed_as_the_model_can(change: Callable[[nn.Module], None]) -> None:
    compiled = norse.compile(network(), exact=True)
    assert_right(compiled)
    change(_Subscripted(compiled))  # type: ignore[arg-type]
    assert compiled.training == compiled.model.training
    assert_right(compiled)


class _Subscripted:
    """A compiled chain whose layers are reached as the chain's are."""

    def __init__(self, compiled: CompiledModule) -> None:
        self.compiled = compiled

    def __getitem__(self, index: int) -> nn.Module:
        return self.compiled.get_submodule(str(index))

    def __call__(self, x: Tensor) -> object:
        return self.compiled(x)

    def __getattr__(self, name: str) -> object:
        return getattr(self.compiled, name)


def test_a_changed_parameter_needs_no_new_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    from norse.compiler import module as compiled_module

    compiled = norse.compile(network(), exact=True)
    seeded(compiled)
    monkeypatch.setattr(compiled_module, "trace_model", lambda *_: pytest.fail("it was traced again"))
    for change in (takes_an_optimizer_step, edits_data, replaces_data, loads_a_state_dict):
        change(compiled.model)
        seeded(compiled)


def test_a_hook_that_is_removed_leaves_the_layer_native_again() -> None:
    model = snn.SequentialState(nn.Linear(6, 8), snn.LIF()).double()
    compiled = norse.compile(model)
    handle = model[1].register_forward_hook(lambda *_: None)
    compiled(X)
    assert "hook" in compiled.explain()
    handle.remove()
    compiled(X)
    assert "hook" not in compiled.explain() and "native" in compiled.explain()


def test_a_hook_is_called_once_a_call() -> None:
    model, calls = snn.SequentialState(nn.Linear(6, 8), snn.LIF()).double(), []
    compiled = norse.compile(model)
    compiled(X)
    model[1].register_forward_hook(lambda _, args, out: calls.append((args[0].shape, out[0].shape)))
    compiled(X)
    compiled(X)
    assert calls[-2:] == [((20, 4, 8), (20, 4, 8))] * 2
    assert all(isinstance(shape, torch.Size) for pair in calls for shape in pair)


class Scales(nn.Module):
    """A user's module that the tracer runs through; what it reads of itself is a constant of the trace."""

    def __init__(self) -> None:
        super().__init__()
        self.factor, self.mode, self.factors, self.named = 1.5, "times", [2.0, 1.0], {"shift": 0.1}
        self.settings = SimpleNamespace(clip=3.0)
        self.tuned = Tuned((1.2,))
        self.tuned.gain = 1.0
        self.shift = torch.tensor(0.2, dtype=torch.float64)
        self.register_buffer("gain", torch.tensor(1.1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.factor * self.factors[0] + self.named["shift"] + self.shift
        x = x * self.gain if self.mode == "times" else x / self.gain
        x = x * self.tuned[0] * self.tuned.gain
        return x.clamp(-self.settings.clip, self.settings.clip)


ATTRIBUTES: dict[str, Callable[[Scales], object]] = {
    "a number": lambda m: setattr(m, "factor", 0.5),
    "a string": lambda m: setattr(m, "mode", "by"),
    "an entry of a list": lambda m: m.factors.__setitem__(0, 3.0),
    "an entry of a dict": lambda m: m.named.update(shift=-0.4),
    "a tensor": lambda m: setattr(m, "shift", torch.tensor(-0.3, dtype=torch.float64)),
    "a tensor's value": lambda m: m.shift.fill_(-0.3),
    "a buffer": lambda m: setattr(m, "gain", torch.tensor(0.7, dtype=torch.float64)),
    "a buffer's value": lambda m: m.gain.mul_(0.5),
    "an object": lambda m: setattr(m, "settings", SimpleNamespace(clip=1.0)),
    "an object's attribute": lambda m: setattr(m.settings, "clip", 1.0),
    "a method": lambda m: setattr(m, "forward", MethodType(lambda self, x: x * self.factor, m)),
    "all attributes": lambda m: setattr(m, "__dict__", {**m.__dict__, "factor": 0.5}),
    "an attribute of a tuple": lambda m: setattr(m.tuned, "gain", 0.5),
}


class Tuned(tuple[float, ...]):
    """A tuple that has attributes too."""

    gain = 1.0


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_next_call_is_right_after_a_users_module_changed(name: str) -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(nn.Linear(6, 8), Scales(), snn.LIF(), snn.LI()).double()
    compiled = norse.compile(model, exact=True)
    before = observe(compiled, X)
    ATTRIBUTES[name](model[1])
    theirs = observe(copy.deepcopy(model), X)
    for _ in range(2):
        assert_same_results(observe(compiled, X), theirs)
    assert not torch.equal(before.results[0], theirs.results[0]), "the change shows nothing"


def test_a_buffer_in_a_tuple_counts_as_the_buffer() -> None:
    """Its value is an argument of the trace, whatever else holds it."""
    model = Scales()
    model.pair = (model.gain, 1.0)
    compiled = norse.compile(model, exact=True)
    for _ in range(3):
        assert torch.equal(compiled(X), model(X))
        model.gain.add_(0.1)
    assert len(compiled.__dict__["_variants"]) == 1


GAIN = SimpleNamespace(value=1.5)
FACTOR, OFFSETS = 1.5, {"x": 0.1}


def helper(x: Tensor) -> Tensor:
    return x * FACTOR + OFFSETS["x"]


def _set_global(name: str, value: object) -> Callable[[object], None]:
    def change(_: object) -> None:
        globals()[name] = value

    return change


class Gain:
    """A step as a bound method."""

    rate = 1.0

    def __init__(self) -> None:
        self.gain = 1.5

    def step(self, x: Tensor, s: Tensor, p: object, dt: float) -> tuple[Tensor, Tensor]:
        s = 0.9 * s + self.rate * self.gain * x
        return s, s


def _partial_step(gain: list[float], x: Tensor, s: Tensor, p: object, dt: float) -> tuple[Tensor, Tensor]:
    s = 0.9 * s + gain[0] * x
    return s, s


def _global_step(x: Tensor, s: Tensor, p: object, dt: float) -> tuple[Tensor, Tensor]:
    s = 0.9 * s + GAIN.value * helper(x)
    return s, s


def _closure_step(gain: float) -> Callable[..., tuple[Tensor, Tensor]]:
    def step(x: Tensor, s: Tensor, p: object, dt: float) -> tuple[Tensor, Tensor]:
        s = 0.9 * s + gain * x
        return s, s

    return step


def _silent(x: Tensor) -> Tensor:
    return torch.zeros_like(x[0])


def _start(x: Tensor) -> Tensor:
    return torch.zeros_like(x[0]) + FACTOR


def _neuron(step: Callable[..., object], start: Callable[[Tensor], Tensor] = _silent) -> snn.SNN:
    return snn.SNN(step, start, None)


STEPS: dict[str, tuple[Callable[[], snn.SNN], Callable[[snn.SNN], object]]] = {
    "a closure's cell": (
        lambda: _neuron(_closure_step(1.5)),
        lambda m: setattr(m.activation.__closure__[0], "cell_contents", 0.5),
    ),
    "an object that is a global": (lambda: _neuron(_global_step), lambda m: setattr(GAIN, "value", 0.5)),
    "a global of a helper": (lambda: _neuron(_global_step), _set_global("FACTOR", 0.5)),
    "a dict that is a helper's global": (lambda: _neuron(_global_step), lambda m: OFFSETS.update(x=-0.4)),
    "the helper": (lambda: _neuron(_global_step), _set_global("helper", torch.tanh)),
    "the object whose method it is": (
        lambda: _neuron(Gain().step),
        lambda m: setattr(m.activation.__self__, "gain", 0.5),
    ),
    "the class whose method it is": (lambda: _neuron(Gain().step), lambda m: setattr(Gain, "rate", 0.5)),
    "a partial's argument": (
        lambda: _neuron(partial(_partial_step, [1.5])),
        lambda m: m.activation.args[0].__setitem__(0, 0.5),
    ),
    "a global of the fallback": (lambda: _neuron(_closure_step(1.0), _start), _set_global("FACTOR", 0.5)),
}


@pytest.fixture
def _globals_come_back() -> Iterator[None]:
    before = FACTOR, helper, dict(OFFSETS), GAIN.value
    yield
    globals().update(FACTOR=before[0], helper=before[1])
    OFFSETS.update(before[2])
    GAIN.value, Gain.rate, Reads.level = before[3], 1.0, 0.2


def _right_after(model: nn.Module, change: Callable[[], object]) -> None:
    compiled = norse.compile(model, exact=True)
    before = observe(compiled, X)
    change()
    theirs = observe(copy.deepcopy(model), X)
    for _ in range(2):
        assert_same_results(observe(compiled, X), theirs)
    assert not torch.equal(before.results[0], theirs.results[0]), "the change shows nothing"


@pytest.mark.usefixtures("_globals_come_back")
@pytest.mark.parametrize("name", STEPS)
def test_the_next_call_is_right_after_what_a_step_reads_changed(name: str) -> None:
    make, change = STEPS[name]
    torch.manual_seed(0)
    model = snn.SequentialState(nn.Linear(6, 8), make(), snn.LIF(), snn.LI()).double()
    _right_after(model, lambda: change(model[1]))


class Box:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 1.2


class Reads(nn.Module):
    """A user's module that reads more than its attributes."""

    level = 0.2

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(6, 6), _closure_step(1.5)
        self.fc.gain = 1.5
        self._hidden, self.array, self.box = 1.1, numpy.array([1.0, 2.0]), Box()
        self.outside = [nn.Identity()]
        self.outside[0].gain = 1.3
        self.w = nn.Parameter(torch.ones(3))

    @property
    def doubled(self) -> float:
        return 2 * GAIN.value

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x) * self.fc.gain * self._hidden + self.level * self.w.numel() + float(self.array[1])
        x = self.act(helper(x), 0.0, None, 0.001)[0] * self.box.value * self.outside[0].gain * self.doubled
        return x if self.w.requires_grad else x * 0.5


READS: dict[str, Callable[[Reads], object]] = {
    "a layer's attribute": lambda m: setattr(m.fc, "gain", 0.5),
    "an underscored attribute": lambda m: setattr(m, "_hidden", 0.5),
    "a class attribute": lambda m: setattr(type(m), "level", -0.4),
    "an array's element": lambda m: m.array.__setitem__(1, -1.0),
    "an object with slots": lambda m: setattr(m.box, "value", 0.3),
    "a module that is none of the model's": lambda m: setattr(m.outside[0], "gain", 0.2),
    "a parameter's shape": lambda m: setattr(m, "w", nn.Parameter(torch.ones(7).double())),
    "whether a parameter is learnt": lambda m: m.w.requires_grad_(False),
    "a global": _set_global("FACTOR", 0.5),
    "what a property reads": lambda m: setattr(GAIN, "value", 0.5),
    "a closure's cell": lambda m: setattr(m.act.__closure__[0], "cell_contents", 0.5),
}


@pytest.mark.usefixtures("_globals_come_back")
@pytest.mark.parametrize("name", READS)
def test_the_next_call_is_right_after_what_a_forward_reads_changed(name: str) -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(Reads(), snn.LIF(), snn.LI()).double()
    _right_after(model, lambda: READS[name](model[0]))


class TakesMore(nn.Module):
    def forward(self, x: Tensor, more: object) -> Tensor:
        if isinstance(more, float):
            return torch.atan2(x * 0, x * 0 + 1) if str(more) == "0.0" else x
        return x * (more["gain"] if isinstance(more, dict) else more.gain)


def test_what_a_call_is_given_counts_as_it_is_at_that_call() -> None:
    compiled = norse.compile(TakesMore(), exact=True)
    given, named = SimpleNamespace(gain=2.0), {"gain": 2.0}
    for gain in (2.0, 3.0, 0.5):
        given.gain = named["gain"] = gain
        assert torch.equal(compiled(X, given), X * gain)
        assert torch.equal(compiled(X, named), X * gain)
    for gain in range(20):  # each lives where the last one died
        assert torch.equal(compiled(X, SimpleNamespace(gain=float(gain))), X * gain)
    assert torch.equal(compiled(X, 0.0), X * 0) and torch.equal(compiled(X, -0.0), X)


class ReadsModes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (2 if torch.is_inference_mode_enabled() else 3) * (5 if torch.is_autocast_enabled("cpu") else 7)


def test_torchs_modes_count() -> None:
    model = ReadsModes()
    compiled = norse.compile(model)
    for mode in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu"), torch.no_grad()):
        with mode:
            assert torch.equal(compiled(X), model(X))


def test_calls_that_raise_push_out_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from norse.compiler import module as compiled_module

    compiled = norse.compile(snn.SequentialState(nn.Linear(6, 8), snn.LIF()).double())
    compiled(X)
    for wrong in range(12):
        with pytest.raises(Exception, match=r"."):
            compiled(X, f"no state {wrong}")
    monkeypatch.setattr(compiled_module, "trace_model", lambda *_: pytest.fail("it was traced again"))
    compiled(X)


class TestGradModes:
    def test_no_grad_inference_mode_and_training_take_turns(self) -> None:
        compiled = norse.compile(network().eval(), exact=True)
        eager = copy.deepcopy(compiled.model)
        for _ in range(2):
            assert_right(compiled)
            with torch.no_grad():
                theirs, mine = eager(X), compiled(X)
                assert torch.equal(mine[0], theirs[0]) and not mine[0].requires_grad
            with torch.inference_mode():
                theirs, mine = eager(X), compiled(X)
                assert torch.equal(mine[0], theirs[0]) and mine[0].is_inference()

    def test_a_step_of_the_users_compiles_in_inference_mode(self) -> None:
        def integrate(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
            v = v + p * x
            return threshold(v - 1, "super", p), v

        model = snn.SNN(integrate, lambda x: torch.zeros_like(x[0]), p=nn.Parameter(torch.tensor(0.5).double()))
        compiled = norse.compile(model, fullgraph=True)
        with torch.inference_mode():
            assert torch.equal(compiled(X)[0], model(X)[0])
        assert "native loop" in compiled.explain()

    def test_a_fused_layer_learns_after_a_first_call_in_inference_mode(self) -> None:
        fused_layer._nothing.cache_clear()  # as in a new process
        layer = nn.Linear(6, 8)
        compiled = norse.compile(snn.SequentialState(layer, snn.LIF()), sparse=True)
        with torch.inference_mode():
            compiled(X.float())
        compiled(X.float())[0].sum().backward()
        assert layer.weight.grad is not None

    def test_a_first_call_in_inference_mode_does_no_harm(self) -> None:
        compiled = norse.compile(network().eval(), exact=True)
        with torch.inference_mode():
            compiled(X)
        assert_right(compiled)

    def test_results_require_grad_where_eagers_do(self) -> None:
        for model in (snn.LIF(), snn.LIFCell(), snn.LI(), snn.IAF(), snn.LIFRecurrent(6, 3)):
            eager, ours = copy.deepcopy(model.double())(X), norse.compile(model)(X)
            assert ours[0].requires_grad == eager[0].requires_grad
            for mine, theirs in zip(ours[1], eager[1], strict=True):
                assert mine.requires_grad >= theirs.requires_grad, type(model).__name__

    @pytest.mark.parametrize("grad", [False, True])
    def test_forward_mode_differentiation_is_eagers(self, grad: bool) -> None:
        """A native loop would lose the tangent without a word."""
        model = snn.SequentialState(nn.Linear(6, 8), snn.LI()).double()
        compiled = norse.compile(copy.deepcopy(model))
        compiled(X)
        tangents = []
        for each in (model, compiled):
            with torch.set_grad_enabled(grad), forward_ad.dual_level():
                dual = forward_ad.make_dual(X, torch.ones_like(X))
                tangents.append(forward_ad.unpack_dual(each(dual)[0]).tangent)
        assert tangents[0] is not None and tangents[0].any()
        assert torch.equal(tangents[1], tangents[0])

    def test_a_frozen_model_in_no_grad_still_differentiates_its_input(self) -> None:
        compiled = norse.compile(network().eval().requires_grad_(False), exact=True)
        eager = copy.deepcopy(compiled.model)
        assert_same_gradients(seeded(compiled), seeded(eager))


class Marked(Tensor):
    """A tensor with operations of its own."""


def test_tensors_of_another_class_are_left_to_eager() -> None:
    model = network().eval()
    compiled = norse.compile(model)
    for x in (X, X.as_subclass(Marked), X):
        ours, theirs = compiled(x)[0], copy.deepcopy(model)(x)[0]
        assert type(ours) is type(theirs)
        torch.testing.assert_close(ours.as_subclass(Tensor), theirs.as_subclass(Tensor), rtol=1e-10, atol=1e-12)
        assert ("Marked" in compiled.explain()) == (type(x) is Marked)


class TestItIsTheModel:
    def test_under_the_models_names_with_the_models_parameters(self) -> None:
        model = network()
        compiled = norse.compile(model)
        assert list(compiled.state_dict()) == list(model.state_dict())
        assert [name for name, _ in compiled.named_modules()] == [name for name, _ in model.named_modules()]
        for (name, mine), (other, theirs) in zip(compiled.named_parameters(), model.named_parameters(), strict=True):
            assert name == other and mine is theirs
        compiled(X)
        assert list(compiled.state_dict()) == list(model.state_dict())
        assert all(mine is theirs for mine, theirs in zip(compiled.parameters(), model.parameters(), strict=True))

    def test_after_a_state_dict_of_its_own_came_back(self) -> None:
        torch.manual_seed(3)
        source, target = norse.compile(network()), norse.compile(network())
        takes_an_optimizer_step(source)
        target.load_state_dict(source.state_dict())
        assert torch.equal(seeded(target).results[0], seeded(source).results[0])

    @pytest.mark.parametrize("called", [False, True], ids=["before a call", "after a call"])
    def test_and_its_deepcopy_is_another(self, called: bool) -> None:
        compiled = norse.compile(network(), exact=True)
        if called:
            compiled(X)
        other = copy.deepcopy(compiled)
        assert not {id(p) for p in other.parameters()} & {id(p) for p in compiled.parameters()}
        before = compiled(X)[1][1].v.shape, [p.clone() for p in compiled.parameters()]
        takes_an_optimizer_step(other)
        assert all(torch.equal(p, q) for p, q in zip(compiled.parameters(), before[1], strict=True))
        assert_right(other)
        assert_right(compiled)

    @pytest.mark.parametrize("called", [False, True], ids=["before a call", "after a call"])
    def test_and_it_can_be_pickled(self, called: bool) -> None:
        compiled = norse.compile(network(), exact=True)
        if called:
            seeded(compiled)
        other = pickle.loads(pickle.dumps(compiled))
        assert_same_results(seeded(other), seeded(compiled))
        takes_an_optimizer_step(other)
        assert_right(other)

    def test_and_it_can_be_a_part_of_another_model(self) -> None:
        inner = network()
        outer = snn.SequentialState(nn.Linear(6, 6).double(), norse.compile(inner, exact=True))
        plain = snn.SequentialState(copy.deepcopy(outer[0]), copy.deepcopy(inner))
        assert_same_results(seeded(outer), seeded(plain))
        assert_same_gradients(seeded(outer), seeded(plain))
        again = norse.compile(copy.deepcopy(outer), exact=True)
        assert_same_results(seeded(again), seeded(plain))

    def test_and_a_part_that_is_compiled_on_its_own_stays_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With its own options and hooks; what is around it compiles around it, once."""
        from norse.compiler import module as compiled_module

        inner = norse.compile(network().eval(), exact=True)
        outer = norse.compile(snn.SequentialState(snn.LIF().double(), inner, nn.Linear(3, 2).double()))
        plain = snn.SequentialState(snn.LIF().double(), copy.deepcopy(inner.model), copy.deepcopy(outer.model[2]))
        for _ in range(2):
            assert_same_results(observe(outer, X), observe(plain, X))
            assert_same_gradients(observe(outer, X), observe(plain, X))
        assert ["native" in line for line in outer.explain().splitlines()] == [True, False, False]
        assert "CompiledModule  eager: it is compiled on its own" in outer.explain()
        assert "exact=True" in inner.explain()
        twice = norse.compile(inner)
        assert_same_results(observe(twice, X), observe(inner, X))
        monkeypatch.setattr(compiled_module, "trace_model", lambda *_: pytest.fail("it was traced again"))
        outer(X)
        inner.register_forward_hook(lambda _, args, out: (2 * out[0], out[1]))
        monkeypatch.undo()
        plain[1].register_forward_hook(lambda _, args, out: (2 * out[0], out[1]))
        assert_same_results(observe(outer, X), observe(plain, X))

    def test_and_functional_calls_take_other_parameters(self) -> None:
        torch.manual_seed(1)
        model = snn.SequentialState(nn.Linear(6, 8), snn.LIF(), snn.LIFRecurrent(8, 7)).double()
        compiled = norse.compile(model, exact=True)
        compiled(X)
        # also on the diagonal of the recurrent weights, which eager masks
        others = {name: 1.1 * tensor.detach() + 0.1 for name, tensor in compiled.named_parameters()}
        theirs = torch.func.functional_call(copy.deepcopy(compiled.model), others, (X,))
        assert torch.equal(torch.func.functional_call(compiled, others, (X,))[0], theirs[0])

    def test_and_training_it_is_training_the_model(self) -> None:
        """Ten steps of an optimizer, eagerly and compiled from the same start, end alike."""
        finals = []
        for wrap in (lambda model: model, lambda model: norse.compile(model, exact=True)):
            model = network()
            run = wrap(model)
            optimizer = torch.optim.Adam(run.parameters(), 0.01)
            torch.manual_seed(0)
            for _ in range(10):
                optimizer.zero_grad()
                run(X)[0].square().mean().backward()
                optimizer.step()
            finals.append([parameter.detach().clone() for parameter in model.parameters()])
        for mine, theirs in zip(*finals, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


class Keeps(nn.Module):
    """A root that has its own way with everything torch lets a module override."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.trained, self.extra = nn.Linear(6, 3), [], 1
        self.register_buffer("scratch", torch.ones(3), persistent=False)
        self._register_load_state_dict_pre_hook(self._rename)

    def _rename(self, state_dict: dict[str, Tensor], prefix: str, *_: object) -> None:
        for name in [name for name in state_dict if ".old_fc." in f".{name}"]:
            state_dict[name.replace("old_fc", "fc")] = state_dict.pop(name)

    def train(self, mode: bool = True) -> "Keeps":
        self.trained.append(mode)
        return super().train(mode)

    def get_extra_state(self) -> int:
        return self.extra

    def set_extra_state(self, state: int) -> None:
        self.extra = state

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.scratch


class TestWhatIsDoneToItIsDoneToTheModel:
    def test_attributes(self) -> None:
        compiled = norse.compile(snn.LIF().double(), exact=True)
        before = compiled(X)[0]
        compiled.dt = 0.002
        assert compiled.model.dt == 0.002 and not torch.equal(compiled(X)[0], before)
        compiled.p = LIFParameters(v_th=torch.tensor(0.3))
        assert torch.equal(compiled(X)[0], copy.deepcopy(compiled.model)(X)[0])
        compiled.note = 1
        assert compiled.model.note == 1
        del compiled.note
        assert not hasattr(compiled, "note") and not hasattr(compiled.model, "note")
        with pytest.raises(AttributeError):
            compiled.graph = 1

    def test_parts(self) -> None:
        compiled = norse.compile(Keeps())
        compiled.fc = nn.Linear(6, 2)
        compiled.weight = nn.Parameter(torch.ones(2))
        compiled.register_buffer("more", torch.ones(1), persistent=False)
        compiled.register_parameter("other", nn.Parameter(torch.ones(1)))
        model = compiled.model
        assert model.fc is compiled.fc and list(compiled.state_dict()) == list(model.state_dict())
        assert dict(compiled.named_parameters()).keys() == {"weight", "other", "fc.weight", "fc.bias"}
        assert [name for name, _ in compiled.named_buffers()] == ["scratch", "more"]

    @pytest.mark.parametrize("nested", [False, True])
    def test_state_dicts(self, nested: bool) -> None:
        model = Keeps()
        compiled = norse.compile(model)
        ours, theirs = (nn.Sequential(compiled), nn.Sequential(model)) if nested else (compiled, model)
        model.extra = 5
        state = ours.state_dict()
        assert list(state) == list(theirs.state_dict()) and not any("scratch" in name for name in state)
        assert state["0._extra_state" if nested else "_extra_state"] == 5
        model.extra = 6
        old = {name.replace("fc.", "old_fc."): v + 1 if isinstance(v, Tensor) else v for name, v in state.items()}
        wanted = model.fc.bias.detach() + 1
        ours.load_state_dict(old)
        assert model.extra == 5 and torch.equal(model.fc.bias, wanted)

    def test_modes_and_casts(self) -> None:
        compiled = norse.compile(Keeps())
        assert compiled.train(False) is compiled and compiled.model.trained == [False]
        nn.Sequential(compiled).train()
        assert compiled.model.trained == [False, True] and compiled.training
        assert compiled.double() is compiled and compiled.model.scratch.dtype == torch.float64
        seen: list[nn.Module] = []
        compiled.apply(seen.append)
        assert compiled.model in seen

    def test_the_modules_of_a_chain_that_lost_one(self) -> None:
        model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2)).double()
        compiled = norse.compile(model, exact=True)
        compiled(X)
        del model[1]
        assert list(compiled.state_dict()) == list(model.state_dict())
        assert [name for name, _ in compiled.named_modules()] == ["", "0", "1"]
        assert torch.equal(compiled(X), model(X))

    def test_its_own_hooks_are_called_and_it_takes_a_state_as_the_model_does(self) -> None:
        compiled, calls = norse.compile(snn.LIF().double()), []
        compiled.register_forward_hook(lambda *_: calls.append(1))
        compiled(X)
        assert calls == [1] and not compiled.model._forward_hooks
        assert is_stateful(compiled) and not is_stateful(norse.compile(nn.Linear(2, 2)))
