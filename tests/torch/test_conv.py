"""Convolutions over space at every tick."""

import copy

import pytest
import torch

from norse.torch.module.conv import LConv2d

SETTINGS = [
    {"kernel_size": 3},
    {"kernel_size": (3, 2), "stride": (1, 2), "padding": (2, 0)},
    {"kernel_size": 2, "stride": 2, "padding": 1, "dilation": (1, 2), "groups": 2},
]


def double(module: torch.nn.Module) -> torch.nn.Module:
    return module.to(torch.float64)


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_tick_is_convolved_in_space(settings):
    torch.manual_seed(0)
    layer = double(LConv2d(4, 6, **settings))
    x = torch.randn(5, 3, 4, 8, 9, dtype=torch.float64)
    kernel = layer.weight[..., 0]
    options = {name: value for name, value in settings.items() if name != "kernel_size"}
    expected = torch.stack([torch.nn.functional.conv2d(tick, kernel, **options) for tick in x])
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_is_a_three_dimensional_convolution_whose_kernel_spans_one_tick(settings):
    torch.manual_seed(0)
    layer = double(LConv2d(4, 6, **settings))
    assert isinstance(layer, torch.nn.Conv3d)
    assert layer.kernel_size[2] == 1 and layer.bias is None
    x = torch.randn(5, 3, 4, 8, 9, dtype=torch.float64)
    over_time_last = torch.nn.Conv3d.forward(layer, x.permute(1, 2, 3, 4, 0))
    torch.testing.assert_close(layer(x), over_time_last.permute(4, 0, 1, 2, 3))


def test_the_kernel_is_learnt():
    layer = double(LConv2d(1, 2, 2))
    x = torch.randn(3, 2, 1, 4, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda w: torch.func.functional_call(layer, {"weight": w}, x), (layer.weight,))


def test_ticks_and_batch_may_be_empty():
    assert LConv2d(1, 2, 3)(torch.ones(0, 4, 1, 5, 5)).shape == (0, 4, 2, 3, 3)
    assert LConv2d(1, 2, 3)(torch.ones(4, 0, 1, 5, 5)).shape == (4, 0, 2, 3, 3)


def test_its_weights_are_saved_and_copied():
    layer, other = LConv2d(1, 2, (3, 2), dtype=torch.float64), LConv2d(1, 2, (3, 2), dtype=torch.float64)
    assert {name: tuple(weight.shape) for name, weight in layer.state_dict().items()} == {"weight": (2, 1, 3, 2, 1)}
    other.load_state_dict(layer.state_dict())
    x = torch.randn(3, 2, 1, 4, 4, dtype=torch.float64)
    assert torch.equal(other(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))


def test_bad_sizes_and_inputs_are_refused():
    with pytest.raises(
        ValueError, match="LConv2d: argument padding: expects a number or a pair of numbers, got 'same'"
    ):
        LConv2d(1, 2, 3, padding="same")
    with pytest.raises(ValueError, match=r"argument kernel_size: .* got \(3, 3, 3\)"):
        LConv2d(1, 2, (3, 3, 3))
    with pytest.raises(
        ValueError, match=r"input_tensor: expects the dimensions \[T, B, C, H, W\], got shape \[1, 5, 5\]"
    ):
        LConv2d(1, 2, 3)(torch.ones(1, 5, 5))
