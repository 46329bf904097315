"""An exponential filter."""

from torch import Tensor


def exp_filter_step(old_value: Tensor, new_value: Tensor, parameter: float) -> Tensor:
    """One tick of an exponential filter: y' = λ y + x.

    With λ = e^(-dt τ⁻¹) a pulse leaves a trace that decays exponentially with the time constant τ.

    Args:
        old_value: y, the filter's last output, of any shape.
        new_value: x, the input, broadcastable with y.
        parameter: λ, what is left of y after one tick, between 0 and 1.

    Returns:
        y', the new output.

    Example:
        >>> import torch
        >>> exp_filter_step(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]), 0.5)
        tensor([0.5000, 2.0000])
    """
    return parameter * old_value + new_value
