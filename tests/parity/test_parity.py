"""Ours against the published Norse 1.1.0, both as black boxes: the same inputs and weights give the same results.

Where 1.1.0 differs by intent, `test_differences.py` shows it, and here it is kept out of the way: SuperSpike is
compared with the sharpness 1, erfc in float32, and v_leak is exact in float32, in which 1.1.0 starts. What is left is
told by `Model.ungraded` and `Model.dtypes`.
"""

from collections.abc import Callable

import numpy as np
import pytest

from .agreement import GRADIENTS_ALIKE, PARAMETERS_ALIKE, STATES_ALIKE, V_LEAK_ALIKE, compare_spikes, largest_difference
from .black_box import checked, observe_published, skip_without
from .experiments import BACKWARD, FORWARD, RUNS, Experiment, inputs, observe_ours
from .models import MODELS
from .observation import Arrays
from .report import Comparison

skip_without()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Experiment], Arrays]:
    """Norse 1.1.0: what it gives for an experiment."""
    runs = {
        experiment: inputs(experiment) | {"name": np.array(experiment.model)} for experiment in {*FORWARD, *BACKWARD}
    }
    observations = observe_published(tmp_path_factory.mktemp("parity"), runs)
    return lambda experiment: checked(observations[experiment])


@pytest.mark.parametrize(("experiment", "ours"), RUNS["forward"], ids=str)
def test_spikes_and_states_are_alike(
    experiment: Experiment,
    ours: str,
    published: Callable[[Experiment], Arrays],
    record_property: Callable[[str, object], None],
) -> None:
    a, b = observe_ours(experiment, ours), published(experiment)
    spikes = compare_spikes(experiment, a, b)
    if MODELS[experiment.model].potential:
        assert 0.005 < spikes.rate < 0.5, "too few spikes or too many to tell"
    assert spikes.alike.mean() > 0.9
    names = [name for name in b if not name.startswith("gradient.")]
    assert names == [name for name in a if not name.startswith("gradient.")]
    assert [(a[name].dtype, a[name].shape) for name in names] == [(b[name].dtype, b[name].shape) for name in names]
    differences = {
        name: largest_difference(a[name], b[name], spikes.alike[-1] if name.startswith("last.") else spikes.alike)
        for name in names
    }
    compared = Comparison(experiment.model, experiment.dtype, states=max(differences.values()), **spikes.counts)
    record_property("parity", compared)
    alike = STATES_ALIKE[experiment.dtype]
    assert not {name: difference for name, difference in differences.items() if not difference <= alike}


@pytest.mark.parametrize(("experiment", "ours"), RUNS["backward"], ids=str)
def test_gradients_are_alike(
    experiment: Experiment,
    ours: str,
    published: Callable[[Experiment], Arrays],
    record_property: Callable[[str, object], None],
) -> None:
    a, b = observe_ours(experiment, ours), published(experiment)
    if compare_spikes(experiment, a, b).differing:
        pytest.skip("a spike on its threshold differs, and all gradients with it")
    model = MODELS[experiment.model]
    names = {name for name in b if name.startswith("gradient.")} - model.ungraded
    assert names == {name for name in a if name.startswith("gradient.")} - model.ungraded
    assert names
    assert all(b[name].any() for name in names)
    differences = {name: largest_difference(a[name], b[name]) for name in names}
    record_property("parity", Comparison(experiment.model, experiment.dtype, gradients=max(differences.values())))
    alike = {name: (GRADIENTS_ALIKE if b[name].ndim else PARAMETERS_ALIKE)[experiment.dtype] for name in names}
    alike |= {"gradient.v_leak": V_LEAK_ALIKE[experiment.dtype]}
    assert not {name: difference for name, difference in differences.items() if not difference <= alike[name]}


@pytest.mark.parametrize("model", ["IAF", "IAFCell"])
def test_the_published_reset_potential_of_iaf_gets_the_gradient_of_its_starting_state_as_well(
    model: str, published: Callable[[Experiment], Arrays]
) -> None:
    ours, theirs = observe_ours(Experiment(model), "eager"), published(Experiment(model))
    start = ours["gradient.x"][0].sum()  # u = v + x, so that the first v has the first input's gradient
    assert theirs["gradient.v_reset"] == pytest.approx(ours["gradient.v_reset"] + start, rel=1e-10)
