"""Functions of torch that a user calls inside a Lift: all ticks at once where they act on every sample alone."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import norse
import norse.torch as snn
from norse.compiler.steps import torch_nodes

from .test_layers import assert_same_call, values

MAP, FEATURES = (4, 6, 6), (6,)


class Calls(nn.Module):
    """A linear layer, then what is tried."""

    def __init__(self, features: int, call: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.call = nn.Linear(features, features), call
        self.kernel = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.scale = nn.Parameter(torch.randn(features))

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self, self.layer(x))


AT_ONCE: dict[str, tuple[tuple[int, ...], Callable[[Any, Tensor], Tensor]]] = {
    "max_pool2d": (MAP, lambda m, x: F.max_pool2d(x, 2)),
    "max_pool2d of torch": (MAP, lambda m, x: torch.max_pool2d(x, 3, 2, 1)),
    "avg_pool2d": (MAP, lambda m, x: F.avg_pool2d(x, 2, ceil_mode=True)),
    "lp_pool2d": (MAP, lambda m, x: F.lp_pool2d(x, 2, 2)),
    "adaptive_avg_pool2d": (MAP, lambda m, x: F.adaptive_avg_pool2d(x, (1, 2))),
    "adaptive_max_pool2d": (MAP, lambda m, x: F.adaptive_max_pool2d(x, 3)),
    "max_pool1d": ((4, 6), lambda m, x: F.max_pool1d(x, 2)),
    "avg_pool3d": ((2, 4, 4, 4), lambda m, x: F.avg_pool3d(x, 2)),
    "conv2d with the model's kernel": (MAP, lambda m, x: F.conv2d(x, m.kernel, stride=2)),
    "conv_transpose2d": (MAP, lambda m, x: F.conv_transpose2d(x, weight=m.kernel)),
    "flatten": (MAP, lambda m, x: x.flatten(1)),
    "flatten of torch": (MAP, lambda m, x: torch.flatten(x, start_dim=-2)),
    "unflatten": (FEATURES, lambda m, x: x.unflatten(1, (2, 3))),
    "squeeze": (FEATURES, lambda m, x: x.unflatten(-1, (6, 1)).squeeze(2)),
    "permute": (MAP, lambda m, x: x.permute(0, 2, 3, 1)),
    "permute of torch": (MAP, lambda m, x: torch.permute(x, (0, -1, 1, 2))),
    "transpose": (MAP, lambda m, x: x.transpose(1, -1)),
    "mean over pixels": (MAP, lambda m, x: x.mean((-2, -1))),
    "mean over channels": (MAP, lambda m, x: torch.mean(x, dim=1, keepdim=True)),
    "sum": (FEATURES, lambda m, x: x.sum(1)),
    "amax": (MAP, lambda m, x: x.amax(-1)),
    "softmax": (FEATURES, lambda m, x: x.softmax(-1)),
    "log_softmax": (MAP, lambda m, x: F.log_softmax(x, 1)),
    "layer_norm": (FEATURES, lambda m, x: F.layer_norm(x, (6,), m.scale)),
    "gelu": (FEATURES, lambda m, x: F.gelu(x)),
    "silu": (FEATURES, lambda m, x: F.silu(x)),
    "leaky_relu": (FEATURES, lambda m, x: F.leaky_relu(x, 0.3)),
    "dropout that does nothing": (FEATURES, lambda m, x: F.dropout(x, 0.5, False)),
    "pad": (MAP, lambda m, x: F.pad(x, (1, 0, 2, 1), value=0.5)),
    "interpolate": (MAP, lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    "pixel_shuffle": (MAP, lambda m, x: F.pixel_shuffle(x, 2)),
    "cat of channels": (MAP, lambda m, x: torch.cat([x, 2 * x], 1)),
}

TICK_BY_TICK: dict[str, tuple[tuple[int, ...], Callable[[Any, Tensor], Tensor]]] = {
    "flatten of the batch": (MAP, lambda m, x: x.flatten()),
    "flatten of the batch and channels": (MAP, lambda m, x: x.flatten(0, 1)),
    "permute of the batch": (MAP, lambda m, x: x.permute(1, 0, 2, 3)),
    "transpose of the batch": (MAP, lambda m, x: x.transpose(0, 1)),
    "mean of all": (FEATURES, lambda m, x: x.mean()),
    "mean over the batch": (FEATURES, lambda m, x: x.mean(0)),
    "mean over the batch, from behind": (FEATURES, lambda m, x: x.mean((-2, -1))),
    "softmax over the batch": (FEATURES, lambda m, x: F.softmax(x, 0)),
    "cat of samples": (FEATURES, lambda m, x: torch.cat([x, 2 * x])),
    "dropout": (FEATURES, lambda m, x: F.dropout(x, 0.5)),
    "reflecting pad": (MAP, lambda m, x: F.pad(x, (1, 1, 1, 1), mode="reflect")),
    "roll over the batch": (FEATURES, lambda m, x: x.roll(1, 0)),
    "matmul of two ticks": (FEATURES, lambda m, x: x @ x.transpose(0, 1)),
    "conv with a kernel that varies": ((4, 3, 3), lambda m, x: F.conv2d(x, x)),
}


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets the number of ticks whenever something runs tick by tick."""
    seen: list[int] = []
    one_by_one = torch_nodes._one_by_one

    def noting(function: Callable[..., Tensor], *ticks: Sequence[Tensor]) -> list[Tensor]:
        seen.append(len(ticks[0]))
        return one_by_one(function, *ticks)

    monkeypatch.setattr(torch_nodes, "_one_by_one", noting)
    return seen


@pytest.mark.parametrize("name", [*AT_ONCE, *TICK_BY_TICK])
def test_a_call_in_a_lift_is_eagers(name: str, apart: list[int]) -> None:
    sample, call = {**AT_ONCE, **TICK_BY_TICK}[name]
    torch.manual_seed(0)
    eager = snn.Lift(Calls(sample[-1], call)).double()
    compiled = norse.compile(copy.deepcopy(eager), fullgraph=True)
    for ticks, batch in ((5, 4), (1, 4), (2, 4)):
        apart.clear()
        assert_same_call(compiled, eager, values(ticks, batch, *sample), bits=False)
        assert bool(apart) == (name in TICK_BY_TICK)
    assert ("not known to treat every tick alone" in compiled.explain()) == (name in TICK_BY_TICK)
    assert_same_call(compiled, eager, values(0, 4, *sample), bits=False)


@pytest.mark.parametrize("name", ["max_pool2d", "mean over channels", "softmax", "dropout"])
def test_a_call_in_a_lift_is_eagers_bit_for_bit_where_that_is_asked_for(name: str, apart: list[int]) -> None:
    sample, call = {**AT_ONCE, **TICK_BY_TICK}[name]
    torch.manual_seed(0)
    eager = snn.Lift(Calls(sample[-1], call)).double()
    assert_same_call(norse.compile(copy.deepcopy(eager), exact=True), eager, values(5, 4, *sample), bits=True)
    assert apart


def test_a_call_of_samples_without_a_batch_takes_time_for_one(apart: list[int]) -> None:
    torch.manual_seed(0)
    eager = snn.Lift(Calls(6, AT_ONCE["max_pool2d"][1])).double()
    assert_same_call(norse.compile(copy.deepcopy(eager), fullgraph=True), eager, values(5, *MAP), bits=False)
    assert not apart
