"""Every neuron model's loop as CUDA text, run on the CPU by the shim: eager's results and gradients."""

import copy

import pytest
import torch

from ..compile.forms import case, compare
from ..torch.neurons import LAYERS, Form
from .models import through_shim


@pytest.mark.parametrize("form", LAYERS, ids=str)
def test_its_cuda_kernels_give_eagers_results_and_gradients(form: Form) -> None:
    module, x, state = case(form, torch.float32, 14, 3)
    compiled = through_shim(module)
    compare(form, compiled, module, x, state)
    assert "tick by tick" not in compiled.explain(), compiled.explain()


@pytest.mark.parametrize("form", [form for form in LAYERS if form.recurrent], ids=str)
def test_the_order_of_threads_changes_no_bit(form: Form) -> None:
    """Neurons of a block that read each other's rows would show a barrier that is missing."""
    module, x, state = case(form, torch.float32, 14, 3)
    with torch.no_grad():
        one, other = (through_shim(copy.deepcopy(module), descending=down)(x, state) for down in (False, True))
    assert torch.equal(one[0], other[0])
