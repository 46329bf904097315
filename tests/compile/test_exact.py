"""`exact=True`: a whole network gives eager's bits, for any batch, tick by tick and over the sequence.

A matrix product over T * B rows is not bit-equal to T products over B rows, and at B = 1 torch calls another routine:
so these batch sizes, and so the promise is about the granularity of calls.

Gradients in float32 are compared with eager's from the same spikes, so that only sums differ. The surrogate's sharpness
is 10: with 100 a few neurons near the threshold carry the whole gradient through every layer, and its rounding too.
"""

import pytest
import torch
from torch import nn

import norse.torch as snn
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters

from .comparison import assert_compiles_to_the_same, once, tick_by_tick
from .neurons import currents, learnt

BATCHES = [1, 2, 3, 16]
batches = pytest.mark.parametrize("batch", BATCHES, ids="B={}".format)
dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def seeded(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Weights from a seed, large enough for every layer to spike."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("weight"):
                tensor.normal_(0.3, 1.0)
    return model.to(dtype)


def lif(dtype: torch.dtype) -> LIFParameters:
    return learnt(LIFParameters, (), dtype)  # type: ignore[no-any-return]


def feed_forward(dtype: torch.dtype) -> nn.Module:
    return seeded(
        snn.SequentialState(
            nn.Linear(6, 8),
            snn.LIF(p=lif(dtype)),
            nn.Linear(8, 7, bias=False),
            snn.LIFBox(p=LIFBoxParameters(tau_mem_inv=torch.tensor(400.0), alpha=torch.tensor(10.0))),
            nn.Linear(7, 3),
            snn.LI(),
        ),
        dtype,
    )


def with_recurrence(dtype: torch.dtype) -> nn.Module:
    return seeded(
        snn.SequentialState(
            snn.LIFRecurrent(6, 8, p=lif(dtype)), nn.Linear(8, 7), snn.LIFRecurrent(7, 5, p=lif(dtype)), snn.LI()
        ),
        dtype,
    )


def of_cells(dtype: torch.dtype) -> nn.Module:
    return seeded(snn.SequentialState(nn.Linear(6, 8), snn.LIFCell(p=lif(dtype)), nn.Linear(8, 3), snn.LICell()), dtype)


def of_recurrent_cells(dtype: torch.dtype) -> nn.Module:
    return seeded(
        snn.SequentialState(
            nn.Linear(6, 8), snn.LIFRecurrentCell(8, 7, p=lif(dtype)), nn.Linear(7, 4), snn.LILinearCell(4, 3)
        ),
        dtype,
    )


def lifted_cells(dtype: torch.dtype) -> nn.Module:
    return snn.Lift(of_recurrent_cells(dtype))


def lifted_synapses(dtype: torch.dtype) -> nn.Module:
    return seeded(
        snn.SequentialState(snn.Lift(nn.Linear(6, 8)), snn.LIF(p=lif(dtype)), snn.Lift(nn.Linear(8, 3)), snn.LI()),
        dtype,
    )


NETWORKS = {
    "feed-forward": (feed_forward, once),
    "recurrent": (with_recurrence, once),
    "cells": (of_cells, tick_by_tick),
    "recurrent cells": (of_recurrent_cells, tick_by_tick),
    "lifted cells": (lifted_cells, once),
    "lifted synapses": (lifted_synapses, once),
}


@batches
@dtypes
@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_network_gives_eagers_bits_and_gradients(name: str, dtype: torch.dtype, batch: int) -> None:
    make, call = NETWORKS[name]
    x = 4 * currents("", 20, batch, 6, dtype=dtype)
    assert_compiles_to_the_same(make(dtype), x, call=call, exact=True)


@batches
@pytest.mark.parametrize("name", ["feed-forward", "recurrent", "lifted cells"])
def test_it_does_so_in_one_batch_alone(name: str, batch: int) -> None:
    """Without gradients there is another kernel, and another way into it."""
    make, call = NETWORKS[name]
    x = 4 * currents("", 20, batch, 6, dtype=torch.float32)
    with torch.no_grad():
        assert_compiles_to_the_same(make(torch.float32), x, call=call, backward=False, exact=True)


def test_random_draws_are_eagers_in_eagers_order() -> None:
    """Dropout in training, before and behind a neuron."""
    model = seeded(
        snn.SequentialState(nn.Dropout(), nn.Linear(6, 8), snn.LIF(), nn.Dropout(0.3)), torch.float32
    ).train()

    def call(module: nn.Module, x: torch.Tensor, state: object) -> object:
        torch.manual_seed(11)
        return once(module, x, state)

    assert_compiles_to_the_same(model, 4 * currents("", 20, 3, 6, dtype=torch.float32), call=call, exact=True)


def test_transcendental_functions_are_torchs_own() -> None:
    """A surrogate of tanh: the forward has none, its derivative has."""

    def step(x: torch.Tensor, v: torch.Tensor, p: None, dt: float) -> tuple[torch.Tensor, torch.Tensor]:
        v = torch.sigmoid(v) * torch.exp(-v * v) + torch.tanh(x)
        return (v > 0.7).to(x.dtype) + 0 * v, v

    layer = snn.SNN(step, lambda x: torch.zeros_like(x[0]), None)
    compiled = assert_compiles_to_the_same(layer, 2 * currents("", 50, 4, 40, dtype=torch.float32), exact=True)
    assert "exact=True" in compiled.explain()
