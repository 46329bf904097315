"""Whether threads share a sample's neurons: where they have nothing else to do, and where it was found to be faster."""

import os
from dataclasses import dataclass
from functools import cache
from math import inf

from norse.backends.cpu.threads import gomp_parallel, gomp_size

# Neurons that a thread needs at least to share them with others, where it reads their spikes, or gradients; with fewer
# it is not even worth a try. Measured, a tick of a recurrent LIF layer (5 % active, batch 1) on one thread and on two
# whose processors exchange a cache line in 0.04 us there and back (0.2 us), us:
#   forward   N = 256: 0.30 and 0.36 (1.0), 384: 0.62 and 0.52, 512: 0.99 and 0.75 (1.2), 1000: 3.7 and 2.3 (4.8)
#   backward  N = 128: 0.87 and 0.66, 256: 2.8 and 2.0 (3.0), 512: 12.9 and 8.0 (9.9)
_SPIKES_EACH, _GRADIENTS_EACH = 256, 128
_WORTH_SHARING = 1.25  # times as long as with all threads at work: what threads with samples of their own may take
_TRIED = 4  # runs, one way and the other in turn, before there is a choice
_AGAIN = 16  # times what the slower way takes, until it is tried again: it then costs a sixteenth at most


def team_for(samples: int, neurons: int, threads: int, *, gradients: bool) -> int:
    """How many threads may share the neurons of all samples; 1 where each rather takes samples of its own.

    `threads`: as many as the work is worth. `gradients`: what neurons read of each other is not spikes, but nearly
    everywhere something.
    """
    if threads == 1 or not (gomp_parallel() is None or gomp_size()):
        return 1
    members = min(threads, _processors(), neurons // (_GRADIENTS_EACH if gradients else _SPIKES_EACH))
    idle = -(-samples // threads) * members >= _WORTH_SHARING * samples
    return members if idle and members > 1 else 1


@cache
def _processors() -> int:
    """More members than these would wait for each other at every tick. Not those that the calling thread may use: where
    OpenMP binds threads (OMP_PROC_BIND), that's a single one."""
    return os.cpu_count() or 1


@dataclass
class Pace:
    """Of a kernel with some sizes: the seconds that a tick took of late, one way and the other.

    Threads that meet at every tick depend on what no table knows: how far apart their processors are, and whether other
    processes use them too. Then each meeting may take as long as the system lets the other process run.
    """

    alone: float = inf
    shared: float = inf
    runs: int = 0
    since: float = 0.0  # seconds of the faster way, since the slower was tried

    def shares(self, ticks: int) -> bool:
        """Whether the next run is one of threads that share neurons."""
        if self.runs < _TRIED:
            return self.runs % 2 == 1
        slower = max(self.alone, self.shared) * ticks
        return (self.shared < self.alone) != (self.since >= _AGAIN * slower)

    def note(self, shared: bool, seconds: float, ticks: int) -> None:
        """A run took so long."""
        self.runs += 1
        again = self.runs <= _TRIED or shared != (self.shared < self.alone)
        self.since = 0.0 if again else self.since + seconds
        if shared:
            self.shared = _of_late(self.shared, seconds / ticks)
        else:
            self.alone = _of_late(self.alone, seconds / ticks)


def _of_late(before: float, now: float) -> float:
    """What else the machine does makes a run longer by chance, and never shorter."""
    return now if now < before else before + (now - before) / 4
