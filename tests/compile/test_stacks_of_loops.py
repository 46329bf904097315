"""What a user's loop collects may be put together as often as one likes: equal to eager, each in its own memory."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse
import norse.torch as snn

from .comparison import assert_compiles_to_the_same

# What becomes of two lists, of spikes and of potentials of 12 ticks.
ENDS: dict[str, Callable[[list[Tensor], list[Tensor]], Any]] = {
    "a stack twice": lambda z, v: (torch.stack(z), torch.stack(z)),
    "a stack three times": lambda z, v: (torch.stack(z), torch.stack(z), torch.stack(z)),
    "two stacks used": lambda z, v: torch.stack(z).mean(0) * torch.stack(z).sum(0),
    "two stacks, the first unused": lambda z, v: (torch.stack(z), torch.stack(z))[1],
    "two stacks, the second unused": lambda z, v: (torch.stack(z), torch.stack(z))[0],
    "along two dimensions": lambda z, v: (torch.stack(z), torch.stack(z, 1), torch.stack(z, dim=-1)),
    "along two dimensions, time last": lambda z, v: (torch.stack(z, 1), torch.stack(z, 1), torch.stack(z)),
    "stack and cat": lambda z, v: (torch.stack(z), torch.cat(z)),
    "cat and stack": lambda z, v: (torch.cat(z), torch.stack(z), torch.cat(z, 1), torch.cat(z)),
    "the last tick besides": lambda z, v: (z[-1], torch.stack(z), torch.stack(z), z[-1]),
    "the first tick before": lambda z, v: (z[0] + 1, torch.stack(z), torch.stack(z)),
    "a view of a stack": lambda z, v: (lambda whole: (whole, whole[3], torch.stack(z)))(torch.stack(z)),
    "two lists, one of them twice": lambda z, v: (torch.stack(z), torch.stack(v), torch.stack(z)),
    "two lists, the other twice": lambda z, v: (torch.stack(v), torch.stack(z), torch.stack(v)),
    "some ticks, and all": lambda z, v: (torch.stack(z[2:]), torch.stack(z), torch.stack(z[2:])),
    "backwards, and forwards": lambda z, v: (torch.stack(z[::-1]), torch.stack(z), torch.stack(z)),
    "a list joined to itself": lambda z, v: (torch.stack(z + z), torch.stack(z)),
    "the list, and its stack": lambda z, v: (z, torch.stack(z), torch.stack(z)),
    "a list": lambda z, v: (z, v[-1]),
}


class Ends(nn.Module):
    def __init__(self, end: Callable[[list[Tensor], list[Tensor]], Any]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.lif = nn.Linear(6, 5), snn.LIFCell(snn.LIFParameters(alpha=torch.tensor(10.0)))
        self.out, self.li = nn.Linear(5, 4), snn.LICell()
        nn.init.normal_(self.fc.weight, std=1.5)
        self._end = end

    def forward(self, x: Tensor) -> Any:
        fired = rest = None
        spikes, potentials = [], []
        for t in range(x.shape[0]):
            z, fired = self.lif(self.fc(x[t]), fired)
            v, rest = self.li(self.out(z), rest)
            spikes.append(z)
            potentials.append(v)
        return self._end(spikes, potentials)


def sequence() -> Tensor:
    torch.manual_seed(2)
    return 2 * torch.rand(12, 3, 6)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("exact", [False, True])
def test_it_is_what_eager_gives(end: str, exact: bool) -> None:
    needless = () if "two lists" in end or end == "a list" else ("out.weight", "out.bias")
    model = Ends(ENDS[end])
    for parameter in needless:
        model.get_parameter(parameter).requires_grad_(False)
    compiled = assert_compiles_to_the_same(model, sequence(), exact=exact, fullgraph=True)
    assert "native" in compiled.explain()


@pytest.mark.parametrize("end", ENDS)
def test_who_writes_into_one_result_finds_it_where_eager_has_it_and_nowhere_else(end: str) -> None:
    model = Ends(ENDS[end])
    with torch.no_grad():
        assert written(norse.compile(model), sequence()) == written(model, sequence())


def test_nor_does_it_change_the_input() -> None:
    class Kept(Ends):
        def forward(self, x: Tensor) -> Any:
            state, inputs, spikes = None, [], []
            for x_t in x:
                z, state = self.lif(self.fc(x_t), state)
                inputs.append(x_t)
                spikes.append(z)
            return torch.stack(inputs), torch.stack(spikes)

    model, x = Kept(ENDS["a list"]), sequence()
    kept = x.clone()
    with torch.no_grad():
        inputs, _ = norse.compile(model)(x)
        inputs += 1
    assert torch.equal(x, kept)


def test_a_module_that_writes_into_its_input_changes_no_result_that_eager_has_apart() -> None:
    class Writes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x += 1
            return 2 * x

    class Given(Ends):
        def __init__(self) -> None:
            super().__init__(lambda z, v: (z[-1], self.writes(torch.stack(z)), torch.stack(v)))
            self.writes = Writes()

    model, x = Given(), sequence()
    with torch.no_grad():
        compiled = norse.compile(model)
        for mine, theirs in zip(compiled(x), model(x), strict=True):
            assert torch.equal(mine, theirs)
    assert "one native loop over T" in compiled.explain() and "eager" in compiled.explain()


def written(model: nn.Module, x: Tensor) -> list[list[int]]:
    """For each result which of the others change with it."""
    results = pytree.tree_leaves(model(x))
    changed = []
    for result in results:
        before = [other.clone() for other in results]
        result += 1
        changed.append(
            [k for k, other in enumerate(results) if other is not result and not torch.equal(other, before[k])]
        )
    return changed
