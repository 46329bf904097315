"""`norse.check` and `norse check`: what they take, say and refuse."""

import json
import sys
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from torch import nn

import norse
import norse.cli
import norse.torch as snn
from norse.backends.chips import targets

from ..command import call
from .graphs import chain, graph, lif, linear

CNN = Path(__file__).parents[1] / "data" / "nir" / "cnn_sinabs.nir"


@pytest.fixture
def model():
    return snn.SequentialState(snn.LIFRecurrent(16, 63), nn.Linear(63, 8, bias=False), snn.LIF())


class TestWhatIsChecked:
    def test_a_model_its_graph_and_its_file_alike(self, model, tmp_path):
        written = norse.to_nir(model, tmp_path / "a.nir")
        reports = [norse.check(source, "xylo_audio2") for source in (model, written, tmp_path / "a.nir")]
        assert reports[0].rows == reports[1].rows == reports[2].rows

    def test_a_recurrent_model_on_xylo(self, model):
        report = norse.check(model, "xylo_audio2")
        assert {row.limit for row in report.misfits} == {"time_constants", "weight_bits"}
        (row,) = (row for row in report.rows if row.limit == "hidden_fan_out")
        assert (row.used, row.available) == (62, 64)  # all but itself

    def test_a_recurrent_model_that_is_too_wide(self):
        model = snn.SequentialState(snn.LIFRecurrent(16, 66), nn.Linear(66, 8, bias=False), snn.LIF())
        report = norse.check(model, "xylo_audio2")
        (row,) = (row for row in report.misfits if row.limit == "hidden_fan_out")
        assert (row.used, row.over) == (65, 1)

    def test_cells_containers_and_compiled_models(self):
        cells = snn.Lift(snn.SequentialState(nn.Linear(3, 4, bias=False), snn.LIFCell()))
        assert norse.check(cells, "brainscales2").rows == norse.check(norse.compile(cells), "brainscales2").rows

    def test_a_convolutional_model_with_its_example(self):
        model = snn.SequentialState(nn.Conv2d(2, 4, 3, bias=False), snn.IAFCell())
        report = norse.check(model, "speck", example_input=torch.zeros(1, 2, 8, 8))
        assert {row.limit for row in report.misfits} == {"weight_bits"}

    def test_a_layer_that_nir_can_not_say_is_the_only_row(self):
        model = snn.SequentialState(nn.Linear(3, 4), snn.LIFAdEx())
        report = norse.check(model, "loihi2")
        (row,) = report.rows
        assert not report.fits
        assert (row.limit, row.verdict) == ("nir", "does not fit")
        assert "layer '1' (LIFAdEx)" in row.text and "use snn.LIF" in row.text
        assert "nir: " in str(report)

    def test_repairs_are_in_the_report(self):
        scalar = lif()
        report = norse.check(chain((3,), linear(3, 3), scalar), "xylo")
        assert any("taken for all neurons" in repair for repair in report.repairs)
        assert "repaired: node" in str(report)

    def test_a_graph_in_a_graph(self):
        inner = chain((3,), linear(2, 3), lif(2))
        outer = graph(
            {"in": nir.Input(np.array([3])), "g": inner, "out": nir.Output(np.array([2]))}, [("in", "g"), ("g", "out")]
        )
        assert [row.used for row in norse.check(outer, "loihi2").rows if row.limit == "neurons"] == [2]


class TestWhatIsRefused:
    def test_targets_that_there_are_no_data_of(self, model):
        with pytest.raises(ValueError, match=r"target: expects one of brainscales2, loihi2, speck, .*got 'speck3'"):
            norse.check(model, "speck3")

    def test_what_is_no_network(self):
        with pytest.raises(TypeError, match=r"model_or_file: expects a .*, got int"):
            norse.check(3, "speck")

    def test_models_without_a_shape(self):
        with pytest.raises(ValueError, match=r"norse.check: SequentialState: .*pass example_input"):
            norse.check(snn.SequentialState(nn.Conv2d(2, 4, 3), snn.IAFCell()), "speck")

    @pytest.mark.parametrize("dt", [0.0, -0.001, float("inf"), float("nan")])
    def test_time_steps_that_are_none(self, dt):
        with pytest.raises(ValueError, match="argument dt: expects a time step in s above 0, got"):
            norse.check(CNN, "xylo", dt=dt)

    def test_graphs_that_can_not_be_run(self):
        broken = chain((3,), linear(2, 4), lif(2))
        with pytest.raises(ValueError, match=r"norse\.check: node 'n0'"):
            norse.check(broken, "speck")

    def test_files_that_are_not_there(self, tmp_path):
        with pytest.raises(OSError, match="no such file"):
            norse.check(tmp_path / "none.nir", "speck")


class TestTheReport:
    def test_is_data(self, model):
        data = norse.check(model, "xylo").as_dict()
        assert json.loads(json.dumps(data))["chip"] == "XyloAudio 3"
        assert data["fits"] is False
        assert {"limit", "verdict", "layer", "used", "available", "over", "source", "url"} <= set(data["rows"][0])

    def test_reads_as_text(self):
        text = str(norse.check(CNN, "speck"))
        assert text.startswith("Speck 2f (SynSense): does not fit: weight bits\n")
        assert "layers: 5 of 9 cores" in text
        assert "channels: '11' (Affine): 256 of 1,024 channels" in text
        assert text.endswith("placement is up to sinabs (sinabs.backend.dynapcnn.DynapcnnNetwork) with samna")
        assert max(map(len, text.splitlines())) <= 120


class TestTheCommand:
    def test_ends_with_1_where_a_file_does_not_fit(self):
        text = call("check", CNN, "--target", "speck", code=1)
        assert "Speck 2f (SynSense): does not fit: weight bits" in text

    def test_ends_with_0_where_it_fits(self, tmp_path):
        nir.write(tmp_path / "a.nir", chain((4,), linear(8, 4), lif(8), linear(2, 8), lif(2)))
        assert "XyloAudio 3 (SynSense): fits" in call("check", tmp_path / "a.nir", "--target", "xylo")

    def test_gives_json(self):
        data = json.loads(call("check", CNN, "--target", "speck", "--json", code=1))
        assert (data["target"], data["fits"]) == ("speck", False)
        assert {row["limit"] for row in data["rows"] if row["verdict"] == "does not fit"} == {"weight_bits"}

    def test_shows_all_chips_in_a_table(self, tmp_path):
        text = call("check", CNN, code=1)
        (row,) = (line for line in text.splitlines() if "Speck 2f" in line)
        assert [cell.strip() for cell in row.strip("│").split("│")] == ["speck", "Speck 2f", "no", "weight bits"]
        nir.write(tmp_path / "a.nir", chain((4,), linear(8, 4), lif(8), linear(2, 8), lif(2)))
        assert "yes" in call("check", tmp_path / "a.nir")
        assert [report["target"] for report in json.loads(call("check", tmp_path / "a.nir", "--json"))] == list(
            targets()
        )

    def test_takes_a_time_step(self, tmp_path):
        nir.write(tmp_path / "a.nir", chain((4,), linear(8, 4), lif(8), linear(2, 8), lif(2), dt=None))
        assert "time constants: the file says no time step" in call("check", tmp_path / "a.nir", "--target", "xylo")
        text = call("check", tmp_path / "a.nir", "--target", "xylo", "--dt", "0.003", code=1)
        assert "tau_mem is 2.667 time steps" in text

    def test_refuses_unknown_chips_and_bad_files(self, tmp_path):
        assert "expected one of brainscales2, loihi2" in call("check", CNN, "--target", "speck3", code=1)
        assert "no such file" in call("check", tmp_path / "none.nir", "--target", "speck", code=1)
        (tmp_path / "text.nir").write_text("text")
        assert "expected a HDF5 file" in call("check", tmp_path / "text.nir", code=1)

    def test_is_one_of_the_norse_command(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["norse", "check", str(CNN), "--target", "speck"])
        with pytest.raises(SystemExit) as ended:
            norse.cli.main()
        assert ended.value.code == 1
        assert "Speck 2f" in capsys.readouterr().out
