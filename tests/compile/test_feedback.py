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
