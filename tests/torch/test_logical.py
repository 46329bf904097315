"""Logic with spikes: truth tables, memory, edges, and the gradients that let gates be part of a network."""

import operator
from itertools import product

import pytest
import torch

from norse.torch.functional.logical import logical_and, logical_or, logical_xor, muller_c, posedge_detector

GATES = [(logical_and, operator.and_), (logical_or, operator.or_), (logical_xor, operator.xor)]


def every_input(count, dtype):
    """All combinations of `count` bits, one tensor for each of them."""
    return torch.tensor(list(product([0, 1], repeat=count))).to(dtype).unbind(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64, torch.bool])
@pytest.mark.parametrize(("gate", "python"), GATES)
def test_gates_have_pythons_truth_tables_in_every_dtype(gate, python, dtype):
    x, y = every_input(2, dtype)
    z = gate(x, y)
    assert z.dtype == dtype
    assert z.tolist() == [python(bool(a), bool(b)) for a, b in product([0, 1], repeat=2)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_a_c_element_takes_the_value_its_inputs_agree_on_and_holds_its_own_while_they_do_not(dtype):
    y_prev, x_1, x_2 = every_input(3, dtype)
    y = muller_c(y_prev, x_1, x_2)
    assert y.tolist() == [a if a == b else held for held, a, b in product([0, 1], repeat=3)]


def test_a_c_element_turns_two_overlapping_pulses_into_one():
    first, second = [0, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1, 0]
    y, outputs = torch.zeros(()), []
    for x_1, x_2 in zip(first, second, strict=True):
        y = muller_c(y, torch.tensor(float(x_1)), torch.tensor(float(x_2)))
        outputs.append(y.item())
    assert outputs == [0, 0, 0, 1, 1, 1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_a_rising_edge_is_a_one_after_a_zero(dtype):
    train = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1]).to(dtype)
    assert posedge_detector(train[1:], train[:-1]).tolist() == [1, 0, 0, 1, 0, 0, 1]


def test_gates_pass_gradients_of_products_differences_and_the_wide_surrogate():
    def slopes(gate, *inputs):
        return [g.item() for g in torch.func.grad(lambda x: gate(*x))(tuple(torch.tensor(x) for x in inputs))]

    assert slopes(logical_and, 0.0, 1.0) == [1, 0]
    assert slopes(logical_xor, 1.0, 0.0) == [1, -1]
    assert slopes(posedge_detector, 1.0, 0.0) == [1, -1]
    assert slopes(logical_or, 1.0, 0.0) == pytest.approx([1 / 4, 1 / 4])  # 1 / (1 + |x + y|)²
    # d(x₁x₂ + x₁y + x₂y) = 2 in each direction, times 1 / (1 + 3)²
    assert slopes(muller_c, 1.0, 1.0, 1.0) == pytest.approx([1 / 8] * 3)
