"""Feedback from one tick to the next that leads through more than one layer: tick by tick, with native ticks."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import norse

from .test_user_loops import Layers, assert_alike, sequence


def between_layers(m: Any, x: Tensor) -> Tensor:
    """The second layer's spikes enter the first one a tick later."""
    s1 = s2 = None
    z = torch.zeros_like(m.fc(x[0]))
    zs = []
    for x_t in x:
        a, s1 = m.lif(m.fc(x_t) + m.hidden(z), s1)
        z, s2 = m.second(a * 4, s2)
        zs.append(z)
    return torch.stack(zs)


def scaled_states(m: Any, x: Tensor) -> tuple[Tensor, Any]:
    """The synaptic current is halved between the ticks."""
    state: Any = None
    zs = []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        state = state._replace(i=state.i * 0.5)
        zs.append(z)
    return torch.stack(zs), state


def truncated_gradients(m: Any, x: Tensor) -> Tensor:
    state: Any = None
    zs = []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        state = state.detach()
        zs.append(z)
    return torch.stack(zs)


def lateral_inhibition(m: Any, x: Tensor) -> tuple[Tensor, Any]:
    """A recurrent layer made by hand, with a second state in a dict."""
    states: dict[str, Any] = {"v": None, "z": torch.zeros_like(m.fc(x[0]))}
    zs = []
    for x_t in x:
        states["z"], states["v"] = m.box(m.fc(x_t) - torch.relu(m.hidden(states["z"])), states["v"])
        zs.append(states["z"])
    return torch.stack(zs), states


def trace(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """An exponential trace of the input, in front of the neurons: arithmetic alone, so a native loop."""
    state = None
    kept = torch.zeros_like(x[0])
    zs, traces = [], []
    for x_t in x:
        kept = 0.9 * kept + x_t
        z, state = m.lif(m.fc(kept), state)
        zs.append(z)
        traces.append(kept)
    return torch.stack(zs), torch.stack(traces)


STEPPED = [between_layers, scaled_states, truncated_gradients, lateral_inhibition]


@pytest.mark.parametrize("way", [*STEPPED, trace], ids=lambda way: way.__name__)
def test_it_compiles_whole_and_is_right_at_every_length_and_batch(way: Any) -> None:
    model = Layers(way).double()
    eager = copy.deepcopy(model)
    compiled = norse.compile(model, fullgraph=True)
    for length, batch in ((10, 2), (33, 2), (10, 3), (2, 1)):
        assert_alike(compiled, eager, sequence(way, length, batch))


@pytest.mark.parametrize("way", STEPPED, ids=lambda way: way.__name__)
def test_explain_says_that_it_runs_tick_by_tick_and_why(way: Any) -> None:
    compiled = norse.compile(Layers(way))
    compiled(torch.randn(6, 2, 5))
    assert "the rest in native ticks: it is part of feedback from one tick to the next" in compiled.explain()


def test_arithmetic_that_reads_its_own_last_tick_is_a_native_loop() -> None:
    compiled = norse.compile(Layers(trace))
    compiled(torch.randn(6, 2, 5))
    assert "(loop 1)" in str(compiled.tick_graph) and "tick by tick" not in compiled.explain()


# ---- found by a review: what a loop does beside its results, and where its registers start -------------------------


def the_last_input(m: Any, x: Tensor) -> Tensor:
    """A delay of one tick that leads into no cycle."""
    state, before, zs = None, torch.zeros_like(x[0]), []
    for x_t in x:
        z, state = m.lif(m.fc(x_t) - m.fc(before), state)
        before = x_t
        zs.append(z)
    return torch.stack(zs)


def one_start_for_two(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Two registers start from one tensor, which is learnt."""
    start = m.hidden(m.fc(x[0]))
    fast = slow = start
    zs = []
    state = None
    for x_t in x:
        fast = 0.5 * fast + m.fc(x_t)
        slow = 0.9 * slow + m.fc(x_t) * m.gain
        z, state = m.lif(fast - slow, state)
        zs.append(z)
    return torch.stack(zs), fast + slow


@pytest.mark.parametrize("way", [the_last_input, one_start_for_two], ids=lambda way: way.__name__)
def test_what_crosses_a_tick_starts_where_it_should(way: Any) -> None:
    model = Layers(way).double()
    compiled = norse.compile(model, fullgraph=True)
    for length, batch in ((10, 2), (33, 3), (2, 1)):
        assert_alike(compiled, copy.deepcopy(model), sequence(way, length, batch))


def normalised(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for x_t in x:
        z, state = m.lif(m.norm(m.fc(x_t)), state)
        zs.append(z)
    return torch.stack(zs)


def normalised_in_vain(m: Any, x: Tensor) -> Tensor:
    """The layer's result is not used, its statistics are."""
    state, zs = None, []
    for x_t in x:
        current = m.fc(x_t)
        m.norm(current)
        z, state = m.lif(current, state)
        zs.append(z)
    return torch.stack(zs)


def normalised_twice(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for x_t in x:
        z, state = m.lif(m.norm(m.hidden(m.norm(m.fc(x_t)))), state)
        zs.append(z)
    return torch.stack(zs)


@pytest.mark.parametrize("way", [normalised, normalised_in_vain, normalised_twice], ids=lambda way: way.__name__)
def test_statistics_of_a_layer_are_those_of_its_calls_in_eagers_order(way: Any) -> None:
    model = Layers(way)
    model.norm = torch.nn.BatchNorm1d(8)
    eager = copy.deepcopy(model.double())
    compiled, x = norse.compile(model), sequence(way, 9, 4)
    torch.testing.assert_close(compiled(x), eager(x))
    torch.testing.assert_close(model.norm.running_mean, eager.norm.running_mean)
    torch.testing.assert_close(model.norm.running_var, eager.norm.running_var)
    assert model.norm.num_batches_tracked == eager.norm.num_batches_tracked == (18 if way is normalised_twice else 9)


def changed_in_place(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer changes in place is read by others before and after it."""
    state, zs, currents = None, [], []
    for x_t in x:
        current = m.fc(x_t)
        z, state = m.lif(m.rectified(current) + current, state)
        zs.append(z)
        currents.append(current)
    return torch.stack(zs), torch.stack(currents)


def test_what_is_changed_in_place_is_changed_for_all_that_read_it() -> None:
    model = Layers(changed_in_place)
    model.rectified = torch.nn.ReLU(inplace=True)
    eager = copy.deepcopy(model.double())
    assert_alike(norse.compile(model), eager, sequence(changed_in_place, 9, 2))
