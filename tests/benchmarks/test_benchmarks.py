"""The benchmark's processes and its report, with a tiny network."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))  # at its end, as the repository's folders aren't packages there
from benchmarks.contestants import COMPILED, CONTESTANTS, EAGER, Contestant
from benchmarks.limits import required
from benchmarks.measure import Effort, Result, measure
from benchmarks.process import Failure, Process
from benchmarks.report import write
from benchmarks.workloads import LIF, Layer, Workload, one_layer

TINY = Workload(
    "tiny",
    "20 -> 30 recurrent -> 10",
    (Layer("recurrent", 20, 30), Layer("linear", 30, 10), LIF),
    ticks=40,
    batch=4,
    inputs=(20,),
    density=0.1,
)
OURS = next(each for each in CONTESTANTS if each.name == EAGER)


def test_a_contestant_is_measured_at_the_firing_rate_that_all_have() -> None:
    said: list[str] = []
    (result,), versions = measure(TINY, [OURS], 1, Effort(rounds=2, turn=0.01), said.append)
    assert result.error is None
    assert len(result.seconds) >= 2 and min(result.seconds) > 0
    assert result.rates == pytest.approx([0.05, 0.05], rel=0.25)
    assert len(result.gradient_norms) == 3 and min(result.gradient_norms) > 0
    assert "norse" in versions[EAGER]


def test_a_contestant_that_is_missing_fails_with_a_reason() -> None:
    with pytest.raises(Failure, match="No such file"):
        Process(Contestant("none", "None", "run_norse.py", ".venv-of-nobody"), 1, "")


def test_the_input_is_as_dense_as_it_says_and_the_same_every_time() -> None:
    spikes = one_layer("some", 64, 100, 8, 0.05).spikes()
    assert spikes.mean() == pytest.approx(0.05, rel=0.05)
    assert np.array_equal(spikes, one_layer("some", 64, 100, 8, 0.05).spikes())


def test_a_workload_survives_json() -> None:
    assert Workload.from_json(TINY.as_json()) == TINY


def test_required_work_counts_active_synapses_twice_in_training() -> None:
    work = required(one_layer("one", 512, 500, 16, 0.02), [0.05])
    assert work.flops == pytest.approx(2 * (2 * 0.02 * 500 * 16 * 512 * 512))
    spikes, floats, weights = 500 * 16 * 512, 4 * 500 * 16 * 512, 4 * 512 * 512
    assert work.bytes == pytest.approx(2 * spikes + 2 * floats + 2 * floats + 3 * weights)


def test_the_report_names_the_fastest_and_what_failed() -> None:
    results = [
        Result("tiny", COMPILED, 1, [0.001, 0.002, 0.003], 1.5, 2**20, [0.05, 0.05]),
        Result("tiny", EAGER, 1, [0.01], 0.1, 2**20, [0.05, 0.05]),
        Result("tiny", "jax", 1, [0.004], 0.5, 2**20, [0.05, 0.05]),
        Result("tiny", "sinabs", 1, [], error="no reason"),
    ]
    text = write(
        {
            "machine": {"cpu": "a processor", "system": "Linux", "python": "3.11", "date": "2026-01-01"},
            "left_out": {"snntorch": "python is missing"},
            "versions": {"jax": {"jax": "0"}},
            "limits": {"1": {"gemm": 1e9, "copy": 1e9}},
            "workloads": {"tiny": TINY.as_json()},
            "results": {"table": [result.as_json() for result in results]},
        }
    )
    assert "| **2** (1.5 to 2.5) | 10 (10 to 10) | 4 (4 to 4) |" in text
    assert "| tiny | JAX scan | 2.00 | 5.00 |" in text
    assert "Sinabs failed at tiny, threads: 1: no reason" in text
    assert "snnTorch is left out: python is missing" in text
