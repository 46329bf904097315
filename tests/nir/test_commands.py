"""`norse inspect`, `norse convert`, `norse run`: what they say, write and refuse."""

import subprocess
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

from ..command import call

DATA = Path(__file__).parents[1] / "data" / "nir"


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(1)
    norse.to_nir(snn.SequentialState(nn.Linear(3, 4), snn.LIFRecurrentCell(4, 5), nn.Linear(5, 2)), tmp_path / "a.nir")
    return tmp_path / "a.nir"


def test_the_command_is_known_without_torch_and_nir():
    """They take a second to import, which `norse --help` has no use for."""
    code = "import sys, norse.demo.command, norse.nir_commands; print(*{'torch', 'nir', 'numpy'} & set(sys.modules))"
    assert not subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


class TestInspect:
    def test_shows_nodes_shapes_parameters_and_the_graph(self, file):
        text = call("inspect", file)
        assert "CubaLIF" in text
        assert "tau_mem 0.01 [5]" in text
        assert "[2, 5]" in text
        assert "┄┄ a tick later" in text
        assert "8 nodes" not in text
        assert "7 nodes, 7 edges" in text
        assert "dt: 0.001" in text

    def test_shows_a_chain_in_the_order_in_which_it_runs(self):
        text = call("inspect", DATA / "cnn_sinabs.nir")
        rows = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│ ")]
        names = [name for name in rows if name]
        assert names == ["input", *map(str, range(13)), "output"]
        assert "66836 numbers" in text

    def test_says_what_is_repaired(self):
        assert "repaired: node 'output' (Output): it says shape [1, 1, 1]" in call("inspect", DATA / "lif_rockpool.nir")

    def test_shows_a_file_that_can_not_be_run_and_why(self, tmp_path):
        nodes = {"input": nir.Input(np.array([2])), "a": nir.Linear(np.ones((3, 2), np.float32))}
        nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes, [("input", "a"), ("a", "b")], type_check=False))
        text = call("inspect", tmp_path / "a.nir", code=1)
        assert "weight 1 [3, 2]" in text
        assert "can't be run: edge 'a' -> 'b': there is no node 'b'" in text
        assert "b  missing" in text

    def test_refuses_what_is_no_file(self, tmp_path):
        assert "no such file" in call("inspect", tmp_path / "none.nir", code=1)
        (tmp_path / "text.nir").write_text("text")
        assert "expected a HDF5 file" in call("inspect", tmp_path / "text.nir", code=1)


class TestConvert:
    def test_repairs_and_proves(self, tmp_path):
        text = call("convert", DATA / "lif_rockpool.nir", tmp_path / "b.nir", "--dt", "0.0001")
        assert "taken" in text
        assert "spikes, all equal" in text
        assert list(nir.read(tmp_path / "b.nir").nodes["output"].output_type["output"]) == [1]

    def test_gives_the_same_network(self, file, tmp_path):
        call("convert", file, tmp_path / "b.nir")
        x = torch.rand(30, 1, 3) * 9
        first, second = (snn.Lift(norse.from_nir(f))(x)[0] for f in (file, tmp_path / "b.nir"))
        assert torch.equal(first, second)

    def test_from_a_tool_to_another(self, tmp_path):
        call("convert", DATA / "lif_rockpool.nir", tmp_path / "b.nir", "--from", "rockpool", "--to", "sinabs")
        graph = nir.read(tmp_path / "b.nir")
        neuron = graph.nodes["1_LIFNeuronTorch"]
        (tau,) = nir.read(DATA / "lif_rockpool.nir", type_check=False).nodes["1_LIFNeuronTorch"].tau
        assert neuron.tau == pytest.approx(tau / 0.0001)  # ticks
        assert neuron.r == 1
        assert "lowers v by the threshold" in call(
            "convert", DATA / "lif_norse.nir", tmp_path / "c.nir", "--to", "sinabs", code=1
        )
        assert not (tmp_path / "c.nir").exists()

    def test_leaves_the_target_where_the_source_is_bad(self, file, tmp_path):
        before = file.read_bytes()
        assert "no such file" in call("convert", tmp_path / "none.nir", file, code=1)
        assert file.read_bytes() == before


class TestRun:
    @pytest.mark.parametrize("shape", [(40, 3), (40, 2, 3)])
    def test_writes_what_the_network_gives(self, shape, file, tmp_path):
        x = (np.random.default_rng(0).random(shape) * 9).astype(np.float32)
        np.save(tmp_path / "x.npy", x)
        text = call("run", file, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
        assert "output: 40 ticks" in text
        tensor = torch.from_numpy(x if len(shape) == 3 else x[:, None])
        with torch.no_grad():
            expected = snn.Lift(norse.from_nir(file))(tensor)[0].numpy()
        written = np.load(tmp_path / "y.npy")
        assert written.shape == (*shape[:-1], 2)
        assert np.allclose(written, expected if len(shape) == 3 else expected[:, 0], atol=1e-5)

    def test_counts_spikes(self, tmp_path):
        np.save(tmp_path / "x.npy", np.loadtxt(DATA / "lif_norse.csv", delimiter=",")[:, :1])
        text = call("run", DATA / "lif_norse.nir", "--input", tmp_path / "x.npy", "--dt", "0.0001")
        assert "output: 1000 ticks, 1 sample, 1 outputs; 4 spikes; most of output 0: 4" in text

    def test_takes_several_inputs_by_name(self, tmp_path):
        ends = {"a": nir.Input(np.array([2])), "b": nir.Input(np.array([2])), "out": nir.Output(np.array([2]))}
        graph = nir.NIRGraph({**ends, "s": nir.Scale(np.ones(2))}, [("a", "s"), ("b", "s"), ("s", "out")])
        nir.write(tmp_path / "a.nir", graph)
        np.save(tmp_path / "x.npy", np.full((3, 2), 0.5))
        np.save(tmp_path / "z.npy", np.full((3, 2), 0.25))
        inputs = ("--input", f"a={tmp_path / 'x.npy'}", "--input", f"b={tmp_path / 'z.npy'}")
        assert "values 0.75..0.75" in call("run", tmp_path / "a.nir", *inputs)
        assert "none for b" in call("run", tmp_path / "a.nir", *inputs[:2], code=1)

    def test_refuses_arrays_of_another_shape_and_what_is_no_array(self, file, tmp_path):
        np.save(tmp_path / "x.npy", np.zeros((40, 7)))
        assert "expected numbers [T, 3] or [T, B, ...], got float64 [40, 7]" in call(
            "run", file, "--input", tmp_path / "x.npy", code=1
        ).replace("\n", "")
        np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        assert "expected an array in .npy format" in call("run", file, "--input", tmp_path / "o.npy", code=1)


def test_the_command_has_them(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["norse", "inspect", str(DATA / "lif_norse.nir")])
    with pytest.raises(SystemExit) as ended:
        norse.cli.main()
    assert ended.value.code == 0
    assert "LIF" in capsys.readouterr().out


class TestDtypesAndPlaces:
    @pytest.fixture
    def double(self, tmp_path):
        """As numpy makes it: all numbers are float64."""
        weight = np.random.default_rng(0).standard_normal((5, 4)) + 0.5
        rest, one = np.zeros(5), np.ones(5)
        nodes = {
            "input": nir.Input(np.array([4])),
            "a": nir.Linear(weight),
            "lif": nir.LIF(tau=0.01 * one, r=10 * one, v_leak=rest, v_threshold=one, v_reset=rest),
            "output": nir.Output(np.array([5])),
        }
        graph = nir.NIRGraph(nodes, [("input", "a"), ("a", "lif"), ("lif", "output")], metadata={"dt": 0.001})
        nir.write(tmp_path / "double.nir", graph)
        return tmp_path / "double.nir", weight

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
    def test_float64_weights_run_on_any_input(self, double, dtype, tmp_path):
        file, weight = double
        x = (np.random.default_rng(1).random((30, 4)) < 0.5).astype(dtype)
        np.save(tmp_path / "x.npy", x)
        call("run", file, "--input", tmp_path / "x.npy", "--output", tmp_path / "out.npy")
        v, expected = np.zeros(5), []
        for now in x:  # forward Euler of NIR's LIF
            v = v + 0.001 / 0.01 * (-v + 10 * (weight @ now))
            expected.append(v > 1)
            v = np.where(v > 1, 0.0, v)
        assert np.array_equal(np.load(tmp_path / "out.npy"), np.array(expected, float))
        assert np.any(expected)
        call("convert", file, tmp_path / "again.nir")

    def test_a_directory_is_named_as_one(self, tmp_path):
        assert "is a directory" in call("inspect", tmp_path, code=1)
        with pytest.raises(IsADirectoryError, match="is a directory"):
            norse.from_nir(tmp_path)
        with pytest.raises(IsADirectoryError, match="is a directory"):
            norse.to_nir(snn.SequentialState(nn.Linear(3, 4), snn.LIF()), tmp_path)

    def test_missing_files_and_folders_are_said_before_the_run(self, double, tmp_path):
        file, _ = double
        text = call("run", file, "--input", tmp_path / "none.npy", code=1)
        assert "--input" in text
        assert "no such file" in text
        np.save(tmp_path / "x.npy", np.zeros((3, 4)))
        text = call("run", file, "--input", tmp_path / "x.npy", "--output", tmp_path / "none" / "o.npy", code=1)
        assert "--output" in text
        assert "no such directory" in text
