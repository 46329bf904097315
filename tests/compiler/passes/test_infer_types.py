"""Infer types: dtype, axes and 0/1 of every value, and of registers the fixed point of the step."""

import pytest
import torch

import norse.torch as snn
from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Node, Ref, Register, Type
from norse.compiler.passes.infer_types import infer_types

from ..graphs import around, over_time, text

SEQUENCE = torch.rand(5, 2, 3)


def test_a_states_type_is_what_the_step_makes_of_it() -> None:
    before, after = around(infer_types, snn.LIBox(), SEQUENCE)
    assert str(before) == text("""
        graph(%x: analog[T, B, 3]) {
          register %v_2 = %v, then %z
          %v = initial_state(%x, of=@)      : analog[]
          %mul = mul(0.001, @p.tau_mem_inv)
          %sub = sub(@p.v_leak, %v_2)
          %add = add(%sub, %x)
          %mul_1 = mul(%mul, %add)
          %z = add(%v_2, %mul_1)
          %last = last(%z)                  : analog[B, 3]
          return %z, %last
        }
    """)
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %v_2 = %v, then %z : analog[T, B, 3]
          %v = initial_state(%x, of=@)      : analog[]
          %mul = mul(0.001, @p.tau_mem_inv) : analog[]
          %sub = sub(@p.v_leak, %v_2)       : analog[T, B, 3]
          %add = add(%sub, %x)              : analog[T, B, 3]
          %mul_1 = mul(%mul, %add)          : analog[T, B, 3]
          %z = add(%v_2, %mul_1)            : analog[T, B, 3]
          %last = last(%z)                  : analog[B, 3]
          return %z, %last
        }
    """)


def test_spikes_are_those_of_the_threshold() -> None:
    _, after = around(infer_types, snn.IAF(), SEQUENCE)
    assert [name for name, type_ in after.types.items() if type_.spike] == ["z", "sub_1"]  # z and 1 - z


def test_a_parameter_of_each_neuron_keeps_its_axis() -> None:
    layer = snn.LIBox(snn.LIBoxParameters(tau_mem_inv=torch.tensor([80.0, 90.0, 100.0])))
    _, after = around(infer_types, layer, SEQUENCE)
    assert "%mul = mul(0.001, @p.tau_mem_inv) : analog[3]" in str(after)


def test_float64_input_makes_a_float64_state() -> None:
    _, after = around(infer_types, snn.LIBox(), SEQUENCE.double())
    assert "register %v_2 = %v, then %z : analog[T, B, 3] float64" in str(after)


def test_a_state_that_never_settles_is_unsupported() -> None:
    grows = Graph(
        ("x",),
        (Node("transpose", ("after",), (Ref("v"),)),),
        ("after",),
        (Register("v", "start", "after"),),
        {"x": over_time(3), "start": Type(torch.float32, (2, 3))},
    )
    with pytest.raises(Unsupported, match="state changes at every tick"):
        infer_types(grows)


def test_shapes_that_do_not_broadcast_are_unsupported() -> None:
    graph = Graph(("x", "y"), (Node("add", ("z",), (Ref("x"), Ref("y"))),), ("z",))
    with pytest.raises(Unsupported, match="do not broadcast"):
        infer_types(graph.with_types({"x": over_time(3), "y": over_time(4)}))


def test_an_op_outside_the_table_is_unsupported_by_its_name() -> None:
    graph = Graph(("x",), (Node("call", ("y",), (Ref("x"), 0), {"target": "torch.cumsum"}),), ("y",))
    with pytest.raises(Unsupported, match=r"torch\.cumsum is not in the op table"):
        infer_types(graph.with_types({"x": over_time(3)}))
