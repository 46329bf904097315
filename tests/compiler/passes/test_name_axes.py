"""Name axes: which dimension is time, which is the batch, and which values are 0/1."""

import torch
from torch import Tensor, nn

import norse.torch as snn
from norse.compiler.ir import Graph, Node, Ref, Type
from norse.compiler.passes.name_axes import name_axes

from ..graphs import network, text

SEQUENCE, TICK = torch.rand(5, 2, 3), torch.rand(2, 3)


def test_sizes_before_become_names_after() -> None:
    types = {"x": Type(torch.float32, (5, 2, 3)), "y": Type(torch.float32, (5, 2, 3))}
    layer = Node("LIBox", ("y",), (Ref("x"),), {"_own_time": True, "_over_time": True})
    before = Graph(("x",), (layer,), ("y",), types=types)
    assert str(before) == text("""
        graph(%x: analog[5, 2, 3]) {
          %y = LIBox(%x) : analog[5, 2, 3]
          return %y
        }
    """)
    assert str(name_axes(before)) == text("""
        graph(%x: analog[T, B, 3]) {
          %y = LIBox(%x) : analog[T, B, 3]
          return %y
        }
    """)


def test_a_layer_over_time_names_what_is_in_front_of_it_and_behind_it() -> None:
    assert str(network(snn.SequentialState(nn.Linear(3, 4), snn.LIBox(), nn.ReLU()), SEQUENCE)) == text("""
        graph(%x: analog[T, B, 3]) {
          %linear = Linear(%x, layer=@0)      : analog[T, B, 4]
          %v = initial_state(%linear, of=@1)  : analog[]
          %z, %v_1 = LIBox(%linear, %v, @1.p) : analog[T, B, 4]
          %last = last(%v_1)                  : analog[B, 4]
          %relu = ReLU(%z, layer=@2)          : analog[T, B, 4]
          return %relu, %last
        }
    """)


def test_a_cell_has_no_time() -> None:
    assert str(network(snn.SequentialState(nn.Linear(3, 4), snn.LIBoxCell()), TICK)) == text("""
        graph(%x: analog[B, 3]) {
          %linear = Linear(%x, layer=@0)          : analog[B, 4]
          %v = initial_state(%linear, of=@1)      : analog[]
          %z, %v_1 = LIBoxCell(%linear, %v, @1.p) : analog[B, 4]
          return %z, %v_1
        }
    """)


def test_a_lift_gives_time_to_all_that_it_holds() -> None:
    chain = snn.SequentialState(nn.Linear(3, 4), snn.IAFCell(), nn.Dropout().eval())
    assert str(network(snn.Lift(chain), SEQUENCE)) == text("""
        graph(%x: analog[T, B, 3]) {
          %enter = enter(%x)                                  : analog[T, B, 3]
          %linear = Linear(%enter, layer=@lifted_module.0)    : analog[T, B, 4]
          %v = initial_state(%linear, of=@lifted_module.1)    : analog[]
          %z, %v_1 = IAFCell(%linear, %v, @lifted_module.1.p) : spike[T, B, 4]
          %dropout = Dropout(%z, layer=@lifted_module.2)      : analog[T, B, 4]
          %leave = leave(%dropout)                            : analog[T, B, 4]
          %last = last(%v_1)                                  : analog[B, 4]
          return %leave, %last
        }
    """)


def test_spikes_stay_spikes_through_pooling_but_not_through_a_convolution() -> None:
    model = snn.SequentialState(
        snn.Lift(nn.Conv2d(1, 2, 3)), snn.IAF(), snn.Lift(nn.MaxPool2d(2)), snn.Lift(nn.Conv2d(2, 2, 1))
    )
    graph = network(model, torch.rand(5, 2, 1, 6, 6))
    shown = {node.op: str(graph.types[node.outputs[0]]) for node in graph.nodes if node.op in ("IAF", "MaxPool2d")}
    assert shown == {"IAF": "spike[T, B, 2, 4, 4]", "MaxPool2d": "spike[T, B, 2, 2, 2]"}
    assert str(graph.types[graph.outputs[0]]) == "analog[T, B, 2, 2, 2]"


def test_time_ends_where_a_user_reduces_it() -> None:
    class Rate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = snn.IAF()
            self.gain = nn.Parameter(torch.rand(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x * self.gain)[0].mean(0)

    assert str(network(Rate(), SEQUENCE)) == text("""
        graph(%x: analog[T, B, 3]) {
          %mul = mul(%x, @gain)               : analog[T, B, 3]
          %v = initial_state(%mul, of=@layer) : analog[]
          %z, %v_1 = IAF(%mul, %v, @layer.p)  : spike[T, B, 3]
          %last = last(%v_1)                  : analog[B, 3]
          %mean = call(%z, 0, target=.mean)   : analog[B, 3]
          return %mean
        }
    """)


def test_without_a_neuron_over_time_there_is_one_tick() -> None:
    assert str(network(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), SEQUENCE)) == text("""
        graph(%x: analog[B, 2, 3]) {
          %linear = Linear(%x, layer=@0)  : analog[B, 2, 4]
          %relu = ReLU(%linear, layer=@1) : analog[B, 2, 4]
          return %relu
        }
    """)


def test_what_a_sequence_is_used_for_besides_has_time_too() -> None:
    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = snn.LIBox()

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            other = x * 2.0
            return self.layer(x)[0], other

    graph = network(Skips(), SEQUENCE)
    assert [str(graph.types[name]) for name in graph.outputs] == ["analog[T, B, 3]"] * 2
