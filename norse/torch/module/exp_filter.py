"""A linear layer with an exponential filter behind it."""

import math

import torch
from torch import Tensor

from norse.torch.functional.filter import exp_filter_step
from norse.torch.module.checks import check_dt


class ExpFilter(torch.nn.Module):
    """A linear layer whose outputs are filtered exponentially over time, [T, B, input] -> [T, B, output].

    x_t = W s_t + b,  y₀ = x₀,  y_t = e^(-dt τ⁻¹) y_(t-1) + x_t

    The filter starts anew in every call: it takes and returns no state.

    Args:
        input_size: number of input features.
        output_size: number of output features.
        tau_filter_inv: the filter's inverse time constant τ⁻¹, 1/s.
        dt: time step in s.
        input_weights: W, [output, input], to start from (copied); None means those of torch.nn.Linear.
        bias: whether there is a bias b.

    Returns:
        `forward(input_tensor)` gives the filtered outputs of all ticks, [T, B, output].

    Raises:
        ValueError: if tau_filter_inv is negative, dt is not positive or input_weights has another shape; in `forward`,
            if the input has no time dimension or another number of features.

    Example:
        >>> smooth = ExpFilter(1, 1, tau_filter_inv=100.0, input_weights=torch.ones(1, 1), bias=False)
        >>> smooth(torch.tensor([[1.0], [0.0], [0.0]]))[:, 0]
        tensor([1.0000, 0.9048, 0.8187], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        tau_filter_inv: float = 1000.0,
        dt: float = 0.001,
        input_weights: Tensor | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_dt(self, dt)
        if not tau_filter_inv >= 0:
            raise ValueError(f"ExpFilter: argument tau_filter_inv: expects a rate >= 0 in 1/s, got {tau_filter_inv}")
        self.input_size = torch.as_tensor(input_size)
        self.output_size = torch.as_tensor(output_size)
        self.parameter = math.exp(-dt * tau_filter_inv)
        self.linear = torch.nn.Linear(input_size, output_size, bias=bias)
        if input_weights is not None:
            if input_weights.shape != self.linear.weight.shape:
                raise ValueError(
                    f"ExpFilter: argument input_weights: expects shape {list(self.linear.weight.shape)}, "
                    f"got {list(input_weights.shape)}"
                )
            self.linear.weight = torch.nn.Parameter(input_weights.detach().clone())

    def extra_repr(self) -> str:
        return f"input_size={int(self.input_size)}, output_size={int(self.output_size)}, parameter={self.parameter}"

    def forward(self, input_tensor: Tensor) -> Tensor:
        """All ticks: input [T, B, input] -> filtered outputs [T, B, output]."""
        if input_tensor.dim() < 2 or input_tensor.shape[-1] != self.linear.in_features:
            raise ValueError(
                f"ExpFilter: argument input_tensor: expects shape [T, ..., {self.linear.in_features}], "
                f"got {list(input_tensor.shape)}"
            )
        currents: Tensor = self.linear(input_tensor)
        if currents.shape[0] == 0:
            return currents
        first, *others = currents.unbind(0)
        outputs = [first]
        for x in others:
            outputs.append(exp_filter_step(outputs[-1], x, self.parameter))
        return torch.stack(outputs)
