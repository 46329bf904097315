"""Every form of every model refuses what no neuron can have, and names its class, the argument, and what it expects."""

import itertools
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import norse.torch as snn
from norse.torch.functional.lif import LIFFeedForwardState
from norse.torch.utils.pytree import StateTuple

from .neurons import FORMS, INPUTS, NEURONS, RECURRENT, Form, tensors


class Stranger(StateTuple):
    """A state of no model."""

    charge: torch.Tensor


def rates(p: Any, path: str = "p") -> Iterator[tuple[str, torch.Tensor]]:
    """Path and value of every inverse time constant, nested ones too."""
    for name, value in zip(getattr(p, "_fields", ()), p, strict=True):
        if hasattr(value, "_fields"):
            yield from rates(value, f"{path}.{name}")
        elif name.startswith("tau_") and name.endswith("_inv"):
            yield f"{path}.{name}", value


def fields(p: Any, wanted: str, path: str = "p") -> Iterator[str]:
    """Paths of every field of a name."""
    for name, value in zip(p._fields, p, strict=True):
        if hasattr(value, "_fields"):
            yield from fields(value, wanted, f"{path}.{name}")
        elif name == wanted:
            yield f"{path}.{name}"


def with_field(p: Any, path: str, value: Any) -> Any:
    """The parameters with another value at a path."""
    name, _, rest = path.removeprefix("p.").partition(".")
    return p._replace(**{name: with_field(getattr(p, name), rest, value) if rest else value})


def parameters(form: Form) -> Any:
    """The parameters in the form: of a spiking behaviour, its first part."""
    p = form.model.parameters()
    return p.p if hasattr(p, "s") else p


def make(form: Form, p: Any, **options: Any) -> Any:
    behaviour = form.model.parameters()
    return form.make(behaviour._replace(p=p) if hasattr(behaviour, "s") else p, **options)


WITH_RATES = [form for form in FORMS if list(rates(parameters(form)))]


@pytest.mark.parametrize("form", WITH_RATES, ids=str)
def test_a_time_constant_that_is_negative_or_no_number(form):
    p = parameters(form)
    for (path, good), bad in itertools.product(rates(p), (-1.0, math.nan, math.inf)):
        for value in (bad, torch.tensor(bad), torch.tensor([float(good), bad])):
            message = rf"^{form.name}: argument {re.escape(path)}: expects an inverse time constant .*, got "
            with pytest.raises(ValueError, match=message):
                make(form, with_field(p, path, value))


@pytest.mark.parametrize("form", [form for form in FORMS if form.model.spikes], ids=str)
def test_an_unknown_surrogate(form):
    p = parameters(form)
    paths = list(fields(p, "method"))
    assert paths
    for path in paths:
        message = rf"^{form.name}: argument {re.escape(path)}: expects one of super, .*triangle.*, got 'bogus'"
        with pytest.raises(ValueError, match=message):
            make(form, with_field(p, path, "bogus"))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_time_step_that_is_none(form):
    for dt in (0.0, -0.001, math.nan, math.inf, "0.001", None):
        message = rf"^{form.name}: argument dt: expects a time step above 0, got {re.escape(repr(dt))}"
        with pytest.raises(ValueError, match=message):
            form.make(dt=dt)


@pytest.mark.parametrize("form", WITH_RATES, ids=str)
def test_a_time_step_larger_than_a_time_constant_warns(form):
    """The fastest time constant decides; one of exactly a tick is fine."""
    fastest = max(float(value) for _, value in rates(parameters(form)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        form.make(dt=1 / fastest)
    with pytest.warns(UserWarning, match=rf"^{form.name}: dt=.* larger than the time constant 1 / p\..*Euler"):
        form.make(dt=1.5 / fastest)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_state_of_another_model(form):
    module, x = form.make(), form.input(2, 2)
    x = x if form.over_time else x[0]
    strange = Stranger(torch.zeros(2, NEURONS))
    expected = type(form.state(module)).__name__
    with pytest.raises(
        TypeError, match=rf"^{form.name}: argument state: expects {expected} with fields .*, got Stranger"
    ):
        module(x, strange)
    for other in ("a state", 3.0, (), [torch.zeros(2, NEURONS)], {"v": torch.zeros(2)}):
        with pytest.raises(TypeError, match=rf"^{form.name}: argument state: expects {expected} .*, got "):
            module(x, other)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_state_of_another_size(form):
    module = form.make()
    state = form.state(module, batch=2)
    x = form.input(1, 3)
    with pytest.raises(
        ValueError, match=rf"^{form.name}: argument state\.\S+: expects a shape that broadcasts with \[3, "
    ):
        module(x if form.over_time else x[0], state)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_state_on_another_device(form):
    module = form.make()
    state = form.state(module).to("meta")
    x = form.input(1, 2)
    message = rf"^{form.name}: argument state\.\S+: expects a tensor on the input's device cpu, got one on meta"
    with pytest.raises(ValueError, match=message):
        module(x if form.over_time else x[0], state)


@pytest.mark.parametrize("form", [form for form in FORMS if form.sizes], ids=str)
def test_an_input_on_another_device_than_the_weights(form):
    module, x = form.make().to("meta"), form.input(1, 2)
    with pytest.raises(ValueError, match=rf"^{form.name}: argument input_tensor: .*meta.*cpu"):
        module(x if form.over_time else x[0])


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_an_input_that_is_no_floating_point_tensor(form):
    module, shape = form.make(), (1, 2, form.features)
    for wrong in (torch.ones(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.complex64), [1.0], None):
        with pytest.raises(TypeError, match=rf"^{form.name}: argument input_tensor: expects"):
            module(wrong)


@pytest.mark.parametrize("form", [form for form in FORMS if form.sizes], ids=str)
def test_an_input_with_another_number_of_features(form):
    module = form.make()
    x = torch.ones(1, 2, form.features + 5)
    with pytest.raises(ValueError, match=rf"^{form.name}: argument input_tensor: expects .*{form.features}.*, got "):
        module(x if form.over_time else x[0])


@pytest.mark.parametrize("form", RECURRENT, ids=str)
def test_weights_of_another_shape(form):
    wrong = torch.ones(NEURONS + 1, INPUTS)
    for name, shape in (("input_weights", [NEURONS, INPUTS]), ("recurrent_weights", [NEURONS, NEURONS])):
        message = rf"^{form.name}: argument {name}: expects shape {re.escape(str(shape))}, got \[5, 3\]"
        with pytest.raises(ValueError, match=message):
            form.make(**{name: wrong})


@pytest.mark.parametrize("form", [form for form in FORMS if "MC" in form.name], ids=str)
def test_a_coupling_of_another_shape(form):
    with pytest.raises(ValueError, match=rf"^{form.name}: argument g_coupling: expects shape \[4, 4\], got \[3, 3\]"):
        form.make(g_coupling=torch.ones(3, 3))


@pytest.mark.parametrize("form", [form for form in FORMS if form.sizes], ids=str)
def test_a_negative_size(form):
    kind = type(form.make())
    names = ("input_size", "hidden_size") if form.weighted else ("hidden_size",)
    for place, name in enumerate(names):
        sizes = [2] * len(names)
        sizes[place] = -3
        with pytest.raises(ValueError, match=rf"^{form.name}: argument {name}: expects at least 0, got -3"):
            kind(*sizes, form.model.parameters())


@pytest.mark.parametrize("form", [form for form in FORMS if form.sizes], ids=str)
def test_no_neurons_or_inputs_are_as_good_as_any_number(form):
    kind = type(form.make())
    module = kind(*(0 for _ in form.sizes), form.model.parameters())
    assert module(torch.ones(2, 3, 0))[0].shape[-1] == 0


@pytest.mark.parametrize("form", [form for form in FORMS if form.model.file != "izhikevich"], ids=str)
def test_parameters_that_are_none(form):
    kind, its_parameters = type(form.make()), type(form.model.parameters())
    for wrong in (None, 3, "p", {}, torch.ones(2), its_parameters):  # the last: a class whose brackets were forgotten
        with pytest.raises(TypeError, match=rf"^{form.name}: argument p: expects "):
            kind(*form.sizes, wrong)


def test_what_is_refused_leaves_the_module_as_it_was():
    layer, x = snn.LIF(), torch.ones(3, 2)
    before = layer(x)
    with pytest.raises(TypeError):
        layer(x, Stranger(x))
    with pytest.raises(ValueError, match="broadcasts"):
        layer(x, LIFFeedForwardState(torch.zeros(5), torch.zeros(5)))
    assert all(map(torch.equal, tensors(layer(x)), tensors(before)))
