"""Every neuron model of the library in every form: compiled whole, it gives eager's results and gradients."""

import copy

import pytest
import torch

import norse
from norse.backends.cpu import BUILDS

from ..torch.neurons import FORMS, Form
from .comparison import assert_native, observe
from .forms import assert_near, call_of, case, compare, rounds

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
EVERY_FORM = pytest.mark.parametrize("form", FORMS, ids=str)
SHAPES = [(14, 3), (6, 1), (9, 17)]  # T and B: only the first may build


@DTYPES
@EVERY_FORM
def test_it_gives_eagers_results_and_gradients_at_every_length_and_batch(form: Form, dtype: torch.dtype) -> None:
    module, x, state = case(form, dtype, *SHAPES[0])
    compiled = norse.compile(copy.deepcopy(module), fullgraph=True)
    compare(form, compiled, module, x, state)
    built = BUILDS.compiled, BUILDS.found
    for shape in SHAPES[1:]:
        compare(form, compiled, *case(form, dtype, *shape))
    if rounds(form) and form.over_time:
        for t, tick in enumerate(x.split(1)):
            eager = observe(copy.deepcopy(module), tick, state)
            assert_near(observe(compiled, tick, state), eager, f"tick {t}")
            state = eager.results[1]
    assert (BUILDS.compiled, BUILDS.found) == built, "a kernel was built, or looked for, again"
    assert_native(compiled)


@EVERY_FORM
def test_neurons_spike_and_are_silent_in_these_cases(form: Form) -> None:
    """So that the others show something."""
    module, x, state = case(form, torch.float64, *SHAPES[2])
    with torch.no_grad():
        outputs = call_of(form)(module, x, state)[0]
    if form.model.spikes:
        assert set(outputs.unique().tolist()) == {0.0, 1.0}
    else:
        assert outputs.unique().numel() > outputs.numel() // 2
