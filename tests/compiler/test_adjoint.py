"""The derivative of a tick, against torch.autograd through the step itself."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import norse.torch as snn
from norse.compiler.adjoint import differentiate
from norse.compiler.interpret import run_nodes
from norse.torch.functional.iaf import iaf_feed_forward_step
from norse.torch.functional.leaky_integrator import li_feed_forward_step
from norse.torch.functional.lif import lif_feed_forward_step, lif_step
from norse.torch.functional.lif_box import lif_box_feed_forward_step

from .graphs import tick_of
from .steps import USER_STEPS, detached_reset_step, undetached_reset_step


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def parameters(kind: Any) -> Any:
    """All tensors of a model's parameters in float64, near to what they are by default."""
    p = kind(**({"alpha": torch.tensor(2.0)} if "alpha" in kind._fields else {}))
    return pytree.tree_map_only(Tensor, lambda x: x.double() + 0.01, p)


def assert_derivative_of(activation: Callable[..., Any], *arguments: Any) -> dict[str, Tensor]:
    """Compares the gradient of every tensor among the arguments, and returns torch's."""
    tick = tick_of(activation, *arguments)
    registers = [register.value for register in tick.registers]
    leaves = [x.detach().requires_grad_() for x in pytree.tree_leaves(arguments) if isinstance(x, Tensor)]
    live = iter(leaves)
    z, state = activation(*pytree.tree_map_only(Tensor, lambda _: next(live), arguments))
    results = [z, *pytree.tree_leaves(state)]
    seeds = [normal(*x.shape, seed=7 + k) for k, x in enumerate(results)]
    flows = [(x, seed) for x, seed in zip(results, seeds, strict=True) if x.requires_grad]
    expected = torch.autograd.grad([x for x, _ in flows], leaves, [seed for _, seed in flows], allow_unused=True)

    # What it is called in the tick, in the order of the arguments: input, state, then the rest.
    names = [tick.inputs[0], *registers, *tick.inputs[1:]]
    wanted = {*tick.inputs, *(register.initial for register in tick.registers)}
    adjoint = differentiate(tick, wanted)
    values: dict[str, Any] = dict(zip(names, (leaf.detach() for leaf in leaves), strict=True))
    values[f"grad_{tick.outputs[0]}"] = seeds[0]
    initial = {register.value: register.initial for register in tick.registers}
    for name, seed in zip(registers, seeds[1:], strict=True):
        values[adjoint.states[initial[name]]] = seed
    values.update({total: torch.zeros((), dtype=torch.float64) for total in adjoint.sums.values()})
    run_nodes(adjoint.graph.nodes, values)
    after = {register.value: register.next for register in adjoint.graph.registers}

    def ours(name: str, like: Tensor) -> Tensor:
        total = torch.zeros_like(like)
        if name in adjoint.ticks:
            total = total + values[adjoint.ticks[name]].sum_to_size(like.shape)
        if name in adjoint.sums:
            total = total + values[after[adjoint.sums[name]]].sum_to_size(like.shape)
        if name in initial:
            total = total + values[after[adjoint.states[initial[name]]]].sum_to_size(like.shape)
        for weight in adjoint.weights:
            if weight.weight == name:
                total = total + values[weight.gradient].t() @ values[weight.activity]
        return total

    found = {}
    for name, leaf, gradient in zip(names, leaves, expected, strict=True):
        found[name] = torch.zeros_like(leaf) if gradient is None else gradient
        torch.testing.assert_close(ours(name, leaf), found[name], rtol=1e-10, atol=1e-12)
    return found


def states(count: int) -> tuple[Tensor, ...]:
    return tuple(0.5 + normal(4, 5, seed=20 + k) for k in range(count))


@pytest.mark.parametrize(
    ("activation", "state", "p"),
    [
        (lif_feed_forward_step, snn.LIFFeedForwardState(*states(2)), parameters(snn.LIFParameters)),
        (lif_box_feed_forward_step, snn.LIFBoxFeedForwardState(*states(1)), parameters(snn.LIFBoxParameters)),
        (li_feed_forward_step, snn.LIState(*states(2)), parameters(snn.LIParameters)),
        (iaf_feed_forward_step, snn.IAFFeedForwardState(*states(1)), parameters(snn.IAFParameters)),
    ],
    ids=["LIF", "LIFBox", "LI", "IAF"],
)
def test_a_neurons_tick_has_the_gradient_of_its_step(activation: Callable[..., Any], state: Any, p: Any) -> None:
    found = assert_derivative_of(activation, normal(4, 5, scale=5.0), state, p, 0.01)
    assert found["x"].abs().min() > 0
    assert all(bool(gradient.any()) for name, gradient in found.items() if name not in ("alpha", "v_th"))


@pytest.mark.parametrize("method", ["super", "tanh", "triangle", "circ", "heavi_erfc"])
def test_every_surrogate_has_its_gradient(method: str) -> None:
    p = parameters(snn.LIFParameters)._replace(method=method)
    assert_derivative_of(lif_feed_forward_step, normal(4, 5, scale=5.0), snn.LIFFeedForwardState(*states(2)), p, 0.01)


def test_a_recurrent_tick_has_the_gradients_of_both_weights() -> None:
    p = parameters(snn.LIFParameters)
    z = (normal(4, 5, seed=3) > 0).double()
    weights = normal(5, 3, seed=4), normal(5, 5, seed=5)
    found = assert_derivative_of(lif_step, normal(4, 3), snn.LIFState(z, *states(2)), *weights, p, 0.01)
    assert found["a2"].abs().min() > 0
    assert found["a3"].any()


def test_a_parameter_of_each_neuron_has_a_gradient_each() -> None:
    p = parameters(snn.LIFParameters)._replace(tau_mem_inv=100 + normal(5), v_th=1 + normal(5, scale=0.1))
    found = assert_derivative_of(lif_feed_forward_step, normal(4, 5), snn.LIFFeedForwardState(*states(2)), p, 0.01)
    assert found["tau_mem_inv"].shape == (5,)


@pytest.mark.parametrize("step", USER_STEPS, ids=lambda step: step.__name__)
def test_a_derivative_of_the_users_own_making_is_kept(step: Callable[..., Any]) -> None:
    found = assert_derivative_of(step, normal(4, 5, seed=1), *states(1), torch.tensor(0.8, dtype=torch.float64), 0.001)
    assert found["x"].any()


def test_a_detached_reset_has_another_gradient_than_an_undetached_one() -> None:
    arguments = (normal(4, 5, seed=1), *states(1), torch.tensor(0.8, dtype=torch.float64), 0.001)
    detached = assert_derivative_of(detached_reset_step, *arguments)
    undetached = assert_derivative_of(undetached_reset_step, *arguments)
    assert not torch.allclose(detached["x"], undetached["x"])


def test_a_value_that_is_used_twice_sums_its_gradients() -> None:
    def step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        u = v * x
        return u * u + x, torch.maximum(u, x) + u

    found = assert_derivative_of(step, normal(4, 5), *states(1), torch.ones(()).double(), 0.1)
    assert found["x"].any()


def test_values_computed_alike_keep_their_own_derivatives() -> None:
    class Straight(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2.0

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * 100.0

    def step(x: Tensor, v: Tensor, p: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        return Straight.apply(x), v + x * 2.0

    assert_derivative_of(step, normal(4, 5), *states(1), torch.ones(()).double(), 0.1)


def test_only_wanted_gradients_are_computed() -> None:
    arguments = (normal(4, 5), snn.LIFFeedForwardState(*states(2)), parameters(snn.LIFParameters), 0.01)
    tick = tick_of(lif_feed_forward_step, *arguments)
    everything = differentiate(tick, set(tick.inputs))
    only_x = differentiate(tick, {"x"})
    assert only_x.ticks.keys() == {"x"}
    assert not only_x.sums
    assert everything.sums.keys() == {"tau_syn_inv", "tau_mem_inv", "v_leak", "v_th", "v_reset"}
    assert len(only_x.graph.nodes) < len(everything.graph.nodes)
