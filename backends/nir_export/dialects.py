"""What the tools that read NIR make of a file, found by running them, and how to say a graph so that they run ours.

A dialect is a table: which primitives its tool takes, what a spike does to its membrane, and for each primitive that it
reads otherwise than as forward Euler of NIR, one function that writes it and one that reads it. `docs/nir.md` derives
them. Plain NIR here is what `write_neuron` writes: r = 1, w_in = tau_syn / dt.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import nir
import numpy as np

Reset = Literal["zero", "subtract", "several"]
# A node and the time step in s -> the node that the tool is given, and how much larger its potentials are.
Write = Callable[[Any, float], tuple[Any, Any]]
Read = Callable[[Any, float], Any]  # a node and the time step -> what it means in plain NIR


@dataclass(frozen=True)
class Dialect:
    """How a tool reads NIR.

    Args:
        tool: its name and the version that was run.
        reset: what a spike does: v becomes v_reset, which must be the leak potential ("zero"; in plain NIR it may be
            any); v falls by the threshold ("subtract"); or v falls by the threshold as often as it can, and the spikes
            of a tick are counted ("several").
        takes: the primitives that it takes unchanged.
        write: those that it takes in another form.
        read: what those of its files mean.
        dt: its time step in s, if that is fixed.
        dt_in_r: whether its files tell their time step by r = exp(-dt / tau) tau / dt.
        cycles: recurrence is taken as NIR writes it ("any"), as a graph of its own for each recurrent layer ("nested"),
            or not at all ("none").
        chains: whether it takes chains of nodes alone.
        late: whether its neurons fire a tick after the one that brought them to the threshold.
        instead: what to do in place of a primitive that it does not take.
        caveat: where its neurons differ from a model's, said when the two are found to.
    """

    tool: str
    reset: Reset = "zero"
    takes: frozenset[type] = frozenset()
    write: Mapping[type, Write] = field(default_factory=dict)
    read: Mapping[type, Read] = field(default_factory=dict)
    dt: float | None = None
    dt_in_r: bool = False
    cycles: Literal["any", "nested", "none"] = "any"
    chains: bool = False
    late: bool = False
    instead: Mapping[type, str] = field(default_factory=dict)
    caveat: str = ""

    @property
    def is_plain(self) -> bool:
        return not self.takes

    def accepts(self, reset: str) -> bool:
        """Whether a model with that reset can be said. One spike at a time is as several, as long as one is enough."""
        return reset == self.reset or (self.reset == "several" and reset == "subtract")


# ---- neurons ---------------------------------------------------------------------------------------------------------


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


def _norse(node: Any, dt: float) -> tuple[Any, Any]:
    return _same(node, _threshold(node, "zero")), np.ones(())


def _same(node: Any, threshold: Any) -> Any:
    times = {name: getattr(node, name) for name in ("r", "w_in", "tau", "tau_mem", "tau_syn") if hasattr(node, name)}
    return _made(type(node), node, **times, v_threshold=threshold)


def _from_norse(node: Any, dt: float) -> Any:
    """r counts where there is a synapse only."""
    kept = _reset_to_zero(node, dt)
    if not isinstance(node, nir.CubaLIF):
        kept.r = np.ones_like(node.r)
    return kept


def _reset_to_zero(node: Any, dt: float) -> Any:
    """Whatever v_reset says."""
    kept = copy.copy(node)
    kept.v_reset = np.zeros_like(node.v_threshold)
    return kept


SNNTORCH_DT = 1e-4


def _snntorch(node: Any, dt: float) -> tuple[Any, Any]:
    """Inputs of weight 1: r = tau / dt and w_in = tau_syn / dt, with a time step of its own."""
    threshold, unit = _threshold(node, "zero"), SNNTORCH_DT / dt
    if isinstance(node, nir.IF):  # its IF has a leak, of 0.1 a tick
        return _made(nir.LIF, node, tau=NO_LEAK * SNNTORCH_DT, r=NO_LEAK, v_threshold=threshold), np.ones(())
    if isinstance(node, nir.LIF):
        (tau,) = _numbers(node, "tau")
        return _made(nir.LIF, node, tau=tau * unit, r=tau / dt, v_threshold=threshold * tau / dt), tau / dt
    tau, tau_syn = _numbers(node, "tau_mem", "tau_syn")
    times = {"tau_mem": tau * unit, "tau_syn": tau_syn * unit, "r": tau / dt, "w_in": tau_syn / dt}
    return _made(nir.CubaLIF, node, **times, v_threshold=threshold * tau / dt), tau / dt


NO_LEAK = 1e8  # ticks: 1 - 1e-8 is 1 in float32


def _sinabs_spiking(node: Any, dt: float) -> tuple[Any, Any]:
    """Times in ticks, exact decay, and an input of 1 raises v by 1."""
    threshold = _threshold(node, "several")
    if isinstance(node, nir.IF):
        return _made(nir.IF, node, r=1.0, v_threshold=_above(threshold, node.r.dtype)), np.ones(())
    decay = _decay(node, "tau", dt)
    scale = 1 / (1 - decay)
    threshold = _above(threshold * scale, node.r.dtype)
    return _made(nir.LIF, node, tau=-1 / np.log(decay), r=1.0, v_threshold=threshold), scale


def _sinabs_leak(node: Any, dt: float) -> tuple[Any, Any]:
    (leak,), decay = _numbers(node, "v_leak"), _decay(node, "tau", dt)
    if leak.any():
        raise ValueError(f"Sinabs leaks to 0: expected v_leak=0, got {leak.flat[0]}")
    return _made(nir.LI, node, tau=-1 / np.log(decay), r=1.0), 1 / (1 - decay)


def _from_sinabs(node: Any, dt: float) -> Any:
    if hasattr(node, "v_threshold"):
        _positive(node, "v_threshold")
    if isinstance(node, nir.IF):
        return nir.IF(np.ones_like(node.r), node.v_threshold, np.zeros_like(node.v_threshold))
    return _euler(node, 1 - np.exp(-1 / _positive(node, "tau")[0]), dt)


def _euler(node: Any, step: Any, dt: float) -> Any:
    """Of a node without a synapse whose input raises v by 1: forward Euler with dt / tau = step."""
    kept = copy.copy(node)
    dtype = np.asarray(node.tau).dtype
    kept.tau, kept.r = (dt / step).astype(dtype), (1 / step).astype(dtype)
    return kept


def _rockpool(node: Any, dt: float) -> tuple[Any, Any]:
    """Exact decay of both after the input came in; the time step is what r says: r = tau_mem / dt - 1."""
    threshold, decay, decay_syn = _threshold(node, "several"), _decay(node, "tau_mem", dt), _decay(node, "tau_syn", dt)
    tau, tau_syn, scale = -dt / np.log(decay), -dt / np.log(decay_syn), decay_syn / (1 - decay)
    threshold = _above(threshold * scale, node.r.dtype)
    times = {"tau_mem": tau, "tau_syn": tau_syn, "r": tau / dt - 1, "w_in": 1.0}
    return _made(nir.CubaLIF, node, **times, v_threshold=threshold), scale


def _from_rockpool(node: Any, dt: float) -> Any:
    _positive(node, "v_threshold")
    if isinstance(node, nir.LIF):
        return _euler(node, 1 - np.exp(-dt / _positive(node, "tau")[0]), dt)
    kept, dtype = copy.copy(node), np.asarray(node.tau_mem).dtype
    decay, decay_syn = (np.exp(-dt / tau) for tau in _positive(node, "tau_mem", "tau_syn"))
    kept.tau_mem, kept.r = (dt / (1 - decay)).astype(dtype), (1 / (1 - decay)).astype(dtype)
    kept.tau_syn, kept.w_in = (dt / (1 - decay_syn)).astype(dtype), (decay_syn / (1 - decay_syn)).astype(dtype)
    return kept


def _spyx(node: Any, dt: float) -> tuple[Any, Any]:
    """Inputs of weight 1 into the current, and from there into v.

    Its LIF lowers v after the decay, so a LIF is a CubaLIF whose synapse lasts for one tick.
    """
    threshold = _threshold(node, "subtract")
    if isinstance(node, nir.IF):
        return _made(nir.IF, node, r=1.0, v_threshold=threshold), np.ones(())
    (tau,) = _numbers(node, "tau" if isinstance(node, nir.LIF) else "tau_mem")
    tau_syn = _numbers(node, "tau_syn")[0] if isinstance(node, nir.CubaLIF) else np.full(np.shape(tau), dt)
    times = {"tau_mem": tau, "tau_syn": tau_syn, "r": tau / dt, "w_in": tau_syn / dt}
    return _made(nir.CubaLIF, node, **times, v_threshold=threshold * tau / dt), tau / dt


def _from_spyx(node: Any, dt: float) -> Any:
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


def _with_bias(node: Any, dt: float) -> tuple[Any, Any]:
    return nir.Affine(node.weight, np.zeros(node.weight.shape[0], node.weight.dtype)), np.ones(())


# ---- the table -------------------------------------------------------------------------------------------------------

_POTENTIALS = "read spikes, or compute the potentials from the spikes of the layer before"
_INSTEAD: dict[type, str] = {
    nir.LI: _POTENTIALS,
    nir.CubaLI: _POTENTIALS,
    nir.I: _POTENTIALS,
    nir.Scale: "multiply the weights before it",
    nir.Threshold: "use snn.IAF",
    nir.Delay: "delay the spikes outside of the tool",
    nir.Linear: "use nn.Linear with a bias",
    nir.AvgPool2d: "use nn.LPPool2d(1, ...), a sum, and divide the weights behind it",
}
_CUBA = {nir.LIF: "use snn.LIF, whose synapse Rockpool needs", nir.IF: "use snn.LIF, whose synapse Rockpool needs"}
_CHANNELS_LAST = "Spyx has channels last: use linear layers"

DIALECTS: Mapping[str, Dialect] = {
    "nir": Dialect("NIR"),
    "norse": Dialect(
        "Norse 1.1.0",
        takes=frozenset({nir.Affine, nir.Linear, nir.Conv2d, nir.Flatten, nir.SumPool2d}),
        write={nir.LIF: _norse, nir.IF: _norse, nir.CubaLIF: _norse},
        read={nir.LIF: _from_norse, nir.IF: _from_norse, nir.CubaLIF: _from_norse},
        instead=_INSTEAD,
    ),
    "snntorch": Dialect(
        "snnTorch 1.0.0",
        takes=frozenset(
            {nir.Affine, nir.Linear, nir.Conv1d, nir.Conv2d, nir.Flatten, nir.AvgPool2d, nir.SumPool2d}
        ),
        write={nir.LIF: _snntorch, nir.IF: _snntorch, nir.CubaLIF: _snntorch},
        read={nir.LIF: _reset_to_zero, nir.CubaLIF: _reset_to_zero},
        dt=SNNTORCH_DT,
        cycles="none",
        instead=_INSTEAD,
    ),
    "sinabs": Dialect(
        "Sinabs 3.1.3",
        reset="several",
        takes=frozenset({nir.Affine, nir.Conv2d, nir.Flatten, nir.SumPool2d}),
        write={nir.LIF: _sinabs_spiking, nir.IF: _sinabs_spiking, nir.LI: _sinabs_leak, nir.Linear: _with_bias},
        read={nir.LIF: _from_sinabs, nir.IF: _from_sinabs, nir.LI: _from_sinabs},
        cycles="none",
        instead=_INSTEAD | {nir.CubaLIF: "use snn.LIFBox, which has no synapse", nir.Conv1d: "use nn.Conv2d"},
        caveat="its neurons fire several spikes in a tick, and its IF does not fall below -v_threshold",
    ),
    "rockpool": Dialect(
        "Rockpool 3.1.0",
        reset="several",
        takes=frozenset({nir.Affine, nir.Linear}),
        write={nir.CubaLIF: _rockpool},
        read={nir.LIF: _from_rockpool, nir.CubaLIF: _from_rockpool},
        dt_in_r=True,
        cycles="nested",
        caveat="its neurons fire several spikes in a tick",
        instead=_INSTEAD | _CUBA | dict.fromkeys((nir.Conv1d, nir.Conv2d, nir.Flatten), "use linear layers"),
    ),
    "spyx": Dialect(
        "Spyx 1.0.0",
        reset="subtract",
        takes=frozenset({nir.Affine, nir.Linear, nir.Flatten}),
        write={nir.LIF: _spyx, nir.IF: _spyx, nir.CubaLIF: _spyx},
        read={nir.LIF: _from_spyx, nir.IF: _from_spyx, nir.CubaLIF: _from_spyx},
        cycles="none",
        chains=True,
        late=True,
        instead=_INSTEAD | dict.fromkeys((nir.Conv1d, nir.Conv2d, nir.SumPool2d), _CHANNELS_LAST),
    ),
}  # fmt: skip


def dialect_of(name: str, where: str) -> Dialect:
    """The dialect of that name, or a ValueError."""
    if name not in DIALECTS:
        raise ValueError(f"{where}: argument dialect: expects one of {', '.join(DIALECTS)}, got {name!r}")
    return DIALECTS[name]
