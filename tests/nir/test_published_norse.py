"""Norse 1.1.0, in an environment of its own, reads our files and gives the same spikes."""

import importlib.metadata
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import norse
import norse.torch as snn

PYTHON = os.environ.get("NORSE_1_1_PYTHON")
SCRIPT = Path(__file__).with_name("read_with_published_norse.py")

pytestmark = pytest.mark.skipif(not PYTHON, reason="NORSE_1_1_PYTHON is not set: `make parity` installs norse 1.1.0")

LOW = torch.tensor(0.3)
# The published reader leaves out leaky integrators and average pooling, and flattens the batch with the rest.
MODELS = {
    "lif": lambda: snn.SequentialState(nn.Linear(3, 5), snn.LIFCell(snn.LIFParameters(v_th=LOW))),
    "two layers": lambda: snn.SequentialState(
        nn.Linear(3, 5),
        snn.LIFCell(snn.LIFParameters(v_th=LOW)),
        nn.Linear(5, 4),
        snn.LIFCell(snn.LIFParameters(v_th=LOW / 6)),
    ),
    "lif box": lambda: snn.SequentialState(nn.Linear(3, 5), snn.LIFBoxCell(snn.LIFBoxParameters(v_th=LOW))),
    "iaf": lambda: snn.SequentialState(nn.Linear(3, 5), snn.IAFCell()),
    "recurrent": lambda: snn.SequentialState(snn.LIFRecurrentCell(3, 6, snn.LIFParameters(v_th=LOW))),
    "convolution": lambda: snn.SequentialState(
        nn.Conv2d(1, 2, 3), snn.IAFCell(), nn.Flatten(), nn.Linear(8, 5), snn.LIFCell(snn.LIFParameters(v_th=LOW))
    ),
}


def test_the_environment_is_the_published_norse():
    code = "import importlib.metadata; print(importlib.metadata.version('norse'))"
    assert subprocess.run([PYTHON, "-I", "-c", code], capture_output=True, text=True).stdout.strip() == "1.1.0"
    assert importlib.metadata.version("norse") != "1.1.0"


@pytest.mark.parametrize("name", MODELS)
def test_reads_our_file_and_spikes_the_same(name, tmp_path):
    torch.manual_seed(1)
    model, shape = MODELS[name](), (1, 4, 4) if name == "convolution" else (3,)
    x = (torch.rand(100, 1, *shape) < 0.4).float() * 3
    norse.to_nir(model, tmp_path / "a.nir", example_input=x[0])
    np.save(tmp_path / "x.npy", x)
    done = subprocess.run([PYTHON, "-I", str(SCRIPT), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = snn.Lift(model)(x)[0].numpy()
    assert 0.01 < expected.mean() < 0.99
    assert np.array_equal(np.load(tmp_path / "z.npy").reshape(expected.shape), expected)
