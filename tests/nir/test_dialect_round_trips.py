"""What was read from a file of a tool is written again for that tool, and is the same network then."""

import warnings

import nir
import pytest
import torch
from torch import nn

import norse
import norse.torch as snn

LOWERED = {"reset_method": snn.reset_subtract}
LIF = snn.LIFParameters(v_th=torch.tensor(3.0), **LOWERED)
PER_NEURON = snn.LIFParameters(v_th=torch.linspace(0.5, 2.0, 8), **LOWERED)

WEAK = snn.LIFParameters(v_th=torch.tensor(0.1), **LOWERED)


def chain(neurons, *behind):
    return snn.SequentialState(nn.Linear(16, 8), neurons, *behind)


MODELS = {
    "sinabs": {
        "LIF": lambda: chain(snn.LIF(LIF)),
        "a threshold for each": lambda: chain(snn.LIF(PER_NEURON)),
        "LIF and LI": lambda: chain(snn.LIF(LIF), nn.Linear(8, 2), snn.LI()),
        "LI alone": lambda: chain(snn.LI()),
        "LIFBox and LIBox": lambda: chain(snn.LIFBox(snn.LIFBoxParameters(**LOWERED)), nn.Linear(8, 2), snn.LIBox()),
    },
    "rockpool": {
        "LIF": lambda: chain(snn.LIF(LIF)),
        "LIFRecurrent": lambda: chain(snn.LIFRecurrent(8, 8, LIF), nn.Linear(8, 2)),
        "LIFRecurrent and LI": lambda: chain(snn.LIFRecurrent(8, 8, LIF), nn.Linear(8, 2), snn.LI()),
    },
    "spyx": {
        "LIF": lambda: chain(snn.LIF(LIF)),
        "two layers": lambda: chain(snn.LIF(PER_NEURON), nn.Linear(8, 4, bias=False), snn.LIF(WEAK)),
        "IAF": lambda: chain(snn.IAF(snn.IAFParameters(**LOWERED))),
    },
    "snntorch": {"LIF": lambda: chain(snn.LIF(), nn.Linear(8, 2)), "IAF": lambda: chain(snn.IAF())},
    "norse": {
        "LIF and LI": lambda: chain(snn.LIF(), nn.Linear(8, 2), snn.LI()),
        "LIFRecurrent": lambda: chain(snn.LIFRecurrent(8, 8)),
    },
}
CASES = [(dialect, name) for dialect, models in MODELS.items() for name in models]


@pytest.mark.parametrize(("dialect", "name"), CASES, ids=[f"{dialect}: {name}" for dialect, name in CASES])
def test_the_same_network_comes_back(dialect, name, tmp_path):
    torch.manual_seed(0)
    model = MODELS[dialect][name]()
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.15, 0.3)
    files, read = [tmp_path / "first.nir", tmp_path / "second.nir"], [model]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several spikes a tick
        for file in files:
            norse.to_nir(read[-1], file, dialect=dialect)
            read.append(norse.from_nir(file))
    x = (torch.rand(60, 2, 16, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    with torch.no_grad():
        first, second = (snn.Lift(module)(x)[0] for module in read[1:])
    assert torch.allclose(first, second, rtol=1e-4, atol=1e-5)
    assert first.any()
    kinds = [sorted(type(node).__name__ for node in nir.read(file, type_check=False).nodes.values()) for file in files]
    if dialect != "norse":  # whose dialect says synapses by weights that feed themselves
        assert kinds[0] == kinds[1]


def test_a_delay_that_is_longer_than_a_tool_is_late_is_refused():
    late = snn.SequentialState(nn.Linear(16, 8), snn.LIFCell(LIF), snn.SynapseDelayCell(torch.tensor(0.002), 0.002))
    with pytest.raises(ValueError, match="Delay"):
        norse.to_nir(late, dialect="spyx")
