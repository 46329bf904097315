"""Torch's stateless layers: one tick, over time, and lifted to every tick, as eager calls them."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.compiler.errors import CompileError, InputError
from norse.compiler.layers import LAYERS
from norse.torch.module.conv import LConv2d

from .comparison import Observation, assert_native, assert_same_results, observe

ONCE, EVERY_TICK = "once", "every tick"


@dataclass(frozen=True)
class Case:
    """A layer, the shape of one of its samples, and how often it may be called for all ticks of a Lift."""

    make: Callable[[], nn.Module]
    sample: tuple[int, ...]
    in_training: str = ONCE
    in_eval: str = ONCE
    unbatched: bool = True  # whether it takes a sample without a batch, in eager

    def calls(self, training: bool) -> str:
        return self.in_training if training else self.in_eval


def statistics(make: Callable[[], nn.Module], *sample: int, in_eval: str = ONCE) -> Case:
    return Case(make, sample, EVERY_TICK, in_eval, unbatched=False)


def noise(make: Callable[[], nn.Module], *sample: int) -> Case:
    return Case(make, sample, EVERY_TICK)


def case(make: Callable[[], nn.Module], *sample: int, **facts: Any) -> Case:
    return Case(make, sample, **facts)


def quantized(layer: nn.Module, *sample: int) -> nn.Module:
    return norse.quantize(layer, 4, per="channel", example_input=torch.zeros(1, *sample))


LINE, MAP, VOLUME = (3, 8), (3, 6, 6), (2, 4, 4, 4)

CASES: dict[str, Case] = {
    "Linear": case(lambda: nn.Linear(4, 3), 4),
    "Linear, no bias, on maps": case(lambda: nn.Linear(6, 2, bias=False), *MAP),
    "Conv1d": case(lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1, dilation=2), *LINE),
    "Conv2d": case(lambda: nn.Conv2d(3, 4, (3, 2), padding="valid", padding_mode="zeros"), *MAP),
    "Conv2d, depthwise, circular": case(lambda: nn.Conv2d(3, 6, 3, groups=3, padding=1, padding_mode="circular"), *MAP),
    "QuantizedLinear": case(lambda: quantized(nn.Linear(4, 3), 4), 4),
    "QuantizedConv1d": case(lambda: quantized(nn.Conv1d(3, 4, 3, stride=2, bias=False), *LINE), *LINE),
    "QuantizedConv2d": case(lambda: quantized(nn.Conv2d(3, 4, (3, 2), padding=1), *MAP), *MAP),
    "Conv3d": case(lambda: nn.Conv3d(2, 3, 2, bias=False), *VOLUME),
    "ConvTranspose1d": case(lambda: nn.ConvTranspose1d(3, 2, 3, stride=2, output_padding=1), *LINE),
    "ConvTranspose2d": case(lambda: nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1), *MAP),
    "ConvTranspose3d": case(lambda: nn.ConvTranspose3d(2, 2, 2), *VOLUME),
    "AvgPool1d": case(lambda: nn.AvgPool1d(3, ceil_mode=True), *LINE),
    "AvgPool2d": case(lambda: nn.AvgPool2d(2, padding=1, count_include_pad=False), *MAP),
    "AvgPool2d, a sum": case(lambda: nn.AvgPool2d(2, divisor_override=1), *MAP),
    "AvgPool3d": case(lambda: nn.AvgPool3d(2), *VOLUME),
    "MaxPool1d": case(lambda: nn.MaxPool1d(3, ceil_mode=True), *LINE),
    "MaxPool2d": case(lambda: nn.MaxPool2d(3, stride=2, padding=1, dilation=1, ceil_mode=True), *MAP),
    "MaxPool3d": case(lambda: nn.MaxPool3d(2), *VOLUME),
    "LPPool1d": case(lambda: nn.LPPool1d(2, 2), *LINE),
    "LPPool2d": case(lambda: nn.LPPool2d(4, 2, ceil_mode=True), *MAP),
    "LPPool3d": case(lambda: nn.LPPool3d(2, 2), *VOLUME),
    "AdaptiveAvgPool1d": case(lambda: nn.AdaptiveAvgPool1d(3), *LINE),
    "AdaptiveAvgPool2d": case(lambda: nn.AdaptiveAvgPool2d((None, 4)), *MAP),
    "AdaptiveAvgPool3d": case(lambda: nn.AdaptiveAvgPool3d(3), *VOLUME),
    "AdaptiveMaxPool1d": case(lambda: nn.AdaptiveMaxPool1d(3), *LINE),
    "AdaptiveMaxPool2d": case(lambda: nn.AdaptiveMaxPool2d((4, None)), *MAP),
    "AdaptiveMaxPool3d": case(lambda: nn.AdaptiveMaxPool3d(3), *VOLUME),
    "BatchNorm1d": statistics(lambda: nn.BatchNorm1d(4), 4),
    "BatchNorm1d on lines": statistics(lambda: nn.BatchNorm1d(3, affine=False), *LINE),
    "BatchNorm1d, mean of all calls": statistics(lambda: nn.BatchNorm1d(3, momentum=None), *LINE),
    "BatchNorm2d": statistics(lambda: nn.BatchNorm2d(3, momentum=0.3), *MAP),
    "BatchNorm2d that keeps nothing": statistics(
        lambda: nn.BatchNorm2d(3, track_running_stats=False), *MAP, in_eval=EVERY_TICK
    ),
    "BatchNorm3d": statistics(lambda: nn.BatchNorm3d(2), *VOLUME),
    "InstanceNorm1d": case(lambda: nn.InstanceNorm1d(3), *LINE),
    "InstanceNorm2d": case(lambda: nn.InstanceNorm2d(3, affine=True), *MAP),
    "InstanceNorm2d that keeps its statistics": noise(lambda: nn.InstanceNorm2d(3, track_running_stats=True), *MAP),
    "InstanceNorm3d": case(lambda: nn.InstanceNorm3d(2), *VOLUME),
    "GroupNorm": case(lambda: nn.GroupNorm(3, 3), *MAP, unbatched=False),
    "GroupNorm of features": case(lambda: nn.GroupNorm(2, 4, affine=False), 4, unbatched=False),
    "LayerNorm": case(lambda: nn.LayerNorm(4), 4),
    "LayerNorm of maps": case(lambda: nn.LayerNorm((6, 6), bias=False), *MAP),
    "RMSNorm": case(lambda: nn.RMSNorm(4), 4),
    "LocalResponseNorm": case(lambda: nn.LocalResponseNorm(2), *MAP, unbatched=False),
    "Dropout": noise(lambda: nn.Dropout(0.4), 4),
    "Dropout1d": noise(lambda: nn.Dropout1d(0.4), *LINE),
    "Dropout2d": noise(lambda: nn.Dropout2d(0.4), *MAP),
    "Dropout3d": noise(lambda: nn.Dropout3d(0.4), *VOLUME),
    "AlphaDropout": noise(lambda: nn.AlphaDropout(0.4), 4),
    "FeatureAlphaDropout": noise(lambda: nn.FeatureAlphaDropout(0.4), *MAP),
    "RReLU": noise(lambda: nn.RReLU(), 4),
    "Identity": case(lambda: nn.Identity("whatever", size=3), 4),
    "CELU": case(lambda: nn.CELU(0.7), 4),
    "ELU": case(lambda: nn.ELU(0.7), 4),
    "GELU": case(lambda: nn.GELU("tanh"), 4),
    "Hardshrink": case(lambda: nn.Hardshrink(0.3), 4),
    "Hardsigmoid": case(nn.Hardsigmoid, 4),
    "Hardswish": case(nn.Hardswish, 4),
    "Hardtanh": case(lambda: nn.Hardtanh(-0.5, 0.7), 4),
    "LeakyReLU": case(lambda: nn.LeakyReLU(0.2), 4),
    "LogSigmoid": case(nn.LogSigmoid, 4),
    "Mish": case(nn.Mish, 4),
    "ReLU": case(nn.ReLU, 4),
    "ReLU6": case(nn.ReLU6, *MAP),
    "SELU": case(nn.SELU, 4),
    "SiLU": case(nn.SiLU, 4),
    "Sigmoid": case(nn.Sigmoid, 4),
    "Softplus": case(lambda: nn.Softplus(2.0), 4),
    "Softshrink": case(nn.Softshrink, 4),
    "Softsign": case(nn.Softsign, 4),
    "Tanh": case(nn.Tanh, 4),
    "Tanhshrink": case(nn.Tanhshrink, 4),
    "Threshold": case(lambda: nn.Threshold(0.1, -2.0), 4),
    "PReLU": case(nn.PReLU, 4),
    "Threshold of spikes": case(lambda: snn.Threshold(0.3), 4),
    "PReLU of channels": case(lambda: nn.PReLU(3), *MAP, unbatched=False),
    "GLU": case(lambda: nn.GLU(-1), 4),
    "GLU of channels": case(lambda: nn.GLU(1), 4, 5, unbatched=False),
    "LogSoftmax": case(lambda: nn.LogSoftmax(-1), 4),
    "Softmax": case(lambda: nn.Softmax(1), 4, unbatched=False),
    "Softmax over the batch": case(lambda: nn.Softmax(0), 4, in_training=EVERY_TICK, in_eval=EVERY_TICK),
    "Softmax over the batch, from behind": case(
        lambda: nn.Softmax(-2), 4, in_training=EVERY_TICK, in_eval=EVERY_TICK, unbatched=False
    ),
    "Softmin": case(lambda: nn.Softmin(-2), 3, 4),
    "Softmax2d": case(nn.Softmax2d, *MAP),
    "Flatten": case(nn.Flatten, *MAP),
    "Flatten from behind": case(lambda: nn.Flatten(-2), *MAP),
    "Flatten of two dimensions": case(lambda: nn.Flatten(2, 3), *VOLUME),
    "Flatten of the batch": case(
        lambda: nn.Flatten(0, 1), *MAP, in_training=EVERY_TICK, in_eval=EVERY_TICK, unbatched=False
    ),
    "Unflatten": case(lambda: nn.Unflatten(1, (2, 2)), 4, unbatched=False),
    "Unflatten from behind": case(lambda: nn.Unflatten(-1, (2, -1)), 4, 6),
    "PixelShuffle": case(lambda: nn.PixelShuffle(2), 4, 3, 3),
    "PixelUnshuffle": case(lambda: nn.PixelUnshuffle(2), *MAP),
    "ChannelShuffle": case(lambda: nn.ChannelShuffle(2), 4, 3, 3, unbatched=False),
    "Unfold": case(lambda: nn.Unfold(3, padding=1), *MAP),
    "Fold": case(lambda: nn.Fold((3, 3), 2), 8, 4),
    "ZeroPad1d": case(lambda: nn.ZeroPad1d((1, 2)), *LINE),
    "ZeroPad2d": case(lambda: nn.ZeroPad2d((1, -1, 2, 0)), *MAP),
    "ZeroPad3d": case(lambda: nn.ZeroPad3d(1), *VOLUME),
    "ConstantPad1d": case(lambda: nn.ConstantPad1d(1, 0.5), *LINE),
    "ConstantPad2d": case(lambda: nn.ConstantPad2d(1, 0.5), *MAP),
    "ConstantPad3d": case(lambda: nn.ConstantPad3d(1, 0.5), *VOLUME),
    "ReflectionPad1d": case(lambda: nn.ReflectionPad1d(2), *LINE),
    "ReflectionPad2d": case(lambda: nn.ReflectionPad2d(2), *MAP),
    "ReflectionPad3d": case(lambda: nn.ReflectionPad3d(1), *VOLUME),
    "ReplicationPad1d": case(lambda: nn.ReplicationPad1d(2), *LINE),
    "ReplicationPad2d": case(lambda: nn.ReplicationPad2d(2), *MAP),
    "ReplicationPad3d": case(lambda: nn.ReplicationPad3d(1), *VOLUME),
    "CircularPad1d": case(lambda: nn.CircularPad1d(2), *LINE),
    "CircularPad2d": case(lambda: nn.CircularPad2d(2), *MAP),
    "CircularPad3d": case(lambda: nn.CircularPad3d(1), *VOLUME),
    "Upsample": case(lambda: nn.Upsample(scale_factor=2), *LINE, unbatched=False),
    "Upsample, bicubic": case(lambda: nn.Upsample(size=(8, 9), mode="bicubic"), *MAP, unbatched=False),
    "UpsamplingBilinear2d": case(lambda: nn.UpsamplingBilinear2d(scale_factor=2), *MAP, unbatched=False),
    "UpsamplingNearest2d": case(lambda: nn.UpsamplingNearest2d(scale_factor=2), *MAP, unbatched=False),
}  # fmt: skip

cases = pytest.mark.parametrize("name", CASES)
modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
SHAPES = [(5, 3), (0, 3), (1, 1)]  # T and B


def layer_of(name: str, training: bool) -> nn.Module:
    torch.manual_seed(3)
    layer = CASES[name].make().double().train(training)
    with torch.no_grad():
        for tensor in (*layer.parameters(), *(x for x in layer.buffers() if x.is_floating_point())):
            tensor.add_(torch.rand_like(tensor))  # no ones and zeros
    return layer


def values(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def seeded(model: nn.Module, x: Tensor, backward: bool = True) -> Observation:
    """With the same draws for every model."""
    torch.manual_seed(11)
    return observe(model, x, backward=backward)


def assert_same_call(compiled: nn.Module, eager: nn.Module, x: Tensor, bits: bool) -> None:
    """Results, gradients of the input and of all weights, and buffers; or the same error."""
    try:
        theirs = seeded(eager, x)
    except (ValueError, RuntimeError, IndexError) as error:
        with pytest.raises(type(error)):
            seeded(compiled, x)
        return
    mine = seeded(compiled, x)
    if bits:
        assert_same_results(mine, theirs)
    for ours, other in zip(mine.leaves, theirs.leaves, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-12, atol=1e-12)
    for (path, buffer), other in zip(compiled.named_buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=0, atol=0, equal_nan=True, msg=path)
    largest = max(map(size, theirs.gradients.values()))
    for name, other in theirs.gradients.items():
        ours = mine.gradients[name]
        difference = (torch.zeros(()) if ours is None else ours) - (torch.zeros(()) if other is None else other)
        # A gradient that is zero but for its rounding is measured against the others.
        assert size(difference) <= 1e-10 * max(size(other), 1e-3 * largest), name


def size(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None or not gradient.numel() else float(gradient.abs().max())


@contextmanager
def counted(layer: nn.Module) -> Iterator[list[torch.Size]]:
    """The shapes that the layer is called with."""
    shapes: list[torch.Size] = []
    forward = type(layer).forward

    def noting(self: nn.Module, input: Tensor) -> Any:
        shapes.append(input.shape)
        return forward(self, input)

    with patch.object(type(layer), "forward", noting):
        yield shapes


def test_every_row_of_the_table_has_a_case() -> None:
    made = {type(entry.make()) for entry in CASES.values()}
    encoders = {kind for kind in LAYERS if kind.__module__ == snn.PoissonEncoder.__module__}
    assert len(encoders) == 7
    assert set(LAYERS) - made == {LConv2d, nn.Embedding} | encoders  # which have tests of their own


@modes
@cases
def test_a_layer_in_a_lift_is_called_for_all_ticks_at_once_only_where_eager_computes_that(
    name: str, training: bool
) -> None:
    eager = snn.Lift(layer_of(name, training))
    model = copy.deepcopy(eager)
    # Event-driven, a linear layer is not called at all. Without ticks, a layer that counts its calls runs eagerly.
    compiled = norse.compile(model, sparse=False)
    for ticks, batch in SHAPES:
        assert_same_call(compiled, eager, values(ticks, batch, *CASES[name].sample), bits=False)
    with counted(model.lifted_module) as shapes:
        compiled(values(5, 3, *CASES[name].sample))
    assert len(shapes) == (1 if CASES[name].calls(training) is ONCE else 5)
    assert "eager" not in compiled.explain()


@cases
def test_a_layer_in_a_lift_is_eagers_bit_for_bit_where_that_is_asked_for(name: str) -> None:
    eager = snn.Lift(layer_of(name, training=True))
    assert_same_call(
        norse.compile(copy.deepcopy(eager), exact=True), eager, values(3, 2, *CASES[name].sample), bits=True
    )


@pytest.mark.parametrize("name", [name for name, entry in CASES.items() if entry.unbatched])
def test_a_lifted_sample_needs_no_batch(name: str) -> None:
    eager = snn.Lift(layer_of(name, training=True))
    compiled = norse.compile(copy.deepcopy(eager), fullgraph=True)
    assert_same_call(compiled, eager, values(3, *CASES[name].sample), bits=False)


@cases
def test_a_layer_on_its_own_takes_one_tick(name: str) -> None:
    layer = layer_of(name, training=True)
    compiled = norse.compile(copy.deepcopy(layer), fullgraph=True)
    for batch in (3, 0):
        assert_same_call(compiled, layer, values(batch, *CASES[name].sample), bits=True)


@pytest.mark.parametrize("name", [n for n, entry in CASES.items() if LAYERS[type(entry.make())].keeps_leading])
def test_a_layer_in_front_of_a_sequence_takes_one_itself(name: str) -> None:
    eager = nn.Sequential(layer_of(name, training=True), snn.Lift(nn.Identity()))
    compiled = norse.compile(copy.deepcopy(eager), fullgraph=True)
    assert_same_call(compiled, eager, values(3, 2, *CASES[name].sample), bits=True)
    assert compiled.graph.types["x"].over_time


def test_a_spiking_convolution_over_time() -> None:
    torch.manual_seed(0)
    eager = snn.SequentialState(LConv2d(2, 4, 3, stride=2), snn.LIF(), LConv2d(4, 3, 2), snn.LI()).double()
    compiled = norse.compile(copy.deepcopy(eager), fullgraph=True)
    for ticks, batch in SHAPES:
        assert_same_call(compiled, eager, 9 * values(ticks, batch, 2, 9, 9), bits=True)
    assert_native(compiled)
    with pytest.raises(InputError, match=r'layer "0" \(LConv2d\) expects 2 input channels, got 3'):
        compiled(values(5, 3, 3, 9, 9))


class TestASharedLayer:
    """One that has a state of its own in training, called twice a tick."""

    def test_of_noise_draws_a_mask_a_call(self) -> None:
        dropout = nn.Dropout(0.5)
        out = norse.compile(snn.Lift(nn.Sequential(dropout, dropout)))(torch.ones(50, 8, 40))
        assert set(out.unique().tolist()) == {0.0, 4.0}
        assert abs(float((out > 0).double().mean()) - 0.25) < 0.02


class TestNoise:
    @pytest.mark.parametrize("exact", [False, True])
    def test_is_drawn_anew_at_every_tick(self, exact: bool) -> None:
        masks = norse.compile(snn.Lift(nn.Dropout(0.5)), exact=exact)(torch.ones(20, 4, 50)) > 0
        assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 20
        assert abs(float(masks.double().mean()) - 0.5) < 0.05

    def test_of_two_layers_in_a_lift_is_eagers_draw_for_draw_where_that_is_asked_for(self) -> None:
        torch.manual_seed(0)
        eager = snn.Lift(nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Tanh(), nn.Dropout(0.3))).double()
        assert_same_call(norse.compile(copy.deepcopy(eager), exact=True), eager, values(5, 3, 4), bits=True)

    def test_of_two_layers_in_a_lift_is_as_likely_as_eagers_else(self) -> None:
        model = norse.compile(snn.Lift(nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.2))), fullgraph=True)
        out = model(torch.ones(50, 8, 40))
        assert torch.allclose(out.unique(), torch.tensor([0.0, 2.5]))
        kept, expected, variance = float((out > 0).sum()), 0.4 * out.numel(), 0.24 * out.numel()
        assert (kept - expected) ** 2 / variance < 15.1  # chi-square, one degree of freedom, p = 10⁻⁴

    def test_stops_in_eval_and_starts_again(self) -> None:
        model = norse.compile(snn.Lift(nn.Dropout(0.5)))
        x = torch.ones(3, 2, 50)
        assert not torch.equal(model(x), x)
        assert torch.equal(model.eval()(x), x)
        assert not torch.equal(model.train()(x), x)


class TestEmbedding:
    @pytest.mark.parametrize(
        "options",
        [{}, {"padding_idx": 0}, {"sparse": True}, {"scale_grad_by_freq": True}, {"max_norm": 0.5}],
        ids=str,
    )
    @pytest.mark.parametrize("lift", [snn.Lift, lambda layer: layer], ids=["lifted", "over time"])
    def test_of_words_over_time(self, options: dict[str, Any], lift: Callable[[nn.Module], nn.Module]) -> None:
        torch.manual_seed(0)
        eager = snn.SequentialState(lift(nn.Embedding(5, 4, **options)), snn.LIF()).double()
        compiled = norse.compile(copy.deepcopy(eager))
        words = torch.randint(5, (6, 3), generator=torch.Generator().manual_seed(1))
        for x in (words, words[:0], words):
            theirs, mine = eager(x), compiled(x)
            assert torch.equal(mine[0], theirs[0])
            for model, (z, state) in ((eager, theirs), (compiled, mine)):
                model.zero_grad()
                if z.numel():
                    (z.sum() + state[-1].v.square().sum()).backward()
            (weight,), (other,) = compiled.parameters(), eager.parameters()
            assert torch.equal(weight, other)
            if len(x):
                torch.testing.assert_close(weight.grad.to_dense(), other.grad.to_dense(), rtol=1e-10, atol=1e-12)

    def test_of_something_else_than_whole_numbers_is_refused(self) -> None:
        model = norse.compile(snn.SequentialState(snn.Lift(nn.Embedding(5, 4)), snn.LIF()))
        with pytest.raises(
            InputError, match=r'layer "0.lifted_module" \(Embedding\): .*whole numbers, got torch.float32'
        ):
            model(torch.rand(6, 3))


class TestWhatALayerIsSetTo:
    def test_two_results_of_a_pooling_are_left_to_eager(self) -> None:
        class Pools(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.pool, self.neurons = nn.MaxPool1d(2, return_indices=True), snn.LIF()

            def forward(self, x: Tensor) -> Any:
                y, places = self.pool(x)
                return self.neurons(y)[0], places

        eager = Pools()
        compiled = norse.compile(copy.deepcopy(eager))
        assert_same_results(seeded(compiled, values(5, 3, 8)), seeded(eager, values(5, 3, 8)))
        assert "return_indices=True" in compiled.explain()

    @pytest.mark.parametrize("make", [nn.ReLU, nn.Hardtanh, nn.ELU, nn.Dropout])
    def test_a_layer_may_work_in_place(self, make: Callable[..., nn.Module]) -> None:
        torch.manual_seed(0)
        inner = nn.Sequential(nn.Linear(4, 4), make(inplace=True), nn.Linear(4, 4))
        for model in (
            snn.SequentialState(*inner, snn.LIF()).double(),
            snn.SequentialState(snn.Lift(inner), snn.LIF()).double(),
        ):
            compiled = norse.compile(copy.deepcopy(model))
            for ticks in (5, 1, 0):
                assert_same_call(compiled, model, 5 * values(ticks, 3, 4), bits=not ticks)

    @pytest.mark.parametrize("lift", [snn.Lift, lambda layer: layer], ids=["lifted", "over time"])
    def test_who_else_reads_what_was_changed_in_place_reads_the_change(self, lift: Callable[..., nn.Module]) -> None:
        class Residual(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.relu, self.second = nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 4)

            def forward(self, x: Tensor) -> Tensor:
                x = self.first(x)
                before = x * 2
                return before + x + self.second(self.relu(x))

        torch.manual_seed(0)
        eager = snn.SequentialState(lift(Residual()), snn.LIF()).double()
        assert_same_call(norse.compile(copy.deepcopy(eager)), eager, 5 * values(5, 3, 4), bits=True)

    def test_an_attribute_that_changes_is_seen_at_the_next_call(self) -> None:
        pool = nn.MaxPool2d(2)
        compiled, x = norse.compile(snn.Lift(pool)), values(5, 3, 2, 7, 7)
        assert compiled(x).shape[-1] == 3
        pool.ceil_mode = True
        assert compiled(x).shape[-1] == 4


class TestSizes:
    @pytest.mark.parametrize(
        ("make", "right", "wrong", "message"),
        [
            (lambda: nn.Conv3d(2, 3, 2), (3, 2, 4, 4, 4), (3, 1, 4, 4, 4), "expects 2 input channels, got 1"),
            (lambda: nn.ConvTranspose1d(2, 3, 2), (3, 2, 4), (3, 5, 4), "expects 2 input channels, got 5"),
            (lambda: nn.BatchNorm2d(2), (3, 2, 4, 4), (3, 4, 4, 4), "expects 2 input channels, got 4"),
            (lambda: nn.GroupNorm(2, 4), (3, 4, 5), (3, 6, 5), "expects 4 input channels, got 6"),
            (lambda: nn.LayerNorm((2, 4)), (3, 2, 4), (3, 2, 5), "expects 2 x 4 input features, got 2 x 5"),
            (lambda: nn.RMSNorm(4), (3, 4), (3, 5), "expects 4 input features, got 5"),
        ],
    )
    def test_that_a_layer_can_not_take_are_refused_by_its_name(
        self, make: Callable[[], nn.Module], right: tuple[int, ...], wrong: tuple[int, ...], message: str
    ) -> None:
        for model, time in ((nn.Sequential(make()), ()), (nn.Sequential(snn.Lift(make())), (5,))):
            compiled = norse.compile(model)
            compiled(torch.rand(*time, *right))
            with pytest.raises(InputError, match=rf'layer "0[^"]*" \({type(make()).__name__}\) {message}'):
                compiled(torch.rand(*time, *wrong))

    @pytest.mark.parametrize("make", [lambda: nn.InstanceNorm2d(2), lambda: nn.BatchNorm2d(2, 1e-5, 0.1, False, False)])
    def test_are_free_where_a_normalisation_holds_nothing(self, make: Callable[[], nn.Module]) -> None:
        eager = snn.Lift(make())
        with pytest.warns(UserWarning) if isinstance(make(), nn.InstanceNorm2d) else contextlib.nullcontext():
            assert_same_call(norse.compile(copy.deepcopy(eager)), eager, values(5, 3, 4, 6, 6), bits=False)


class TestRecurrentLayersOfTorch:
    """They carry a state of their own: eager calls inside the compiled graph."""

    @pytest.mark.parametrize("make", [nn.GRU, nn.LSTM, nn.RNN])
    def test_run_as_they_are_between_compiled_neurons(self, make: Callable[..., nn.Module]) -> None:
        torch.manual_seed(0)
        eager = snn.SequentialState(nn.Linear(4, 4), snn.LIF(), make(4, 4, num_layers=2), snn.LI()).double()
        compiled = norse.compile(copy.deepcopy(eager))
        for ticks in (5, 1):
            assert_same_call(compiled, eager, 9 * values(ticks, 3, 4), bits=True)
        lines = compiled.explain().splitlines()
        assert [line.split()[1] for line in lines if "eager" in line] == [make.__name__]
        assert sum("native" in line for line in lines) == 2

    def test_hand_their_state_on(self) -> None:
        torch.manual_seed(0)
        eager = snn.SequentialState(nn.LSTM(4, 4), snn.LI()).double()
        compiled, x = norse.compile(copy.deepcopy(eager)), values(8, 3, 4)
        whole, _ = eager(x)
        first, state = compiled(x[:3])
        second, _ = compiled(x[3:], state)
        torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-12)


def test_fullgraph_names_a_layer_that_is_not_in_the_table() -> None:
    with pytest.raises(CompileError, match="Bilinear"):

        class Two(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.both, self.neurons = nn.Bilinear(4, 4, 3), snn.LIF()

            def forward(self, x: Tensor) -> Any:
                return self.neurons(self.both(x, x))

        norse.compile(Two(), fullgraph=True)(torch.rand(5, 3, 4))


def test_a_lifted_layer_takes_sparse_ticks() -> None:
    torch.manual_seed(0)
    eager = snn.Lift(nn.Linear(6, 3)).double()
    compiled = norse.compile(copy.deepcopy(eager), fullgraph=True)
    x = (values(5, 3, 6) > 0.5).double()
    for spikes in (x.to_sparse(), x[1:].to_sparse()):
        theirs, mine = eager(spikes), compiled(spikes)
        assert torch.equal(mine, theirs)
        for model, out in ((eager, theirs), (compiled, mine)):
            model.zero_grad()
            out.square().sum().backward()
        for (name, weight), other in zip(compiled.named_parameters(), eager.parameters(), strict=True):
            torch.testing.assert_close(weight.grad, other.grad, rtol=1e-10, atol=1e-12, msg=name)
