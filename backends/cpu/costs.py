"""What synapses cost on this machine: measured once, and kept beside the kernels."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from norse.backends.cpu.build import cache_directory, cpu, keep
from norse.backends.cpu.events import count_bits, find_events, gather, outer, product_where

_HERE = Path(__file__).parent
_BLOCK = 64  # neurons that an event adds to at a time
_LONG = 50_000_000  # nanoseconds, after which nothing is run again to measure it


@dataclass(frozen=True)
class Costs:
    """In nanoseconds: of an event for a block of neurons in `gather` and in `outer`, of bringing a weight into their
    order, of a dense multiplication, and of one in `product_where`."""

    gather: float
    outer: float
    weight: float
    dense: float
    single: float

    def most_events(self, rows: int, inputs: int, neurons: int, *, forward: bool = True, learns: bool = False) -> int:
        """The number of events from which on dense products are cheaper. `learns`: the weight gets a gradient."""
        each = -(-neurons // _BLOCK) * (self.gather * forward + self.outer * learns)
        saved = inputs * neurons * (rows * self.dense - self.weight) * (forward + learns)
        return int(saved / each)

    def most_wanted(self, values: int) -> int:
        """The number of a product's values from which on it is cheaper to compute them all."""
        return int(values * self.dense / self.single)


@cache
def costs() -> Costs:
    """Of this machine, on one thread: with more, all of them become cheaper alike."""
    return Costs(**kept("costs", lambda: asdict(_measured())))


def kept(name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured on this machine on one thread, or is now: of these very kernels, in this very way."""
    sources = "".join(file.read_text() for file in sorted(_HERE.glob("*costs.py")) + sorted(_HERE.glob("runtime/*")))
    key = hashlib.sha256(f"{cpu()} {torch.__version__} {sources}".encode()).hexdigest()[:16]
    path = cache_directory() / f"{name}-{key}.json"
    if not path.exists():
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            keep(path.name, json.dumps(measure()).encode())
        finally:
            torch.set_num_threads(threads)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _measured() -> Costs:
    rows, inputs, neurons = 512, 512, 512
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(rows, inputs, generator=generator) < 0.1).float()
    weight, grad = torch.randn(neurons, inputs, generator=generator), torch.randn(rows, neurons, generator=generator)
    events = find_events(x, rows * inputs)
    assert events is not None
    row = find_events(x[:1], inputs)
    assert row is not None
    wanted = torch.full((rows, inputs // 64), 0x0101010101010101)  # every eighth
    blocks = events.index.numel() * neurons / _BLOCK
    return Costs(
        nanoseconds(lambda: gather(events, weight, None)) / blocks,
        nanoseconds(lambda: outer(events, grad)) / blocks,
        nanoseconds(lambda: gather(row, weight, None)) / (inputs * neurons),
        nanoseconds(lambda: x @ weight.t()) / (rows * inputs * neurons),
        nanoseconds(lambda: product_where(wanted, grad, weight)) / (count_bits(wanted) * neurons),
    )


def nanoseconds(work: Callable[[], object]) -> float:
    """Of the processor, and the least of a few runs: what else the machine does only adds to it."""
    times: list[int] = []
    while len(times) < 2 or (len(times) < 9 and sum(times) < _LONG):
        start = time.thread_time_ns()
        work()
        times.append(time.thread_time_ns() - start)
    return float(min(times))
