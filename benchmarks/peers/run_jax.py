"""JAX without a library: one jitted function; synapses take all ticks at once, neurons are a lax.scan.

The neurons are norse's equations, in norse's order, with the same surrogate derivative.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.peers.protocol import restrict_threads, serve

restrict_threads()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax import Array, lax  # noqa: E402

from benchmarks.workloads import Layer, Workload, cotangent  # noqa: E402


@jax.custom_vjp
def threshold(v: Array) -> Array:
    return (v > 0).astype(v.dtype)


threshold.defvjp(
    lambda v: (threshold(v), v),
    lambda v, g: (g / (100.0 * jnp.abs(v) + 1.0) ** 2,),
)


def lif(state: tuple[Array, ...], x: Array) -> tuple[tuple[Array, ...], Array]:
    v, i = state
    i = i + x
    v = v + 0.1 * (i - v)
    i = i - 0.2 * i
    z = threshold(v - 1.0)
    return ((1.0 - z) * v, i), z


def li(state: tuple[Array, ...], x: Array) -> tuple[tuple[Array, ...], Array]:
    v, i = state
    i = i + x
    v = v + 0.1 * (i - v)
    return (v, i - 0.2 * i), v


def lif_adex(state: tuple[Array, ...], x: Array) -> tuple[tuple[Array, ...], Array]:
    v, i, a = state
    i = i + x
    u = v + 0.1 * (-v + 0.5 * jnp.exp((v - 1.0) / 0.5) + i - a)
    i = i - 0.2 * i
    a = a + 0.002 * (4.0 * v - a)
    z = threshold(u - 1.0)
    return ((1.0 - z) * u, i, a + 0.02 * z), z


STEPS = {"LIF": (lif, 2), "LI": (li, 2), "LIFAdEx": (lif_adex, 3)}


def zeros(count: int, like: Array) -> tuple[Array, ...]:
    return tuple(jnp.zeros_like(like) for _ in range(count))


def recurrent(w: Array, state: tuple[Array, ...], x: Array) -> tuple[tuple[Array, ...], Array]:
    z, *rest = state
    after, z = lif(tuple(rest), x + z @ w)
    return (z, *after), z


def synapses(layer: Layer, weights: list[Array], x: Array) -> Array:
    """A layer that knows no time; images are NHWC, which XLA's convolutions on CPUs are made for."""
    if layer.kind in ("linear", "recurrent"):
        return x @ weights[0]
    if layer.kind == "conv":
        return lax.conv_general_dilated(x, weights[0], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    if layer.kind == "avg_pool":
        b, h, w, c = x.shape
        return x.reshape(b, h // layer.size, layer.size, w // layer.size, layer.size, c).mean((2, 4))
    return x.reshape(x.shape[0], -1)


def step_of(layer: Layer, weights: list[Array]) -> tuple[Any, int]:
    if layer.kind == "recurrent":
        return (lambda state, x: recurrent(weights[1], state, x)), 3
    return STEPS[layer.model]


def over_time(layers: tuple[Layer, ...], weights: list[list[Array]], x: Array) -> tuple[Array, list[Array]]:
    """The output [T, B, ...] and the spikes of each spiking layer."""
    found = []
    for layer, own in zip(layers, weights, strict=True):
        if layer.kind != "neuron":
            y = synapses(layer, own, x.reshape(-1, *x.shape[2:]))
            x = y.reshape(*x.shape[:2], *y.shape[1:])
        if layer.kind in ("neuron", "recurrent"):
            step, count = step_of(layer, own)
            _, x = lax.scan(step, zeros(count, x[0]), x)
        if layer.spikes:
            found.append(x)
    return x, found


def one_tick(layers: tuple[Layer, ...], weights: list[list[Array]], states: Any, x: Array) -> tuple[Any, Array]:
    after = []
    for layer, own, state in zip(layers, weights, states, strict=True):
        if layer.kind != "neuron":
            x = synapses(layer, own, x)
        if layer.kind in ("neuron", "recurrent"):
            state, x = step_of(layer, own)[0](state, x)
        after.append(state)
    return after, x


def resting(layers: tuple[Layer, ...], weights: list[list[Array]], x: Array) -> list[tuple[Array, ...]]:
    states = []
    for layer, own in zip(layers, weights, strict=True):
        if layer.kind != "neuron":
            x = synapses(layer, own, x)
        count = step_of(layer, own)[1] if layer.kind in ("neuron", "recurrent") else 0
        states.append(zeros(count, x))
    return states


class JaxProgram:
    def __init__(self, workload: Workload) -> None:
        unknown = {layer.model for layer in workload.layers if layer.model not in STEPS}
        if unknown:
            raise NotImplementedError(f"not written for JAX: {', '.join(unknown)}")
        self.workload, layers = workload, workload.layers
        x = workload.spikes()
        self.input = jnp.asarray(np.moveaxis(x, 2, -1) if x.ndim == 5 else x)
        self.ticks = [jnp.asarray(tick) for tick in x] if workload.mode == "tick" else []
        self.weights = [[own_layout(values) for values in own] for own in workload.weights()]
        self.unscaled = [list(own) for own in self.weights]
        self.gained, latest = [], 0
        for place, layer in enumerate(layers):
            latest = place if self.weights[place] else latest
            if layer.spikes:
                self.gained.append(latest)

        def loss(weights: list[list[Array]], x: Array, g: Array) -> Array:
            return jnp.vdot(over_time(layers, weights, x)[0], g)

        self.forward = jax.jit(lambda weights, x: over_time(layers, weights, x)[0])
        self.train = jax.jit(jax.value_and_grad(loss))
        self.tick = jax.jit(lambda weights, states, x: one_tick(layers, weights, states, x))
        self._rates = jax.jit(lambda weights, x: [z.mean() for z in over_time(layers, weights, x)[1]])
        shape = jax.eval_shape(self.forward, self.weights, self.input).shape
        self.cotangent = jnp.asarray(cotangent(shape)) if workload.mode == "train" else None
        self.gradients: Any = []

    def scale(self, layer: int, gain: float) -> None:
        place = self.gained[layer]
        self.weights[place] = [values * gain for values in self.unscaled[place]]

    def rates(self, samples: int | None) -> list[float]:
        return [float(rate) for rate in self._rates(self.weights, self.input[:, :samples])]

    def step(self) -> None:
        if self.workload.mode == "train":
            _, self.gradients = jax.block_until_ready(self.train(self.weights, self.input, self.cotangent))
        elif self.workload.mode == "forward":
            self.forward(self.weights, self.input).block_until_ready()
        else:
            states = resting(self.workload.layers, self.weights, self.ticks[0])
            for x in self.ticks:
                states, y = self.tick(self.weights, states, x)
                y.block_until_ready()

    def gradient_norms(self) -> list[float]:
        return [float(jnp.linalg.norm(gradient.ravel())) for own in self.gradients for gradient in own]


def own_layout(values: np.ndarray) -> Array:
    """[in, out] of [out, in]; HWIO of OIHW."""
    return jnp.asarray(np.ascontiguousarray(values.T if values.ndim == 2 else values.transpose(2, 3, 1, 0)))


def build(workload: Workload, options: dict[str, Any]) -> JaxProgram:
    return JaxProgram(workload)


if __name__ == "__main__":
    serve(build, {"jax": version("jax"), "jaxlib": version("jaxlib")})
