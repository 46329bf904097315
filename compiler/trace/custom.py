"""Records an autograd.Function that a step calls: its forward and backward are the two graphs of a `custom` node."""

from types import SimpleNamespace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from norse.compiler.errors import Unsupported
from norse.compiler.ir import Node, Ref
from norse.compiler.trace.recorder import Recorder, is_recorded, raw_graph


class _RecordingContext(SimpleNamespace):
    """Stands in for the ctx of an autograd.Function: what forward saves, backward finds."""

    saved_tensors: tuple[Any, ...] = ()
    constant: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        self.constant = tensors

    def mark_dirty(self, *tensors: Any) -> None:
        raise Unsupported("its autograd.Function changes an input in place")

    def set_materialize_grads(self, value: bool) -> None:
        if not value:
            raise Unsupported("its autograd.Function does not materialise gradients")

    def save_for_forward(self, *tensors: Any) -> None:
        """Forward-mode derivatives are not traced."""


def record_custom(cls: Any, args: tuple[Any, ...]) -> Any:
    """What `cls.apply(*args)` returns, recorded as one node.

    Its operands are all recorded tensors among the arguments, also those inside of tuples. To these, as in torch, no
    gradient leads.
    """
    flat, structure = pytree.tree_flatten(args, is_leaf=is_recorded)
    places = tuple(place for place, leaf in enumerate(flat) if is_recorded(leaf))
    recorder = flat[places[0]].tracer
    with torch.no_grad():  # as in eager: the gradients of what forward does are backward's business
        inner = Recorder(recorder.mode)
        leaves = [_operand(inner, f"x{place}", leaf) if is_recorded(leaf) else leaf for place, leaf in enumerate(flat)]
        inputs = pytree.tree_unflatten(leaves, structure)
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
    if any(g is not None and not is_recorded(g) for g in found):
        raise Unsupported(f"{cls.__name__}.backward returns a gradient that does not depend on its input")
    gradients = [g for arg, g in zip(args, found, strict=False) if is_recorded(arg)]
    backward = raw_graph(inner, tuple(g for g in gradients if g is not None))
    given = iter(gradients)  # of the arguments that are tensors; none leads to those inside of tuples
    tensors = ((arg, leaf) for arg in args for leaf in pytree.tree_leaves(arg, is_leaf=is_recorded))
    at_top = (arg is leaf for arg, leaf in tensors if is_recorded(leaf))
    constant = {id(out) for out in context.constant}

    results = []
    for k, out in enumerate(outputs):
        node = recorder.create_node("call_function", cls.apply, (), {}, f"{cls.__name__.lower()}{k or ''}")
        node.meta["fake"] = out.node.meta["fake"]
        results.append(recorder.proxy(node))
    attrs = {
        "function": cls.__name__,
        "_apply": cls.apply,
        "_arguments": tuple(None if is_recorded(leaf) else leaf for leaf in flat),
        "_structure": structure,
        "_places": places,
        "_forward": forward,
        "_backward": backward,
        "_gradients": tuple(top and next(given) is not None for top in at_top),
        "_constant": tuple(k for k, out in enumerate(outputs) if id(out) in constant),
    }
    names = tuple(result.node.name for result in results)
    results[0].node.meta["ir"] = Node("custom", names, tuple(Ref(flat[place].node.name) for place in places), attrs)
    for result in results[1:]:
        result.node.meta["ir"] = None  # an output of the same node
    return tuple(results) if isinstance(output, tuple) else results[0]


def _operand(inner: Recorder, name: str, outer: Any) -> Any:
    operand = inner.placeholder(name, outer.node.meta["fake"])
    if "requires_grad" in outer.node.meta:
        operand.node.meta["requires_grad"] = outer.node.meta["requires_grad"]
    return operand
