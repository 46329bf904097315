"""Neurons with conductances or several compartments, Izhikevich's, and those with correlation sensors."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from norse.torch.functional import izhikevich as behaviors
from norse.torch.functional.coba_lif import (
    CobaLIFFeedForwardState,
    CobaLIFParameters,
    CobaLIFState,
    coba_lif_feed_forward_step,
)
from norse.torch.functional.correlation_sensor import CorrelationSensorParameters
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters
from norse.torch.functional.lif_correlation import LIFCorrelationParameters
from norse.torch.functional.lif_mc import lif_mc_feed_forward_step
from norse.torch.functional.lif_mc_refrac import lif_mc_refrac_feed_forward_step
from norse.torch.functional.lif_refrac import LIFRefracFeedForwardState
from norse.torch.module import coba_lif, izhikevich, lif_mc, lif_mc_refrac
from norse.torch.module.lif_correlation import LIFCorrelation
from norse.torch.module.snn import SNNCell

from .adaptive import REFRACTORY, lif_refrac_parameters
from .observation import (
    BATCH,
    HIDDEN,
    INPUTS,
    NEURON,
    RECURRENT,
    Arrays,
    Model,
    Values,
    at,
    forms,
    parameters,
    weights,
)

CONDUCTANCES = {
    "tau_syn_exc_inv": 180.0,
    "tau_syn_inh_inv": 120.0,
    "c_m_inv": 50.0,
    "g_l": 1.0,
    "e_rev_I": -1.0,
    "e_rev_E": 3.0,
    "v_rest": 1.5,  # above the threshold: neurons spike without any input
    "v_reset": -0.125,
    "v_thresh": 0.8,
}
SENSORS = {"eta_p": 0.75, "eta_m": 1.25, "tau_ac_inv": 30.0, "tau_c_inv": 20.0}
COMPARTMENTS = RECURRENT | {"g_coupling": (HIDDEN, HIDDEN)}
FEED_FORWARD_COMPARTMENTS = {"g_coupling": (INPUTS, INPUTS)}
COUPLING = {"g_coupling": 50.0}  # 1/s
DIRECT_COUPLING = {"g_coupling": 0.02}  # of a tick
DT = 0.001


def lif_mc_cell(values: Values) -> torch.nn.Module:
    p, coupling = parameters(LIFParameters, values), values["g_coupling"]
    return lif_mc.LIFMCRecurrentCell(INPUTS, HIDDEN, p, g_coupling=coupling, **weights(values))


def before_coupling(seen: Arrays, inputs: Arrays) -> np.ndarray:
    """The potential that meets the threshold; what is seen of it is v + dt G v."""
    mixed = np.eye(HIDDEN) + DT * inputs["g_coupling"]
    return np.linalg.solve(mixed, seen["state.v"][..., None])[..., 0]


def published_lif_mc_cell(values: Values) -> torch.nn.Module:
    def step(x: torch.Tensor, state: Any, p: Any, dt: float) -> Any:
        return lif_mc_feed_forward_step(x, state, values["g_coupling"], p, dt)

    def start(x: torch.Tensor) -> Any:
        return LIFFeedForwardState(at(values["v_leak"], *x.shape), torch.zeros_like(x))

    return SNNCell(step, start, parameters(LIFParameters, values))


def lif_mc_refrac_cell(values: Values) -> torch.nn.Module:
    p, coupling = lif_refrac_parameters(values), values["g_coupling"]
    return lif_mc_refrac.LIFMCRefracRecurrentCell(INPUTS, HIDDEN, p, g_coupling=coupling, **weights(values))


def published_lif_mc_refrac_cell(values: Values) -> torch.nn.Module:
    def step(x: torch.Tensor, state: Any, p: Any, dt: float) -> Any:
        return lif_mc_refrac_feed_forward_step(x, state, values["g_coupling"], p, dt)

    def start(x: torch.Tensor) -> Any:
        zeros = torch.zeros_like(x)
        return LIFRefracFeedForwardState(LIFFeedForwardState(at(values["v_leak"], *x.shape), zeros), zeros)

    return SNNCell(step, start, lif_refrac_parameters(values))


def coba_lif_cell(values: Values) -> torch.nn.Module:
    """1.1.0 forgets the input where there are recurrent weights, so there is none."""
    cell = coba_lif.CobaLIFCell(INPUTS, HIDDEN, parameters(CobaLIFParameters, values))
    cell.input_weights = torch.nn.Parameter(torch.zeros_like(cell.input_weights, dtype=values["x"].dtype))
    cell.recurrent_weights = values["recurrent_weights"]
    return cell


def coba_lif_start(values: Values) -> Any:
    return CobaLIFState(*torch.zeros_like(values["v"]).expand(4, -1, -1))._replace(v=values["v"])


def published_coba_lif_feed_forward_cell(values: Values) -> torch.nn.Module:
    def start(x: torch.Tensor) -> Any:
        return CobaLIFFeedForwardState(*x.new_zeros(3, *x.shape))

    return SNNCell(coba_lif_feed_forward_step, start, parameters(CobaLIFParameters, values))


def behavior(name: str) -> Callable[[Values], Any]:
    """A named behaviour, with parameters that get a gradient."""

    def make(values: Values) -> Any:
        named = getattr(behaviors, name)
        others = {key: values[key] for key in ("sq", "v_th", "method", "alpha")}
        return named._replace(p=named.p._replace(**others))

    return make


def izhikevich_cell(name: str) -> Callable[[Values], torch.nn.Module]:
    make = behavior(name)
    return lambda values: izhikevich.IzhikevichCell(make(values))


IZHIKEVICH = {"sq": 0.04, "v_th": 30.0}
CURRENTS: Mapping[str, tuple[float, float]] = {
    "phasic_spiking": (8, 40),
    "phasic_bursting": (8, 40),
    "mixed_mode": (15, 40),
    "spike_frequency_adaptation": (30, 40),
    "class_2_exc": (8, 40),
    "spike_latency": (15, 40),
    "subthreshold_oscillation": (8, 40),
    "resonator": (8, 40),
    "integrator": (40, 60),
    "rebound_spike": (8, 40),
    "rebound_burst": (8, 40),
    "threshold_variability": (8, 40),
    "bistability": (8, 40),
    "dap": (20, 40),
    "accomodation": (8, 40),
    "inhibition_induced_spiking": (75, 40),
    "inhibition_induced_bursting": (75, 40),
}
"""Mean and deviation of the currents of the behaviours that are compared as cells only."""

ROUNDED_STARTS = {  # 1.1.0 starts in float32, and these behaviours' starts are not exact in it
    "class_2_exc",
    "subthreshold_oscillation",
    "resonator",
    "bistability",
    "accomodation",
    "inhibition_induced_spiking",
    "inhibition_induced_bursting",
}


class Correlated(torch.nn.Module):
    """LIFCorrelation with its weights, called like other cells."""

    def __init__(self, values: Values) -> None:
        super().__init__()
        self.values = values
        sensors = parameters(CorrelationSensorParameters, values)
        p = LIFCorrelationParameters(parameters(LIFParameters, values), sensors, sensors)
        self.cell = LIFCorrelation(INPUTS, HIDDEN, p)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.cell(x, self.values["input_weights"], self.values["recurrent_weights"], state)


BIOPHYSICAL = {
    "LIFMCRecurrentCell": Model(
        lif_mc_cell, (0.5, 1.5), weights=COMPARTMENTS, deviations=COUPLING, potential=before_coupling
    ),
    "LIFMCCell": Model(
        lambda v: lif_mc.LIFMCCell(INPUTS, parameters(LIFParameters, v), v["g_coupling"]),
        (0.5, 1.5),
        published=published_lif_mc_cell,
        weights=FEED_FORWARD_COMPARTMENTS,
        deviations=COUPLING,
    ),
    "LIFMCRefracRecurrentCell": Model(
        lif_mc_refrac_cell,
        (0.5, 1.5),
        neuron=NEURON | REFRACTORY,
        weights=COMPARTMENTS,
        deviations=DIRECT_COUPLING,
        potential="state.lif.v",
    ),
    "LIFMCRefracCell": Model(
        lambda v: lif_mc_refrac.LIFMCRefracCell(INPUTS, lif_refrac_parameters(v), v["g_coupling"]),
        (0.5, 1.5),
        published=published_lif_mc_refrac_cell,
        neuron=NEURON | REFRACTORY,
        weights=FEED_FORWARD_COMPARTMENTS,
        deviations=DIRECT_COUPLING,
        potential="state.lif.v",
    ),
    "CobaLIFCell without input": Model(
        coba_lif_cell,
        (0, 1),
        neuron=CONDUCTANCES,
        weights={"recurrent_weights": (HIDDEN, HIDDEN), "v": (BATCH, HIDDEN)},
        deviations={"v": 0.5},
        threshold="v_thresh",
        start=coba_lif_start,
        ungraded=frozenset({"gradient.x"}),
    ),
    "CobaLIFFeedForwardCell": Model(
        lambda v: coba_lif.CobaLIFFeedForwardCell(parameters(CobaLIFParameters, v)),
        (0.1, 0.3),
        published=published_coba_lif_feed_forward_cell,
        neuron=CONDUCTANCES,
        threshold="v_thresh",
    ),
    **{
        f"{form}, {name}": model
        for name, drive in {"tonic_spiking": (20, 30), "tonic_bursting": (20, 30), "class_1_exc": (40, 60)}.items()
        for form, model in forms(izhikevich, "Izhikevich", behavior(name), drive, neuron=IZHIKEVICH).items()
    },
    **{
        f"IzhikevichCell, {name}": Model(
            izhikevich_cell(name),
            drive,
            neuron=IZHIKEVICH,
            compiled=False,  # other numbers in the same code
            dtypes=("float32",) if name in ROUNDED_STARTS else ("float32", "float64"),
        )
        for name, drive in CURRENTS.items()
    },
    "LIFCorrelation": Model(
        Correlated, (0.5, 1.5), batch=1, neuron=NEURON | SENSORS, weights=RECURRENT, potential="state.lif_state.v"
    ),
}
