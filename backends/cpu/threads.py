"""The threads that kernels run on: torch's own."""

import ctypes
import os
from time import monotonic
from functools import cache
from pathlib import Path

import torch

_WORTH_A_THREAD = 1 << 15  # values; below, waking threads costs more than the work

# Neurons that a thread needs at least to share them with others, where it reads their spikes, or gradients. A meeting
# takes 0.2 to 0.25 us, and a tick of a recurrent LIF layer (5 % active, batch 1, two threads against one, us):
#   forward   N = 256: 0.32 and 0.34, 384: 0.62 and 0.52, 512: 1.0 and 0.76, 1000: 3.7 and 2.4
#   backward  N = 128: 0.87 and 0.66, 256: 3.1 and 2.0
_SPIKES_EACH, _GRADIENTS_EACH = 256, 128
_WORTH_SHARING = 1.25  # times as long as with all threads at work: what threads with samples of their own may take

_ALONE_FOR = 16  # times as long as a run in which threads waited for processors: what such runs cost is then a sixteenth

_alone_until = 0.0  # by time.monotonic
_forked = False  # no thread of OpenMP's or of the driver's exists in a forked child: it runs serially


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threads_for(values: int) -> int:
    """How many threads so much work is worth."""
    return 1 if _forked or values < _WORTH_A_THREAD else torch.get_num_threads()


def team_for(samples: int, neurons: int, threads: int, *, gradients: bool) -> int:
    """How many threads share the neurons of all samples; 1 where each rather takes samples of its own.

    `threads`: as many as the work is worth. `gradients`: what neurons read of each other is not spikes, but nearly
    everywhere something.
    """
    if threads == 1 or monotonic() < _alone_until or not (gomp_parallel() is None or gomp_size()):
        return 1
    members = min(threads, _processors(), neurons // (_GRADIENTS_EACH if gradients else _SPIKES_EACH))
    idle = -(-samples // threads) * members >= _WORTH_SHARING * samples
    return members if idle and members > 1 else 1


def note_missing_processors(seconds: float) -> None:
    """Threads that shared neurons for so long had to wait for processors, which others use: none do so for a while."""
    global _alone_until
    _alone_until = monotonic() + _ALONE_FOR * seconds


def _processors() -> int:
    """Those that this process may use: more members than these would wait for each other at every tick."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def gomp_parallel() -> int | None:
    """`GOMP_parallel` of the OpenMP library that torch itself is linked to, so that its threads are ours too.

    Others may be loaded as well (scikit-learn brings one), so it's looked up through torch's library.
    """
    return _of_torch("GOMP_parallel")


@cache
def gomp_size() -> int | None:
    """`omp_get_num_threads` of the same library: of a parallel region, the threads that it has got."""
    return _of_torch("omp_get_num_threads")


def _of_torch(name: str) -> int | None:
    try:
        library = ctypes.CDLL(str(next((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))))
    except (OSError, StopIteration):
        return None
    symbol = getattr(library, name, None)
    return None if symbol is None else ctypes.cast(symbol, ctypes.c_void_p).value
