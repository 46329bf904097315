"""How the driver and a library's process talk: a line of JSON each way. The process builds a workload and runs it.

Commands: {"do": "build", "workload": ..., "options": ...} gives firing rates and gains; "first" the seconds of the
first call, what is compiled included; {"do": "run", "repeats": n} the seconds of n calls; "memory" the most memory that
a call needs beside what importing the library did; "gradients" their norms. Whatever fails gives {"error": ...}.
"""

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from benchmarks.workloads import RATE, Workload


class Program(Protocol):
    """A workload as one library computes it."""

    def rates(self, samples: int | None) -> list[float]:
        """The firing rate of each spiking layer, for the first samples of the input or all."""

    def scale(self, layer: int, gain: float) -> None:
        """Multiplies the weights in front of the spiking layer with this number by gain."""

    def step(self) -> None:
        """What is measured: one forward pass, and a backward pass in the mode "train"."""

    def gradient_norms(self) -> list[float]:
        """Of each weight, after a step; empty where none are computed."""


Build = Callable[[Workload, dict[str, Any]], Program]


def calibrated(program: Program, samples: int = 8, tries: int = 24) -> list[float]:
    """Finds, layer after layer, the gains at which the neurons fire at RATE, within a tenth of it."""
    gains = []
    for layer in range(len(program.rates(samples))):
        gain, low, high = 1.0, 0.0, float("inf")
        for _ in range(tries):
            program.scale(layer, gain)
            rate = program.rates(samples)[layer]
            if abs(rate - RATE) < 0.1 * RATE:
                break
            if rate < RATE:
                low = gain
            else:
                high = gain
            gain = low * 2 if high == float("inf") else high / 2 if low == 0 else (low * high) ** 0.5
        gains.append(gain)
    return gains


def seconds_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def memory_kib(field: str) -> int | None:
    """VmRSS or VmHWM of this process; None where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), None)


def peak_of(call: Callable[[], Any], before: int | None) -> int | None:
    """The bytes that the process holds at most during a call, above the KiB that it held before."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later isn't needed by the call
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    except (OSError, AttributeError):
        return None
    call()
    peak = memory_kib("VmHWM")
    return None if peak is None or before is None else (peak - before) * 1024


class Session:
    """Answers commands, one after the other."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self.program: Program | None = None
        self.memory_before = memory_kib("VmRSS")

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "build":
            self.program = self.build(Workload.from_json(command["workload"]), command["options"])
            gains = calibrated(self.program)
            return {"gains": gains, "rates": self.program.rates(None)}
        if self.program is None:
            raise RuntimeError("nothing was built")
        step = self.program.step
        if command["do"] == "first":
            return {"seconds": seconds_of(step)}
        if command["do"] == "run":
            gc.collect()
            gc.disable()
            try:
                return {"seconds": [seconds_of(step) for _ in range(command["repeats"])]}
            finally:
                gc.enable()
        if command["do"] == "memory":
            return {"bytes": peak_of(step, self.memory_before)}
        if command["do"] == "gradients":
            return {"norms": self.program.gradient_norms()}
        raise ValueError(f"no such command: {command['do']}")


def restrict_threads() -> None:
    """Binds this process to as many cores as BENCH_THREADS says: what counts the cores itself obeys too."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: int(os.environ.get("BENCH_THREADS", len(cores)))])


def serve(build: Build, versions: dict[str, str]) -> None:
    """Reads commands until there are no more. What a library prints goes to the error stream instead of in between."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    session = Session(build)
    print(json.dumps({"versions": versions}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            answer = session.answer(json.loads(line))
        except Exception as error:  # a traceback would show another library's source text
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)
