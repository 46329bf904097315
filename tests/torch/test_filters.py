"""The exponential filter against its difference equation, and against the sum that solves it."""

import copy
import math

import numpy as np
import pytest
import torch

from norse.torch.functional.filter import exp_filter_step
from norse.torch.module.exp_filter import ExpFilter

TICKS, RATE, DT = 40, 150.0, 0.002


@pytest.fixture
def sequence():
    return torch.randn(TICKS, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_filtered_layer_is_its_difference_equation(sequence):
    smooth = ExpFilter(3, 4, tau_filter_inv=RATE, dt=DT).double()
    w, b = smooth.linear.weight.detach().numpy(), smooth.linear.bias.detach().numpy()
    y, outputs = np.zeros((2, 4)), []
    for x in sequence.numpy():
        y = math.exp(-DT * RATE) * y + (x @ w.T + b)
        outputs.append(y)
    np.testing.assert_allclose(smooth(sequence).detach().numpy(), np.array(outputs), rtol=1e-12)


def test_a_pulse_decays_with_the_time_constant_of_the_filter():
    smooth = ExpFilter(1, 1, tau_filter_inv=RATE, dt=DT, input_weights=torch.ones(1, 1).double(), bias=False)
    pulse = torch.zeros(TICKS, 1, dtype=torch.float64)
    pulse[5] = 3.0
    time = DT * (np.arange(TICKS) - 5)
    np.testing.assert_allclose(
        smooth(pulse)[:, 0].detach().numpy(),
        np.where(time >= 0, 3 * np.exp(-RATE * time), 0.0),
        rtol=1e-12,
        atol=1e-300,
    )


def test_one_step_keeps_a_fraction_of_the_old_value():
    assert exp_filter_step(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), 0.25).tolist() == [3.25, 4.5]


def test_gradients_reach_inputs_and_weights_through_time():
    smooth = ExpFilter(2, 1, tau_filter_inv=RATE, dt=DT).double()
    x = torch.randn(6, 1, 2, dtype=torch.float64, requires_grad=True)

    def last(x, weight, bias):
        return torch.func.functional_call(smooth, {"linear.weight": weight, "linear.bias": bias}, (x,))[-1]

    assert torch.autograd.gradcheck(last, (x, smooth.linear.weight, smooth.linear.bias))


def test_given_weights_are_where_learning_starts():
    given = torch.randn(4, 3)
    smooth = ExpFilter(3, 4, input_weights=given, bias=False)
    assert [name for name, _ in smooth.named_parameters()] == ["linear.weight"]
    torch.nn.init.zeros_(smooth.linear.weight)
    assert given.abs().sum() > 0


def test_a_filter_is_saved_copied_and_vectorised_as_other_layers(sequence):
    smooth = ExpFilter(3, 4, tau_filter_inv=RATE).double()
    twin = ExpFilter(3, 4, tau_filter_inv=RATE).double()
    twin.load_state_dict(smooth.state_dict())
    assert torch.equal(twin(sequence), smooth(sequence))
    assert torch.equal(copy.deepcopy(smooth)(sequence), smooth(sequence))
    torch.testing.assert_close(torch.func.vmap(smooth, in_dims=1, out_dims=1)(sequence), smooth(sequence))
    assert smooth(sequence[:0]).shape == (0, 2, 4)
    assert repr(ExpFilter(3, 4, tau_filter_inv=0.0)).splitlines()[1] == "  input_size=3, output_size=4, parameter=1.0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau_filter_inv": -1.0}, "tau_filter_inv: expects a rate >= 0 in 1/s, got -1.0"),
        ({"tau_filter_inv": math.nan}, "tau_filter_inv: expects a rate >= 0 in 1/s, got nan"),
        ({"dt": 0.0}, "dt: expects a time step above 0, got 0.0"),
        ({"input_weights": torch.ones(3, 4)}, r"input_weights: expects shape \[4, 3\], got \[3, 4\]"),
    ],
)
def test_a_filter_refuses_what_it_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=f"ExpFilter: argument {message}"):
        ExpFilter(3, 4, **arguments)


@pytest.mark.parametrize("shape", [(3,), (5, 2, 4)])
def test_a_filter_refuses_inputs_without_time_or_of_other_size(shape):
    with pytest.raises(ValueError, match=r"ExpFilter: argument input_tensor: expects shape \[T, ..., 3\]"):
        ExpFilter(3, 4)(torch.ones(shape))
