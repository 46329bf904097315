"""Whether convolutions are computed in the way that is faster: `python -m benchmarks.convolution_choice`.

For a grid of sizes and densities, on one thread: milliseconds of torch's layer and of the event-driven one, forward and
with the weight's gradient, and which of them `sparse="auto"` chooses. Choices that cost over 15 % more are marked.
"""

import time
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn

from norse.backends.cpu.convolution import Convolution, shape_of
from norse.backends.cpu.convolution_costs import most_events

CHANNELS, OUTPUTS, KERNELS = (1, 2, 16, 64), (8, 16, 32, 128), (3, 5)
DENSITIES = (0.01, 0.03, 0.1, 0.2, 0.5, 1.0)
TURNS, TOLERATED = 7, 1.15

Layer = Callable[[nn.Conv2d, Tensor], Tensor]


def milliseconds(call: Layer, layer: nn.Conv2d, x: Tensor, learns: bool) -> float:
    """Of the processor, the least of a few calls after a first that isn't counted."""
    grad, times = torch.randn_like(layer(x)), []
    for _ in range(TURNS + 1):
        layer.weight.grad = None
        start = time.thread_time()
        with torch.set_grad_enabled(learns):
            made = call(layer, x)
        if learns:
            made.backward(grad)
        times.append(time.thread_time() - start)
    return min(times[1:]) * 1e3


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    losses = []
    for channels, outputs, kernel, density in product(CHANNELS, OUTPUTS, KERNELS, DENSITIES):
        size, samples = (34 if channels <= 2 else 16), (64 if channels <= 16 else 16)
        layer = nn.Conv2d(channels, outputs, kernel, bias=False)
        x = (torch.rand(samples, channels, size, size) < density).float()
        shape = shape_of(layer, x)
        assert shape is not None
        for learns in (False, True):
            torchs, events = (milliseconds(way, layer, x, learns) for way in (nn.Conv2d.forward, Convolution(True)))
            few = int(x.sum()) <= most_events(shape, learns)
            losses.append((events if few else torchs) / min(events, torchs))
            mark, what = "!" if losses[-1] > TOLERATED else " ", "and backward" if learns else "forward"
            print(
                f"{mark} {channels:3} -> {outputs:3}, {kernel} x {kernel}, {density:4.0%}, {what:12}: "
                f"torch {torchs:6.2f}, events {events:6.2f}; "
                f"chosen: {'events' if few else 'torch':6} {losses[-1]:.2f} of the better"
            )
    wrong = sum(loss > TOLERATED for loss in losses)
    print(f"{wrong} of {len(losses)} over {TOLERATED - 1:.0%} above the better way; the worst: {max(losses):.2f}")


if __name__ == "__main__":
    main()
