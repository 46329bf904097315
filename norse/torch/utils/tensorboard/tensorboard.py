"""Forward hooks of spiking modules that write what they give to TensorBoard.

A hook is registered with torch's `module.register_forward_hook(hook)` or with
`SequentialState.register_forward_state_hooks(hook)`. It counts the calls of each module: the step in TensorBoard is
the number of calls before.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

HAS_TENSORBOARD = find_spec("tensorboard") is not None
"""Whether torch.utils.tensorboard can be used."""

Hook = Callable[[torch.nn.Module, tuple[Tensor, Any], Any], None]


class SummaryWriter(Protocol):
    """What the hooks use of a torch.utils.tensorboard.SummaryWriter."""

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None) -> None:
        """Writes a number."""

    def add_histogram(self, tag: str, values: Any, global_step: int | None = None) -> None:
        """Writes the distribution of numbers."""

    def add_image(self, tag: str, img_tensor: Any, global_step: int | None = None, *, dataformats: str = "CHW") -> None:
        """Writes a picture."""


def hook_spike_activity_mean(key: str, writer: SummaryWriter) -> Hook:
    """A hook that writes the mean of all spikes of a module's output.

    Args:
        key: the curve's name.
        writer: a torch.utils.tensorboard.SummaryWriter.

    Returns:
        A forward hook `(module, (input, state), output)`; the output is spikes or (spikes, state).

    Example:
        >>> from types import SimpleNamespace
        >>> from norse.torch.module.lif import LIFCell
        >>> cell = LIFCell()
        >>> handle = cell.register_forward_hook(hook_spike_activity_mean("mean", SimpleNamespace(add_scalar=print)))
        >>> z, state = cell(torch.tensor([0.0, 20.0]))
        mean 0.5 0
        >>> z, state = cell(torch.tensor([0.0, 20.0]), state)
        mean 0.5 1
    """
    return _hook(lambda z, step: writer.add_scalar(key, z.mean().item(), step))


def hook_spike_activity_sum(key: str, writer: SummaryWriter) -> Hook:
    """A hook that writes the number of spikes in a module's output.

    Args:
        key: the curve's name.
        writer: a torch.utils.tensorboard.SummaryWriter.

    Returns:
        A forward hook, as `hook_spike_activity_mean`.

    Example:
        >>> from types import SimpleNamespace
        >>> hook = hook_spike_activity_sum("sum", SimpleNamespace(add_scalar=print))
        >>> hook(torch.nn.Identity(), (torch.zeros(3), None), (torch.tensor([0.0, 1.0, 1.0]), None))
        sum 2.0 0
    """
    return _hook(lambda z, step: writer.add_scalar(key, z.sum().item(), step))


def hook_spike_histogram_mean(key: str, writer: SummaryWriter) -> Hook:
    """A hook that writes how the mean activity is distributed over the neurons.

    The mean is over the first dimension: the batch of a cell [B, N], the time of a layer [T, B, N].

    Args:
        key: the histogram's name.
        writer: a torch.utils.tensorboard.SummaryWriter.

    Returns:
        A forward hook, as `hook_spike_activity_mean`.

    Example:
        >>> from types import SimpleNamespace
        >>> hook = hook_spike_histogram_mean("mean", SimpleNamespace(add_histogram=print))
        >>> hook(torch.nn.Identity(), (torch.zeros(2, 3), None), torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]))
        mean tensor([0.0000, 0.5000, 1.0000]) 0
    """
    return _hook(lambda z, step: writer.add_histogram(key, z.mean(0), step))


def hook_spike_histogram_sum(key: str, writer: SummaryWriter) -> Hook:
    """A hook that writes how the number of spikes is distributed over the neurons.

    The sum is over the first dimension: the batch of a cell [B, N], the time of a layer [T, B, N].

    Args:
        key: the histogram's name.
        writer: a torch.utils.tensorboard.SummaryWriter.

    Returns:
        A forward hook, as `hook_spike_activity_mean`.

    Example:
        >>> from types import SimpleNamespace
        >>> hook = hook_spike_histogram_sum("sum", SimpleNamespace(add_histogram=print))
        >>> hook(torch.nn.Identity(), (torch.zeros(2, 3), None), torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]))
        sum tensor([0., 1., 2.]) 0
    """
    return _hook(lambda z, step: writer.add_histogram(key, z.sum(0), step))


def hook_spike_image(key: str, writer: SummaryWriter) -> Hook:
    """A hook that writes a module's output as a picture, white where there are spikes.

    Its rows are the first dimension (the batch of a cell, the time of a layer), its columns all others.

    Args:
        key: the picture's name.
        writer: a torch.utils.tensorboard.SummaryWriter.

    Returns:
        A forward hook, as `hook_spike_activity_mean`.

    Example:
        >>> from types import SimpleNamespace
        >>> hook = hook_spike_image("spikes", SimpleNamespace(add_image=lambda *a, **k: print(a[1].shape, k)))
        >>> hook(torch.nn.Identity(), (torch.zeros(100, 8, 3), None), torch.zeros(100, 8, 3))
        torch.Size([100, 24]) {'dataformats': 'HW'}
    """
    return _hook(lambda z, step: writer.add_image(key, z.reshape(z.shape[0], -1), step, dataformats="HW"))


def _hook(write: Callable[[Tensor, int], None]) -> Hook:
    calls: WeakKeyDictionary[torch.nn.Module, int] = WeakKeyDictionary()

    def hook(module: torch.nn.Module, inputs: tuple[Tensor, Any], output: Any) -> None:
        spikes = output[0] if isinstance(output, tuple) else output
        step = calls.get(module, 0)
        calls[module] = step + 1
        dense = spikes.detach().to_dense().float()
        write(dense if dense.dim() else dense[None], step)

    return hook
