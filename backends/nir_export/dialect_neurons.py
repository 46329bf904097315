"""How neurons are said to each tool and what its own mean, by functions that the table of dialects names.

Plain NIR here is what `write_neuron` writes: r = 1, w_in = tau_syn / dt. `docs/nir.md` derives them.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import nir
import numpy as np

Reset = Literal["zero", "subtract", "several"]
# What a node of plain NIR says in its metadata while it is in memory, and no file does:
LOWER_BOUND = "v_lower_bound"  # below which potential its neurons don't fall
SAID_AS = "said_as"  # by which primitive the file of its tool says it, where that is another one


@dataclass(frozen=True)
class Written:
    """What a tool is given for a node.

    Args:
        node: a node.
        scale: how much larger its potentials are.
        back: weights through which it feeds itself, a tick later.
        before: what stands before it and is part of the same neurons: their synapse.
    """

    node: Any
    scale: Any = field(default_factory=lambda: np.ones(()))
    back: Any = None
    before: "Written | None" = None


Write = Callable[[Any, float], Written]  # a node and the time step in s -> what the tool is given
Read = Callable[[Any, float], Any]  # a node and the time step -> what it means in plain NIR


def _numbers(node: Any, *names: str) -> list[Any]:
    return [np.asarray(getattr(node, name), np.float64) for name in names]


def _made(kind: Any, like: Any, **fields: Any) -> Any:
    """A node with these fields, in the precision and shape of another's; what is not given is 0."""
    every = {name: 0.0 for name in ("v_leak", "v_threshold", "v_reset") if name in kind.__dataclass_fields__}
    made = {name: np.broadcast_to(value, like.r.shape).astype(like.r.dtype) for name, value in (every | fields).items()}
    return kind(**made)


def _positive(node: Any, *names: str) -> list[Any]:
    values = _numbers(node, *names)
    for name, value in zip(names, values, strict=True):
        if not (value > 0).all():
            raise ValueError(f"{name}: its tool divides by it: expected numbers above 0, got {np.min(value)}")
    return values


def _threshold(node: Any, reset: Reset) -> Any:
    """Above the leak potential, which such tools take for 0."""
    (threshold, v_reset), leak = _numbers(node, "v_threshold", "v_reset"), _leak(node)
    if reset == "several":
        _positive(node, "v_threshold")
    if (reset == "zero" or isinstance(node, nir.IF)) and (v_reset != leak).any():
        raise ValueError(
            f"in its tool v starts at, leaks to and is reset to one potential: expected v_reset={leak.flat[0]}, "
            f"got {v_reset.flat[0]}"
        )
    if reset != "zero" and (leak != 0).any():
        raise ValueError(f"its tool lowers v by the threshold, counted from 0: expected v_leak=0, got {leak.flat[0]}")
    return threshold - leak


def _leak(node: Any) -> Any:
    return _numbers(node, "v_leak")[0] if hasattr(node, "v_leak") else np.zeros(np.shape(node.v_threshold))


def _decay(node: Any, name: str, dt: float) -> Any:
    """1 - dt / tau, which must be positive where a tool makes exp(-dt / tau) of it."""
    (tau,) = _numbers(node, name)
    if (dt >= tau).any():
        raise ValueError(
            f"{name}: its tool decays by exp(-dt / tau): expected a time constant above dt={dt} s, got {tau.min()}"
        )
    return 1 - dt / tau


def _above(threshold: Any, dtype: Any) -> Any:
    """The next larger number: v > threshold is v >= that."""
    return np.nextafter(threshold.astype(dtype), np.array(np.inf, dtype))


def _as_lif(node: Any, dt: float) -> Any:
    """A Threshold as neurons that forget in a tick: v = x, whatever it was before."""
    threshold = np.asarray(node.threshold)
    ones, zeros = np.ones_like(threshold), np.zeros_like(threshold)
    return nir.LIF(np.full(threshold.shape, dt), ones, v_leak=zeros, v_threshold=threshold, v_reset=zeros)


def _without_leak_potential(node: Any, tool: str) -> None:
    leak = _leak(node)
    if leak.any():
        raise ValueError(f"{tool} leaks to 0: expected v_leak=0, got {leak.flat[np.argmax(leak != 0)]}")


def norse(node: Any, dt: float) -> Written:
    times = {name: getattr(node, name) for name in ("r", "w_in", "tau", "tau_mem", "tau_syn") if hasattr(node, name)}
    return Written(_made(type(node), node, **times, v_threshold=_threshold(node, "zero")))


def norse_threshold(node: Any, dt: float) -> Written:
    return norse(_as_lif(node, dt), dt)


def norse_analog(node: Any, dt: float) -> Written:
    """Norse has no neurons without a threshold, but a Linear may feed itself: v = a (x + (1 - a) / a v')."""
    shape = np.shape(node.r)
    if len(shape) != 1:
        raise ValueError(f"a Linear stands for it: expected samples of 1 dimension, got {list(shape)}")
    synapse = None
    if isinstance(node, nir.CubaLI):
        (tau_syn,) = _numbers(node, "tau_syn")
        synapse = _feeding_itself(np.ones(shape), 1 - dt / tau_syn, node)
    if isinstance(node, nir.I):
        return _feeding_itself(np.ones(shape), np.ones(shape), node)
    _without_leak_potential(node, "a Linear that stands for it")
    (tau,) = _numbers(node, "tau" if isinstance(node, nir.LI) else "tau_mem")
    return _feeding_itself(dt / tau, 1 - dt / tau, node, synapse)


def _feeding_itself(jump: Any, decay: Any, like: Any, before: Written | None = None) -> Written:
    dtype = like.r.dtype
    weight, back = np.diag(jump).astype(dtype), np.diag(decay / jump).astype(dtype)
    return Written(nir.Linear(weight), back=nir.Linear(back), before=before)


def from_norse(node: Any, dt: float) -> Any:
    """r counts where there is a synapse only."""
    kept = reset_to_zero(node, dt)
    if not isinstance(node, nir.CubaLIF):
        kept.r = np.ones_like(node.r)
    return kept


def reset_to_zero(node: Any, dt: float) -> Any:
    """Whatever v_reset says."""
    kept = copy.copy(node)
    kept.v_reset = np.zeros_like(node.v_threshold)
    return kept


SNNTORCH_DT = 1e-4


def snntorch(node: Any, dt: float) -> Written:
    """Inputs of weight 1: r = tau / dt and w_in = tau_syn / dt, with a time step of its own."""
    threshold, unit = _threshold(node, "zero"), SNNTORCH_DT / dt
    if isinstance(node, nir.IF):  # its IF has a leak, of 0.1 a tick
        return Written(_made(nir.LIF, node, tau=NO_LEAK * SNNTORCH_DT, r=NO_LEAK, v_threshold=threshold))
    if isinstance(node, nir.LIF):
        (tau,) = _numbers(node, "tau")
        made = _made(nir.LIF, node, tau=tau * unit, r=tau / dt, v_threshold=threshold * tau / dt)
        return Written(made, tau / dt)
    tau, tau_syn = _numbers(node, "tau_mem", "tau_syn")
    times = {"tau_mem": tau * unit, "tau_syn": tau_syn * unit, "r": tau / dt, "w_in": tau_syn / dt}
    return Written(_made(nir.CubaLIF, node, **times, v_threshold=threshold * tau / dt), tau / dt)


def snntorch_threshold(node: Any, dt: float) -> Written:
    return snntorch(_as_lif(node, dt), dt)


NO_LEAK = 1e8  # ticks: 1 - 1e-8 is 1 in float32


def _without_leak(node: Any, decay: Any) -> Any:
    """A node whose decay is 1 in its tool's float32 and whose input raises v by 1: IF or I; None if it leaks."""
    if (np.asarray(decay).astype(np.float32) != 1).any():
        return None
    said = {SAID_AS: type(node).__name__}
    if not hasattr(node, "v_threshold"):
        return nir.I(np.ones_like(node.r), metadata=said)
    return nir.IF(np.ones_like(node.r), node.v_threshold, np.zeros_like(node.v_threshold), metadata=said)


def from_snntorch(node: Any, dt: float) -> Any:
    tau, r = _numbers(node, "tau", "r")
    alike = bool((np.abs(r * SNNTORCH_DT / tau - 1) < 1e-6).all())
    made = _without_leak(node, 1 - SNNTORCH_DT / tau) if alike else None
    return reset_to_zero(node, dt) if made is None else made


def sinabs(node: Any, dt: float) -> Written:
    """Times in ticks, exact decay, and an input of 1 raises v by 1.

    Its IF does not fall below -v_threshold, but its LIF does: an IF without that bound is a LIF without a leak, where
    that can be loaded. It has neurons without a synapse alone, but a synapse is a leaky integrator before them.
    """
    threshold, dtype = _threshold(node, "several"), node.r.dtype
    if isinstance(node, nir.IF):
        threshold = _above(threshold, dtype)
        if LOWER_BOUND in node.metadata or _is_image(node):
            return Written(_made(nir.IF, node, r=1.0, v_threshold=threshold))
        return Written(_made(nir.LIF, node, tau=NO_LEAK, r=1.0, v_threshold=threshold))
    _no_image(node)
    decay = _decay(node, "tau_mem" if isinstance(node, nir.CubaLIF) else "tau", dt)
    scale = 1 / (1 - decay)
    made = _made(nir.LIF, node, tau=-1 / np.log(decay), r=1.0, v_threshold=_above(threshold * scale, dtype))
    return Written(made, scale, before=_sinabs_synapse(node, dt))


def _is_image(node: Any) -> bool:
    return sum(1 for size in np.shape(node.r) if size > 1) > 1


def _no_image(node: Any) -> None:
    if _is_image(node):
        raise ValueError(
            f"of images it can load IF alone: expected samples of 1 dimension, got {list(np.shape(node.r))}; put a "
            "Flatten before, or use snn.IAF with reset_method=reset_subtract_bounded"
        )


def sinabs_analog(node: Any, dt: float) -> Written:
    _no_image(node)
    if isinstance(node, nir.I):
        return Written(_made(nir.LI, node, tau=NO_LEAK, r=1.0))
    _without_leak_potential(node, "Sinabs")
    decay = _decay(node, "tau_mem" if isinstance(node, nir.CubaLI) else "tau", dt)
    made = _made(nir.LI, node, tau=-1 / np.log(decay), r=1.0)
    return Written(made, 1 / (1 - decay), before=_sinabs_synapse(node, dt))


def _sinabs_synapse(node: Any, dt: float) -> Written | None:
    """What an input of 1 raises by 1, as w_in = tau_syn / dt does."""
    if not hasattr(node, "tau_syn"):
        return None
    return Written(_made(nir.LI, node, tau=-1 / np.log(_decay(node, "tau_syn", dt)), r=1.0))


def from_sinabs(node: Any, dt: float) -> Any:
    if hasattr(node, "v_threshold"):
        _positive(node, "v_threshold")
    if isinstance(node, nir.IF):
        zeros, bound = np.zeros_like(node.v_threshold), {LOWER_BOUND: -node.v_threshold}
        return nir.IF(np.ones_like(node.r), node.v_threshold, zeros, metadata=bound)
    decay = np.exp(-1 / _positive(node, "tau")[0])
    made = _without_leak(node, decay)
    return _euler(node, 1 - decay, dt) if made is None else made


def _euler(node: Any, step: Any, dt: float, jump: Any = 1.0) -> Any:
    """Of a node without a synapse whose input of 1 raises v by `jump`: forward Euler with dt / tau = step."""
    kept = copy.copy(node)
    dtype = np.asarray(node.tau).dtype
    kept.tau, kept.r = (dt / step).astype(dtype), (jump / step).astype(dtype)
    return kept


def rockpool(node: Any, dt: float) -> Written:
    """Exact decay of both after the input came in; the time step is what r says: r = tau_mem / dt - 1."""
    threshold, decay, decay_syn = _threshold(node, "several"), _decay(node, "tau_mem", dt), _decay(node, "tau_syn", dt)
    tau, tau_syn, scale = -dt / np.log(decay), -dt / np.log(decay_syn), decay_syn / (1 - decay)
    threshold = _above(threshold * scale, node.r.dtype)
    times = {"tau_mem": tau, "tau_syn": tau_syn, "r": tau / dt - 1, "w_in": 1.0}
    return Written(_made(nir.CubaLIF, node, **times, v_threshold=threshold), scale)


def rockpool_analog(node: Any, dt: float) -> Written:
    """It makes synapses of LI, y = exp(-1 / (1 + r)) (y' + x), if tau is a whole number."""
    if np.size(node.r) < 2:
        raise ValueError("Rockpool takes two or more such neurons: expected a layer of 2 at least, got 1")
    if isinstance(node, nir.I):
        return Written(_made(nir.LI, node, tau=1.0, r=NO_LEAK))
    _without_leak_potential(node, "Rockpool")
    decay = _decay(node, "tau_mem" if isinstance(node, nir.CubaLI) else "tau", dt)
    made, scale = _made(nir.LI, node, tau=1.0, r=-1 / np.log(decay) - 1), decay / (1 - decay)
    if not isinstance(node, nir.CubaLI):
        return Written(made, scale)
    syn = _decay(node, "tau_syn", dt)
    synapse = _made(nir.LI, node, tau=1.0, r=-1 / np.log(syn) - 1)
    return Written(made, scale * syn, before=Written(synapse))


def from_rockpool(node: Any, dt: float) -> Any:
    if isinstance(node, nir.LI):
        tau, r = _numbers(node, "tau", "r")
        if (np.trunc(tau) != tau).any() or (tau < 1).any() or (r <= 0).any():
            raise ValueError(f"Rockpool cuts off what follows the point: expected whole tau and r > 0, got {tau.min()}")
        decay = np.exp(-1 / (1 + r))
        made = _without_leak(node, decay)
        return _euler(node, 1 - decay, dt, decay) if made is None else made
    _positive(node, "v_threshold")
    if isinstance(node, nir.LIF):
        return _euler(node, 1 - np.exp(-dt / _positive(node, "tau")[0]), dt)
    kept, dtype = copy.copy(node), np.asarray(node.tau_mem).dtype
    decay, decay_syn = (np.exp(-dt / tau) for tau in _positive(node, "tau_mem", "tau_syn"))
    kept.tau_mem, kept.r = (dt / (1 - decay)).astype(dtype), (1 / (1 - decay)).astype(dtype)
    kept.tau_syn, kept.w_in = (dt / (1 - decay_syn)).astype(dtype), (decay_syn / (1 - decay_syn)).astype(dtype)
    return kept


def spyx(node: Any, dt: float) -> Written:
    """Inputs of weight 1 into the current, and from there into v.

    Its LIF lowers v after the decay, so a LIF is a CubaLIF whose synapse lasts for one tick.
    """
    threshold = _threshold(node, "subtract")
    if isinstance(node, nir.IF):
        return Written(_made(nir.IF, node, r=1.0, v_threshold=threshold))
    (tau,) = _numbers(node, "tau" if isinstance(node, nir.LIF) else "tau_mem")
    tau_syn = _numbers(node, "tau_syn")[0] if isinstance(node, nir.CubaLIF) else np.full(np.shape(tau), dt)
    times = {"tau_mem": tau, "tau_syn": tau_syn, "r": tau / dt, "w_in": tau_syn / dt}
    return Written(_made(nir.CubaLIF, node, **times, v_threshold=threshold * tau / dt), tau / dt)


def spyx_threshold(node: Any, dt: float) -> Written:
    return spyx(_as_lif(node, dt), dt)


def from_spyx(node: Any, dt: float) -> Any:
    kept = copy.copy(node)
    if isinstance(node, nir.LIF):
        raise ValueError(
            "Spyx lowers v by the threshold after the decay, which no neuron here does: expected an IF or CubaLIF"
        )
    if isinstance(node, nir.CubaLIF):
        tau, tau_syn = _numbers(node, "tau_mem", "tau_syn")
        kept.r, kept.w_in = (tau / dt).astype(node.r.dtype), (tau_syn / dt).astype(node.r.dtype)
    else:
        kept.r = np.ones_like(node.r)
    return kept


def with_bias(node: Any, dt: float) -> Written:
    return Written(nir.Affine(node.weight, np.zeros(node.weight.shape[0], node.weight.dtype)))
