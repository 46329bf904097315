"""Steps that no module of 1.1.0 has: of current encoders, of integrators behind weights, over time."""

from collections.abc import Callable
from typing import Any

import torch

from norse.torch.functional.leaky_integrator import LIParameters, LIState, li_step
from norse.torch.functional.leaky_integrator_box import LIBoxParameters, LIBoxState, li_box_step
from norse.torch.functional.lif import (
    LIFFeedForwardState,
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
from norse.torch.functional.reset import reset_subtract, reset_value

from .calculation import (
    CURRENTS,
    POST,
    PRE,
    RATES,
    SIGNED_RATES,
    SPIKES,
    WEIGHTS,
    B,
    Calculation,
    Draw,
    each,
    lif,
    numbers,
)
from .observation import Values


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
