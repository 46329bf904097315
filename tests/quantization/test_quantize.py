"""`norse.quantize`: which numbers a network gets, how they are trained, compiled, copied and saved."""

import copy
import io
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

import norse
import norse.torch as snn


def spikes(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def network() -> snn.SequentialState:
    torch.manual_seed(0)
    wide = snn.LIFParameters(alpha=torch.tensor(10.0))
    model = snn.SequentialState(
        torch.nn.Linear(20, 30), snn.LIF(wide), snn.LIFRecurrent(30, 25, wide), torch.nn.Linear(25, 5), snn.LI()
    )
    with torch.no_grad():
        model[0].weight.mul_(8)
        model[2].input_weights.mul_(8)
    return model


def convolutional() -> snn.Lift:
    torch.manual_seed(0)
    return snn.Lift(
        snn.SequentialState(
            torch.nn.Conv2d(2, 6, 3), snn.IAFCell(), torch.nn.AvgPool2d(2), torch.nn.Conv2d(6, 4, 3, bias=False),
            snn.LIFBoxCell(), torch.nn.Flatten(), torch.nn.Linear(4 * 4 * 4, 10), snn.LICell(),
        )
    )  # fmt: skip


SETTINGS: dict[str, dict[str, Any]] = {
    "8 bits": {},
    "4 bits a channel": {"bits": 4, "per": "channel"},
    "16 bits of state": {"state_bits": 16},
    "short states that wrap, a channel": {"bits": 4, "state_bits": 10, "overflow": "wrap", "per": "channel"},
}


# ---- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_weights_are_so_many_bits_of_one_scale_and_biases_are_on_its_grid(bits: int, per: Any) -> None:
    quantized = norse.quantize(network(), bits, per=per)
    for found in snn.quantized_weights(quantized).values():
        column = found.scale.reshape(-1, 1)
        units = found.rounded.detach() / column
        assert torch.equal(units, found.integers)
        assert torch.equal(units, units.round())
        assert units.abs().max() <= 2 ** (bits - 1) - 1
        assert found.scale.shape == (() if per == "tensor" else (len(found.weights),))
        within = units.abs() < 2 ** (bits - 1) - 1
        assert ((found.rounded - found.weights).abs() <= column * 0.5001)[within].all()
    bias = quantized[0].rounded()[1] / quantized[0].scale
    assert torch.equal(bias, bias.round())


def test_the_scale_is_that_of_least_square_error() -> None:
    """Of all scales there are, on a fine grid: the grid of its own five bits has steps of up to 1/16."""
    torch.manual_seed(0)
    model = snn.SequentialState(torch.nn.Linear(50, 40), snn.LIF())
    for bits in (2, 3, 4, 8):
        weights = model[0].weight.detach().double()

        def error(scale: float, bits: int = bits, weights: torch.Tensor = weights) -> float:
            most = 2 ** (bits - 1) - 1
            return float((weights - scale * (weights / scale).round().clamp(-most, most)).square().sum())

        largest = float(weights.abs().max()) / (2 ** (bits - 1) - 1)
        least = min(error(largest * k / 1000) for k in range(200, 1100))
        assert error(float(norse.quantize(model, bits)[0].scale)) <= 1.15 * least


def test_a_scale_has_five_significant_bits_so_that_sums_are_exact() -> None:
    for found in snn.quantized_weights(norse.quantize(network(), 8, per="channel")).values():
        mantissa, _ = torch.frexp(found.scale)
        assert torch.equal(mantissa * 32, (mantissa * 32).round())


def test_weights_that_add_up_in_the_same_neurons_share_their_scale() -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.lif = torch.nn.Linear(20, 8), torch.nn.Linear(20, 8, bias=False), snn.LIF()
            self.c = torch.nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.c(self.lif(self.a(x) + self.b(x))[0])

    quantized: Any = norse.quantize(Two(), 4)
    assert quantized.a.scale == quantized.b.scale == quantized.lif.scale
    assert quantized.c.scale != quantized.a.scale
    recurrent = norse.quantize(snn.LIFRecurrent(20, 8), 4, per="channel")
    scales = [found.scale for found in snn.quantized_weights(recurrent).values()]
    assert len(scales) == 2
    assert torch.equal(*scales)


def test_decays_are_fractions_and_potentials_whole_units_of_the_membrane() -> None:
    p = snn.LIFParameters(
        tau_mem_inv=torch.tensor([90.0, 300.0]), tau_syn_inv=torch.tensor(0.01), v_th=torch.tensor([0.8, 1.3])
    )
    quantized = norse.quantize(snn.SequentialState(torch.nn.Linear(3, 2), snn.LIF(p)), 6, decay_bits=7)
    scale, rounded = quantized[0].scale, norse.freeze_quantized(quantized)[1].p
    assert torch.allclose(0.001 * rounded.tau_mem_inv * 128, torch.tensor([12.0, 38.0]))  # of 11.5 and 38.4
    assert torch.allclose(0.001 * rounded.tau_syn_inv * 128, torch.tensor(1.0))  # 0.001, but a decay is not 0
    unit = scale * torch.tensor([12.0, 38.0]) / 128
    assert torch.equal((rounded.v_th / unit).round() * unit, rounded.v_th)
    assert ((rounded.v_th - p.v_th).abs() <= unit / 2).all()


def test_the_model_itself_stays_as_it_is() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    norse.quantize(model, 2)
    assert [type(part).__name__ for part in model] == ["Linear", "LIF", "LIFRecurrent", "Linear", "LI"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[1].p.v_th == 1.0


def test_with_many_bits_it_is_nearly_the_model() -> None:
    model, x = network(), spikes(50, 4, 20)
    z, _ = model(x)
    errors = [(norse.quantize(model, bits, decay_bits=16)(x)[0] - z).abs().mean().item() for bits in (4, 8, 16)]
    assert errors[0] > errors[1] > errors[2]


def test_zeros_stay_zeros() -> None:
    model = network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for per in ("tensor", "channel"):
        quantized = norse.quantize(model, 4, per=per)  # type: ignore[arg-type]
        scales = torch.cat([found.scale.reshape(-1) for found in snn.quantized_weights(quantized).values()])
        assert ((scales > 0) & torch.isfinite(scales)).all()
        assert not quantized(spikes(10, 2, 20))[0].any()


def test_a_constant_tensor_is_met_exactly() -> None:
    layer = torch.nn.Linear(3, 4, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.75)
    assert torch.equal(norse.quantize(snn.SequentialState(layer, snn.IAF()), 2)[0].rounded()[0], layer.weight)


def test_what_is_skipped_stays_as_it_is() -> None:
    model = network()
    quantized = norse.quantize(model, 3, skip=["0", "1"])
    assert type(quantized[0]) is torch.nn.Linear
    assert quantized[1].activation is model[1].activation
    assert {found.name for found in snn.quantized_weights(quantized).values()} == {
        "2.input_weights", "2.recurrent_weights", "3.weight",
    }  # fmt: skip


def test_without_decay_bits_any_neuron_keeps_its_parameters() -> None:
    model = snn.SequentialState(torch.nn.Linear(3, 4), snn.LIFAdEx(), snn.LSNNRecurrent(4, 5))
    quantized = norse.quantize(model, 4, decay_bits=None)
    assert {found.name for found in snn.quantized_weights(quantized).values()} == {
        "0.weight", "2.input_weights", "2.recurrent_weights",
    }  # fmt: skip
    x = spikes(9, 2, 3)
    assert torch.equal(quantized[1].p.v_th, model[1].p.v_th)
    assert torch.equal(quantized(x)[0], norse.freeze_quantized(quantized)(x)[0])


# ---- training --------------------------------------------------------------------------------------


def test_gradients_pass_rounding_straight_through_and_end_where_weights_are_clipped() -> None:
    quantized = norse.quantize(snn.SequentialState(torch.nn.Linear(2, 1, bias=False), snn.LIBox()), 3)
    layer, x = quantized[0], torch.tensor([[2.0, 5.0]])
    with torch.no_grad():
        layer.scale.fill_(1.0)
        layer.weight.copy_(torch.tensor([[0.4, 7.2]]))  # the second is beyond 3
    (4 * layer(x)).sum().backward()
    assert layer(x).item() == 0 * 2 + 3 * 5
    assert layer.weight.grad.tolist() == [[4 * 2.0, 0.0]]


def test_learnt_parameters_of_neurons_are_learnt_through_their_rounding() -> None:
    p = snn.LIFParameters(
        tau_mem_inv=torch.nn.Parameter(torch.tensor(100.0)), v_th=torch.nn.Parameter(torch.tensor(0.3)),
        alpha=torch.tensor(5.0),
    )  # fmt: skip
    quantized = norse.quantize(snn.SequentialState(torch.nn.Linear(20, 8), snn.LIF(p)), 4, state_bits=12)
    names = [name for name, _ in quantized.named_parameters()]
    assert names == ["0.weight", "0.bias", "1.neuron.tau_mem_inv", "1.neuron.v_th"]
    for runs in (quantized, norse.compile(quantized, fullgraph=True)):
        quantized.zero_grad()
        runs(spikes(40, 4, 20))[0].sum().backward()
        gradients = [parameter.grad.clone() for parameter in quantized.parameters()]
        assert all(gradient.abs().max() > 0 for gradient in gradients)
    with torch.no_grad():
        quantized[1].p.v_th.fill_(0.4)
    frozen = norse.freeze_quantized(quantized)
    assert torch.equal(frozen(spikes(40, 4, 20))[0], quantized(spikes(40, 4, 20))[0])
    assert isinstance(frozen[1].p.v_th, torch.nn.Parameter)


def test_training_lowers_the_loss_of_four_bits() -> None:
    model, x, labels = network(), spikes(40, 16, 20), torch.arange(16) % 5
    quantized = norse.quantize(model, 4)
    compiled = norse.compile(quantized)
    optimizer = torch.optim.Adam(quantized.parameters(), 0.02)
    losses = []
    for _ in range(40):
        loss = cross_entropy(compiled(x)[0].mean(0), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert not quantized[2].recurrent_weights.diagonal().any()  # no autapses, as before
    assert all(found.integers.abs().max() <= 7 for found in snn.quantized_weights(quantized).values())


# ---- compiled --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("8 bits", {}),
        ("16 bits of state", {"exact": True}),
        ("4 bits a channel", {"memory": "low", "sparse": True}),
        ("short states that wrap, a channel", {}),
    ],
    ids=str,
)
def test_it_compiles_wholly_and_gives_the_same_numbers_and_gradients(name: str, options: dict[str, Any]) -> None:
    quantized, x = norse.quantize(network(), **SETTINGS[name]), spikes(50, 4, 20)
    compiled = norse.compile(quantized, fullgraph=True, **options)
    found = []
    for runs in (quantized, compiled):
        quantized.zero_grad()
        out, state = runs(x)
        out.square().sum().backward()
        found.append((out.detach(), state, [parameter.grad.clone() for parameter in quantized.parameters()]))
    (eager, before, expected), (out, after, gradients) = found
    assert out.abs().max() > 0
    integers = "state_bits" in SETTINGS[name]
    assert torch.equal(eager, out) if integers or options.get("exact") else torch.allclose(eager, out, atol=1e-5)
    assert torch.allclose(before[-1].v, after[-1].v, atol=1e-5)
    for one, other in zip(expected, gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max() + 1e-12))


def test_rounding_weights_stands_before_the_loop() -> None:
    compiled = norse.compile(norse.quantize(snn.LIFRecurrent(20, 8), 4))
    compiled(spikes(10, 2, 20))
    text = str(compiled.tick_graph)
    prologue, loop = text.split("loop", 1)
    assert prologue.count("round(") >= 2
    assert "round(" not in loop


@pytest.mark.parametrize("name", ["4 bits a channel", "16 bits of state"])
def test_convolutions_in_a_lift(name: str) -> None:
    x = spikes(20, 3, 2, 14, 14)
    quantized = norse.quantize(convolutional(), example_input=x, **SETTINGS[name])
    z, _ = quantized(x)
    compiled, _ = norse.compile(quantized, fullgraph=True, exact=True)(x)
    frozen, _ = norse.freeze_quantized(quantized)(x)
    assert z.abs().max() > 0
    assert torch.equal(z, compiled)
    assert torch.equal(z, frozen)


def test_cells_in_a_forward_with_its_own_loop() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = torch.nn.Linear(20, 12), snn.LIFCell()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state, out = None, []
            for now in x:
                z, state = self.lif(self.fc(now), state)
                out.append(z)
            return torch.stack(out)

    x = 4 * spikes(30, 2, 20)
    quantized = norse.quantize(Net(), 8, state_bits=16, example_input=x)
    z = quantized(x)
    assert z.sum() > 0
    assert torch.equal(z, norse.compile(quantized, fullgraph=True)(x))


# ---- copied, saved, frozen ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["8 bits", "short states that wrap, a channel"])
def test_copies_saved_and_frozen_models_compute_the_same(name: str) -> None:
    quantized, x = norse.quantize(network(), **SETTINGS[name]), spikes(30, 3, 20)
    expected, _ = quantized(x)
    whole, states = io.BytesIO(), io.BytesIO()
    torch.save(quantized, whole)
    torch.save(quantized.state_dict(), states)
    whole.seek(0), states.seek(0)
    other = norse.quantize(network().requires_grad_(False), **SETTINGS[name])
    with torch.no_grad():
        for tensor in (*other.parameters(), other[0].scale):
            tensor.mul_(3)
    other.load_state_dict(torch.load(states))
    frozen = norse.freeze_quantized(quantized)
    copies = (copy.deepcopy(quantized), torch.load(whole, weights_only=False), other, frozen, norse.compile(frozen))
    for again in copies:
        assert torch.equal(again(x)[0], expected)
    assert type(frozen[0]) is torch.nn.Linear
    assert torch.equal(norse.freeze_quantized(frozen)(x)[0], expected)


def test_frozen_layers_are_the_librarys_own() -> None:
    model = network()
    frozen = norse.freeze_quantized(norse.quantize(model, 4))
    assert [type(part) for part in frozen] == [type(part) for part in model]
    assert [part.activation for part in frozen if hasattr(part, "activation")] == [
        part.activation for part in model if hasattr(part, "activation")
    ]
    assert frozen.state_dict().keys() == model.state_dict().keys()
    assert frozen[2].weight_names == model[2].weight_names


def test_weights_that_two_layers_share_are_rounded_for_each() -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(
        torch.nn.Linear(8, 8), snn.IAF(), torch.nn.Linear(8, 8), snn.LIFRecurrent(8, 8), snn.LI()
    )
    model[2].weight = model[0].weight
    model[3].input_weights = model[0].weight
    quantized, x = norse.quantize(model, 3), 2 * spikes(30, 4, 8)
    assert quantized[2].weight is quantized[0].weight
    assert torch.equal(norse.freeze_quantized(quantized)(x)[0], quantized(x)[0])


def test_a_compiled_model_can_be_quantised() -> None:
    model, x = network(), spikes(20, 2, 20)
    assert torch.equal(norse.quantize(norse.compile(model))(x)[0], norse.quantize(model)(x)[0])


# ---- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bits": 1}, "argument bits: expects a whole number from 2 to 16, got 1"),
        ({"bits": 17}, "got 17"),
        ({"bits": 8.0}, "got 8.0"),
        ({"bits": True}, "got True"),
        ({"per": "row"}, "argument per: expects 'tensor' or 'channel', got 'row'"),
        ({"decay_bits": 1}, "argument decay_bits"),
        ({"overflow": "clip"}, "argument overflow: expects 'saturate' or 'wrap', got 'clip'"),
        ({"state_bits": 12, "decay_bits": None}, "argument decay_bits: expects a number where state_bits is one"),
        ({"state_bits": 19}, r"layer '1' \(LIF\): argument state_bits: expects at most 18"),
        ({"state_bits": 4}, r"layer '1' \(LIF\): argument state_bits: expects at least \d+, as p.v_th is"),
        ({"skip": ["7"]}, r"argument skip: expects paths of modules \(0, 1.*\), got '7'"),
        ({"skip": ["0", "1", "2", "3", "4"]}, "nothing to quantise: all layers are among skip"),
        ({"skip": "0"}, "expects a list of paths, got the string '0'"),
    ],
    ids=str,
)
def test_arguments_that_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        norse.quantize(network(), **options)


def test_models_that_are_refused() -> None:
    model = network()
    with torch.no_grad():
        model[3].weight[1, 2] = torch.inf
    flat = snn.Lift(snn.SequentialState(torch.nn.Conv2d(2, 6, 3), torch.nn.Flatten(), snn.LIFCell()))
    image = {"per": "channel", "example_input": spikes(5, 2, 2, 6, 6)}
    with pytest.warns(UserWarning, match="Euler overshoots"):
        fast = snn.LIF(snn.LIFParameters(tau_mem_inv=torch.tensor(1500.0)))
    linear = torch.nn.Linear(3, 4)
    refused: list[tuple[torch.nn.Module, dict[str, Any], str]] = [
        (model, {}, "3.weight: expects finite weights, got inf"),
        (torch.nn.Sequential(torch.nn.ReLU()), {}, "nothing to quantise"),
        (snn.SequentialState(linear, torch.nn.BatchNorm1d(4), snn.LIFCell()), {}, "layer '1' .BatchNorm1d"),
        (snn.SequentialState(linear, snn.LIFAdExCell()), {}, "lif_adex_feed_forward_step has no integer form"),
        (snn.SequentialState(linear, snn.LIF(integrator="exponential")), {}, "by forward Euler"),
        (snn.SequentialState(linear, fast), {}, "p.tau_mem_inv: expects dt / tau above 0 and at most 1"),
        (flat, image, "argument per: expects 'tensor' where neurons aren't the channels"),
        (norse.quantize(network()), {}, "got one that is quantised"),
    ]  # fmt: skip
    for given, options, said in refused:
        with pytest.raises(ValueError, match=said):
            norse.quantize(given, **options)
    with pytest.raises(TypeError, match=r"argument model: expects .*Module, got str"):
        norse.quantize("model")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="argument model: expects"):
        norse.freeze_quantized("model")  # type: ignore[arg-type]


def test_a_threshold_that_no_longer_is_one_is_said() -> None:
    p = snn.LIFParameters(v_th=torch.tensor(0.001))
    with pytest.warns(UserWarning, match="layer '1' .LIF.: .* the threshold is no higher than the reset"):
        norse.quantize(snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF(p)), 2)
