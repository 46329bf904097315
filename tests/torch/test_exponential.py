"""The exponential integrator, against the matrix exponential of its differential equations and against its limits."""

import warnings
from itertools import pairwise

import pytest
import torch

import norse
import norse.torch as snn
from norse.torch.functional.exponential import (
    li_feed_forward_step_exponential,
    lif_feed_forward_step_exponential,
)

D = torch.float64
RATES = [(100.0, 200.0), (200.0, 100.0), (150.0, 150.0), (150.0, 150.0 + 1e-5), (3000.0, 1.0)]


def tensor(*values):
    return torch.tensor(values, dtype=D)


def solution(v, i, v_leak, membrane, synapse, time):
    """exp(A t) of d/dt (v - v_leak, i) = A (v - v_leak, i)."""
    matrix = tensor([-membrane, membrane], [0.0, -synapse])
    return torch.linalg.matrix_exp(matrix * time) @ tensor(v - v_leak, i) + tensor(v_leak, 0.0)


class TestSteps:
    @pytest.mark.parametrize(("membrane", "synapse"), RATES)
    @pytest.mark.parametrize("dt", [1e-4, 1e-3, 0.02])
    def test_a_tick_is_the_solution_of_the_differential_equations(self, membrane, synapse, dt):
        p = snn.LIParameters(tensor(synapse), tensor(membrane), tensor(0.3))
        state = snn.LIState(v=tensor(0.7), i=tensor(-0.4))
        v, after = li_feed_forward_step_exponential(tensor(1.5), state, p, dt)
        expected = solution(0.7, -0.4 + 1.5, 0.3, membrane, synapse, dt)
        assert torch.allclose(torch.stack([v[0], after.i[0]]), expected, rtol=1e-9, atol=1e-12)

    def test_python_numbers_are_parameters_too(self):
        state = snn.LIState(v=torch.zeros(1), i=torch.zeros(1))
        ours = li_feed_forward_step_exponential(torch.ones(1), state, snn.LIParameters(200.0, 100.0, 0.0))
        assert torch.allclose(ours[0], li_feed_forward_step_exponential(torch.ones(1), state, snn.LIParameters())[0])

    @pytest.mark.parametrize("distance", [0.0, 1e-4, 50.0])
    def test_derivatives_are_right_where_the_rates_are_equal_too(self, distance):
        def tick(x, v, i, synapse, membrane):
            p = snn.LIParameters(synapse, membrane, tensor(0.1))
            after = li_feed_forward_step_exponential(x, snn.LIState(v=v, i=i), p, 0.001)
            return after[0], after[1].i

        inputs = [tensor(value).requires_grad_() for value in (0.5, 0.2, 0.3, 150.0 + distance, 150.0)]
        assert torch.autograd.gradcheck(tick, inputs, eps=1e-3, atol=1e-7)

    def test_spikes_reset_as_in_forward_euler(self):
        p = snn.LIFParameters(v_th=torch.tensor(0.05), v_reset=torch.tensor(-0.2))
        z, state = lif_feed_forward_step_exponential(
            torch.tensor([0.1, 1.0]), snn.LIFFeedForwardState(v=torch.zeros(2), i=torch.zeros(2)), p
        )
        assert z.tolist() == [0.0, 1.0]
        assert state.v[1].item() == pytest.approx(-0.2)


class TestResetInTheTick:
    """Against a thousand small steps a tick, of forward Euler in float64."""

    @pytest.mark.parametrize("method", [snn.reset_value, snn.reset_subtract])
    def test_a_membrane_goes_on_from_where_it_was_reset(self, method):
        p = snn.LIFBoxParameters(tensor(100.0), tensor(0.1), tensor(1.0), tensor(-0.3), reset_method=method)
        cell, x = snn.LIFBoxCell(p, integrator="exponential"), 1.0 + 2.0 * torch.rand(60, 1, 1, dtype=D)
        state, v, spikes, parts = None, 0.1, 0, 20_000
        for tick in x:
            z, state = cell(tick, state)
            fired = 0
            for _ in range(parts):
                v += 0.001 / parts * 100.0 * (0.1 - v + tick.item())
                if v > 1.0:
                    v, fired = (-0.3 if method is snn.reset_value else v - 1.0), fired + 1
            spikes += fired
            assert z.item() == fired
            assert state.v.item() == pytest.approx(v, abs=2e-4)
        assert spikes > 5

    def test_one_that_starts_above_the_threshold_is_reset_at_once(self):
        p = snn.LIFBoxParameters(tensor(100.0), tensor(0.0), tensor(1.0), tensor(0.0))
        cell = snn.LIFBoxCell(p, integrator="exponential")
        z, state = cell(tensor([0.5]), snn.LIFBoxFeedForwardState(v=tensor([2.0])))
        assert z.item() == 1
        assert state.v.item() == pytest.approx(0.5 * (1 - torch.exp(tensor(-0.1)).item()))


CELLS = {
    "LI": (snn.LICell, snn.LI),
    "LIBox": (snn.LIBoxCell, snn.LIBox),
    "LIF": (snn.LIFCell, snn.LIF),
    "LIFBox": (snn.LIFBoxCell, snn.LIFBox),
}
RECURRENT = {"LIF": (snn.LIFRecurrentCell, snn.LIFRecurrent), "LIFBox": (snn.LIFBoxRecurrentCell, snn.LIFBoxRecurrent)}


class TestModules:
    @pytest.mark.parametrize("name", CELLS)
    def test_a_cell_and_a_layer_are_the_same(self, name):
        cell, layer = (kind(integrator="exponential") for kind in CELLS[name])
        x = torch.rand(40, 2, 3) * 4
        assert torch.equal(snn.Lift(cell)(x)[0], layer(x)[0])
        assert not torch.equal(layer(x)[0], CELLS[name][1]()(x)[0]) or name == "LIFBox"

    @pytest.mark.parametrize("name", RECURRENT)
    def test_recurrent_forms_are_the_step_of_their_current(self, name):
        torch.manual_seed(0)
        cell = RECURRENT[name][0](3, 4, integrator="exponential")
        layer = RECURRENT[name][1](
            3, 4, integrator="exponential", input_weights=cell.input_weights, recurrent_weights=cell.recurrent_weights
        )
        plain, state, z, expected = CELLS[name][0](integrator="exponential"), None, torch.zeros(2, 4), []
        x = torch.rand(40, 2, 3) * 9
        for tick in x:
            z, state = plain(tick @ cell.input_weights.T + z @ cell.recurrent_weights.T, state)
            expected.append(z)
        assert torch.equal(layer(x)[0], torch.stack(expected))
        assert torch.stack(expected).any()

    @pytest.mark.parametrize("name", CELLS)
    def test_compiles_into_native_loops(self, name):
        model, x = CELLS[name][1](integrator="exponential"), torch.rand(60, 2, 5) * 4
        compiled = norse.compile(model, fullgraph=True)
        with torch.no_grad():
            assert torch.allclose(compiled(x)[0], model(x)[0], atol=1e-5)

    def test_forward_euler_comes_closer_to_it_with_smaller_ticks(self):
        exact = snn.LI(integrator="exponential", dt=0.001)(torch.eye(64)[:, :1])[0]
        distances = []
        for parts in (1, 2, 4, 8):
            x = torch.zeros(64 * parts, 1)
            x[0] = 1.0
            euler = snn.LI(dt=0.001 / parts)(x)[0][parts - 1 :: parts]
            distances.append(float((euler - exact).abs().max()))
        ratios = [a / b for a, b in pairwise(distances)]
        assert all(1.8 < ratio < 2.3 for ratio in ratios)

    def test_any_tick_is_short_enough(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            v, _ = snn.LIBox(dt=1.0, integrator="exponential")(torch.ones(3, 1, 1))
        assert torch.allclose(v, torch.ones(3, 1, 1))

    @pytest.mark.parametrize("kind", [snn.LIF, snn.LIBoxCell, snn.LI])
    def test_an_unknown_one_is_refused(self, kind):
        with pytest.raises(ValueError, match="argument integrator: expects euler or exponential, got 'midpoint'"):
            kind(integrator="midpoint")

    def test_eventprop_is_of_forward_euler(self):
        with pytest.raises(ValueError, match="argument integrator: expects euler with the method 'adjoint'"):
            snn.LIF(snn.LIFParameters(method="adjoint"), integrator="exponential")

    def test_is_no_model_that_a_nir_file_says(self):
        model = snn.SequentialState(torch.nn.Linear(3, 4), snn.LIFCell(integrator="exponential"))
        with pytest.raises(ValueError, match=r"layer '1' \(LIFCell\): a file is run by forward Euler"):
            norse.to_nir(model)
        read = norse.from_nir(norse.to_nir(snn.LIFRecurrent(3, 4)), integrator="exponential")
        assert read[0].activation is snn.LIFRecurrentCell(3, 4, integrator="exponential").activation
