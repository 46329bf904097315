"""Plan memory: a call holds a value until nothing reads it any more, and not longer."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.compiler.ir import BATCH, TIME, Graph, Node, Ref, Type
from norse.compiler.passes.plan_memory import plan_memory, release, size_of

from ..graphs import around


class Witness(nn.Module):
    """Runs as it is, and notes what it is given."""

    def __init__(self, note: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.note = note
        self.register_forward_pre_hook(lambda module, args: None)  # so that it is called as it is

    def forward(self, x: Tensor) -> Tensor:
        self.note(x)
        return x * 1.0


def watched(depth: int) -> tuple[nn.Module, list[Any], list[int]]:
    """A chain of layers and neurons with witnesses between them; what they saw, and how many of it were still there."""
    seen: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def note(x: Tensor) -> None:
        alive.append(sum(tensor() is not None for tensor in seen))
        seen.append(weakref.ref(x))

    parts: list[nn.Module] = []
    for _ in range(depth):
        parts += [nn.Linear(4, 4), Witness(note), OutputOnly(snn.LIF()), Witness(note)]
    return nn.Sequential(*parts), seen, alive


class OutputOnly(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def test_without_gradients_a_value_is_gone_once_its_last_reader_has_run() -> None:
    model, seen, alive = watched(4)
    compiled = norse.compile(model)
    with torch.no_grad():
        compiled(torch.rand(6, 2, 4))
        seen.clear()  # of the tracing
        alive.clear()
        compiled(torch.rand(6, 2, 4))
    assert compiled.explain().count("one native loop") == 4
    assert alive == [0] * 8


def test_what_a_later_layer_reads_is_held_until_then() -> None:
    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
            self.lif = snn.LIF()

        def forward(self, x: Tensor) -> Tensor:
            early = self.first(x)
            late = self.third(self.second(self.lif(early)[0]))
            return late + early

    model, x = Skips(), torch.rand(6, 2, 4)
    compiled = norse.compile(model)
    for _ in range(2):
        with torch.no_grad():
            assert torch.equal(compiled(x), model(x))
    dead = {name: node for node in compiled.tick_graph.nodes for name in node.attrs.get("_dead", ())}
    early = next(n for n in compiled.tick_graph.nodes if n.attrs.get("_path") == "first" and n.op == "Linear").output
    assert early in dead[early].uses and compiled.tick_graph.outputs[0] in dead[early].outputs


@pytest.mark.parametrize("exact", [False, True])
def test_gradients_need_nothing_that_was_freed(exact: bool) -> None:
    torch.manual_seed(2)
    model = snn.SequentialState(nn.Linear(3, 4), snn.LIFRecurrent(4, 5), nn.Linear(5, 6), snn.LIF(), snn.LI())
    model[0].weight.data.mul_(20)
    compiled = norse.compile(model, exact=exact)
    found = []
    for each in (model, compiled, compiled):
        x = torch.full((9, 2, 3), 0.7, requires_grad=True)
        out, state = each(x)
        found.append(torch.autograd.grad(out.sum() + state[1].v.sum(), [x, *model.parameters()], allow_unused=True))
    for ours in found[1:]:
        for mine, theirs in zip(ours, found[0], strict=True):
            assert (mine is None) == (theirs is None)
            if theirs is not None:
                torch.testing.assert_close(mine, theirs)


def test_the_plan_can_be_read() -> None:
    _, after = around(plan_memory, snn.SequentialState(nn.Linear(3, 4), snn.LIBox()), torch.rand(5, 2, 3))
    lines = [line.strip() for line in str(after).splitlines() if "freed" in line]
    assert [(line.partition(" =")[0], line.partition("# ")[2]) for line in lines] == [
        ("%mul", "4 bytes, freed behind %z"),
        ("%linear", "16*T*B bytes, freed behind %z"),
        ("%v", "4 bytes, freed behind %z"),
    ]


def test_torch_frees_node_by_node_and_never_what_is_returned() -> None:
    nodes = (Node("exp", ("a",), (Ref("x"),)), Node("exp", ("b",), (Ref("a"),)), Node("add", ("c",), (Ref("b"), 1)))
    planned = plan_memory(Graph(("x",), nodes, ("b", "c")))
    assert [node.attrs.get("_dead", ()) for node in planned.nodes] == [("x",), ("a",), ()]
    values = {"x": 1, "a": 2, "b": 3, "c": 4}
    release(values, planned.nodes)
    assert values == {"b": 3, "c": 4}


def test_what_nothing_reads_is_freed_where_it_is_made() -> None:
    nodes = (Node("eager", ("a", "b"), (Ref("x"),)), Node("exp", ("c",), (Ref("b"),)))
    planned = plan_memory(Graph(("x",), nodes, ("c",)))
    assert [set(node.attrs["_dead"]) for node in planned.nodes] == [{"x", "a"}, {"b"}]


def test_sizes_are_symbolic() -> None:
    assert size_of(Type(torch.float32, (TIME, BATCH, 128))) == "512*T*B bytes"
    assert size_of(Type(torch.bool, (BATCH, 2, 3))) == "6*B bytes"
    assert size_of(Type(torch.float64)) == "8 bytes"
