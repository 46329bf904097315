"""Average pooling of compiled models: torch's very bits."""

from typing import Any

import pytest
import torch
from torch import nn

import norse
import norse.torch as snn
from norse.backends.cpu import pooling
from norse.backends.cpu.pooling import average

SIZES = [(2, 3, 8, 8), (3, 9, 11), (5, 1, 7, 33), (1, 1, 2, 3), (4, 300, 64, 64)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("window", [2, 1, (2, 3), (1, 3)])
def test_outputs_and_gradients_are_torchs_bits(sizes: tuple[int, ...], window: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(sizes, dtype=dtype)
    x.view(-1)[:4] = torch.tensor([-0.0, 1e-45, 1e30, -1e30])
    x.requires_grad_()
    layer = nn.AvgPool2d(window)
    made, expected = average(layer, x), layer(x)
    assert made.grad_fn.name() != expected.grad_fn.name(), "torch ran it"
    assert same_bits(made, expected)
    grad = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad(y, x, grad)[0] for y in (made, expected))
    assert same_bits(ours, theirs)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    whole = torch.int32 if a.dtype == torch.float32 else torch.int64
    return a.shape == b.shape and torch.equal(a.detach().view(whole), b.detach().view(whole))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 2, "padding": 1},
        {"kernel_size": 2, "ceil_mode": True},
        {"kernel_size": 2, "divisor_override": 3},
    ],
)
def test_other_pooling_is_torchs_own(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "_average", None)
    x = torch.rand(2, 3, 7, 7)
    assert torch.equal(average(nn.AvgPool2d(**options), x), nn.AvgPool2d(**options)(x))
    turned = torch.rand(2, 3, 6, 6).transpose(2, 3)
    assert torch.equal(average(nn.AvgPool2d(2), turned), nn.AvgPool2d(2)(turned))


def test_a_compiled_network_has_eagers_gradients() -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(snn.Lift(nn.AvgPool2d(2)), snn.LIF(), snn.Lift(nn.AvgPool2d((1, 3))), snn.LI())
    x = torch.rand(20, 3, 2, 6, 7) * 10
    results = []
    for net in (model, norse.compile(model)):
        given = x.clone().requires_grad_()
        z, _ = net(given)
        z.sum().backward()
        results.append((z.detach(), given.grad))
    assert results[0][1].abs().sum() > 0
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[1][1], results[0][1])
