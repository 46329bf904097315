"""A file is judged in the words of the tool that wrote it, and a model by what its neurons do."""

import json
import math
import warnings
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

import norse
import norse.torch as snn
from norse.backends.nir_export import SeveralIAFCell
from norse.backends.nir_export.dialects import DIALECTS
from norse.nir_commands import check, convert, inspect, run

from .graphs import chain, linear

DATA = Path(__file__).parents[1] / "data" / "nir"
APP = typer.Typer()
for command in (inspect, convert, run, check):
    APP.command()(command)


def call(*arguments, code=0):
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result.output


def network(reset=snn.reset_subtract, kind=snn.LIF, **options):
    """16 channels, 20 hidden neurons, 4 outputs; tau_syn is 4 ticks, tau_mem 8."""
    torch.manual_seed(0)
    p = snn.LIFParameters(torch.tensor(250.0), torch.tensor(125.0), reset_method=reset)
    first, last = nn.Linear(16, 20, bias=False), nn.Linear(20, 4, bias=False)
    return norse.quantize(snn.SequentialState(first, kind(p), last, kind(p)), 8, **options)


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one spike a tick, where the tool has several
        return norse.to_nir(*arguments, **options)


def verdicts(report, *limits):
    return {(row.limit, row.verdict) for row in report.rows if row.limit in limits}


def steps(report):
    """Time constants in time steps."""
    (row,) = (row for row in report.rows if row.limit == "time_constants")
    return row.verdict, row.used


class TestFiles:
    @pytest.mark.parametrize("dialect", ["norse", "snntorch", "rockpool", "spyx"])
    @pytest.mark.parametrize("source", ["graph", "file", "read by nir"])
    def test_have_the_times_and_the_reset_that_they_mean(self, dialect, source, tmp_path):
        zero = DIALECTS[dialect].reset == "zero"
        graph = quietly(network(snn.reset_value if zero else snn.reset_subtract), tmp_path / "a.nir", dialect=dialect)
        given = {"graph": graph, "file": tmp_path / "a.nir", "read by nir": nir.read(tmp_path / "a.nir")}[source]
        report = norse.check(given, "xylo")
        assert report.fits, str(report)
        assert steps(report) == ("fits", [4, 8])
        assert verdicts(report, "reset") == {("reset", "differs" if zero else "fits")}
        assert report.read_as == f"read as {DIALECTS[dialect].tool} means it (as it says)"
        assert report.read_as in str(report)

    def test_say_that_they_are_plain_nir(self):
        report = norse.check(norse.to_nir(network(snn.reset_value)), "xylo")
        assert report.read_as == "read as NIR says it (as it says)"

    def test_of_a_tool_that_they_do_not_name_are_read_as_asked(self):
        graph = quietly(network(), dialect="rockpool")
        del graph.metadata["dialect"]
        unasked, asked = (norse.check(graph, "xylo", dialect=dialect) for dialect in (None, "rockpool"))
        assert unasked.read_as.startswith("read as NIR says it (it names no tool that wrote it")
        assert steps(asked) == ("fits", [4, 8])
        assert asked.read_as == "read as Rockpool 3.1.0 means it (as asked)"

    def test_can_be_read_otherwise_than_they_say(self):
        report = norse.check(quietly(network(), dialect="rockpool"), "xylo", dialect="nir")
        assert report.read_as == "read as NIR says it (as asked, though it says 'rockpool')"
        found = sorted({row.used for row in report.misfits if row.limit == "time_constants"})
        assert found == pytest.approx([-1 / math.log(1 - 1 / 4), -1 / math.log(1 - 1 / 8)], rel=1e-5)

    def test_of_rockpool_itself(self):
        """Its τ decays by exp(-dt / τ), and r tells dt; the membrane loses 1 - exp(-dt / τ) in a step."""
        file = DATA / "lif_rockpool.nir"
        plain = norse.check(file, "xylo")
        assert "dialect='rockpool'" in plain.doubt
        assert "doubtful: its nodes have names of Rockpool's" in str(plain)
        report = norse.check(file, "xylo", dialect="rockpool")
        assert not report.doubt
        (tau,) = np.asarray(nir.read(file, type_check=False).nodes["1_LIFNeuronTorch"].tau, np.float64)
        (row,) = (row for row in report.misfits if row.limit == "time_constants")
        assert row.used == pytest.approx(1 / (1 - math.exp(-1e-4 / tau)), rel=1e-4)
        assert verdicts(report, "reset") == {("reset", "fits")}

    def test_that_name_an_unknown_tool_are_doubtful(self):
        graph = norse.to_nir(network(snn.reset_value))
        graph.metadata["dialect"] = "lava"
        report = norse.check(graph, "xylo")
        assert report.doubt.startswith("its metadata says dialect 'lava', none of nir, norse, ")
        with pytest.warns(UserWarning, match="its metadata says dialect 'lava'"):
            norse.from_nir(graph)

    def test_with_a_recurrent_layer_in_a_graph_of_its_own(self):
        p = snn.LIFParameters(torch.tensor(250.0), torch.tensor(125.0), reset_method=snn.reset_subtract)
        torch.manual_seed(0)
        model = snn.SequentialState(snn.LIFRecurrent(16, 20, p), nn.Linear(20, 4, bias=False), snn.LIF(p))
        report = norse.check(quietly(norse.quantize(model, 8), dialect="rockpool"), "xylo")
        assert report.fits
        assert verdicts(report, "recurrence", "reset") == {("recurrence", "fits"), ("reset", "fits")}

    def test_of_spyx_have_no_delay_for_a_chip(self):
        report = norse.check(quietly(network(), dialect="spyx"), "loihi2")
        assert report.fits
        assert "Delay" not in str(report)

    def test_of_sinabs_on_speck(self):
        torch.manual_seed(0)
        p = snn.IAFParameters(v_th=torch.tensor(9.0), reset_method=snn.reset_subtract)
        model = snn.Lift(snn.SequentialState(nn.Conv2d(1, 4, 3, bias=False), snn.IAFCell(p)))
        x = (torch.rand(20, 1, 1, 8, 8) < 0.1).float()
        graph = quietly(norse.quantize(model, 8, example_input=x), example_input=x, dialect="sinabs", verify=False)
        report = norse.check(graph, "speck")
        assert report.fits
        assert not report.of("differs")
        assert verdicts(report, "reset", "spikes", "lower_bound") == {
            ("reset", "fits"),
            ("spikes", "fits"),
            ("lower_bound", "fits"),
        }

    @pytest.mark.parametrize("source", ["graph", "file"])
    def test_of_sinabs_that_say_neurons_without_a_bound_as_lif_do_not_fit_speck(self, source, tmp_path):
        """Its LIF has no bound, and it places IF alone; to any other chip the neurons are IF."""
        torch.manual_seed(0)
        p = snn.IAFParameters(v_th=torch.tensor(9.0), reset_method=snn.reset_subtract)
        model = norse.quantize(snn.Lift(snn.SequentialState(nn.Linear(4, 3, bias=False), snn.IAFCell(p))), 8)
        graph = quietly(model, tmp_path / "a.nir", dialect="sinabs")
        assert [type(node).__name__ for node in graph.nodes.values()] == ["Input", "Affine", "LIF", "Output"]
        given = graph if source == "graph" else tmp_path / "a.nir"
        report = norse.check(given, "speck")
        (row,) = report.misfits
        assert (row.limit, row.layer, row.used) == ("primitives", "1", "LIF")
        assert row.text.startswith("the file says it as LIF, the chip has Conv2d, ")
        assert row.text.endswith("with reset_method=reset_subtract_bounded it is written as IF")
        assert verdicts(report, "lower_bound") == {("lower_bound", "differs")}
        assert verdicts(norse.check(given, "spinnaker2"), "primitives") == {("primitives", "fits")}
        assert norse.check(model, "speck").fits

    def test_of_which_the_caller_knows_the_reset(self):
        graph = norse.to_nir(network(snn.reset_value))
        report = norse.check(graph, "xylo", reset="subtract")
        assert verdicts(report, "reset") == {("reset", "fits")}
        assert "a spike lowers v by the threshold, as asked" in report.read_as


class TestModels:
    @pytest.mark.parametrize("target", ["xylo", "xylo_audio2", "xylo_imu"])
    def test_that_are_lowered_by_the_threshold_fit_xylo(self, target):
        report = norse.check(network(), target)
        assert report.fits
        assert verdicts(report, "reset", "hidden_spikes", "output_spikes") == {
            ("reset", "fits"),
            ("hidden_spikes", "differs"),  # one a tick, and up to 31
            ("output_spikes", "fits"),
        }

    def test_that_from_nir_gives_are_what_they_were_read_as(self):
        plain = snn.Lift(norse.from_nir(norse.to_nir(network(snn.reset_value)), reset="subtract"))
        assert verdicts(norse.check(plain, "xylo"), "reset") == {("reset", "fits")}
        several = snn.Lift(norse.from_nir(quietly(network(), dialect="rockpool")))
        report = norse.check(several, "xylo")
        assert report.fits
        assert verdicts(report, "reset", "hidden_spikes", "output_spikes") == {
            ("reset", "fits"),
            ("hidden_spikes", "fits"),
            ("output_spikes", "differs"),  # several a tick, and one
        }

    @pytest.mark.parametrize(
        ("reset", "expected"),
        [
            (snn.reset_value, {("reset", "differs"), ("spikes", "differs"), ("lower_bound", "differs")}),
            (snn.reset_subtract, {("reset", "fits"), ("spikes", "differs"), ("lower_bound", "differs")}),
            (snn.reset_subtract_bounded, {("reset", "fits"), ("spikes", "differs"), ("lower_bound", "fits")}),
        ],
    )
    def test_of_all_resets_on_speck(self, reset, expected):
        neurons = snn.IAFCell(snn.IAFParameters(reset_method=reset))
        model = snn.Lift(snn.SequentialState(nn.Conv2d(1, 4, 3, bias=False), neurons))
        x = torch.zeros(2, 1, 1, 8, 8)
        report = norse.check(norse.quantize(model, 8, example_input=x), "speck", example_input=x)
        assert report.fits
        assert verdicts(report, "reset", "spikes", "lower_bound") == expected

    def test_of_several_spikes_and_a_lower_bound_do_not_differ_from_speck(self):
        p = snn.IAFParameters(reset_method=snn.reset_subtract_bounded)
        model = snn.Lift(snn.SequentialState(nn.Linear(4, 3, bias=False), SeveralIAFCell(p)))
        report = norse.check(norse.quantize(model, 8, decay_bits=None), "speck")
        assert report.fits
        assert not report.of("differs")

    def test_with_a_lower_bound_are_told_where_nobody_says_that_a_chip_has_one(self):
        p = snn.LIFParameters(torch.tensor(250.0), torch.tensor(125.0), reset_method=snn.reset_subtract_bounded)
        for target in ("xylo", "loihi2", "spinnaker2", "brainscales2"):
            report = norse.check(snn.SequentialState(nn.Linear(2, 3, bias=False), snn.LIF(p)), target)
            assert any("lower bound" in row.text for row in report.of("not checked")), target

    def test_that_are_lowered_differ_on_spinnaker2(self):
        report = norse.check(network(), "spinnaker2")
        (row,) = {row.text for row in report.of("differs")}
        assert row == "by subtracting the threshold, the chip to zero; reset_method=reset_value and v_reset=0 do so"

    def test_of_another_reset_value_differ(self):
        p = snn.LIFParameters(v_reset=torch.tensor(-0.5))
        (row,) = norse.check(snn.SequentialState(nn.Linear(2, 3), snn.LIF(p)), "spinnaker2").of("differs")
        assert row.text.startswith("to -0.5, the chip to zero")

    def test_of_integer_states_are_those_without(self):
        with_states, without = (norse.check(network(state_bits=bits), "xylo") for bits in (16, None))
        assert with_states.rows == without.rows
        assert with_states.fits

    def test_of_a_reset_that_no_chip_has_are_refused_by_name(self):
        def halved(z, v, reset, th):
            return v - z * v / 2

        p = snn.LIFParameters(reset_method=halved)
        (row,) = norse.check(snn.SequentialState(nn.Linear(2, 3), snn.LIF(p)), "xylo").rows
        assert (row.limit, row.verdict) == ("nir", "does not fit")
        assert "layer '1' (LIF)" in row.text
        assert "expected reset_method=reset_value, reset_subtract or reset_subtract_bounded, got halved" in row.text

    @pytest.mark.parametrize(("name", "value"), [("dialect", "rockpool"), ("reset", "subtract")])
    def test_say_themselves_what_they_do(self, name, value):
        with pytest.raises(ValueError, match=f"argument {name}: expects None with a module.*got '{value}'"):
            norse.check(network(), "xylo", **{name: value})


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("brainscales2", {"Affine", "weight_bits"}),
        ("loihi2", {"CubaLI", "weight_bits"}),
        ("spinnaker2", {"CubaLI", "weight_bits"}),
        ("speck", {"CubaLI", "CubaLIF", "weight_bits"}),
        ("xylo", {"CubaLI", "weight_bits", "input_channels", "time_constants"}),
    ],
)
def test_what_stops_the_readmes_model_as_the_page_says(target, expected):
    model = snn.SequentialState(nn.Linear(20, 64), snn.LIF(), nn.Linear(64, 2), snn.LI())
    report = norse.check(model, target)
    assert {row.used if row.limit == "primitives" else row.limit for row in report.misfits} == expected


def test_dialects_and_resets_that_are_none():
    graph = chain((2,), linear(2, 2))
    with pytest.raises(ValueError, match=r"norse\.check: argument dialect: expects one of nir, norse, .*got 'lava'"):
        norse.check(graph, "xylo", dialect="lava")
    with pytest.raises(ValueError, match=r"norse\.check: argument reset: expects zero or subtract, got 'half'"):
        norse.check(graph, "xylo", reset="half")


class TestTheCommands:
    @pytest.fixture
    def file(self, tmp_path):
        quietly(network(), tmp_path / "a.nir", dialect="rockpool")
        return tmp_path / "a.nir"

    def test_check_reads_a_file_as_it_says_or_as_asked(self, file):
        assert "read as Rockpool 3.1.0 means it (as it says)" in call("check", file, "--target", "xylo")
        assert "read as Rockpool 3.1.0 means it (as it says)" in call("check", file)
        text = call("check", file, "--target", "xylo", "--from", "nir", code=1)
        assert "read as NIR says it (as asked, though it says 'rockpool')" in text
        assert "tau_syn is 3.476 time steps" in text
        data = json.loads(call("check", file, "--target", "xylo", "--json"))
        assert data["read_as"] == "read as Rockpool 3.1.0 means it (as it says)"
        assert "as asked" in call("check", file, "--target", "xylo", "--reset", "subtract")

    def test_check_says_what_is_doubtful(self):
        text = call("check", DATA / "lif_rockpool.nir", "--dt", "0.0001", code=0)
        assert "doubtful: its nodes have names of Rockpool's" in text

    def test_inspect_says_whose_words_the_numbers_are(self, file):
        text = call("inspect", file)
        assert "tau_syn 0.003476" in text  # as the file has it
        assert "read as Rockpool 3.1.0 means it (as it says)" in text
        assert "read as NIR says it (as asked, though it says 'rockpool')" in call("inspect", file, "--from", "nir")
        assert "doubtful: its nodes have names of Rockpool's" in call("inspect", DATA / "lif_rockpool.nir")

    def test_inspect_says_what_the_tool_could_not_run(self, tmp_path):
        lif = nir.LIF(tau=np.ones(2), r=np.ones(2), v_leak=np.zeros(2), v_threshold=np.ones(2))
        nir.write(tmp_path / "a.nir", chain((2,), linear(2, 2), lif))
        call("inspect", tmp_path / "a.nir")
        assert "can't be run: node 'n1' (LIF): Spyx lowers v" in call(
            "inspect", tmp_path / "a.nir", "--from", "spyx", code=1
        )

    def test_run_and_convert_say_how_they_read(self, file, tmp_path):
        np.save(tmp_path / "x.npy", np.ones((5, 16), np.float32))
        told = "read as Rockpool 3.1.0 means it (as it says)"
        assert told in call("run", file, "--input", tmp_path / "x.npy")
        assert told in call("convert", file, tmp_path / "b.nir", "--to", "rockpool")
