"""What the forward keeps for the backward."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import norse.torch as snn
from norse.compiler.ir import Graph
from norse.torch.functional.iaf import iaf_feed_forward_step
from norse.torch.functional.leaky_integrator import li_feed_forward_step
from norse.torch.functional.lif import lif_feed_forward_step, lif_step
from norse.torch.functional.lif_box import lif_box_feed_forward_step

from .graphs import program_of, tick_of
from .steps import saves_intermediates_step, triple_gradient_step

X = torch.rand(4, 5)
LIF = (lif_feed_forward_step, snn.LIFFeedForwardState(X, X), snn.LIFParameters(), 0.001)


def tick(activation: Callable[..., Any], *rest: Any) -> Graph:
    return tick_of(activation, X, *rest)


def definition(graph: Graph, name: str) -> str:
    return next(line.split(" : ")[0].strip() for line in str(graph).splitlines() if f"%{name} =" in line)


def test_lif_keeps_its_potential_before_the_reset_and_nothing_else() -> None:
    program = program_of(tick(*LIF), wanted=("x",))
    assert len(program.saved) == 1
    graph = program.forward.graph
    assert definition(graph, program.saved[0]) in ("%add_2 = add(%v, %mul_1)", "%sub_1 = sub(%add_2, %v_th)")
    assert [kind for _, kind in program.backward.kinds.items()].count("tick") == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("step", "state", "p", "kept"),
    [
        (lif_box_feed_forward_step, snn.LIFBoxFeedForwardState(X), snn.LIFBoxParameters(), 1),
        (iaf_feed_forward_step, snn.IAFFeedForwardState(X), snn.IAFParameters(), 1),
        (li_feed_forward_step, snn.LIState(X, X), snn.LIParameters(), 0),
        (triple_gradient_step, X, torch.tensor(0.8), 0),
    ],
    ids=["LIFBox", "IAF", "LI, which is linear", "a constant derivative"],
)
def test_a_neuron_keeps_what_its_derivative_is_made_of(step: Callable[..., Any], state: Any, p: Any, kept: int) -> None:
    assert len(program_of(tick(step, state, p, 0.001), wanted=("x",)).saved) == kept


def test_learnt_time_constants_need_one_value_more_at_most_each() -> None:
    few = program_of(tick(*LIF), wanted=("x", "v_th", "v_reset")).saved
    more = program_of(tick(*LIF), wanted=("x", "tau_mem_inv", "tau_syn_inv")).saved
    assert len(few) == 1
    assert len(more) <= 3


def test_decisions_are_taken_again_instead_of_kept() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        u = v + x
        return torch.where(u > 1.0, u * u, u), u * 0.5

    program = program_of(tick(step, X, None, 0.001), wanted=("x",))
    assert {program.forward.graph.types[name].dtype for name in program.saved} <= {torch.float32}


def test_inputs_and_outputs_are_not_kept_again() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        out = torch.tanh(v * x)
        return out, out

    program = program_of(tick(step, X, None, 0.001), wanted=("x",))
    assert set(program.saved).isdisjoint((*program.inputs, *program.outputs))
    assert len(program.saved) == 1  # v, what the register held


def test_a_recurrent_layer_keeps_the_activity_of_its_weights() -> None:
    arguments = (lif_step, snn.LIFState(X, X, X), torch.rand(5, 5), torch.rand(5, 5), snn.LIFParameters(), 0.001)
    program = program_of(tick(*arguments), wanted=("x", "a2", "a3"))
    assert {weight.weight for weight in program.weights} == {"a2", "a3"}
    assert {weight.activity for weight in program.weights} <= {*program.saved, "x"}


def test_without_wanted_gradients_nothing_is_kept_and_no_backward_is_made() -> None:
    program = program_of(tick(*LIF))
    assert program.saved == ()
    assert program.backward is None


def test_an_intermediate_that_backward_reads_is_computed_from_what_is_kept() -> None:
    program = program_of(tick(saves_intermediates_step, X, torch.tensor(0.8), 0.001), wanted=("x",))
    assert program.backward is not None
    given = {*program.backward.graph.inputs, *(register.value for register in program.backward.graph.registers)}
    made = {node.output for node in program.backward.graph.nodes}
    assert all(use in given | made for node in program.backward.graph.nodes for use in node.uses)
    assert len(program.saved) <= 2
