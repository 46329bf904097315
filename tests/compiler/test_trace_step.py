"""Tracing a step: what can be followed becomes a graph, what can't is refused with the reason and the line."""

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import norse.torch as snn
from norse.compiler.check import check_step
from norse.compiler.errors import Unsupported
from norse.compiler.interpret import run_nodes
from norse.compiler.passes.infer_types import infer_types
from norse.compiler.passes.normalise import normalise
from norse.compiler.trace.step import Step, trace_step

from .graphs import over_time, text
from .steps import TripleGradient, one_of_two_outputs_step, two_outputs_step

X = torch.rand(2, 3)
ELSEWHERE = torch.rand(3)
ARGUMENTS = (X, X.clone(), None, 0.001)

Result = tuple[Any, Any]


def traced(step: Callable[..., Any], *arguments: Any) -> Step:
    found = trace_step(step, arguments or ARGUMENTS)
    return Step(normalise(found.graph), found.inputs)


# ---- what is refused: the line that is named is the one with the remark ----------------------------------------------


def branches(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    if (x > 0).any():  # here
        v = v + 1
    return v, v


def loops(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    while v.sum() < 3:  # here
        v = v + 1
    return v, v


def chooses(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return max(x, v), v  # here


def adds_in_place(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    v.add_(x)  # here
    return v, v


def assigns_augmented(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    before = v
    v += x  # here
    return before, v


def assigns_into(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    v[0] = x[0]  # here
    return v, v


def writes_out(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    torch.add(x, v, out=v)  # here
    return v, v


def takes_the_item(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return v + x.sum().item(), v  # here


def makes_a_float(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return v * math.exp(x), v  # type: ignore[arg-type] # here


def makes_a_list(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return v + x.tolist()[0][0], v  # here


def branches_on_a_shape(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    if x.shape[0] > 1:  # here
        v = v + 1
    return v, v


def counts_in_a_shape(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    for row in range(x.shape[0]):  # here
        v = v + row
    return v, v


def asks_for_the_length(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return v / len(x), v  # here


def iterates(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    for row in x:  # here
        v = v + row
    return v, v


def goes_to_numpy(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return torch.from_numpy(x.numpy()), v  # here


def uses_a_tensor_from_elsewhere(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return v * ELSEWHERE, v  # here


def makes_a_tensor(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return torch.where(x > 0, torch.ones(3), v), v  # here


def divides_by_a_size(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return v / x.shape[0], v  # here


def raises(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    raise ValueError("not today")  # here


REFUSED: list[tuple[Callable[..., Result], str]] = [
    (branches, "control flow depends on the value of a tensor"),
    (loops, "control flow depends on the value of a tensor"),
    (chooses, "control flow depends on the value of a tensor"),
    (adds_in_place, "changes a tensor in place (.add_)"),
    (assigns_augmented, "changes a tensor in place"),
    (assigns_into, "assigns into a tensor"),
    (writes_out, "changes a tensor in place"),
    (takes_the_item, "makes a Python number of the value of a tensor"),
    (makes_a_float, "makes a Python number of the value of a tensor"),
    (makes_a_list, "makes a Python number of the value of a tensor"),
    (branches_on_a_shape, "needs a size as a Python number"),
    (counts_in_a_shape, "needs a size as a Python number"),
    (asks_for_the_length, "needs a size as a Python number"),
    (iterates, "needs a size as a Python number"),
    (divides_by_a_size, "needs a size as a Python number"),
    (goes_to_numpy, "numpy"),
    (uses_a_tensor_from_elsewhere, "uses a tensor that is not one of its arguments"),
    (makes_a_tensor, "uses a tensor that is not one of its arguments"),
    (raises, "not today"),
]


def line_of(function: Callable[..., Any]) -> str:
    """`file:line` of the line that the remark `# here` stands on."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = (number for number, line in enumerate(lines) if line.rstrip().endswith("# here"))
    return f"({inspect.getsourcefile(function)}:{first + offset})"


@pytest.mark.parametrize(("step", "reason"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_be_followed_is_refused_with_its_line(step: Callable[..., Result], reason: str) -> None:
    with pytest.raises(Unsupported, match=re.escape(reason)) as refusal:
        traced(step)
    assert line_of(step) in str(refusal.value)


def cumulates(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return torch.cumsum(x, 0), v  # here


def reads_the_data(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return x.data * v, v  # here


@pytest.mark.parametrize("step", [cumulates, reads_the_data], ids=lambda step: step.__name__)
def test_what_is_not_in_the_op_table_is_refused_with_its_line(step: Callable[..., Result]) -> None:
    graph = traced(step).graph
    with pytest.raises(Unsupported, match="is not in the op table") as refusal:
        infer_types(graph.with_types({name: over_time(3) for name in graph.inputs}))
    assert line_of(step) in str(refusal.value)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (lambda x, v, p, dt: x + v, "does not return (output, state)"),
        (lambda x, v, p, dt: (x, (v, v)), "a state of another structure"),
        (lambda x, v, p, dt: (1.0, v), "returns a float where a tensor"),
        (lambda x, v, p, dt: (x, torch.zeros(3)), "returns a Tensor where a tensor that depends on its input"),
    ],
)
def test_a_step_that_returns_something_else_is_refused(step: Callable[..., Any], reason: str) -> None:
    with pytest.raises(Unsupported, match=re.escape(reason)):
        traced(step)


def test_a_module_for_parameters_is_refused() -> None:
    with pytest.raises(Unsupported, match="are a module"):
        traced(lambda x, v, p, dt: (p(x), v), X, X, torch.nn.Linear(3, 3), 0.001)


# ---- what is followed ------------------------------------------------------------------------------------------------


def test_numbers_decide_while_tracing_and_tensors_are_arguments() -> None:
    def step(x: Tensor, v: Tensor, p: dict[str, Any], dt: float) -> Result:
        gain = p["gain"] if p["scaled"] and x.ndim == 2 and x.dtype == torch.float32 else 1.0
        return x * gain, v * dt

    assert str(traced(step, X, X, {"gain": torch.tensor(2.0), "scaled": True}, 0.5).graph) == text("""
        graph(%x, %a1, %gain) {
          %mul = mul(%x, %gain)
          %mul_1 = mul(%a1, 0.5)
          return %mul, %mul_1
        }
    """)
    assert "mul(%x, 1.0)" in str(traced(step, X, X, {"gain": torch.tensor(2.0), "scaled": False}, 0.5).graph)


def test_inputs_tell_which_argument_they_are() -> None:
    step = traced(snn.LIFCell().activation, X, snn.LIFFeedForwardState(X, X), snn.LIFParameters(), 0.001)
    assert step.inputs == ((0, 0), (1, 0), (1, 1), *((2, leaf) for leaf in (0, 1, 2, 3, 4, 6)))
    assert step.graph.inputs[:4] == ("x", "v", "i", "tau_syn_inv")  # leaf 5 is the method, a string


def test_a_custom_function_is_one_node_and_its_forward_is_not_walked_through() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
        return TripleGradient.apply(x - v), v

    graph = traced(step).graph
    assert str(graph) == text("""
        graph(%x, %a1) {
          %sub = sub(%x, %a1)
          %triplegradient = custom(%sub, function=TripleGradient)
          return %triplegradient, %a1
        }
    """)
    (custom,) = (node for node in graph.nodes if node.op == "custom")
    assert str(custom.attrs["_backward"]).endswith("%mul = mul(%g0, 3)\n  return %mul\n}")


def test_a_custom_function_of_two_outputs_is_one_node() -> None:
    graph = traced(two_outputs_step, X, X, torch.tensor(2.0), 0.1).graph
    assert [node.outputs for node in graph.nodes if node.op == "custom"] == [("twooutputs", "twooutputs1")]
    graph = traced(one_of_two_outputs_step, X, X, torch.tensor(2.0), 0.1).graph
    values: dict[str, Any] = dict(zip(graph.inputs, (X, X * 2, torch.tensor(2.0)), strict=True))
    run_nodes(graph.nodes, values)
    assert torch.equal(values[graph.outputs[0]], -2 * X)


class Decides(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


class Overwrites(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


class IsConstant(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return torch.ones(2, 3)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (Decides, "control flow depends on the value of a tensor"),
        (Overwrites, "changes an input in place"),
        (IsConstant, "IsConstant.backward returns a gradient that does not depend on its input"),
    ],
)
def test_a_custom_function_that_cannot_be_followed_is_refused(function: Any, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        traced(lambda x, v, p, dt: (function.apply(x), v))


def test_after_tracing_torch_is_as_it_was() -> None:
    before = torch.autograd.Function.apply
    with pytest.raises(Unsupported):
        traced(branches)
    assert torch.autograd.Function.apply == before
    x = torch.ones(3, requires_grad=True)
    TripleGradient.apply(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


# ---- what a trace can't see is found by comparing it with the step ---------------------------------------------------


def hides_its_gradient(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    with torch.no_grad():
        v = v * 2
    return x + v, v


def asks_what_it_is_given(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return (x * 2 if type(x) is Tensor else x * 3), v


def asks_whether_it_is_a_tensor(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    return (x * 2 if isinstance(x, Tensor) and not hasattr(x, "no_such_thing") else x * 3), v


CALLS = []


def counts_its_calls(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
    CALLS.append(1)
    return x * len(CALLS), v


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (hides_its_gradient, "it switches gradients"),
        (asks_what_it_is_given, "other results"),
        (counts_its_calls, "other results"),
    ],
)
def test_a_trace_that_is_not_the_step_is_found_out(step: Callable[..., Result], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        check_step(traced(step), step, ARGUMENTS)


def test_a_step_is_told_that_what_it_is_given_are_tensors() -> None:
    check_step(traced(asks_whether_it_is_a_tensor), asks_whether_it_is_a_tensor, ARGUMENTS)


def test_a_right_trace_passes_the_check() -> None:
    arguments = (X, snn.LIFFeedForwardState(X, X), snn.LIFParameters(), 0.001)
    activation = snn.LIFCell().activation
    check_step(traced(activation, *arguments), activation, arguments)


def test_the_activity_of_a_synapse_may_be_computed_in_the_step() -> None:
    def step(x: Tensor, v: Tensor, w: Tensor, dt: float) -> Result:
        u = v + x
        return torch.nn.functional.linear(u, w), u

    arguments = (X, X, torch.rand(3, 3), 0.001)
    check_step(traced(step, *arguments), step, arguments)


@pytest.mark.parametrize("bound", [50.0, 800.0, -70.0])
def test_what_differs_far_out_only_is_seen(bound: float) -> None:
    def step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> Result:
        return torch.where(v > p, v + x, x) if bound > 0 else torch.where(v < p, v + x, x), v

    def other(x: Tensor, v: Tensor, p: Tensor, dt: float) -> Result:
        return x, v

    arguments = (X, X, torch.tensor(bound), 0.001)
    check_step(traced(step, *arguments), step, arguments)
    with pytest.raises(Unsupported, match="other results"):
        check_step(traced(other, *arguments), step, arguments)


def test_what_happens_near_parameters_only_is_seen() -> None:
    def step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> Result:
        return torch.where((v - p).abs() < 5000, v + x, x), v

    def other(x: Tensor, v: Tensor, p: Tensor, dt: float) -> Result:
        return x, v

    arguments = (X, X, torch.tensor(-70000.0), 0.001)
    with pytest.raises(Unsupported, match="other results"):
        check_step(traced(other, *arguments), step, arguments)


def test_a_step_that_fails_on_other_numbers_is_refused_with_its_reason() -> None:
    def step(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
        raise ValueError("too far out")

    def plain(x: Tensor, v: Tensor, p: None, dt: float) -> Result:
        return v + x, v

    with pytest.raises(Unsupported, match="ValueError: too far out"):
        check_step(traced(plain), step, ARGUMENTS)
