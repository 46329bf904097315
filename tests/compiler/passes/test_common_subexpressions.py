"""Common subexpressions: equal computations are done once, where nobody can tell."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import norse
import norse.torch as snn
from norse.compiler.ir import Graph, Node, Ref, Register
from norse.compiler.ops import OPS
from norse.compiler.passes.common_subexpressions import common_subexpressions, repeats

from ..graphs import around, text
from ..steps import TripleGradient

SEQUENCE = torch.rand(5, 2, 3)


def merged(model: nn.Module, x: Tensor = SEQUENCE) -> int:
    """How many nodes of the model's graph the pass takes away."""
    before, after = around(common_subexpressions, model, x)
    return len(before.nodes) - len(after.nodes)


class Calls(nn.Module):
    """A network's forward around a linear layer, a dropout and a neuron."""

    def __init__(self, function: Any, **layers: nn.Module) -> None:
        super().__init__()
        self.function, self.fc, self.lif = function, nn.Linear(3, 3), snn.LIF()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.lif(self.function(self, x))[0]


def test_what_a_step_computes_twice_is_computed_once() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        u = v + (torch.relu(x) * 0.5) * torch.relu(x)
        return torch.exp(u) - torch.relu(x), u

    before, after = around(common_subexpressions, snn.SNN(step, lambda x: x.new_zeros(3), None), SEQUENCE)
    assert str(before).count("relu(%x)") == 3
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %a1 = %state, then %state_1 : analog[T, B, 3]
          %state = initial_state(%x, of=@) : analog[3]
          %relu = relu(%x)                 : analog[T, B, 3]
          %mul = mul(%relu, 0.5)           : analog[T, B, 3]
          %mul_1 = mul(%mul, %relu)        : analog[T, B, 3]
          %state_1 = add(%a1, %mul_1)      : analog[T, B, 3]
          %exp = exp(%state_1)             : analog[T, B, 3]
          %z = sub(%exp, %relu)            : analog[T, B, 3]
          %last = last(%state_1)           : analog[B, 3]
          return %z, %last
        }
    """)


def test_chains_of_equal_nodes_merge_whole_and_constants_are_told_apart() -> None:
    nodes = (
        Node("mul", ("a",), (Ref("x"), 2)),
        Node("mul", ("b",), (Ref("x"), 2)),
        Node("exp", ("c",), (Ref("a"),)),
        Node("exp", ("d",), (Ref("b"),)),
        Node("mul", ("e",), (Ref("x"), 2.0)),
        Node("add", ("f",), (Ref("c"), Ref("d"))),
        Node("add", ("g",), (Ref("f"), Ref("e"))),
    )
    assert str(common_subexpressions(Graph(("x",), nodes, ("g",)))) == text("""
        graph(%x) {
          %a = mul(%x, 2)
          %c = exp(%a)
          %e = mul(%x, 2.0)
          %f = add(%c, %c)
          %g = add(%f, %e)
          return %g
        }
    """)


def test_outputs_and_what_registers_keep_stay_values_of_their_own() -> None:
    nodes = tuple(Node("add", (name,), (Ref("v"), Ref("x")), tick=True) for name in ("a", "b", "c"))
    graph = Graph(("x", "start"), nodes, ("a", "b"), (Register("v", "start", "c"),))
    assert common_subexpressions(graph) == graph


@pytest.mark.parametrize("op", [name for name, row in OPS.items() if row.draws is not None])
def test_random_draws_are_never_merged(op: str) -> None:
    assert not repeats(Node(op, ("a",), (Ref("x"),)))
    nodes = (Node(op, ("a",), (Ref("x"),)), Node(op, ("b",), (Ref("x"),)), Node("add", ("y",), (Ref("a"), Ref("b"))))
    graph = Graph(("x",), nodes, ("y",))
    assert common_subexpressions(graph) == graph


def test_custom_functions_are_never_merged() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        z = TripleGradient.apply(x) * v + TripleGradient.apply(x)
        return z, z

    before, after = around(common_subexpressions, snn.SNN(step, lambda x: x.new_zeros(3), None), SEQUENCE)
    assert str(after) == str(before)


MERGED = {
    "a layer": (lambda m, x: m.fc(x) * 0.5 + m.fc(x), {}),
    "a function": (lambda m, x: functional.gelu(x) * 0.5 + functional.gelu(x), {}),
    "arithmetic": (lambda m, x: (x * 2) * 0.5 + torch.exp(x * 2), {}),
    "a product with a weight": (lambda m, x: functional.linear(x, m.fc.weight) - functional.linear(x, m.fc.weight), {}),
    "a batch norm in eval": (lambda m, x: m.norm(x[0]) - m.norm(x[0]) * x, {"norm": nn.BatchNorm1d(3).eval()}),
}
KEPT = {
    "dropout": (lambda m, x: m.drop(x) * 0.5 + m.drop(x), {"drop": nn.Dropout(0.5)}),
    "a drawing function": (lambda m, x: functional.dropout(x) * 0.5 + functional.dropout(x), {}),
    "random numbers": (lambda m, x: torch.rand_like(x) * 0.5 + torch.rand_like(x), {}),
    "a layer that counts": (lambda m, x: m.norm(x) - m.norm(x) * x, {"norm": nn.BatchNorm1d(2)}),
    "copies": (lambda m, x: x.clone() * 0.5 + x.clone(), {}),
    "what is changed in place": (lambda m, x: m.relu(m.fc(x)) + m.fc(x), {"relu": nn.ReLU(inplace=True)}),
    "two layers": (lambda m, x: m.fc(x) * 0.5 + m.other(x), {"other": nn.Linear(3, 3)}),
    "neurons": (lambda m, x: m.other(x)[0] * 0.5 + m.other(x)[0], {"other": snn.LIBox()}),
}


@pytest.mark.parametrize("case", MERGED)
def test_is_called_once(case: str) -> None:
    function, layers = MERGED[case]
    model = Calls(function, **layers)
    assert merged(model) >= 1
    compare(model)


@pytest.mark.parametrize("case", KEPT)
def test_is_called_as_often_as_in_eager(case: str) -> None:
    function, layers = KEPT[case]
    model = Calls(function, **layers)
    before, after = around(common_subexpressions, model, SEQUENCE)
    gone = {name for node in before.nodes for name in node.outputs} - {n for node in after.nodes for n in node.outputs}
    assert all(before.producers[name].module == "other" for name in gone)
    assert not any(before.types[name].over_time for name in gone)  # of neurons: what their parameters give
    compare(model)


def compare(model: nn.Module) -> None:
    """Results bit for bit and gradients within rounding, from the same seed."""
    x = SEQUENCE.clone().requires_grad_()
    found = []
    for each in (model, norse.compile(model)):
        torch.manual_seed(1)
        out = each(40 * x)
        (gradient,) = torch.autograd.grad(out.sum(), x, allow_unused=True)
        found.append((out, torch.zeros(()) if gradient is None else gradient))
    (eager, gradient), (ours, our_gradient) = found
    assert torch.equal(ours, eager)
    torch.testing.assert_close(our_gradient, gradient)
