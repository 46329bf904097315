"""Decoders: sums and spike times, with their gradients."""

import numpy as np
import pytest
import torch

from norse.torch.functional.decode import sum_decode
from norse.torch.functional.spikes_to_times_decoder import ToSpikeTimes
from norse.torch.module.spikes_to_times_decoder import SpikesToTimesDecoder


def random_spikes(ticks: int, *shape: int, rate: float = 0.2, seed: int = 0) -> torch.Tensor:
    return (torch.rand(ticks, *shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def numpy_first_ticks(spikes: np.ndarray, count: int) -> np.ndarray:
    ticks = np.full((min(count, len(spikes)), *spikes.shape[1:]), np.inf)
    for train in np.ndindex(*spikes.shape[1:]):
        own = np.flatnonzero(spikes[(slice(None), *train)])[:count]
        ticks[(slice(len(own)), *train)] = own
    return ticks


def test_a_sum_counts_spikes_over_time():
    spikes = random_spikes(20, 3, 4)
    assert np.array_equal(sum_decode(spikes).numpy(), spikes.numpy().sum(0))
    assert np.array_equal(sum_decode(spikes, 1).numpy(), spikes.numpy().sum(1))


@pytest.mark.parametrize("count", [1, 2, 5, 40])
@pytest.mark.parametrize("shape", [(), (6,), (3, 4), (2, 3, 2, 2)])
def test_the_first_spikes_are_decoded_to_their_times(count, shape):
    spikes = random_spikes(30, *shape)
    ticks = numpy_first_ticks(spikes.numpy(), count)
    decoded = SpikesToTimesDecoder(count, convert_indices_to_times=False)(spikes)
    assert np.array_equal(decoded.numpy(), ticks)
    times = SpikesToTimesDecoder(torch.tensor(count), dt=0.005)(spikes)
    np.testing.assert_allclose(times.numpy(), ticks * 0.005, rtol=1e-6)


@pytest.mark.parametrize(("convert", "factor"), [(True, 0.005), (False, 1.0)])
def test_the_gradient_of_a_time_falls_on_its_spike_with_the_opposite_sign(convert, factor):
    spikes = random_spikes(30, 3, 4, rate=0.1).double().requires_grad_()
    decoded = SpikesToTimesDecoder(4, convert_indices_to_times=convert, dt=0.005)(spikes)
    assert decoded.isinf().any() and decoded.isfinite().any()
    g = torch.randn(decoded.shape, dtype=torch.float64)
    decoded.backward(g)
    expected = np.zeros(spikes.shape)
    ticks = numpy_first_ticks(spikes.detach().numpy(), 4)
    for j, b, n in np.argwhere(np.isfinite(ticks)):
        expected[int(ticks[j, b, n]), b, n] = -factor * g[j, b, n]
    np.testing.assert_allclose(spikes.grad.numpy(), expected, rtol=1e-12)


def test_a_train_without_spikes_gets_no_gradient_even_from_an_infinite_loss():
    spikes = torch.zeros(5, 2, requires_grad=True)
    ((SpikesToTimesDecoder(2)(spikes) - 0.01) ** 2).sum().backward()
    assert not spikes.grad.any()


def test_a_sequence_shorter_than_the_count_gives_as_many_times_as_ticks():
    assert SpikesToTimesDecoder(5)(torch.ones(3, 2)).shape == (3, 2)
    empty = torch.zeros(0, 2, requires_grad=True)
    times = SpikesToTimesDecoder(5)(empty)
    assert times.shape == (0, 2)
    times.sum().backward()
    assert empty.grad.shape == (0, 2)


def test_signed_and_boolean_spikes_have_times_too():
    assert SpikesToTimesDecoder(2, False)(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0.0, 2.0]
    assert SpikesToTimesDecoder(2, False)(torch.tensor([True, False, True])).tolist() == [0.0, 2.0]


def test_the_order_of_late_spikes_survives_a_coarse_dtype():
    late = torch.zeros(600, 1, dtype=torch.bfloat16)
    late[[511, 513]] = 1
    late.requires_grad_()
    ticks = ToSpikeTimes.apply(late, 2)
    assert ticks.dtype == torch.bfloat16
    ticks.backward(torch.tensor([[1.0], [2.0]], dtype=torch.bfloat16))
    assert late.grad.nonzero()[:, 0].tolist() == [511, 513]
    assert late.grad[513].item() == -2


def test_spike_times_and_their_gradients_can_be_mapped():
    spikes = random_spikes(12, 5, 3)

    def loss(train):
        times = ToSpikeTimes.apply(train, 2)
        return torch.where(times.isfinite(), times, 0).sum()

    mapped = torch.func.vmap(torch.func.grad(loss), in_dims=1, out_dims=1)(spikes)
    assert torch.equal(mapped, torch.func.grad(loss)(spikes))


def test_a_later_target_moves_a_spike_later():
    weight = torch.tensor(2.0, requires_grad=True)
    v = torch.cumsum(weight * torch.full((50,), 0.05), 0)
    spikes = (v > 1).float() + v - v.detach()  # straight through
    (time,) = SpikesToTimesDecoder(1)(torch.where(v > 1, spikes, 0))
    (time - 0.02).square().backward()  # the spike comes at 0.010 s
    assert weight.grad > 0


def test_a_decoder_shows_what_it_does():
    expected = "SpikesToTimesDecoder(spike_count=3, convert_indices_to_times=True, dt=0.001)"
    assert repr(SpikesToTimesDecoder(torch.tensor(3))) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spike_count": 0}, "SpikesToTimesDecoder: argument spike_count: expects at least 1, got 0"),
        ({"spike_count": torch.tensor(-2)}, "argument spike_count: expects at least 1, got -2"),
        ({"dt": 0.0}, "SpikesToTimesDecoder: argument dt: "),
    ],
)
def test_what_cannot_be_decoded_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpikesToTimesDecoder(**arguments)
