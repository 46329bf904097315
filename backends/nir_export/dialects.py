"""What the tools that read NIR make of a file, found by running them, and how to say a graph so that they run ours.

A dialect is a table: which primitives its tool takes, what a spike does to its membrane, and for each primitive that it
reads otherwise than as forward Euler of NIR, one function that writes it and one that reads it. `docs/nir.md` derives
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import nir

from norse.backends.nir_export.dialect_neurons import (
    SNNTORCH_DT,
    Read,
    Reset,
    Write,
    from_norse,
    from_rockpool,
    from_sinabs,
    from_snntorch,
    from_spyx,
    norse,
    norse_analog,
    norse_threshold,
    reset_to_zero,
    rockpool,
    rockpool_analog,
    sinabs,
    sinabs_analog,
    snntorch,
    snntorch_threshold,
    spyx,
    spyx_threshold,
    with_bias,
)


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
        bounded: the primitives whose potential it does not let fall below -v_threshold.
        late: whether its neurons fire a tick after the one that brought them to the threshold.
        instead: what to do in place of a primitive that it does not take.
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
    bounded: frozenset[type] = frozenset()
    late: bool = False
    instead: Mapping[type, str] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        return not self.takes

    def accepts(self, reset: str) -> bool:
        """Whether a model with that reset can be said. One spike at a time is as several, as long as one is enough."""
        return reset == self.reset or (self.reset == "several" and reset == "subtract")


_POTENTIALS = "end the model with the layer before it, and run it on what the tool gives"
_INSTEAD: dict[type, str] = {
    nir.LI: _POTENTIALS,
    nir.CubaLI: _POTENTIALS,
    nir.I: _POTENTIALS,
    nir.Scale: "multiply the weights before it",
    nir.Threshold: "compare outside of the tool",
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
        write={
            nir.LIF: norse, nir.IF: norse, nir.CubaLIF: norse, nir.Threshold: norse_threshold,
            nir.LI: norse_analog, nir.CubaLI: norse_analog, nir.I: norse_analog,
        },
        read={nir.LIF: from_norse, nir.IF: from_norse, nir.CubaLIF: from_norse},
        instead=_INSTEAD,
    ),
    "snntorch": Dialect(
        "snnTorch 1.0.0",
        takes=frozenset(
            {nir.Affine, nir.Linear, nir.Conv1d, nir.Conv2d, nir.Flatten, nir.AvgPool2d, nir.SumPool2d}
        ),
        write={nir.LIF: snntorch, nir.IF: snntorch, nir.CubaLIF: snntorch, nir.Threshold: snntorch_threshold},
        read={nir.LIF: from_snntorch, nir.CubaLIF: reset_to_zero},
        dt=SNNTORCH_DT,
        cycles="none",
        instead=_INSTEAD,
    ),
    "sinabs": Dialect(
        "Sinabs 3.1.3",
        reset="several",
        takes=frozenset({nir.Affine, nir.Conv2d, nir.Flatten, nir.SumPool2d}),
        write={
            nir.LIF: sinabs, nir.IF: sinabs, nir.CubaLIF: sinabs, nir.LI: sinabs_analog, nir.CubaLI: sinabs_analog,
            nir.I: sinabs_analog,
            nir.Linear: with_bias,
        },
        read={nir.LIF: from_sinabs, nir.IF: from_sinabs, nir.LI: from_sinabs},
        cycles="none",
        bounded=frozenset({nir.IF}),
        instead=_INSTEAD | {nir.Conv1d: "use nn.Conv2d"},
    ),
    "rockpool": Dialect(
        "Rockpool 3.1.0",
        reset="several",
        takes=frozenset({nir.Affine, nir.Linear}),
        write={
            nir.CubaLIF: rockpool, nir.LI: rockpool_analog, nir.CubaLI: rockpool_analog, nir.I: rockpool_analog,
        },
        read={nir.LIF: from_rockpool, nir.CubaLIF: from_rockpool, nir.LI: from_rockpool},
        dt_in_r=True,
        cycles="nested",
        instead=_INSTEAD | _CUBA | dict.fromkeys((nir.Conv1d, nir.Conv2d, nir.Flatten), "use linear layers"),
    ),
    "spyx": Dialect(
        "Spyx 1.0.0",
        reset="subtract",
        takes=frozenset({nir.Affine, nir.Linear, nir.Flatten}),
        write={nir.LIF: spyx, nir.IF: spyx, nir.CubaLIF: spyx, nir.Threshold: spyx_threshold},
        read={nir.LIF: from_spyx, nir.IF: from_spyx, nir.CubaLIF: from_spyx},
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
