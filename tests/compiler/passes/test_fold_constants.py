"""Fold constants: arithmetic of Python numbers is done once, and copies are what they copy."""

import torch
from torch import Tensor, nn

import norse.torch as snn
from norse.compiler.ir import Graph, Node, Ref
from norse.compiler.passes.fold_constants import fold_constants

from ..graphs import around, over_time, text

SEQUENCE = torch.rand(5, 2, 3)


def test_arithmetic_of_numbers_is_done_where_it_is_used() -> None:
    nodes = (
        Node("add", ("five",), (2, 3)),
        Node("mul", ("ten",), (Ref("five"), 2)),
        Node("mul", ("y",), (Ref("x"), Ref("ten"))),
    )
    before = Graph(("x",), nodes, ("y",))
    assert str(before) == text("""
        graph(%x) {
          %five = add(2, 3)
          %ten = mul(%five, 2)
          %y = mul(%x, %ten)
          return %y
        }
    """)
    assert str(fold_constants(before)) == text("""
        graph(%x) {
          %y = mul(%x, 10)
          return %y
        }
    """)


def test_copies_and_casts_to_the_same_dtype_vanish() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        u = v.to(x.dtype).clone() + x
        return u, u

    before, after = around(fold_constants, snn.SNN(step, lambda x: x.new_zeros(3), None), SEQUENCE)
    assert str(before) == text("""
        graph(%x: analog[T, B, 3]) {
          register %a1 = %state, then %z : analog[T, B, 3]
          %state = initial_state(%x, of=@) : analog[3]
          %to = cast(%a1, float32)         : analog[T, B, 3]
          %clone = identity(%to)           : analog[T, B, 3]
          %z = add(%clone, %x)             : analog[T, B, 3]
          %last = last(%z)                 : analog[B, 3]
          return %z, %last
        }
    """)
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %a1 = %state, then %z : analog[T, B, 3]
          %state = initial_state(%x, of=@) : analog[3]
          %z = add(%a1, %x)                : analog[T, B, 3]
          %last = last(%z)                 : analog[B, 3]
          return %z, %last
        }
    """)


def test_a_cast_that_changes_the_dtype_stays() -> None:
    before = Graph(("x",), (Node("cast", ("y",), (Ref("x"), torch.float64)),), ("y",), types={"x": over_time(3)})
    assert str(fold_constants(before)) == str(before)


def test_no_tensor_is_folded() -> None:
    before, after = around(fold_constants, snn.LIF(), SEQUENCE)
    assert str(after) == str(before)
    assert "mul(0.001, @p.tau_mem_inv)" in str(after)


def test_a_copy_outside_of_neurons_stays_a_copy() -> None:
    class Copies(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = snn.LIBox()

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            output: Tensor = self.layer(x)[0]
            return x.clone(), output.clone()

    _, after = around(fold_constants, Copies(), SEQUENCE)
    assert "%clone = identity(%x)" in str(after)
    assert "%clone_1 = identity(%z)" in str(after)
