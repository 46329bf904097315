"""EventProp: what the adjoint steps have in common.

A neuron is a hybrid system: its state y flows, dy/dt = F(y), until a guard h(y) becomes positive; then there is a spike
and y jumps to R(y). Of a loss, let λ be the adjoint of y, and g the gradient with respect to the spike (a loss of the
spike's time t has g = ∂L/∂t, up to a factor). Backward in time λ flows, -dλ/dt = (∂F/∂y)ᵀ λ, and at a spike it jumps:

    κ = ((F⁺ - R'F⁻)·λ + g) / (∇h·F⁻),  λ ← R'ᵀλ + κ ∇h

F⁻ and F⁺ are the flow before and after the spike. (The spike's time moves by -∇h·δy / ∇h·F⁻, and what flows after it
instead of before it is F⁺ - R'F⁻.) One tick of an adjoint step takes dt of the flow, then the jump where the forward
had a spike. Where it had none, nothing flows through z: there is no surrogate. Parameters have no gradient at all.

What a spike hands to the neuron that fired it is Norse's, not that of the published equations: see `lif_adjoint_step`.

Source: T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking neural
networks", Scientific Reports 11 (2021), 12829.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, get_type_hints

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from norse.torch.functional.reset import ResetMethod
from norse.torch.functional.sparse import to_dense

Rule = Callable[..., tuple[Any, ...]]
"""Takes the adjoints of a neuron one tick back: `(before, z, after, g, adjoint, p, dt, *couplings)`, with the states
before and after the tick, its spikes z, the gradient g with respect to them, the adjoints of `after` (a state of the
same type), parameters, time step and the weights between membranes, gives the adjoints of `before` and the gradients of
the couplings."""


class Synapse(Protocol):
    """How a neuron's input enters its state, seen from its adjoints. A feed-forward neuron has weights None."""

    def to_input(self, adjoint: Any, x: Tensor, weights: Tensor | None) -> Tensor:
        """The gradient with respect to x, from the adjoints of the state into which it enters."""
        ...

    def to_weights(self, adjoint: Any, x: Tensor, weights: Tensor) -> Tensor:
        """The gradient with respect to the weights."""
        ...


@dataclass(frozen=True)
class CurrentSynapse:
    """i jumps by x, or by W x.

    Args:
        current: finds the adjoint of i among the adjoints.
    """

    current: Callable[[Any], Tensor]

    def to_input(self, adjoint: Any, x: Tensor, weights: Tensor | None) -> Tensor:
        adjoint_i = self.current(adjoint)
        return adjoint_i if weights is None else torch.matmul(adjoint_i, weights)

    def to_weights(self, adjoint: Any, x: Tensor, weights: Tensor) -> Tensor:
        return outer(self.current(adjoint), x)


@dataclass(frozen=True)
class Adjoint:
    """The methods of an adjoint step's autograd.Function, called with x, the state's tensors, weights, p and dt.

    The forward is the plain step, without a surrogate. It keeps its tensor arguments and its results, which are the
    tensors of the ticks before and after it anyway, and nothing of its own.

    Args:
        step: the plain step, `(x, state, *weights, p, dt) -> (z, state)`.
        state_type: of the neuron's state; in a recurrent one z is the first tensor.
        rule: takes the adjoints one tick back.
        synapse: takes them on to the input.
        weights: how many the synapse has: 2 in a recurrent neuron, else 0. Couplings come after them.
    """

    step: Callable[..., tuple[Tensor, Any]]
    state_type: Any
    rule: Rule
    synapse: Synapse
    weights: int = 0

    def forward(self, *args: Any) -> tuple[Tensor, ...]:
        x, state, weights, p, dt = self._split(args)
        z, state = self.step(x, state, *weights, _without_surrogate(p), dt)
        leaves = pytree.tree_leaves(state)
        return tuple(leaves) if self._recurrent else (z, *leaves)

    def setup_context(self, ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.p, ctx.dt = inputs
        ctx.save_for_backward(*tensors, *output)

    def backward(self, ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: torch.utils.checkpoint computes it again at every look
        x, before, weights, p, dt = self._split((*saved[: -len(gradients)], ctx.p, ctx.dt))
        z, after = self._output(saved[-len(gradients) :])
        g, adjoint = self._output(gradients)
        connections, couplings = weights[: self.weights], weights[self.weights :]
        new, *found = self.rule(before, to_dense(z), after, to_dense(g), adjoint, p, dt, *couplings)
        sources, leaves = [x], pytree.tree_leaves(new)
        if self._recurrent:
            sources.append(pytree.tree_leaves(before)[0])
        wanted = ctx.needs_input_grad
        to_sources = [
            _like(source, self.synapse.to_input(new, source, w)) if needed else None
            for source, w, needed in zip(sources, connections or (None,), wanted, strict=False)
        ]
        to_weights = [
            self.synapse.to_weights(adjoint, source, w) if needed else None
            for source, w, needed in zip(sources, connections, wanted[1 + self._structure.num_leaves :], strict=False)
        ]
        return (*to_sources, *leaves[len(sources) - 1 :], *to_weights, *found, None, None)

    @property
    def _recurrent(self) -> bool:
        return self.weights > 0

    @cached_property
    def _structure(self) -> pytree.TreeSpec:
        return pytree.tree_structure(_placeholders(self.state_type))

    def _split(self, args: tuple[Any, ...]) -> tuple[Tensor, Any, tuple[Tensor, ...], Any, float]:
        x, *tensors, p, dt = args
        structure = self._structure
        leaves = structure.num_leaves
        return x, structure.unflatten(tensors[:leaves]), tuple(tensors[leaves:]), p, dt

    def _output(self, leaves: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        return leaves[0], self._structure.unflatten(leaves if self._recurrent else leaves[1:])

    def call(self, function: Any, x: Tensor, state: Any, weights: tuple[Tensor, ...], p: Any, dt: float) -> Any:
        """(z, state) of an adjoint step.

        Args:
            function: the autograd.Function that has these methods.
            x: input.
            state: state.
            weights: weights and couplings.
            p: parameters.
            dt: time step.

        Raises:
            ValueError: if a parameter wants a gradient, which there is none.
        """
        if torch.is_grad_enabled():
            _refuse_learnt(function, p)
        return self._output(function.apply(x, *pytree.tree_leaves(state), *weights, p, dt))


def at_spikes(z: Tensor, otherwise: Tensor, numerator: Tensor, speed: Tensor) -> Tensor:
    """numerator / speed where there is a spike, where z is 0 `otherwise`. 0 for a spike that came with no finite speed.

    Args:
        z: spikes.
        otherwise: the adjoints where there is none.
        numerator: what the spike's time changes.
        speed: ∇h·F⁻, how fast the neuron crossed its threshold.
    """
    slowness = 1 / speed
    return torch.where(z > 0, numerator * torch.where(slowness.isfinite(), slowness, 0.0), otherwise)


def outer(adjoint: Tensor, x: Tensor) -> Tensor:
    """Σ adjoint xᵀ over the batch, [..., hidden] and [..., input] -> [hidden, input]; x may be sparse."""
    if x.is_sparse:
        return torch.mm(x.t(), adjoint).t()
    return torch.einsum("...h,...i->hi", adjoint, x)


def _placeholders(state_type: Any) -> Any:
    hints = get_type_hints(state_type)
    return state_type(*(_placeholders(kind) if hasattr(kind, "_fields") else None for kind in hints.values()))


def _like(source: Tensor, gradient: Tensor) -> Tensor:
    return gradient.to_sparse() if source.is_sparse else gradient


def _without_surrogate(p: Any) -> Any:
    if hasattr(p, "method"):
        return p._replace(method="heaviside")
    return p._replace(
        **{name: _without_surrogate(inner) for name, inner in p._asdict().items() if hasattr(inner, "_fields")}
    )


def _refuse_learnt(function: Any, p: Any, path: str = "p") -> None:
    for name, value in p._asdict().items():
        if hasattr(value, "_fields"):
            _refuse_learnt(function, value, f"{path}.{name}")
        elif isinstance(value, Tensor) and value.requires_grad:
            raise ValueError(
                f"{function.__name__}: argument {path}.{name}: expects a constant, got a tensor that requires grad: "
                "EventProp has no gradient with respect to parameters; use a surrogate instead of the adjoint"
            )


def reset_slope(reset: ResetMethod, z: Tensor, v: Tensor, v_reset: Tensor, v_th: Tensor) -> Tensor:
    """R': how much of a small change of the membrane potential a spike's reset leaves.

    Args:
        reset: what a spike does to the membrane.
        z: spikes, whose shape is taken.
        v: membrane potential.
        v_reset: reset potential.
        v_th: threshold potential.
    """
    pullback = torch.func.vjp(lambda u: reset(torch.ones_like(z), u, v_reset, v_th), v.expand_as(z))[1]
    return pullback(torch.ones_like(z))[0]  # type: ignore[no-any-return]
