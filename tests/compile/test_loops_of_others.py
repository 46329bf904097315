"""Ten models written the way others write them, with loops over time in their forward: all compile whole."""

import copy
from collections import deque
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn

from .test_user_loops import assert_alike

P = snn.LIFParameters(alpha=torch.tensor(10.0))


def linear(n_in: int, n_out: int) -> nn.Linear:
    layer = nn.Linear(n_in, n_out)
    nn.init.normal_(layer.weight, std=2.0)
    return layer


class MembranesInTheForward(nn.Module):
    """`mem1 = None` at the start, `spk_rec.append(spk2)`, `torch.stack(spk_rec, dim=0)`."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = linear(5, 8), snn.LIFCell(P)
        self.fc2, self.lif2 = linear(8, 3), snn.LIFCell(P)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1 = mem2 = None
        spk2_rec, mem2_rec = [], []
        for step in range(x.size(0)):
            cur1 = self.fc1(x[step])
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2.v)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


class StatesInAList(nn.Module):
    """A list of layers, a state a layer in a list, and `for i, layer in enumerate(self.layers)` inside of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.synapses = nn.ModuleList([linear(5, 8), linear(8, 8), linear(8, 8)])
        self.neurons = nn.ModuleList([snn.LIFCell(P), snn.LIFBoxCell(), snn.LIFCell(P)])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Any]]:
        states: list[Any] = [None] * len(self.neurons)
        outputs = []
        for x_t in x:
            h = x_t
            for i, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
                h, states[i] = neuron(synapse(h), states[i])
            outputs.append(h)
        return torch.stack(outputs), states


class StatesInADict(nn.Module):
    """A dict of states and a dict of recordings."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.lif, self.readout, self.li = linear(5, 8), snn.LIFCell(P), linear(8, 3), snn.LICell()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        states: dict[str, Any] = {"lif": None, "li": None}
        record: dict[str, list[Tensor]] = {"spikes": [], "v": []}
        for t in range(len(x)):
            z, states["lif"] = self.lif(self.hidden(x[t]), states["lif"])
            v, states["li"] = self.li(self.readout(z), states["li"])
            record["spikes"].append(z)
            record["v"].append(v)
        return {name: torch.stack(values) for name, values in record.items()} | {"prediction": record["v"][-1]}


class Residual(nn.Module):
    """Skip connections around spiking layers; the readout is the largest potential over time."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.a, self.b = linear(5, 8), linear(8, 8), linear(8, 8)
        self.lif0, self.lif1, self.lif2, self.li = snn.LIFCell(P), snn.LIFCell(P), snn.LIFCell(P), snn.LICell()

    def forward(self, x: Tensor) -> Tensor:
        s0 = s1 = s2 = s3 = None
        voltages = []
        for x_t in x:
            z0, s0 = self.lif0(self.inp(x_t), s0)
            z1, s1 = self.lif1(self.a(z0), s1)
            z2, s2 = self.lif2(self.b(z1) + z0, s2)
            v, s3 = self.li(z2 + z1, s3)
            voltages.append(v)
        return torch.max(torch.stack(voltages), 0).values


class StaticImage(nn.Module):
    """A constant number of steps on a static input, and a count of spikes that starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif, self.out, self.second = nn.Conv2d(1, 2, 3), snn.LIFCell(P), linear(18, 4), snn.LIFCell(P)
        nn.init.normal_(self.conv.weight, std=2.0)

    def forward(self, x: Tensor) -> Tensor:
        image = x[0, :, None, :, None].expand(-1, 1, 5, 5)
        s1 = s2 = None
        count: Any = 0.0
        for _ in range(25):
            z, s1 = self.lif(self.conv(image), s1)
            z, s2 = self.second(self.out(z.flatten(1)), s2)
            count = count + z
        return count / 25  # type: ignore[no-any-return]


class SpikesFedBack(nn.Module):
    """A recurrent layer made by hand, that starts from silence."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.rec, self.lif, self.out = linear(5, 8), linear(8, 8), snn.LIFCell(P), linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.zeros(x.shape[1], 8, dtype=x.dtype)
        state = None
        out = []
        for x_t in x:
            z, state = self.lif(self.inp(x_t) + self.rec(z), state)
            out += [self.out(z)]
        return torch.stack(out).softmax(-1)


class StepFunction(nn.Module):
    """A method for one step, a tuple of states, a burn-in that is not recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.lif, self.out, self.li = linear(5, 8), snn.LIFCell(P), linear(8, 3), snn.LICell()

    def step(self, x: Tensor, states: tuple[Any, Any]) -> tuple[Tensor, tuple[Any, Any]]:
        z, s1 = self.lif(torch.tanh(self.inp(x)), states[0])
        v, s2 = self.li(self.out(z), states[1])
        return v, (s1, s2)

    def forward(self, x: Tensor, burn_in: int = 3) -> Tensor:
        states: tuple[Any, Any] = (None, None)
        recorded = []
        for t in range(x.shape[0]):
            v, states = self.step(x[t], states)
            if t >= burn_in:
                recorded.append(v)
        return torch.stack(recorded).mean(0)


class DelayLine(nn.Module):
    """Axons with a delay of three ticks, as a deque of spikes; batch first."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.lif, self.axon, self.second = linear(5, 8), snn.LIFCell(P), linear(8, 8), snn.LIFCell(P)

    def forward(self, x: Tensor) -> Tensor:
        s1 = s2 = None
        out = []
        silence = torch.zeros_like(self.inp(x[:, 0]))
        line = deque([silence] * 3, maxlen=3)
        for t in range(x.shape[1]):
            z, s1 = self.lif(self.inp(x[:, t]), s1)
            y, s2 = self.second(self.axon(line[0]), s2)
            line.append(z)
            out.append(torch.cat([z, y], dim=-1))
        return torch.stack(out, dim=1)


class Chains(nn.Module):
    """Library containers in a loop: a chain with a readout of hidden spikes, and a loss on them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = snn.SequentialState(linear(5, 8), snn.LIFCell(P), linear(8, 3), snn.LICell(), return_hidden=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state, out, rate = None, [], []
        for x_t in x:
            hidden, state = self.net(x_t, state)
            out.append(hidden[-1])
            rate.append(hidden[1].mean())
        return torch.stack(out), 0.1 * sum((r - 0.2) ** 2 for r in rate)


class BothDirections(nn.Module):
    """Forwards and backwards in time, with one cell each, concatenated; gates by `chunk`."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.ahead, self.back, self.out = linear(5, 16), snn.LIFCell(P), snn.LIFCell(P), linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[0]
        forwards, backwards = [], []
        state = None
        for t in range(length):
            value, gate = self.inp(x[t]).chunk(2, dim=-1)
            z, state = self.ahead(value * torch.sigmoid(gate), state)
            forwards.append(z)
        state = None
        for t in reversed(range(length)):
            value, gate = self.inp(x[t]).chunk(2, dim=-1)
            z, state = self.back(value * torch.sigmoid(gate), state)
            backwards.append(z)
        return self.out(torch.cat([torch.stack(forwards), torch.stack(backwards[::-1])], dim=-1))


TEN = [
    MembranesInTheForward,
    StatesInAList,
    StatesInADict,
    Residual,
    StaticImage,
    SpikesFedBack,
    StepFunction,
    DelayLine,
    Chains,
    BothDirections,
]


def sequence(length: int, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(length, batch, 5, generator=generator, dtype=torch.float64) + 0.5


@pytest.mark.parametrize("model", TEN, ids=lambda model: model.__name__)
def test_a_model_that_others_write_compiles_whole_and_is_right_at_every_length(model: type[nn.Module]) -> None:
    torch.manual_seed(3)
    network = model().double()
    eager = copy.deepcopy(network)
    compiled = norse.compile(network, fullgraph=True)
    for length, batch in ((10, 12), (31, 12), (9, 7)):
        assert_alike(compiled, eager, sequence(length, batch))
    assert "native" in compiled.explain() and "eager" not in compiled.explain()
