"""Neurons whose states are integers, as CUDA text, run on the CPU by the shim: eager's bits."""

from typing import Any

import pytest
import torch

import norse
import norse.torch as snn

from .models import through_shim


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_integer_states_of_cuda_kernels_are_eagers(overflow: Any) -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(torch.nn.Linear(9, 7), snn.LIFRecurrent(7, 7), torch.nn.Linear(7, 3), snn.LI())
    with torch.no_grad():
        model[1].input_weights.mul_(8)
        model[0].weight.mul_(6)
    quantized = norse.quantize(model, 4, state_bits=11, overflow=overflow)
    x = (torch.rand(40, 3, 9) < 0.4).float()
    expected, _ = quantized(x)
    compiled = through_shim(quantized)
    assert expected.any()
    assert torch.equal(compiled(x)[0], expected)
    assert "tick by tick" not in compiled.explain()
