"""Spikes wherever the input is above a threshold, with no state between ticks."""

import torch
from torch import Tensor

from norse.torch.functional.threshold import METHODS, threshold


class Threshold(torch.nn.Module):
    """Spikes of an input alone: z = Θ(x - threshold), of any shape, with a surrogate derivative.

    Args:
        threshold: a number, or a tensor that broadcasts with one tick's features.
        method: the surrogate, as in `norse.torch.functional.threshold`.
        alpha: the surrogate's parameter.

    Returns:
        `forward(input_tensor)` gives 0 or 1 in the shape and dtype of the input.

    Raises:
        ValueError: if no surrogate is called `method`.

    Example:
        >>> Threshold(0.5)(torch.tensor([0.4, 0.5, 0.6]))
        tensor([0., 0., 1.])
    """

    threshold: Tensor

    def __init__(self, threshold: float | Tensor, method: str = "super", alpha: float = 100.0) -> None:
        super().__init__()
        if method not in METHODS:
            known = ", ".join(METHODS)
            raise ValueError(f"{type(self).__name__}: argument method: expects one of {known}, got {method!r}")
        if isinstance(threshold, torch.nn.Parameter):
            self.threshold = threshold
        else:
            self.register_buffer("threshold", torch.as_tensor(threshold).detach().clone())
        self.method, self.alpha = method, alpha

    def extra_repr(self) -> str:
        shown = f"{self.threshold.item():g}" if self.threshold.numel() == 1 else f"shape {list(self.threshold.shape)}"
        return f"threshold={shown}, method={self.method!r}, alpha={self.alpha}"

    def forward(self, input_tensor: Tensor) -> Tensor:
        """Input of any shape -> spikes of the same shape."""
        return threshold(input_tensor - self.threshold, self.method, self.alpha)
