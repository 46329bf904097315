"""Ours against the published Norse 1.1.0, both as black boxes: the same inputs and weights give the same results.

Four differences are known, and are ours by intent:
- The published SuperSpike ignores its sharpness alpha in the backward pass: compared at alpha = 1.
- The published IAF starts from its parameter v_reset itself, which so gets the starting state's gradient as well.
- Published layers and recurrent cells start with v = v_leak in float32, in float64 too: the v_leak here is exact in
  both, and its gradient, of which float32 rounds the first tick's part, is compared less sharply.
- The published heavi_erfc takes √π in float32, in float64 too: compared in float32.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import norse

from .black_box import observe_published, why_missing
from .models import BATCH, MODELS, Arrays, Model, observe, values_of

if reason := why_missing():
    pytest.skip(reason, allow_module_level=True)

SEED = 1  # with it every model spikes, and no gradient is a small difference of large sums
TICKS = 200
NEURON = {"tau_syn_inv": 180.0, "tau_mem_inv": 90.0, "v_leak": 0.0625, "v_th": 0.8, "v_reset": -0.125}
ALPHA = {"tanh": 2.0, "super": 1.0, "triangle": 0.5, "circ": 1.5, "heavi_erfc": 1.5}

NEAR_THRESHOLD = 1e-5  # so close to its threshold, rounding decides whether a neuron spikes
STATES_ALIKE = {"float32": 1e-6, "float64": 1e-13}  # difference / largest value
GRADIENTS_ALIKE = {"float32": 1e-4, "float64": 1e-10}
V_LEAK_GRADIENTS_ALIKE = {"float32": 1e-4, "float64": 1e-7}
OTHER_GRADIENTS = {"IAF": {"gradient.v_reset"}, "IAFCell": {"gradient.v_reset"}}  # tested by itself, below

OURS: dict[str, Callable[[torch.nn.Module], torch.nn.Module]] = {
    "eager": lambda module: module,
    "compiled": norse.compile,
}


class Experiment(NamedTuple):
    """What both libraries do alike."""

    model: str
    dtype: str = "float64"
    method: str = "tanh"
    alpha: float = ALPHA["tanh"]

    def __str__(self) -> str:
        return f"{self.model}, {self.dtype}, {self.method}"


SPIKING = [name for name, model in MODELS.items() if model.potential]
FORWARD = [Experiment(name, dtype) for name in MODELS for dtype in ("float32", "float64")]
BACKWARD = [
    *FORWARD,
    *(Experiment(name, method="super", alpha=ALPHA["super"]) for name in SPIKING),
    *(Experiment("LIF", method=method, alpha=ALPHA[method]) for method in ("triangle", "circ")),
    Experiment("LIF", "float32", "heavi_erfc", ALPHA["heavi_erfc"]),
]
SHARP = Experiment("LIF", method="super", alpha=100.0)

each_of_ours = pytest.mark.parametrize("ours", OURS)


@cache
def inputs(experiment: Experiment) -> Arrays:
    """Random input and weights of a model, its parameters, and what to call it."""
    model, random = MODELS[experiment.model], np.random.default_rng([SEED, list(MODELS).index(experiment.model)])
    numbers = {
        "x": random.normal(*model.drive, (TICKS, BATCH, *model.shape)),
        **{name: random.normal(0, math.prod(shape[1:]) ** -0.5, shape) for name, shape in model.weights.items()},
        **NEURON,
        "alpha": experiment.alpha,
    }
    arrays = {name: np.asarray(number, experiment.dtype) for name, number in numbers.items()}
    return arrays | {"method": np.array(experiment.method)}


@cache
def observe_ours(experiment: Experiment, ours: str) -> Arrays:
    model, values = MODELS[experiment.model], values_of(inputs(experiment))
    return observe(model, OURS[ours](model.build(values)), values)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Experiment], Arrays]:
    """Norse 1.1.0: what it gives for an experiment."""
    runs = {experiment: inputs(experiment) | {"model": np.array(experiment.model)} for experiment in [*BACKWARD, SHARP]}
    observations = observe_published(tmp_path_factory.mktemp("parity"), runs)

    def observed(experiment: Experiment) -> Arrays:
        if "error" in observations[experiment]:
            pytest.fail(f"norse 1.1.0 raises {observations[experiment]['error']}")
        return observations[experiment]

    return observed


def spikes_of(model: Model, seen: Arrays) -> np.ndarray:
    """Spikes as booleans, [T, B, ...]; a chain hides them, but its potentials stand on the reset value then."""
    if model.spikes is None:
        return seen[str(model.potential)] == NEURON["v_reset"]
    return np.greater(seen[model.spikes], 0)


class Spikes(NamedTuple):
    """Where both spike.

    Args:
        rate: the share of neurons and ticks that spike.
        differing: how many spikes one has and the other has not.
        near: how many potentials that didn't spike stand next to their threshold.
        alike: in which ticks a sample is still to be compared, [T, B]: before a first spike differs.
    """

    rate: float
    differing: int
    near: int
    alike: np.ndarray


def compare_spikes(experiment: Experiment, a: Arrays, b: Arrays) -> Spikes:
    """Counts differing spikes, of which each sample's first must have rounding as its reason."""
    model = MODELS[experiment.model]
    if model.potential is None:
        return Spikes(0.0, 0, 0, np.ones((TICKS, BATCH), dtype=bool))
    in_a, in_b = spikes_of(model, a), spikes_of(model, b)
    differ = in_a != in_b
    silent = np.where(
        in_a, b[model.potential], a[model.potential]
    )  # the reset hides the potential of the one that spiked
    near = ~(in_a & in_b) & (abs(silent - NEURON["v_th"]) < NEAR_THRESHOLD)
    differed = np.logical_or.accumulate(differ.any(axis=tuple(range(2, differ.ndim))), axis=0)
    first = differed & ~np.concatenate([np.zeros_like(differed[:1]), differed[:-1]])
    assert not (differ & ~near)[first].any(), "a spike differs whose potential is not next to its threshold"
    return Spikes(float(in_b.mean()), int(differ.sum()), int(near.sum()), ~differed)


def largest_difference(a: np.ndarray, b: np.ndarray, where: Any = ...) -> float:
    """Relative to the largest value in b."""
    a, b = np.broadcast_arrays(a, b)
    return float(abs(a[where] - b[where]).max() / (abs(b).max() or 1))


def amount(difference: float) -> str:
    return f"{difference:.1e}" if difference else "equal"


@each_of_ours
@pytest.mark.parametrize("experiment", FORWARD, ids=str)
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
    record_property(
        f"parity: {experiment}, {ours}",
        f"{spikes.rate:.1%} spikes, {spikes.differing} differ, {spikes.near} potentials near the threshold, "
        f"states {amount(max(differences.values()))}",
    )
    alike = STATES_ALIKE[experiment.dtype]
    assert not {name: difference for name, difference in differences.items() if not difference <= alike}


@each_of_ours
@pytest.mark.parametrize("experiment", BACKWARD, ids=str)
def test_gradients_are_alike(
    experiment: Experiment,
    ours: str,
    published: Callable[[Experiment], Arrays],
    record_property: Callable[[str, object], None],
) -> None:
    a, b = observe_ours(experiment, ours), published(experiment)
    if compare_spikes(experiment, a, b).differing:
        pytest.skip("a spike on its threshold differs, and all gradients with it")
    names = {name for name in b if name.startswith("gradient.")} - OTHER_GRADIENTS.get(experiment.model, set())
    assert len(names) >= 2
    assert all(b[name].any() for name in names)
    differences = {name: largest_difference(a[name], b[name]) for name in names}
    record_property(f"parity: {experiment}, {ours}", f"gradients {amount(max(differences.values()))}")
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
