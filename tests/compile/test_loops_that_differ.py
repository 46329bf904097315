"""Loops whose ticks differ, or hold what nobody can follow: compiled or eager, equal to eager."""

import copy
import functools
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn

from .test_user_loops import Layers, assert_alike, sequence

P = snn.LIFParameters(alpha=torch.tensor(10.0))


class Unknown(nn.Module):
    """Plain torch calls, and a decision that tracing can't follow."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(8))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight if torch.is_grad_enabled() and x.shape else x


def parts(way: Any) -> Any:
    model = Layers(way)
    model.gru, model.lstm, model.unknown = nn.GRUCell(8, 8), nn.LSTMCell(8, 8), Unknown()
    model.unknown.register_forward_hook(lambda *_: None)  # which makes it one that runs as it is
    model.chain = snn.RecurrentSequential(nn.Linear(8, 8), snn.LIFCell(P))
    model.lifted = snn.Lift(snn.RecurrentSequential(nn.Linear(8, 8), snn.LIFCell(P)))
    model.leaky, model.regularized = nn.LeakyReLU(), snn.RegularizationCell()
    return model.double()


def spikes(m: Any, x: Tensor, current: Any) -> Tensor:
    """A loop over time with `current(t)` for the layer's input."""
    state, zs = None, []
    for t in range(len(x)):
        z, state = m.lif(current(t), state)
        zs.append(z)
    return torch.stack(zs)


# ---- compiled whole --------------------------------------------------------------------------------------------------


def a_delayed_input(m: Any, x: Tensor) -> Tensor:
    return spikes(m, x, lambda t: m.fc(x[t]) - m.fc(x[t - 3] if t >= 3 else torch.zeros_like(x[0])))


def a_delay_of_its_own(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t in range(len(x)):
        current = m.fc(x[t])
        if t >= 3:
            current = current + m.hidden(zs[t - 3])
        z, state = m.lif(current, state)
        zs.append(z)
    return torch.stack(zs)


def one_cell_for_two(m: Any, x: Tensor) -> tuple[Any, ...]:
    one = other = None
    out = []
    for x_t in x:
        a, one = m.lif(m.fc(x_t), one)
        b, other = m.lif(-m.fc(x_t), other)
        out.append(torch.cat([a, b], -1))
    return torch.stack(out), one, other


def a_chain_with_feedback(m: Any, x: Tensor) -> tuple[Any, ...]:
    state, out = None, []
    for x_t in x:
        z, state = m.chain(m.fc(x_t), state)
        out.append(z)
    return torch.stack(out), state


def a_lifted_chain_with_feedback(m: Any, x: Tensor) -> Tensor:
    return m.lifted(m.fc(x))[0]  # type: ignore[no-any-return]


def reset_every_tenth_tick(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t in range(len(x)):
        if t % 10 == 0:
            state = None
        z, state = m.lif(m.fc(x[t]), state)
        zs.append(z)
    return torch.stack(zs)


def held_inputs(m: Any, x: Tensor) -> Tensor:
    return spikes(m, x, lambda t: m.fc(x[min(t, 5)]))


def mirrored_inputs(m: Any, x: Tensor) -> Tensor:
    return spikes(m, x, lambda t: m.fc(x[t]) + m.fc(x[len(x) - 1 - t]))


def four_steps_a_tick(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for x_t in x:
        current = m.fc(x_t)
        for _ in range(4):
            z, state = m.lif(current, state)
        zs.append(z)
    return torch.stack(zs)


def a_loop_for_every_layer(m: Any, x: Tensor) -> Tensor:
    for synapse, neuron in ((m.fc, m.lif), (m.hidden, m.second)):
        state, zs = None, []
        for x_t in x:
            z, state = neuron(synapse(x_t), state)
            zs.append(z)
        x = torch.stack(zs)
    return x


def accumulators(m: Any, x: Tensor) -> tuple[Any, ...]:
    zs = list(spikes(m, x, lambda t: m.fc(x[t])))
    rows = torch.cat([z.unsqueeze(0) for z in zs])
    return sum(zs), torch.stack(zs).mean(0), zs[-1], rows, functools.reduce(torch.maximum, zs), rows.max(0)[0]


def several_results(m: Any, x: Tensor) -> tuple[Any, ...]:
    state, zs = None, []
    for x_t in x:
        first, second = m.fc(x_t).chunk(2, -1)
        top, _ = (first * second).topk(2, -1)
        largest = torch.max(first, 1)
        z, state = m.lif(torch.cat([second, first], -1) - largest.values.unsqueeze(1) * top.sum(-1, True), state)
        zs.append(torch.stack(z.unbind(1)[::-1], 1))
    values, places = torch.stack(zs).sort(-1)
    return values, places


def states_of_zeros(m: Any, x: Tensor) -> Tensor:
    state = snn.LIFFeedForwardState(v=torch.zeros(x.shape[1], 8, dtype=x.dtype), i=torch.zeros_like(m.fc(x[0])))
    zs = []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        zs.append(z)
    return torch.stack(zs)


WHOLE = [
    a_delayed_input,
    a_delay_of_its_own,
    one_cell_for_two,
    a_chain_with_feedback,
    a_lifted_chain_with_feedback,
    reset_every_tenth_tick,
    held_inputs,
    mirrored_inputs,
    four_steps_a_tick,
    a_loop_for_every_layer,
    accumulators,
    several_results,
    states_of_zeros,
]


@pytest.mark.parametrize("way", WHOLE, ids=lambda way: way.__name__)
def test_it_compiles_whole(way: Any) -> None:
    model = parts(way)
    eager = copy.deepcopy(model)
    compiled = norse.compile(model, fullgraph=True)
    for length in (12, 37):
        assert_alike(compiled, eager, sequence(way, length, 2))


# ---- modules that run as they are, inside of a loop -----------------------------------------------------------------


def a_gru(m: Any, x: Tensor) -> Tensor:
    state = hidden = None
    out = []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        hidden = m.gru(z, hidden)
        out.append(hidden)
    return torch.stack(out)


def an_lstm(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    state, out = None, []
    h = c = x.new_zeros(x.shape[1], 8)
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        h, c = m.lstm(z, (h, c))
        out.append(h)
    return torch.stack(out), c


def an_unknown_module(m: Any, x: Tensor) -> Tensor:
    return spikes(m, x, lambda t: m.unknown(m.fc(x[t])))


def two_unknown_modules(m: Any, x: Tensor) -> Tensor:
    return spikes(m, x, lambda t: m.unknown(m.gru(m.unknown(m.fc(x[t])))))


@pytest.mark.parametrize("way", [a_gru, an_lstm, an_unknown_module, two_unknown_modules], ids=lambda way: way.__name__)
def test_a_module_that_is_not_known_is_called_at_every_tick_and_the_rest_compiles(way: Any) -> None:
    model = parts(way)
    eager = copy.deepcopy(model)
    compiled = norse.compile(model)
    for length in (9, 23):
        assert_alike(compiled, eager, sequence(way, length, 2))
    assert "native" in compiled.explain() and "whole model" not in compiled.explain()


# ---- right at T = 200 after T = 10, compiled or not -----------------------------------------------------------------


def scaled_by_the_tick(m: Any, x: Tensor) -> Tensor:
    return spikes(m, x, lambda t: m.fc(x[t]) * t)


def decaying(m: Any, x: Tensor) -> Tensor:
    return spikes(m, x, lambda t: m.fc(x[t]) * 0.9**t)


def pythons_randomness(m: Any, x: Tensor) -> Tensor:
    random.seed(1)
    return spikes(m, x, lambda t: m.fc(x[t]) * random.random())


def an_attribute_for_a_call(m: Any, x: Tensor) -> Tensor:
    """What the layer is set to at a call is not what it is set to before and after."""

    def current(t: int) -> Tensor:
        m.leaky.negative_slope = 0.5
        made = m.leaky(m.fc(x[t]))
        m.leaky.negative_slope = 0.01
        return made  # type: ignore[no-any-return]

    return spikes(m, x, current)


def a_mode_for_a_call(m: Any, x: Tensor) -> Tensor:
    def current(t: int) -> Tensor:
        m.drop.eval()
        made = m.drop(m.fc(x[t]))
        m.drop.train()
        return made  # type: ignore[no-any-return]

    return spikes(m, x, current)


def warmed_up_without_gradients(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t in range(len(x)):
        with torch.set_grad_enabled(t >= 3):
            z, state = m.lif(m.fc(x[t]), state)
        zs.append(z)
    return torch.stack(zs)


def a_preallocated_result(m: Any, x: Tensor) -> Tensor:
    state, out = None, x.new_zeros(x.shape[0], x.shape[1], 8)
    for t in range(len(x)):
        out[t], state = m.lif(m.fc(x[t]), state)
    return out


def a_count_in_place(m: Any, x: Tensor) -> Tensor:
    state, count = None, torch.zeros(x.shape[1], 8, dtype=x.dtype)
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        count += z
    return count


def zeros_changed_in_place(m: Any, x: Tensor) -> Tensor:
    """A tensor made of numbers is used, changed, and used again."""
    start = torch.zeros(x.shape[1], 8, dtype=x.dtype)
    first = m.fc(x[0]) + start
    start[:, 0] = 5.0
    return first + spikes(m, x, lambda t: m.fc(x[t]) + start)


def a_regularized_layer(m: Any, x: Tensor) -> tuple[Any, ...]:
    m.regularized.state, state, zs = None, None, []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        z, amount = m.regularized(z, state)
        zs.append(z)
    return torch.stack(zs), amount


ANY = [
    scaled_by_the_tick,
    decaying,
    pythons_randomness,
    an_attribute_for_a_call,
    a_mode_for_a_call,
    warmed_up_without_gradients,
    a_preallocated_result,
    a_count_in_place,
    zeros_changed_in_place,
    a_regularized_layer,
    reset_every_tenth_tick,
    a_delay_of_its_own,
    held_inputs,
]


@pytest.mark.parametrize("way", ANY, ids=lambda way: way.__name__)
def test_it_is_right_at_200_ticks_after_10(way: Any) -> None:
    model = parts(way)
    eager = copy.deepcopy(model)
    compiled = norse.compile(model)
    for length in (10, 200):
        assert_alike(compiled, eager, sequence(way, length, 2))
    assert "native" in compiled.explain() or "eager" in compiled.explain()


def test_the_number_of_ticks_may_come_from_another_input() -> None:
    class Clocked(Layers):
        def forward(self, x: Tensor, clock: Tensor) -> Tensor:  # type: ignore[override]
            return spikes(self, clock, lambda t: self.fc(x))

    model = Clocked(lambda m, x: x).double()
    eager = copy.deepcopy(model)
    compiled, x = norse.compile(model, fullgraph=True), sequence(held_inputs, 1, 2)[0]
    for length in (10, 30):
        torch.testing.assert_close(compiled(x, torch.zeros(length)), eager(x, torch.zeros(length)))


def test_two_random_layers_in_a_loop_draw_as_eager_does_with_exact() -> None:
    def dropped_twice(m: Any, x: Tensor) -> Tensor:
        return spikes(m, x, lambda t: m.leaky[1](m.hidden(m.leaky[0](m.fc(x[t])))))

    model = parts(dropped_twice)
    model.leaky = nn.ModuleList([nn.Dropout(0.5), nn.Dropout(0.3)])
    eager, x = copy.deepcopy(model), sequence(dropped_twice, 10, 2)
    compiled = norse.compile(model, exact=True)
    torch.manual_seed(2)
    ours = compiled(x)
    torch.manual_seed(2)
    assert torch.equal(ours, eager(x))
