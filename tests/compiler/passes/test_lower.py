"""Lower: every neuron becomes its traced step, every state field a register."""

import torch

import norse.torch as snn
from norse.compiler.lower import lower

from ..graphs import around, text

SEQUENCE, TICK = torch.rand(5, 2, 3), torch.rand(2, 3)


def test_a_layer_over_time_becomes_its_step_between_registers() -> None:
    before, after = around(lower, snn.LIBox(), SEQUENCE)
    assert str(before) == text("""
        graph(%x: analog[T, B, 3]) {
          %v = initial_state(%x, of=@) : analog[]
          %z, %v_1 = LIBox(%x, %v, @p) : analog[T, B, 3]
          %last = last(%v_1)           : analog[B, 3]
          return %z, %last
        }
    """)
    assert str(after) == text("""
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


def test_the_state_of_a_cell_goes_in_and_comes_out_as_values() -> None:
    _, after = around(lower, snn.LIBoxCell(), TICK)
    assert str(after) == text("""
        graph(%x: analog[B, 3]) {
          %v = initial_state(%x, of=@)      : analog[]
          %mul = mul(0.001, @p.tau_mem_inv)
          %sub = sub(@p.v_leak, %v)
          %add = add(%sub, %x)
          %mul_1 = mul(%mul, %add)
          %z = add(%v, %mul_1)
          return %z, %z
        }
    """)


def test_a_lifted_cell_is_the_layer_over_time() -> None:
    before, after = around(lower, snn.Lift(snn.LIBoxCell()), SEQUENCE)
    assert [node.op for node in before.nodes if node.op != "parameter"] == [
        "enter", "initial_state", "LIBoxCell", "leave", "last",
    ]  # fmt: skip
    _, layer = around(lower, snn.LIBox(), SEQUENCE)
    assert str(after).replace("lifted_module.", "").replace("lifted_module", "").split() == str(layer).split()


def test_neurons_of_one_kind_keep_their_values_apart() -> None:
    _, after = around(lower, snn.SequentialState(snn.LIBox(), snn.LIBox()), SEQUENCE)
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %v_4 = %v, then %z
          register %v_5 = %v_2, then %z_1
          %v = initial_state(%x, of=@0)         : analog[]
          %mul = mul(0.001, @0.p.tau_mem_inv)
          %sub = sub(@0.p.v_leak, %v_4)
          %add = add(%sub, %x)
          %mul_1 = mul(%mul, %add)
          %z = add(%v_4, %mul_1)
          %last = last(%z)                      : analog[B, 3]
          %v_2 = initial_state(%z, of=@1)       : analog[]
          %mul_2 = mul(0.001, @1.p.tau_mem_inv)
          %sub_1 = sub(@1.p.v_leak, %v_5)
          %add_1 = add(%sub_1, %z)
          %mul_1_1 = mul(%mul_2, %add_1)
          %z_1 = add(%v_5, %mul_1_1)
          %last_1 = last(%z_1)                  : analog[B, 3]
          return %z_1, %last, %last_1
        }
    """)
