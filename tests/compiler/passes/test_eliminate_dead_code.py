"""Eliminate dead code: what no output needs goes, with registers and their cycles; what has an effect stays."""

import torch
from torch import Tensor, nn

import norse.torch as snn
from norse.compiler.ir import Graph, Node, Ref, Register
from norse.compiler.passes.eliminate_dead_code import eliminate_dead_code

from ..graphs import around, text

SEQUENCE = torch.rand(5, 2, 3)


def test_a_value_that_nobody_reads_goes() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        torch.exp(x)
        return v + x, v + x

    before, after = around(eliminate_dead_code, snn.SNN(step, lambda x: x.new_zeros(3), None), SEQUENCE)
    assert str(before) == text("""
        graph(%x: analog[T, B, 3]) {
          register %a1 = %state, then %state_1 : analog[T, B, 3]
          %state = initial_state(%x, of=@) : analog[3]
          %exp = exp(%x)                   : analog[T, B, 3]
          %z = add(%a1, %x)                : analog[T, B, 3]
          %state_1 = add(%a1, %x)          : analog[T, B, 3]
          %last = last(%state_1)           : analog[B, 3]
          return %z, %last
        }
    """)
    assert str(after) == str(before).replace("  %exp = exp(%x)                   : analog[T, B, 3]\n", "")


def test_a_register_that_only_feeds_itself_goes_with_its_cycle() -> None:
    nodes = (
        Node("add", ("counted",), (Ref("count"), 1)),
        Node("mul", ("v_1",), (Ref("v"), Ref("x"))),
    )
    registers = (Register("count", "zero", "counted"), Register("v", "start", "v_1"))
    before = Graph(("x", "zero", "start"), nodes, ("v_1",), registers)
    assert str(eliminate_dead_code(before)) == text("""
        graph(%x, %zero, %start) {
          register %v = %start, then %v_1
          %v_1 = mul(%v, %x)
          return %v_1
        }
    """)


def test_a_state_that_the_caller_drops_is_not_read_after_the_loop() -> None:
    class Output(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = snn.LIBox()

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.layer(x)[0]
            return output

    before, after = around(eliminate_dead_code, Output(), SEQUENCE)
    assert "last" in str(before)
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %v_2 = %v, then %z : analog[T, B, 3]
          prologue {
            %mul = mul(0.001, @layer.p.tau_mem_inv) : analog[]
          }
          %v = initial_state(%x, of=@layer)       : analog[]
          %sub = sub(@layer.p.v_leak, %v_2)       : analog[T, B, 3]
          %add = add(%sub, %x)                    : analog[T, B, 3]
          %mul_1 = mul(%mul, %add)                : analog[T, B, 3]
          %z = add(%v_2, %mul_1)                  : analog[T, B, 3]
          return %z
        }
    """)


def test_what_has_an_effect_stays_although_nobody_reads_it() -> None:
    nodes = (Node("call", ("drawn",), (Ref("x"),), {"target": "torch.bernoulli"}), Node("neg", ("y",), (Ref("x"),)))
    before = Graph(("x",), nodes, ("y",))
    assert str(eliminate_dead_code(before)) == str(before)
