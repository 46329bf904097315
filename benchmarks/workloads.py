"""What is measured, as data: networks, their sizes, their input. Every library's process reads it: numpy is enough."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

RATE = (
    0.05  # what fraction of a hidden layer's neurons fires in a tick: every library's weights are scaled until it does
)


class Layer(NamedTuple):
    """A layer: its kind, and its sizes as far as it has any.

    "linear" and "conv" have no bias; "recurrent" is LIF neurons with input weights and weights among themselves;
    "neuron" is the one that the field model names, "LI" the readout that doesn't spike.
    """

    kind: Literal["linear", "conv", "avg_pool", "flatten", "neuron", "recurrent"]
    inputs: int = 0
    outputs: int = 0
    size: int = 0
    model: str = "LIF"

    @property
    def spikes(self) -> bool:
        return self.kind == "recurrent" or (self.kind == "neuron" and self.model != "LI")

    def weight_shapes(self) -> list[tuple[int, ...]]:
        if self.kind == "linear":
            return [(self.outputs, self.inputs)]
        if self.kind == "conv":
            return [(self.outputs, self.inputs, self.size, self.size)]
        if self.kind == "recurrent":
            return [(self.outputs, self.inputs), (self.outputs, self.outputs)]
        return []


LIF = Layer("neuron")
LI = Layer("neuron", model="LI")


@dataclass(frozen=True)
class Workload:
    """A network and what it is given.

    Args:
        name: how the tables and `--workload` call it.
        title: the network in words.
        layers: the network.
        ticks, batch, inputs: the input is [ticks, batch, *inputs].
        density: how many of its entries are 1.
        mode: "train" is forward and backward, all weight gradients; "forward" has no gradients; "tick" is forward with
            one call a tick, its time is that of a tick.
    """

    name: str
    title: str
    layers: tuple[Layer, ...]
    ticks: int
    batch: int
    inputs: tuple[int, ...]
    density: float
    mode: Literal["train", "forward", "tick"] = "train"

    def spikes(self) -> np.ndarray:
        """The input, the same for every library: float32, 0 or 1."""
        numbers = np.random.default_rng(0).random((self.ticks, self.batch, *self.inputs), dtype=np.float32)
        return (numbers < self.density).astype(np.float32)

    def weights(self) -> list[list[np.ndarray]]:
        """For each layer its weights before a library's gain: variance 1 / fan-in, recurrent ones half as strong."""
        random = np.random.default_rng(1)
        drawn: list[list[np.ndarray]] = []
        for layer in self.layers:
            drawn.append([])
            for place, shape in enumerate(layer.weight_shapes()):
                scale = (0.5 if place else 1.0) / np.sqrt(np.prod(shape[1:]))
                values = random.standard_normal(shape, dtype=np.float32) * np.float32(scale)
                if place:
                    np.fill_diagonal(values, 0.0)
                drawn[-1].append(values)
        return drawn

    def held_bytes(self) -> int:
        """The input, the output and its cotangent, which somebody holds whatever a library keeps; float32."""
        sizes = [layer.outputs for layer in self.layers if layer.outputs]
        return 4 * self.ticks * self.batch * (int(np.prod(self.inputs)) + 2 * sizes[-1])

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"layers": [list(layer) for layer in self.layers]}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Workload":
        layers = tuple(Layer(*layer) for layer in fields["layers"])
        return cls(**fields | {"layers": layers, "inputs": tuple(fields["inputs"])})


def cotangent(shape: tuple[int, ...]) -> np.ndarray:
    """What the backward pass starts from: the gradient of some loss with respect to the output."""
    return np.random.default_rng(2).standard_normal(shape, dtype=np.float32)


def one_layer(name: str, n: int, ticks: int, batch: int, density: float, model: str = "LIF") -> Workload:
    """Linear n -> n and n neurons."""
    layers = (Layer("linear", n, n), Layer("neuron", model=model))
    return Workload(name, f"Linear {n} -> {n}, {model}", layers, ticks, batch, (n,), density)


def one_recurrent(n: int) -> Workload:
    """n recurrent LIF neurons at batch 1."""
    layers = (Layer("recurrent", n, n),)
    return Workload(f"recurrent={n}", f"{n} recurrent LIF at batch 1", layers, 300, 1, (n,), 0.05)


_MLP = (Layer("linear", 784, 512), LIF, Layer("linear", 512, 256), LIF, Layer("linear", 256, 10), LIF)
_RECURRENT = (Layer("recurrent", 700, 256), Layer("linear", 256, 20), LI)
_CONV = (
    Layer("conv", 2, 16, 3),
    LIF,
    Layer("avg_pool", size=2),
    Layer("conv", 16, 32, 3),
    LIF,
    Layer("avg_pool", size=2),
    Layer("flatten"),
    Layer("linear", 32 * 7 * 7, 10),
    LI,
)
_W3 = Workload("W3", "700 -> 256 recurrent LIF -> 20 LI", _RECURRENT, 100, 64, (700,), 0.02)

TABLE = (
    one_layer("W1", 512, 500, 16, 0.02),
    one_layer("W1b", 4096, 100, 16, 0.02),
    Workload("W2", "784 -> 512 -> 256 -> 10, LIF", _MLP, 100, 64, (784,), 0.05),
    _W3,
    Workload("W4", "conv 16, LIF, pool, conv 32, LIF, pool, 10 LI", _CONV, 50, 16, (2, 34, 34), 0.03),
    replace(_W3, name="W5", title="W3 at batch 1, forward", ticks=1000, batch=1, mode="forward"),
    replace(_W3, name="W6", title="W3 at batch 1, one tick a call", ticks=200, batch=1, mode="tick"),
)

# W1, ten times as long: what a backward keeps grows with T.
LONG = (one_layer("W1 long", 512, 5000, 16, 0.02),)

# W1, with one of its sizes changed at a time; and what has a single sample to share out among threads.
SCALING = {
    "N": tuple(one_layer(f"N={n}", n, 500, 16, 0.02) for n in (64, 128, 256, 512, 1024, 2048)),
    "T": tuple(one_layer(f"T={t}", 512, t, 16, 0.02) for t in (50, 100, 200, 500, 1000, 2000)),
    "B": tuple(one_layer(f"B={b}", 512, 500, b, 0.02) for b in (1, 2, 4, 8, 16, 32, 64)),
    "density": tuple(one_layer(f"density={d}", 512, 500, 16, d) for d in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)),
    "recurrent": tuple(one_recurrent(n) for n in (128, 256, 512, 1024, 2048)),
}

# W1 with other neurons. "UserLIF" is LIF's arithmetic, written outside of the library.
MODELS = tuple(
    one_layer(model, 512, 500, 16, 0.02, model)
    for model in ("LIF", "UserLIF", "LIFAdEx", "LIFRefrac", "LSNN", "Izhikevich")
)
