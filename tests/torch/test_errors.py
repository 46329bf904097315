"""What modules refuse, and that they say which module, which argument, what they expect and what they got."""

import numpy as np
import pytest
import torch

import norse.torch as snn


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
@pytest.mark.parametrize("module", [snn.LIFCell(), snn.LIF(), snn.LIFRecurrent(2, 3), snn.LILinearCell(2, 3)])
def test_numbers_that_are_not_floating_point(module, dtype):
    message = rf"{type(module).__name__}: argument input_tensor: .*got {dtype}; pass input_tensor.float\(\)"
    with pytest.raises(TypeError, match=message):
        module(torch.ones(5, 2, dtype=dtype))


def test_complex_numbers():
    with pytest.raises(TypeError, match=r"LIFCell: .*got torch.complex64; pass its real and imaginary part"):
        snn.LIFCell()(torch.ones(2, dtype=torch.complex64))


@pytest.mark.parametrize("x", [[1.0, 2.0], 3.0, None])
def test_an_input_that_is_no_tensor(x):
    with pytest.raises(TypeError, match=rf"LIF: argument input_tensor: expects a torch.Tensor, got {type(x).__name__}"):
        snn.LIF()(x)


def test_the_whole_result_of_a_layer_as_the_input_of_the_next():
    with pytest.raises(TypeError, match=r"LIF: .*got tuple; layers return \(output, state\): pass the output"):
        snn.LIF()(snn.LIF()(torch.ones(5, 2)))


@pytest.mark.parametrize(("given", "got"), [(snn.LIF, "the class LIF"), (torch.relu, "builtin"), ([snn.LIF()], "list")])
def test_chains_of_what_is_no_module(given, got):
    with pytest.raises(TypeError, match=rf"SequentialState: argument 1: expects a torch.nn.Module, got {got}"):
        snn.SequentialState(torch.nn.Linear(2, 3), given)


def test_a_lifted_class():
    with pytest.raises(TypeError, match=r"Lift: argument module: .*got the class LIFCell"):
        snn.Lift(snn.LIFCell)


def test_too_few_dimensions():
    with pytest.raises(ValueError, match=r"LIF: .*at least the dimensions \[T\], got shape \[\]"):
        snn.LIF()(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"LIFRecurrent: .*at least the dimensions \[T, N\], got shape \[2\]"):
        snn.LIFRecurrent(2, 3)(torch.ones(2))


@pytest.mark.parametrize("module", [snn.LIFRecurrent(128, 3), snn.LIFRecurrentCell(128, 3), snn.LILinearCell(128, 3)])
def test_another_number_of_features(module):
    with pytest.raises(ValueError, match=rf"{type(module).__name__}: .*expects 128 input features, got 256"):
        module(torch.ones(5, 2, 256))


def test_a_state_of_another_neuron():
    _, state = snn.LI()(torch.ones(5, 2))
    snn.LIF()(torch.ones(5, 2), state)  # the same fields
    with pytest.raises(
        TypeError, match=r"LIFRecurrent: .*expects LIFState with fields z, v, i, got LIState with fields"
    ):
        snn.LIFRecurrent(2, 3)(torch.ones(5, 2), state)
    with pytest.raises(TypeError, match=r"LIFCell: .*expects LIFFeedForwardState with fields v, i, got tuple"):
        snn.LIFCell()(torch.ones(2), tuple(state))
    with pytest.raises(TypeError, match=r"LIFCell: argument state.i: expects a torch.Tensor, got float"):
        snn.LIFCell()(torch.ones(2), snn.LIFFeedForwardState(torch.ones(2), 0.0))


def test_a_state_on_another_device():
    state = snn.LIFFeedForwardState(torch.zeros(2, device="meta"), torch.zeros(2, device="meta"))
    with pytest.raises(ValueError, match=r"LIFCell: argument state.v: .*device cpu, got one on meta"):
        snn.LIFCell()(torch.ones(2), state)


def test_a_state_of_a_shape_that_does_not_broadcast():
    state = snn.LIFFeedForwardState(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"LIF: argument state.i: .*broadcasts with \[2, 3\], got \[2, 4\]"):
        snn.LIF()(torch.ones(5, 2, 3), state)
    wrong = snn.LIFState(*(torch.zeros(2, 2) for _ in range(3)))
    with pytest.raises(ValueError, match=r"LIFRecurrent: argument state.z: .*broadcasts with \[2, 4\], got \[2, 2\]"):
        snn.LIFRecurrent(3, 4)(torch.ones(5, 2, 3), wrong)


@pytest.mark.parametrize("module", [snn.LIFRecurrentCell(2, 3), snn.LILinearCell(2, 3), snn.CobaLIFCell(2, 3)])
def test_numbers_of_another_precision_than_the_weights(module):
    x = torch.ones(5, 2, dtype=torch.float64)
    message = rf"{type(module).__name__}: .*expects the dtype of input_weights, torch.float32, got torch.float64"
    with pytest.raises(TypeError, match=message):
        module(x)
    module(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        module(x.bfloat16())


@pytest.mark.parametrize("size", [3.0, "3", None, torch.tensor(3.0)])
@pytest.mark.parametrize("module", [snn.LIFRecurrentCell, snn.LILinearCell, snn.CobaLIFCell, snn.LIFCorrelation])
def test_sizes_that_are_no_whole_numbers(module, size):
    for sizes in ((size, 2), (2, size)):
        with pytest.raises(TypeError, match=rf"{module.__name__}: argument \w+_size: expects a whole number, got"):
            module(*sizes)


def test_sizes_may_be_tensors_and_are_not_negative():
    assert snn.LIFRecurrentCell(torch.tensor(2), torch.tensor(3)).recurrent_weights.shape == (3, 3)
    with pytest.raises(ValueError, match=r"LIFCorrelation: argument hidden_size: expects at least 0, got -1"):
        snn.LIFCorrelation(2, -1)


@pytest.mark.parametrize(
    ("module", "p", "missing"),
    [
        (snn.LIFRefracCell, snn.LIFParameters(), "lif, rho_reset"),
        (snn.LIFExCell, snn.LIFParameters(), "delta_T"),
        (snn.LIFCell, snn.LIParameters(), "v_th, v_reset, method, alpha, reset_method"),
    ],
)
def test_parameters_of_another_model(module, p, missing):
    with pytest.raises(
        TypeError, match=rf"{module.__name__}: argument p: .*{type(p).__name__}, which has no {missing}$"
    ):
        module(p)
    snn.LIFCell(snn.LIFExParameters())  # has all that a LIF neuron needs


@pytest.mark.parametrize("rate", ["fast", None, [100.0]])
def test_a_time_constant_that_is_no_number(rate):
    with pytest.raises(TypeError, match=r"LIFCell: argument p.tau_mem_inv: expects a number or a tensor, got"):
        snn.LIFCell(snn.LIFParameters(tau_mem_inv=rate))


def test_time_steps_and_rates_may_be_numpys():
    cell = snn.LIFCell(snn.LIFParameters(tau_mem_inv=np.float32(100)), dt=np.float32(0.001))
    torch.testing.assert_close(cell(torch.ones(2))[1].v, torch.full((2,), 0.1), check_dtype=False)


def test_weights_that_are_no_tensor():
    with pytest.raises(TypeError, match=r"LIFRecurrent: argument input_weights: expects a torch.Tensor, got list"):
        snn.LIFRecurrent(1, 1, input_weights=[[1.0]])


def test_weights_of_another_shape():
    with pytest.raises(ValueError, match=r"LIFRecurrent: argument input_weights: expects shape \[4, 3\], got \[3, 4\]"):
        snn.LIFRecurrent(3, 4, input_weights=torch.ones(3, 4))


def test_states_of_another_number():
    model = snn.SequentialState(torch.nn.Linear(2, 3), snn.LIFCell())
    with pytest.raises(ValueError, match=r"SequentialState: .*a list of 2 states, one for each module, got 1"):
        model(torch.ones(2), [None])
    with pytest.raises(ValueError, match=r"one for each module, got one LIFState"):
        model(torch.ones(2), snn.LIFState(*torch.zeros(3, 3)))
    with pytest.raises(TypeError, match=r"RecurrentSequential: .*expects a RecurrentSequentialState, got list"):
        snn.RecurrentSequential(snn.LIFCell())(torch.ones(2), [None])


def test_a_fallback_that_makes_a_state_of_the_whole_sequence_is_refused() -> None:
    layer = snn.SNN(lambda x, s, p, dt: (s + x, s + x), torch.zeros_like, p=None)
    with pytest.raises(ValueError, match=r"SNN: argument state_fallback: .*\[2, 3\], got \[5, 2, 3\].*use x\[0\]"):
        layer(torch.rand(5, 2, 3))


def test_a_parameter_that_would_not_be_learnt_is_refused() -> None:
    with pytest.raises(TypeError, match=r"SNNCell: argument p: an nn.Parameter in a dict would not be learnt"):
        snn.SNNCell(lambda x, s, p, dt: (x, s), torch.zeros_like, p={"tau": torch.nn.Parameter(torch.ones(()))})
