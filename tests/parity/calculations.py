"""The functions, and the modules without a state, that are compared."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from norse.torch.functional import logical, threshold
from norse.torch.functional.decode import sum_decode
from norse.torch.functional.filter import exp_filter_step
from norse.torch.functional.heaviside import heaviside
from norse.torch.functional.lif import (
    LIFFeedForwardState,
)
from norse.torch.functional.regularization import spike_accumulator, voltage_accumulator
from norse.torch.functional.superspike import super_fn
from norse.torch.models.conv import ConvNet, ConvNet4
from norse.torch.module.conv import LConv2d
from norse.torch.module.exp_filter import ExpFilter
from norse.torch.module.regularization import RegularizationCell
from norse.torch.module.spikes_to_times_decoder import SpikesToTimesDecoder

from .calculation import POST, PRE, RATES, SIGNED_RATES, SINGLE, SPIKES, WEIGHTS, B, Calculation, Draw
from .encoders import ENCODERS
from .fields import FIELDS
from .observation import Values
from .plasticity import PLASTICITY
from .steps import STEPS


def filtered(values: Values) -> Tensor:
    smooth = ExpFilter(PRE, POST, tau_filter_inv=200.0, input_weights=values["w"].detach(), bias=True)
    smooth.linear.weight, smooth.linear.bias = values["w"], values["bias"]
    return smooth(values["x"])


def convolved(values: Values) -> Tensor:
    layer = LConv2d(2, 3, (3, 2), stride=2, padding=1)
    layer.weight = values["w"]
    return layer(values["x"])


def regularized(accumulator: Callable[..., Any]) -> Callable[[Values], Any]:
    def compute(values: Values) -> list[Any]:
        cell = RegularizationCell(accumulator)
        return [cell(z, LIFFeedForwardState(v=2 * z, i=z)) for z in values["x"]]

    return compute


def image_net(kind: Any, weights: dict[str, Draw]) -> Calculation:
    def compute(values: Values) -> Tensor:
        net = kind(num_channels=1, feature_size=16, method="super", dtype=values["x"].dtype)
        net.load_state_dict({name: values[name].detach() for name in weights}, strict=True)
        return net(values["x"])

    return Calculation(compute, {"x": Draw((20, 2, 1, 16, 16), 0, 2)} | weights, dtypes=SINGLE, backward=False)


def decoded(spike_count: int, **options: Any) -> Callable[[Values], Any]:
    return lambda values: SpikesToTimesDecoder(torch.tensor(spike_count), **options)(values["x"])


OTHERS = {
    "exp_filter_step": Calculation(lambda v: exp_filter_step(v["x"], v["y"], 0.9), {"x": RATES, "y": SIGNED_RATES}),
    "ExpFilter": Calculation(filtered, {"x": SPIKES, "w": WEIGHTS, "bias": Draw((POST,))}),
    "LConv2d": Calculation(convolved, {"x": Draw((5, B, 2, 7, 8)), "w": Draw((3, 2, 3, 2, 1))}),
    "sum_decode": Calculation(lambda v: sum_decode(v["x"]), {"x": SPIKES}),
    "SpikesToTimesDecoder, first spikes": Calculation(decoded(1), {"x": SPIKES}, dtypes=SINGLE),
    "SpikesToTimesDecoder, 3 spikes": Calculation(decoded(3), {"x": SPIKES}, dtypes=SINGLE),
    "SpikesToTimesDecoder, ticks": Calculation(
        decoded(2, convert_indices_to_times=False), {"x": SPIKES}, dtypes=SINGLE
    ),
    "RegularizationCell, spikes": Calculation(regularized(spike_accumulator), {"x": SPIKES}),
    "RegularizationCell, potentials": Calculation(regularized(voltage_accumulator), {"x": SPIKES}),
    "heaviside": Calculation(lambda v: heaviside(v["x"]), {"x": SIGNED_RATES}, backward=False),
    "ConvNet": image_net(
        ConvNet,
        {
            "conv1.weight": Draw((20, 1, 5, 5), -0.6, 1),
            "conv1.bias": Draw((20,)),
            "conv2.weight": Draw((50, 20, 5, 5), -0.1, 0.2),
            "conv2.bias": Draw((50,)),
            "fc1.weight": Draw((500, 50), -0.5, 1),
            "fc1.bias": Draw((500,)),
            "out.input_weights": Draw((10, 500)),
        },
    ),
    "ConvNet4": image_net(
        ConvNet4,
        {
            "conv1.weight": Draw((32, 1, 5, 5), -0.6, 1),
            "conv1.bias": Draw((32,)),
            "conv2.weight": Draw((64, 32, 5, 5), -0.1, 0.2),
            "conv2.bias": Draw((64,)),
            "fc1.weight": Draw((1024, 64), -0.5, 1),
            "fc1.bias": Draw((1024,)),
            "out.input_weights": Draw((10, 1024)),
        },
    ),
    **{
        name: Calculation(lambda v, function=function, k=k: function(v["x"], k), {"x": Draw((50,))}, dtypes=dtypes)
        for name, function, k, dtypes in (
            ("super_fn", super_fn, 1.0, ("float32", "float64")),
            ("heavi_tanh_fn", threshold.heavi_tanh_fn, 3.0, ("float32", "float64")),
            ("heavi_circ_fn", threshold.heavi_circ_fn, 3.0, ("float32", "float64")),
            ("heavi_erfc_fn", threshold.heavi_erfc_fn, 3.0, SINGLE),
            ("triangle_fn", threshold.triangle_fn, 0.5, ("float32", "float64")),
            ("logistic_fn", threshold.logistic_fn, 3.0, ("float32", "float64")),
            ("circ_dist_fn", threshold.circ_dist_fn, 3.0, ("float32", "float64")),
        )
    },
    "sign": Calculation(lambda v: threshold.sign(v["x"], "tanh", 3.0), {"x": Draw((50,))}),
    **{
        name: Calculation(
            lambda v, function=function: function(v["x"].detach(), v["y"].detach()).to(v["x"].dtype),
            {"x": Draw((50,), rate=0.5), "y": Draw((50,), rate=0.5)},
            backward=False,
        )
        for name, function in (
            ("logical_and", logical.logical_and),
            ("logical_or", logical.logical_or),
            ("logical_xor", logical.logical_xor),
            ("posedge_detector", logical.posedge_detector),
        )
    },
    "muller_c": Calculation(
        lambda v: logical.muller_c(v["w"].detach(), v["x"].detach(), v["y"].detach()),
        {name: Draw((50,), rate=0.5) for name in "wxy"},
        backward=False,
    ),
}

CALCULATIONS = PLASTICITY | ENCODERS | STEPS | OTHERS | FIELDS
