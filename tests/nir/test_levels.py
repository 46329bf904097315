"""Graphs in a NIR graph are read as modules in a module, and written as the same graphs again."""

from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

import norse
import norse.torch as snn

LOW = snn.LIFParameters(v_th=torch.tensor(0.1))
BOX = snn.LIFBoxParameters(v_th=torch.tensor(0.1))


class Block(nn.Module):
    """Two ways through, that add up."""

    def __init__(self, inputs: int, neurons: int) -> None:
        super().__init__()
        self.a, self.b, self.lif = nn.Linear(inputs, neurons), nn.Linear(inputs, neurons), snn.LIFCell(LOW)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.lif(self.a(x) + self.b(x), state)


class Residual(nn.Module):
    """What enters a block is added to what leaves it."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.out = snn.SequentialState(Block(4, 6), nn.Linear(6, 4)), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        y, state = self.block(x, state)
        return self.out(x + y), state


class Fed(nn.Module):
    """A block whose spikes come back into it: a cycle passes its border."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.back = snn.SequentialState(nn.Linear(4, 5), snn.LIFCell(LOW)), nn.Linear(5, 4, bias=False)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        inner, z = (None, x.new_zeros(len(x), 5)) if state is None else state
        z, inner = self.block(x + self.back(z), inner)
        return z, (inner, z)


def deep() -> nn.Module:
    last = snn.SequentialState(nn.Linear(5, 3), snn.LIFBoxCell(BOX))
    inner = snn.SequentialState(nn.Linear(5, 5), snn.LIFRecurrentCell(5, 5, LOW), last)
    return snn.SequentialState(nn.Linear(4, 6), Block(6, 5), inner, nn.Linear(3, 2), snn.LICell())


def alone() -> nn.Module:
    return snn.SequentialState(nn.Linear(4, 5), snn.SequentialState(snn.LIFRecurrentCell(5, 6, LOW)))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "a recurrent cell alone": alone,
    "three levels": deep,
    "a residual": Residual,
}


def content(graph: Any) -> Any:
    """Kinds and numbers of all nodes, and the edges."""
    told = {name: (content if isinstance(node, nir.NIRGraph) else numbers)(node) for name, node in graph.nodes.items()}
    return told, sorted(graph.edges)


def numbers(node: Any) -> Any:
    arrays = {name: value.tolist() for name, value in vars(node).items() if isinstance(value, np.ndarray)}
    return type(node).__name__, arrays


@pytest.mark.parametrize("name", MODELS)
def test_graphs_come_back_as_modules_and_go_out_as_the_same_graphs(name: str) -> None:
    torch.manual_seed(0)
    model, x = MODELS[name](), 3 * torch.rand(40, 2, 4)
    example = torch.zeros(1, 4)
    written = norse.to_nir(model, subgraphs=True, example_input=example)
    assert any(isinstance(node, nir.NIRGraph) for node in written.nodes.values())
    read = norse.from_nir(written)
    for path, node in written.nodes.items():
        if isinstance(node, nir.NIRGraph):
            assert set(dict(read.get_submodule(path).named_children())) <= set(node.nodes)
    again = norse.to_nir(read, subgraphs=True, example_input=example)
    assert content(again) == content(written)
    expected, _ = snn.Lift(model)(x)
    assert expected.any()
    assert torch.equal(snn.Lift(read)(x)[0], expected)
    compiled = norse.compile(snn.Lift(read), fullgraph=True, exact=True)
    assert torch.equal(compiled(x)[0], expected)


def test_a_state_goes_on_where_it_stopped() -> None:
    torch.manual_seed(0)
    read, x = snn.Lift(norse.from_nir(norse.to_nir(deep(), subgraphs=True))), 3 * torch.rand(20, 2, 4)
    whole, _ = read(x)
    first, state = read(x[:9])
    second, _ = read((x[9:], state))
    assert torch.equal(torch.cat([first, second]), whole)


def test_where_a_cycle_passes_the_border_the_graph_is_put_in_its_place() -> None:
    """As a file of another tool says it: ours has no such graph."""
    torch.manual_seed(0)
    model, x = Fed(), 3 * torch.rand(30, 2, 4)
    flat = norse.to_nir(model, example_input=torch.zeros(1, 4))
    assert not any(isinstance(node, nir.NIRGraph) for node in flat.nodes.values())
    ports = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([5]))}
    inner = {"0": flat.nodes["block_0"], "1": flat.nodes["block_1"]}
    block = nir.NIRGraph({**ports, **inner}, [("input", "0"), ("0", "1"), ("1", "output")], type_check=False)
    outer = nir.NIRGraph(
        {**ports, "block": block, "back": flat.nodes["back"]},
        [("input", "block"), ("block", "back"), ("back", "block"), ("block", "output")],
        metadata={"dt": 0.001},
        type_check=False,
    )
    read = norse.from_nir(outer)
    assert {name for name, _ in read.named_children()} == {"block_0", "block_1", "back"}
    assert torch.equal(snn.Lift(read)(x)[0], snn.Lift(model)(x)[0])


@pytest.mark.parametrize("before", ["a node", "a graph"])
def test_an_edge_that_waits_at_the_border_keeps_its_tick(before: str) -> None:
    """A delay of two ticks in a cycle that halves: an impulse comes out halved every second tick. All that leads into
    such a delay is of the last tick, also what comes from outside of its graph."""
    ports = {"input": nir.Input(np.array([1])), "output": nir.Output(np.array([1]))}
    half, one = nir.Linear(np.array([[0.5]], np.float32)), nir.Linear(np.array([[1.0]], np.float32))
    cycle = nir.NIRGraph(
        {**ports, "d": nir.Delay(np.array([0.002], np.float32)), "w": half},
        [("input", "d"), ("d", "w"), ("w", "d"), ("w", "output")],
        type_check=False,
    )
    chain = nir.NIRGraph({**ports, "p": one, "q": one}, [("input", "p"), ("p", "q"), ("q", "output")], type_check=False)
    outer = nir.NIRGraph(
        {**ports, "first": one if before == "a node" else chain, "cycle": cycle, "last": one},
        [("input", "first"), ("first", "cycle"), ("cycle", "last"), ("last", "output")],
        type_check=False,
    )
    impulse = torch.zeros(8, 1, 1)
    impulse[0] = 1
    out, _ = snn.Lift(norse.from_nir(outer, dt=0.001))(impulse)
    assert out.flatten().tolist() == [0, 0, 0.5, 0, 0.25, 0, 0.125, 0]
