"""Any graph: model -> file -> model -> file gives the same spikes and the same file."""

import warnings
from collections import Counter

import h5py
import nir
import numpy as np
import torch
from hypothesis import HealthCheck, given, settings

import norse
import norse.torch as snn

from .random_graphs import Graph, Plan, plans

SEEN: Counter[str] = Counter()


def content(file):
    """All that a file holds, by path: numbers with their types, texts, edges in their order."""
    found = {}

    def note(path, item):
        found[path] = (str(item.dtype), item.shape, np.asarray(item[()]).tolist()) if hasattr(item, "dtype") else None

    with h5py.File(file) as opened:
        opened.visititems(note)
    return found


def spikes_and_potentials(model, x):
    with torch.no_grad():
        result, _ = snn.Lift(model)(x)
    return result if isinstance(result, dict) else {"output": result}


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans())
def test_comes_back_with_the_same_spikes_and_is_written_the_same(tmp_path_factory, plan: Plan):
    folder = tmp_path_factory.mktemp("graphs")
    model = Graph(plan)
    random = torch.Generator().manual_seed(plan.seed)
    ticks = {f"in_{k}": (torch.rand(20, 2, plan.width, generator=random) < 0.5).float() for k in range(plan.inputs)}
    x = ticks if plan.inputs > 1 else ticks["in_0"]
    example = {name: value[0] for name, value in ticks.items()} if plan.inputs > 1 else x[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing to repair in what we write
        warnings.filterwarnings("ignore", message=".*without a single spike")
        written = norse.to_nir(model, folder / "a.nir", example_input=example)
        read = norse.from_nir(folder / "a.nir", dt=0.001)
        norse.to_nir(read, folder / "b.nir", example_input=example, verify=False)
    expected, result = spikes_and_potentials(model, x), spikes_and_potentials(read, x)
    assert expected.keys() == result.keys()
    assert all(torch.equal(result[name], expected[name]) for name in expected)
    assert content(folder / "b.nir") == content(folder / "a.nir")
    delays = sum(isinstance(node, nir.Delay) for node in written.nodes.values())
    SEEN.update({"graphs": 1, "spikes": written.verification.spikes, "delays": delays})


def test_the_graphs_were_not_silent():
    """`-s` shows how much was compared."""
    print(f"\n{dict(SEEN)}")
    assert not SEEN or SEEN["spikes"] > 10 * SEEN["graphs"]
