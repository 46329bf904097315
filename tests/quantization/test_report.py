"""`norse.compare_quantized` against counts by hand, and on handwritten digits."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

import norse
import norse.torch as snn
from norse.demo import digits, network, training


def test_the_report_of_a_network_counted_by_hand() -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(torch.nn.Linear(20, 12), snn.LIF(), torch.nn.Linear(12, 3), snn.LI())
    x, targets = 4.0 * (torch.rand(50, 6, 20) < 0.3), torch.tensor([0, 1, 2, 0, 1, 2])
    quantized = norse.quantize(model, 3)
    with torch.no_grad():
        quantized[0].weight[0, 0] = 9.0  # beyond what 3 bits say
    report = norse.compare_quantized(model, quantized, x, targets)
    with torch.no_grad():
        spikes = [part[1](part[0](x))[0] for part in (model, quantized)]
        outputs = [part[3](part[2](z))[0] for part, z in zip((model, quantized), spikes, strict=True)]
    both, either = (spikes[0] * spikes[1]).sum(), torch.maximum(*spikes).sum()
    assert 0 < both < either
    assert report.spikes_kept == pytest.approx({"1": float(both / either)})
    assert report.activities["1"] == pytest.approx(tuple(float(z.mean()) for z in spikes))
    assert report.output_difference == pytest.approx(float((outputs[0] - outputs[1]).square().mean().sqrt()))
    assert report.output_size == pytest.approx(float(outputs[0].square().mean().sqrt()))
    classes = [output.mean(0).argmax(1) for output in outputs]
    assert report.accuracies == tuple(int((guess == targets).sum()) / 6 for guess in classes)
    assert report.agreement == int((classes[0] == classes[1]).sum()) / 6
    first = report.weights[0]
    weights, scale = quantized[0].weight.detach(), quantized[0].scale
    rounded = scale * torch.clamp(torch.round(weights / scale), -3, 3)
    assert (first.name, first.bits, first.used) == ("0.weight", 3, len(rounded.unique()))
    assert first.clipped == pytest.approx(float((weights.abs() > 3 * scale).float().mean()))
    noise = float((weights - rounded).square().sum())
    assert first.signal_to_noise == pytest.approx(10 * math.log10(float(weights.square().sum()) / noise), rel=1e-5)


def test_it_prints() -> None:
    model = snn.SequentialState(torch.nn.Linear(20, 12), snn.LIF())
    x = (torch.rand(10, 4, 20) < 0.3).float()
    text = str(norse.compare_quantized(model, norse.quantize(model, 4), x, torch.zeros(4)))
    assert text.startswith("accuracy ")
    assert "0.weight  4     15 of 15" in text
    compiled = norse.compare_quantized(norse.compile(model), norse.compile(norse.quantize(model, 4)), x, torch.zeros(4))
    assert str(compiled) == text
    frozen = norse.compare_quantized(model, norse.freeze_quantized(norse.quantize(model, 4)), x)
    assert frozen.weights == ()
    assert "signal to noise" not in str(frozen)
    assert "accuracy" not in str(frozen)


def test_a_model_and_itself_are_equal() -> None:
    model = snn.LIF()
    report = norse.compare_quantized(model, model, 3 * torch.rand(20, 2, 5))
    assert report.comparison.equal
    assert report.spikes_kept == {"": 1.0}
    assert report.output_difference == 0.0


def test_what_is_refused() -> None:
    model, x = snn.SequentialState(torch.nn.Linear(20, 12), snn.LIF()), torch.zeros(10, 4, 20)
    with pytest.raises(TypeError, match="argument quantized: expects a torch"):
        norse.compare_quantized(model, "model", x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"argument targets: expects \[B\] for scores \[B, classes\], got \[3\] for"):
        norse.compare_quantized(model, model, x, torch.zeros(3))
    with pytest.raises(ValueError, match="argument targets"):
        norse.compare_quantized(model, model, x, torch.zeros(4), scores=lambda output: output)


def test_digits_in_few_bits_and_what_training_gives_back() -> None:
    """`-s` shows the accuracies. 2 bits are -1, 0 and 1."""
    data = digits.load(500, seed=0)
    run = training.train(data, norse.compile, epochs=4, seed=0, listener=lambda *_: None)
    torch.manual_seed(1)
    shown = digits.encode(data.test_images)
    before, after = {}, {}
    for bits in (8, 4, 2):
        quantized = norse.quantize(run.model, bits)
        report = norse.compare_quantized(run.model, norse.freeze_quantized(quantized), shown, data.test_labels)
        assert report.accuracies is not None
        before[bits] = report.accuracies[1]
        tune(quantized, data)
        report = norse.compare_quantized(run.model, norse.freeze_quantized(quantized), shown, data.test_labels)
        assert report.accuracies is not None
        original, after[bits] = report.accuracies
        print(f"{bits} bits: {before[bits]:.1%}, trained on {after[bits]:.1%}, of {original:.1%}")
    assert original > 0.85
    assert before[8] > original - 0.04
    assert after[2] > before[2] - 0.02
    assert min(after.values()) > original - 0.08


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([0, 1, 3], "expects integers from 0 to 1, .* got .*3"),
        ([-1, 1, 0], "got .*-1"),
        ([0.0, 1.0, 0.5], "got .*0.5"),
    ],
)
def test_targets_that_are_no_classes_of_the_model_are_refused(targets, said):
    model = snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF(), torch.nn.Linear(4, 2), snn.LI())
    with pytest.raises(ValueError, match=f"argument targets: .*{said}"):
        norse.compare_quantized(model, norse.quantize(model, bits=8), torch.ones(5, 3, 3), torch.tensor(targets))


def tune(quantized: torch.nn.Module, data: digits.Digits) -> None:
    compiled = norse.compile(quantized)
    optimizer = torch.optim.Adam(quantized.parameters(), 2e-3)
    for spikes, labels in training.batches(data, seed=100):
        optimizer.zero_grad()
        cross_entropy(network.scores(compiled(spikes)[0]), labels).backward()
        optimizer.step()
