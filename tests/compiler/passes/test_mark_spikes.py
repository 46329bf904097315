"""Mark spikes: a mark is a promise that the value is 0 or 1, and is kept by what runs."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import norse
import norse.torch as snn
from norse.compiler.calls import CALLS
from norse.compiler.interpret import run_node
from norse.compiler.ir import Graph, Node, Ref, Register, Type
from norse.compiler.layers import LAYERS
from norse.compiler.ops import OPS
from norse.compiler.passes.infer_types import infer_types
from norse.compiler.passes.mark_spikes import mark_spikes
from norse.compiler.passes.plan_memory import AllKept
from norse.torch.functional.lif import LIFParameters

from ..graphs import around, network, over_time

SEQUENCE = torch.rand(5, 2, 3)
BITS = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
CONSTANTS = (0, 1, 0.0, 1.0, -1, 0.5, 2, torch.float64, torch.bool, None)


def is_zero_or_one(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


@pytest.mark.parametrize("op", OPS)
def test_what_the_op_table_marks_is_zero_or_one(op: str) -> None:
    """Every row on spikes, on decisions, on arbitrary numbers and on constants, as torch computes it."""
    spikes = (Type(torch.float32, (4,), True), BITS[0]), (Type(torch.float32, (4,), True), BITS[1])
    numbers = Type(torch.float32, (4,)), torch.tensor([-0.7, 0.3, 1.6, 2.0])
    decisions = Type(torch.bool, (4,), True), BITS[1].bool()
    operands = [*spikes, numbers, decisions, *((constant, constant) for constant in CONSTANTS)]
    marked = 0
    for count in (1, 2, 3):
        for chosen in itertools.product(operands, repeat=count):
            try:
                result = OPS[op].eager(*(v.clone() if isinstance(v, Tensor) else v for _, v in chosen))
                said = OPS[op].spikes(*(type_ for type_, _ in chosen))
            except (TypeError, RuntimeError, IndexError, ValueError, AttributeError, ArithmeticError):
                continue  # not an operand of this op
            if said and isinstance(result, Tensor):
                marked += 1
                assert is_zero_or_one(result), f"{op}({', '.join(str(type_) for type_, _ in chosen)})"
    if op in ("mul", "where", "minimum", "maximum", "relu", "bernoulli", "cast", "sub", "detach", "heaviside"):
        assert marked


def test_sums_of_spikes_and_other_arithmetic_are_not_marked() -> None:
    spike = Type(torch.float32, (4,), True)
    for op in ("add", "div", "neg", "exp", "lerp", "sum", "linear"):
        assert not OPS[op].spikes(spike, spike)
    assert not OPS["sub"].spikes(spike, spike)
    assert OPS["sub"].spikes(1, spike)


IMAGE = torch.randint(0, 2, (2, 4, 6, 6)).float()
MADE: dict[type, Any] = {
    nn.MaxPool2d: lambda: nn.MaxPool2d(2, padding=1),
    nn.AdaptiveMaxPool2d: lambda: nn.AdaptiveMaxPool2d(2),
    nn.Flatten: nn.Flatten,
    nn.Unflatten: lambda: nn.Unflatten(1, (2, 2)),
    nn.ReLU: nn.ReLU,
    nn.ReLU6: nn.ReLU6,
    nn.Identity: nn.Identity,
    nn.PixelShuffle: lambda: nn.PixelShuffle(2),
    nn.PixelUnshuffle: lambda: nn.PixelUnshuffle(2),
    nn.ChannelShuffle: lambda: nn.ChannelShuffle(2),
    nn.Unfold: lambda: nn.Unfold(2, padding=1),
    nn.ZeroPad2d: lambda: nn.ZeroPad2d(1),
    nn.ReflectionPad2d: lambda: nn.ReflectionPad2d(1),
    nn.ReplicationPad2d: lambda: nn.ReplicationPad2d(1),
    nn.CircularPad2d: lambda: nn.CircularPad2d(1),
    nn.UpsamplingNearest2d: lambda: nn.UpsamplingNearest2d(scale_factor=2),
}


@pytest.mark.parametrize("kind", [k for k, row in LAYERS.items() if row.keeps_spikes and k in MADE], ids=str)
def test_layers_that_keep_marks_keep_zeros_and_ones(kind: type) -> None:
    assert is_zero_or_one(MADE[kind]()(IMAGE))


def test_every_layer_that_keeps_marks_is_tried_in_two_dimensions() -> None:
    kept = {kind.__name__.rstrip("123d") for kind, row in LAYERS.items() if row.keeps_spikes}
    assert kept == {kind.__name__.rstrip("123d") for kind in MADE}


def test_averages_and_weights_lose_the_mark() -> None:
    for kind in (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.LPPool2d, nn.Linear, nn.Conv2d, nn.Dropout, nn.BatchNorm2d):
        assert not LAYERS[kind].keeps_spikes
    for call in (torch.mean, torch.sum, functional.avg_pool2d, functional.softmax, functional.dropout, functional.pad):
        assert call not in CALLS or not CALLS[call].keeps_spikes


NETWORKS: dict[str, tuple[Any, dict[str, bool]]] = {
    "max-pooling": (lambda m, z: functional.max_pool2d(z[0], 2), {"call": True}),
    "average-pooling": (lambda m, z: functional.avg_pool2d(z[0], 2), {"call": False}),
    "flattening": (lambda m, z: z.flatten(2), {"call": True}),
    "concatenation": (lambda m, z: torch.cat([z, z.flip(-1)[..., :1]], -1), {}),
    "concatenation of spikes": (lambda m, z: torch.cat([z, z], -1), {"call": True}),
    "concatenation with currents": (lambda m, z: torch.cat([z, 0.3 * z], -1), {"call": False}),
    "a sum": (lambda m, z: z + z, {"add": False}),
    "a product": (lambda m, z: z * z, {"mul": True}),
    "silence": (lambda m, z: 1 - z, {"sub": True}),
    "a comparison": (lambda m, z: (z > 0.5).float(), {"gt": True, "cast": True}),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_marks_in_a_network_hold_for_all_values_that_run(case: str) -> None:
    function, expected = NETWORKS[case]

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = snn.LIF(LIFParameters(v_th=torch.tensor(0.3)))

        def forward(self, x: Tensor) -> Tensor:
            return function(self, self.lif(x)[0])

    x = 9 * torch.rand(7, 2, 3, 4, 4)
    graph = network(Network(), x)
    for node in graph.nodes:
        if node.op in expected and node.attrs.get("target") != "operator.getitem":
            assert graph.types[node.outputs[0]].spike == expected[node.op], str(graph)
    compiled = norse.compile(Network())
    out = compiled(x)
    assert_marks_hold(compiled, x)
    (result,) = compiled.graph.outputs
    assert not compiled.graph.types[result].spike or is_zero_or_one(out)


def assert_marks_hold(compiled: Any, *arguments: Any) -> int:
    """Runs the steps and looks at every value that is marked; says how many there were."""
    variant = compiled._called()
    values = AllKept(zip(variant.trace.graph.inputs, (a for a in arguments if isinstance(a, Tensor)), strict=False))
    with torch.no_grad():
        for step in variant.steps:
            step.run(values)
    marked = [name for name, type_ in variant.ticks.types.items() if type_.spike and name in values]
    for name in marked:
        assert is_zero_or_one(values[name]), name
    return len(marked)


def test_a_register_is_marked_only_if_what_it_starts_with_is() -> None:
    nodes = (Node("gt", ("fired",), (Ref("x"), 0.5), tick=True), Node("cast", ("z",), (Ref("fired"), torch.float32)),
             Node("mul", ("y",), (Ref("before"), 1.0)))  # fmt: skip
    for start in (True, False):
        types = {"x": over_time(3), "start": Type(torch.float32, ("B", 3))}
        first = Node("initial_state", ("start",), (Ref("x"),), {"_spikes": (start,)})
        graph = Graph(("x",), (first, *nodes), ("y",), (Register("before", "start", "z"),), types)
        marked = mark_spikes(infer_types(graph)).types
        assert marked["z"].spike
        assert (marked["before"].spike, marked["y"].spike) == (start, start)


def test_a_cycle_of_copies_of_a_spike_is_one_and_of_a_number_none() -> None:
    for start in (True, False):
        first = Node("initial_state", ("start",), (Ref("x"),), {"_spikes": (start,)})
        nodes = (first, Node("identity", ("after",), (Ref("held"),), tick=True))
        types = {"x": over_time(3), "start": Type(torch.float32, ("B", 3))}
        graph = Graph(("x",), nodes, ("after",), (Register("held", "start", "after"),), types)
        assert mark_spikes(infer_types(graph)).types["after"].spike == start


def test_recurrent_spikes_are_marked_from_rest_and_not_from_a_state_that_may_be_anything() -> None:
    layer = snn.LIFRecurrent(3, 4)
    _, rest = around(mark_spikes, layer, SEQUENCE)
    (register,) = (r for r in rest.registers if r.next == "z_1" or rest.types[r.next].spike)
    assert rest.types[register.value].spike
    state = layer(SEQUENCE)[1]
    _, given = around(mark_spikes, layer, SEQUENCE, state._replace(z=torch.full_like(state.z, 0.5)))
    assert not any(given.types[r.value].spike for r in given.registers)


def test_spikes_that_a_neuron_hands_on_a_tick_later_are_as_it_started() -> None:
    """The first output is the state that was given: 0.5."""

    def late(x: Tensor, z: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
        return z.clone(), (x > 0.5).to(x.dtype)

    layer = snn.SNN(late, lambda x: x.new_full((2, 3), 0.5), None)
    compiled = norse.compile(snn.SequentialState(layer, nn.Flatten(2)))
    out, _ = compiled(SEQUENCE)
    assert torch.equal(out[0], torch.full((2, 3), 0.5))
    assert not any(type_.spike for name, type_ in compiled.graph.types.items() if name in compiled.graph.outputs[:1])
    assert_marks_hold(compiled, SEQUENCE)


def test_marks_at_every_stage_of_the_pipeline_hold_for_what_runs() -> None:
    model = snn.SequentialState(
        nn.Conv2d(1, 4, 3), snn.LIF(LIFParameters(v_th=torch.tensor(0.1))), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16, 5), snn.LIFRecurrent(5, 4), nn.Dropout(0.5), nn.Linear(4, 2), snn.LI(),
    )  # fmt: skip
    model[0].weight.data.abs_()
    x = 9 * torch.rand(20, 2, 1, 6, 6)
    compiled = norse.compile(snn.Lift(model))
    compiled(x)
    assert_marks_hold(compiled, x)


def test_a_decision_that_enters_the_model_is_marked_by_its_dtype() -> None:
    values: dict[str, Any] = {"x": torch.tensor([True, False])}
    run_node(Node("cast", ("y",), (Ref("x"), torch.float32)), values)
    assert is_zero_or_one(values["y"])
    graph = Graph(
        ("x",), (Node("cast", ("y",), (Ref("x"), torch.float32)),), ("y",), types={"x": Type(torch.bool, (2,))}
    )
    assert mark_spikes(infer_types(graph)).types["y"].spike
