"""Running a model for the sake of looking at it: afterwards its buffers and torch's random numbers are as before."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def untouched(*models: nn.Module) -> Iterator[None]:
    """Inside, models may be run; batch norms' statistics and the like, and torch's generators, are put back behind."""
    modules = [module for model in models for module in model.modules()]
    held = [(module._buffers, dict(module._buffers)) for module in modules]
    values = {id(x): x.detach().clone() for _, buffers in held for x in buffers.values() if x is not None}
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            for buffers, before in held:
                buffers.update(before)
                for tensor in before.values():
                    if tensor is not None and not torch.equal(tensor, values[id(tensor)]):
                        with torch.no_grad():
                            tensor.copy_(values[id(tensor)])
