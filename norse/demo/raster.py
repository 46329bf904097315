"""A picture of the network at work: the spikes of all its layers while it looks at one digit."""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import norse.torch as snn
from norse.demo.network import SPIKING, observed, scores

INK, ACCENT, GREY = "#1b2a41", "#d1495b", "#9aa5b1"


def draw(model: snn.SequentialState, image: Tensor, spikes: Tensor, label: int, file: Path) -> None:
    """Draws one digit, image [64], as spikes [T, 1, 64], on its way through the network, into a PNG file."""
    with torch.no_grad():
        outputs, _ = observed(model)(spikes)
    answer = int(scores(outputs[-1]).argmax())

    # Figure instead of pyplot: it draws into a file without a screen, and leaves the user's matplotlib as it is.
    figure = Figure(figsize=(9, 9.5), layout="constrained")
    layers = {"input": spikes} | {name: outputs[layer] for layer, name in SPIKING.items()}
    heights = [layer.shape[-1] for layer in layers.values()]
    grid = figure.add_gridspec(len(layers) + 1, 2, width_ratios=(8, 1), height_ratios=(*heights, 100))
    axes = [figure.add_subplot(row) for row in (grid[i, 0] for i in range(len(layers) + 1))]
    for panel, (name, layer) in zip(axes, layers.items(), strict=False):
        raster(panel, name, layer[:, 0])
    potentials(axes[-1], outputs[-1][:, 0], answer)
    pixels(figure.add_subplot(grid[0, 1]), image)
    figure.suptitle(f"A handwritten {label}, recognised as {answer}", color=INK, fontsize=14)
    figure.savefig(file, dpi=150)


def raster(panel: Axes, name: str, layer: Tensor) -> None:
    """A dot for every spike of a layer, [T, N]."""
    ticks, neurons = layer.numpy().nonzero()
    panel.scatter(ticks, neurons, s=5, c=INK, marker="|", linewidths=0.9)
    panel.set(xlim=(0, len(layer)), ylim=(-1, layer.shape[1]), ylabel=f"{name}, neuron", xticklabels=[])
    rate = f"{float(layer.mean()):.1%} of neurons spike in a tick"
    panel.set_title(rate, loc="right", fontsize=9, color=GREY)
    panel.spines[["top", "right"]].set_visible(False)


def potentials(panel: Axes, readout: Tensor, answer: int) -> None:
    """The membrane potentials of the readout, [T, 10], the answer's on top."""
    for digit in sorted(range(readout.shape[1]), key=lambda digit: digit == answer):
        color = ACCENT if digit == answer else GREY
        panel.plot(readout[:, digit].numpy(), color=color, linewidth=2 if digit == answer else 1)
    panel.text(len(readout), float(readout[-1, answer]), f" {answer}", color=ACCENT, fontsize=12, va="center")
    panel.set(xlim=(0, len(readout)), xlabel="time in ticks of 1 ms", ylabel="readout, potential")
    panel.spines[["top", "right"]].set_visible(False)


def pixels(panel: Axes, image: Tensor) -> None:
    """The digit itself."""
    panel.imshow(image.reshape(8, 8).numpy(), cmap="gray_r")
    panel.set_axis_off()
