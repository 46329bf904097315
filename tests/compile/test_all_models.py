"""Every neuron model of the library in every form: compiled whole, it gives eager's results and gradients.

`pytest tests/compile/test_all_models.py -k table -s` prints what is shown here as a table.
"""

import copy
from collections.abc import Callable

import pytest
import torch

import norse
from norse.backends.cpu import BUILDS

from ..torch.neurons import FORMS, Form
from .comparison import assert_native, observe
from .forms import assert_eagers_gradients, assert_eagers_results, assert_near, call_of, case, compare, rounds

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


def test_the_table_of_all_models_says_yes_everywhere(pytestconfig: pytest.Config) -> None:
    """What the first test asserts, told apart. Bits: of all results; spikes: and each tick's values within 4 ulp."""
    if pytestconfig.getoption("capture") != "no":
        pytest.skip("it repeats the first test, and prints a table: ask for it with -s")
    columns = (
        "forward equal",
        "gradient equal",
        "compiled fully",
        "builds for (T, B) = " + ", ".join(map(str, SHAPES)),
    )
    rows = [(form.model.file, form.name, *_row(form)) for form in FORMS]
    print("\n| model | form | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 2) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    assert all(answer.startswith("yes") for _, _, *answers, _ in rows for answer in answers)
    assert {built for *_, built in rows} == {"once"}


def _row(form: Form) -> tuple[str, ...]:
    """Forward, gradient, whole: in both dtypes. Kernels: how often anything was built, or looked for, anew."""
    forward, gradient, whole, builds = "yes, bits" if not rounds(form) else "yes, spikes", "yes", "yes", 0
    for dtype in (torch.float32, torch.float64):
        compiled = norse.compile(copy.deepcopy(case(form, dtype, *SHAPES[0])[0]))
        for index, shape in enumerate(SHAPES):
            module, x, state = case(form, dtype, *shape)
            before = BUILDS.compiled, BUILDS.found
            ours = observe(compiled, x, state, call_of(form))
            builds += index > 0 and before != (BUILDS.compiled, BUILDS.found)
            eager = observe(module, x, state, call_of(form))
            forward = _said(lambda ours=ours, eager=eager: assert_eagers_results(form, ours, eager), forward)
            gradient = _said(lambda ours=ours, eager=eager: assert_eagers_gradients(ours, eager), gradient)
        whole = _said(lambda compiled=compiled: assert_native(compiled), whole)
    return forward, gradient, whole, "once" if not builds else f"{builds} more"


def _said(check: Callable[[], None], answer: str) -> str:
    try:
        check()
    except AssertionError as error:
        return f"no: {str(error).splitlines()[0]}"
    return answer
