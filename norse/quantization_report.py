"""What a network loses in a chip's numbers: `norse.compare_quantized`, and its report."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from norse.comparison import Comparison, LayerComparison, aligned
from norse.debugging import compare
from norse.torch.module.quantized import is_quantized, quantized_weights


@dataclass(frozen=True)
class WeightsReport:
    """One tensor of weights.

    Args:
        name: the module's path and the tensor's name.
        bits: of a weight.
        used: how many of the integers that so many bits can say, occur.
        clipped: the part of the weights that is beyond the largest integer.
        signal_to_noise: of the weights to what rounding adds to them, 10 log10(Σw² / Σ(w - rounded)²), in dB.
    """

    name: str
    bits: int
    used: int
    clipped: float
    signal_to_noise: float


@dataclass(frozen=True)
class QuantizationReport:
    """The report of `norse.compare_quantized`; it prints.

    Args:
        comparison: of all layers of neurons, tick by tick, as `norse.compare` gives it.
        weights: of the quantised model.
        output_difference: root mean square of the difference of the two outputs.
        output_size: root mean square of the original's output.
        accuracies: of the original and the quantised model, from 0 to 1; None without targets.
        agreement: the part of the samples that both models give the same class; None without targets.
    """

    comparison: Comparison
    weights: tuple[WeightsReport, ...]
    output_difference: float
    output_size: float
    accuracies: tuple[float, float] | None = None
    agreement: float | None = None

    @property
    def spikes_kept(self) -> dict[str, float]:
        """Of each spiking layer the part of the spikes, of those that either model fires, that both fire."""
        return {layer.layer: _kept(layer) for layer in self.comparison.layers if layer.spikes is not None}

    @property
    def activities(self) -> dict[str, tuple[float, float]]:
        """Of each spiking layer the spikes per neuron and tick, in the original and in the quantised model."""
        return {
            layer.layer: (layer.spikes / max(layer.outputs, 1), (layer.other_spikes or 0) / max(layer.outputs, 1))
            for layer in self.comparison.layers
            if layer.spikes is not None
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.accuracies is not None:
            original, rounded = self.accuracies
            yield f"accuracy {original:.1%}, quantised {rounded:.1%}; the same class in {self.agreement:.1%}"
        yield f"output: {self.output_difference:.3g} apart (root mean square), of {self.output_size:.3g}"
        activities, kept = self.activities, self.spikes_kept
        rows = [("layer", "spikes kept", "activity", "quantised")]
        for layer in self.comparison.layers:
            if layer.layer in activities:
                before, after = activities[layer.layer]
                name = f"{layer.layer} {layer.kind}".strip()
                rows.append((name, f"{kept[layer.layer]:.2%}", f"{before:.2%}", f"{after:.2%}"))
        yield from aligned(rows)
        if self.weights:
            facts = [("weights", "bits", "integers used", "clipped", "signal to noise")]
            for w in self.weights:
                used, noise = f"{w.used} of {2**w.bits - 1}", f"{w.signal_to_noise:.1f} dB"
                facts.append((w.name, str(w.bits), used, f"{w.clipped:.2%}", noise))
            yield from aligned(facts)


def compare_quantized(
    model: nn.Module,
    quantized: nn.Module,
    inputs: Tensor,
    targets: Tensor | None = None,
    *,
    scores: Callable[[Tensor], Tensor] | None = None,
) -> QuantizationReport:
    """Runs a network and what `norse.quantize` made of it on the same input, and tells what the bits cost.

    Args:
        model: the original.
        quantized: of `norse.quantize`, trained on or not, or frozen (which has no table of weights any more).
        inputs: what both are called with, [T, B, ...] or [B, ...].
        targets: the samples' classes, [B], integers from 0 up.
        scores: what makes [B, classes] of an output; None means the mean over time of [T, B, classes], and [B, classes]
            as it is.

    Returns:
        A report; it prints.

    Raises:
        TypeError: if model or quantized is no module.
        ValueError: if the models have no layer of neurons in common, or targets don't fit the scores or are
            no classes of theirs.

    Example:
        >>> import torch, norse, norse.torch as snn
        >>> _ = torch.manual_seed(0)
        >>> model = snn.SequentialState(torch.nn.Linear(20, 64), snn.LIF(), torch.nn.Linear(64, 2), snn.LI())
        >>> spikes = 4.0 * (torch.rand(100, 8, 20) < 0.3)
        >>> print(norse.compare_quantized(model, norse.quantize(model, bits=8), spikes))
        output: 0.0... apart (root mean square), of 0...
        layer  spikes kept  activity  quantised
        1 LIF  8...%       8...%     8...%
        weights   bits  integers used  clipped  signal to noise
        0.weight  8     251 of 255     0.00%    48.3 dB
        2.weight  8     102 of 255     1.56%    48.0 dB
    """
    for name, value in (("model", model), ("quantized", quantized)):
        if not isinstance(value, nn.Module):
            raise TypeError(
                f"norse.compare_quantized: argument {name}: expects a torch.nn.Module, got {type(value).__name__}"
            )
    comparison = compare(model, quantized, inputs)
    with torch.no_grad():
        before, after = (_output(each, inputs) for each in (model, quantized))
    weights = tuple(_weights_reports(quantized)) if is_quantized(quantized) else ()
    apart, size = _root_mean_square(before - after), _root_mean_square(before)
    if targets is None:
        return QuantizationReport(comparison, weights, apart, size)
    mine, theirs = (_classes(output, targets, scores) for output in (before, after))
    accuracies = _part(mine == targets.to(mine.device)), _part(theirs == targets.to(theirs.device))
    return QuantizationReport(comparison, weights, apart, size, accuracies, _part(mine == theirs))


def _output(model: nn.Module, inputs: Tensor) -> Tensor:
    result: Any = model(inputs)
    output = result[0] if isinstance(result, tuple) else result
    if not isinstance(output, Tensor):
        raise ValueError(f"norse.compare_quantized: expects models of one output, got {type(output).__name__}")
    return output


def _classes(output: Tensor, targets: Tensor, scores: Callable[[Tensor], Tensor] | None) -> Tensor:
    made = scores(output) if scores is not None else output.mean(dim=0) if output.dim() == 3 else output
    if made.dim() != 2 or targets.shape != made.shape[:1]:
        raise ValueError(
            "norse.compare_quantized: argument targets: expects [B] for scores [B, classes], got "
            f"{list(targets.shape)} for {list(made.shape)}"
        )
    classes = made.shape[1]
    if not bool(((targets >= 0) & (targets < classes) & (targets == targets.long())).all()):
        raise ValueError(
            f"norse.compare_quantized: argument targets: expects integers from 0 to {classes - 1}, as the model has "
            f"{classes} outputs, got {targets.unique().tolist()}"
        )
    return made.argmax(dim=1)


def _weights_reports(quantized: nn.Module) -> Iterator[WeightsReport]:
    with torch.no_grad():
        for found in quantized_weights(quantized).values():
            weights, rounded = found.weights.double(), found.rounded.double()
            beyond = found.in_units.abs() > 2 ** (found.bits - 1) - 1
            signal, noise = float(weights.square().sum()), float((weights - rounded).square().sum())
            decibels = 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else math.inf
            yield WeightsReport(found.name, found.bits, len(found.integers.unique()), _part(beyond), decibels)


def _kept(layer: LayerComparison) -> float:
    either = (layer.spikes or 0) + (layer.other_spikes or 0) + layer.spikes_that_differ
    return (either - 2 * layer.spikes_that_differ) / either if either else 1.0


def _part(which: Tensor) -> float:
    return float(which.double().mean()) if which.numel() else 1.0


def _root_mean_square(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())
