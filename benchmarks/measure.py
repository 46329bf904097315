"""Measures a workload: all contestants in one run, taking turns."""

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.contestants import COPY, GEMM, ONEDNN, Contestant
from benchmarks.process import Failure, Process
from benchmarks.workloads import Workload

Say = Callable[[str], None]


@dataclass
class Result:
    """What one contestant did with one workload; seconds are those of a pass, in the mode "tick" of a tick."""

    workload: str
    contestant: str
    threads: int
    seconds: list[float]
    first_call: float | None = None
    peak_bytes: int | None = None
    rates: Sequence[float] = ()
    gains: Sequence[float] = ()
    gradient_norms: Sequence[float] = ()
    error: str | None = None

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = np.percentile(self.seconds, [25, 75])
        return float(low), float(high)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, in each of which a contestant repeats its work for about `turn` seconds."""

    rounds: int = 7
    turn: float = 0.3
    most: int = 50

    def repeats(self, seconds: float) -> int:
        return max(1, min(self.most, int(self.turn / max(seconds, 1e-6))))


def measure(
    workload: Workload, contestants: Sequence[Contestant], threads: int, effort: Effort, say: Say
) -> tuple[list[Result], dict[str, dict[str, str]]]:
    """Runs a workload by all contestants, in turns, so that what else the machine does hits all of them.

    Returns:
        A result for each contestant, and the versions of the libraries that took part.
    """
    versions: dict[str, dict[str, str]] = {}
    with contextlib.ExitStack() as closing:
        taking_part: list[tuple[Process, Result, int]] = []
        failed = []
        for contestant in contestants:
            cache = closing.enter_context(tempfile.TemporaryDirectory())
            result = Result(workload.name, contestant.name, threads, [])
            try:
                process = closing.enter_context(Process(contestant, threads, cache))
                versions[contestant.name] = process.versions
                taking_part.append((process, result, started(process, result, workload, effort)))
            except Failure as failure:
                result.error = str(failure)
                failed.append(result)
                say(f"  {contestant.title}: {failure}")
        for number in range(effort.rounds):
            start = number % max(1, len(taking_part))
            for process, result, repeats in taking_part[start:] + taking_part[:start]:
                if result.error is None:
                    turn(process, result, repeats, workload)
        for process, result, _ in taking_part:
            if result.error is None:
                result.peak_bytes = process.ask("memory")["bytes"]
            say(f"  {process.contestant.title}: {summary(result, workload)}")
    return [result for _, result, _ in taking_part] + failed, versions


def started(process: Process, result: Result, workload: Workload, effort: Effort) -> int:
    """Builds, warms up and finds how often a turn repeats the work."""
    built = process.ask("build", workload=workload.as_json(), options=process.contestant.options)
    result.rates, result.gains = built["rates"], built["gains"]
    result.first_call = process.ask("first")["seconds"]
    warm = process.ask("run", repeats=2)["seconds"]
    result.gradient_norms = process.ask("gradients")["norms"]
    return effort.repeats(min(warm))


def turn(process: Process, result: Result, repeats: int, workload: Workload) -> None:
    calls = workload.ticks if workload.mode == "tick" else 1
    try:
        result.seconds += [seconds / calls for seconds in process.ask("run", repeats=repeats)["seconds"]]
    except Failure as failure:
        result.error = str(failure)


def summary(result: Result, workload: Workload) -> str:
    if result.error is not None:
        return result.error
    low, high = result.quartiles
    rates = " ".join(f"{100 * rate:.1f}" for rate in result.rates) or "-"
    return f"{1e3 * result.median:.3f} ms ({1e3 * low:.3f} to {1e3 * high:.3f}), firing {rates} %"


def machine(threads: int, effort: Effort) -> dict[str, float]:
    """The ceilings: floating point operations per second, by the BLAS and by oneDNN, and bytes per second."""
    nothing = Workload("machine", "", (), 1, 1, (1,), 0.0)
    results, _ = measure(nothing, (GEMM, ONEDNN, COPY), threads, effort, say=lambda line: None)
    seconds = {result.contestant: min(result.seconds) for result in results if result.seconds}
    # Their sizes: benchmarks/peers/run_machine.py.
    work = {GEMM.name: 2 * 1024**3, ONEDNN.name: 2 * 1024**3, COPY.name: 2 * 4 * (1 << 26)}
    return {name: work[name] / seconds[name] for name in seconds}
