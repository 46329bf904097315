"""The switch that makes every compiled model run eagerly, so that breakpoints and prints in a model's code are met."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SWITCH: ContextVar[bool] = ContextVar("norse.eager", default=os.environ.get("NORSE_EAGER", "0") not in ("", "0"))
"""Read at every call of a compiled model. The environment variable NORSE_EAGER is read once, when this is imported."""


@contextmanager
def eager() -> Iterator[None]:
    """Inside, every compiled model runs as the plain PyTorch module that was compiled.

    Breakpoints, prints and hooks in the model's own code are met at every tick, and nothing is traced or built. The
    environment variable NORSE_EAGER=1, set before norse is imported, does the same for a whole program.

    It holds for the thread, or the asynchronous task, that is inside; others go on as they were. It may be nested.

    Example:
        >>> import torch, norse, norse.torch as snn
        >>> class Curious(torch.nn.Module):
        ...     def forward(self, x):
        ...         print("saw", list(x.shape))
        ...         return 2 * x
        >>> compiled = norse.compile(Curious())
        >>> _ = compiled(torch.ones(3))  # the code runs once, while it is traced
        saw [3]
        >>> _ = compiled(torch.ones(3))
        >>> with norse.eager():
        ...     _ = compiled(torch.ones(3))
        saw [3]
    """
    token = SWITCH.set(True)
    try:
        yield
    finally:
        SWITCH.reset(token)
