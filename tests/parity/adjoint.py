"""Neurons with adjoint (EventProp) gradients, and neurons behind sparse input."""

from dataclasses import replace
from typing import Any

import torch

from norse.torch.functional.adjoint.lif_adjoint import lif_adjoint_step, lif_feed_forward_adjoint_step
from norse.torch.functional.adjoint.lif_refrac_adjoint import (
    lif_refrac_adjoint_step,
    lif_refrac_feed_forward_adjoint_step,
)
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, LIFState
from norse.torch.functional.lif_refrac import LIFRefracFeedForwardState, LIFRefracParameters, LIFRefracState
from norse.torch.functional.lsnn import LSNNParameters
from norse.torch.module import lif, lif_refrac, lsnn
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell

from .adaptive import LSNN, REFRACTORY, lif_refrac_parameters
from .observation import BATCH, HIDDEN, INPUTS, NEURON, RECURRENT, Model, Values, at, fixed, parameters, weights

ADJOINT_DRIVE = (0.5, 1.5)


def lif_adjoint(values: Values) -> Any:
    return parameters(LIFParameters, fixed(values) | {"method": "adjoint"})


def lif_refrac_adjoint(values: Values) -> Any:
    return LIFRefracParameters(lif=lif_adjoint(values), rho_reset=values["rho_reset"].detach())


def lsnn_parameters(values: Values) -> Any:
    return parameters(LSNNParameters, fixed(values))


def lif_start(x: torch.Tensor, values: Values) -> Any:
    zeros = x.new_zeros(BATCH, HIDDEN)
    return LIFState(z=zeros, v=at(values["v_leak"], *zeros.shape), i=zeros)


def lif_feed_forward_start(x: torch.Tensor, values: Values) -> Any:
    zeros = x.new_zeros(BATCH, INPUTS)
    return LIFFeedForwardState(v=at(values["v_leak"], *zeros.shape), i=zeros)


def published_lif(form: type, values: Values) -> torch.nn.Module:
    p = parameters(LIFParameters, fixed(values))
    return form(lif_feed_forward_adjoint_step, lambda x: lif_feed_forward_start(x, values), p)


def published_recurrent_lif(form: type, values: Values) -> torch.nn.Module:
    p = parameters(LIFParameters, fixed(values))
    return form(lif_adjoint_step, lambda x: lif_start(x, values), INPUTS, HIDDEN, p, **weights(values))


def published_lif_refrac(values: Values) -> torch.nn.Module:
    def start(x: torch.Tensor) -> Any:
        return LIFRefracFeedForwardState(lif_feed_forward_start(x, values), x.new_zeros(BATCH, INPUTS))

    return SNNCell(lif_refrac_feed_forward_adjoint_step, start, lif_refrac_parameters(fixed(values)))


def published_recurrent_lif_refrac(values: Values) -> torch.nn.Module:
    def start(x: torch.Tensor) -> Any:
        return LIFRefracState(lif_start(x, values), x.new_zeros(BATCH, HIDDEN))

    p = lif_refrac_parameters(fixed(values))
    return SNNRecurrentCell(lif_refrac_adjoint_step, start, INPUTS, HIDDEN, p, **weights(values))


NEW_SPIKES = frozenset({"gradient.recurrent_weights"})  # 1.1.0 multiplies by the spikes after the tick
STEADY_LSNN = LSNN | {"tau_adapt_inv": 0.0}  # 1.1.0 forgets how the threshold decays

ADJOINT = {
    "LIFCell": Model(
        lambda v: lif.LIFCell(lif_adjoint(v)), ADJOINT_DRIVE, published=lambda v: published_lif(SNNCell, v)
    ),
    "LIF": Model(
        lambda v: lif.LIF(lif_adjoint(v)), ADJOINT_DRIVE, published=lambda v: published_lif(SNN, v), layer=True
    ),
    "LIFRecurrentCell": Model(
        lambda v: lif.LIFRecurrentCell(INPUTS, HIDDEN, lif_adjoint(v), **weights(v)),
        ADJOINT_DRIVE,
        published=lambda v: published_recurrent_lif(SNNRecurrentCell, v),
        weights=RECURRENT,
        ungraded=NEW_SPIKES,
    ),
    "LIFRecurrent": Model(
        lambda v: lif.LIFRecurrent(INPUTS, HIDDEN, lif_adjoint(v), **weights(v)),
        ADJOINT_DRIVE,
        published=lambda v: published_recurrent_lif(SNNRecurrent, v),
        layer=True,
        weights=RECURRENT,
        ungraded=NEW_SPIKES,
    ),
    "LIFRefracCell": Model(
        lambda v: lif_refrac.LIFRefracCell(lif_refrac_adjoint(v)),
        ADJOINT_DRIVE,
        published=published_lif_refrac,
        neuron=NEURON | REFRACTORY,
        potential="state.lif.v",
        surrogates=(),
    ),
    "LIFRefracRecurrentCell": Model(
        lambda v: lif_refrac.LIFRefracRecurrentCell(INPUTS, HIDDEN, lif_refrac_adjoint(v), **weights(v)),
        ADJOINT_DRIVE,
        published=published_recurrent_lif_refrac,
        neuron=NEURON | REFRACTORY,
        weights=RECURRENT,
        potential="state.lif.v",
        surrogates=(),
    ),
    "LSNNCell": Model(
        lambda v: lsnn.LSNNCell(lsnn_parameters(v), adjoint=True),
        ADJOINT_DRIVE,
        neuron=STEADY_LSNN,
        threshold="state.b",
    ),
    "LSNN": Model(
        lambda v: lsnn.LSNN(lsnn_parameters(v), adjoint=True),
        ADJOINT_DRIVE,
        layer=True,
        neuron=STEADY_LSNN,
        threshold="state.b",
    ),
    "LSNNRecurrentCell": Model(
        lambda v: lsnn.LSNNRecurrentCell(INPUTS, HIDDEN, lsnn_parameters(v), adjoint=True, **weights(v)),
        ADJOINT_DRIVE,
        neuron=STEADY_LSNN,
        weights=RECURRENT,
        threshold="state.b",
        ungraded=NEW_SPIKES,
    ),
    "LSNNRecurrent": Model(
        lambda v: lsnn.LSNNRecurrent(INPUTS, HIDDEN, lsnn_parameters(v), adjoint=True, **weights(v)),
        ADJOINT_DRIVE,
        layer=True,
        neuron=STEADY_LSNN,
        weights=RECURRENT,
        threshold="state.b",
        ungraded=NEW_SPIKES,
    ),
}


class Sparse(torch.nn.Module):
    """A module behind input of which only what is large is kept, as a sparse tensor."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.module(torch.relu(x - 1).to_sparse(), state)


SPARSE_DRIVE = (0.5, 2.0)

SPARSE = {
    "LIFCell": Model(lambda v: Sparse(lif.LIFCell(parameters(LIFParameters, v))), SPARSE_DRIVE, surrogates=()),
    "LIF": Model(lambda v: Sparse(lif.LIF(parameters(LIFParameters, v))), SPARSE_DRIVE, layer=True, surrogates=()),
    "LIFRecurrentCell": Model(
        lambda v: Sparse(lif.LIFRecurrentCell(INPUTS, HIDDEN, parameters(LIFParameters, v), **weights(v))),
        SPARSE_DRIVE,
        weights=RECURRENT,
        surrogates=(),
    ),
    "LIFRecurrent": Model(
        lambda v: Sparse(lif.LIFRecurrent(INPUTS, HIDDEN, parameters(LIFParameters, v), **weights(v))),
        SPARSE_DRIVE,
        layer=True,
        weights=RECURRENT,
        surrogates=(),
    ),
    "LIFRefracRecurrentCell": Model(
        lambda v: Sparse(lif_refrac.LIFRefracRecurrentCell(INPUTS, HIDDEN, lif_refrac_parameters(v), **weights(v))),
        SPARSE_DRIVE,
        neuron=NEURON | REFRACTORY,
        weights=RECURRENT,
        potential="state.lif.v",
        surrogates=(),
    ),
}

ADJOINT_AND_SPARSE = {
    **{
        f"{name}, adjoint": replace(model, surrogates=model.surrogates and ("tanh",)) for name, model in ADJOINT.items()
    },
    **{f"{name}, sparse input": model for name, model in SPARSE.items()},
}
