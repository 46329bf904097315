"""Compares a traced step with the function that it was traced from, on random numbers, gradients included.

What a trace can't see (global state, a wrong rule of ours) shows here, before it can become a wrong result.
"""

import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree as pytree

from norse.compiler.adjoint import Adjoint, differentiate
from norse.compiler.draws import Draw, draw_ahead
from norse.compiler.errors import Unsupported
from norse.compiler.interpret import run_nodes
from norse.compiler.ir import TIME, Graph, Type
from norse.compiler.passes.custom_operands import matrices, passive_inputs
from norse.compiler.passes.hoist_prologue import split_prologue
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
_CHANCES = 0.0  # where those are no probabilities: from 0 to 1


# The adjoint of a tick, and the random numbers that it reads.
_Differentiated = tuple[Adjoint, dict[str, Draw]]


def check_step(step: Step, activation: Any, arguments: tuple[Any, ...]) -> None:
    """Raises Unsupported where they disagree. `arguments` are those of the trace; input and state may be fake."""
    adjoints: dict[frozenset[str], _Differentiated] = {}  # by what is wanted: draws differ in their numbers alone
    try:
        with _with_gradients():
            taken = [_check_draw(step, activation, arguments, scale, adjoints) for scale in _DRAWS]
            if not any(taken) and not _check_draw(step, activation, arguments, _CHANCES, adjoints):
                raise Unsupported("it takes random numbers, and numbers from 0 to 1, for no probabilities")
    except Unsupported:
        raise
    except Exception as error:
        raise Unsupported(f"its traced step can't be compared with it: {type(error).__name__}: {error}") from error


def _with_gradients() -> AbstractContextManager[Any]:
    """Gradients are compared also where the model is called in inference mode. torch.export can't see that end."""
    return torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()


def _check_draw(
    step: Step,
    activation: Any,
    arguments: tuple[Any, ...],
    scale: float | None,
    adjoints: dict[frozenset[str], _Differentiated],
) -> bool:
    """Whether the numbers could be drawn at all: torch.bernoulli refuses what is no probability."""
    leaves, structure = pytree.tree_flatten(arguments)
    count = len(pytree.tree_leaves(arguments[:2]))  # input and state; the rest are parameters
    leaves[count:] = [_some_parameter(leaf, place) for place, leaf in enumerate(leaves[count:])]
    parameters = [leaf for leaf in leaves[count:] if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    asked = step.asked_by_place(arguments)
    concrete = [
        _concrete(leaf, place < count, place, scale, parameters, place in asked) if isinstance(leaf, Tensor) else leaf
        for place, leaf in enumerate(leaves)
    ]
    tensors = [leaf for leaf in concrete if isinstance(leaf, Tensor)]
    inputs = dict(zip(step.graph.inputs, tensors, strict=True))
    before = torch.get_rng_state()  # both sides draw the same random numbers
    try:
        with torch.enable_grad():
            try:
                result = activation(*pytree.tree_unflatten(concrete, structure))
            except RuntimeError as error:
                if "p_in >= 0" in str(error):
                    return False
                raise
            results = (x for x in pytree.tree_leaves(result) if isinstance(x, Tensor))
            expected = dict(zip(step.graph.outputs, results, strict=True))
            torch.set_rng_state(before)
            split = _split(step, inputs)
        values: dict[str, Any] = {name: tensor.detach() for name, tensor in split.inputs.items()}
        run_nodes(split.graph.nodes, values)
        for name, tensor in expected.items():
            if not torch.allclose(values[name], tensor.detach(), rtol=0, atol=0, equal_nan=True):
                raise Unsupported("its traced step gives other results than the step itself")
        torch.set_rng_state(before)
        _check_gradients(split, inputs, expected, adjoints)
    finally:
        torch.set_rng_state(before)
    return True


@dataclass(frozen=True)
class _Split:
    """A step as it runs: what it computes from parameters alone, by torch with its gradients, and the rest."""

    graph: Graph  # the rest
    inputs: dict[str, Tensor]
    hoisted: dict[str, Tensor]  # those of the inputs that were computed

    fixed: frozenset[str]  # those of the inputs that do not vary with time

    @cached_property
    def weights(self) -> frozenset[str]:
        """The inputs that no tick reads as rows: matrices, and what products read after the loop."""
        return matrices(self.graph.nodes) | passive_inputs(self.graph)

    @cached_property
    def constant(self) -> frozenset[str]:
        """The inputs that are typed as what does not vary with time, so that their gradients may be summed."""
        return self.weights & self.fixed

    @cached_property
    def rows(self) -> set[str]:
        """The inputs that a loop reads tick by tick: what the hoisted ones were computed from is not among them."""
        read = {use for node in self.graph.nodes for use in node.uses}.union(self.graph.outputs)
        return read.intersection(self.inputs) - self.weights


def _split(step: Step, given: dict[str, Tensor]) -> _Split:
    fixed = [name for name, (argument, _) in zip(step.graph.inputs, step.inputs, strict=True) if argument > 1]
    prologue, rest = split_prologue((replace(node, tick=True) for node in step.graph.nodes), fixed)
    values: dict[str, Any] = dict(given)
    run_nodes(prologue, values)
    hoisted = {name: values[name] for node in prologue for name in node.outputs}
    inputs = {**given, **hoisted}
    fixed_now = frozenset((*fixed, *hoisted))
    return _Split(Graph(tuple(inputs), tuple(rest), step.graph.outputs), inputs, hoisted, fixed_now)


def _check_gradients(
    split: _Split,
    inputs: dict[str, Tensor],
    expected: dict[str, Tensor],
    adjoints: dict[frozenset[str], _Differentiated],
) -> None:
    wanted = {name: x for name, x in inputs.items() if x.requires_grad}
    seeds = {name: _normal(x, 100 + place) for place, (name, x) in enumerate(expected.items())}
    outputs = {name: x for name, x in expected.items() if x.requires_grad}
    if not wanted or not outputs:
        return
    outputs_seeds = [seeds[name] for name in outputs]
    theirs = torch.autograd.grad(
        list(outputs.values()), list(wanted.values()), outputs_seeds, allow_unused=True, retain_graph=True
    )
    shape = _common_shape(split, expected)
    values: dict[str, Any] = {name: x.detach() for name, x in split.inputs.items()}
    if shape is not None:
        values.update({name: values[name].expand(shape) for name in split.rows})
        seeds = {name: _widened(seed, shape) for name, seed in seeds.items()}
    key = frozenset(name for name, x in split.inputs.items() if x.requires_grad)
    if key not in adjoints:
        adjoints[key] = _differentiated(split, values, tuple(expected), key)
    adjoint, drawn = adjoints[key]
    values.update({name: draw.ahead(device=torch.device("cpu")) for name, draw in drawn.items()})
    values.update({f"grad_{name}": seed for name, seed in seeds.items()})
    run_nodes(adjoint.graph.nodes, values)
    tolerance = max(_TOLERANCE[x.dtype] for x in (*inputs.values(), *expected.values()) if x.is_floating_point())
    # Where all saturates, what is left of a gradient is the rounding of 1 - tanh².
    largest = (float(seed.abs().max()) for name, seed in seeds.items() if name in outputs and seed.numel())
    saturated = _ROUNDINGS * max(largest, default=0.0)
    for (name, x), grad in zip(wanted.items(), theirs, strict=True):
        ours, rounding = _with_hoisted(adjoint, name, x, split.hoisted, values)
        grad = torch.zeros_like(x) if grad is None else grad
        scale = float(torch.where(grad.isfinite(), grad, 0).abs().max()) if grad.numel() else 1.0
        close = torch.isclose(ours, grad, rtol=0, atol=tolerance * (scale or 1.0), equal_nan=True)
        close |= (ours - grad).abs() <= rounding + saturated * torch.finfo(x.dtype).eps
        if not bool(close.all()):
            raise Unsupported(
                f"the derivative of its traced step with respect to {name} is not that of the step itself"
            )


def _common_shape(split: _Split, expected: dict[str, Tensor]) -> torch.Size | None:
    """The shape that a loop would give all values, so that gradients of narrower ones add up. None with synapses
    between neurons of other numbers."""
    rows = [x for name, x in split.inputs.items() if name in split.rows]
    if split.weights and len({x.shape[-1] for x in rows if x.ndim}) > 1:
        return None
    try:
        shape: torch.Size = torch.broadcast_shapes(*(x.shape for x in (*rows, *expected.values())))
    except RuntimeError:
        return None
    return shape


def _widened(seed: Tensor, shape: torch.Size) -> Tensor:
    """The gradient of a value that is the same throughout, and read in its first place."""
    wide = seed.new_zeros(shape)
    missing = len(shape) - seed.ndim
    wide[(0,) * missing + tuple(slice(0, size) for size in seed.shape)] = seed
    return wide


def _differentiated(
    split: _Split, values: dict[str, Any], outputs: tuple[str, ...], wanted: frozenset[str]
) -> _Differentiated:
    """With types as if all were over time but the weights of synapses."""
    types = {
        name: Type(x.dtype, (*(() if name in split.constant else (TIME,)), *x.shape)) for name, x in values.items()
    }
    graph = infer_types(Graph(split.graph.inputs, split.graph.nodes, outputs, (), types))
    drawn = draw_ahead(graph, graph.types)
    types.update({name: draw.type for name, draw in drawn.ahead.items()})
    return differentiate(infer_types(drawn.graph.with_types(types)) if drawn.ahead else graph, wanted), drawn.ahead


def _with_hoisted(
    adjoint: Adjoint, name: str, x: Tensor, hoisted: dict[str, Tensor], values: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """The gradient of an input, also by way of what was computed from it; and what its sums may be off by."""
    total, rounding = _gradient(adjoint, name, x, values), _rounding(adjoint, name, x, values)
    for inner, made in hoisted.items():
        if not made.requires_grad:
            continue
        parts = _gradient(adjoint, inner, made, values), _rounding(adjoint, inner, made, values)
        ours, bound = (
            torch.autograd.grad(made, x, part.to(made.dtype), allow_unused=True, retain_graph=True)[0] for part in parts
        )
        if ours is not None and bound is not None:
            total, rounding = total + ours, rounding + bound.abs()
    return total, rounding


def _gradient(adjoint: Adjoint, name: str, like: Tensor, values: dict[str, Any]) -> Tensor:
    total = torch.zeros_like(like)
    if name in adjoint.ticks:
        total = total + values[adjoint.ticks[name]].sum_to_size(like.shape)
    for weight in adjoint.weights:
        if weight.weight == name:
            product = values[weight.gradient].flatten(0, -2).t() @ values[weight.activity].flatten(0, -2)
            factor = 1 if weight.factor is None else values[weight.factor]
            total = total + weight.scale * (product * factor)
    for row in adjoint.rows:
        if row.input == name:
            matrix = values[row.matrix].t() if row.transposed else values[row.matrix]
            total = total + row.scale * (values[row.gradient] @ matrix).sum_to_size(like.shape)
    return total.to(like.dtype)  # of a parameter that was promoted


def _rounding(adjoint: Adjoint, name: str, like: Tensor, values: dict[str, Any]) -> Tensor:
    """What a sum over the batch may be off by: terms that cancel leave their rounding and little else."""
    if name not in adjoint.ticks:
        return torch.zeros_like(like)
    terms = values[adjoint.ticks[name]]
    bound = _ROUNDINGS * torch.finfo(terms.dtype).eps * terms.abs().sum_to_size(like.shape)
    return torch.where(bound.isfinite(), bound, 0)


def _concrete(
    leaf: Tensor, free: bool, salt: int, scale: float | None, parameters: list[Tensor], asked: bool
) -> Tensor:
    """Random numbers for the input and the state; parameters as they are. `asked`: the step may ask if it is learnt."""
    if not free:
        learnt = leaf.requires_grad if asked else leaf.is_floating_point()
        return leaf.detach().clone().requires_grad_(learnt)
    shape = leaf.shape
    if leaf.ndim > 1 and leaf.numel() > _ENOUGH and not any(_has_batch(x, leaf) for x in parameters):
        shape = torch.Size((min(2, leaf.shape[0]), *leaf.shape[1:]))
    like = leaf.new_empty((), device="meta").expand(shape)
    if not leaf.is_floating_point() or (scale is None and not parameters):
        drawn = _normal(like, salt)
    elif scale is None:
        drawn = _around(parameters, like, salt)
    elif scale == _CHANCES:
        drawn = _normal(like, salt).sigmoid()
    else:
        drawn = scale * _normal(like, salt + int(scale) - 1)
    return drawn.requires_grad_(leaf.is_floating_point())


def _some_parameter(leaf: Any, salt: int) -> Any:
    """torch.export simulates the parameters too: then any numbers stand for them."""
    if not isinstance(leaf, FakeTensor):
        return leaf
    like = leaf.detach().to("meta")
    return (1 + 0.1 * _normal(like, salt)).to(leaf.dtype).requires_grad_(leaf.requires_grad)


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
