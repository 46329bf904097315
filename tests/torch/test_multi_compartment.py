"""LIF neurons with coupled membranes: the equations against numpy, and what the coupling does to potentials."""

import numpy as np
import pytest
import torch

from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, LIFState
from norse.torch.functional.lif_mc import lif_mc_feed_forward_step, lif_mc_step
from norse.torch.functional.lif_mc_refrac import lif_mc_refrac_feed_forward_step, lif_mc_refrac_step
from norse.torch.functional.lif_refrac import LIFRefracFeedForwardState, LIFRefracParameters, LIFRefracState
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.lif import LIF, LIFRecurrent
from norse.torch.module.lif_mc import LIFMC, LIFMCCell, LIFMCRecurrent, LIFMCRecurrentCell
from norse.torch.module.lif_mc_refrac import (
    LIFMCRefrac,
    LIFMCRefracCell,
    LIFMCRefracRecurrent,
    LIFMCRefracRecurrentCell,
)

TICKS = 80
P = LIFParameters(*(torch.tensor(value) for value in (150.0, 80.0, 0.25, 0.75, -0.5)))
FEED_FORWARD = [LIFMCCell, LIFMC, LIFMCRefracCell, LIFMCRefrac]
RECURRENT = [LIFMCRecurrentCell, LIFMCRecurrent, LIFMCRefracRecurrentCell, LIFMCRefracRecurrent]
NEVER = torch.tensor(1e9)  # a threshold that nothing reaches


def float64(parameters):
    fields = (f.double() if isinstance(f, torch.Tensor) else f for f in parameters)
    return type(parameters)(*(float64(f) if isinstance(f, LIFParameters) else f for f in fields))


def lif(x, v, i, dt=0.001):
    """One tick of P -> spikes, v, i."""
    syn, mem, leak, th, reset = (float(value) for value in P[:5])
    i = i + x
    u = v + dt * mem * (leak - v + i)
    fired = u > th
    return fired.astype(float), np.where(fired, reset, u), i * (1 - dt * syn)


def lif_mc_refrac(x, v, i, rho, g, ticks, dt=0.001):
    """One tick of P with a refractory period -> spikes, v, i, rho."""
    syn, mem, leak, th, reset = (float(value) for value in P[:5])
    refractory = rho > 0
    u = v + np.where(refractory, 0, dt * mem * (leak - v + i)) + v @ g.T
    fired = u > th
    rho = np.where(fired, ticks, np.maximum(rho - refractory, 0))
    return fired.astype(float), np.where(fired, reset, u), i * (1 - dt * syn) + x, rho


def network(seed, coupling):
    random = np.random.default_rng(seed)
    xs, w_in, w_rec = random.random((TICKS, 2, 3)), random.normal(0.5, 1.5, (4, 3)), random.normal(0, 1.5, (4, 4))
    return xs, w_in, w_rec, random.normal(0, coupling, (4, 4))


def assert_same(ours, theirs):
    for field, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(field.detach().numpy(), expected, rtol=1e-6, atol=1e-9)


def as_tensors(*arrays):
    return tuple(torch.tensor(array) for array in arrays)


class TestEquations:
    def test_feed_forward_the_coupling_comes_first(self):
        random = np.random.default_rng(0)
        xs, g = random.normal(0.5, 1.5, (TICKS, 2, 4)), random.normal(0, 60, (4, 4))
        v, i, total = np.full((2, 4), 0.25), np.zeros((2, 4)), 0
        state = LIFFeedForwardState(*as_tensors(v, i))
        for x in xs:
            z, v, i = lif(x, v + 0.001 * v @ g.T, i)
            ours, state = lif_mc_feed_forward_step(*as_tensors(x), state, *as_tensors(g), float64(P))
            assert_same((ours, *state), (z, v, i))
            total += z.sum()
        assert 10 < total < xs.size / 2

    def test_recurrent_the_coupling_comes_last(self):
        xs, w_in, w_rec, g = network(1, 60)
        z, v, i, total = np.zeros((2, 4)), np.full((2, 4), 0.25), np.zeros((2, 4)), 0
        state = LIFState(*as_tensors(z, v, i))
        for x in xs:
            z, v, i = lif(x @ w_in.T + z @ w_rec.T, v, i)
            v = v + 0.001 * v @ g.T
            ours, state = lif_mc_step(*as_tensors(x), state, *as_tensors(w_in, w_rec, g), float64(P))
            assert_same((ours, *state), (z, z, v, i))
            total += z.sum()
        assert 10 < total < TICKS * 4

    def test_with_a_refractory_period_feed_forward(self):
        random = np.random.default_rng(2)
        xs, g = random.normal(0.5, 1.5, (TICKS, 2, 4)), random.normal(0, 0.05, (4, 4))
        v, i, rho, total = np.full((2, 4), 0.25), np.zeros((2, 4)), np.zeros((2, 4)), 0
        state = LIFRefracFeedForwardState(LIFFeedForwardState(*as_tensors(v, i)), *as_tensors(rho))
        p = LIFRefracParameters(float64(P), torch.tensor(3.0).double())
        for x in xs:
            z, v, i, rho = lif_mc_refrac(x, v, i, rho, g, 3)
            ours, state = lif_mc_refrac_feed_forward_step(*as_tensors(x), state, *as_tensors(g), p)
            assert_same((ours, *state.lif, state.rho), (z, v, i, rho))
            total += z.sum()
        assert 10 < total < xs.size / 2

    def test_with_a_refractory_period_recurrent(self):
        xs, w_in, w_rec, g = network(3, 0.05)
        z, v, i, rho, total = np.zeros((2, 4)), np.full((2, 4), 0.25), np.zeros((2, 4)), np.zeros((2, 4)), 0
        state = LIFRefracState(LIFState(*as_tensors(z, v, i)), *as_tensors(rho))
        p = LIFRefracParameters(float64(P), torch.tensor(3.0).double())
        for x in xs:
            z, v, i, rho = lif_mc_refrac(x @ w_in.T + z @ w_rec.T, v, i, rho, g, 3)
            ours, state = lif_mc_refrac_step(*as_tensors(x), state, *as_tensors(w_in, w_rec, g), p)
            assert_same((ours, *state.lif, state.rho), (z, z, v, i, rho))
            total += z.sum()
        assert 10 < total < TICKS * 4

    def test_without_coupling_they_are_lif_neurons(self):
        x, none = 3 * torch.rand(TICKS, 2, 3), torch.zeros(3, 3)
        assert torch.equal(LIFMC(3, P, none)(x)[0], LIF(P)(x)[0])
        weights = {"input_weights": torch.randn(4, 3), "recurrent_weights": torch.randn(4, 4)}
        coupled = LIFMCRecurrent(3, 4, P, torch.zeros(4, 4), **weights)
        assert torch.equal(coupled(x)[0], LIFRecurrent(3, 4, P, **weights)(x)[0])


def diffusion(n, strength):
    """Coupling of compartments in a row: symmetric, and each row (and column) sums to 0."""
    g = torch.diag(torch.ones(n - 1), 1) + torch.diag(torch.ones(n - 1), -1)
    return strength * (g - torch.diag(g.sum(1)))


class TestCoupling:
    no_leak = LIFParameters(tau_mem_inv=torch.tensor(0.0), v_th=NEVER)
    v = torch.tensor([[1.0, 0.0, 0.0, 0.0, -3.0]])

    def run(self, layer, ticks):
        state = LIFFeedForwardState(v=self.v, i=torch.zeros(1, 5))
        if isinstance(layer, LIFMCRefrac):
            state = LIFRefracFeedForwardState(state, rho=torch.zeros(1, 5))
        last = layer(torch.zeros(ticks, 1, 5), state)[1]
        return getattr(last, "lif", last).v

    def layers(self, strength):
        return (
            LIFMC(5, self.no_leak, diffusion(5, strength)),
            LIFMCRefrac(5, LIFRefracParameters(self.no_leak), diffusion(5, strength * 0.001)),
        )

    def test_conserves_the_sum_of_the_potentials(self):
        for layer in self.layers(100.0):
            for ticks in (1, 10, 1000):
                assert self.run(layer, ticks).sum().item() == pytest.approx(-2.0, abs=1e-4)

    def test_makes_the_potentials_equal(self):
        for layer in self.layers(100.0):
            torch.testing.assert_close(self.run(layer, 2000), torch.full((1, 5), -0.4), atol=1e-4, rtol=0)

    def test_the_difference_of_two_compartments_decays_at_twice_the_coupling(self):
        """d(v₀ - v₁)/dt = -2 g (v₀ - v₁)."""
        layer = LIFMC(2, float64(self.no_leak), diffusion(2, 20.0).double(), dt=1e-4)
        state = LIFFeedForwardState(torch.tensor([[0.8, 0.2]]).double(), torch.zeros(1, 2).double())
        _, last = layer(torch.zeros(500, 1, 2, dtype=torch.float64), state)
        assert (last.v[0, 0] - last.v[0, 1]).item() == pytest.approx(0.6 * np.exp(-2 * 20 * 0.05), rel=0.01)

    def test_an_antisymmetric_coupling_conserves_the_sum_of_squares(self):
        g = torch.tensor([[0.0, 5.0], [-5.0, 0.0]], dtype=torch.float64)
        layer = LIFMC(2, float64(self.no_leak), g, dt=1e-4)
        state = LIFFeedForwardState(torch.tensor([[0.6, 0.8]]).double(), torch.zeros(1, 2).double())
        _, last = layer(torch.zeros(1000, 1, 2, dtype=torch.float64), state)
        assert last.v.square().sum().item() == pytest.approx(1.0, rel=1e-3)
        assert last.v[0, 0].item() == pytest.approx(0.6 * np.cos(0.5) + 0.8 * np.sin(0.5), rel=1e-3)

    def test_makes_a_neuron_without_input_fire(self):
        x = torch.zeros(100, 1, 2)
        x[..., 0] = 0.5
        p = LIFParameters(v_th=torch.tensor([10.0, 1.0]))
        alone, _ = LIFMC(2, p, torch.zeros(2, 2))(x)
        coupled, _ = LIFMC(2, p, diffusion(2, 400.0))(x)
        assert alone[..., 1].sum() == 0
        assert coupled[..., 1].sum() > 0

    def test_a_refractory_neuron_hears_its_neighbours_but_not_its_synapse(self):
        state = LIFRefracFeedForwardState(
            LIFFeedForwardState(v=torch.tensor([[0.0, 0.4]]), i=torch.full((1, 2), 3.0)), rho=torch.tensor([[2.0, 2.0]])
        )
        _, state = LIFMCRefracCell(2, g_coupling=diffusion(2, 0.25))(torch.zeros(1, 2), state)
        torch.testing.assert_close(state.lif.v, torch.tensor([[0.1, 0.3]]))
        assert state.rho.tolist() == [[1.0, 1.0]]

    def test_no_spike_for_rho_reset_ticks_without_coupling(self):
        layer = LIFMCRefrac(1, LIFRefracParameters(rho_reset=torch.tensor(4.0)), torch.zeros(1, 1))
        z, _ = layer(torch.full((60, 1, 1), 20.0))
        assert z.sum() > 5
        assert z[:, 0, 0].nonzero()[:, 0].diff().min() == 5


class TestModules:
    @pytest.mark.parametrize("module", FEED_FORWARD)
    def test_the_coupling_is_learnt_and_starts_at_one_over_the_root_of_its_size(self, module):
        torch.manual_seed(0)
        layer = module(100)
        assert isinstance(layer.g_coupling, torch.nn.Parameter)
        assert layer.g_coupling.std().item() == pytest.approx(1 / 10, rel=0.05)
        assert "g_coupling" in layer.state_dict()

    @pytest.mark.parametrize("module", RECURRENT)
    def test_recurrent_ones_have_weights_besides(self, module):
        layer = module(3, 4)
        assert {name: tuple(w.shape) for name, w in layer.named_parameters()} == {
            "input_weights": (4, 3),
            "recurrent_weights": (4, 4),
            "g_coupling": (4, 4),
        }
        assert (layer.recurrent_weights.diagonal() == 0).all()
        assert (layer.g_coupling.diagonal() != 0).all()

    @pytest.mark.parametrize("module", FEED_FORWARD)
    def test_a_given_coupling_is_used_as_it_is(self, module):
        g = torch.eye(3)
        layer = module(3, g_coupling=g)
        assert layer.g_coupling is g
        assert not list(layer.parameters())

    @pytest.mark.parametrize("module", FEED_FORWARD)
    def test_gradients_reach_the_coupling(self, module):
        layer = module(3)
        x = 0.1 * (torch.ones(2, 2, 3) if isinstance(layer, LIFMC | LIFMCRefrac) else torch.ones(2, 3))
        state = None
        for _ in range(3):
            _, state = layer(x, state)
        getattr(state, "lif", state).v.sum().backward()
        assert layer.g_coupling.grad.abs().sum() > 0

    def test_the_gradient_of_the_reset_is_detached_in_lif_mc_only(self):
        """u = 1.01: a reset to 0 lets no gradient through but that of the spike, which is the surrogate's 1/4."""
        one, zero = torch.ones(1, 1).double(), torch.zeros(1, 1).double()
        v = (one * 1.01 / 0.9).requires_grad_()
        _, state = lif_mc_step(zero, LIFState(zero, v, zero), one, zero, zero, float64(LIFParameters()))
        assert torch.autograd.grad(state.v.sum(), v)[0].item() == 0
        p = float64(LIFRefracParameters())
        _, state = lif_mc_refrac_step(zero, LIFRefracState(LIFState(zero, v, zero), zero), one, zero, zero, p)
        (gradient,) = torch.autograd.grad(state.lif.v.sum(), v)
        assert gradient.item() == pytest.approx(-1.01 * 0.9 / 4, rel=1e-6)

    def test_a_reset_by_subtraction(self):
        zero = torch.zeros(1, 1)
        p = LIFParameters(reset_method=reset_subtract)
        _, state = lif_mc_feed_forward_step(zero, LIFFeedForwardState(zero + 2, zero), zero, p)
        assert state.v.item() == pytest.approx(0.8)
        refrac = LIFRefracFeedForwardState(LIFFeedForwardState(zero + 2, zero), zero)
        _, state = lif_mc_refrac_feed_forward_step(zero, refrac, zero, LIFRefracParameters(p))
        assert state.lif.v.item() == pytest.approx(0.8)

    @pytest.mark.parametrize(("module", "shape"), [(LIFMCCell, (3,)), (LIFMC, (5, 3)), (LIFMCRefracCell, (3,))])
    def test_without_a_batch(self, module, shape):
        layer, x = module(3), torch.rand(shape)
        batched = x[:, None] if len(shape) > 1 else x[None]
        torch.testing.assert_close(layer(x)[0], layer(batched)[0].reshape(shape))

    @pytest.mark.parametrize("module", FEED_FORWARD)
    def test_another_number_of_inputs_than_compartments(self, module):
        layer = module(3)
        for shape in ((2, 4, 4), (2, 4, 1)):
            with pytest.raises(
                ValueError, match=rf"{module.__name__}: argument input_tensor: .*N = 3 compartments, got"
            ):
                layer(torch.ones(shape))
        with pytest.raises(ValueError, match=r"compartments, got shape \[\]"):
            layer(torch.tensor(1.0))

    @pytest.mark.parametrize("module", [LIFMC, LIFMCRefrac])
    def test_an_input_without_time(self, module):
        with pytest.raises(ValueError, match=r"expects \[T, \.\.\., N\] with N = 3 compartments, got shape \[3\]"):
            module(3)(torch.ones(3))

    def test_a_coupling_of_another_shape(self):
        for module in FEED_FORWARD:
            with pytest.raises(ValueError, match=r"argument g_coupling: expects shape \[3, 3\], got \[3, 4\]"):
                module(3, g_coupling=torch.ones(3, 4))
        for module in RECURRENT:
            with pytest.raises(ValueError, match=r"argument g_coupling: expects shape \[3, 3\], got \[2, 2\]"):
                module(2, 3, g_coupling=torch.ones(2, 2))

    @pytest.mark.parametrize("module", FEED_FORWARD)
    def test_a_negative_size(self, module):
        with pytest.raises(ValueError, match=r"argument hidden_size: expects at least 0, got -1"):
            module(-1)
