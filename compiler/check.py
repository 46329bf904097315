"""Compares a traced step with the function that it was traced from, on random numbers, gradients included.

What a trace can't see (global state, a wrong rule of ours) shows here, before it can become a wrong result.
"""

import random
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from norse.compiler.adjoint import Adjoint, differentiate
from norse.compiler.errors import Unsupported
from norse.compiler.interpret import run_nodes
from norse.compiler.ir import TIME, Graph, Type
from norse.compiler.passes.infer_types import infer_types
from norse.compiler.trace.step import Step

# Of the largest gradient: sums in another order.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.1}
_ROUNDINGS = 8  # of a sum, in units of eps times the sum of its terms' sizes
_ENOUGH = 1 << 12  # values of a tick; of larger batches two samples are compared
_SEED = 1
_AROUND = 256  # of a parameter's values, those that draws are made around
_PATTERN = 1021  # as many are chosen, then they repeat
# What inputs and states are drawn from: standard deviations, since bounds may be far out, and the parameters' values,
# since where a neuron decides is mostly near one of them.
_DRAWS: tuple[float | None, ...] = (1.0, 30.0, 1000.0, None)


def check_step(step: Step, activation: Any, arguments: tuple[Any, ...]) -> None:
    """Raises Unsupported where they disagree. `arguments` are those of the trace; input and state may be fake."""
    adjoints: dict[frozenset[str], Adjoint] = {}  # by what is wanted: draws differ in their numbers alone
    try:
        for scale in _DRAWS:
            _check_draw(step, activation, arguments, scale, adjoints)
    except Unsupported:
        raise
    except Exception as error:
        raise Unsupported(f"its traced step can't be compared with it: {type(error).__name__}: {error}") from error


def _check_draw(
    step: Step,
    activation: Any,
    arguments: tuple[Any, ...],
    scale: float | None,
    adjoints: dict[frozenset[str], Adjoint],
) -> None:
    leaves, structure = pytree.tree_flatten(arguments)
    count = len(pytree.tree_leaves(arguments[:2]))  # input and state; the rest are real parameters
    parameters = [leaf for leaf in leaves[count:] if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    concrete = [
        _concrete(leaf, place < count, place, scale, parameters) if isinstance(leaf, Tensor) else leaf
        for place, leaf in enumerate(leaves)
    ]
    tensors = [leaf for leaf in concrete if isinstance(leaf, Tensor)]
    with torch.enable_grad():
        result = activation(*pytree.tree_unflatten(concrete, structure))
    results = (x for x in pytree.tree_leaves(result) if isinstance(x, Tensor))
    expected = dict(zip(step.graph.outputs, results, strict=True))
    given = dict(zip(step.graph.inputs, (tensor.detach() for tensor in tensors), strict=True))
    values: dict[str, Any] = dict(given)
    run_nodes(step.graph.nodes, values)
    for name, tensor in expected.items():
        if not torch.allclose(values[name], tensor.detach(), rtol=0, atol=0, equal_nan=True):
            raise Unsupported("its traced step gives other results than the step itself")
    weights = {node.uses[1] for node in step.graph.nodes if node.op == "linear"}
    inputs = dict(zip(step.graph.inputs, tensors, strict=True))
    _check_gradients(step.graph, given, inputs, expected, weights, adjoints)


def _check_gradients(
    graph: Graph,
    given: dict[str, Tensor],
    inputs: dict[str, Tensor],
    expected: dict[str, Tensor],
    weights: set[str],
    adjoints: dict[frozenset[str], Adjoint],
) -> None:
    types = {n: Type(x.dtype, tuple(x.shape) if n in weights else (TIME, *x.shape)) for n, x in given.items()}
    wanted = {name: x for name, x in inputs.items() if x.requires_grad}
    seeds = {name: _normal(x, 100 + place) for place, (name, x) in enumerate(expected.items())}
    outputs = {name: x for name, x in expected.items() if x.requires_grad}
    if not wanted or not outputs:
        return
    outputs_seeds = [seeds[name] for name in outputs]
    theirs = torch.autograd.grad(list(outputs.values()), list(wanted.values()), outputs_seeds, allow_unused=True)
    key = frozenset(wanted)
    if key not in adjoints:
        unique = Graph(graph.inputs, graph.nodes, tuple(expected), (), types)
        adjoints[key] = differentiate(infer_types(unique), key)
    adjoint = adjoints[key]
    values: dict[str, Any] = {**given, **{f"grad_{name}": seed for name, seed in seeds.items()}}
    run_nodes(adjoint.graph.nodes, values)
    tolerance = max(_TOLERANCE[x.dtype] for x in (*inputs.values(), *expected.values()) if x.is_floating_point())
    for (name, x), grad in zip(wanted.items(), theirs, strict=True):
        ours = _gradient(adjoint, name, x, values)
        grad = torch.zeros_like(x) if grad is None else grad
        scale = float(torch.where(grad.isfinite(), grad, 0).abs().max()) if grad.numel() else 1.0
        close = torch.isclose(ours, grad, rtol=0, atol=tolerance * (scale or 1.0), equal_nan=True)
        close |= (ours - grad).abs() <= _rounding(adjoint, name, x, values)
        if not bool(close.all()):
            raise Unsupported(
                f"the derivative of its traced step with respect to {name} is not that of the step itself"
            )


def _gradient(adjoint: Adjoint, name: str, like: Tensor, values: dict[str, Any]) -> Tensor:
    total = torch.zeros_like(like)
    if name in adjoint.ticks:
        total = total + values[adjoint.ticks[name]].sum_to_size(like.shape)
    for weight in adjoint.weights:
        if weight.weight == name:
            total = total + values[weight.gradient].flatten(0, -2).t() @ values[weight.activity].flatten(0, -2)
    return total.to(like.dtype)  # of a parameter that was promoted


def _rounding(adjoint: Adjoint, name: str, like: Tensor, values: dict[str, Any]) -> Tensor:
    """What a sum over the batch may be off by: terms that cancel leave their rounding and little else."""
    if name not in adjoint.ticks:
        return torch.zeros_like(like)
    terms = values[adjoint.ticks[name]]
    bound = _ROUNDINGS * torch.finfo(terms.dtype).eps * terms.abs().sum_to_size(like.shape)
    return torch.where(bound.isfinite(), bound, 0)


def _concrete(leaf: Tensor, free: bool, salt: int, scale: float | None, parameters: list[Tensor]) -> Tensor:
    """Random numbers for the input and the state; parameters as they are."""
    if not free:
        return leaf.detach().clone().requires_grad_(leaf.is_floating_point())
    shape = leaf.shape
    if leaf.ndim > 1 and leaf.numel() > _ENOUGH and not any(_has_batch(x, leaf) for x in parameters):
        shape = torch.Size((min(2, leaf.shape[0]), *leaf.shape[1:]))
    like = leaf.new_empty((), device="meta").expand(shape)
    if not leaf.is_floating_point() or (scale is None and not parameters):
        drawn = _normal(like, salt)
    elif scale is None:
        drawn = _around(parameters, like, salt)
    else:
        drawn = scale * _normal(like, salt + int(scale) - 1)
    return drawn.requires_grad_(leaf.is_floating_point())


def _has_batch(parameter: Tensor, leaf: Tensor) -> bool:
    """Whether a parameter may have a value for each sample."""
    return parameter.ndim >= leaf.ndim and parameter.shape[-leaf.ndim] == leaf.shape[0]


def _around(parameters: list[Tensor], like: Tensor, salt: int) -> Tensor:
    """Values of the parameters, a tenth off."""
    known = [value for x in parameters for value in x.detach().flatten()[:_AROUND].tolist()]
    chosen = torch.tensor(random.Random(salt).choices(known, k=_PATTERN), dtype=like.dtype)
    middle = chosen.repeat(like.numel() // _PATTERN + 1)[: like.numel()].reshape(like.shape)
    return middle + 0.1 * (1 + middle.abs()) * _normal(like, salt + 1000)


def _normal(like: Tensor, salt: int) -> Tensor:
    """Reproducible, and apart from torch's own generator."""
    generator = torch.Generator().manual_seed(_SEED + salt)
    dtype = like.dtype if like.is_floating_point() else torch.float32
    return torch.randn(like.shape, generator=generator, dtype=dtype).to(like.dtype)
