"""Normalise: what the user called becomes the op of the table."""

from typing import Any

import torch
from torch import Tensor

import norse.torch as snn
from norse.compiler.ir import Graph
from norse.compiler.passes.normalise import normalise
from norse.compiler.trace.step import trace_step

from ..graphs import text

X = torch.rand(2, 3)


def traced(step: Any) -> Graph:
    return trace_step(step, (X, X, None, 0.001)).graph


def test_functions_operators_and_methods_become_ops_and_what_is_unknown_stays_a_call() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        u = torch.mul(v, dt).add(x).clamp(max=5.0)
        return (u**2).relu().double(), torch.cumsum(u, 0)

    before = traced(step)
    assert str(before) == text("""
        graph(%x, %a1) {
          %mul = call(%a1, 0.001, target=torch.mul)
          %add = call(%mul, %x, target=.add)
          %clamp = call(%add, 5.0, target=.clamp)
          %pow_1 = call(%clamp, 2, target=operator.pow)
          %relu = call(%pow_1, target=.relu)
          %double = call(%relu, target=.double)
          %cumsum = call(%clamp, 0, target=torch.cumsum)
          return %double, %cumsum
        }
    """)
    assert str(normalise(before)) == text("""
        graph(%x, %a1) {
          %mul = mul(%a1, 0.001)
          %add = add(%mul, %x)
          %clamp = clamp(%add, None, 5.0)
          %pow_1 = square(%clamp)
          %relu = relu(%pow_1)
          %double = cast(%relu, float64)
          %cumsum = call(%clamp, 0, target=torch.cumsum)
          return %double, %cumsum
        }
    """)


def test_the_graphs_inside_a_custom_derivative_are_normalised_too() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        return snn.super_fn(x - v, torch.abs(x)), v

    after = normalise(traced(step))
    assert str(after) == text("""
        graph(%x, %a1) {
          %sub = sub(%x, %a1)
          %abs_1 = abs(%x)
          %superspike = custom(%sub, %abs_1, function=SuperSpike)
          return %superspike, %a1
        }
    """)
    (custom,) = (node for node in after.nodes if node.op == "custom")
    assert str(custom.attrs["_forward"]) == text("""
        graph(%x0, %x1) {
          %gt = gt(%x0, 0)
          %to = cast(%gt, float32)
          return %to
        }
    """)
    assert str(custom.attrs["_backward"]).splitlines()[3:] == [
        "  %abs_1 = abs(%x0)",
        "  %mul = mul(%x1, %abs_1)",
        "  %add = add(%mul, 1.0)",
        "  %pow_1 = square(%add)",
        "  %truediv = div(%g0, %pow_1)",
        "  return %truediv",
        "}",
    ]


def test_keyword_arguments_that_change_what_a_function_does_keep_it_a_call() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        return torch.round(x, decimals=1), torch.div(x, v, rounding_mode="floor")

    assert [node.op for node in normalise(traced(step)).nodes] == ["call", "call"]


def test_a_product_with_a_matrix_is_a_synapse_however_it_is_written() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        return x @ v.T, torch.mm(x, v.transpose(0, 1))

    assert [node.op for node in normalise(traced(step), step=True).nodes] == ["transpose", "transpose", "linear"] * 2
    assert "linear" not in {node.op for node in normalise(traced(step)).nodes}  # a network's own calls stay


def test_operands_given_by_keyword_find_their_places() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        return torch.clamp(x, max=1.0, min=0.5), torch.nn.functional.linear(weight=v, input=x)

    assert str(normalise(traced(step))) == text("""
        graph(%x, %a1) {
          %clamp = clamp(%x, 0.5, 1.0)
          %linear = linear(%x, %a1)
          return %clamp, %linear
        }
    """)


def test_the_powers_that_torch_computes_otherwise_have_ops_of_their_own() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        return x**2 + x**0.5 + x.pow(-0.5) + torch.pow(x, -1.0) + x**3 + 2**x, v

    ops = [node.op for node in normalise(traced(step)).nodes if node.op != "add"]
    assert ops == ["square", "sqrt", "rsqrt", "reciprocal", "pow", "pow"]
