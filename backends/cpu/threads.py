"""The threads that kernels run on: torch's own."""

import ctypes
import os
from functools import cache
from pathlib import Path

import torch

_WORTH_A_THREAD = 1 << 15  # values; below, waking threads costs more than the work

_forked = False  # no thread of OpenMP's or of the driver's exists in a forked child: it runs serially


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threads_for(values: int) -> int:
    """How many threads so much work is worth."""
    return 1 if _forked or values < _WORTH_A_THREAD else torch.get_num_threads()


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
