"""A NIR file of a quantised network has its very integers, and runs as it does."""

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

import norse
import norse.torch as snn


def network() -> snn.SequentialState:
    torch.manual_seed(0)
    model = snn.SequentialState(
        torch.nn.Linear(20, 30), snn.LIFBox(), snn.LIFRecurrent(30, 25), torch.nn.Linear(25, 5), snn.LI()
    )
    with torch.no_grad():
        model[0].weight.mul_(6)
    return model


@pytest.mark.parametrize(("bits", "per"), [(8, "tensor"), (3, "channel")])
def test_a_files_numbers_are_integers(bits: int, per: Any, tmp_path: Path) -> None:
    quantized = norse.quantize(network(), bits, per=per, decay_bits=9)
    graph = norse.to_nir(norse.compile(quantized), tmp_path / "network.nir")
    assert graph.verification is not None
    nodes = nir.read(tmp_path / "network.nir").nodes
    scales = {name: quantized.get_submodule(name).scale.numpy() for name in "01234"}
    rows = {name: scale.reshape(-1, 1) if scale.ndim else scale for name, scale in scales.items()}
    for node, of in (("0", "0"), ("2_input", "2"), ("2_recurrent", "2"), ("3", "3")):
        integers = nodes[node].weight / rows[of]
        assert np.array_equal(integers, np.round(integers))
        assert np.abs(integers).max() <= 2 ** (bits - 1) - 1
    for node in ("0", "3"):
        integers = nodes[node].bias / scales[node]
        assert np.array_equal(integers, np.round(integers))
    for node, tau in (("1", "tau"), ("2", "tau_mem"), ("2", "tau_syn"), ("4", "tau_syn")):
        decays = 0.001 / getattr(nodes[node], tau).astype(np.float64) * 2**9
        assert np.abs(decays - np.round(decays)).max() < 1e-4  # of 51 or 102: what 1 / rate of float32 can say
    for node in ("1", "2"):
        units = nodes[node].v_threshold / (scales[node] * 51 / 2**9)
        assert np.abs(units - np.round(units)).max() < 1e-4 * units.max()


def test_it_comes_back_with_the_same_spikes(tmp_path: Path) -> None:
    quantized = norse.quantize(network(), 4)
    norse.to_nir(quantized, tmp_path / "network.nir")
    x = (torch.rand(40, 3, 20) < 0.3).float()
    again, _ = snn.Lift(norse.from_nir(tmp_path / "network.nir"))(x)
    assert torch.equal(again, quantized(x)[0])


def test_states_that_are_integers_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"layer '1' \(LIFBox\): NIR can't say that states are integers"):
        norse.to_nir(norse.quantize(network(), 4, state_bits=14))


def test_a_convolution_is_written_with_its_integers() -> None:
    torch.manual_seed(0)
    x = (torch.rand(10, 1, 2, 8, 8) < 0.5).float()
    model = snn.Lift(snn.SequentialState(torch.nn.Conv2d(2, 6, 3), snn.IAFCell()))
    quantized: Any = norse.quantize(model, 5, per="channel", example_input=x)
    node = norse.to_nir(quantized, example_input=x).nodes["0"]
    integers = node.weight / quantized.lifted_module[0].scale.numpy().reshape(-1, 1, 1, 1)
    assert np.array_equal(integers, np.round(integers))
    assert np.abs(integers).max() <= 15
