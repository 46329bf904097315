"""One thread of torch's for each test process."""

from ..one_thread import one_thread

__all__ = ["one_thread"]
