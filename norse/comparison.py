"""What `norse.compare` finds: where two models part, by how much, and how the difference grows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 1e-1}
"""How far numbers may be apart by rounding alone, as a part of the largest number of the same field, by its dtype.

About a hundred units in the last place (ten for half precision): what sums taken in another order are apart, and what a
leaky membrane makes of that. Whole numbers have no rounding.
"""

_MOST_SHOWN = 8  # ticks of the growth that are printed
_MOST_FIELDS = 4  # of a layer


@dataclass(frozen=True)
class Difference:
    """One number that differs.

    Args:
        tick: at which it does.
        layer: path of the layer of neurons in the first model, or "result" for what the models return.
        kind: class of the layer.
        field: "output", or a field of the state.
        neuron: index in one tick's tensor, the sample first.
        values: the number in the first model and in the second.
        size: how far they are apart.
        allowed: how far they might have been.
    """

    tick: int
    layer: str
    kind: str
    field: str
    neuron: tuple[int, ...]
    values: tuple[float, float]
    size: float
    allowed: float = 0.0

    def __str__(self) -> str:
        mine, theirs = self.values
        return (
            f"tick {self.tick}, {_named(self.layer, self.kind)}, neuron {list(self.neuron)}, {self.field}: "
            f"{mine:.9g} and {theirs:.9g}, {self.size:.3g} apart"
            + (f" ({self.allowed:.2g} allowed)" if self.allowed else "")
        )


@dataclass(frozen=True)
class LayerComparison:
    """One layer of neurons in both models.

    Args:
        layer: its path in the first model.
        other: its path in the second.
        kind: its class in the first.
        first_tick: the first at which it differs by more than is allowed, or None.
        growth: the largest difference at each tick, over all fields, allowed or not.
        largest: the largest difference of each field, allowed or not.
        spikes: how often it fires in the first model; None if its output is no spikes.
        spikes_that_differ: how often one fires and the other does not.
        other_spikes: how often it fires in the second model.
        outputs: how many outputs there were, of all ticks, samples and neurons.
    """

    layer: str
    other: str
    kind: str
    first_tick: int | None
    growth: tuple[float, ...]
    largest: Mapping[str, float]
    spikes: int | None = None
    spikes_that_differ: int = 0
    other_spikes: int | None = None
    outputs: int = 0


@dataclass(frozen=True)
class Comparison:
    """The report of `norse.compare`; it prints.

    Args:
        names: of the two models.
        ticks: how many were compared.
        first: the first difference that is not allowed, or None; of those at one tick that of the layer that runs
            first, and of its fields that of the state before the output; in it the neuron that differs most.
        layers: the layers of neurons, in the order in which they run, then the result.
        unmatched: layers that only one of the models has.
        traces: of the neuron that differs first, each field in both models, [T].
        tolerance: in words, what was allowed: "rounding", or what the caller gave.
    """

    names: tuple[str, str]
    ticks: int
    first: Difference | None
    layers: tuple[LayerComparison, ...]
    unmatched: tuple[str, ...] = ()
    traces: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False, compare=False)
    tolerance: str = "rounding"

    @property
    def equal(self) -> bool:
        """Whether nothing differs by more than was allowed."""
        return self.first is None

    @property
    def growth(self) -> tuple[float, ...]:
        """The largest difference at each tick, of all layers, allowed or not."""
        return tuple(max(sizes) for sizes in zip(*(layer.growth for layer in self.layers), strict=True))

    @property
    def largest(self) -> float:
        """The largest difference of all, allowed or not."""
        return max(self.growth, default=0.0)

    @property
    def spikes_that_differ(self) -> int:
        """How often, in all layers, one fires and the other does not."""
        return sum(layer.spikes_that_differ for layer in self.layers)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        what = f"{self.names[0]} and {self.names[1]}"
        largest = self.largest
        if self.first is None and largest == 0:
            yield f"{what} are equal at every tick (of {self.ticks})"
        elif self.first is None:
            apart = f"{largest:.2g} apart at most, at tick {self.growth.index(largest)}"
            yield f"{what} are equal within {self.tolerance} at every tick (of {self.ticks}): {apart}"
        else:
            apart = f"by up to {largest:.2g} at tick {self.growth.index(largest)}"
            yield f"{what} differ from tick {self.first.tick} on (of {self.ticks}), {apart}"
            yield f"first: {self.first}"
            growth = self.growth
            shown = ", ".join(f"{tick}: {growth[tick]:.2g}" for tick in _some(self.first.tick, self.ticks))
            yield f"largest difference by tick: {shown}"
        rows = [("layer", "first tick", "largest differences", "spikes that differ"), *map(_cells, self.layers)]
        yield from aligned(rows)
        if self.unmatched:
            yield f"not compared, since only one of them has it: {', '.join(self.unmatched)}"

    def plot(self) -> "Figure":
        """Draws the neuron that differs first, every field in both models, and how the difference grows.

        Returns:
            The matplotlib figure.

        Raises:
            ValueError: if the models are equal.
            ModuleNotFoundError: without matplotlib.
        """
        if self.first is None:
            raise ValueError("Comparison.plot: the models are equal, there is nothing to draw")
        try:
            from matplotlib import pyplot
        except ModuleNotFoundError as missing:
            if missing.name != "matplotlib":
                raise
            message = "Comparison.plot: the package matplotlib is missing; pip install -e '.[viz]' in a clone"
            raise ModuleNotFoundError(message, name="matplotlib") from None
        figure, axes = pyplot.subplots(
            len(self.traces) + 1, 1, sharex=True, figsize=(8, 2 + 1.6 * len(self.traces)), layout="constrained"
        )
        for axis, (name, values) in zip(axes, self.traces.items(), strict=False):
            for trace, label, style in zip(values, self.names, ("-", "--"), strict=True):
                axis.plot(trace.tolist(), style, label=label)
            axis.set_ylabel(name)
        growth = axes[-1]
        growth.plot(self.growth)
        growth.set_yscale("symlog", linthresh=min((size for size in self.growth if size > 0), default=1.0))
        growth.set_ylabel("largest\ndifference")
        growth.set_xlabel("tick")
        for axis in axes:
            axis.axvline(self.first.tick, color="grey", linestyle=":")
        axes[0].set_title(f"{_named(self.first.layer, self.first.kind)}, neuron {list(self.first.neuron)}")
        axes[0].legend()
        return figure


def _named(layer: str, kind: str) -> str:
    return "the result" if layer == "result" and not kind else f'layer "{layer}" ({kind})' if layer else kind


def _cells(layer: LayerComparison) -> tuple[str, ...]:
    name = _named(layer.layer, layer.kind)
    if layer.other != layer.layer:
        name += f' / "{layer.other}"'
    sizes = {name: size for name, size in layer.largest.items() if size > 0}
    differing = ", ".join(f"{name} {size:.2g}" for name, size in [*sizes.items()][:_MOST_FIELDS])
    differing += ", ..." if len(sizes) > _MOST_FIELDS else ""
    spikes = "" if layer.spikes is None else f"{layer.spikes_that_differ} of {layer.spikes}"
    return name, "" if layer.first_tick is None else str(layer.first_tick), differing or "none", spikes


def _some(first: int, ticks: int) -> Sequence[int]:
    """Ticks at growing distances: where it starts, 1, 2, 4, ... later, and the last."""
    later = [first, *(first + 2**k for k in range(64) if first + 2**k < ticks - 1)]
    return list(dict.fromkeys([*later[: _MOST_SHOWN - 1], ticks - 1]))


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows of cells as lines of a table, columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
