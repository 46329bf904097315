"""Spike functions: Heaviside forward, the published derivative backward."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import norse.torch as snn
from norse.torch.functional.threshold import METHODS, sign, threshold

DERIVATIVES = {
    "super": lambda x, a: 1 / (a * np.abs(x) + 1) ** 2,
    "tanh": lambda x, a: 1 / np.cosh(a * x) ** 2,
    "triangle": lambda x, a: a * np.maximum(1 - np.abs(x), 0),
    "circ": lambda x, a: 2 * a * (-(x**2) / (2 * (a**2 + x**2) ** 1.5) + 1 / (2 * (a**2 + x**2) ** 0.5)),
    "heavi_erfc": lambda x, a: 2 * np.exp(-((a * x) ** 2)) / math.sqrt(math.pi),
}


@pytest.mark.parametrize("alpha", [2.5, torch.tensor(2.5, dtype=torch.float64)], ids=["float", "tensor"])
@pytest.mark.parametrize("method", DERIVATIVES)
def test_the_backward_is_the_published_derivative(method, alpha):
    x = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64, requires_grad=True)
    g = torch.linspace(1.0, 2.0, 31, dtype=torch.float64)
    threshold(x, method, alpha).backward(g)
    expected = g.numpy() * DERIVATIVES[method](x.detach().numpy(), 2.5)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def test_every_method_has_a_derivative_here():
    assert set(METHODS) == {*DERIVATIVES, "heaviside"}


@pytest.mark.parametrize(
    ("function", "method", "default"),
    [
        (snn.super_fn, "super", 100.0),
        (snn.triangle_fn, "triangle", 0.3),
        (snn.heavi_tanh_fn, "tanh", None),
        (snn.heavi_circ_fn, "circ", None),
        (snn.heavi_erfc_fn, "heavi_erfc", None),
    ],
)
def test_the_functions_have_the_derivatives_of_their_methods(function, method, default):
    for alpha in (2.5, default):
        if alpha is None:
            continue
        x = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64, requires_grad=True)
        z = function(x) if alpha == default else function(x, alpha)
        z.sum().backward()
        assert torch.equal(z, (x > 0).double())
        np.testing.assert_allclose(x.grad.numpy(), DERIVATIVES[method](x.detach().numpy(), alpha), rtol=1e-12)


@pytest.mark.parametrize("method", DERIVATIVES)
def test_the_sign_has_twice_the_derivative(method):
    x = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64, requires_grad=True)
    sign(x, method, 2.5).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * DERIVATIVES[method](x.detach().numpy(), 2.5), rtol=1e-12)


@pytest.mark.parametrize("method", DERIVATIVES)
def test_each_neuron_may_have_a_sharpness_of_its_own(method):
    x = torch.full((2, 3), 0.2, dtype=torch.float64, requires_grad=True)
    alpha = torch.tensor([0.5, 2.0, 9.0], dtype=torch.float64)
    threshold(x, method, alpha).sum().backward()
    expected = [DERIVATIVES[method](np.float64(0.2), a) for a in (0.5, 2.0, 9.0)]
    np.testing.assert_allclose(x.grad.numpy(), [expected, expected], rtol=1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=8), st.sampled_from(sorted(METHODS)))
def test_the_forward_is_one_above_zero_and_zero_elsewhere(values, method):
    x = torch.tensor(values)
    assert threshold(x, method, 10.0).tolist() == [float(v > 0) for v in values]
    assert sign(x, method, 10.0).tolist() == [1.0 if v > 0 else -1.0 for v in values]


def test_the_heaviside_has_no_gradient():
    x = torch.ones(3, requires_grad=True)
    assert not snn.heaviside(x).requires_grad
    assert not threshold(x, "heaviside", 100.0).requires_grad


def test_an_unknown_method_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(ValueError, match="'bogus'") as error:
        threshold(torch.ones(1), "bogus", 1.0)
    assert all(name in str(error.value) for name in ("super", "heaviside", "tanh", "triangle", "circ", "heavi_erfc"))


@pytest.mark.parametrize(
    ("draw", "rate", "surrogate"),
    [
        (snn.logistic_fn, lambda x, k: 0.5 + 0.5 * math.tanh(k * x), "tanh"),
        (snn.circ_dist_fn, lambda x, k: 0.5 + 0.5 * x / math.hypot(x, k), "circ"),
    ],
)
def test_stochastic_spikes_have_the_published_rate_and_derivative(draw, rate, surrogate):
    torch.manual_seed(0)
    for level in (-0.7, 0.0, 0.4):
        x = torch.full((20_000,), level, dtype=torch.float64, requires_grad=True)
        spikes = draw(x, 0.8)
        assert set(spikes.unique().tolist()) == {0.0, 1.0}
        assert spikes.mean().item() == pytest.approx(rate(level, 0.8), abs=0.02)  # 5 σ of a Bernoulli mean
        spikes.sum().backward()
        assert x.grad[0].item() == pytest.approx(DERIVATIVES[surrogate](np.float64(level), 0.8), rel=1e-9)


@pytest.mark.parametrize("method", DERIVATIVES)
def test_surrogates_work_under_functional_transforms(method):
    x, alpha = torch.linspace(-1, 1, 6), torch.tensor(3.0)
    expected = torch.from_numpy(DERIVATIVES[method](x.double().numpy(), 3.0)).float()
    one_by_one = torch.func.vmap(torch.func.grad(lambda v: threshold(v, method, alpha)))(x)
    at_once = torch.func.grad(lambda v: threshold(v, method, alpha).sum())(x)
    torch.testing.assert_close(one_by_one, expected)
    torch.testing.assert_close(at_once, expected)
    assert torch.func.vmap(lambda v: threshold(v, method, alpha))(x).tolist() == [0, 0, 0, 1, 1, 1]


def test_the_surrogate_keeps_the_dtype():
    x = torch.randn(4, dtype=torch.bfloat16, requires_grad=True)
    z = threshold(x, "super", torch.tensor(100.0))
    z.sum().backward()
    assert z.dtype == x.grad.dtype == torch.bfloat16
