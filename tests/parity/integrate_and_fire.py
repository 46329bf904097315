"""Leaky integrators and the simplest spiking neurons: LI, LIBox, LIF, LIFBox, IAF."""

from typing import Any

import torch

import norse.torch as snn
from norse.torch.module.snn import SNN, SNNRecurrent, SNNRecurrentCell

from .observation import BATCH, HIDDEN, INPUTS, RECURRENT, Model, Values, at, parameters, weights


def li(values: Values) -> Any:
    return parameters(snn.LIParameters, values)


def li_box(values: Values) -> Any:
    return parameters(snn.LIBoxParameters, values)


def lif(values: Values) -> Any:
    return parameters(snn.LIFParameters, values)


def lif_box(values: Values) -> Any:
    return parameters(snn.LIFBoxParameters, values)


def lif_box_subtract(values: Values) -> Any:
    return parameters(snn.LIFBoxParameters, values, reset_method=snn.reset_subtract)


def iaf(values: Values) -> Any:
    return parameters(snn.IAFParameters, values)


def linear_integrator(values: Values) -> torch.nn.Module:
    cell = snn.LILinearCell(INPUTS, HIDDEN, li(values))
    cell.input_weights = values["input_weights"]
    return cell


IAF_START = frozenset({"gradient.v_reset"})  # in 1.1.0 the starting state's gradient as well

INTEGRATE_AND_FIRE = {
    "LICell": Model(lambda v: snn.LICell(li(v)), (0, 1), potential=None),
    "LI": Model(lambda v: snn.LI(li(v)), (0, 1), potential=None, layer=True),
    "LILinearCell": Model(
        linear_integrator, (0, 1), potential=None, weights={"input_weights": RECURRENT["input_weights"]}
    ),
    "LIBoxCell": Model(lambda v: snn.LIBoxCell(li_box(v)), (0, 1), potential=None),
    "LIBox": Model(
        lambda v: snn.LIBox(li_box(v)),
        (0, 1),
        published=lambda v: SNN(snn.li_box_feed_forward_step, lambda x: snn.LIBoxState(at(v["v_leak"])), p=li_box(v)),
        potential=None,
        layer=True,
    ),
    "LIFCell": Model(lambda v: snn.LIFCell(lif(v)), (0.5, 1.5)),
    "LIF": Model(lambda v: snn.LIF(lif(v)), (0.5, 1.5), layer=True),
    "LIFBoxCell": Model(lambda v: snn.LIFBoxCell(lif_box(v)), (1, 4)),
    "LIFBoxCell, reset by subtraction": Model(lambda v: snn.LIFBoxCell(lif_box_subtract(v)), (1, 4)),
    "LIFBox": Model(
        lambda v: snn.LIFBox(lif_box(v)),
        (1, 4),
        published=lambda v: SNN(
            snn.lif_box_feed_forward_step, lambda x: snn.LIFBoxFeedForwardState(at(v["v_leak"])), p=lif_box(v)
        ),
        layer=True,
    ),
    "LIFBox, reset by subtraction": Model(
        lambda v: snn.LIFBox(lif_box_subtract(v)),
        (1, 4),
        published=lambda v: SNN(
            snn.lif_box_feed_forward_step, lambda x: snn.LIFBoxFeedForwardState(at(v["v_leak"])), p=lif_box_subtract(v)
        ),
        layer=True,
    ),
    "IAFCell": Model(lambda v: snn.IAFCell(iaf(v)), (0.1, 0.3), ungraded=IAF_START),
    "IAF": Model(lambda v: snn.IAF(iaf(v)), (0.1, 0.3), layer=True, ungraded=IAF_START),
    "IAFRecurrentCell": Model(
        lambda v: snn.IAFRecurrentCell(INPUTS, HIDDEN, iaf(v), autapses=True, **weights(v)),
        (0, 0.5),
        published=lambda v: SNNRecurrentCell(
            snn.iaf_step,
            lambda x: snn.IAFState(z=x.new_zeros(BATCH, HIDDEN), v=at(v["v_reset"], BATCH, HIDDEN)),
            INPUTS,
            HIDDEN,
            p=iaf(v),
            autapses=True,
            **weights(v),
        ),
        weights=RECURRENT,
    ),
    "IAFRecurrent": Model(
        lambda v: snn.IAFRecurrent(INPUTS, HIDDEN, iaf(v), **weights(v)),
        (0, 0.5),
        published=lambda v: SNNRecurrent(
            snn.iaf_step,
            lambda x: snn.IAFState(z=x.new_zeros(BATCH, HIDDEN), v=at(v["v_reset"], BATCH, HIDDEN)),
            INPUTS,
            HIDDEN,
            p=iaf(v),
            **weights(v),
        ),
        layer=True,
        weights=RECURRENT,
    ),
    "LIFRecurrentCell": Model(
        lambda v: snn.LIFRecurrentCell(INPUTS, HIDDEN, lif(v), **weights(v)), (0.5, 1.5), weights=RECURRENT
    ),
    "LIFRecurrentCell with autapses": Model(
        lambda v: snn.LIFRecurrentCell(INPUTS, HIDDEN, lif(v), autapses=True, **weights(v)),
        (0.5, 1.5),
        weights=RECURRENT,
    ),
    "LIFRecurrent": Model(
        lambda v: snn.LIFRecurrent(INPUTS, HIDDEN, lif(v), **weights(v)), (0.5, 1.5), layer=True, weights=RECURRENT
    ),
}
