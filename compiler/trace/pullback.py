"""Records `torch.func.vjp` of recorded values: derivatives of what a function does to them, by the op table's rules."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from norse.compiler.adjoint import pull_back
from norse.compiler.errors import Unsupported
from norse.compiler.interpret import run_node
from norse.compiler.ir import Node, Ref, substitute_inputs
from norse.compiler.passes.normalise import normalise
from norse.compiler.trace.recorder import Recorder, is_recorded, raw_graph


@contextmanager
def intercepted_pullbacks() -> Iterator[None]:
    """While inside, `torch.func.vjp(function, *primals)` of recorded primals gives recorded gradients."""
    original = torch.func.vjp

    def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
        if not any(is_recorded(primal) for primal in primals):
            return original(function, *primals, has_aux=has_aux)
        if has_aux or not all(is_recorded(primal) for primal in primals):
            raise Unsupported("it calls torch.func.vjp with more than tensors that it computed")
        return _vjp(function, primals)

    torch.func.vjp = vjp  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.func.vjp = original


def _vjp(function: Callable[..., Any], primals: tuple[Any, ...]) -> Any:
    recorder = primals[0].tracer
    starts: list[Any] = [
        torch.clone(primal) for primal in primals
    ]  # names of their own: the function may read the primals too
    output = function(*starts)
    if not is_recorded(output):
        raise Unsupported("it calls torch.func.vjp with a function that does not return one tensor")
    graph = normalise(raw_graph(recorder, (output,)), step=True)
    names = [start.node.name for start in starts]

    def pullback(gradient: Any) -> tuple[Any, ...]:
        nodes, found = pull_back(graph, names, gradient.node.name, {n.name for n in recorder.graph.nodes})
        made = {node.name: recorder.proxy(node) for node in recorder.graph.nodes}
        for node in nodes:
            made[node.output] = _recorded(recorder, node, made)
        return tuple(
            torch.zeros_like(start) if name is None else made[name] for start, name in zip(starts, found, strict=True)
        )

    return output, pullback


def _recorded(recorder: Recorder, node: Node, made: dict[str, Any]) -> Any:
    """The node as a value of the recorder's."""
    values = {name: recorder.fakes(made[name]) for name in node.uses}
    with recorder.mode, torch.no_grad():
        run_node(node, values)
    recorded = recorder.create_node("call_function", torch.func.vjp, (), {}, node.output)
    operands = {name: Ref(made[name].node.name) for name in node.uses}
    new = substitute_inputs(node, operands)
    recorded.meta.update(fake=values[node.output], ir=Node(new.op, (recorded.name,), new.inputs, new.attrs))
    return recorder.proxy(recorded)
