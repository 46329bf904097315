"""SequentialState, RecurrentSequential, Lift and lift."""

import copy
from collections import OrderedDict

import pytest
import torch

import norse.torch as snn
from norse.torch.module.stateful import is_stateful


class Counter(torch.nn.Module):
    """Adds how often it was called, which it knows from its state."""

    def forward(self, x, state=None):
        calls = 0 if state is None else state
        return x + calls, calls + 1


class Plus(torch.nn.Module):
    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, x):
        return x + self.amount


class TestSequentialState:
    def test_is_its_modules_one_after_the_other(self):
        linear, lif, li = torch.nn.Linear(3, 4), snn.LIF(), snn.LI()
        x = 9 * torch.rand(20, 2, 3)
        v, states = snn.SequentialState(linear, lif, li)(x)
        z, lif_state = lif(linear(x))
        expected, li_state = li(z)
        assert torch.equal(v, expected)
        assert states[0] is None
        assert torch.equal(states[1].v, lif_state.v)
        assert torch.equal(states[2].v, li_state.v)

    def test_carries_its_states_from_call_to_call(self):
        model, x = snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF(), snn.LIFRecurrent(4, 5)), torch.rand(20, 2, 3)
        whole, _ = model(x)
        first, states = model(x[:5])
        second, _ = model(x[5:], states)
        assert torch.equal(whole, torch.cat([first, second]))

    def test_return_hidden_gives_every_modules_output(self):
        model = snn.SequentialState(Plus(1), Counter(), snn.SequentialState(Plus(2)), return_hidden=True)
        hidden, states = model(torch.zeros(1), [None, 5, None])
        assert [h.item() for h in hidden] == [1, 6, 8]
        assert states == [None, 6, [None]]
        assert model[:2].return_hidden

    def test_torchs_recurrent_layers_are_stateful_too(self):
        out, states = snn.SequentialState(torch.nn.LSTM(3, 4), snn.LIF())(torch.rand(5, 2, 3))
        assert out.shape == (5, 2, 4)
        assert states[0][0].shape == (1, 2, 4)
        assert is_stateful(torch.nn.GRU(1, 1))
        assert is_stateful(Counter())
        assert not is_stateful(Plus(1))

    def test_takes_an_ordered_dict_and_grows(self):
        model = snn.SequentialState(OrderedDict(one=Plus(1)))
        assert model.append(Counter()) is model
        assert model(torch.zeros(1), [None, 3])[1] == [None, 4]

    def test_hooks_see_inputs_and_states_of_stateful_modules(self):
        model, seen = snn.SequentialState(Plus(1), Counter(), Counter()), []
        model.register_forward_state_hooks(lambda module, inputs, outputs: seen.append((inputs, outputs)))
        model(torch.zeros(()), [None, 1, None])
        assert [(len(inputs), outputs[1]) for inputs, outputs in seen] == [(2, 2), (2, 1)]
        with pytest.raises(ValueError, match="hooks are in place already"):
            model.register_forward_state_hooks(print)
        model.remove_forward_state_hooks()
        model(torch.zeros(()))
        assert len(seen) == 2
        model.register_forward_state_hooks(lambda *_: None)

    def test_hooks_can_be_removed_from_a_copy(self):
        model, seen = snn.SequentialState(Counter()), []
        model.register_forward_state_hooks(lambda *_: seen.append(1))
        other = copy.deepcopy(model)
        other.remove_forward_state_hooks()
        other(torch.zeros(()))
        assert seen == []
        model(torch.zeros(()))
        assert seen == [1]

    def test_is_plain_python_to_a_tracer(self):
        class Tracer(torch.fx.Tracer):
            def is_leaf_module(self, module, name):
                return not isinstance(module, snn.SequentialState)

        model = snn.SequentialState(torch.nn.Linear(3, 3), snn.LIFCell(), snn.SequentialState(snn.LICell()))
        targets = [node.target for node in Tracer().trace(model).nodes if node.op == "call_module"]
        assert targets == ["0", "1", "2.0"]


class TestRecurrentSequential:
    def test_adds_its_last_output_to_its_input(self):
        model, state, outputs = snn.RecurrentSequential(Plus(0), Plus(1)), None, []
        for _ in range(3):
            y, state = model(torch.tensor(10.0), state)
            outputs.append(y.item())
        assert outputs == [11, 22, 33]
        assert state.cache == 33
        assert state.state == [None, None]

    def test_can_feed_back_another_modules_output(self):
        model, state, outputs = snn.RecurrentSequential(Counter(), Plus(100), output_modules=0), None, []
        for _ in range(3):
            y, state = model(torch.tensor(1.0), state)
            outputs.append(y.item())
        assert outputs == [1, 3, 6]  # as Norse 1.1.0 gives

    def test_can_feed_back_several_outputs(self):
        model = snn.RecurrentSequential(Plus(1), Plus(2), output_modules=[0, 1])
        first, state = model(torch.tensor(0.0))
        assert [y.item() for y in first] == [1, 3]
        second, _ = model(torch.tensor(0.0), state)
        assert [y.item() for y in second] == [5, 7]


class TestLift:
    def test_a_lifted_module_is_a_loop(self):
        x = torch.rand(6, 2, 1, 8, 8)
        convolution = torch.nn.Conv2d(1, 3, 3)
        torch.testing.assert_close(snn.Lift(convolution)(x), torch.stack([convolution(tick) for tick in x]))

    def test_a_lifted_cell_is_its_layer(self):
        x = 4 * torch.rand(20, 2, 3)
        z, state = snn.Lift(snn.LIFCell())(x)
        expected, last = snn.LIF()(x)
        assert torch.equal(z, expected)
        assert torch.equal(state.v, last.v)
        again, _ = snn.Lift(snn.LIFCell())((x, state))
        assert torch.equal(again, snn.LIF()(x, last)[0])

    def test_a_lifted_step_is_a_loop(self):
        x, state = 4 * torch.rand(20, 2, 3), snn.LIFFeedForwardState(torch.zeros(2, 3), torch.zeros(2, 3))
        z, last = snn.lift(snn.lif_feed_forward_step, p=snn.LIFParameters())(x, state)
        expected, expected_last = snn.LIF()(x)
        assert torch.equal(z, expected)
        assert torch.equal(last.v, expected_last.v)
        assert torch.equal(snn.lift(snn.LIFCell())(x)[0], expected)

    def test_no_ticks_have_the_modules_output_shape(self):
        assert snn.Lift(torch.nn.Linear(3, 5))(torch.ones(0, 2, 3)).shape == (0, 2, 5)
