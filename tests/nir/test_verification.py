"""No file leaves that would not run as its model does, and the old file stays until the new one is proven."""

import subprocess
import sys

import nir
import numpy as np
import pytest
import torch
from torch import nn

import norse
import norse.torch as snn

LOW = torch.tensor(0.3)


def model(kind="lif"):
    torch.manual_seed(1)
    if kind == "delay":
        return snn.SequentialState(nn.Linear(3, 4), snn.SynapseDelayCell(0.003, 0.01), snn.LIFBoxCell())
    if kind == "recurrent":
        return snn.SequentialState(snn.LIFRecurrentCell(3, 6, snn.LIFParameters(v_th=LOW)))
    return snn.SequentialState(nn.Linear(3, 4), snn.LIFCell(snn.LIFParameters(v_th=LOW)), nn.Linear(4, 2), snn.LICell())


def scaled(name, field, factor):
    def change(graph):
        setattr(graph.nodes[name], field, getattr(graph.nodes[name], field) * np.float32(factor))

    return change


def without_recurrence(graph):
    graph.edges = [edge for edge in graph.edges if edge != ("0_recurrent", "0")]


# What a faulty exporter might do, in the nodes of the model.
FAULTS = {
    "a threshold": ("lif", scaled("1", "v_threshold", 1.05)),
    "a membrane": ("lif", scaled("1", "tau_mem", 1.01)),
    "a synapse": ("lif", scaled("1", "w_in", 0.99)),
    "a reset": ("lif", lambda graph: setattr(graph.nodes["1"], "v_reset", np.full(4, 0.1, np.float32))),
    "a readout": ("lif", scaled("3", "r", 1.001)),
    "weights": ("lif", scaled("0", "weight", 0.99)),
    "a bias": ("lif", scaled("2", "bias", 0.5)),
    "a delay": ("delay", scaled("1", "delay", 4 / 3)),
    "recurrence": ("recurrent", without_recurrence),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_is_noticed_before_it_takes_the_place_of_the_old_one(fault, tmp_path, monkeypatch):
    kind, change = FAULTS[fault]
    file = tmp_path / "a.nir"
    norse.to_nir(model(kind), file)
    before, write = file.read_bytes(), nir.write

    def wrong(path, graph):
        change(graph)
        write(path, graph)

    monkeypatch.setattr(nir, "write", wrong)
    with pytest.raises(
        ValueError, match=r"norse\.to_nir: .* would not run as the model does: node '.*' differs at tick"
    ):
        norse.to_nir(model(kind), file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.nir"]
    norse.to_nir(model(kind), tmp_path / "b.nir", verify=False)


class TestReport:
    def test_tells_spikes_and_the_largest_difference(self):
        report = norse.to_nir(model()).verification
        assert report.ticks == 64
        assert report.spikes > 20
        assert 0 <= report.largest_difference < 1e-5
        assert "spikes, all equal" in str(report)

    def test_counts_the_spikes_of_hidden_layers_as_the_model_fires_them(self):
        """The example's ticks come first; a run of the model by hand counts their spikes."""
        net = snn.SequentialState(nn.Linear(3, 4), snn.LIF(snn.LIFParameters(v_th=LOW)), nn.Linear(4, 2), snn.LI())
        torch.manual_seed(1)
        x = torch.rand(50, 2, 3) * 9
        with torch.no_grad():
            spikes, _ = net[1](net[0](x[:, :1]))
        alone = norse.to_nir(net).verification
        both = norse.to_nir(net, example_input=x).verification
        assert both.ticks == 50 + 64
        assert both.spikes >= int(spikes.sum()) > 0
        assert alone.ticks == 64

    def test_is_none_where_nobody_asked(self):
        assert norse.to_nir(model(), verify=False).verification is None

    def test_of_a_convolution_compiled_and_over_time(self):
        layers = nn.Conv2d(1, 2, 3), snn.LIFBoxCell(snn.LIFBoxParameters(v_th=LOW / 9)), nn.Flatten(), nn.Linear(18, 3)
        net = norse.compile(snn.Lift(snn.SequentialState(*layers, snn.IAFCell())))
        report = norse.to_nir(net, example_input=torch.zeros(1, 1, 1, 5, 5)).verification
        assert report.spikes > 20

    def test_of_a_model_that_cannot_be_copied(self):
        net = model()
        net[0].weight = nn.Parameter(net[0].weight.detach())
        net.note = net[0].weight * 2  # no leaf: torch refuses to copy it
        assert norse.to_nir(net).verification.spikes > 20

    def test_leaves_the_model_as_it_was(self):
        net = model()
        before = {key: value.clone() for key, value in net.state_dict().items()}
        torch.manual_seed(0)
        state = torch.get_rng_state()
        norse.to_nir(net)
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
        assert not any(module._forward_hooks for module in net.modules())
        assert net[0].weight.dtype == torch.float32


def test_a_bias_that_the_file_would_add_a_tick_earlier_is_refused():
    class LateBias(nn.Module):
        """Adds its recurrent layer, bias and all, from the second tick on; a file's layer is there from the first."""

        def __init__(self):
            super().__init__()
            self.cell, self.back = snn.IAFCell(), nn.Linear(3, 3)

        def forward(self, x, state=None):
            cell, z = (None, None) if state is None else state
            z, cell = self.cell(x if z is None else x + self.back(z), cell)
            return z, (cell, z)

    with pytest.raises(ValueError, match="it would not run as the model does: node 'cell' differs at tick"):
        norse.to_nir(LateBias(), example_input=torch.zeros(1, 3))


FULL = """
import resource, signal, sys
import torch, norse
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # as a disk that is full after 20 kB
try:
    norse.to_nir(torch.nn.Linear(200, 200), sys.argv[1])
except OSError as error:
    print("refused:", error)
"""


def test_the_old_file_stays_when_the_disk_is_full(tmp_path):
    file = tmp_path / "a.nir"
    norse.to_nir(nn.Linear(3, 4), file)
    before = file.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL, str(file)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "norse.to_nir: " in done.stdout
    assert "can't write it: File too large" in done.stdout
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.nir"]


def test_a_folder_in_place_of_the_file_stays(tmp_path):
    (tmp_path / "a.nir").mkdir()
    with pytest.raises(OSError, match=r"norse\.to_nir: .*a\.nir"):
        norse.to_nir(nn.Linear(3, 4), tmp_path / "a.nir")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nir"]


def test_rounding_that_a_network_amplifies_is_no_difference():
    """Potentials that grow without bound, as do the last bits of the file's time constants among them."""

    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = snn.LIBoxCell(snn.LIBoxParameters(tau_mem_inv=torch.tensor([123.4, 217.9])))
            self.back = nn.Linear(2, 2, bias=False)
            self.back.weight.data = torch.tensor([[9.0, 4.0], [5.0, 8.0]])

        def forward(self, x, state=None):
            cell, v = (None, torch.zeros_like(x)) if state is None else state
            v, cell = self.cell(x + self.back(v), cell)
            return v, (cell, v)

    report = norse.to_nir(Growing(), example_input=torch.zeros(1, 2)).verification
    assert report.largest_difference > 1e6
