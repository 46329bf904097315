"""Encoders: rates, shapes and reproducibility."""

import pytest
import torch

import norse.torch as snn


def test_poisson_spikes_have_the_rate_of_their_input():
    torch.manual_seed(0)
    x = torch.tensor([0.0, 0.25, 1.0])
    spikes = snn.poisson_encode(x, seq_length=20_000, f_max=400, dt=0.001)
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    assert spikes.mean(0).tolist() == pytest.approx([0.0, 0.1, 0.4], abs=0.02)


def test_poisson_spikes_are_comparisons_with_uniform_draws():
    x, draws = torch.rand(2, 3), torch.Generator().manual_seed(7)
    expected = (torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(7)) < 0.001 * 300 * x).float()
    assert torch.equal(snn.poisson_encode(x, 5, f_max=300, generator=draws), expected)
    one = snn.poisson_encode_step(x, generator=torch.Generator().manual_seed(7))
    assert torch.equal(one, (torch.rand(2, 3, generator=torch.Generator().manual_seed(7)) < x).float())


def test_modules_encode_as_functions_do():
    x = torch.rand(2, 3)
    torch.manual_seed(1)
    spikes, one = snn.PoissonEncoder(5, f_max=500)(x), snn.PoissonEncoderStep(f_max=500)(x)
    torch.manual_seed(1)
    assert torch.equal(spikes, snn.poisson_encode(x, 5, f_max=500))
    assert torch.equal(one, snn.poisson_encode_step(x, f_max=500))
    assert repr(snn.PoissonEncoder(5)) == "PoissonEncoder(seq_length=5, f_max=100, dt=0.001)"


def test_spikes_are_floating_point_numbers_like_their_input():
    assert snn.poisson_encode(torch.ones(2, dtype=torch.float64), 3).dtype == torch.float64
    assert snn.poisson_encode(torch.ones(2, dtype=torch.int64), 3).dtype == torch.float32
