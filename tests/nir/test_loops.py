"""A forward that loops over time itself is written as its one tick, and what a file can't say of it is refused."""

import pytest
import torch
from torch import nn

import norse
import norse.torch as snn


class Loop(nn.Module):
    """`tick(self, x_t, kept)` gives (output, kept) of each tick."""

    def __init__(self, tick, first=lambda x: (None, None)):
        super().__init__()
        self.tick, self.first = tick, first
        torch.manual_seed(0)
        self.a, self.l, self.o, self.r = nn.Linear(5, 4), snn.LIFCell(), nn.Linear(4, 2), snn.LICell()
        self.back, self.m = nn.Linear(4, 4), snn.LIFCell()
        for layer in (self.a, self.o, self.back):
            nn.init.normal_(layer.weight, 0.5)

    def forward(self, x):
        kept, outputs = self.first(x), []
        for now in x:
            output, kept = self.tick(self, now, kept)
            outputs.append(output)
        return torch.stack(outputs)


def chain(model, x, kept):
    z, first = model.l(model.a(x), kept[0])
    v, second = model.r(model.o(z), kept[1])
    return v, (first, second)


def fed_back(model, x, kept):
    z, state = model.l(model.a(x) + model.back(kept[0]), kept[1])
    return z, (z, state)


def fed_back_over_two(model, x, kept):
    z, first = model.l(model.a(x) + model.back(kept[0]), kept[1])
    y, second = model.m(model.back(z), kept[2])
    return y, (y, first, second)


def zeros(x):
    return x.new_zeros(x.shape[1], 4), None, None


X = (torch.rand(40, 2, 5, generator=torch.Generator().manual_seed(0)) < 0.5).float()


@pytest.mark.parametrize("example", [X, X[:1], None], ids=["40 ticks", "1 tick", "no example"])
@pytest.mark.parametrize(
    "model",
    [Loop(chain), Loop(fed_back, lambda x: (torch.zeros(x.shape[1], 4), None)), Loop(fed_back_over_two, zeros)],
    ids=["a chain", "spikes that are fed back", "a cycle of two layers"],
)
def test_what_is_written_runs_as_the_loop_does(model, example):
    read = norse.from_nir(norse.to_nir(model, example_input=example))
    with torch.no_grad():
        expected, (result, _) = model(X), snn.Lift(read)(X)
    assert torch.allclose(result, expected, atol=1e-6)
    assert expected.min() < expected.max()


def halved(model, x, kept):
    z, state = model.l(model.a(x), kept[0])
    return z, (state._replace(v=state.v * 0.5), None)


def swapped(model, x, kept):
    z, first = model.l(model.a(x), kept[0])
    y, second = model.m(z, kept[1])
    return y, (second, first)


def potential_fed_back(model, x, kept):
    z, state = model.l(model.a(x) + model.back(kept[0]), kept[1])
    return z, (state.v, state)


def forgetful(model, x, kept):
    z, _ = model.l(model.a(x))
    return model.r(model.o(z))[0], kept


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Loop(halved), ("layer 'l'", "changes", "snn.Lift")),
        (Loop(swapped), ("layer 'l'", "replaces", "snn.Lift")),
        (
            Loop(fed_back, lambda x: (torch.ones(x.shape[1], 4), None)),
            ("'z'", "beginning with torch.zeros", "snn.Lift"),
        ),
        (Loop(potential_fed_back, zeros), ("'v'", "state")),
        (Loop(forgetful), ("loop over time", "snn.Lift")),
    ],
    ids=["a state that is changed", "states that change places", "another start", "a potential", "a dropped state"],
)
def test_what_a_loop_may_not_do_is_said(model, said):
    for example in (X, None):
        with pytest.raises(ValueError, match=said[0]) as error:
            norse.to_nir(model, example_input=example)
        assert all(part in str(error.value) for part in said)


class LastTick(Loop):
    def forward(self, x):
        return super().forward(x)[-1]


class OnlyLast(Loop):
    def forward(self, x):
        kept = self.first(x)
        for now in x:
            output, kept = self.tick(self, now, kept)
        return output


@pytest.mark.parametrize("kind", [OnlyLast, LastTick])
def test_the_last_tick_alone_is_no_output_of_a_file(kind):
    with pytest.raises(ValueError, match=r"the last tick alone|NIR can't say .*getitem"):
        norse.to_nir(kind(chain), example_input=X)


class WithoutState(nn.Module):
    """Takes a state and gives none back."""

    def __init__(self, neurons):
        super().__init__()
        self.a, self.l = nn.Linear(5, 4), neurons
        nn.init.constant_(self.a.weight, 0.7)

    def forward(self, x, state=None):
        z, state = self.l(self.a(x), state)
        return z


def test_a_forward_over_time_need_not_give_its_state_back():
    model = WithoutState(snn.LIF())
    report = norse.to_nir(model, example_input=X).verification
    assert report.spikes > 0


def test_a_forward_of_one_tick_has_to_give_its_state_back():
    with pytest.raises(ValueError, match=r"return \(output, state\)"):
        norse.to_nir(WithoutState(snn.LIFCell()))


class Padded(nn.Module):
    """One tick, which fails on a sequence."""

    def __init__(self):
        super().__init__()
        self.a, self.l = nn.Linear(5, 4), snn.LIFCell()

    def forward(self, x, state=None):
        if x.dim() != 2:
            raise RuntimeError("one tick is wanted")
        return self.l(4.0 * self.a(x), state)


def test_a_forward_of_one_tick_is_not_taken_for_a_loop():
    assert norse.to_nir(Padded(), verify=False).nodes.keys() >= {"a", "l"}
