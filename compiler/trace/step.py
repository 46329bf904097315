"""Traces a neuron's step function, as it stands, into the graph of one tick.

The step is called once with recorded values for the input, the state and every tensor among the parameters. Numbers and
strings are constants of the trace. What can't be followed raises `Unsupported` with the reason.
"""

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from norse.compiler.errors import InputError, Unsupported
from norse.compiler.ir import Graph
from norse.compiler.trace.custom import record_custom
from norse.compiler.trace.pullback import intercepted_pullbacks
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
    `asked` are those of which the step has asked whether they require a gradient.
    """

    graph: Graph
    inputs: tuple[tuple[int, int], ...]
    asked: frozenset[str] = frozenset()

    def asked_by_place(self, arguments: tuple[Any, ...]) -> set[int]:
        """The places of what was asked for among all leaves of the arguments."""
        before = [len(pytree.tree_leaves(arguments[:argument])) for argument in range(len(arguments))]
        inputs = zip(self.graph.inputs, self.inputs, strict=True)
        return {before[argument] + leaf for name, (argument, leaf) in inputs if name in self.asked}

    def equals(self, other: "Step") -> bool:
        """Whether both compute the same, by the same functions."""
        ours, theirs = ((step.inputs, step.asked, _operations(step.graph)) for step in (self, other))
        return ours == theirs


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
            if argument > state_argument:  # whether weights and parameters are learnt is a constant of the trace
                recorded[-1].node.meta["requires_grad"] = leaf.requires_grad
        elif isinstance(leaf, torch.nn.Module):
            raise Unsupported("its parameters p are a module (use a NamedTuple)")
        else:
            recorded.append(leaf)
    with TRACING, recorded_are_tensors(), intercepted_functions(record_custom), intercepted_pullbacks():
        result = followed(activation, *pytree.tree_unflatten(recorded, structure))
    if not isinstance(result, tuple) or len(result) != 2:
        raise Unsupported("its step does not return (output, state)")
    output, state = result
    leaves, after = pytree.tree_flatten(state, is_leaf=is_recorded)
    _, before = pytree.tree_flatten(arguments[state_argument])
    if after != before:
        raise Unsupported(f"its step returns a state of another structure ({after}) than it is given ({before})")
    return Step(raw_graph(recorder, (output, *leaves)), tuple(inputs), frozenset(recorder.asked))


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
