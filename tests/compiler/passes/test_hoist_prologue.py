"""Hoist the prologue: what a tick computes from parameters alone is computed once a call."""

import torch
from torch import Tensor

import norse.torch as snn
from norse.compiler.passes.hoist_prologue import hoist_prologue

from ..graphs import around, text

SEQUENCE = torch.rand(5, 2, 3)


def test_a_product_of_time_step_and_time_constant_leaves_the_tick() -> None:
    before, after = around(hoist_prologue, snn.LIBox(), SEQUENCE)
    assert str(before) == text("""
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
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %v_2 = %v, then %z : analog[T, B, 3]
          prologue {
            %mul = mul(0.001, @p.tau_mem_inv) : analog[]
          }
          %v = initial_state(%x, of=@)      : analog[]
          %sub = sub(@p.v_leak, %v_2)       : analog[T, B, 3]
          %add = add(%sub, %x)              : analog[T, B, 3]
          %mul_1 = mul(%mul, %add)          : analog[T, B, 3]
          %z = add(%v_2, %mul_1)            : analog[T, B, 3]
          %last = last(%z)                  : analog[B, 3]
          return %z, %last
        }
    """)


def test_chains_of_parameters_go_together_and_what_reads_the_input_stays() -> None:
    def step(x: Tensor, v: Tensor, p: dict[str, Tensor], dt: float) -> tuple[Tensor, Tensor]:
        v = v + torch.exp(-torch.relu(p["leak"])) * x
        return v, v

    layer = snn.SNN(step, lambda x: x.new_zeros(3), {"leak": torch.ones(3)})
    _, after = around(hoist_prologue, layer, SEQUENCE)
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %a1 = %state, then %z : analog[T, B, 3]
          prologue {
            %relu = relu(@p['leak'])         : analog[3]
            %neg = neg(%relu)                : analog[3]
            %exp = exp(%neg)                 : analog[3]
          }
          %state = initial_state(%x, of=@) : analog[3]
          %mul = mul(%exp, %x)             : analog[T, B, 3]
          %z = add(%a1, %mul)              : analog[T, B, 3]
          %last = last(%z)                 : analog[B, 3]
          return %z, %last
        }
    """)
