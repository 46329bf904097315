"""Exponential, adaptive and refractory neurons."""

from typing import Any

import torch

from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters
from norse.torch.functional.lif_adex import LIFAdExFeedForwardState, LIFAdExParameters
from norse.torch.functional.lif_adex_refrac import (
    LIFAdExRefracFeedForwardState,
    LIFAdExRefracParameters,
    lif_adex_refrac_feed_forward_step,
)
from norse.torch.functional.lif_ex import LIFExParameters
from norse.torch.functional.lif_refrac import (
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    lif_refrac_feed_forward_step,
)
from norse.torch.functional.lsnn import LSNNParameters, LSNNState, ada_lif_step
from norse.torch.module import lif_adex, lif_adex_refrac, lif_ex, lif_refrac, lsnn
from norse.torch.module.snn import SNN, SNNRecurrentCell

from .observation import BATCH, HIDDEN, INPUTS, NEURON, RECURRENT, Model, Values, at, forms, parameters, weights

EXPONENTIAL = NEURON | {"delta_T": 0.25}
ADEX = EXPONENTIAL | {"adaptation_current": 3.0, "adaptation_spike": 0.05, "tau_ada_inv": 20.0}
REFRACTORY = {"rho_reset": 3.0}  # ticks
LSNN = NEURON | {"tau_adapt_inv": 5.0, "beta": 0.25, "v_th": 0.75}  # b starts at v_th, in float32 in 1.1.0


def lif_refrac_parameters(values: Values) -> Any:
    return LIFRefracParameters(lif=parameters(LIFParameters, values), rho_reset=values["rho_reset"])


def lif_adex_refrac_parameters(values: Values) -> Any:
    return LIFAdExRefracParameters(lif_adex=parameters(LIFAdExParameters, values), rho_reset=values["rho_reset"])


def published_lif_refrac(values: Values) -> torch.nn.Module:
    def start(x: torch.Tensor) -> Any:
        zeros = x.new_zeros(x.shape[1:])
        return LIFRefracFeedForwardState(LIFFeedForwardState(at(values["v_leak"], *zeros.shape), zeros), zeros)

    return SNN(lif_refrac_feed_forward_step, start, p=lif_refrac_parameters(values))


def published_lif_adex_refrac(values: Values) -> torch.nn.Module:
    def start(x: torch.Tensor) -> Any:
        zeros = x.new_zeros(x.shape[1:])
        adex = LIFAdExFeedForwardState(at(values["v_leak"], *zeros.shape), zeros, zeros)
        return LIFAdExRefracFeedForwardState(adex, zeros)

    return SNN(lif_adex_refrac_feed_forward_step, start, p=lif_adex_refrac_parameters(values))


def ada_lif(values: Values) -> torch.nn.Module:
    def start(x: torch.Tensor) -> Any:
        return LSNNState(*x.new_zeros(4, BATCH, HIDDEN))

    p = parameters(LSNNParameters, values)
    return SNNRecurrentCell(ada_lif_step, start, INPUTS, HIDDEN, p=p, **weights(values))


ADAPTIVE = {
    **forms(lif_ex, "LIFEx", lambda v: parameters(LIFExParameters, v), (0.5, 1.5), neuron=EXPONENTIAL),
    **forms(lif_adex, "LIFAdEx", lambda v: parameters(LIFAdExParameters, v), (0.7, 2.0), neuron=ADEX),
    **forms(
        lif_refrac,
        "LIFRefrac",
        lif_refrac_parameters,
        (0.7, 2.0),
        published_layer=published_lif_refrac,
        neuron=NEURON | REFRACTORY,
        potential="state.lif.v",
    ),
    **forms(
        lif_adex_refrac,
        "LIFAdExRefrac",
        lif_adex_refrac_parameters,
        (0.7, 2.0),
        published_layer=published_lif_adex_refrac,
        neuron=ADEX | REFRACTORY,
        potential="state.lif_adex.v",
    ),
    **forms(lsnn, "LSNN", lambda v: parameters(LSNNParameters, v), (0.5, 1.5), neuron=LSNN, threshold="state.b"),
    "ada_lif_step": Model(ada_lif, (0.5, 1.5), neuron=LSNN, weights=RECURRENT),
}
