"""The functions, and the modules without a state, that are compared."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from norse.torch.functional import encode, logical, stdp, threshold
from norse.torch.functional.correlation_sensor import (
    CorrelationSensorParameters,
    CorrelationSensorState,
    correlation_based_update,
    correlation_sensor_step,
)
from norse.torch.functional.decode import sum_decode
from norse.torch.functional.filter import exp_filter_step
from norse.torch.functional.heaviside import heaviside
from norse.torch.functional.leaky_integrator import LIParameters, LIState, li_step
from norse.torch.functional.leaky_integrator_box import LIBoxParameters, LIBoxState, li_box_step
from norse.torch.functional.lif import (
    LIFFeedForwardState,
    LIFParameters,
    LIFState,
    lif_current_encoder,
    lif_feed_forward_integral,
    lif_feed_forward_step,
    lif_step_integral,
)
from norse.torch.functional.lif_adex import LIFAdExParameters, lif_adex_current_encoder
from norse.torch.functional.lif_ex import LIFExParameters, lif_ex_current_encoder
from norse.torch.functional.lif_refrac import LIFRefracFeedForwardState, LIFRefracParameters, compute_refractory_update
from norse.torch.functional.lift import lift
from norse.torch.functional.regularization import spike_accumulator, voltage_accumulator
from norse.torch.functional.reset import reset_subtract, reset_value
from norse.torch.functional.stdp_sensor import STDPSensorParameters, STDPSensorState, stdp_sensor_step
from norse.torch.functional.superspike import super_fn
from norse.torch.functional.tsodyks_makram import TsodyksMakramParameters, TsodyksMakramState, stp_step
from norse.torch.models.conv import ConvNet, ConvNet4
from norse.torch.module import encode as encoders
from norse.torch.module.conv import LConv2d
from norse.torch.module.exp_filter import ExpFilter
from norse.torch.module.regularization import RegularizationCell
from norse.torch.module.spikes_to_times_decoder import SpikesToTimesDecoder

from .calculation import SINGLE, Calculation, Draw
from .fields import FIELDS
from .observation import Values

T, B, PRE, POST = 60, 4, 5, 3
SPIKES = Draw((T, B, PRE), rate=0.2)
CURRENTS = Draw((T, B, PRE), 0, 4)
RATES = Draw((B, PRE), 0, 1)
SIGNED_RATES = Draw((B, PRE), -1, 1)
PAIRS = {"z_pre": Draw((T, B, PRE), rate=0.2), "z_post": Draw((T, B, POST), rate=0.2)}
ONE_OF_EACH = {"z_pre": Draw((T, 1, PRE), rate=0.2), "z_post": Draw((T, 1, POST), rate=0.2)}
IMAGES = {"z_pre": Draw((T, B, 2, 6, 6), rate=0.2), "z_post": Draw((T, B, 3, 4, 4), rate=0.2)}
WEIGHTS = Draw((POST, PRE), 0.1, 0.9)
KERNELS = Draw((3, 2, 3, 3), 0.1, 0.9)
ALGORITHMS = ("additive", "additive_step", "multiplicative_pow", "multiplicative_relu")


def each(step: Callable[..., Any], state: Any, *inputs: Tensor) -> list[Any]:
    """What a step returns in every tick; the last thing that it returns is the state."""
    seen = []
    for tick in zip(*inputs, strict=True):
        out = step(*tick, state)
        state = out[-1]
        seen.append(out)
    return seen


def numbers(value: Tensor, *many: float) -> Iterable[Tensor]:
    return (torch.tensor(number, dtype=value.dtype) for number in many)


def lif(values: Values) -> Any:
    return LIFParameters(*numbers(values["x"], 180.0, 90.0, 0.0625, 0.8, -0.125), method="tanh", alpha=2.0)


def learnt(algorithm: str, step: Callable[..., Any], values: dict[str, Tensor], hardbound: bool = True) -> list[Any]:
    """Weights and traces of every tick."""
    p = stdp.STDPParameters(
        eta_plus=0.4,
        eta_minus=0.5,
        stdp_algorithm=algorithm,
        mu=0.5,
        hardbound=hardbound,
        convolutional=step is stdp.stdp_step_conv2d,
    )
    z_pre, z_post, w = (values[name].detach() for name in ("z_pre", "z_post", "w"))
    state, seen = stdp.STDPState(torch.zeros_like(z_pre[0]), torch.zeros_like(z_post[0])), []
    for pre, post in zip(z_pre, z_post, strict=True):
        w, state = step(pre, post, w, state, p)
        seen.append((w.clone(), state.t_pre.clone(), state.t_post.clone()))
    return seen


def sensed(values: Values) -> list[Any]:
    z_pre, z_post = values["z_pre"], values["z_post"]
    p = STDPSensorParameters(*numbers(z_pre, 0.75, 1.25, 30.0, 20.0))
    start = STDPSensorState(torch.zeros_like(z_pre[0]), torch.zeros_like(z_post[0]))
    return each(lambda pre, post, state: (stdp_sensor_step(pre, post, state, p),), start, z_pre, z_post)


def correlated(values: Values) -> list[Any]:
    z_pre, z_post = values["z_pre"].detach(), values["z_post"].detach()
    p = CorrelationSensorParameters(*numbers(z_pre, 0.75, 1.25, 30.0, 20.0))
    start = CorrelationSensorState(*z_pre.new_zeros(3, 1, PRE, POST))
    return each(lambda pre, post, state: (correlation_sensor_step(pre, post, state, p),), start, z_pre, z_post)


def rule(values: Values) -> torch.nn.Module:
    linear = torch.nn.Linear(2 * PRE * POST, PRE * POST, bias=False)
    linear.weight = values["rule"]
    return linear


def updated(tick: int) -> Callable[[Values], Any]:
    def compute(values: Values) -> Any:
        seen = correlated(values)[-1][0]
        w = correlation_based_update(tick, rule(values), values["w"].detach(), seen, 0.1, 50)
        return w.detach(), seen

    return compute


def facilitated(values: Values) -> list[Any]:
    z = values["x"]
    start = TsodyksMakramState(torch.zeros_like(z[0]), torch.ones_like(z[0]))
    return each(lambda x, state: stp_step(x, state, TsodyksMakramParameters()), start, z)


PLASTICITY = {
    **{
        f"stdp_step_linear, {algorithm}": Calculation(
            lambda v, algorithm=algorithm: learnt(algorithm, stdp.stdp_step_linear, v),
            PAIRS | {"w": WEIGHTS},
            backward=False,
        )
        for algorithm in ALGORITHMS
    },
    **{
        f"stdp_step_conv2d, {algorithm}": Calculation(
            lambda v, algorithm=algorithm: learnt(algorithm, stdp.stdp_step_conv2d, v),
            IMAGES | {"w": KERNELS},
            backward=False,
        )
        for algorithm in ALGORITHMS
    },
    "stdp_step_linear, no bounds": Calculation(
        lambda v: learnt("additive", stdp.stdp_step_linear, v, hardbound=False), PAIRS | {"w": WEIGHTS}, backward=False
    ),
    "stdp_sensor_step": Calculation(sensed, PAIRS),
    "correlation_sensor_step": Calculation(correlated, ONE_OF_EACH, backward=False),
    "correlation_based_update": Calculation(
        updated(100), ONE_OF_EACH | {"w": WEIGHTS, "rule": Draw((15, 30))}, backward=False
    ),
    "correlation_based_update, not yet": Calculation(
        updated(99), ONE_OF_EACH | {"w": WEIGHTS, "rule": Draw((15, 30))}, backward=False
    ),
    "stp_step": Calculation(facilitated, {"x": SPIKES}),
}

SCALED = torch.tensor(2.0)

ENCODERS = {
    "constant_current_lif_encode": Calculation(
        lambda v: encode.constant_current_lif_encode(v["x"], T, lif(v)), {"x": Draw((B, PRE), 0, 4)}, dtypes=SINGLE
    ),
    "ConstantCurrentLIFEncoder": Calculation(
        lambda v: encoders.ConstantCurrentLIFEncoder(T, lif(v))(v["x"]), {"x": Draw((B, PRE), 0, 4)}, dtypes=SINGLE
    ),
    "gaussian_rbf": Calculation(lambda v: encode.gaussian_rbf(v["x"], 0.7), {"x": RATES}),
    "euclidean_distance": Calculation(
        lambda v: encode.euclidean_distance(v["x"], v["y"]), {"x": RATES, "y": SIGNED_RATES}
    ),
    "population_encode": Calculation(
        lambda v: encode.population_encode(v["x"], 7, scale=SCALED), {"x": RATES}, dtypes=SINGLE
    ),
    "population_encode, scale of the input": Calculation(
        lambda v: encode.population_encode(v["x"], 7), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "PopulationEncoder": Calculation(
        lambda v: encoders.PopulationEncoder(7, scale=SCALED)(v["x"]), {"x": RATES}, dtypes=SINGLE
    ),
    "poisson_encode": Calculation(
        lambda v: encode.poisson_encode(v["x"], T), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "poisson_encode_step": Calculation(
        lambda v: encode.poisson_encode_step(v["x"]), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "signed_poisson_encode": Calculation(
        lambda v: encode.signed_poisson_encode(v["x"].detach(), T), {"x": SIGNED_RATES}, dtypes=SINGLE, backward=False
    ),
    "signed_poisson_encode_step": Calculation(
        lambda v: encode.signed_poisson_encode_step(v["x"].detach()), {"x": SIGNED_RATES}, dtypes=SINGLE, backward=False
    ),
    "PoissonEncoder": Calculation(
        lambda v: encoders.PoissonEncoder(T, f_max=300)(v["x"]), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "PoissonEncoderStep": Calculation(
        lambda v: encoders.PoissonEncoderStep(f_max=300)(v["x"]), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "SignedPoissonEncoder": Calculation(
        lambda v: encoders.SignedPoissonEncoder(T, f_max=300)(v["x"].detach()),
        {"x": SIGNED_RATES},
        dtypes=SINGLE,
        backward=False,
    ),
    "SignedPoissonEncoderStep": Calculation(
        lambda v: encoders.SignedPoissonEncoderStep(f_max=300)(v["x"].detach()),
        {"x": SIGNED_RATES},
        dtypes=SINGLE,
        backward=False,
    ),
    "spike_latency_encode": Calculation(lambda v: encode.spike_latency_encode(v["x"]), {"x": SPIKES}, backward=False),
    "SpikeLatencyEncoder": Calculation(lambda v: encoders.SpikeLatencyEncoder()(v["x"]), {"x": SPIKES}, backward=False),
    "spike_latency_lif_encode": Calculation(
        lambda v: encode.spike_latency_lif_encode(v["x"], T, lif(v)), {"x": Draw((B, PRE), 0, 4)}, backward=False
    ),
    "SpikeLatencyLIFEncoder": Calculation(
        lambda v: encoders.SpikeLatencyLIFEncoder(T, lif(v))(v["x"]), {"x": Draw((B, PRE), 0, 4)}, backward=False
    ),
}


def adex(kind: Any, values: Values) -> Any:
    named = {"delta_T": 0.25, "tau_mem_inv": 90.0, "v_leak": 0.0625, "v_th": 0.8, "v_reset": -0.125}
    named |= {"adaptation_current": 3.0, "adaptation_spike": 0.05, "tau_ada_inv": 0.5}
    known = {name: next(iter(numbers(values["x"], value))) for name, value in named.items() if name in kind._fields}
    return kind(**known, method="tanh", alpha=2.0)


def encoded(step: Callable[..., Any], p: Any, states: int, values: Values) -> list[Any]:
    """The outputs and states of every tick of a current encoder, which takes and returns its states one by one."""
    x, seen = values["x"], []
    state = [torch.zeros_like(x[0]) for _ in range(states)]
    for tick in x:
        z, *state = step(tick, *state, p)
        seen.append((z, *state))
    return seen


def refractory(values: Values) -> Any:
    p = LIFRefracParameters(lif(values), next(iter(numbers(values["x"], 3.0))))
    state = LIFRefracFeedForwardState(LIFFeedForwardState(values["v"], values["v"]), values["rho"].detach().round())
    return compute_refractory_update(state, values["z"].detach(), values["x"], p)


def integrated(values: Values, step: Callable[..., Any], start: Any, p: Any) -> list[Any]:
    return each(lambda x, state: step(x, state, values["w"], p), start, values["x"])


def li(values: Values) -> Any:
    zeros = values["x"].new_zeros(B, POST)
    return integrated(values, li_step, LIState(zeros, zeros), LIParameters(*numbers(values["x"], 180.0, 90.0, 0.0625)))


def li_box(values: Values) -> Any:
    start = LIBoxState(values["x"].new_zeros(B, POST))
    return integrated(values, li_box_step, start, LIBoxParameters(*numbers(values["x"], 90.0, 0.0625)))


def lif_integral(values: Values) -> Any:
    start = LIFState(*values["x"].new_zeros(3, B, POST))
    return lif_step_integral(values["x"], start, values["w"], values["w_rec"], lif(values))


def lif_forward_integral(values: Values) -> Any:
    start = LIFFeedForwardState(*values["x"].new_zeros(2, B, PRE))
    return lif_feed_forward_integral(values["x"], start, lif(values))


def lifted(values: Values) -> Any:
    start = LIFFeedForwardState(*values["x"].new_zeros(2, B, PRE))
    return lift(lif_feed_forward_step, p=lif(values))(values["x"], state=start)


STEPS = {
    "lif_current_encoder": Calculation(lambda v: encoded(lif_current_encoder, lif(v), 1, v), {"x": CURRENTS}),
    "lif_ex_current_encoder": Calculation(
        lambda v: encoded(lif_ex_current_encoder, adex(LIFExParameters, v), 1, v), {"x": CURRENTS}
    ),
    "lif_adex_current_encoder": Calculation(
        lambda v: encoded(lif_adex_current_encoder, adex(LIFAdExParameters, v), 2, v), {"x": CURRENTS}
    ),
    "compute_refractory_update": Calculation(
        refractory,
        {"x": RATES, "v": SIGNED_RATES, "rho": Draw((B, PRE), 0, 3), "z": Draw((B, PRE), rate=0.3)},
    ),
    "li_step": Calculation(li, {"x": CURRENTS, "w": WEIGHTS}),
    "li_box_step": Calculation(li_box, {"x": CURRENTS, "w": WEIGHTS}),
    "lif_step_integral": Calculation(lif_integral, {"x": CURRENTS, "w": WEIGHTS, "w_rec": Draw((POST, POST), -1, 1)}),
    "lif_feed_forward_integral": Calculation(lif_forward_integral, {"x": CURRENTS}),
    "lift": Calculation(lifted, {"x": CURRENTS}),
    "reset_value": Calculation(
        lambda v: reset_value(v["z"], v["x"], *numbers(v["x"], -0.1, 0.5)), {"z": SPIKES, "x": CURRENTS}
    ),
    "reset_subtract": Calculation(
        lambda v: reset_subtract(v["z"], v["x"], *numbers(v["x"], -0.1, 0.5)), {"z": SPIKES, "x": CURRENTS}
    ),
}


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
