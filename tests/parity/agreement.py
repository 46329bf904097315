"""When both agree: how far states and gradients may differ, and where a spike may."""

from typing import Any, NamedTuple

import numpy as np

from .experiments import TICKS, Experiment, inputs
from .models import MODELS
from .observation import Arrays

NEAR_THRESHOLD = 1e-5  # so close to its threshold, rounding decides whether a neuron spikes
STATES_ALIKE = {"float32": 1e-6, "float64": 1e-13}  # difference / largest value
GRADIENTS_ALIKE = {"float32": 1e-4, "float64": 1e-10}
PARAMETERS_ALIKE = {"float32": 1e-3, "float64": 1e-9}  # their gradients sum over neurons and ticks, and much cancels
V_LEAK_ALIKE = {"float32": 1e-3, "float64": 1e-7}  # 1.1.0 computes the first tick's part in float32


def spikes_of(experiment: Experiment, seen: Arrays) -> np.ndarray:
    """Spikes as booleans, [T, B, ...]; a chain hides them, but its potentials stand on the reset value then."""
    model = MODELS[experiment.model]
    if model.spikes is None:
        return potential_of(experiment, seen) == model.neuron["v_reset"]
    return np.greater(seen[model.spikes], 0)


def potential_of(experiment: Experiment, seen: Arrays) -> np.ndarray:
    """Membrane potentials that met the threshold, of the neurons that didn't spike, [T, B, ...]."""
    potential = MODELS[experiment.model].potential
    return potential(seen, inputs(experiment)) if callable(potential) else seen[str(potential)]


class Spikes(NamedTuple):
    """Where both spike.

    Args:
        count: how many there are.
        rate: the share of neurons and ticks that spike.
        differing: how many spikes one has and the other has not.
        near: how many potentials that didn't spike stand next to their threshold.
        alike: in which ticks a sample is still to be compared, [T, B]: before a first spike differs.
    """

    count: int
    rate: float
    differing: int
    near: int
    alike: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """What the report adds up."""
        if not self.count:
            return {}
        return {"spikes": self.count, "differing": self.differing, "near": self.near}


def compare_spikes(experiment: Experiment, a: Arrays, b: Arrays) -> Spikes:
    """Counts differing spikes, of which each sample's first must have rounding as its reason."""
    model = MODELS[experiment.model]
    if model.potential is None:
        return Spikes(0, 0.0, 0, 0, np.ones((TICKS, model.batch), dtype=bool))
    in_a, in_b = spikes_of(experiment, a), spikes_of(experiment, b)
    differ = in_a != in_b
    # The reset hides the potential of the one that spiked.
    silent = np.where(in_a, potential_of(experiment, b), potential_of(experiment, a))
    threshold = (
        np.where(in_a, b[model.threshold], a[model.threshold])
        if model.threshold in a
        else model.neuron[model.threshold]
    )
    near = ~(in_a & in_b) & (abs(silent - threshold) < NEAR_THRESHOLD * np.maximum(1, abs(threshold)))
    differed = np.logical_or.accumulate(differ.any(axis=tuple(range(2, differ.ndim))), axis=0)
    first = differed & ~np.concatenate([np.zeros_like(differed[:1]), differed[:-1]])
    assert not (differ & ~near)[first].any(), "a spike differs whose potential is not next to its threshold"
    return Spikes(int(in_b.sum()), float(in_b.mean()), int(differ.sum()), int(near.sum()), ~differed)


def largest_difference(a: np.ndarray, b: np.ndarray, where: Any = ...) -> float:
    """Relative to the largest value in b."""
    a, b = np.broadcast_arrays(a, b)
    return float(abs(a[where] - b[where]).max() / (abs(b).max() or 1))
