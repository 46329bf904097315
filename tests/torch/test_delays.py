"""Synaptic delays: shifts, interpolation between ticks, gradients, learning, states."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from norse.torch.functional.delay import (
    SynapseDelayParameters,
    SynapseDelayState,
    buffer_length,
    delay_in_ticks,
    synapse_delay,
    synapse_delay_step,
)
from norse.torch.functional.lift import lift
from norse.torch.module.delay import SynapseDelay, SynapseDelayCell
from norse.torch.module.lif import LIF, LIFCell
from norse.torch.module.lift import Lift
from norse.torch.module.sequential import SequentialState

KERNELS = ["linear", "gaussian"]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def numpy_shift(x: np.ndarray, ticks: int) -> np.ndarray:
    return np.concatenate([np.zeros_like(x[:1])] * ticks + [x])[: len(x)]


def numpy_linear(x: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """Each channel of x [T, N] read between its samples, at t - δ; zero before the first."""
    times = np.arange(-100, len(x))
    padded = np.concatenate([np.zeros((100, x.shape[1])), x])
    return np.stack([np.interp(np.arange(len(x)) - d, times, padded[:, n]) for n, d in enumerate(ticks)], axis=1)


def numpy_gaussian(x: np.ndarray, ticks: np.ndarray, sigma: float, length: int) -> np.ndarray:
    out = np.zeros_like(x)
    for n, delay in enumerate(ticks):
        weights = np.exp(-(((np.arange(length + 1) - delay) / sigma) ** 2) / 2)
        out[:, n] = np.convolve(x[:, n], weights / weights.sum())[: len(x)]
    return out


def tick_by_tick(cell: torch.nn.Module, x: torch.Tensor, state=None):
    return Lift(cell)((x, state))


# Values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_whole_number_of_ticks_is_an_exact_shift(dtype):
    x = noise(80, 2, 1, dtype=dtype).expand(80, 2, 61)
    delays = torch.arange(61) * 0.001  # not exact in binary
    y, _ = SynapseDelay(delays.to(dtype), max_delay=0.06)(x)
    assert y.dtype == dtype
    for ticks in range(61):
        assert np.array_equal(y[..., ticks].numpy(), numpy_shift(x[..., 0].numpy(), ticks))


@pytest.mark.parametrize("dt", [0.001, 0.003, 1.0, 0.1])
@pytest.mark.parametrize("converted", [torch.nn.Module.float, torch.nn.Module.double])
def test_the_largest_delay_is_an_exact_shift_by_the_buffer(dt, converted):
    for ticks in (1, 7, 99):
        layer = converted(SynapseDelay(ticks * dt, max_delay=ticks * dt, dt=dt))
        x = noise(120, 3).to(layer.delay.dtype)
        assert np.array_equal(layer(x)[0].numpy(), numpy_shift(x.numpy(), ticks))


def test_no_delay_is_the_identity():
    x = noise(20, 2, 3, dtype=torch.float32)
    assert torch.equal(SynapseDelay(0.0, max_delay=0.005)(x)[0], x)


def test_a_delay_between_ticks_is_interpolated_linearly():
    x, ticks = noise(40, 5), torch.tensor([0.0, 0.25, 3.0, 4.7, 9.5], dtype=torch.float64)
    y, _ = SynapseDelay(ticks * 0.002, max_delay=0.02, dt=0.002)(x)
    np.testing.assert_allclose(y.numpy(), numpy_linear(x.numpy(), ticks.numpy()), atol=1e-12)


@pytest.mark.parametrize("sigma", [0.4, 2.0])
def test_a_delay_is_smeared_by_a_normalised_gaussian(sigma):
    x, ticks = noise(40, 4), torch.tensor([0.0, 0.25, 4.7, 10.0], dtype=torch.float64)
    y, _ = SynapseDelay(ticks * 0.002, max_delay=0.02, kernel="gaussian", dt=0.002, sigma=sigma * 0.002).double()(x)
    np.testing.assert_allclose(y.numpy(), numpy_gaussian(x.numpy(), ticks.numpy(), sigma, 10), atol=1e-6)


def test_a_narrow_gaussian_is_a_shift_by_the_nearest_tick():
    x = noise(20, 3)
    y, _ = SynapseDelay(torch.tensor([0.0, 0.0024, 0.0026]), 0.005, kernel="gaussian", sigma=1e-6)(x)
    for n, ticks in enumerate([0, 2, 3]):
        assert np.array_equal(y[:, n].numpy(), numpy_shift(x[:, n].numpy(), ticks))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1, 1), (3, 1, 4), (5, 4), (2, 1, 1, 4), (2, 3, 5, 4)])
def test_delays_broadcast_with_the_features(kernel, shape):
    delay = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.006
    layer = SynapseDelay(delay, max_delay=0.006, kernel=kernel, sigma=0.001 if kernel == "gaussian" else None).double()
    x = noise(15, 2, 3, 5, 4)
    y, state = layer(x)
    ticks = (delay * 1000).expand(2, 3, 5, 4).reshape(-1).numpy()
    flat = x.reshape(15, -1).numpy()
    expected = numpy_linear(flat, ticks) if kernel == "linear" else numpy_gaussian(flat, ticks, 1.0, 6)
    np.testing.assert_allclose(y.reshape(15, -1).numpy(), expected, atol=1e-6)
    assert state.buffer.shape == (6, 2, 3, 5, 4)


# States


@pytest.mark.parametrize("ticks", [1, 4, 30])
def test_tick_by_tick_is_all_at_once_to_the_bit(ticks):
    delay = torch.rand(3, generator=torch.Generator().manual_seed(2)) * 0.008
    x = noise(ticks, 2, 3, dtype=torch.float32)
    y, state = SynapseDelay(delay, 0.008)(x)
    y_cell, state_cell = tick_by_tick(SynapseDelayCell(delay, 0.008), x)
    assert torch.equal(y, y_cell)
    assert torch.equal(state.buffer, state_cell.buffer)
    assert state.buffer.shape == (8, 2, 3)


def test_tick_by_tick_is_all_at_once_for_the_gaussian_kernel():
    delay = torch.rand(3, generator=torch.Generator().manual_seed(2)) * 0.008
    x = noise(30, 2, 3, dtype=torch.float32)
    y, state = SynapseDelay(delay, 0.008, kernel="gaussian")(x)
    y_cell, state_cell = tick_by_tick(SynapseDelayCell(delay, 0.008, kernel="gaussian"), x)
    torch.testing.assert_close(y, y_cell)
    assert torch.equal(state.buffer, state_cell.buffer)


@settings(max_examples=40, deadline=None)
@given(
    ticks=st.lists(st.floats(0, 9, width=32), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 8), min_size=1, max_size=6),
    dt=st.sampled_from([0.001, 0.0025, 1.0]),
    data=st.integers(0, 1000),
)
def test_a_sequence_may_be_cut_anywhere(ticks, cuts, dt, data):
    layer = SynapseDelay(torch.tensor(ticks, dtype=torch.float64) * dt, max_delay=9 * dt, dt=dt)
    x = noise(sum(cuts), 2, len(ticks), seed=data)
    whole, last = layer(x)
    state, pieces = None, []
    for piece in x.split(cuts):
        y, state = layer(piece, state)
        pieces.append(y)
    assert torch.equal(torch.cat(pieces), whole)
    assert torch.equal(state.buffer, last.buffer)
    for n, delay in enumerate(ticks):
        expected = numpy_linear(x[:, :1, n].numpy(), np.array([delay]))
        np.testing.assert_allclose(whole[:, :1, n].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_tick_changes_nothing(kernel):
    layer = SynapseDelay(torch.tensor([0.001, 0.002]), 0.004, kernel=kernel)
    x = noise(5, 3, 2, dtype=torch.float32)
    _, state = layer(x)
    y, after = layer(x[:0], state)
    assert y.shape == (0, 3, 2)
    assert torch.equal(after.buffer, state.buffer)
    assert layer(x[:, :0])[0].shape == (5, 0, 2)


def test_a_state_is_not_changed_by_what_comes_later():
    layer, x = SynapseDelay(0.001, 0.002), torch.ones(5, 1)
    _, state = layer(x)
    x.zero_()
    layer(x, state)
    assert state.buffer.tolist() == [[1.0], [1.0]]
    assert state.buffer.untyped_storage().nbytes() == 2 * 4  # and keeps no more than it says


def test_a_state_can_stand_for_a_whole_batch():
    layer = SynapseDelay(0.002, 0.002)
    y, _ = layer(torch.zeros(2, 4, 3), SynapseDelayState(torch.tensor([[[5.0]], [[6.0]]])))
    assert torch.equal(y, torch.tensor([5.0, 6.0]).view(2, 1, 1).expand(2, 4, 3))


def test_a_chain_carries_delays_over_time_and_tick_by_tick():
    torch.manual_seed(0)
    linear, delay = torch.nn.Linear(4, 3), torch.tensor([0.0, 0.0015, 0.004])
    layers = SequentialState(linear, SynapseDelay(delay, 0.004), LIF())
    cells = SequentialState(linear, SynapseDelayCell(delay, 0.004), LIFCell())
    x = torch.rand(40, 2, 4) * 10
    z, states = layers(x)
    assert z.any()
    state, ticks = None, []
    for tick in x:
        out, state = cells(tick, state)
        ticks.append(out)
    assert torch.equal(torch.stack(ticks), z)
    assert torch.equal(state[1].buffer, states[1].buffer)


def test_the_functions_are_the_modules():
    p = SynapseDelayParameters(torch.tensor([0.001, 0.0025]), 0.003)
    x, start = noise(10, 2), SynapseDelayState(noise(3, 2, seed=1))
    y, last = SynapseDelay(p.delay, p.max_delay)(x, start)
    assert torch.equal(synapse_delay(x, start, p)[0], y)
    lifted, lifted_last = lift(synapse_delay_step, p)(x, start)
    assert torch.equal(lifted, y)
    assert torch.equal(lifted_last.buffer, last.buffer)


# Gradients


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 1)])
def test_gradients_of_delay_input_and_state_are_those_of_finite_differences(kernel, shape):
    delay = (torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 4 + 0.3) * 0.5
    sigma = torch.tensor(0.6, dtype=torch.float64) if kernel == "gaussian" else None

    def delayed(delay, x, buffer):
        p = SynapseDelayParameters(delay, max_delay=2.5, kernel=kernel, sigma=sigma)
        y, state = synapse_delay(x, SynapseDelayState(buffer), p, dt=0.5)
        return y, state.buffer

    variables = [v.requires_grad_() for v in (delay, noise(4, 2, 3), noise(5, 2, 3, seed=1))]
    assert torch.autograd.gradcheck(delayed, variables)


def test_the_gradient_of_a_delay_is_the_signals_slope():
    t = torch.arange(200, dtype=torch.float64)
    layer = SynapseDelay(torch.tensor(0.0053, dtype=torch.float64), 0.01, learn_delay=True)
    y, _ = layer(torch.sin(0.02 * t))
    y[100].backward()
    slope = 20 * math.cos(0.02 * 94.5)  # of sin(20 s⁻¹ t), halfway between the ticks 94 and 95
    assert layer.delay.grad.item() == pytest.approx(-slope, rel=1e-3)


def test_whole_ticks_have_a_gradient_too():
    layer = SynapseDelay(torch.tensor([0.0, 0.002, 0.005]), 0.005, learn_delay=True)
    y, _ = layer(torch.arange(20.0).unsqueeze(1).expand(20, 3))
    y[10].sum().backward()
    assert layer.delay.grad.tolist() == pytest.approx([-1000.0] * 3)  # a slope of 1 a tick


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_delay_outside_of_its_range_counts_as_the_nearer_end_and_can_only_come_back(dtype):
    tau = torch.tensor([-0.002, -0.002, 0.002, 0.009, 0.009], dtype=dtype, requires_grad=True)
    ticks = delay_in_ticks(tau, max_delay=0.005)
    assert ticks.tolist() == [0.0, 0.0, 2.0, 5.0, 5.0]
    (ticks * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0], dtype=dtype)).sum().backward()
    assert tau.grad.tolist() == pytest.approx([0.0, -1000.0, 1000.0, 1000.0, 0.0])


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_delay_is_learnt_that_aligns_two_pulses(kernel):
    t = torch.arange(40.0)
    early, late = torch.exp(-((t - 8) ** 2) / 18), torch.exp(-((t - 20) ** 2) / 18)
    layer = SynapseDelay(0.006, max_delay=0.02, learn_delay=True, kernel=kernel)
    optimizer = torch.optim.Adam(layer.parameters(), lr=2e-4)
    for _ in range(150):
        optimizer.zero_grad()
        ((layer(early)[0] - late) ** 2).sum().backward()
        optimizer.step()
        if kernel == "gaussian":
            layer.sigma = max(0.95 * layer.sigma.item(), 0.0003)
    assert layer.delay.item() == pytest.approx(0.012, abs=2e-4)


def test_a_wide_gaussian_finds_a_spike_that_the_linear_kernel_misses():
    target = torch.zeros(40, 1)
    target[20] = 1
    spike = torch.roll(target, -12, 0)
    learnt = {}
    for kernel in KERNELS:
        layer = SynapseDelay(0.003, max_delay=0.02, learn_delay=True, kernel=kernel)
        optimizer = torch.optim.Adam(layer.parameters(), lr=3e-4)
        for _ in range(150):
            optimizer.zero_grad()
            (-(layer(spike)[0] * target).sum()).backward()
            optimizer.step()
            if kernel == "gaussian":
                layer.sigma *= 0.97
        learnt[kernel] = layer.delay.item()
    assert learnt["gaussian"] == pytest.approx(0.012, abs=5e-4)
    assert learnt["linear"] == pytest.approx(0.003)


def test_delays_can_be_mapped_and_differentiated_functionally():
    x, start = noise(12, 3), SynapseDelayState(torch.zeros(6, 3, dtype=torch.float64))
    delays = torch.rand(5, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64) * 0.006
    for kernel in KERNELS:

        def delayed(tau, kernel=kernel):
            sigma = torch.tensor(0.001, dtype=torch.float64)
            return synapse_delay(x, start, SynapseDelayParameters(tau, 0.006, kernel, sigma))[0].square().sum()

        mapped = torch.func.vmap(torch.func.grad(delayed))(delays)
        one_by_one = torch.stack([torch.func.grad(delayed)(tau) for tau in delays])
        torch.testing.assert_close(mapped, one_by_one)


def test_delays_and_width_of_a_layer_can_be_swapped_for_others():
    x, layer = (
        noise(10, 2, dtype=torch.float32),
        SynapseDelay(torch.zeros(2), 0.005, learn_delay=True, kernel="gaussian"),
    )
    other = SynapseDelay(torch.tensor([0.001, 0.0034]), 0.005, kernel="gaussian", sigma=0.0007)
    y, _ = torch.func.functional_call(layer, dict(other.state_dict()), x)
    assert torch.equal(y, other(x)[0])


@pytest.mark.parametrize("kernel", KERNELS)
def test_torch_compiles_a_delay_into_one_graph(kernel):
    layer = SynapseDelay(torch.tensor([0.001, 0.0025]), 0.004, learn_delay=True, kernel=kernel)
    x = noise(10, 3, 2, dtype=torch.float32)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x)[0], layer(x)[0])


# Kept, shown, refused


@pytest.mark.parametrize("learn_delay", [True, False])
@pytest.mark.parametrize("kernel", KERNELS)
def test_delays_are_saved_copied_and_pickled(learn_delay, kernel):
    delay = torch.tensor([0.001, 0.0034])
    layer = SynapseDelay(delay, 0.005, learn_delay=learn_delay, kernel=kernel)
    if kernel == "gaussian":
        layer.sigma = 0.0007
    assert len(list(layer.parameters())) == learn_delay
    assert sorted(layer.state_dict()) == (["delay"] if kernel == "linear" else ["delay", "sigma"])
    x = noise(10, 2, dtype=torch.float32)
    y, state = layer(x)
    loaded = SynapseDelay(torch.zeros(2), 0.005, learn_delay=learn_delay, kernel=kernel)
    loaded.load_state_dict(layer.state_dict())
    for again in (loaded, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x)[0], y)
        assert torch.equal(again(x, copy.deepcopy(state))[0], layer(x, state)[0])


def test_a_learnt_delay_is_the_layers_own():
    delay = torch.tensor([0.001, 0.002])
    layer = SynapseDelay(delay, 0.005, learn_delay=True)
    with torch.no_grad():
        layer.delay += 0.001
    assert delay.tolist() == pytest.approx([0.001, 0.002])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_output_has_the_inputs_dtype_whatever_the_delays(kernel, dtype):
    x = noise(10, 2).to(dtype)
    y, state = SynapseDelay(torch.tensor([0.001, 0.0034]), 0.005, kernel=kernel)(x)
    assert y.dtype == state.buffer.dtype == dtype


def test_a_layer_shows_its_delays():
    assert repr(SynapseDelay(0.003, 0.01)) == (
        "SynapseDelay(delay=0.003, max_delay=0.01, learn_delay=False, kernel='linear', dt=0.001)"
    )
    assert repr(
        SynapseDelayCell(torch.tensor([0.001, 0.0025]), 0.01, learn_delay=True, kernel="gaussian", dt=0.002)
    ) == (
        "SynapseDelayCell(delay=0.001..0.0025 [2], max_delay=0.01, learn_delay=True, kernel='gaussian', dt=0.002, "
        "sigma=0.005)"
    )


def test_a_buffer_has_room_for_the_largest_delay():
    assert [buffer_length(t) for t in (0.0001, 0.001, 0.0011, 0.007, 0.3)] == [1, 1, 2, 7, 300]
    assert all(buffer_length(n * dt, dt) == n for dt in (0.001, 0.003, 0.0007, 0.1) for n in range(1, 500))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delay": 0.02}, r"SynapseDelay: argument delay: expects times between 0 and max_delay=0.01 s, got 0.02"),
        ({"delay": torch.tensor([0.001, -0.001])}, r"argument delay: .* got -0.001..0.001 \[2\]"),
        ({"delay": math.nan}, "argument delay: .* got nan"),
        ({"max_delay": 0.0}, "argument max_delay: expects a positive time in s, got 0.0"),
        ({"max_delay": -1.0}, "argument max_delay: expects a positive time in s, got -1.0"),
        ({"max_delay": math.inf}, "argument max_delay: expects a positive time in s, got inf"),
        ({"max_delay": math.nan}, "argument max_delay: expects a positive time in s, got nan"),
        ({"dt": 0.0}, "SynapseDelay: argument dt: "),
        ({"dt": -0.001}, "SynapseDelay: argument dt: "),
        ({"kernel": "cubic"}, "argument kernel: expects 'linear' or 'gaussian', got 'cubic'"),
        ({"kernel": "gaussian", "sigma": 0.0}, "argument sigma: expects a positive time in s, got 0.0"),
        ({"sigma": 0.001}, "argument sigma: expects kernel='gaussian', got kernel='linear'"),
    ],
)
def test_delays_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SynapseDelay(**{"delay": 0.001, "max_delay": 0.01, **arguments})


def test_a_state_of_another_length_or_kind_is_refused():
    layer, x = SynapseDelay(0.001, 0.003), torch.ones(5, 2, 4)
    with pytest.raises(ValueError, match=r"argument state.buffer: expects the last 3 inputs .* got \[4, 2, 4\]"):
        layer(x, SynapseDelayState(torch.zeros(4, 2, 4)))
    with pytest.raises(ValueError, match=r"argument state.buffer: .* got "):
        layer(x, SynapseDelayState(torch.zeros(3, 2, 5)))
    with pytest.raises(ValueError, match=r"argument state.buffer: .* got "):
        layer(x, SynapseDelayState(torch.zeros(3, 3, 4)))
    with pytest.raises(TypeError, match="argument state: expects SynapseDelayState with fields buffer, got Tensor"):
        layer(x, torch.zeros(3, 2, 4))


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"argument p.delay: expects a shape that broadcasts with \[2, 4\], got \[3\]"):
        SynapseDelay(torch.zeros(3), 0.003)(torch.ones(5, 2, 4))
    with pytest.raises(ValueError, match=r"SynapseDelay: argument input_tensor: expects at least the dimensions \[T\]"):
        SynapseDelay(0.001, 0.003)(torch.tensor(1.0))
    with pytest.raises(TypeError, match="argument input_tensor: expects floating point numbers"):
        SynapseDelayCell(0.001, 0.003)(torch.ones(2, dtype=torch.int64))
    p = SynapseDelayParameters(torch.tensor(0.001), 0.003, kernel="gaussian")
    with pytest.raises(ValueError, match=r"argument p.sigma: expects the width"):
        synapse_delay(torch.ones(2, 1), SynapseDelayState(torch.zeros(3, 1)), p)


def test_a_delay_that_became_nan_says_so_in_the_output():
    layer = SynapseDelay(torch.tensor([0.001, 0.002]), 0.003, learn_delay=True)
    with torch.no_grad():
        layer.delay[0] = math.nan
    y, _ = layer(torch.ones(5, 2))
    assert y[:, 0].isnan().all()
    assert not y[:, 1].isnan().any()
