"""The check of a traced step against the step itself: it lets rounding through, and no wrong rule."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import norse.torch as snn
from norse.compiler import check
from norse.compiler.errors import Unsupported
from norse.compiler.passes.normalise import normalise
from norse.compiler.trace.neuron import arguments_of, trace_neuron
from norse.compiler.trace.step import Step, trace_step

Result = tuple[Tensor, Any]


def traced(step: Callable[..., Result], arguments: tuple[Any, ...]) -> Step:
    found = trace_step(step, arguments)
    return Step(normalise(found.graph), found.inputs)


@pytest.mark.parametrize("seed", [68527936, 98518915, 146342368, 179295419])
def test_a_gradient_that_is_a_sum_of_terms_that_cancel_passes(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """With these draws the 576 terms of a time constant's gradient add up to 10⁻⁴ of what they are."""
    monkeypatch.setattr(check, "_SEED", seed)
    layer, tick = snn.LIF(), torch.rand(2, 8, 6, 6)
    arguments = arguments_of(layer, tick, layer.starting_state(tick[None], None))
    check.check_step(trace_neuron(layer, arguments), layer.activation, arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("error", [0.01, -0.5])
def test_a_gradient_that_is_a_little_wrong_is_refused(dtype: torch.dtype, error: float) -> None:
    def step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> Result:
        return v + x * p, v

    def other(x: Tensor, v: Tensor, p: Tensor, dt: float) -> Result:
        y = x * p
        return v + (y + error * (y - y.detach())), v  # y, with another gradient

    x = torch.rand(8, 100, dtype=dtype)
    arguments = (x, x, torch.tensor(0.7, dtype=dtype), 0.001)
    check.check_step(traced(step, arguments), step, arguments)
    with pytest.raises(Unsupported, match="derivative"):
        check.check_step(traced(other, arguments), step, arguments)
