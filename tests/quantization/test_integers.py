"""A quantised network fires exactly where the same network in whole numbers does."""

from typing import Any

import numpy as np
import pytest
import torch

import norse
import norse.torch as snn
from norse.torch.functional.quantization import decay_integer

from .integers import Layer, run

T, B, IN, N = 60, 4, 20, 24
D = 10


def spikes(seed: int = 0) -> torch.Tensor:
    return (torch.rand(T, B, IN, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def whole(values: torch.Tensor, unit: Any) -> Any:
    """Multiples of a unit, which they must be."""
    made = values.detach().double().numpy() / unit
    assert np.abs(made - np.round(made)).max() < 1e-3
    return np.round(made).astype(np.int64)


def layer_of(neuron: Any, linear: Any, p: Any, bits: int, wraps: bool) -> Layer:
    """The integers of a quantised layer. Decays and potentials are those of the original parameters p, rounded here."""
    scale = neuron.scale.double().numpy()
    column = scale.reshape(-1, 1) if scale.ndim else scale
    recurrent = hasattr(neuron, "recurrent_weights")
    quantized = {name: found.rounded for name, found in snn.quantized_weights(neuron).items()}
    w = whole(quantized["input_weights"] if recurrent else linear.rounded()[0], column)
    bias = 0 if recurrent else whole(linear.rounded()[1], scale)
    decays = {
        name: np.round(float(getattr(p, field)) * 0.001 * 2**D).astype(np.int64)
        for name, field in (("mem", "tau_mem_inv"), ("syn", "tau_syn_inv"))
        if hasattr(p, field)
    }
    unit = scale * decays["mem"] / 2**D if "mem" in decays else scale
    potentials = {
        name: np.round(float(getattr(p, field)) / unit).astype(np.int64)
        for name, field in (("leak", "v_leak"), ("v_th", "v_th"), ("v_reset", "v_reset"))
        if hasattr(p, field)
    }
    w_rec = whole(quantized["recurrent_weights"], column) if recurrent else None
    subtracts = getattr(p, "reset_method", None) is snn.reset_subtract
    return Layer(w, bias, D, bits, wraps, w_rec, subtracts=subtracts, **decays, **potentials)


SUBTRACT = {"reset_method": snn.reset_subtract}
REST = {"v_leak": torch.tensor(0.1), "v_reset": torch.tensor(-0.2)}
NEURONS = {
    "LIF": lambda: snn.LIF(snn.LIFParameters(**REST)),
    "LIF, subtracting": lambda: snn.LIF(snn.LIFParameters(**SUBTRACT)),
    "LIFBox": lambda: snn.LIFBox(snn.LIFBoxParameters(tau_mem_inv=torch.tensor(300.0))),
    "IAF": lambda: snn.IAF(snn.IAFParameters(v_th=torch.tensor(0.9), v_reset=torch.tensor(-0.3))),
    "IAF, subtracting": lambda: snn.IAF(snn.IAFParameters(**SUBTRACT)),
    "LI": lambda: snn.LI(),
    "LIBox": lambda: snn.LIBox(),
}


@pytest.mark.parametrize(("overflow", "per"), [("saturate", "channel"), ("wrap", "tensor")])
@pytest.mark.parametrize("name", NEURONS)
def test_a_layer_in_whole_numbers(name: str, overflow: str, per: str) -> None:
    torch.manual_seed(1)
    model = snn.SequentialState(torch.nn.Linear(IN, N), NEURONS[name]())
    with torch.no_grad():
        model[0].weight.mul_(6)
    p = model[1].p
    quantized = norse.quantize(model, 6, per=per, decay_bits=D, state_bits=10, overflow=overflow)
    layer = layer_of(quantized[1], quantized[0], p, 10, overflow == "wrap")
    expected = run(layer, spikes().numpy().astype(np.int64))
    forms: list[Any] = [quantized, norse.freeze_quantized(quantized)]
    if per == "channel":
        forms.append(norse.compile(quantized, fullgraph=True).requires_grad_(False))
    for runs in forms:
        out, _ = runs(spikes())
        if layer.v_th is None:
            unit = quantized[1].scale.double().numpy() * layer.mem / 2**D
            assert np.array_equal(whole(out, unit), expected)
        else:
            assert np.array_equal(out.detach().numpy(), expected)
            assert 0.01 < expected.mean() < 0.99


@pytest.mark.parametrize(
    ("kind", "per"),
    [
        (snn.LIFRecurrent, "tensor"),
        (snn.LIFRecurrent, "channel"),
        (snn.LIFBoxRecurrent, "channel"),
        (snn.IAFRecurrent, "tensor"),
    ],
)
def test_recurrent_layers_in_whole_numbers(kind: Any, per: str) -> None:
    torch.manual_seed(2)
    model = kind(IN, N)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(4)
    quantized = norse.quantize(model, 5, per=per, decay_bits=D, state_bits=12)
    layer = layer_of(quantized, None, model.p, 12, False)
    expected = run(layer, spikes().numpy().astype(np.int64))
    assert 0.01 < expected.mean() < 0.99
    for runs in (quantized, norse.compile(quantized, fullgraph=True), norse.freeze_quantized(quantized)):
        assert np.array_equal(runs(spikes())[0].detach().numpy(), expected)


@pytest.mark.parametrize(("bits", "states"), [(12, 18), (13, 17), (16, 16), (2, 23)])
def test_a_decay_is_exact_in_float32_as_far_as_is_said(bits: int, states: int) -> None:
    """Differences of two states have a bit more than states."""
    draw = np.random.default_rng(0)
    values = draw.integers(-(2**states), 2**states, 20000, endpoint=True)
    kept = draw.integers(0, 2**bits, 20000, endpoint=True)
    expected = [
        (abs(v) * k >> bits) * (1 if v > 0 else -1) for v, k in zip(values.tolist(), kept.tolist(), strict=True)
    ]
    found = decay_integer(torch.tensor(values).float(), torch.tensor(kept).float(), bits)
    assert found.tolist() == expected


def test_saturation_and_wrapping_differ_where_states_are_short() -> None:
    torch.manual_seed(1)
    model = snn.SequentialState(torch.nn.Linear(IN, N), snn.LIF())
    with torch.no_grad():
        model[0].weight.mul_(6)
    outputs = [norse.quantize(model, 6, state_bits=9, overflow=how)(spikes())[0] for how in ("saturate", "wrap")]
    assert not torch.equal(*outputs)


def test_states_of_24_bits_are_exact_in_double() -> None:
    torch.manual_seed(3)
    model = snn.SequentialState(torch.nn.Linear(IN, N), snn.LIF()).double()
    with torch.no_grad():
        model[0].weight.mul_(6)
    p = model[1].p
    quantized = norse.quantize(model, 16, decay_bits=D, state_bits=24)
    expected = run(layer_of(quantized[1], quantized[0], p, 24, False), spikes().numpy().astype(np.int64))
    assert np.array_equal(quantized(spikes().double())[0].detach().numpy(), expected)


def test_iaf_neurons_need_no_rounded_states_to_be_exact() -> None:
    """Without a leak all is sums of weights, and those are exact in float32."""
    torch.manual_seed(4)
    model = snn.SequentialState(torch.nn.Linear(IN, N), snn.IAF())
    p = model[1].p
    quantized = norse.quantize(model, 8, decay_bits=D)
    expected = run(layer_of(quantized[1], quantized[0], p, 30, False), spikes().numpy().astype(np.int64))
    assert np.array_equal(quantized(spikes())[0].detach().numpy(), expected)
    assert 0.01 < expected.mean() < 0.99
