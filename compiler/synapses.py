"""Counts synaptic operations: what an event-driven chip would do for the layers that torch is running."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

_CONVOLUTIONS = (
    torch.conv1d, torch.conv2d, torch.conv3d,
    torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
)  # fmt: skip
_PRODUCTS = (torch.matmul, torch.mm, torch.Tensor.matmul, torch.Tensor.mm, torch.Tensor.__matmul__)


class SynapseCounter(TorchFunctionMode):
    """While it is entered, counts the synapses that are used by torch's linear layers, convolutions and products.

    An event is an input that isn't zero. Each makes one operation at every synapse that it reaches: a weight that isn't
    zero, to an output that exists (a convolution's at a border has fewer).
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.events = self.inputs = 0

    @property
    def density(self) -> float | None:
        """Events per input; None if nothing was counted."""
        return self.events / self.inputs if self.inputs else None

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.linear:
            self._linear(*_two(args, kwargs, "weight"))
        elif func in _PRODUCTS:
            x, weight = _two(args, kwargs, "other")
            if weight.ndim == 2:
                self._linear(x, weight.t())
        elif func in _CONVOLUTIONS:
            self._convolution(func, *args, **kwargs)
        return func(*args, **kwargs)

    def _linear(self, x: Tensor, weight: Tensor) -> None:
        with torch.no_grad():
            events = self._seen(x).reshape(-1, x.shape[-1]).sum(0)
            self.operations += int((events * (weight != 0).sum(0)).sum())

    def _convolution(
        self, func: Callable[..., Tensor], input: Tensor, weight: Tensor, bias: Any = None, *rest: Any, **options: Any
    ) -> None:
        with torch.no_grad():
            reached = func(self._seen(input).double(), (weight != 0).double(), None, *rest, **options)
            self.operations += round(float(reached.sum()))

    def _seen(self, x: Tensor) -> Tensor:
        x = x.to_dense() if x.is_sparse else x
        events = x != 0
        self.events += int(events.sum())
        self.inputs += events.numel()
        return events


def _two(args: tuple[Any, ...], kwargs: dict[str, Any], second: str) -> tuple[Tensor, Tensor]:
    named = [kwargs[name] for name in ("input", second, "mat2") if name in kwargs]
    first, other = (*args, *named)[:2]
    return first, other


def counting() -> bool:
    """Whether a counter is entered: it sees torch's own operations only."""
    return any(isinstance(mode, SynapseCounter) for mode in _get_current_function_mode_stack())
