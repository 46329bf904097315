"""The neuron table: which step of the library is which NIR primitive, one row a pair, read in both directions.

`docs/nir.md` derives that forward Euler of the primitive is the step, given how the rows are written and read below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor

import norse.torch as snn
from norse.backends.nir_export.arrays import numbers, of_shape, uniform
from norse.backends.nir_export.dialect_neurons import LOWER_BOUND, Reset
from norse.backends.nir_export.dialects import Dialect
from norse.backends.nir_export.integrator import IntegratorCell, IntegratorParameters, integrator_step
from norse.backends.nir_export.several_spikes import (
    COUNTED,
    SeveralIAFCell,
    SeveralLIFBoxCell,
    SeveralLIFCell,
    kept,
    kept_bounded,
    several_iaf_step,
    several_lif_box_step,
    several_lif_step,
)
from norse.torch.functional.iaf import IAFParameters, iaf_feed_forward_step, iaf_step
from norse.torch.functional.leaky_integrator import LIParameters, li_feed_forward_step, li_step
from norse.torch.functional.leaky_integrator_box import LIBoxParameters, li_box_feed_forward_step, li_box_step
from norse.torch.functional.lif import LIFParameters, lif_feed_forward_step, lif_step
from norse.torch.functional.lif_box import LIFBoxParameters, lif_box_feed_forward_step, lif_box_step
from norse.torch.functional.reset import reset_subtract, reset_subtract_bounded, reset_value


@dataclass(frozen=True)
class Neuron:
    """A NIR primitive and the steps that compute it."""

    primitive: Any
    steps: tuple[Callable[..., Any], ...]
    cell: Callable[..., Any]
    recurrent_cell: Callable[..., Any] | None
    parameters: Callable[..., Any]
    rates: Mapping[str, str]  # NIR's time constant -> the parameter that is its inverse
    potentials: Mapping[str, str]  # NIR's potential -> the parameter that it is
    start: str  # the parameter that v starts from; "": 0
    several: Any = None  # its cell of neurons that may fire more than once a tick

    @property
    def has_synapse(self) -> bool:
        return "tau_syn" in self.rates


_MEMBRANE, _SYNAPSE = {"tau": "tau_mem_inv"}, {"tau_syn": "tau_syn_inv", "tau_mem": "tau_mem_inv"}
_LEAK, _SPIKE = {"v_leak": "v_leak"}, {"v_threshold": "v_th", "v_reset": "v_reset"}

# primitive, its steps, cell, recurrent cell, parameters, time constants, potentials, start of v, cell of several spikes
NEURONS = (
    Neuron(nir.LI, (li_box_feed_forward_step, li_box_step), snn.LIBoxCell, None,
           LIBoxParameters, _MEMBRANE, _LEAK, "v_leak"),
    Neuron(nir.LIF, (lif_box_feed_forward_step, lif_box_step, several_lif_box_step),
           snn.LIFBoxCell, snn.LIFBoxRecurrentCell,
           LIFBoxParameters, _MEMBRANE, {**_LEAK, **_SPIKE}, "v_leak", SeveralLIFBoxCell),
    Neuron(nir.CubaLI, (li_feed_forward_step, li_step), snn.LICell, None,
           LIParameters, _SYNAPSE, _LEAK, "v_leak"),
    Neuron(nir.CubaLIF, (lif_feed_forward_step, lif_step, several_lif_step), snn.LIFCell, snn.LIFRecurrentCell,
           LIFParameters, _SYNAPSE, {**_LEAK, **_SPIKE}, "v_leak", SeveralLIFCell),
    Neuron(nir.IF, (iaf_feed_forward_step, iaf_step, several_iaf_step), snn.IAFCell, snn.IAFRecurrentCell,
           IAFParameters, {}, _SPIKE, "v_reset", SeveralIAFCell),
    Neuron(nir.I, (integrator_step,), IntegratorCell, None,
           IntegratorParameters, {}, {}, ""),
)  # fmt: skip

# What NIR has no neuron for, by the beginning of the step's name, and what to use in its place.
INSTEAD: Mapping[str, str] = {
    "lif_adex_refrac": "neither adaptation nor a refractory period; use snn.LIF",
    "lif_adex": "neither an exponential term nor adaptation; use snn.LIF",
    "lif_ex": "no exponential term; use snn.LIF",
    "lif_refrac": "no refractory period; use snn.LIF",
    "lif_mc_refrac": "neither compartments nor a refractory period; use snn.LIFRecurrent",
    "lif_mc": "no compartments; use snn.LIFRecurrent",
    "lif_correlation": "no plasticity; use snn.LIFRecurrent with the weights that were found",
    "lsnn": "no threshold that adapts; use snn.LIFRecurrent",
    "ada_lif": "no threshold that adapts; use snn.LIFRecurrent",
    "coba_lif": "no conductances; use snn.LIFRecurrent, whose synapses are currents",
    "izhikevich": "no second variable of the membrane; use snn.LIF",
    "lif_feed_forward_adjoint": "no gradients: give the neurons method='super', which computes the same spikes",
    "lif_adjoint": "no gradients: give the neurons method='super', which computes the same spikes",
}


def instead_of(step: Any) -> str:
    """What NIR lacks for a step, if it is one of the library's."""
    name = getattr(step, "__name__", "")
    found = max((start for start in INSTEAD if name.startswith(start)), key=len, default=None)
    return f": NIR has {INSTEAD[found]}" if found else ""


BY_STEP: Mapping[Any, Neuron] = {step: row for row in NEURONS for step in row.steps}
BY_PRIMITIVE: Mapping[type, Neuron] = {row.primitive: row for row in NEURONS}


# ---- to NIR ----------------------------------------------------------------------------------------------------------


RESETS: Mapping[Any, Reset] = {
    reset_value: "zero",
    reset_subtract: "subtract",
    reset_subtract_bounded: "subtract",
    kept: "several",
    kept_bounded: "several",
}


def is_bounded(p: Any) -> bool:
    """Whether neurons don't fall below -v_th."""
    return getattr(p, "reset_method", None) in (reset_subtract_bounded, kept_bounded)


def reset_of(p: Any) -> Reset | None:
    """How neurons are reset; None if they don't spike. Raises ValueError if it is in a way that no tool has."""
    method = getattr(p, "reset_method", None)
    if method is None:
        return None
    if method not in RESETS:
        raise ValueError(
            "neurons are reset to v_reset or lowered by the threshold: expected reset_method=reset_value, "
            f"reset_subtract or reset_subtract_bounded, got {_name(method)}"
        )
    return RESETS[method]


def check_reset(row: Neuron, p: Any, dialect: Dialect) -> None:
    """Raises ValueError if neurons are reset otherwise than the dialect's tool resets them."""
    method = getattr(p, "reset_method", None)
    if method is None:
        return
    if method not in RESETS or not dialect.accepts(RESETS[method]):
        if dialect.reset == "zero":
            owner = "NIR's neurons are" if dialect.is_plain else f"{dialect.tool} has neurons"
            said, expected = f"{owner} reset to {'v_reset' if dialect.is_plain else '0'}", "reset_value"
        else:
            often = " once a tick" if dialect.reset == "subtract" else ""
            said, expected = f"{dialect.tool} lowers v by the threshold{often}", "reset_subtract"
        raise ValueError(f"{said}: expected reset_method={expected}, got {_name(method)}")
    if is_bounded(p) and row.primitive not in dialect.bounded:
        raise ValueError(
            f"{dialect.tool} lets v of {row.primitive.__name__} fall without a bound: expected "
            f"reset_method=reset_subtract, got {_name(method)}"
        )


def _name(method: Any) -> str:
    """As whoever made the neurons called it."""
    for given, counted in COUNTED.items():
        if method is counted and method is not given:
            return f"{_name(given)} with several spikes a tick"
    return str(getattr(method, "__name__", method))


def write_neuron(row: Neuron, p: Any, dt: float, shape: tuple[int, ...], dtype: torch.dtype, scaling: float) -> Any:
    """The NIR node of neurons of the given shape. Times are in s: 1 / rate times `scaling`."""
    fields: dict[str, Any] = {"r": np.ones(shape, numbers(torch.ones((), dtype=dtype)).dtype)}
    rates: dict[str, Any] = {}
    for field, parameter in row.rates.items():
        rate = of_shape(getattr(p, parameter), shape, dtype, f"p.{parameter}")
        if not (rate > 0).all():
            raise ValueError(f"p.{parameter}: expected rates above 0 (it is 1 / time constant), got {rate.min()}")
        fields[field] = (scaling / rate).astype(rate.dtype)
        if scaling == 1 and not np.array_equal(_inverse(fields[field]), rate):
            rates[parameter] = rate  # 1 / (1 / rate) is another number: see `_rate`
    for field, parameter in row.potentials.items():
        fields[field] = of_shape(getattr(p, parameter), shape, dtype, f"p.{parameter}")
    if is_bounded(p):
        rates[LOWER_BOUND] = -fields["v_threshold"]
    if row.has_synapse:
        # Only then is the synapse's jump, dt / tau_syn · w_in, the input itself.
        fields["w_in"] = (fields["tau_syn"].astype(np.float64) / (dt * scaling)).astype(fields["tau_syn"].dtype)
    return row.primitive(**fields, metadata=rates)


def starts_at_rest(row: Neuron, p: Any, state: Any) -> bool:
    """Whether a neuron's initial state is what NIR, which has none, leaves: v at its parameter, everything else 0."""
    fields = state._asdict() if hasattr(state, "_asdict") else {}
    v = fields.pop("v", None)
    if not isinstance(v, Tensor):
        return False
    rest = torch.as_tensor(getattr(p, row.start) if row.start else 0.0).to(v)
    return bool((v == rest).all()) and all(not bool(other.any()) for other in fields.values())


# ---- from NIR --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadNeuron:
    """What a NIR neuron says: parameters of the library's model, its shape, and what its input is multiplied by."""

    row: Neuron
    p: Any
    shape: tuple[int, ...]
    gain: Tensor | None  # None: 1
    integrator: str
    several: bool = False

    def cell(self, dt: float) -> torch.nn.Module:
        if self.several:
            return self.row.several(self.p, dt=dt)  # type: ignore[no-any-return]
        return self.row.cell(self.p, dt=dt, **self._options())  # type: ignore[no-any-return]

    def _options(self) -> dict[str, str]:
        """Only a leak has an integrator: the others add up."""
        return {"integrator": self.integrator} if self.row.rates else {}

    def recurrent_cell(self, input_weights: Tensor, recurrent_weights: Tensor, dt: float) -> torch.nn.Module:
        assert self.row.recurrent_cell is not None
        hidden, inputs = input_weights.shape
        return self.row.recurrent_cell(  # type: ignore[no-any-return]
            inputs, hidden, self.p, input_weights=input_weights, recurrent_weights=recurrent_weights,
            autapses=bool(recurrent_weights.diagonal().any()), dt=dt, **self._options(),
        )  # fmt: skip

    def can_recur(self) -> bool:
        """Whether there is a recurrent cell that computes it."""
        return self.row.recurrent_cell is not None and len(self.shape) == 1 and not self.several


def read_neuron(node: Any, dt: float, reset: str, integrator: str) -> ReadNeuron:
    """Raises ValueError where the node has no positive time constants, or numbers that are none."""
    row = BY_PRIMITIVE[type(node)]
    given = {field: numbers(getattr(node, field)) for field in ("r", *row.rates, *row.potentials)}
    if row.has_synapse:
        given["w_in"] = numbers(node.w_in)
    for field, value in given.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{field}: expected finite numbers, got {value[~np.isfinite(value)].flat[0]}")
    for field in row.rates:
        if not (given[field] > 0).all():
            raise ValueError(f"{field}: expected a positive time constant, got {given[field].min()}")
    shape = np.broadcast_shapes(*(value.shape for value in given.values()))
    fields = {parameter: _rate(node, given[field], parameter) for field, parameter in row.rates.items()}
    fields |= {parameter: given[field] for field, parameter in row.potentials.items()}
    p = row.parameters(**{name: uniform(value) for name, value in fields.items()})
    several = reset == "several" and hasattr(p, "reset_method")
    if reset != "zero" and hasattr(p, "reset_method"):
        p = p._replace(reset_method=reset_subtract_bounded if has_lower_bound(node) else reset_subtract)
    return ReadNeuron(row, p, shape, _gain(given, dt), integrator, several)


def has_lower_bound(node: Any) -> bool:
    """Whether neurons that are lowered by the threshold don't fall below -v_threshold."""
    said = node.metadata.get(LOWER_BOUND) if isinstance(node.metadata, dict) else None
    return said is not None and np.array_equal(said, -numbers(node.v_threshold))


def shortest_time(node: Any) -> float:
    """The smallest time constant of a node, in s; infinite if it has none."""
    row = BY_PRIMITIVE.get(type(node))
    times = [] if row is None else [float(np.min(numbers(getattr(node, field)))) for field in row.rates]
    return min(times, default=float("inf"))


def _gain(given: Mapping[str, Any], dt: float) -> Tensor | None:
    """r, and of a synapse the jump that an input of 1 makes in one tick: r · w_in · dt / tau_syn."""
    gain = given["r"].astype(np.float64)
    tolerance = 4 * np.finfo(given["r"].dtype).eps  # w_in = tau_syn / dt was rounded when it was written
    if "w_in" in given:
        gain = gain * given["w_in"] * (dt / given["tau_syn"].astype(np.float64))
    if np.abs(gain - 1).max(initial=0) <= tolerance:
        return None
    return uniform(gain.astype(given["r"].dtype))


def _rate(node: Any, tau: Any, parameter: str) -> Any:
    """1 / tau; or the very rate that was written, if the file keeps it and it still belongs to tau."""
    rate = (node.metadata or {}).get(parameter) if isinstance(node.metadata, dict) else None
    if isinstance(rate, np.ndarray) and rate.dtype == tau.dtype and rate.shape == tau.shape:
        with np.errstate(divide="ignore"):
            if np.array_equal(_inverse(rate), tau):
                return rate
    return _inverse(tau)


def _inverse(value: Any) -> Any:
    return (1.0 / value).astype(value.dtype)
