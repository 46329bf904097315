"""Encoders: rates, latencies and populations, against statistics and closed forms."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats

from norse.torch.functional.encode import (
    constant_current_lif_encode,
    euclidean_distance,
    gaussian_rbf,
    poisson_encode,
    poisson_encode_step,
    population_encode,
    signed_poisson_encode,
    signed_poisson_encode_step,
    spike_latency_encode,
    spike_latency_lif_encode,
)
from norse.torch.functional.lif import LIFParameters
from norse.torch.module.encode import (
    ConstantCurrentLIFEncoder,
    PoissonEncoder,
    PoissonEncoderStep,
    PopulationEncoder,
    SignedPoissonEncoder,
    SignedPoissonEncoderStep,
    SpikeLatencyEncoder,
    SpikeLatencyLIFEncoder,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Poisson


def test_poisson_spikes_have_the_rate_of_their_input():
    x = torch.tensor([0.0, 0.25, 1.0])
    spikes = poisson_encode(x, seq_length=20_000, f_max=400, dt=0.001, generator=seeded(0))
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert spikes.mean(0).tolist() == pytest.approx([0.0, 0.1, 0.4], abs=0.02)


def test_counts_of_poisson_spikes_are_binomial():
    spikes = poisson_encode(torch.full((5000,), 0.5), seq_length=20, f_max=600, generator=seeded(1))
    counts = np.bincount(spikes.sum(0).int().numpy(), minlength=21)
    expected = 5000 * stats.binom.pmf(np.arange(21), 20, 0.3)
    seen, tail = slice(1, 12), 12  # fewer than five expected in each bin beyond
    observed = [counts[0], *counts[seen], counts[tail:].sum()]
    assert stats.chisquare(observed, [expected[0], *expected[seen], expected[tail:].sum()]).pvalue > 0.01


def test_intervals_between_poisson_spikes_are_geometric():
    spikes = poisson_encode(torch.tensor(1.0), seq_length=100_000, f_max=200, generator=seeded(2))
    intervals = spikes.nonzero()[:, 0].diff().numpy()
    counts = [*np.bincount(intervals, minlength=31)[1:31], (intervals > 30).sum()]
    expected = [*stats.geom.pmf(np.arange(1, 31), 0.2), stats.geom.sf(30, 0.2)]
    assert stats.chisquare(counts, np.array(expected) * len(intervals)).pvalue > 0.01


def test_poisson_spikes_are_comparisons_with_uniform_draws():
    x = torch.rand(2, 3)
    expected = (torch.rand(5, 2, 3, generator=seeded(7)) < 0.001 * 300 * x).float()
    assert torch.equal(poisson_encode(x, 5, f_max=300, generator=seeded(7)), expected)
    one = poisson_encode_step(x, generator=seeded(7))
    assert torch.equal(one, (torch.rand(2, 3, generator=seeded(7)) < x).float())


def test_signed_poisson_spikes_have_the_sign_of_their_input_and_the_rate_of_its_size():
    x = torch.tensor([-1.0, -0.2, 0.0, 0.5])
    signed = signed_poisson_encode(x, 50, f_max=600, generator=seeded(3))
    assert torch.equal(signed, poisson_encode(x.abs(), 50, f_max=600, generator=seeded(3)) * x.sign())
    assert signed.min() == -1 and signed.max() == 1
    one = signed_poisson_encode_step(x, generator=seeded(3))
    assert torch.equal(one, poisson_encode_step(x.abs(), generator=seeded(3)) * x.sign())


@pytest.mark.parametrize("encode", [poisson_encode, signed_poisson_encode])
def test_spikes_are_floating_point_numbers_like_their_input(encode):
    assert encode(torch.ones(2, dtype=torch.float64), 3).dtype == torch.float64
    assert encode(torch.ones(2, dtype=torch.bfloat16), 3).dtype == torch.bfloat16
    assert encode(torch.ones(2, dtype=torch.int64), 3).dtype == torch.float32
    assert encode(torch.ones(2, 3), 0).shape == (0, 2, 3)


# Constant currents and latencies


def numpy_lif_spikes(current: np.ndarray, ticks: int, dt: float, rate: float, leak: float, th: float, reset: float):
    v, spikes = np.zeros_like(current), []
    for _ in range(ticks):
        v = v + dt * rate * (leak - v + current)
        spikes.append(v > th)
        v = np.where(spikes[-1], reset, v)
    return np.array(spikes, dtype=float)


def test_a_constant_current_gives_the_spikes_of_the_membrane_equation():
    current = torch.tensor([0.1, 0.6, 1.3, 4.0], dtype=torch.float64)
    numbers = {"tau_mem_inv": 80.0, "v_leak": 0.2, "v_th": 0.7, "v_reset": -0.3}
    p = LIFParameters(**{name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()})
    expected = numpy_lif_spikes(current.numpy(), 200, 0.002, *numbers.values())
    assert expected.sum(0).min() == 0 and expected.sum(0).max() > 20
    assert np.array_equal(constant_current_lif_encode(current, 200, p, dt=0.002).numpy(), expected)


def first_spike(current: float) -> int:
    """The first tick n, from 1, with x (1 - (1 - dt τm⁻¹)ⁿ) > v_th; dt τm⁻¹ = 0.1, v_th = 1."""
    return math.floor(math.log(1 - 1 / current) / math.log(0.9)) + 1


@pytest.mark.parametrize("current", [1.01, 1.37, 2.2, 3.3, 7.7, 50.0])
def test_a_constant_current_spikes_with_the_period_of_its_closed_form(current):
    spikes = constant_current_lif_encode(torch.tensor([current], dtype=torch.float64), 200)[:, 0]
    ticks = spikes.nonzero()[:, 0] + 1
    period = first_spike(current)
    assert ticks.tolist() == list(range(period, 201, period))


def test_the_first_spike_of_a_current_is_its_latency_in_closed_form():
    currents = torch.linspace(1.03, 20, 50, dtype=torch.float64)
    spikes = spike_latency_lif_encode(currents, 100)
    assert torch.equal(spikes.sum(0), torch.ones(50, dtype=torch.float64))
    assert (spikes.argmax(0) + 1).tolist() == [first_spike(x) for x in currents.tolist()]


def test_a_current_below_threshold_never_spikes():
    assert not spike_latency_lif_encode(torch.tensor([-3.0, 0.0, 0.99]), 500).any()


def test_only_the_first_spike_of_each_train_is_kept():
    spikes = (torch.rand(30, 4, 5, generator=seeded(4)) < 0.1).float()
    expected = np.zeros_like(spikes.numpy())
    for b, n in np.ndindex(4, 5):
        for t in range(30):
            if spikes[t, b, n]:
                expected[t, b, n] = 1
                break
    assert 0 < expected.sum() < spikes.sum()
    assert np.array_equal(spike_latency_encode(spikes).numpy(), expected)
    assert torch.equal(spike_latency_encode(spikes.bool()), torch.tensor(expected).bool())


def test_the_gradient_of_a_latency_passes_up_to_the_first_spike():
    spikes = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    spike_latency_encode(spikes.T).sum().backward()
    assert spikes.grad.tolist() == [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]


def test_spikes_of_a_current_keep_its_dtype_and_give_it_a_gradient():
    current = torch.full((2, 3), 2.0, dtype=torch.float64, requires_grad=True)
    spikes = constant_current_lif_encode(current, 50)
    assert spikes.dtype == torch.float64
    spikes.sum().backward()
    assert (current.grad > 0).all()
    assert constant_current_lif_encode(torch.full((2,), 3), 10).dtype == torch.float32
    assert constant_current_lif_encode(current, 0).shape == (0, 2, 3)


# Populations


def numpy_population(x: np.ndarray, n: int, scale: float) -> np.ndarray:
    centres = np.arange(n) * scale / (n - 1)
    return np.exp(-((x[..., None] - centres) ** 2) * scale / 2)


@pytest.mark.parametrize("scale", [None, 0, 2.5, torch.tensor(2.5), torch.tensor(0.0)])
def test_a_population_has_gaussian_tuning_curves(scale):
    x = torch.rand(4, 3, generator=seeded(5), dtype=torch.float64) * 2
    expected = numpy_population(x.numpy(), 7, float(scale) if scale else x.max().item())
    encoded = population_encode(x, 7, scale)
    assert encoded.dtype == torch.float64
    np.testing.assert_allclose(encoded.numpy(), expected, rtol=1e-6)  # a scale of float32


@pytest.mark.parametrize("scale", [None, 1.5])
def test_the_gradient_of_a_population_is_that_of_finite_differences(scale):
    x = torch.rand(4, 3, generator=seeded(5), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: population_encode(x, 5, scale), x)


def test_kernel_and_distance_of_a_population_are_the_users():
    x = torch.tensor([0.0, 2.0])
    rectangle = population_encode(x, 3, kernel=lambda d: (d <= 2).float(), distance_function=lambda x, y: (x - y).abs())
    assert rectangle.tolist() == [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]


def test_a_population_of_one_prefers_zero_and_integers_are_encoded_as_numbers():
    assert population_encode(torch.tensor([0.0, 2.0]), 1).tolist() == [[1.0], pytest.approx([math.exp(-4)])]
    assert torch.equal(population_encode(torch.tensor([0, 2]), 3), population_encode(torch.tensor([0.0, 2.0]), 3))


def test_a_fractional_scale_of_a_population_is_kept_for_integers():
    values = torch.tensor([0, 1, 2])
    torch.testing.assert_close(population_encode(values, 3, 2.5), population_encode(values.float(), 3, 2.5))


def test_radial_basis_and_distance_are_their_formulas():
    assert gaussian_rbf(torch.tensor(2.0), sigma=2).item() == pytest.approx(math.exp(-0.25))
    assert euclidean_distance(torch.tensor(2.0), torch.tensor(-1.0)) == 9


# Modules


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (PoissonEncoder(5, f_max=500), lambda x: poisson_encode(x, 5, f_max=500)),
        (PoissonEncoderStep(f_max=500), lambda x: poisson_encode_step(x, f_max=500)),
        (SignedPoissonEncoder(5, f_max=500, dt=0.002), lambda x: signed_poisson_encode(x, 5, f_max=500, dt=0.002)),
        (SignedPoissonEncoderStep(), signed_poisson_encode_step),
        (PopulationEncoder(4, scale=3), lambda x: population_encode(x, 4, 3)),
        (ConstantCurrentLIFEncoder(9, dt=0.002), lambda x: constant_current_lif_encode(x, 9, dt=0.002)),
        (SpikeLatencyLIFEncoder(9, dt=0.002), lambda x: spike_latency_lif_encode(x, 9, dt=0.002)),
        (SpikeLatencyEncoder(), spike_latency_encode),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else "",
)
def test_modules_encode_as_functions_do(module, function):
    x = torch.linspace(-1, 6, 12).reshape(4, 3)
    torch.manual_seed(1)
    encoded = copy.deepcopy(module)(x)
    torch.manual_seed(1)
    assert torch.equal(encoded, function(x))


def test_modules_show_what_they_do():
    assert repr(PoissonEncoder(5)) == "PoissonEncoder(seq_length=5, f_max=100, dt=0.001)"
    assert repr(SignedPoissonEncoderStep()) == "SignedPoissonEncoderStep(f_max=1000, dt=0.001)"
    assert repr(PopulationEncoder(3)) == "PopulationEncoder(out_features=3, scale=None)"
    assert "seq_length=4, p=LIFParameters(" in repr(ConstantCurrentLIFEncoder(4))


def test_a_learnt_threshold_of_an_encoder_is_its_parameter():
    threshold = torch.nn.Parameter(torch.tensor(2.0))
    encoder = ConstantCurrentLIFEncoder(50, LIFParameters(v_th=threshold))
    assert list(encoder.parameters()) == [threshold]
    encoder(torch.full((3,), 4.0)).sum().backward()
    assert threshold.grad < 0


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda x: poisson_encode(x, -1), "poisson_encode: argument seq_length: expects a number of ticks, got -1"),
        (lambda x: poisson_encode(x, 1, dt=0), "argument dt: expects a positive time step, got 0"),
        (lambda x: signed_poisson_encode_step(x, f_max=-1), "argument f_max: expects a rate in Hz .* got -1"),
        (lambda x: spike_latency_lif_encode(x, 3, dt=math.nan), "argument dt: expects a positive time step, got nan"),
        (lambda x: population_encode(x, 0), "argument out_features: expects at least 1, got 0"),
        (lambda x: population_encode(x, 3, torch.ones(2)), r"argument scale: expects one number, got shape \[2\]"),
    ],
)
def test_what_cannot_be_encoded_is_refused(encode, message):
    with pytest.raises(ValueError, match=message):
        encode(torch.ones(2))


def test_a_fraction_of_a_tick_is_refused():
    with pytest.raises(TypeError, match=r"argument seq_length: expects a number of ticks, got 1\.5"):
        PoissonEncoder(1.5)(torch.ones(2))
