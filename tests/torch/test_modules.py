"""Cells and layers: shapes, states, parameters, weights."""

import copy
import io
import pickle
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import norse.torch as snn
from norse.torch.module.parameters import ParameterTuple

CELLS = [snn.LIFCell, snn.LIFBoxCell, snn.IAFCell, snn.LICell, snn.LIBoxCell]
LAYERS = [snn.LIF, snn.LIFBox, snn.IAF, snn.LI, snn.LIBox]
RECURRENT_CELLS = [snn.LIFRecurrentCell, snn.LIFBoxRecurrentCell, snn.IAFRecurrentCell]
RECURRENT_LAYERS = [snn.LIFRecurrent, snn.LIFBoxRecurrent, snn.IAFRecurrent]

shapes = st.lists(st.integers(1, 4), min_size=0, max_size=4).map(tuple)


class TestShapes:
    @settings(deadline=None)
    @given(shapes, st.sampled_from(CELLS))
    def test_a_cell_keeps_its_inputs_shape(self, shape, cell):
        z, state = cell()(torch.ones(shape))
        assert z.shape == shape
        assert all(field.shape == shape for field in state)

    @settings(deadline=None)
    @given(shapes, st.integers(0, 3), st.sampled_from(LAYERS))
    def test_a_layer_keeps_its_inputs_shape(self, shape, ticks, layer):
        z, _ = layer()(torch.ones(ticks, *shape))
        assert z.shape == (ticks, *shape)

    @settings(max_examples=30, deadline=None)
    @given(shapes, st.integers(1, 4), st.sampled_from(RECURRENT_CELLS))
    def test_a_recurrent_cell_maps_the_last_dimension(self, batch, size, cell):
        z, state = cell(size, 5)(torch.ones(*batch, size))
        assert z.shape == (*batch, 5)
        assert all(field.shape == (*batch, 5) for field in state)

    @settings(max_examples=30, deadline=None)
    @given(shapes, st.integers(0, 3), st.integers(1, 4), st.sampled_from(RECURRENT_LAYERS))
    def test_a_recurrent_layer_maps_the_last_dimension(self, batch, ticks, size, layer):
        z, _ = layer(size, 5)(torch.ones(ticks, *batch, size))
        assert z.shape == (ticks, *batch, 5)

    @pytest.mark.parametrize("shape", [(), (3,), (1, 3), (2, 3)])
    @pytest.mark.parametrize(("layer", "state"), [(snn.LIF, snn.LIFFeedForwardState), (snn.LI, snn.LIState)])
    def test_a_given_state_may_have_any_shape_that_broadcasts(self, layer, state, shape):
        x = torch.rand(4, 2, 3)
        full, _ = layer()(x, state(v=torch.full((2, 3), 0.5), i=torch.ones(2, 3)))
        small, last = layer()(x, state(v=torch.full(shape, 0.5), i=torch.ones(shape)))
        assert torch.equal(small, full)
        assert last.v.shape == (2, 3)

    @pytest.mark.parametrize("shape", [(), (4,), (1, 4), (2, 1), (2, 4)])
    def test_a_given_recurrent_state_may_have_any_shape_that_broadcasts(self, shape):
        layer, x = snn.LIFRecurrent(3, 4), torch.rand(6, 2, 3)
        full, _ = layer(x, snn.LIFState(*(torch.ones(2, 4) for _ in range(3))))
        small, last = layer(x, snn.LIFState(*(torch.ones(shape) for _ in range(3))))
        assert torch.equal(small, full)
        assert last.z.shape == (2, 4)


class TestInitialState:
    @pytest.mark.parametrize("module", [*CELLS, snn.IAF, snn.LIBox, snn.LIFBox])
    def test_is_0d_in_feed_forward_cells_and_some_layers(self, module):
        v = module().initial_state(torch.ones(5, 2, 3)).v
        assert v.shape == ()
        assert v.requires_grad

    @pytest.mark.parametrize("module", [snn.LIF, snn.LI])
    def test_has_a_ticks_shape_in_layers_with_a_synapse(self, module):
        state = module().initial_state(torch.ones(5, 2, 3))
        assert state.v.shape == state.i.shape == (2, 3)
        assert state.v.requires_grad
        assert not state.i.requires_grad

    @pytest.mark.parametrize("module", RECURRENT_LAYERS)
    def test_has_the_outputs_shape_in_recurrent_layers(self, module):
        state = module(3, 4).initial_state(torch.ones(5, 2, 3))
        assert all(field.shape == (2, 4) for field in state)
        assert state.v.requires_grad
        assert not state.z.requires_grad

    @pytest.mark.parametrize("module", [*CELLS, *LAYERS])
    def test_never_shares_the_default_parameters_tensor(self, module):
        layer = module()
        rest = layer.p.v_reset if hasattr(layer.p, "v_reset") else layer.p.v_leak
        layer.initial_state(torch.ones(2, 3)).v.data.fill_(9.0)
        assert rest == 0.0
        assert not rest.requires_grad

    @pytest.mark.parametrize("module", LAYERS)
    def test_follows_the_inputs_dtype(self, module):
        assert all(field.dtype == torch.float64 for field in module().initial_state(torch.ones(1, 2).double()))

    @pytest.mark.parametrize("module", [snn.SNN, snn.SNNCell])
    def test_a_users_fallback_is_given_the_whole_input(self, module):
        seen = []
        model = module(lambda x, s, p, dt: (x, s), lambda x: seen.append(x.shape), p=None)
        model(torch.ones(5, 2))
        assert seen == [(5, 2)]


class TestOverTime:
    @pytest.mark.parametrize(("cell", "layer"), list(zip(CELLS, LAYERS, strict=True)))
    def test_a_layer_is_its_cell_in_a_loop(self, cell, layer):
        x = 4 * torch.rand(20, 2, 3)
        z, last = layer()(x)
        one_tick, state, outputs = cell(), None, []
        for tick in x:
            output, state = one_tick(tick, state)
            outputs.append(output)
        assert torch.equal(z, torch.stack(outputs))
        assert all(map(torch.equal, last, state))

    @pytest.mark.parametrize(("cell", "layer"), list(zip(RECURRENT_CELLS, RECURRENT_LAYERS, strict=True)))
    def test_a_recurrent_layer_is_its_cell_in_a_loop(self, cell, layer):
        many = layer(3, 4)
        one_tick = cell(3, 4, input_weights=many.input_weights, recurrent_weights=many.recurrent_weights)
        x, state, outputs = 4 * torch.rand(20, 2, 3), None, []
        z, last = many(x)
        for tick in x:
            output, state = one_tick(tick, state)
            outputs.append(output)
        assert torch.equal(z, torch.stack(outputs))
        assert all(map(torch.equal, last, state))

    def test_a_sequence_may_be_given_in_pieces(self):
        layer, x = snn.LIFRecurrent(3, 4), 4 * torch.rand(20, 2, 3)
        whole, last = layer(x)
        first, state = layer(x[:7])
        second, state = layer(x[7:], state)
        assert torch.equal(whole, torch.cat([first, second]))
        assert all(map(torch.equal, last, state))

    def test_record_states_stacks_every_field(self):
        z, states = snn.LIF(record_states=True)(4 * torch.rand(20, 2, 3))
        assert states.v.shape == states.i.shape == (20, 2, 3)
        z, states = snn.LIFRecurrent(3, 4, record_states=True)(4 * torch.rand(20, 2, 3))
        assert torch.equal(states.z, z)

    def test_record_states_stacks_nested_states(self):
        class Nested(NamedTuple):
            inner: snn.LIState
            total: torch.Tensor

        def step(x, state, p, dt):
            v, inner = snn.li_feed_forward_step(x, state.inner, p, dt)
            return v, Nested(inner, state.total + v)

        def rest(x):
            return Nested(snn.LIState(torch.zeros(2), torch.zeros(2)), torch.zeros(2))

        v, states = snn.SNN(step, rest, snn.LIParameters(), record_states=True)(torch.rand(5, 2))
        assert isinstance(states, Nested)
        assert torch.equal(states.inner.v, v)
        torch.testing.assert_close(states.total, v.cumsum(0))

    def test_no_ticks_give_an_empty_output_and_the_state_as_it_was(self):
        z, state = snn.LIF()(torch.ones(0, 2, 3))
        assert z.shape == (0, 2, 3)
        assert state.v.shape == (2, 3)
        given_state = snn.LIFState(*(torch.ones(2, 4) for _ in range(3)))
        z, state = snn.LIFRecurrent(3, 4)(torch.ones(0, 2, 3), given_state)
        assert z.shape == (0, 2, 4)
        assert state is given_state
        z, states = snn.LIFRecurrent(3, 4, record_states=True)(torch.ones(0, 2, 3))
        assert states.v.shape == (0, 2, 4)


class TestParameters:
    def test_learnable_ones_are_parameters_and_saved_and_others_are_not(self):
        cell = snn.LIFCell(snn.LIFParameters(tau_mem_inv=torch.nn.Parameter(torch.tensor(50.0))))
        assert [name for name, _ in cell.named_parameters()] == ["neuron.tau_mem_inv"]
        assert list(cell.state_dict()) == ["neuron.tau_mem_inv"]
        assert isinstance(cell.p, snn.LIFParameters)
        assert cell.p.tau_mem_inv is next(cell.parameters())

    def test_a_state_dict_round_trip_restores_time_constants(self):
        def learnable(value):
            return snn.LIFRecurrent(3, 4, snn.LIFParameters(tau_mem_inv=torch.nn.Parameter(torch.tensor(value))))

        saved, other = learnable(50.0), learnable(80.0)
        file = io.BytesIO()
        torch.save(saved.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file, weights_only=True))
        assert other.p.tau_mem_inv.item() == 50.0
        x = 4 * torch.rand(10, 2, 3)
        assert torch.equal(saved(x)[0], other(x)[0])

    def test_a_time_constant_learns(self):
        cell = snn.LICell(snn.LIParameters(tau_mem_inv=torch.nn.Parameter(torch.tensor(50.0))))
        optimizer = torch.optim.SGD(cell.parameters(), lr=1.0)
        cell(torch.ones(3))[0].sum().backward()
        optimizer.step()
        assert cell.p.tau_mem_inv.item() == pytest.approx(50.0 - 0.003)

    def test_plain_tensors_move_with_the_module_and_the_shared_defaults_stay(self):
        cell = snn.LIFCell().double()
        assert cell.p.tau_mem_inv.dtype == torch.float64
        assert snn.LIFParameters().tau_mem_inv.dtype == torch.float32
        assert snn.LIFCell().to("meta").p.v_th.device.type == "meta"

    def test_assigning_p_replaces_it(self):
        cell = snn.LIFCell(snn.LIFParameters(v_th=torch.nn.Parameter(torch.tensor(2.0))))
        cell.p = snn.LIFParameters(alpha=7.0)
        assert list(cell.parameters()) == []
        assert cell.p.alpha == 7.0
        assert cell.p.v_th == 1.0

    def test_nested_parameters_are_found(self):
        class Nested(NamedTuple):
            lif: snn.LIFParameters
            rho: torch.Tensor

        held = ParameterTuple(Nested(snn.LIFParameters(v_th=torch.nn.Parameter(torch.tensor(2.0))), torch.tensor(5.0)))
        assert list(held.state_dict()) == ["lif.v_th"]
        assert held.as_named_tuple().lif.v_th.item() == 2.0

    @pytest.mark.parametrize("p", [None, 3, {"tau": 1.0}, torch.nn.Linear(1, 1), torch.nn.Parameter(torch.ones(1))])
    def test_any_other_object_is_kept_as_it_is(self, p):
        assert snn.SNNCell(lambda x, s, p, dt: (x, s), lambda x: x, p).p is p

    def test_the_modules_text_shows_parameters_and_time_step(self):
        text = repr(snn.LIFRecurrent(3, 4, dt=0.002))
        assert "input_size=3, hidden_size=4, p=LIFParameters(tau_syn_inv=tensor(200.)" in text
        assert "autapses=False, dt=0.002" in text


def train_one_step(layer):
    optimizer = torch.optim.Adam([p for p in layer.parameters() if p.requires_grad], lr=0.1)
    z, _ = layer(4 * torch.rand(20, 2, 3))
    z.sum().backward()
    before = layer.recurrent_weights.detach().clone()
    optimizer.step()
    assert not torch.equal(before, layer.recurrent_weights)


def through_pickle(layer):
    return pickle.loads(pickle.dumps(layer))


class TestWeights:
    def test_start_as_published(self):
        torch.manual_seed(0)
        layer = snn.LIFRecurrent(300, 200)
        assert layer.input_weights.shape == (200, 300)
        assert layer.recurrent_weights.shape == (200, 200)
        assert layer.input_weights.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.02)
        assert layer.recurrent_weights.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.02)
        assert isinstance(layer.input_size, torch.Tensor)
        assert layer.hidden_size == 200

    @pytest.mark.parametrize("copied", [lambda x: x, copy.deepcopy, through_pickle], ids=["new", "deepcopy", "pickle"])
    def test_a_neuron_never_learns_to_excite_itself(self, copied):
        torch.manual_seed(0)
        layer = copied(snn.LIFRecurrent(3, 4))
        train_one_step(layer)
        assert layer.recurrent_weights.diagonal().abs().sum() == 0

    def test_nor_after_its_weights_were_frozen_and_copied(self):
        torch.manual_seed(0)
        layer = copy.deepcopy(snn.LIFRecurrent(3, 4).requires_grad_(False)).requires_grad_(True)
        train_one_step(layer)
        assert layer.recurrent_weights.diagonal().abs().sum() == 0

    def test_unless_autapses_are_allowed(self):
        torch.manual_seed(0)
        layer = snn.LIFRecurrent(3, 4, autapses=True)
        assert (layer.recurrent_weights.diagonal() != 0).all()
        train_one_step(layer)

    def test_that_are_given_are_kept(self):
        w_in, w_rec = torch.nn.Parameter(torch.ones(4, 3)), torch.ones(4, 4)
        layer = snn.LIFRecurrent(3, 4, input_weights=w_in, recurrent_weights=w_rec)
        assert layer.input_weights is w_in
        assert layer.recurrent_weights is w_rec
        assert not w_rec.requires_grad
        assert [name for name, _ in layer.named_parameters()] == ["input_weights"]
        assert "recurrent_weights" in layer.state_dict()
        assert torch.equal(w_rec, 1 - torch.eye(4))

    @pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle], ids=["deepcopy", "pickle"])
    def test_a_copy_computes_the_same_with_its_own_weights(self, copied):
        layer = snn.LIFRecurrent(3, 4)
        other, x = copied(layer), 4 * torch.rand(10, 2, 3)
        assert torch.equal(layer(x)[0], other(x)[0])
        assert other.state_fallback.__self__ is other
        with torch.no_grad():
            other.input_weights.zero_()
        assert layer.input_weights.abs().sum() > 0


class TestSparseActivation:
    def test_is_used_for_sparse_input_only(self):
        def named(name):
            return lambda x, state, p, dt: (name, state)

        cell = snn.SNNCell(named("dense"), lambda x: 0, None, activation_sparse=named("sparse"))
        assert cell(torch.ones(2))[0] == "dense"
        assert cell(torch.ones(2).to_sparse())[0] == "sparse"


def test_weights_that_stand_for_the_parameters_make_no_autapses():
    cell = snn.LIFRecurrentCell(3, 4)
    weights = {name: tensor.detach() for name, tensor in cell.named_parameters()}
    weights["recurrent_weights"] = torch.ones(4, 4)
    state = cell(torch.ones(2, 3))[1]._replace(z=torch.ones(2, 4))

    def total(weights):
        return torch.func.functional_call(cell, weights, (torch.ones(2, 3), state))[1].i.sum()

    gradient = torch.func.grad(total)(weights)["recurrent_weights"]
    assert gradient.diagonal().eq(0).all() and gradient.sum() > 0


def test_chains_are_added_and_repeated_as_chains_that_carry_states():
    chain = snn.SequentialState(torch.nn.Linear(4, 4), snn.LIFCell(), return_hidden=True)
    for longer in (chain + snn.SequentialState(snn.LICell()), chain * 2):
        outputs, states = longer(torch.ones(2, 4))
        assert len(outputs) == len(states) == len(longer)


def test_a_stateful_module_that_returns_no_state_is_named():
    class NoState(torch.nn.Module):
        def forward(self, x, state=None):
            return x

    with pytest.raises(TypeError, match=r"SequentialState: module 1 \(NoState\) takes a state: .* got a tensor"):
        snn.SequentialState(torch.nn.Identity(), NoState())(torch.ones(2, 3))


def test_the_warning_of_a_long_time_step_points_at_the_users_line():
    with pytest.warns(UserWarning, match="overshoots") as warned:
        snn.LIFCell(dt=0.1)
    assert warned[0].filename == __file__
