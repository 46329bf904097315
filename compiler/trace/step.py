"""Traces a neuron's step function, as it stands, into the graph of one tick.

The step is called once with recorded values for the input, the state and every tensor among the parameters. Numbers and
strings are constants of the trace. What can't be followed raises `Unsupported` with the reason.
"""

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from norse.compiler.errors import InputError, Unsupported
from norse.compiler.ir import Graph, Node, Ref
from norse.compiler.trace.recorder import (
    NOT_THE_USERS,
    Recorder,
    intercepted_functions,
    is_recorded,
    raw_graph,
    recorded_are_tensors,
)

# Tracing replaces methods of torch for its time: one trace at a time.
TRACING = threading.RLock()


@dataclass(frozen=True)
class Step:
    """A traced step: `graph` computes (z, new state leaves) from the tensors among its arguments.

    `inputs` tells for each input of the graph which argument it is from, and which of that argument's leaves it is.
    """

    graph: Graph
    inputs: tuple[tuple[int, int], ...]

    def equals(self, other: "Step") -> bool:
        """Whether both compute the same, by the same functions."""
        return self.inputs == other.inputs and _operations(self.graph) == _operations(other.graph)


def _operations(graph: Graph) -> list[Any]:
    found: list[Any] = [graph.inputs, graph.outputs]
    for node in graph.nodes:
        attrs = {key: value for key, value in node.attrs.items() if not isinstance(value, Graph) and key != "_apply"}
        found += [node.op, node.outputs, node.inputs, sorted(attrs.items(), key=lambda item: item[0])]
        found += [_operations(value) for value in node.attrs.values() if isinstance(value, Graph)]
    return found


def trace_step(activation: Callable[..., Any], arguments: tuple[Any, ...], state_argument: int = 1) -> Step:
    """The graph of `activation(*arguments)`, in the user's own calls (not yet normalised)."""
    recorder = Recorder(FakeTensorMode(allow_non_fake_inputs=False))
    flat, structure = pytree.tree_flatten_with_path(tuple(arguments))
    recorded: list[Any] = []
    inputs: list[tuple[int, int]] = []
    seen = [0] * len(arguments)
    for path, leaf in flat:
        argument = path[0].idx  # type: ignore[attr-defined]
        seen[argument] += 1
        if isinstance(leaf, torch.Tensor):
            inputs.append((argument, seen[argument] - 1))
            recorded.append(recorder.placeholder(_name(argument, path), leaf))
        elif isinstance(leaf, torch.nn.Module):
            raise Unsupported("its parameters p are a module (use a NamedTuple)")
        else:
            recorded.append(leaf)
    with TRACING, recorded_are_tensors(), intercepted_functions(lambda cls, args: _custom(recorder, cls, args)):
        result = followed(activation, *pytree.tree_unflatten(recorded, structure))
    if not isinstance(result, tuple) or len(result) != 2:
        raise Unsupported("its step does not return (output, state)")
    output, state = result
    leaves, after = pytree.tree_flatten(state, is_leaf=is_recorded)
    _, before = pytree.tree_flatten(arguments[state_argument])
    if after != before:
        raise Unsupported(f"its step returns a state of another structure ({after}) than it is given ({before})")
    return Step(raw_graph(recorder, (output, *leaves)), tuple(inputs))


def followed(function: Callable[..., Any], *args: Any) -> Any:
    """Calls the function with recorded values; whatever goes wrong is a reason not to compile it, with the line."""
    try:
        return function(*args)
    except InputError:
        raise
    except (Exception, Unsupported) as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame for frame in reversed(frames) if not frame.filename.startswith(NOT_THE_USERS)), frames[-1])
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Unsupported(f"{reason} ({line.filename}:{line.lineno})") from error


def _name(argument: int, path: tuple[Any, ...]) -> str:
    """`x`, `v`, `tau_mem_inv`: what the user calls it."""
    last = path[-1]
    wish = getattr(last, "name", None) or getattr(last, "key", None)
    if len(path) == 1 or not isinstance(wish, str):
        return "x" if argument == 0 else f"a{argument}"
    return wish


# ---- custom derivatives --------------------------------------------------------------------------


class _RecordingContext(SimpleNamespace):
    """Stands in for the ctx of an autograd.Function: what forward saves, backward finds."""

    saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        raise Unsupported("its autograd.Function marks outputs as not differentiable")

    def mark_dirty(self, *tensors: Any) -> None:
        raise Unsupported("its autograd.Function changes an input in place")

    def set_materialize_grads(self, value: bool) -> None:
        if not value:
            raise Unsupported("its autograd.Function does not materialise gradients")

    def save_for_forward(self, *tensors: Any) -> None:
        """Forward-mode derivatives are not traced."""


def _custom(recorder: Recorder, cls: Any, args: tuple[Any, ...]) -> Any:
    """One `custom` node: the function's forward, and its backward as its derivative, each a graph."""
    inner = Recorder(recorder.mode)
    inputs = [
        inner.placeholder(f"x{place}", arg.node.meta["fake"]) if is_recorded(arg) else arg
        for place, arg in enumerate(args)
    ]
    context = _RecordingContext(needs_input_grad=tuple(is_recorded(arg) for arg in args))
    if cls.setup_context is not torch.autograd.Function.setup_context:
        output = cls.forward(*inputs)
        cls.setup_context(context, tuple(inputs), output)
    else:
        output = cls.forward(context, *inputs)
    outputs = output if isinstance(output, tuple) else (output,)
    if not all(is_recorded(out) for out in outputs):
        raise Unsupported(f"{cls.__name__}.forward returns something that does not depend on its input")
    forward = raw_graph(inner, outputs)
    grads = [inner.placeholder(f"g{k}", out.node.meta["fake"]) for k, out in enumerate(outputs)]
    found = cls.backward(context, *grads)
    found = found if isinstance(found, tuple) else (found,)
    gradients = [g if is_recorded(g) else None for g in found]
    if any(g is not None and not is_recorded(g) for g in found):
        raise Unsupported(f"{cls.__name__}.backward returns a gradient that does not depend on its input")
    backward = raw_graph(inner, tuple(g for g in gradients if g is not None))

    tensors = [arg for arg in args if is_recorded(arg)]
    results = []
    for k, out in enumerate(outputs):
        node = recorder.create_node("call_function", cls.apply, (), {}, f"{cls.__name__.lower()}{k or ''}")
        node.meta["fake"] = out.node.meta["fake"]
        results.append(recorder.proxy(node))
    names = tuple(result.node.name for result in results)
    attrs = {
        "function": cls.__name__,
        "_apply": cls.apply,
        "_arguments": tuple(None if is_recorded(arg) else arg for arg in args),
        "_places": tuple(place for place, arg in enumerate(args) if is_recorded(arg)),
        "_forward": forward,
        "_backward": backward,
        "_gradients": tuple(gradients[place] is not None for place, arg in enumerate(args) if is_recorded(arg)),
    }
    ir = Node("custom", names, tuple(Ref(tensor.node.name) for tensor in tensors), attrs)
    results[0].node.meta["ir"] = ir
    for result in results[1:]:
        result.node.meta["ir"] = None  # an output of the same node
    return tuple(results) if isinstance(output, tuple) else results[0]
