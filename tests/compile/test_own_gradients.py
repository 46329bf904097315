"""Steps with autograd Functions of the user's: tuples, several outputs, weights and their gradients, torch.func.vjp."""

import copy
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn

N, K = 6, 4


class Membrane(NamedTuple):
    decay: Tensor
    threshold: Tensor
    scale: float


class Membranes(torch.autograd.Function):
    """v' = decay v + x - z threshold, z = Θ(v' - threshold): the arguments in a tuple, two outputs and a count that no
    gradient leads to."""

    @staticmethod
    def forward(x: Tensor, v: Tensor, p: Membrane) -> tuple[Tensor, Tensor, Tensor]:
        u = p.decay * v + x
        z = (u > p.threshold).to(u.dtype)
        return z, u - z * p.threshold, z + 1

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, v, ctx.p = inputs
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(x, v)

    @staticmethod
    def backward(ctx: Any, to_z: Tensor, to_v: Tensor, to_count: Tensor) -> tuple[Tensor, Tensor, None]:
        x, v = ctx.saved_tensors
        u = ctx.p.decay * v + x
        near = (u - ctx.p.threshold).abs() < 0.5
        to_u = to_v + torch.where(near, ctx.p.scale * to_z, 0.0) + 3 * to_count
        return to_u, ctx.p.decay * to_u, None


def membranes(x: Tensor, v: Tensor, p: Membrane, dt: float) -> tuple[Tensor, Tensor]:
    z, v, count = Membranes.apply(x, v, p)
    return z * count, v


class Coupled(torch.autograd.Function):
    """v' = tanh(W x + R v), with rectified R, by the rules of calculus but for the gradient of R, which is doubled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, w: Tensor, r: Tensor) -> Tensor:
        out = torch.tanh(torch.nn.functional.linear(x, w) + v @ r.clamp(min=0.0).t())
        ctx.save_for_backward(x, v, w, r, out)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, v, w, r, out = ctx.saved_tensors
        g = g * (1 - out * out)
        to_r = 2 * (torch.einsum("bh,bi->hi", g, v) * (r > 0))
        return g @ w, g @ r.clamp(min=0.0), g.t() @ x, to_r


def coupled(x: Tensor, v: Tensor, w: Tensor, r: Tensor, p: Any, dt: float) -> tuple[Tensor, Tensor]:
    out = Coupled.apply(x, v, w, r)
    return out, out


class Squared(torch.autograd.Function):
    """x², whose derivative torch.func finds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        (found,) = torch.func.vjp(lambda y: y * y, x)[1](g)
        return 0.5 * found


def squared(x: Tensor, v: Tensor, p: Membrane, dt: float) -> tuple[Tensor, Tensor]:
    v = p.decay * v + Squared.apply(x)
    return v, v


def zeros(x: Tensor) -> Tensor:
    return torch.zeros(x.shape[-2], N, dtype=x.dtype)


def gradients(model: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    x = x.clone().requires_grad_()
    z, v = model(x)
    weights = torch.linspace(-1, 1, z.numel(), dtype=z.dtype).view(z.shape)
    return z.detach(), list(torch.autograd.grad((z * weights).sum() + v.sum(), [x, *model.parameters()]))


P = Membrane(torch.tensor(0.9).double(), torch.tensor(1.0).double(), 0.3)
MODELS: dict[str, Any] = {
    "tuple": lambda: snn.SNN(membranes, zeros, P),
    "vjp": lambda: snn.SNN(squared, zeros, P),
    "weights": lambda: snn.SNNRecurrent(coupled, zeros, K, N, P).double(),
    "square weights": lambda: snn.SNNRecurrent(coupled, zeros, N, N, P).double(),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_is_a_native_loop_with_the_gradients_that_its_author_says(name: str) -> None:
    torch.manual_seed(0)
    eager = MODELS[name]()
    compiled = norse.compile(copy.deepcopy(eager), fullgraph=True)
    x = torch.randn(20, 3, K if name == "weights" else N, dtype=torch.float64)
    (z, found), (expected_z, expected) = gradients(compiled, x), gradients(eager, x)
    torch.testing.assert_close(z, expected_z, rtol=0, atol=1e-12)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10 * float(other.abs().max()))
    assert "native loop" in str(compiled.explain())


class Normed(torch.autograd.Function):
    """A gradient of a weight that is divided by what varies: no sum of products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, r: Tensor) -> Tensor:
        ctx.save_for_backward(x, v, r)
        return x + torch.nn.functional.linear(v, r)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, ...]:
        _, v, r = ctx.saved_tensors
        outer = torch.einsum("bh,bi->hi", g, v)
        return g, g @ r, outer.abs()


def normed(x: Tensor, v: Tensor, w: Tensor, r: Tensor, p: Any, dt: float) -> tuple[Tensor, Tensor]:
    v = Normed.apply(torch.nn.functional.linear(x, w), v, r)
    return v, v


def test_what_is_no_sum_of_products_runs_as_it_is_and_says_so() -> None:
    torch.manual_seed(0)
    eager = snn.SNNRecurrent(normed, zeros, K, N, P).double()
    eager.recurrent_weights.data.mul_(0.1)
    compiled = norse.compile(copy.deepcopy(eager))
    x = torch.randn(5, 3, K, dtype=torch.float64)
    (z, found), (expected_z, expected) = gradients(compiled, x), gradients(eager, x)
    assert torch.equal(z, expected_z)
    assert all(map(torch.equal, found, expected))
    assert "computes abs of the gradient of a weight" in str(compiled.explain())
