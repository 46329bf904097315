"""The neuron of the NIR paper: ours beside the traces of nine platforms and the exact solution."""

import warnings
from pathlib import Path

import nir
import numpy as np
import pytest
import torch

import norse
from norse.backends.nir_export import reference

DATA = Path(__file__).parents[1] / "data" / "nir"
DT = 1e-4
PLATFORMS = (
    "lava_cpu_float", "lava_loihi_fixed", "nengo", "norse", "rockpool", "sinabs", "snntorch", "spinnaker2", "spyx",
)  # fmt: skip


def trace(name):
    """Input spikes, potentials and output spikes, [1000] each."""
    inputs, potentials, spikes = np.loadtxt(DATA / f"lif_{name}.csv", delimiter=",").T
    return (inputs > 0).astype(float), potentials, spikes


def times(spikes):
    return np.nonzero(spikes)[0].tolist()


EXACT_INPUT, EXACT_POTENTIAL, EXACT_SPIKES = trace("exact")


def ours(file, **options):
    """Potentials and spikes of a file, read by us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Rockpool's Output
        model = norse.from_nir(DATA / file, dt=DT, **options)
    potentials, spikes, state = [], [], None
    for x in torch.tensor(EXACT_INPUT, dtype=torch.float32)[:, None, None]:
        with torch.no_grad():
            z, state = model(x, state)
        spikes.append(z.item())
        potentials.append(state[-1].v.item())
    return np.array(potentials), np.array(spikes)


def row(name, spikes):
    found, exact = times(spikes), times(EXACT_SPIKES)
    late = [a - b for a, b in zip(found, exact, strict=True)]
    return f"{name:<32} {found!s:<24} {late!s:<20} {sum(map(abs, late))}"


def test_table_of_spike_times():
    """`-s` shows it."""
    lines = [f"{'who':<32} {'spikes at tick':<24} {'late by ticks':<20} sum"]
    lines += [row(name, trace(name)[2]) for name in PLATFORMS]
    for file in ("lif_norse.nir", "lif_rockpool.nir"):
        for integrator in ("euler", "exponential"):
            lines.append(row(f"ours, {file}, {integrator}", ours(file, integrator=integrator)[1]))
    print("\n" + "\n".join(lines))
    assert all(np.array_equal(trace(name)[0], EXACT_INPUT) for name in PLATFORMS)
    assert times(EXACT_SPIKES) == [460, 510, 710, 760]


def test_the_exponential_integrator_is_closer_to_the_exact_solution_than_any_platform():
    """Potentials of other scales are brought to the exact one by the factor that fits best."""
    potentials, spikes = ours("lif_norse.nir", integrator="exponential")
    assert np.array_equal(spikes, EXACT_SPIKES)
    distance = {"ours": np.abs(potentials - EXACT_POTENTIAL).max()}
    for name in PLATFORMS:
        theirs = trace(name)[1]
        distance[name] = np.abs(theirs * (theirs @ EXACT_POTENTIAL) / (theirs @ theirs) - EXACT_POTENTIAL).max()
    print("\nlargest distance from the exact potential\n" + "\n".join(f"{n:<18} {d:.1e}" for n, d in distance.items()))
    assert distance["ours"] < 1e-7
    assert distance["ours"] < min(d for name, d in distance.items() if name != "ours")


def test_norses_file_gives_norses_trace():
    potentials, spikes = ours("lif_norse.nir")
    assert np.array_equal(spikes, trace("norse")[2])
    assert np.abs(potentials - trace("norse")[1]).max() < 1e-7


@pytest.mark.parametrize("name", ["norse", "rockpool"])
def test_a_file_gives_what_nirs_equations_give(name):
    graph = nir.read(DATA / f"lif_{name}.nir", type_check=False)
    (neuron,) = (key for key, node in graph.nodes.items() if isinstance(node, nir.LIF))
    judged = reference.run(graph, {"input": EXACT_INPUT[:, None]}, DT)
    potentials, spikes = ours(f"lif_{name}.nir")
    assert np.array_equal(judged.spikes[neuron][:, 0], spikes)
    assert np.abs(judged.potentials[neuron][:, 0] - potentials).max() < 1e-6


def test_rockpools_trace_is_its_file_by_its_own_rule():
    """v = α v + W x with α = exp(-dt/τ), and v is compared before it decays; its file says r = α τ/dt.

    So NIR's forward Euler of the file is another neuron than Rockpool's, and its spikes come later.
    """
    graph = nir.read(DATA / "lif_rockpool.nir", type_check=False)
    weight = next(node.weight.item() for node in graph.nodes.values() if isinstance(node, nir.Linear))
    neuron = next(node for node in graph.nodes.values() if isinstance(node, nir.LIF))
    alpha = np.exp(-DT / neuron.tau.item())
    assert neuron.r.item() == pytest.approx(alpha * neuron.tau.item() / DT, rel=1e-6)
    v, spikes = 0.0, []
    for x in EXACT_INPUT:
        v = alpha * v + weight * x
        spikes.append(float(v > neuron.v_threshold.item()))
        v = 0.0 if spikes[-1] else v
    assert times(spikes) == times(trace("rockpool")[2]) == [450, 500, 710, 760]
    assert times(ours("lif_rockpool.nir")[1]) == [460, 520, 720, 780]
