"""Whether convolutions are computed in the way that is faster: `python -m benchmarks.convolution_choice`.

For a grid of sizes and densities, on one thread: milliseconds of torch's layer, of the event-driven one, and of what
`sparse="auto"` makes of it, forward and with the weight's gradient, in turns. What costs over 15 % more than the better
of the two is marked.
"""

import time
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn

from norse.backends.cpu.convolution import Convolution

CHANNELS, OUTPUTS, KERNELS = (1, 2, 16, 64), (8, 16, 32, 128), (3, 5)
DENSITIES = (0.01, 0.03, 0.1, 0.2, 0.5, 1.0)
TURNS, TOLERATED = 7, 1.15

Layer = Callable[[nn.Conv2d, Tensor], Tensor]
# In each group in turns: the event-driven way would leave the other two cold caches.
WAYS: tuple[tuple[Layer, ...], ...] = ((nn.Conv2d.forward, Convolution("auto")), (Convolution(True),))


def milliseconds(layer: nn.Conv2d, x: Tensor, learns: bool) -> list[float]:
    """Of the processor, in each of the ways: the least of a few turns, after a first that isn't counted."""
    grad = torch.randn_like(layer(x))

    def once(way: Layer) -> float:
        layer.weight.grad = None
        start = time.thread_time()
        with torch.set_grad_enabled(learns):
            made = way(layer, x)
        if learns:
            made.backward(grad)
        return (time.thread_time() - start) * 1e3

    found = []
    for group in WAYS:
        turns = [[once(way) for way in group] for _ in range(TURNS + 1)]
        found += [min(of_way) for of_way in zip(*turns[1:], strict=True)]
    return found


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    losses = []
    for channels, outputs, kernel, density in product(CHANNELS, OUTPUTS, KERNELS, DENSITIES):
        size, samples = (34 if channels <= 2 else 16), (64 if channels <= 16 else 16)
        layer = nn.Conv2d(channels, outputs, kernel, bias=False)
        x = (torch.rand(samples, channels, size, size) < density).float()
        for learns in (False, True):
            dense, auto, events = milliseconds(layer, x, learns)
            losses.append(auto / min(dense, events))
            mark = "!" if losses[-1] > TOLERATED else " "
            what = "forward and backward" if learns else "forward"
            print(
                f"{mark} {channels:3} -> {outputs:3}, {kernel} x {kernel}, {density:4.0%}, {what:20}: "
                f"torch {dense:7.2f}, events {events:7.2f}, auto {auto:7.2f}, {losses[-1]:.2f} of the better"
            )
    wrong = sum(loss > TOLERATED for loss in losses)
    print(
        f"{wrong} of {len(losses)} cost over {TOLERATED - 1:.0%} more than the better way; the worst {max(losses):.2f}"
    )


if __name__ == "__main__":
    main()
