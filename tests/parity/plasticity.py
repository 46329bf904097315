"""Learning rules and synapses that change by themselves."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from norse.torch.functional import stdp
from norse.torch.functional.correlation_sensor import (
    CorrelationSensorParameters,
    CorrelationSensorState,
    correlation_based_update,
    correlation_sensor_step,
)
from norse.torch.functional.stdp_sensor import STDPSensorParameters, STDPSensorState, stdp_sensor_step
from norse.torch.functional.tsodyks_makram import TsodyksMakramParameters, TsodyksMakramState, stp_step

from .calculation import POST, PRE, SPIKES, WEIGHTS, B, Calculation, Draw, T, each, numbers
from .observation import Values

PAIRS = {"z_pre": Draw((T, B, PRE), rate=0.2), "z_post": Draw((T, B, POST), rate=0.2)}
ONE_OF_EACH = {"z_pre": Draw((T, 1, PRE), rate=0.2), "z_post": Draw((T, 1, POST), rate=0.2)}
IMAGES = {"z_pre": Draw((T, B, 2, 6, 6), rate=0.2), "z_post": Draw((T, B, 3, 4, 4), rate=0.2)}
KERNELS = Draw((3, 2, 3, 3), 0.1, 0.9)
ALGORITHMS = ("additive", "additive_step", "multiplicative_pow", "multiplicative_relu")


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
