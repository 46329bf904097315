"""Networks that nobody thought of, compiled and eager: equal bits with `exact=True`, equal gradients, flips counted.

500 of them, of all neuron models, layers and wirings (see `random_networks`), each in both modes. Building kernels
takes the time, so KERNELS of them are built, of those that come again. Other loops run with torch: traced, scheduled
and fused as always, but differentiated by autograd. With
NORSE_RANDOM_NETWORKS=5000 there are as many other networks, and every loop is native. `pytest -s` prints the counts.
"""

import copy
import os
import random

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import norse

from .comparison import observe
from .forms import assert_near
from .random_comparison import SparingBackend, Tally, check
from .random_modules import build
from .random_networks import EXPONENTIAL, FORMS, Layer, Loop, Network, Neuron, draw

COUNT = int(os.environ.get("NORSE_RANDOM_NETWORKS", "500"))
DEFAULT = COUNT == 500
KERNELS = 40 if DEFAULT else 10**6
BACKEND = SparingBackend(KERNELS, rare=not DEFAULT)
SHARES = {"over time": 0.3, "lifted": 0.2, "loop": 0.3, "ticks": 0.1, "recurrent sequential": 0.1}


@pytest.mark.parametrize("wiring", SHARES)
def test_it_is_eager_bit_for_bit_with_all_its_gradients(wiring: str) -> None:
    tally = Tally()

    @settings(
        max_examples=round(COUNT * SHARES[wiring]),
        derandomize=DEFAULT,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=True).map(lambda choose: draw(choose, wiring)))
    def compare(network: Network) -> None:
        check(network, BACKEND, tally)

    compare()
    print(f"\n{wiring}: {tally}; {len(BACKEND.kernels)} kernels so far", *tally.eager, sep="\n    eager: ")
    assert len(tally.eager) < 0.05 * tally.networks, "too many networks show nothing"
    assert tally.one_sided < 0.25 * tally.layers, "too many layers never or always fire"
    assert tally.spikes and tally.gradients


# ---- what was found, as small as it gets -----------------------------------------------------------------------------

FOUND = {
    "statistics of no ticks": Network(
        wiring="lifted", parts=(Layer("Linear"), Layer("BatchNorm"), Neuron("LIFCell")), ticks=0, training=True
    ),
    "no tick of a lifted cell, whose state is still none": Network(
        wiring="lifted", parts=(Neuron(form="LIFCell"),), ticks=0
    ),
    "ticks that do not start at multiples of 64 bytes, where torch sums in another order": Network(
        wiring="loop",
        parts=(Layer("MaxPool, half"), Layer("Flatten"), Layer("Linear"), Neuron(form="LIFExCell")),
        sample=(2, 6),
        ticks=2,
        batch=3,
        dtype="float32",
        seed=406,
    ),
    "such ticks in a Lift behind another, cut from one sequence": Network(
        wiring="over time",
        parts=(Layer("Conv", lifted=True), Layer("Flatten", lifted=True), Layer("Linear", lifted=True), Neuron("LIF")),
        sample=(2, 6),
        ticks=3,
        batch=3,
        dtype="float32",
        seed=406,
    ),
    "an input that is batch first, through a layer that returns it as it is": Network(
        wiring="loop",
        parts=(Layer("Dropout"), Layer("BatchNorm"), Neuron(form="LILinearCell")),
        loop=Loop(batch_first=True),
        batch=17,
        dtype="float32",
    ),
    "membranes of a map, each resting somewhere else": Network(
        wiring="lifted", parts=(Neuron(form="LIFCell", shape="neuron"),), sample=(2, 4, 4), ticks=3
    ),
    "one sample's state for all, in front of weights of one sign": Network(
        wiring="over time",
        parts=(Neuron(form="CobaLIFRecurrent", shape="neuron", learnt="all", method="circ", reset="subtract"),),
        batch=3,
        state="of one sample",
        seed=901,
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_right_and_is_compiled(name: str) -> None:
    tally = Tally()
    check(FOUND[name], SparingBackend(10, rare=True), tally)
    assert not tally.eager or "without ticks" in tally.eager[0], tally.eager


EXPONENTIALS = sorted(name for name, form in FORMS.items() if form.model.file in EXPONENTIAL)


@pytest.mark.parametrize("form", EXPONENTIALS)
def test_a_tick_with_an_exponential_is_within_4_ulps_of_eager_from_eagers_state(form: str) -> None:
    choose = random.Random(form)
    over_time = FORMS[form].over_time
    for seed in range(6):
        neuron = Neuron(
            form, choose.choice(["0-d", "neuron"]), reset="value", method="super", option=FORMS[form].recurrent
        )
        dtype = choose.choice(["float32", "float64"])
        network = Network("over time" if over_time else "ticks", (neuron,), ticks=12, batch=3, dtype=dtype, seed=seed)
        case = build(network)
        compiled = norse.compile(copy.deepcopy(case.model))
        state = None
        with torch.no_grad():
            for t, tick in enumerate(case.x.split(1) if over_time else case.x):
                eager = observe(case.model, tick, state, backward=False)
                assert_near(observe(compiled, tick, state, backward=False), eager, f"tick {t} of {network}")
                state = eager.results[1]
