"""Dialects without their tools: equations written here again, refusals, and files and traces that were recorded."""

import warnings
from pathlib import Path
from typing import get_args

import nir
import numpy as np
import pytest
import torch
from torch import nn

import norse
import norse.torch as snn
from norse.backends.nir_export import SeveralIAFCell
from norse.backends.nir_export.dialect_names import DialectName
from norse.backends.nir_export.dialects import DIALECTS
from norse.torch.functional.reset import reset_subtract, reset_subtract_bounded

from .cases import CASES, NETWORKS

DATA = Path(__file__).parents[1] / "data" / "nir"
TOOLS = [name for name in DIALECTS if name != "nir"]
DT = 1e-3


def values(node, *names):
    return [np.asarray(getattr(node, name), np.float64) for name in names]


def fire(v, threshold, several=False):
    return np.maximum(np.floor(v / threshold), 0) if several else (v > threshold) * 1.0


# What each tool computes of a neuron, in its own words: the rule that its spikes were found to follow.


def snntorch(node, x):
    """Leaky: v = β v + x; Synaptic: i = α i + x, v = β v + i. Reset to 0. Time constants count in 0.0001 s."""
    threshold, r = values(node, "v_threshold", "r")
    (tau,) = values(node, "tau_mem" if isinstance(node, nir.CubaLIF) else "tau")
    assert np.allclose(r, tau / 1e-4)  # or it changes the weights
    v = i = np.zeros(threshold.shape)
    for now in x:
        if isinstance(node, nir.CubaLIF):
            tau_syn, w_in = values(node, "tau_syn", "w_in")
            assert np.allclose(w_in, tau_syn / 1e-4)
            i = (1 - 1e-4 / tau_syn) * i + now
            now = i
        v = (1 - 1e-4 / tau) * v + now
        z = fire(v, threshold)
        v = (1 - z) * v
        yield z


def norse_1_1(node, x):
    """r counts in CubaLIF only, v_reset never."""
    (threshold,) = values(node, "v_threshold")
    v = i = np.zeros(threshold.shape)
    for now in x:
        if isinstance(node, nir.IF):
            v = v + now
        elif isinstance(node, nir.LIF):
            v = v + DT / values(node, "tau")[0] * (now - v)
        else:
            tau, tau_syn, w_in, r = values(node, "tau_mem", "tau_syn", "w_in", "r")
            i = i + DT / tau_syn * (w_in * now - i)
            v = v + DT / tau * (r * i - v)
        z = fire(v, threshold)
        v = (1 - z) * v
        yield z


def sinabs(node, x):
    """v = exp(-1 / τ) v + x, or v = max(v + x, -threshold); several spikes, each of which lowers v."""
    (threshold,) = values(node, "v_threshold")
    v = np.zeros(threshold.shape)
    for now in x:
        v = (
            np.exp(-1 / values(node, "tau")[0]) * v + now
            if isinstance(node, nir.LIF)
            else np.maximum(v + now, -threshold)
        )
        z = fire(v, threshold, several=True)
        v = v - z * threshold
        yield z


def rockpool(node, x):
    """i = (i + x) exp(-dt / τ_syn), v = v exp(-dt / τ_mem) + i, with dt = τ_mem / (1 + r); several spikes."""
    threshold, tau, tau_syn, r = values(node, "v_threshold", "tau_mem", "tau_syn", "r")
    dt, v, i = tau / (1 + r), np.zeros(threshold.shape), np.zeros(threshold.shape)
    for now in x:
        i = (i + now) * np.exp(-dt / tau_syn)
        v = v * np.exp(-dt / tau) + i
        z = fire(v, threshold, several=True)
        v = v - z * threshold
        yield z


def spyx(node, x):
    """The spikes of a tick are those of the v before it; v is lowered, then decays, then gets i or x."""
    (threshold,) = values(node, "v_threshold")
    v = i = np.zeros(threshold.shape)
    for now in x:
        z = fire(v, threshold)
        v = v - z * threshold
        if isinstance(node, nir.IF):
            v = v + now
        else:
            i = (1 - DT / values(node, "tau_syn")[0]) * i + now
            v = (1 - DT / values(node, "tau_mem")[0]) * v + i
        yield z


RULES = {"snntorch": snntorch, "norse": norse_1_1, "sinabs": sinabs, "rockpool": rockpool, "spyx": spyx}
NEURONS = {
    "snntorch": ("IF", "LIF", "CubaLIF"),
    "norse": ("IF", "LIF", "CubaLIF"),
    "sinabs": ("IF", "LIF"),
    "rockpool": ("CubaLIF",),
    "spyx": ("IF", "LIF", "CubaLIF"),
}


def written(case, dialect, path=None):
    model = case.model(DIALECTS[dialect].reset)
    x = torch.from_numpy(case.spikes())[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one spike a tick, where the tool has several
        return model, x, norse.to_nir(snn.Lift(model), path, example_input=x, dialect=dialect)


def over_time(model, x):
    with torch.no_grad():
        return snn.Lift(model)(x)[0][:, 0].numpy()


@pytest.mark.parametrize(("dialect", "neuron"), [(tool, kind) for tool in TOOLS for kind in NEURONS[tool]])
def test_a_tools_rule_makes_the_models_spikes_of_the_file(dialect, neuron):
    model, x, graph = written(CASES[neuron], dialect)
    expected = over_time(model, x)
    node = next(node for node in graph.nodes.values() if hasattr(node, "v_threshold"))
    with torch.no_grad():
        current = model[0](x)[:, 0].numpy().astype(np.float64)
    z = np.array(list(RULES[dialect](node, current)))
    late = int(DIALECTS[dialect].late)
    assert 0.01 < expected.mean() < 0.99
    assert np.array_equal(z[late:], expected[: len(expected) - late])


@pytest.mark.parametrize("dialect", TOOLS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_is_read_as_it_was_meant(dialect, name, tmp_path):
    try:
        model, x, _ = written(NETWORKS[name], dialect, tmp_path / "a.nir")
    except ValueError as error:
        assert DIALECTS[dialect].tool in str(error)
        assert not (tmp_path / "a.nir").exists()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it says its dialect and its time step
        read = norse.from_nir(tmp_path / "a.nir")
    late = 2 if DIALECTS[dialect].late else 0
    expected, got = over_time(model, x), over_time(read, x)
    if name.startswith("readout"):
        assert np.allclose(got, expected, rtol=1e-4, atol=1e-5)
    else:
        assert np.array_equal(got[late:], expected[: len(expected) - late])


def test_per_neuron_parameters_and_a_leak_potential(tmp_path):
    p = snn.LIFParameters(
        tau_mem_inv=torch.tensor([50.0, 100.0, 200.0]), v_leak=torch.tensor(0.5), v_reset=torch.tensor(0.5),
        v_th=torch.tensor([0.8, 0.7, 0.9]),
    )  # fmt: skip
    model = snn.SequentialState(nn.Linear(2, 3), snn.LIFCell(p))
    graph = norse.to_nir(model, tmp_path / "a.nir", dialect="snntorch")
    assert graph.verification.spikes > 20
    assert not np.any(graph.nodes["1"].v_leak)
    x = torch.rand(100, 1, 2)
    assert np.array_equal(over_time(norse.from_nir(tmp_path / "a.nir"), x), over_time(model, x))


class TestRefusals:
    LIF = snn.LIFParameters(reset_method=reset_subtract)
    REFUSED = (
        (
            "sinabs",
            nn.Sequential(snn.Threshold(torch.tensor(0.5))),
            r"node '1' \(Threshold\): Sinabs 3.1.3 does not take it: compare outside of the tool",
        ),
        (
            "sinabs",
            nn.Sequential(snn.LIFBoxCell(snn.LIFBoxParameters(reset_method=reset_subtract))),
            r"node '1' \(LIF\), for Sinabs 3.1.3: of images it can load IF alone: .* got \[1, 4, 4\]",
        ),
        (
            "sinabs",
            snn.IAFCell(),
            r"layer '1' \(IAFCell\): Sinabs 3.1.3 lowers v .* expected reset_method=reset_subtract",
        ),
        ("snntorch", snn.LICell(), r"node '1' \(CubaLI\): snnTorch 1.0.0 does not take it: end the model with"),
        (
            "rockpool",
            snn.LICell(snn.LIParameters(v_leak=torch.tensor([0.0, 0.5, 0.5]))),
            r"node '1' \(CubaLI\), for Rockpool 3.1.0: Rockpool leaks to 0: expected v_leak=0, got 0.5",
        ),
        (
            "spyx",
            snn.IAFCell(snn.IAFParameters(reset_method=reset_subtract_bounded)),
            "Spyx 1.0.0 lets v of IF fall without a bound: expected reset_method=reset_subtract, got reset_sub",
        ),
        (
            "spyx",
            SeveralIAFCell(snn.IAFParameters(reset_method=reset_subtract)),
            "Spyx 1.0.0 lowers v by the threshold once a tick: expected reset_method=reset_subtract, "
            "got reset_subtract with several spikes a tick",
        ),
        (
            "rockpool",
            SeveralIAFCell(snn.IAFParameters(reset_method=reset_subtract_bounded)),
            "fall without a bound: expected reset_method=reset_subtract, got reset_subtract_bounded with several",
        ),
        ("snntorch", snn.LIFCell(LIF), r"snnTorch 1.0.0 has neurons reset to 0: expected reset_method=reset_value"),
        ("snntorch", snn.LIFRecurrentCell(3, 3), "snnTorch 1.0.0 takes no recurrence"),
        ("norse", snn.LIFCell(snn.LIFParameters(v_reset=torch.tensor(0.1))), "expected v_reset=0.0, got 0.1"),
        ("spyx", nn.Sequential(nn.AvgPool2d(2)), "Spyx 1.0.0 does not take it"),
    )

    @pytest.mark.parametrize(("dialect", "layer", "message"), REFUSED)
    def test_before_there_is_a_file(self, dialect, layer, message, tmp_path):
        if isinstance(layer, nn.Sequential):
            model, x = snn.SequentialState(nn.Conv2d(1, 1, 1), *layer), torch.zeros(1, 1, 4, 4)
        else:
            model, x = snn.SequentialState(nn.Linear(3, 3), layer), torch.zeros(1, 3)
        with pytest.raises(ValueError, match=message):
            norse.to_nir(model, tmp_path / "a.nir", example_input=x, dialect=dialect)
        assert not list(tmp_path.iterdir())

    def test_a_bias_behind_neurons_that_are_late(self):
        box = snn.LIFBoxParameters(reset_method=reset_subtract)
        model = snn.SequentialState(nn.Linear(3, 3), snn.LIFBoxCell(box), nn.Linear(3, 3))
        with pytest.raises(ValueError, match=r"node '2' \(Affine\): neurons of Spyx 1.0.0 fire a tick late"):
            norse.to_nir(model, dialect="spyx")

    def test_inputs_that_make_several_spikes_a_tick(self):
        box = snn.LIFBoxParameters(v_th=torch.tensor(0.1), reset_method=reset_subtract)
        model = snn.SequentialState(nn.Linear(3, 3), snn.LIFBoxCell(box))
        with torch.no_grad():
            model[0].weight.fill_(1.0)
        strong = torch.full((20, 1, 3), 5.0)
        with (
            pytest.warns(UserWarning, match="Sinabs 3.1.3 fires several spikes in a tick"),
            pytest.raises(ValueError, match=r"'1' differs at tick 0.*15 of them in node '1' at tick 0, where v"),
        ):
            norse.to_nir(snn.Lift(model), example_input=strong, dialect="sinabs")

    def test_type_checkers_and_the_command_line_know_the_table(self):
        assert get_args(DialectName) == tuple(DIALECTS)

    @pytest.mark.parametrize("verb", [lambda: norse.to_nir(nn.Linear(2, 2), dialect="lava"), lambda: norse.from_nir(
        nir.NIRGraph({}, [], metadata={}, type_check=False), dialect="lava")])  # fmt: skip
    def test_a_dialect_that_is_none(self, verb):
        with pytest.raises(ValueError, match=r"argument dialect: expects one of nir, norse, snntorch, .*, got 'lava'"):
            verb()

    @pytest.mark.parametrize(("field", "value"), [("v_threshold", 0.0), ("tau", -1.0)])
    def test_a_file_that_its_tool_would_divide_by_nothing_for(self, field, value):
        fields = {"tau": 10.0, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | {field: value}
        node = nir.LIF(**{name: np.full(2, number, np.float32) for name, number in fields.items()})
        with pytest.raises(ValueError, match=rf"node 'lif' \(LIF\): {field}: its tool divides by it"):
            norse.from_nir(nir.NIRGraph.from_list(node), dialect="sinabs", dt=DT)

    def test_an_integrator_that_is_not_the_tools(self):
        with pytest.raises(
            ValueError, match=r"Rockpool 3\.1\.0 has an arithmetic of its own: expected integrator='euler'"
        ):
            norse.from_nir(DATA / "lif_rockpool.nir", dialect="rockpool", integrator="exponential")

    def test_another_time_step_than_the_tools_own(self):
        graph = norse.to_nir(snn.SequentialState(nn.Linear(2, 2), snn.LIFCell()), dialect="snntorch")
        with pytest.raises(ValueError, match=r"argument dt: expected 0\.0001, the time step of snnTorch"):
            norse.from_nir(graph, dt=0.01)


class TestRecorded:
    def test_rockpools_file_gives_rockpools_trace(self):
        """Its time step is found in its r."""
        inputs, _, spikes = np.loadtxt(DATA / "lif_rockpool.csv", delimiter=",").T
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its Output has another shape
            model = norse.from_nir(DATA / "lif_rockpool.nir", dialect="rockpool")
        z = over_time(model, torch.tensor((inputs > 0) * 1.0, dtype=torch.float32)[:, None, None])[:, 0]
        assert np.array_equal(z, spikes)
        assert np.nonzero(z)[0].tolist() == [450, 500, 710, 760]

    def test_without_the_dialect_the_writer_is_told(self):
        with pytest.warns(UserWarning, match="names of Rockpool's.*dialect='rockpool'"):
            norse.from_nir(DATA / "lif_rockpool.nir", dt=1e-4)

    @pytest.mark.parametrize("compiled", [False, True])
    def test_sinabs_network_gives_sinabs_spikes(self, compiled):
        """Up to several a tick; Sinabs computed them from that very file (see the README there)."""
        recorded = np.load(DATA / "cnn_sinabs_spikes.npz")
        x = np.unpackbits(recorded["inputs"])[: np.prod(recorded["shape"])].reshape(recorded["shape"])
        model = norse.from_nir(DATA / "cnn_sinabs.nir", dialect="sinabs", dt=DT)
        expected = recorded["spikes"]
        assert expected.max() > 1
        if compiled:
            model = norse.compile(snn.Lift(model))
            with torch.no_grad():
                z = model(torch.from_numpy(x.astype(np.float32))[:, None])[0][:, 0].numpy()
            assert "eager" not in str(model.explain())
        else:
            z = over_time(model, torch.from_numpy(x.astype(np.float32))[:, None])
        assert np.array_equal(z, expected)
