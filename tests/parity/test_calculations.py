"""Ours against the published Norse 1.1.0: functions, and modules without a state, give the same results."""

import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from .agreement import GRADIENTS_ALIKE, STATES_ALIKE, largest_difference
from .black_box import checked, observe_published, skip_without
from .calculation import observe
from .calculations import CALCULATIONS
from .observation import Arrays, values_of
from .report import Comparison

skip_without()

Case = tuple[str, str]  # a calculation's name and its dtype
CASES = [(name, dtype) for name, calculation in CALCULATIONS.items() for dtype in calculation.dtypes]


@cache
def inputs(case: Case) -> Arrays:
    name, dtype = case
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return {key: np.asarray(draw(random), dtype) for key, draw in CALCULATIONS[name].inputs.items()}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Arrays]:
    """Norse 1.1.0: what it calculates."""
    runs = {case: inputs(case) | {"name": np.array(case[0])} for case in CASES}
    observations = observe_published(tmp_path_factory.mktemp("calculations"), runs)
    return lambda case: checked(observations[case])


@pytest.mark.parametrize("case", CASES, ids=", ".join)
def test_results_and_gradients_are_alike(
    case: Case, published: Callable[[Case], Arrays], record_property: Callable[[str, object], None]
) -> None:
    calculation, dtype = CALCULATIONS[case[0]], case[1]
    a, b = observe(calculation, calculation.compute, values_of(inputs(case))), published(case)
    assert list(a) == list(b)
    assert [(a[name].dtype, a[name].shape) for name in b] == [(b[name].dtype, b[name].shape) for name in b]
    assert any(value.any() for value in b.values())
    differences = {name: largest_difference(a[name], b[name]) for name in b}
    gradients = [difference for name, difference in differences.items() if name.startswith("gradient.")]
    states = max(difference for name, difference in differences.items() if not name.startswith("gradient."))
    record_property("parity", Comparison(case[0], dtype, states=states, gradients=max(gradients, default=None)))
    alike = {name: (GRADIENTS_ALIKE if name.startswith("gradient.") else STATES_ALIKE)[dtype] for name in b}
    assert not {name: difference for name, difference in differences.items() if not difference <= alike[name]}
    assert bool(gradients) == calculation.backward
