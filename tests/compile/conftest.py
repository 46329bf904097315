"""Threads of torch's: one for each test process, and after each test as many as before it."""

from collections.abc import Iterator

import pytest
import torch

from ..one_thread import one_thread

__all__ = ["one_thread"]


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
