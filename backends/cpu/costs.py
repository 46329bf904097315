"""What synapses cost on this machine: measured once, and kept beside the kernels."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

import torch

from norse.backends.cpu.build import cache_directory, cpu, keep
from norse.backends.cpu.events import find_events, gather, outer

_BLOCK = 64  # neurons that an event adds to at a time


@dataclass(frozen=True)
class Costs:
    """In nanoseconds: of an event for a block of neurons in `gather` and in `outer`, of bringing a weight into their
    order, and of a dense multiplication."""

    gather: float
    outer: float
    weight: float
    dense: float

    def most_events(self, rows: int, inputs: int, neurons: int, *, forward: bool = True, learns: bool = False) -> int:
        """The number of events from which on dense products are cheaper. `learns`: the weight gets a gradient."""
        each = -(-neurons // _BLOCK) * (self.gather * forward + self.outer * learns)
        saved = inputs * neurons * (rows * self.dense - self.weight) * (forward + learns)
        return int(saved / each)


@cache
def costs() -> Costs:
    """Of this machine, on one thread: with more, all of them become cheaper alike."""
    key = hashlib.sha256(f"{cpu()} {torch.__version__}".encode()).hexdigest()[:16]
    path = cache_directory() / f"costs-{key}.json"
    if not path.exists():
        keep(path.name, json.dumps(asdict(_measured())).encode())
    return Costs(**json.loads(path.read_text()))


def _measured() -> Costs:
    rows, inputs, neurons = 512, 512, 512
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(rows, inputs, generator=generator) < 0.1).float()
    weight, grad = torch.randn(neurons, inputs, generator=generator), torch.randn(rows, neurons, generator=generator)
    events = find_events(x, rows * inputs)
    assert events is not None
    row = find_events(x[:1], inputs)
    assert row is not None
    blocks = events.index.numel() * neurons / _BLOCK
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Costs(
            _nanoseconds(lambda: gather(events, weight, None)) / blocks,
            _nanoseconds(lambda: outer(events, grad)) / blocks,
            _nanoseconds(lambda: gather(row, weight, None)) / (inputs * neurons),
            _nanoseconds(lambda: x @ weight.t()) / (rows * inputs * neurons),
        )
    finally:
        torch.set_num_threads(threads)


def _nanoseconds(work: Callable[[], object]) -> float:
    """Of the processor, and the least of a few runs: what else the machine does only adds to it."""
    times = []
    for _ in range(9):
        start = time.thread_time_ns()
        work()
        times.append(time.thread_time_ns() - start)
    return float(min(times))
