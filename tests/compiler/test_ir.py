"""The graph itself: what networkx sees of it, and how it prints."""

import networkx
import torch

import norse.torch as snn
from norse.compiler.ir import Graph, Names, Node, Ref, Register, Type, renamed
from norse.compiler.passes.fuse_loops import fuse_loops
from norse.compiler.text import print_graph

from .graphs import around, over_time, text

SEQUENCE = torch.rand(5, 2, 3)


def cycles(graph: Graph) -> list[set[str]]:
    found = networkx.strongly_connected_components(networkx.DiGraph(graph.to_networkx()))
    return [component for component in found if len(component) > 1]


def test_the_cycles_of_lif_are_its_two_states() -> None:
    _, graph = around(fuse_loops, snn.LIF(), SEQUENCE)
    v, i = (register for register in graph.registers)
    by_state = {
        register.value: component for component in cycles(graph) for register in (v, i) if register.value in component
    }
    assert len(cycles(graph)) == 2
    assert by_state[i.value] == {"i_2", "add", "mul_3", "i_1"}
    assert by_state[v.value] == {
        *("v_2", "sub", "add_1", "mul_1", "add_2"),
        *("sub_1", "z", "sub_2", "mul_4", "mul_5", "v_1"),
    }


def test_recurrent_weights_make_one_cycle_of_all_states() -> None:
    _, graph = around(fuse_loops, snn.LIFRecurrent(3, 4, autapses=True), SEQUENCE)
    (cycle,) = cycles(graph)
    assert {register.value for register in graph.registers} <= cycle
    assert {"linear_1"} <= cycle
    assert "linear" not in cycle


def test_without_the_edges_of_time_no_cycle_is_left() -> None:
    _, graph = around(fuse_loops, snn.LIFRecurrent(3, 4), SEQUENCE)
    edges = graph.to_networkx()
    through_time = [(a, b, k) for a, b, k, tick in edges.edges(keys=True, data="tick") if tick]
    assert {(a, b) for a, b, _ in through_time} == {(r.next, r.value) for r in graph.registers}
    edges.remove_edges_from(through_time)
    assert networkx.is_directed_acyclic_graph(edges)


def test_vertices_tell_their_op_and_their_type_and_edges_their_uses() -> None:
    nodes = (Node("mul", ("square",), (Ref("x"), Ref("x"))), Node("add", ("y",), (Ref("square"), Ref("v"))))
    types = {"x": over_time(3), "y": over_time(3)}
    edges = Graph(("x", "start"), nodes, ("y",), (Register("v", "start", "y"),), types).to_networkx()
    assert dict(edges.nodes(data="op")) == {
        "x": "input", "start": "input", "v": "register", "square": "mul", "y": "add",
    }  # fmt: skip
    assert edges.nodes["y"]["type"] == over_time(3)
    assert edges.nodes["y"]["node"] is nodes[1]
    assert edges.number_of_edges("x", "square") == 2
    assert edges.has_edge("start", "v")


def test_a_type_prints_what_is_special_about_it() -> None:
    shown = {
        Type(torch.float32): "analog[]",
        over_time(3, 4): "analog[T, B, 3, 4]",
        over_time(3, spike=True): "spike[T, B, 3]",
        Type(torch.float64, ("B", 1)): "analog[B, 1] float64",
        Type(torch.bool, (3,), spike=True): "spike[3] bool",
    }
    assert {str(type_): type_ for type_ in shown} == {said: type_ for type_, said in shown.items()}


def test_a_graph_prints_its_parameters_operands_and_remarks() -> None:
    nodes = (
        Node("parameter", ("w",), (), {"path": "layer.weight", "_path": "layer"}),
        Node("call", ("a",), (Ref("x"), (1, Ref("w")), None, torch.float64, True), {"target": "torch.f", "_target": 1}),
        Node("custom", ("b", "c"), (Ref("a"),), {"function": "F"}, region="loop"),
    )
    assert print_graph(Graph(("x",), nodes, ("b", "c"), notes={"b": "fast"})) == text("""
        graph(%x) {
          %a = call(%x, (1, @layer.weight), None, float64, True, target=torch.f)
          loop {
            %b, %c = custom(%a, function=F)   # fast
          }
          return %b, %c
        }
    """)


def test_the_same_graph_prints_the_same_text() -> None:
    texts = {str(around(fuse_loops, snn.LIFRecurrent(3, 4), SEQUENCE)[1]) for _ in range(3)}
    assert len(texts) == 1


def test_names_are_never_given_twice() -> None:
    names = Names(("v", "v_1"))
    assert [names.fresh(wish) for wish in ("v", "v", "i", "v_1", "i")] == ["v_2", "v_3", "i", "v_1_1", "i_1"]


def test_renaming_goes_through_a_whole_graph() -> None:
    nodes = (Node("add", ("y",), (Ref("x"), (Ref("v"), 1))),)
    before = Graph(("x", "s"), nodes, ("y",), (Register("v", "s", "y"),), {"y": over_time(3)})
    assert str(renamed(before, {"x": "a", "s": "b", "v": "c", "y": "d"})) == text("""
        graph(%a, %b) {
          register %c = %b, then %d
          %d = add(%a, (%c, 1)) : analog[T, B, 3]
          return %d
        }
    """)
