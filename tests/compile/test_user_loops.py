"""Loops over time that users write: rolled into native loops where every tick is the same, else eager, never wrong."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse
import norse.torch as snn
from norse.backends.cpu import BUILDS

from .comparison import assert_same_results, observe


class Layers(nn.Module):
    """Layers and cells to write loops with: `forward(x)` is `function(self, x)`."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(3)
        p = snn.LIFParameters(alpha=torch.tensor(10.0))
        self.fc = nn.Linear(5, 8)
        self.lif = snn.LIFCell(p)
        self.hidden = nn.Linear(8, 8)
        self.second = snn.LIFCell(p)
        self.recurrent = snn.LIFRecurrentCell(8, 8, p)
        self.box = snn.LIFBoxCell(snn.LIFBoxParameters(alpha=torch.tensor(10.0)))
        self.out = nn.Linear(8, 3)
        self.li = snn.LICell()
        self.drop = nn.Dropout(0.5)
        self.gain = nn.Parameter(torch.tensor(3.0))
        self.count, self._function = 0, function
        nn.init.normal_(self.fc.weight, std=2.0)
        nn.init.normal_(self.hidden.weight, std=2.0)
        nn.init.normal_(self.recurrent.recurrent_weights, std=0.5)

    def forward(self, x: Tensor) -> Any:
        return self._function(self, x)


# ---- ten ways to write it -------------------------------------------------------------------------------------------


def by_index(m: Any, x: Tensor) -> Tensor:
    s1 = s2 = None
    out = []
    for t in range(x.shape[0]):
        z, s1 = m.lif(m.fc(x[t]), s1)
        v, s2 = m.li(m.out(z), s2)
        out.append(v)
    return torch.stack(out)


def by_tick(m: Any, x: Tensor) -> dict[str, Any]:
    """Iterates over the sequence, and returns a dict with spikes, the last output and the states."""
    states: dict[str, Any] = {"lif": None, "li": None}
    spikes, out = [], []
    for x_t in x:
        z, states["lif"] = m.lif(m.fc(x_t), states["lif"])
        v, states["li"] = m.li(m.out(z), states["li"])
        spikes.append(z)
        out.append(v)
    return {"out": torch.stack(out), "last": out[-1], "spikes": torch.stack(spikes), "states": states}


def batch_first(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t in range(x.size(1)):
        z, state = m.lif(m.fc(x[:, t]), state)
        zs.append(z)
    return torch.stack(zs, dim=1)


def with_a_skip(m: Any, x: Tensor) -> Tensor:
    """A skip connection past the second layer, and a readout of membrane potentials."""
    s1 = s2 = None
    out = []
    for x_t in x.unbind(0):
        a, s1 = m.lif(m.fc(x_t), s1)
        b, s2 = m.second(m.hidden(a) + a * m.gain, s2)
        out.append(torch.cat([a, b, s2.v], dim=-1))
    return torch.stack(out, 0)


def a_static_image(m: Any, x: Tensor) -> Tensor:
    """The same input at every tick, and a rate at the end."""
    state, zs = None, []
    for _ in range(25):
        z, state = m.lif(m.fc(x), state)
        zs.append(z)
    return torch.stack(zs).mean(0)


def a_current_outside(m: Any, x: Tensor) -> tuple[Tensor, Any]:
    """The synapse is computed once, before the loop; its current enters the second layer too."""
    current = torch.relu(m.fc(x))
    s1 = s2 = None
    zs = []
    for _step in range(20):
        z, s1 = m.lif(current, s1)
        z, s2 = m.second(m.hidden(z) + current, s2)
        zs.append(z)
    return torch.stack(zs), (s1, s2)


def recurrence(m: Any, x: Tensor) -> tuple[Tensor, Any]:
    """A recurrent cell, and membranes recorded beside the spikes."""
    state, membranes, zs = None, [], []
    for i, tick in enumerate(x):
        z, state = m.recurrent(torch.tanh(m.fc(tick)), state)
        membranes += [state.v]
        zs += [z]
        assert len(zs) == i + 1
    return torch.stack(zs) * 2, torch.stack(membranes)


def sums(m: Any, x: Tensor) -> Tensor:
    """Counts spikes, and keeps the largest potential."""
    state, count, largest = None, 0, None
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        count = count + z
        largest = state.v if largest is None else torch.maximum(largest, state.v)
    return count + largest  # type: ignore[operator,no-any-return]


def burn_in(m: Any, x: Tensor) -> Tensor:
    """The first ticks are not recorded."""
    state, zs = None, []
    for t in range(len(x)):
        z, state = m.lif(m.fc(x[t]), state)
        if t >= 4:
            zs.append(z)
    return torch.stack(zs)


def list_comprehension(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Layers outside the loop, the loop for the neuron alone, a loss on hidden spikes."""
    currents = m.fc(x)
    state: Any = None
    hidden = []
    for current in currents:
        z, state = m.box(current, state)
        hidden.append(z)
    spikes = torch.stack(hidden)
    return m.out(spikes), spikes.mean() + 0.1 * state.v.square().mean()


def two_loops(m: Any, x: Tensor) -> Tensor:
    """One layer after the other, each with a loop of its own."""
    state, zs = None, []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        zs.append(z)
    state, out = None, []
    for z in torch.stack(zs):
        y, state = m.second(m.hidden(z), state)
        out.append(y)
    return torch.stack(out)


WAYS = [
    by_index,
    by_tick,
    batch_first,
    with_a_skip,
    a_static_image,
    a_current_outside,
    recurrence,
    sums,
    burn_in,
    list_comprehension,
    two_loops,
]
STATIC = (a_static_image, a_current_outside)


def sequence(function: Any, length: int, batch: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    shape = (batch, 5) if function in STATIC else (batch, length, 5) if function is batch_first else (length, batch, 5)
    return torch.randn(shape, generator=generator, dtype=dtype) + 0.5


def assert_alike(compiled: nn.Module, eager: nn.Module, x: Tensor) -> None:
    """Equal structure, shapes and numbers (recurrent currents and gradients within rounding)."""
    ours, theirs = observe(compiled, x), observe(eager, x)
    assert pytree.tree_structure(ours.results) == pytree.tree_structure(theirs.results)
    for mine, other in zip(ours.leaves, theirs.leaves, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)
    for name, gradient in theirs.gradients.items():
        found = ours.gradients[name]
        assert (gradient is None) == (found is None), name
        if gradient is not None and found is not None:
            torch.testing.assert_close(found, gradient, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
class TestALoop:
    def test_compiles_whole_into_native_loops(self, way: Any) -> None:
        model = Layers(way).double()
        x = sequence(way, 12, 3)
        compiled = norse.compile(model, fullgraph=True)
        assert_alike(compiled, copy.deepcopy(model), x)
        text = compiled.explain()
        assert "one native loop over T" in text, text
        assert "eager" not in text and "one native tick" not in text, text

    def test_is_right_at_every_length_and_batch(self, way: Any) -> None:
        model = Layers(way).double()
        compiled = norse.compile(model, fullgraph=True)
        for length, batch in ((10, 2), (40, 2), (6, 3), (10, 2)):
            assert_alike(compiled, model, sequence(way, length, batch))

    def test_sees_trained_weights(self, way: Any) -> None:
        model = Layers(way).double()
        compiled, x = norse.compile(model), sequence(way, 9, 2)
        compiled(x)
        with torch.no_grad():
            model.fc.weight.mul_(0.5)
            model.gain.add_(1.0)
        assert_alike(compiled, model, x)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_results_have_eagers_bits_with_exact(way: Any) -> None:
    model, x = Layers(way), sequence(way, 15, 3, torch.float32)
    assert_same_results(observe(norse.compile(model, exact=True), x), observe(model, x))


def test_one_tick_and_a_new_state_after_it() -> None:
    model = Layers(by_tick).double()
    compiled = norse.compile(model)
    for length in (1, 2, 3):
        assert_alike(compiled, model, sequence(by_tick, length, 2))


def test_no_ticks_raise_what_eager_raises() -> None:
    model = Layers(by_index)
    with pytest.raises(RuntimeError) as eager:
        model(torch.zeros(0, 2, 5))
    with pytest.raises(RuntimeError, match=re.escape(str(eager.value))):
        norse.compile(model)(torch.zeros(0, 2, 5))


def test_a_state_that_is_given_is_where_the_loop_starts() -> None:
    class Continued(Layers):
        def forward(self, x: Tensor, state: Any = None) -> Any:  # type: ignore[override]
            zs = []
            for x_t in x:
                z, state = self.lif(self.fc(x_t), state)
                zs.append(z)
            return torch.stack(zs), state

    model = Continued(lambda m, x: x).double()
    compiled, x = norse.compile(model, fullgraph=True), sequence(by_tick, 12, 2)
    whole, _ = model(x)
    first, state = compiled(x[:7])
    second, _ = compiled(x[7:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)


def test_a_new_length_builds_no_kernel() -> None:
    compiled = norse.compile(Layers(by_index), fullgraph=True)
    compiled(torch.randn(10, 2, 5))
    before = BUILDS.compiled
    for length, batch in ((20, 2), (30, 4), (7, 1)):
        compiled(torch.randn(length, batch, 5))
    assert BUILDS.compiled == before


# ---- ticks that differ: eager, and right ----------------------------------------------------------------------------


def from_tick_50_on(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t in range(x.shape[0]):
        z, state = m.lif(m.fc(x[t]) * (2.0 if t >= 50 else 1.0), state)
        zs.append(z)
    return torch.stack(zs)


def in_long_sequences(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for x_t in x:
        z, state = m.lif(m.fc(x_t) * (2.0 if x.shape[0] > 100 else 1.0), state)
        zs.append(z)
    return torch.stack(zs)


def every_seventh(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t in range(x.shape[0]):
        current = m.fc(x[t])
        z, state = m.lif(-current if t % 7 == 6 else current, state)
        zs.append(z)
    return torch.stack(zs)


def by_a_list(m: Any, x: Tensor) -> Tensor:
    gains = [1.0 + (0.1 if t > 20 else 0.0) for t in range(300)]
    state, zs = None, []
    for t in range(x.shape[0]):
        z, state = m.lif(m.fc(x[t]) * gains[t], state)
        zs.append(z)
    return torch.stack(zs)


def a_ramp(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t, x_t in enumerate(x):
        z, state = m.lif(m.fc(x_t) * (t / len(x)), state)
        zs.append(z)
    return torch.stack(zs)


def a_counter(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for x_t in x:
        m.count += 1
        z, state = m.lif(m.fc(x_t) * (1 + m.count % 3), state)
        zs.append(z)
    return torch.stack(zs)


def reset_in_the_middle(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t in range(x.shape[0]):
        z, state = m.lif(m.fc(x[t]), None if t == 30 else state)
        zs.append(z)
    return torch.stack(zs)


def backwards(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t in reversed(range(x.shape[0])):
        z, state = m.lif(m.fc(x[t]), state)
        zs.append(z)
    return torch.stack(zs[::-1])


def every_other_tick(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for t in range(0, x.shape[0], 2):
        z, state = m.lif(m.fc(x[t]), state)
        zs.append(z)
    return torch.stack(zs)


def the_next_tick(m: Any, x: Tensor) -> Tensor:
    """Looks one tick ahead: `x[t + 1]`, and at the end at the first one."""
    state, zs = None, []
    for t in range(x.shape[0]):
        z, state = m.lif(m.fc(x[t]) + m.fc(x[(t + 1) % x.shape[0]]), state)
        zs.append(z)
    return torch.stack(zs)


def two_steps_a_tick(m: Any, x: Tensor) -> Tensor:
    """One cell, called twice with the same state."""
    state, zs = None, []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        z, state = m.lif(m.hidden(z), state)
        zs.append(z)
    return torch.stack(zs)


def the_first_tick_at_all(m: Any, x: Tensor) -> Tensor:
    """The first spikes are read at every later tick."""
    state, first, zs = None, 0.0, []
    for x_t in x:
        z, state = m.lif(m.fc(x_t) + first, state)
        first = z if not zs else first
        zs.append(z)
    return torch.stack(zs)


def decided_by_data(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        if z.sum() > 4:
            state = None
        zs.append(z)
    return torch.stack(zs)


def fed_back(m: Any, x: Tensor) -> Tensor:
    """The second layer's spikes enter the first one a tick later."""
    s1 = s2 = None
    z = torch.zeros_like(m.fc(x[0]))
    zs = []
    for x_t in x:
        a, s1 = m.lif(m.fc(x_t) + m.hidden(z), s1)
        z, s2 = m.second(a * 4, s2)
        zs.append(z)
    return torch.stack(zs)


def scaled_states(m: Any, x: Tensor) -> Tensor:
    """The state is changed between the ticks."""
    state: Any = None
    zs = []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        state = state._replace(i=state.i * 0.5)
        zs.append(z)
    return torch.stack(zs)


def truncated(m: Any, x: Tensor) -> Tensor:
    """Backpropagation is cut off at every tick."""
    state: Any = None
    zs = []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        state = type(state)(*(field.detach() for field in state))
        zs.append(z)
    return torch.stack(zs)


def a_list_of_ticks(m: Any, x: Tensor) -> list[Tensor]:
    state, zs = None, []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        zs.append(m.out(z))
    return zs


def in_one_row(m: Any, x: Tensor) -> Tensor:
    state, zs = None, []
    for x_t in x:
        z, state = m.lif(m.fc(x_t), state)
        zs.append(z)
    return torch.cat(zs)


DIFFERENT = [
    from_tick_50_on,
    in_long_sequences,
    every_seventh,
    by_a_list,
    a_ramp,
    a_counter,
    reset_in_the_middle,
    backwards,
    every_other_tick,
    the_next_tick,
    two_steps_a_tick,
    the_first_tick_at_all,
    decided_by_data,
    fed_back,
    scaled_states,
    truncated,
    a_list_of_ticks,
    in_one_row,
]


@pytest.mark.parametrize("way", DIFFERENT, ids=lambda way: way.__name__)
def test_whatever_python_decides_at_a_tick_holds_at_that_tick(way: Any) -> None:
    """Compiled at T = 10, called at T = 200: what the loop does there is what eager does there."""
    model = Layers(way).double()
    eager = copy.deepcopy(model)
    compiled = norse.compile(model)
    for length in (10, 200, 10, 31):
        assert_alike(compiled, eager, sequence(way, length, 2))


def test_the_reason_names_the_tick_and_the_line() -> None:
    compiled = norse.compile(Layers(a_ramp))
    compiled(torch.randn(20, 2, 5))
    reason = r"not the same at every tick: tick 3 has 0\.15 where tick 2 has 0\.1 \(.*test_user_loops\.py:\d+\)"
    assert re.search(reason, compiled.explain())


def test_a_mask_is_drawn_anew_at_every_tick() -> None:
    def dropped(m: Any, x: Tensor) -> Tensor:
        state, zs = None, []
        for x_t in x:
            z, state = m.box(m.drop(m.fc(x_t)), state)  # spikes where the mask lets the current through
            zs.append(z)
        return torch.stack(zs)

    model = Layers(dropped)
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.fill_(100.0)
    compiled = norse.compile(model)
    z = compiled(torch.zeros(200, 1, 5)).detach()
    assert 0.4 < float(z.mean()) < 0.6
    assert bool((z[1:] != z[:-1]).any(-1).float().mean() > 0.9), "two ticks in a row have the same mask"
    model.eval()
    assert_alike(compiled, copy.deepcopy(model), torch.zeros(10, 1, 5))
