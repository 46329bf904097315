"""The verifier: what every graph between two passes must keep to."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import norse.torch as snn
from norse.compiler.errors import CompileError
from norse.compiler.ir import Graph, Node, Ref, Register, Type
from norse.compiler.passes.fuse_loops import fuse_loops
from norse.compiler.verify import verify

from .graphs import around, over_time

X, Y = Ref("x"), Ref("y")


def test_a_graph_of_real_layers_is_sound_after_all_passes() -> None:
    model = snn.SequentialState(nn.Linear(3, 4), snn.LIFRecurrent(4, 5), snn.LI())
    _, after = around(fuse_loops, model, torch.rand(5, 2, 3))  # verifies every stage
    verify(after)


BROKEN = {
    "%y is read by neg before it is made": Graph(
        ("x",), (Node("neg", ("z",), (Y,)), Node("neg", ("y",), (X,))), ("z",)
    ),
    "%nothing is read by add before it is made": Graph(("x",), (Node("add", ("y",), (X, Ref("nothing"))),), ("y",)),
    "%hidden is read by call before it is made": Graph(
        ("x",), (Node("call", ("y",), (X, (1, Ref("hidden")))),), ("y",)
    ),
    "%y is made twice": Graph(("x",), (Node("neg", ("y",), (X,)), Node("abs", ("y",), (X,))), ("y",)),
    "%x is made twice": Graph(("x",), (Node("neg", ("x",), (X,)),), ("x",)),
    "the output %z is never made": Graph(("x",), (Node("neg", ("y",), (X,)),), ("z",)),
    "the register %v reads %start, which is never made": Graph(
        ("x",), (Node("add", ("y",), (X, Ref("v"))),), ("y",), (Register("v", "start", "y"),)
    ),
    "the register %v reads %after, which is never made": Graph(
        ("x",), (Node("add", ("y",), (X, Ref("v"))),), ("y",), (Register("v", "x", "after"),)
    ),
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_graph_is_found_with_the_value_that_is_wrong(complaint: str) -> None:
    with pytest.raises(CompileError) as found:
        verify(BROKEN[complaint])
    assert complaint in str(found.value)


@pytest.mark.parametrize(
    "said",
    [over_time(3, dtype=torch.float64), over_time(4), over_time(), Type(torch.float32, ("T", 1, 3))],
    ids=str,
)
def test_a_type_that_torch_does_not_compute_is_found(said: Type) -> None:
    graph = Graph(("x",), (Node("mul", ("y",), (X, 2.0)),), ("y",))
    verify(graph.with_types({"x": over_time(3), "y": over_time(3)}))
    with pytest.raises(CompileError, match=r"%y = mul is typed .*, torch computes torch\.float32\[3, 3\]"):
        verify(graph.with_types({"x": over_time(3), "y": said}))


def test_a_pass_that_breaks_a_real_graph_is_found() -> None:
    _, graph = around(fuse_loops, snn.LIBox(), torch.rand(5, 2, 3))
    verify(graph)
    with pytest.raises(CompileError, match="before it is made"):
        verify(replace(graph, nodes=graph.nodes[::-1]))
    with pytest.raises(CompileError, match="is read by"):
        verify(replace(graph, registers=()))


def test_a_mark_that_nothing_proves_is_found() -> None:
    graph = Graph(("x",), (Node("add", ("y",), (X, X)),), ("y",))
    verify(graph.with_types({"x": over_time(3), "y": over_time(3)}))
    with pytest.raises(CompileError, match="%y is marked as a spike, and nothing proves it"):
        verify(graph.with_types({"x": over_time(3), "y": over_time(3, spike=True)}))


def test_what_a_custom_function_is_typed_is_compared_with_what_torch_computes() -> None:
    _, graph = around(fuse_loops, snn.LIF(), torch.rand(5, 2, 3))
    (custom,) = (node for node in graph.nodes if node.op == "custom")
    wrong = replace(graph.types[custom.output], dtype=torch.float64)
    with pytest.raises(CompileError, match=r"custom is typed .* float64, torch computes torch\.float32"):
        verify(graph.with_types({**graph.types, custom.output: wrong}))
