"""The image networks have the layers of their papers, spike, learn, and say what they can't do."""

import math

import pytest
import torch
from torch.nn.functional import max_pool2d

from norse.torch.functional.leaky_integrator import LIState, li_step
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
from norse.torch.models import vgg as vgg_module
from norse.torch.models.conv import ConvNet, ConvNet4
from norse.torch.models.mobilenet import ConvBNReLU, InvertedResidual, MobileNetV2, mobilenet_v2
from norse.torch.models.vgg import VGG, make_layers
from norse.torch.module.lif import LIF

NAMES = [f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")]
# Published with 1000 classes: K. Simonyan, A. Zisserman, table 2, in millions; to the last weight, torchvision's table.
PARAMETERS = {
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
}


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def spiking(network: torch.nn.Module, gain: float) -> torch.nn.Module:
    """The network with weights that let activity reach its outputs; its own first weights are too weak for that."""
    with torch.no_grad():
        for p in network.parameters():
            if p.dim() > 1:
                p.mul_(gain)
    return network


# ---- VGG -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_vgg_has_as_many_parameters_as_published(name: str) -> None:
    with torch.device("meta"):
        assert parameters(getattr(vgg_module, name)()) == PARAMETERS[name]


@pytest.mark.parametrize(("depth", "maps"), [
    (11, "64 M 128 M 256 256 M 512 512 M 512 512 M"),
    (13, "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M"),
    (16, "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"),
    (19, "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"),
])  # fmt: skip
@pytest.mark.parametrize("suffix", ["", "_bn"])
def test_vgg_has_the_layers_of_table_1(depth: int, maps: str, suffix: str) -> None:
    with torch.device("meta"):
        network: VGG = getattr(vgg_module, f"vgg{depth}{suffix}")()
    kinds = []
    for entry in maps.split():
        kinds += ["MaxPool2d"] if entry == "M" else ["Conv2d", *(["BatchNorm2d"] if suffix else []), "LIF"]
    lifted = [getattr(layer, "lifted_module", layer) for layer in network.features.children()]
    assert [type(layer).__name__ for layer in lifted] == kinds
    convolutions = [layer for layer in lifted if isinstance(layer, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [int(entry) for entry in maps.split() if entry != "M"]
    assert {(c.kernel_size, c.stride, c.padding) for c in convolutions} == {((3, 3), (1, 1), (1, 1))}
    linear = [m for m in network.classifier.modules() if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in linear] == [4096, 4096, 1000]
    assert len(convolutions) + len(linear) == depth  # "weight layers"


def test_vgg_brings_an_image_of_224_pixels_to_7() -> None:
    with torch.device("meta"):
        maps, _ = make_layers(vgg_module.CONFIGURATIONS["A"])(torch.empty(1, 1, 3, 224, 224))
    assert maps.shape == (1, 1, 512, 7, 7)


def test_vgg_takes_features_of_ones_own_without_states() -> None:
    torch.manual_seed(0)
    layers = make_layers([8, "M", 512, "M"])
    with torch.device("meta"):
        network = VGG(torch.nn.Sequential(*layers), num_classes=3, init_weights=False)
        assert network(torch.empty(2, 4, 3, 32, 32)).shape == (2, 4, 3)


def test_vgg_learns_from_its_outputs_down_to_its_first_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg_module, "HIDDEN", 64)  # 4096 take 400 MB
    torch.manual_seed(0)
    network = spiking(VGG(make_layers([4, "M", 512, "M"], batch_norm=True), num_classes=3), gain=20)
    network(torch.rand(8, 2, 3, 16, 16))[-1, :, 0].sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.any(), name


def test_vgg_starts_with_weights_scaled_by_their_fan_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg_module, "HIDDEN", 64)
    torch.manual_seed(0)
    network = VGG(make_layers([128, "M", 512, "M"], batch_norm=True), num_classes=10)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * layer.out_channels)), rel=0.05)
        elif isinstance(layer, torch.nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        else:
            continue
        assert layer.bias is not None and not layer.bias.any()


def test_make_layers_refuses_what_is_neither_maps_nor_pooling() -> None:
    with pytest.raises(ValueError, match=r"make_layers: argument cfg: .*got 'A'"):
        make_layers([8, "A"])


# ---- MobileNetV2 -----------------------------------------------------------------------------------------------------


def test_mobilenet_has_as_many_parameters_as_published() -> None:
    with torch.device("meta"):
        assert parameters(mobilenet_v2()) == 3_504_872


def test_mobilenet_has_the_stages_of_table_2() -> None:
    with torch.device("meta"):
        x = torch.empty(1, 1, 3, 224, 224)
        shapes = []
        for layer in mobilenet_v2().features:
            y = layer(x)
            x = y[0] if isinstance(y, tuple) else y
            shapes.append((x.shape[-1], x.shape[2]))
    repeated = [(112, 16, 1), (56, 24, 2), (28, 32, 3), (14, 64, 4), (14, 96, 3), (7, 160, 3), (7, 320, 1)]
    blocks = [(size, channels) for size, channels, n in repeated for _ in range(n)]
    assert shapes == [(112, 32), *blocks, (7, 1280)]


def test_mobilenet_narrows_to_multiples_of_eight() -> None:
    with torch.device("meta"):
        narrow, wide = MobileNetV2(width_mult=0.35), MobileNetV2(width_mult=1.4)
    channels = [m.out_channels for m in narrow.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(c % 8 == 0 for c in channels) and channels[0] == 16  # 11.2 would be 8: more than a tenth less
    assert (narrow.last_channel, wide.last_channel) == (1280, 1792)  # sec. 4: the last is not narrowed


def test_a_bottleneck_passes_its_input_by_when_its_shape_stays() -> None:
    x = torch.rand(3, 2, 8, 6, 6)
    for oup, stride, expected in ((8, 1, x), (8, 2, torch.zeros(3, 2, 8, 3, 3)), (16, 1, torch.zeros(3, 2, 16, 6, 6))):
        block = InvertedResidual(8, oup, stride, 6, torch.nn.BatchNorm2d)
        torch.nn.init.zeros_(block.conv[-1].lifted_module.weight)  # the linear projection gives nothing
        assert torch.equal(block(x), expected)


def test_a_bottleneck_expands_only_when_it_is_asked_to() -> None:
    def widths(t: int) -> list[int]:
        block = InvertedResidual(8, 16, 1, t, torch.nn.BatchNorm2d)
        return [m.out_channels for m in block.modules() if isinstance(m, torch.nn.Conv2d)]

    assert (widths(1), widths(6)) == ([8, 16], [48, 48, 16])


def test_a_unit_carries_its_neurons_state() -> None:
    torch.manual_seed(0)
    unit = spiking(ConvBNReLU(3, 8, torch.nn.BatchNorm2d).eval(), gain=20)
    x = torch.rand(6, 2, 3, 8, 8)
    whole, _ = unit(x)
    first, state = unit(x[:3])
    second, _ = unit(x[3:], state)
    assert whole.any() and torch.equal(torch.cat([first, second]), whole)


def test_mobilenet_takes_blocks_and_normalisation_of_ones_own() -> None:
    made = []

    def block(inp: int, oup: int, stride: int, **kwargs: object) -> torch.nn.Module:
        made.append((inp, oup, stride, kwargs["expand_ratio"]))
        return InvertedResidual(inp, oup, stride, **kwargs)  # type: ignore[arg-type]

    settings = [(1, 8, 1, 1), (2, 16, 2, 2)]
    network = MobileNetV2(3, 1.0, settings, block=block, norm_layer=lambda n: torch.nn.GroupNorm(2, n))
    assert made == [(32, 8, 1, 1), (8, 16, 2, 2), (16, 16, 1, 2)]
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())


def test_mobilenet_learns_from_its_outputs_down_to_its_first_layer() -> None:
    torch.manual_seed(0)
    network = spiking(MobileNetV2(num_classes=3, inverted_residual_setting=[(1, 8, 1, 1), (2, 8, 2, 1)]), gain=6)
    network(torch.rand(5, 2, 3, 16, 16) * 5)[-1, :, 0].sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
    assert network.features[0][0].lifted_module.weight.grad.any()


@pytest.mark.parametrize("setting", [[], [(1, 2)]])
def test_mobilenet_refuses_settings_that_are_no_rows_of_four(setting: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="argument inverted_residual_setting: expects rows of four numbers"):
        MobileNetV2(inverted_residual_setting=setting)


def test_a_bottleneck_refuses_other_strides() -> None:
    with pytest.raises(ValueError, match="InvertedResidual: argument stride: expects 1 or 2, got 3"):
        InvertedResidual(8, 8, 3, 2, torch.nn.BatchNorm2d)


# ---- ConvNet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "thresholds"), [(ConvNet, (1.0, 1.0, 1.0)), (ConvNet4, (0.7, 0.7, 1.0))])
def test_a_convnet_is_these_steps_tick_by_tick(kind: type[ConvNet], thresholds: tuple[float, ...]) -> None:
    torch.manual_seed(0)
    network = spiking(kind(num_channels=2, feature_size=20), gain=3)
    x = 5 * torch.rand(8, 2, 2, 20, 20)
    p = [LIFParameters(v_th=torch.tensor(v_th)) for v_th in thresholds]
    zero = torch.zeros(())
    states = [LIFFeedForwardState(zero, zero)] * 3
    readout, voltages, spikes = LIState(zero, zero), [], 0.0
    for tick in x:
        z, states[0] = lif_feed_forward_step(network.conv1(tick), states[0], p[0])
        z, states[1] = lif_feed_forward_step(10 * network.conv2(max_pool2d(z, 2)), states[1], p[1])
        z, states[2] = lif_feed_forward_step(network.fc1(max_pool2d(z, 2).flatten(1)), states[2], p[2])
        spikes += z.sum().item()
        v, readout = li_step(z, readout, network.out.input_weights)
        voltages.append(v)
    assert spikes > 0
    torch.testing.assert_close(network(x), torch.stack(voltages), rtol=0, atol=0)


@pytest.mark.parametrize(("kind", "count"), [
    (ConvNet, (25 * 20 + 20) + (25 * 20 * 50 + 50) + (800 * 500 + 500) + 500 * 10),
    (ConvNet4, (25 * 32 + 32) + (25 * 32 * 64 + 64) + (1024 * 1024 + 1024) + 1024 * 10),
])  # fmt: skip
def test_a_convnet_has_so_many_parameters(kind: type[ConvNet], count: int) -> None:
    assert parameters(kind()) == count


@pytest.mark.parametrize("kind", [ConvNet, ConvNet4])
def test_a_convnet_learns_in_its_dtype_with_its_surrogate(kind: type[ConvNet]) -> None:
    torch.manual_seed(0)
    network = spiking(kind(feature_size=16, method="tanh", dtype=torch.float64), gain=3)
    out = network(4 * torch.rand(6, 1, 1, 16, 16, dtype=torch.float64))
    assert out.dtype == torch.float64
    out[-1, :, 0].sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.any(), name
    assert {m.p.method for m in network.modules() if hasattr(m, "activation") and "Cell" in type(m).__name__
            and hasattr(m.p, "method")} == {"tanh"}  # fmt: skip


def test_a_convnet_refuses_images_that_it_would_shrink_to_nothing() -> None:
    with pytest.raises(ValueError, match="ConvNet: argument feature_size: expects images of at least 16 x 16"):
        ConvNet(feature_size=15)


@pytest.mark.parametrize("image", [(1, 32, 32), (2, 28, 28), (1, 28, 44)])
def test_a_convnet_refuses_images_of_another_shape(image: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"ConvNet: argument x: expects images of shape \[1, 28, 28\] .*got \[\d, "):
        ConvNet()(torch.empty(3, 2, *image))


# ---- all -------------------------------------------------------------------------------------------------------------


def test_a_network_starts_at_rest_in_every_call() -> None:
    torch.manual_seed(0)
    network, x = spiking(ConvNet(feature_size=16), gain=3), 4 * torch.rand(5, 1, 1, 16, 16)
    assert network(x).any() and torch.equal(network(x), network(x))


@pytest.mark.parametrize("name", [*NAMES, "mobilenet_v2"])
def test_trained_weights_are_refused_in_words(name: str) -> None:
    make = mobilenet_v2 if name == "mobilenet_v2" else getattr(vgg_module, name)
    with pytest.raises(ValueError, match=f"{name}: argument pretrained: expects False, .*no trained weights"):
        make(pretrained=True)


def test_an_image_without_time_is_refused() -> None:
    with torch.device("meta"):
        for network in (ConvNet(), mobilenet_v2(num_classes=2), vgg_module.vgg11(num_classes=2)):
            with pytest.raises(ValueError, match=r"argument x: expects shape \[T, B, C, H, W\], got \[2, 3, 32, 32\]"):
                network(torch.empty(2, 3, 32, 32))


def test_the_nonlinearity_is_lif_everywhere() -> None:
    with torch.device("meta"):
        for network in (mobilenet_v2(), vgg_module.vgg16_bn()):
            assert any(isinstance(m, LIF) for m in network.modules())
            assert not any(isinstance(m, torch.nn.ReLU | torch.nn.ReLU6) for m in network.modules())
