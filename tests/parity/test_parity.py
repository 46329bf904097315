"""Ours against the published Norse 1.1.0, both as black boxes: the same inputs and weights give the same results.

Four differences are known, and are ours by intent:
- The published SuperSpike ignores its sharpness alpha in the backward pass: compared at alpha = 1.
- The published IAF starts from its parameter v_reset itself, which so gets the starting state's gradient as well.
- Published layers and recurrent cells start with v = v_leak in float32, in float64 too: the v_leak here is exact in
  both, and its gradient, of which float32 rounds the first tick's part, is compared less sharply.
- The published heavi_erfc takes √π in float32, in float64 too: compared in float32.
"""

from collections.abc import Callable

import numpy as np
import pytest

from .agreement import GRADIENTS_ALIKE, STATES_ALIKE, V_LEAK_GRADIENTS_ALIKE, compare_spikes, largest_difference
from .black_box import checked, observe_published, skip_without
from .experiments import ALPHA, BACKWARD, FORWARD, RUNS, SHARP, Experiment, inputs, observe_ours
from .models import MODELS
from .observation import Arrays
from .report import Comparison

skip_without()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Experiment], Arrays]:
    """Norse 1.1.0: what it gives for an experiment."""
    runs = {
        experiment: inputs(experiment) | {"name": np.array(experiment.model)}
        for experiment in {*FORWARD, *BACKWARD, SHARP}
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
    alike = {name: GRADIENTS_ALIKE[experiment.dtype] for name in names}
    alike |= {"gradient.v_leak": V_LEAK_GRADIENTS_ALIKE[experiment.dtype]}
    assert not {name: difference for name, difference in differences.items() if not difference <= alike[name]}


def test_the_published_super_spike_ignores_its_sharpness_and_ours_does_not(
    published: Callable[[Experiment], Arrays],
) -> None:
    blunt = SHARP._replace(alpha=ALPHA["super"])
    np.testing.assert_array_equal(published(SHARP)["gradient.x"], published(blunt)["gradient.x"])
    ours = observe_ours(SHARP, "eager")["gradient.x"], observe_ours(blunt, "eager")["gradient.x"]
    assert largest_difference(*ours) > 0.1


@pytest.mark.parametrize("model", ["IAF", "IAFCell"])
def test_the_published_reset_potential_of_iaf_gets_the_gradient_of_its_starting_state_as_well(
    model: str, published: Callable[[Experiment], Arrays]
) -> None:
    ours, theirs = observe_ours(Experiment(model), "eager"), published(Experiment(model))
    start = ours["gradient.x"][0].sum()  # u = v + x, so that the first v has the first input's gradient
    assert theirs["gradient.v_reset"] == pytest.approx(ours["gradient.v_reset"] + start, rel=1e-10)
