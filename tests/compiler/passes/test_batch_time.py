"""Batch time: what no register's cycle goes through runs once for all ticks."""

import torch
from torch import Tensor, nn

import norse.torch as snn
from norse.compiler.passes.batch_time import batch_time
from norse.compiler.passes.feedback import cycles

from ..graphs import around, text

SEQUENCE = torch.rand(5, 2, 3)


def test_layers_and_states_around_a_neuron_are_batched_and_its_step_is_not() -> None:
    before, after = around(batch_time, snn.SequentialState(nn.Linear(3, 4), snn.LIBox()), SEQUENCE)
    assert str(before) == text("""
        graph(%x: analog[T, B, 3]) {
          register %v_2 = %v, then %z : analog[T, B, 4]
          prologue {
            %mul = mul(0.001, @1.p.tau_mem_inv) : analog[]
          }
          %linear = Linear(%x, layer=@0)      : analog[T, B, 4]
          %v = initial_state(%linear, of=@1)  : analog[]
          %sub = sub(@1.p.v_leak, %v_2)       : analog[T, B, 4]
          %add = add(%sub, %linear)           : analog[T, B, 4]
          %mul_1 = mul(%mul, %add)            : analog[T, B, 4]
          %z = add(%v_2, %mul_1)              : analog[T, B, 4]
          %last = last(%z)                    : analog[B, 4]
          return %z, %last
        }
    """)
    assert str(after) == text("""
        graph(%x: analog[T, B, 3]) {
          register %v_2 = %v, then %z : analog[T, B, 4]
          prologue {
            %mul = mul(0.001, @1.p.tau_mem_inv) : analog[]
          }
          batched {
            %linear = Linear(%x, layer=@0)      : analog[T, B, 4]
            %v = initial_state(%linear, of=@1)  : analog[]
          }
          %sub = sub(@1.p.v_leak, %v_2)       : analog[T, B, 4]
          %add = add(%sub, %linear)           : analog[T, B, 4]
          %mul_1 = mul(%mul, %add)            : analog[T, B, 4]
          %z = add(%v_2, %mul_1)              : analog[T, B, 4]
          batched {
            %last = last(%z)                    : analog[B, 4]
          }
          return %z, %last
        }
    """)


def regions(graph: object) -> list[str]:
    """The lines of a printed graph that open a region, or that are a synapse."""
    return [
        line.split(" :")[0].strip() for line in str(graph).splitlines() if line.endswith("{") or "= linear" in line
    ][1:]


def test_the_input_synapse_of_a_recurrent_layer_is_batched_and_the_recurrent_one_is_not() -> None:
    _, after = around(batch_time, snn.LIFBoxRecurrent(3, 4), SEQUENCE)
    assert regions(after) == [
        "prologue {",
        "batched {",
        "%linear = linear(%x, @input_weights)",
        "%linear_1 = linear(%z_3, @recurrent_weights)",
        "batched {",
    ]


def test_exactness_calls_synapses_tick_by_tick() -> None:
    _, after = around(batch_time, snn.LIFBoxRecurrent(3, 4), SEQUENCE, exact=True)
    assert regions(after) == [
        "prologue {",
        "batched {",
        "stepped {",
        "%linear = linear(%x, @input_weights)",
        "%linear_1 = linear(%z_3, @recurrent_weights)",
        "batched {",
    ]


def test_exactness_leaves_a_neuron_without_synapses_its_loop() -> None:
    _, exact = around(batch_time, snn.LIBox(), SEQUENCE, exact=True)
    _, free = around(batch_time, snn.LIBox(), SEQUENCE)
    assert str(exact) == str(free)


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return x / x.max()


def test_a_module_that_stays_eager_is_a_region_of_its_own() -> None:
    _, after = around(batch_time, snn.SequentialState(Scaled(), snn.LIBox()), SEQUENCE)
    assert "eager {" in str(after)


def test_cycles_go_through_registers() -> None:
    graph, _ = around(batch_time, snn.LIBox(), SEQUENCE)
    assert cycles(graph) == [{"v_2", "sub", "add", "mul_1", "z"}]
