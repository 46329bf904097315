"""What NIR can't say is not written, and the message names the layer, what was expected and what it got."""

import re

import nir
import numpy as np
import pytest
import torch
from torch import nn

import norse
import norse.torch as snn
from norse.torch.functional.lif_box import LIFBoxFeedForwardState

NAN, INF = float("nan"), float("inf")


def own_step(x, state, p, dt):
    return x + state, x + state


def own_li_box(x, v, p, dt=0.001):
    v = v + dt * (x - v) / p
    return v, v


def linear_with(value):
    layer = nn.Linear(3, 4)
    layer.weight.data[1, 2] = value
    return layer


def with_parameters(cell, p):
    """Given later: a cell is not made with parameters that no neuron can have."""
    cell.p = p
    return cell


def after_linear(cell):
    return snn.SequentialState(nn.Linear(3, 4), cell)


def shifted(x):
    return LIFBoxFeedForwardState(v=torch.full(x.shape, 0.5))


class Forgetful(nn.Module):
    """Starts its neurons afresh at every tick."""

    def __init__(self):
        super().__init__()
        self.enter, self.cell = nn.Linear(3, 4), snn.LIFCell()

    def forward(self, x, state=None):
        z, _ = self.cell(self.enter(x))
        return z, state


class Afresh(Forgetful):
    """Has no state at all, though its neurons have."""

    def forward(self, x):
        return self.cell(self.enter(x))[0]


class Doubling(Forgetful):
    """Changes the state that it hands on."""

    def forward(self, x, state=None):
        z, state = self.cell(self.enter(x), state)
        return z, state._replace(v=state.v * 2)


class Rectifying(Forgetful):
    def forward(self, x, state=None):
        return self.cell(torch.exp(self.enter(x)), state)


def hooked():
    model = after_linear(snn.LIFCell())
    model[1].register_forward_hook(lambda module, args, result: result)
    return model


REFUSED = {
    "a step that is none of the library's": (
        after_linear(snn.SNNCell(own_step, torch.zeros_like, None)),
        "layer '1' (SNNCell)",
        "expected one of iaf_feed_forward_step",
        "got own_step",
    ),
    "a changed step of the library": (
        after_linear(
            snn.SNNCell(
                lambda x, state, p, dt: snn.lif_feed_forward_step(2 * x, state, p, dt),
                snn.LIFCell().initial_state,
                snn.LIFParameters(),
            )
        ),
        "layer '1' (SNNCell)",
        "expected one of",
        "got <lambda>",
    ),
    "reset by subtraction, with a synapse": (
        after_linear(snn.LIFCell(snn.LIFParameters(reset_method=snn.reset_subtract))),
        "layer '1' (LIFCell)",
        "expected reset_method=reset_value",
        "got reset_subtract",
    ),
    "reset by subtraction": (
        after_linear(snn.LIFBoxCell(snn.LIFBoxParameters(reset_method=snn.reset_subtract))),
        "layer '1' (LIFBoxCell)",
        "expected reset_method=reset_value",
        "got reset_subtract",
    ),
    "a step of the user's, even of the arithmetic of LIBox": (
        after_linear(snn.SNNCell(own_li_box, lambda x: torch.zeros_like(x), p=0.02)),
        "layer '1' (SNNCell)",
        "NIR can't say its step",
        "got own_li_box, a step of your own, which is no primitive even where it computes the same as one",
    ),
    **{
        f"the model {kind.__name__}": (after_linear(kind()), "layer '1'", "NIR can't say its step", f"NIR has {lack}")
        for kind, lack in (
            (snn.LIFAdExCell, "neither an exponential term nor adaptation; use snn.LIF"),
            (snn.LIFExCell, "no exponential term; use snn.LIF"),
            (snn.LIFRefracCell, "no refractory period; use snn.LIF"),
            (snn.LIFAdExRefracCell, "neither adaptation nor a refractory period; use snn.LIF"),
            (snn.LSNNCell, "no threshold that adapts; use snn.LIFRecurrent"),
            (snn.CobaLIFFeedForwardCell, "no conductances; use snn.LIFRecurrent"),
        )
    },
    "Izhikevich's model": (
        after_linear(snn.IzhikevichCell(snn.tonic_spiking)),
        "layer '1' (IzhikevichCell)",
        "NIR can't say its step",
        "no second variable of the membrane; use snn.LIF",
    ),
    "several compartments": (
        snn.SequentialState(snn.LIFMCRecurrentCell(3, 4)),
        "layer '0' (LIFMCRecurrentCell)",
        "NIR can't say its step",
        "no compartments; use snn.LIFRecurrent",
    ),
    "gradients by EventProp": (
        after_linear(snn.LIFCell(snn.LIFParameters(method="adjoint"))),
        "layer '1' (LIFCell)",
        "NIR has no gradients: give the neurons method='super'",
    ),
    "NaN weights": (
        nn.Sequential(linear_with(NAN)),
        "layer '0' (Linear)",
        "weight: expected finite numbers",
        "got nan",
    ),
    "infinite weights": (
        nn.Sequential(linear_with(INF)),
        "layer '0' (Linear)",
        "weight: expected finite numbers",
        "got inf",
    ),
    "NaN recurrent weights": (
        snn.LIFRecurrentCell(3, 2, recurrent_weights=torch.full((2, 2), NAN)),
        "layer '' (LIFRecurrentCell)",
        "recurrent_weights: expected finite",
        "got nan",
    ),
    "NaN thresholds": (
        after_linear(snn.LIFCell(snn.LIFParameters(v_th=torch.tensor([1, 1, NAN, 1])))),
        "layer '1' (LIFCell)",
        "p.v_th: expected finite numbers",
        "got nan",
    ),
    "negative time constants": (
        after_linear(with_parameters(snn.LIFCell(), snn.LIFParameters(tau_syn_inv=torch.tensor(-200.0)))),
        "layer '1' (LIFCell)",
        "p.tau_syn_inv: expected rates above 0",
        "got -200.0",
    ),
    "endless time constants": (
        after_linear(snn.LICell(snn.LIParameters(tau_mem_inv=torch.tensor(0.0)))),
        "layer '1' (LICell)",
        "p.tau_mem_inv: expected rates above 0",
        "got 0.0",
    ),
    "parameters of another size": (
        after_linear(snn.IAFCell(snn.IAFParameters(v_th=torch.ones(7, 4)))),
        "layer '1' (IAFCell)",
        "p.v_th: expected one number, or one for each neuron [4]",
        "got shape [7, 4]",
    ),
    "an own initial state": (
        after_linear(snn.SNNCell(snn.lif_box_feed_forward_step, shifted, snn.LIFBoxParameters())),
        "layer '1' (SNNCell)",
        "expected v to start at v_leak",
        "another initial state",
    ),
    "state that is dropped": (Forgetful(), "layer 'cell' (LIFCell)", "expected its state to be carried", "drops"),
    "state that is changed": (Doubling(), "layer 'cell' (LIFCell)", "expected its state to be carried", "changes"),
    "state that a Lift drops": (
        snn.SequentialState(snn.Lift(Afresh())),
        "layer '0' (Lift)",
        "expected a layer that the compiler understands",
        "0.lifted_module.cell: the module around it hands on no state, so it starts anew at every tick",
    ),
    "an operation": (Rectifying(), "its forward", "NIR can't say", "exp"),
    "an eager layer": (
        nn.Sequential(nn.Linear(3, 4), nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)),
        "layer '1' (TransformerEncoderLayer)",
        "expected a layer that the compiler understands",
        "TransformerEncoderLayer is not in the layer table",
    ),
    "a layer with hooks": (hooked(), "layer '1' (LIFCell)", "expected a layer that the compiler understands", "hooks"),
    "ReLU": (nn.Sequential(nn.Linear(3, 4), nn.ReLU()), "layer '1' (ReLU)", "NIR has no ReLU", "spiking neuron"),
    "normalisation": (
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval(),
        "layer '1' (BatchNorm1d)",
        "NIR has no normalisation",
        "fold it",
    ),
    "dropout in training": (
        nn.Sequential(nn.Linear(3, 4), nn.Dropout()),
        "layer '1' (Dropout)",
        "expected a model in eval mode",
        "got Dropout in training",
    ),
    "different time steps": (
        snn.SequentialState(nn.Linear(3, 4), snn.LIFCell(dt=0.001), snn.LICell(dt=0.002)),
        "layer '1' (LIFCell)",
        "expected one dt",
        "0.002 in layer '2' (LICell)",
    ),
    "a cell over a whole sequence": (
        snn.SequentialState(nn.Linear(3, 4), snn.LIF(), snn.IAFCell()),
        "layer '2' (IAFCell)",
        "expected a layer over time",
        "got a cell of one tick",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refuses(what, tmp_path):
    model, *parts = REFUSED[what]
    with pytest.raises(ValueError, match=r"norse\.to_nir: ") as error:
        norse.to_nir(model, tmp_path / "a.nir", example_input=_example(model))
    for part in parts:
        assert part in str(error.value)
    assert not list(tmp_path.iterdir())


def _example(model):
    over_time = any(isinstance(m, snn.SNN | snn.Lift) for m in model.modules())
    return torch.zeros(1, 1, 3) if over_time else torch.zeros(1, 3)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.MaxPool2d(2), "NIR has no maximum; use nn.AvgPool2d"),
        (nn.AvgPool2d(2, ceil_mode=True), "NIR can't say ceil_mode: expected False, got True"),
        (
            nn.AvgPool2d(2, padding=1, count_include_pad=False),
            "NIR can't say count_include_pad: expected True, got False",
        ),
        (nn.AvgPool2d(2, divisor_override=3), "NIR has no such primitive"),
        (
            nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
            "NIR can't say padding_mode: expected 'zeros', got 'circular'",
        ),
        (nn.Flatten(0), "expected start_dim 1 or above"),
        (nn.Linear(4, 2), "expected samples of 1 dimensions, got shape [2, 4, 4]"),
    ],
)
def test_refuses_a_spatial_layer(layer, expected):
    model = nn.Sequential(nn.Identity(), layer)
    with pytest.raises(ValueError, match=re.escape(f"layer '1' ({type(layer).__name__}): {expected}")):
        norse.to_nir(model, example_input=torch.zeros(1, 2, 4, 4))


class TestArguments:
    def test_what_is_no_module(self):
        with pytest.raises(TypeError, match=r"norse\.to_nir: argument model: expects a torch\.nn\.Module, got int"):
            norse.to_nir(3)

    @pytest.mark.parametrize(
        "model", [snn.LIFCell(), nn.Conv2d(1, 2, 3), snn.SequentialState(nn.Flatten(), nn.Linear(4, 2))]
    )
    def test_an_example_is_asked_for_where_no_layer_tells_the_shape(self, model):
        with pytest.raises(ValueError, match=r"pass example_input=torch\.zeros\(B, \.\.\.\)"):
            norse.to_nir(model)

    def test_an_example_over_time_is_asked_for(self):
        with pytest.raises(ValueError, match=r"pass example_input=torch\.zeros\(T, B, \.\.\.\)"):
            norse.to_nir(snn.LIF())

    @pytest.mark.parametrize(
        ("model", "axes"), [(snn.LIF(), "[T, B, features ...]"), (snn.Lift(snn.LIFCell()), "[T, B, features ...]")]
    )
    def test_an_example_without_batch(self, model, axes):
        with pytest.raises(ValueError, match=re.escape(f"example_input: expected a tensor {axes}, got [5, 3]")):
            norse.to_nir(model, example_input=torch.zeros(5, 3))

    def test_an_example_of_the_wrong_size(self):
        with pytest.raises(ValueError, match="3"):
            norse.to_nir(nn.Linear(3, 4), example_input=torch.zeros(1, 5))

    def test_another_dt_than_the_neurons(self):
        with pytest.raises(
            ValueError, match=r"argument dt: expected 0\.001, the dt of layer '1' \(LIFCell\), got 0\.002"
        ):
            norse.to_nir(after_linear(snn.LIFCell()), dt=0.002)

    @pytest.mark.parametrize("factor", [0, -1.0, NAN])
    def test_a_scaling_of_time_that_is_none(self, factor):
        with pytest.raises(ValueError, match="time_scaling_factor: expects above 0"):
            norse.to_nir(after_linear(snn.LIFCell()), time_scaling_factor=factor)

    def test_reset(self):
        with pytest.raises(ValueError, match="argument reset: expects zero or subtract, got 'none'"):
            norse.from_nir(norse.to_nir(after_linear(snn.LIFCell())), reset="none")

    @pytest.mark.parametrize("dt", [0, -0.001, NAN, INF])
    def test_dt_of_a_reader(self, dt):
        with pytest.raises(ValueError, match="argument dt: expects a time step in s above 0"):
            norse.from_nir(norse.to_nir(after_linear(snn.LIFCell())), dt=dt)

    def test_what_is_neither_path_nor_graph(self):
        with pytest.raises(TypeError, match=r"path_or_graph: expects a path or a nir\.NIRGraph, got int"):
            norse.from_nir(3)


class TestTheFile:
    def test_stays_as_it_was_when_the_model_is_refused(self, tmp_path):
        file = tmp_path / "a.nir"
        norse.to_nir(nn.Linear(3, 4), file)
        before = file.read_bytes()
        with pytest.raises(ValueError, match="NIR has no ReLU"):
            norse.to_nir(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), file)
        assert file.read_bytes() == before

    def test_stays_as_it_was_when_writing_fails_half_way(self, tmp_path, monkeypatch):
        file = tmp_path / "a.nir"
        norse.to_nir(nn.Linear(3, 4), file)
        before = file.read_bytes()

        def fail(file, graph):
            file.write(b"half a file")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(nir, "write", fail)
        with pytest.raises(OSError, match="No space left"):
            norse.to_nir(nn.Linear(3, 5), file)
        assert file.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["a.nir"]

    def test_needs_a_folder(self, tmp_path):
        with pytest.raises(OSError, match="nowhere"):
            norse.to_nir(nn.Linear(3, 4), tmp_path / "nowhere" / "a.nir")


def test_parameters_are_arrays_of_the_neurons_shape():
    graph = norse.to_nir(snn.SequentialState(nn.Linear(3, 4), snn.LIFCell()))
    node = graph.nodes["1"]
    for field in ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"):
        value = getattr(node, field)
        assert isinstance(value, np.ndarray), field
        assert value.shape == (4,), field
        assert value.dtype == np.float32, field
    assert np.allclose(node.w_in, node.tau_syn / 0.001)
    assert graph.metadata["dt"] == 0.001


def test_time_scaling_makes_seconds_of_milliseconds():
    model = snn.SequentialState(nn.Linear(3, 4), snn.LIFCell(snn.LIFParameters.bio_default(), dt=0.1))
    graph = norse.to_nir(model, time_scaling_factor=0.001)
    assert np.allclose(graph.nodes["1"].tau_mem, 0.010)
    assert np.allclose(graph.nodes["1"].w_in, 20)
    assert graph.metadata["dt"] == pytest.approx(0.0001)


class Product(nn.Module):
    def forward(self, x):
        return x * -x


class TestWords:
    """What a message says is what was done."""

    def test_a_product_of_values_is_no_quotient(self):
        with pytest.raises(ValueError, match="multiply two values"):
            norse.to_nir(Product(), example_input=torch.zeros(1, 3))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_an_example_that_is_not_finite_is_named(self, value):
        with pytest.raises(ValueError, match="argument example_input: expected finite numbers"):
            norse.to_nir(after_linear(snn.LIF()), example_input=torch.full((5, 2, 3), value))

    def test_a_lifted_model_needs_an_example_with_ticks(self):
        with pytest.raises(ValueError, match=r"example_input=torch.zeros\(T, B, ...\)$"):
            norse.to_nir(snn.Lift(snn.SequentialState(nn.Conv2d(1, 2, 3), snn.LIFCell())))

    def test_convolutions_between_layers_over_time_are_to_be_lifted(self):
        model = snn.SequentialState(nn.Conv2d(1, 2, 3), snn.LIF())
        with pytest.raises(ValueError, match=r"snn.LIFCell.*snn.Lift"):
            norse.to_nir(model, example_input=torch.zeros(4, 2, 1, 8, 8))

    def test_a_proof_without_a_spike_is_said_to_be_none(self):
        silent = snn.SequentialState(nn.Linear(3, 4), snn.LIF(snn.LIFParameters(v_th=torch.tensor(1e5))))
        with pytest.warns(UserWarning, match="without a single spike"):
            norse.to_nir(silent)
