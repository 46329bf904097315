"""Run by the Python that has norse 1.1.0: reads a.nir and x.npy in a folder, and writes the network's output, z.npy."""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.simplefilter("ignore")
import nir  # noqa: E402

import norse.torch  # noqa: E402

folder = Path(sys.argv[1])
model = norse.torch.from_nir(nir.read(folder / "a.nir"), dt=0.001)
state, outputs = None, []
with torch.no_grad():
    for tick in torch.from_numpy(np.load(folder / "x.npy")):
        z, state = model(tick, state)
        outputs.append(z.numpy())
np.save(folder / "z.npy", np.stack(outputs))
