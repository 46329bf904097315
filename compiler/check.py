"""Compares every traced step with the function that it was traced from, on random numbers, gradients included.

What a trace can't see (global state, a wrong rule of ours) shows here, before it can become a wrong result.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from norse.compiler.adjoint import differentiate
from norse.compiler.errors import Unsupported
from norse.compiler.interpret import run_nodes
from norse.compiler.ir import Graph, Type
from norse.compiler.passes.infer_types import infer_types
from norse.compiler.trace.model import Trace
from norse.compiler.trace.step import Step

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}
_SEED = 1


def check_steps(trace: Trace, modules: Mapping[str, nn.Module]) -> None:
    """Raises Unsupported with the module's name where a step and its trace disagree."""


def check_step(step: Step, activation: Any, arguments: tuple[Any, ...]) -> None:
    """`arguments` as they were traced with, in real tensors."""
    leaves = [_random(leaf, k) if isinstance(leaf, Tensor) else leaf for k, leaf in enumerate(pytree.tree_leaves(arguments))]
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    with torch.enable_grad():
        result = activation(*pytree.tree_unflatten(leaves, pytree.tree_structure(arguments)))
        expected = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
    values: dict[str, Any] = dict(zip(step.graph.inputs, (tensor.detach() for tensor in tensors), strict=True))
    given = dict(values)
    run_nodes(step.graph.nodes, values)
    for name, tensor in zip(step.graph.outputs, expected, strict=True):
        if not torch.equal(values[name], tensor.detach()) and not torch.allclose(values[name], tensor.detach(), equal_nan=True):
            raise Unsupported("its traced step gives other results than the step itself")
    _check_gradients(step.graph, given, tensors, expected)


def _check_gradients(graph: Graph, given: dict[str, Any], tensors: list[Tensor], expected: list[Tensor]) -> None:
    typed = infer_types(graph.with_types({n: Type(x.dtype, ("T", *x.shape)) for n, x in given.items()}))
    adjoint = differentiate(typed, set(graph.inputs))
    seeds = {name: _random(x, 100 + k).detach() for k, (name, x) in enumerate(zip(graph.outputs, expected, strict=True))}
    outputs = [(x, seeds[name]) for name, x in zip(graph.outputs, expected, strict=True) if x.requires_grad]
    grads = torch.autograd.grad([x for x, _ in outputs], tensors, [g for _, g in outputs], allow_unused=True) if outputs else []
    values = {**given, **{f"grad_{name}": seed for name, seed in seeds.items()}}
    run_nodes(adjoint.graph.nodes, values)
    for name, tensor, grad in zip(graph.inputs, tensors, grads, strict=False):
        found = values.get(adjoint.ticks.get(name, ""))
        ours = torch.zeros_like(tensor) if found is None else found.sum_to_size(tensor.shape)
        theirs = torch.zeros_like(tensor) if grad is None else grad
        scale = float(theirs.abs().max()) or 1.0
        if not bool(((ours - theirs).abs() <= _TOLERANCE.get(tensor.dtype, 1e-3) * scale).all()):
            raise Unsupported(f"the derivative of its traced step with respect to {name} is not that of the step itself")


def _random(like: Tensor, salt: int) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED + salt)
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).requires_grad_(like.is_floating_point())
