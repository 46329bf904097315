"""The library's image networks compile whole: no module of theirs is left to eager."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.torch.models import vgg
from norse.torch.models.conv import ConvNet, ConvNet4
from norse.torch.models.mobilenet import MobileNetV2
from norse.torch.models.vgg import CONFIGURATIONS, VGG, make_layers

from .comparison import Observation, assert_spikes_and_silence, observe

CLASSES = 5


def tiny_vgg(batch_norm: bool, layers: list[int | str]) -> Callable[[], nn.Module]:
    return lambda: VGG(make_layers(layers, batch_norm), num_classes=CLASSES)


def tiny_mobilenet() -> nn.Module:
    """With and without expansion, stride and shortcut."""
    return MobileNetV2(CLASSES, inverted_residual_setting=[(1, 8, 1, 1), (2, 16, 2, 2)], width_mult=0.25)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ConvNet": (lambda: ConvNet(1, 16), (1, 16, 16)),
    "ConvNet4": (lambda: ConvNet4(2, 18), (2, 18, 18)),
    "VGG": (tiny_vgg(False, [8, "M", 512, "M"]), (3, 8, 8)),
    "VGG with batch norm": (tiny_vgg(True, [8, "M", 512, "M"]), (3, 8, 8)),
    "MobileNetV2": (tiny_mobilenet, (3, 16, 16)),
}

networks = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(autouse=True)
def narrow_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG's two linear layers have 10⁸ weights; here they are as deep and less wide."""
    monkeypatch.setattr(vgg, "HIDDEN", 12)
    monkeypatch.setattr(vgg, "MAP_SIZE", 2)


def network(name: str) -> nn.Module:
    """Weights are raised until neurons fire, most of all where no spikes have come before."""
    torch.manual_seed(5)
    model = NETWORKS[name][0]().double()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                module.weight.mul_(8)
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0.0, 60 / module.in_features**0.5)
    return model


def images(name: str, ticks: int = 5, batch: int = 2) -> Tensor:
    shape = (ticks, batch, *NETWORKS[name][1])
    return 5 * torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@networks
def test_a_network_learns_as_it_does_in_eager(name: str) -> None:
    """Batch norms and dropout in training: results, gradients, running statistics, for several T and B."""
    eager = network(name).train()
    assert_spikes_and_silence(eager, images(name))
    compiled = norse.compile(copy.deepcopy(eager), fullgraph=True)
    for ticks, batch in ((5, 2), (7, 1)):
        theirs, mine = (seeded(model, images(name, ticks, batch)) for model in (eager, compiled))
        torch.testing.assert_close(mine.results, theirs.results, rtol=1e-9, atol=1e-9)
        largest = max(float(gradient.abs().max()) for gradient in theirs.gradients.values() if gradient is not None)
        for path, gradient in theirs.gradients.items():
            # Of a weight in front of a batch norm little but rounding may be left.
            scale = max(float(gradient.abs().max()), 1e-6 * largest)
            assert float((mine.gradients[path] - gradient).abs().max()) < 1e-9 * scale, path
        for (path, buffer), other in zip(compiled.named_buffers(), eager.buffers(), strict=True):
            torch.testing.assert_close(buffer, other, rtol=1e-9, atol=1e-12, msg=path)
    assert "eager" not in compiled.explain()


@networks
def test_a_network_is_eagers_bit_for_bit_where_that_is_asked_for(name: str) -> None:
    eager = network(name).eval()
    compiled = norse.compile(copy.deepcopy(eager), exact=True, fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(images(name)), eager(images(name)))


@pytest.mark.parametrize(
    "make", [lambda: VGG(make_layers(CONFIGURATIONS["A"], True), CLASSES), lambda: MobileNetV2(CLASSES)],
    ids=["VGG-11", "MobileNetV2"],
)  # fmt: skip
def test_the_network_of_the_paper_compiles_whole(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    eager = make().eval()
    compiled, x = norse.compile(copy.deepcopy(eager), fullgraph=True), torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), eager(x), rtol=1e-3, atol=1e-5)
    neurons = [line for line in compiled.explain().splitlines() if "one native loop over T" in line]
    assert len(neurons) == sum(type(module) is snn.LIF for module in eager.modules())


def seeded(model: nn.Module, x: Tensor) -> Observation:
    """With the same draws for every model."""
    torch.manual_seed(11)
    return observe(model, x)
