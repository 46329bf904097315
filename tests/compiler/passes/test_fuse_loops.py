"""Fuse loops: a neuron's elementwise nodes and registers become as few loops as its synapses allow."""

import torch
from torch import Tensor, nn

import norse.torch as snn
from norse.compiler.passes.fuse_loops import fuse_loops

from ..graphs import around, text

SEQUENCE = torch.rand(5, 2, 3)


def test_a_neuron_is_one_loop() -> None:
    before, after = around(fuse_loops, snn.LIBox(), SEQUENCE)
    assert str(before) == text("""
        graph(%x: analog[T, B, 3]) {
          register %v_2 = %v, then %z : analog[T, B, 3]
          prologue {
            %mul = mul(0.001, @p.tau_mem_inv) : analog[]
          }
          batched {
            %v = initial_state(%x, of=@)      : analog[]
          }
          %sub = sub(@p.v_leak, %v_2)       : analog[T, B, 3]
          %add = add(%sub, %x)              : analog[T, B, 3]
          %mul_1 = mul(%mul, %add)          : analog[T, B, 3]
          %z = add(%v_2, %mul_1)            : analog[T, B, 3]
          batched {
            %last = last(%z)                  : analog[B, 3]
          }
          return %z, %last
        }
    """)
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %v_2 = %v, then %z : analog[T, B, 3]
          prologue {
            %mul = mul(0.001, @p.tau_mem_inv) : analog[]
          }
          batched {
            %v = initial_state(%x, of=@)      : analog[]
          }
          loop {
            %sub = sub(@p.v_leak, %v_2)       : analog[T, B, 3]
            %add = add(%sub, %x)              : analog[T, B, 3]
            %mul_1 = mul(%mul, %add)          : analog[T, B, 3]
            %z = add(%v_2, %mul_1)            : analog[T, B, 3]
          }
          batched {
            %last = last(%z)                  : analog[B, 3]
          }
          return %z, %last
        }
    """)


def test_a_recurrent_synapse_is_inside_the_loop() -> None:
    _, after = around(fuse_loops, snn.LIFBoxRecurrent(3, 4), SEQUENCE)
    loop = str(after).split("  loop {\n")[1].split("\n  }")[0]
    assert [line.split(" :")[0].strip() for line in loop.splitlines()] == [
        "%linear_1 = linear(%z_3, @recurrent_weights)",
        "%add = add(%linear, %linear_1)",
        "%add_1 = add(%add, @p.v_leak)",
        "%sub = sub(%add_1, %v_2)",
        "%mul_1 = mul(%mul, %sub)",
        "%add_2 = add(%v_2, %mul_1)",
        "%sub_1 = sub(%add_2, @p.v_th)",
        "%z_1 = custom(%sub_1, @p.alpha, function=SuperSpike)",
        "%sub_2 = sub(1, %z_1)",
        "%mul_2 = mul(%sub_2, %add_2)",
        "%mul_3 = mul(%z_1, @p.v_reset)",
        "%v_1 = add(%mul_2, %mul_3)",
    ]


def test_a_synapse_between_two_states_makes_two_loops_around_a_batched_product() -> None:
    def two_compartments(
        x: Tensor, s: tuple[Tensor, Tensor], w: Tensor, dt: float
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        dendrite = s[0] + x
        soma = s[1] + nn.functional.linear(dendrite, w)
        return soma, (dendrite, soma)

    layer = snn.SNN(two_compartments, lambda x: (x.new_zeros(3), x.new_zeros(3)), nn.Parameter(torch.rand(3, 3)))
    _, after = around(fuse_loops, layer, SEQUENCE)
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %a1 = %state, then %state_2 : analog[T, B, 3]
          register %a1_1 = %state_1, then %z : analog[T, B, 3]
          batched {
            %state, %state_1 = initial_state(%x, of=@) : analog[3]
          }
          loop {
            %state_2 = add(%a1, %x)                    : analog[T, B, 3]
          }
          batched {
            %linear = linear(%state_2, @p)             : analog[T, B, 3]
          }
          loop .1 {
            %z = add(%a1_1, %linear)                   : analog[T, B, 3]
          }
          batched {
            %last = last(%state_2)                     : analog[B, 3]
            %last_1 = last(%z)                         : analog[B, 3]
          }
          return %z, %last, %last_1
        }
    """)


def test_neurons_behind_each_other_have_a_loop_each() -> None:
    _, after = around(fuse_loops, snn.SequentialState(snn.LIBox(), snn.IAF()), SEQUENCE)
    assert [line for line in str(after).splitlines() if "loop" in line] == ["  loop 0 {", "  loop 1 {"]


def test_what_a_cells_synapse_reads_is_computed_before_it() -> None:
    """In a cell nothing is on a cycle, and a value that both a synapse and the last loop read is of the first loop."""
    layer = snn.LIFMCRecurrentCell(3, 4)
    _, after = around(fuse_loops, layer, SEQUENCE[0])
    known = set(after.inputs) | {node.output for node in after.nodes if node.op == "parameter"}
    for node in after.nodes:
        assert node.op == "parameter" or known.issuperset(node.uses), node.outputs
        known.update(node.outputs)


def test_traces_at_synapses_have_loops_beside_that_of_their_neurons() -> None:
    def step(x: Tensor, s: tuple[Tensor, Tensor], p: Tensor, dt: float) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        v, trace = s
        v = v + x
        return v, (v, trace * p + x.unsqueeze(-1) * v.unsqueeze(-2))

    layer = snn.SNN(step, lambda x: (x.new_zeros(2, 3), x.new_zeros(2, 3, 3)), nn.Parameter(torch.rand(())))
    _, after = around(fuse_loops, layer, SEQUENCE)
    regions = {name: node.region for node in after.nodes for name in node.outputs}
    types = {region: str(after.types[name]) for name, region in regions.items() if region.startswith("loop")}
    assert types == {"loop": "analog[T, B, 3]", "loop .1": "analog[T, B, 3, 3]"}
    assert {node.region for node in after.nodes if node.op == "unsqueeze"} == {"batched"}
