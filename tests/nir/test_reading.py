"""Files and graphs that others wrote: they give what NIR's equations give, or a clear error."""

import warnings
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import torch

import norse
import norse.torch as snn

DATA = Path(__file__).parents[1] / "data" / "nir"
F = np.float32


def array(*values):
    return np.array(values, F)


def chain(*nodes):
    return nir.NIRGraph.from_list(*nodes)


def graph(nodes, edges, shape, out=None):
    every = {
        "in": nir.Input({"input": np.array(shape)}),
        **nodes,
        "out": nir.Output({"output": np.array(out or shape)}),
    }
    return nir.NIRGraph(every, [tuple(edge.split(">")) for edge in edges], type_check=False)


def run(model, x):
    """Outputs [T, N] for inputs [T, N]."""
    state, outputs = None, []
    with torch.no_grad():
        for tick in torch.as_tensor(x):
            y, state = model(tick[None], state)
            outputs.append(y[0])
    return torch.stack(outputs).numpy()


class TestRealFiles:
    def test_norses_neuron_gives_norses_trace(self):
        trace = np.loadtxt(DATA / "lif_norse.csv", delimiter=",", dtype=F)
        model = norse.from_nir(DATA / "lif_norse.nir", dt=1e-4)
        state, spikes, potentials = None, [], []
        for x in torch.from_numpy(trace[:, :1]):
            z, state = model(x[None], state)
            spikes.append(z.item())
            potentials.append(state[1].v.item())
        assert np.array_equal(spikes, trace[:, 2])
        assert sum(spikes) == 4
        assert np.abs(np.array(potentials) - trace[:, 1]).max() < 1e-7

    def test_rockpools_output_shape_is_repaired(self):
        with pytest.raises(ValueError, match="mismatch"):
            nir.read(DATA / "lif_rockpool.nir")
        with pytest.warns(
            UserWarning, match=r"node 'output' \(Output\): it says shape \[1, 1, 1\], what comes in has \[1\]"
        ):
            model = norse.from_nir(DATA / "lif_rockpool.nir", dt=1e-4)
        x = np.loadtxt(DATA / "lif_norse.csv", delimiter=",", dtype=F)[:, :1]
        assert 0 < run(model, x).sum() < 10

    def test_sinabs_network_runs_and_compiles_with_no_eager_part(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing to repair, and no neuron depends on dt
            model = snn.Lift(norse.from_nir(DATA / "cnn_sinabs.nir"))
        x = (torch.rand(34, 1, 2, 34, 34, generator=torch.Generator().manual_seed(0)) < 0.1).float()
        with torch.no_grad():
            expected, _ = model(x)
            result, _ = norse.compile(model, fullgraph=True)(x)
        assert expected.shape == (34, 1, 10)
        assert 0 < expected.mean() < 1
        assert (result == expected).float().mean() > 0.99  # the convolutions of all ticks at once round otherwise


class Euler:
    """NIR's neurons in float64, forward Euler straight from the equations in NIR's documentation."""

    def __init__(self, node, dt):
        self.node, self.dt = node, dt
        self.v, self.current = np.zeros(node.r.shape), np.zeros(node.r.shape)
        if hasattr(node, "v_leak"):
            self.v = self.v + node.v_leak

    def tick(self, x):
        n, dt = self.node, self.dt
        if hasattr(n, "tau_syn"):
            self.current = self.current + dt / n.tau_syn * (-self.current + n.w_in * x)
            x = self.current
        tau = n.tau_mem if hasattr(n, "tau_mem") else n.tau
        self.v = self.v + dt / tau * ((n.v_leak - self.v) + n.r * x)
        if not hasattr(n, "v_threshold"):
            return self.v
        z = (self.v > n.v_threshold).astype(float)
        self.v = np.where(z > 0, n.v_reset, self.v)
        return z


TAU, TAU2, R, LEAK, W = array(0.011, 0.02), array(0.0061, 0.004), array(1.7, 0.6), array(0.05, -0.1), array(1.3, 4.0)
TH, RESET = array(0.51, 0.31), array(-0.2, 0.1)
FOREIGN = {
    "LI": nir.LI(TAU, R, LEAK),
    "LIF": nir.LIF(TAU, R, LEAK, TH, RESET),
    "CubaLI": nir.CubaLI(TAU2, TAU, R, LEAK, W),
    "CubaLIF": nir.CubaLIF(TAU2, TAU, R, LEAK, TH, RESET, W),
}


class TestEquations:
    """Resistances, input weights, leaks and resets as no model of this library has them."""

    @pytest.mark.parametrize("name", FOREIGN)
    def test_a_neuron_is_forward_euler_of_its_equations(self, name):
        node, dt = FOREIGN[name], 0.0007
        x = np.random.default_rng(0).random((300, 2)).astype(F) * 4
        euler = Euler(node, dt)
        expected = np.array([euler.tick(tick) for tick in x])
        result = run(norse.from_nir(chain(node), dt=dt), x)
        assert np.abs(result - expected).max() < 1e-5
        assert expected.any(axis=0).all()
        assert (expected.min(axis=0) < expected.max(axis=0)).all()

    def test_an_integrator_jumps_by_r_times_its_input(self):
        model = norse.from_nir(chain(nir.IF(array(0.5, 2.0), array(1.0, 1.0), array(0.25, 0.0))))
        x = np.ones((4, 2), F) * F(0.75)
        assert run(model, x).tolist() == [[0, 1], [0, 1], [1, 1], [0, 1]]

    def test_reset_by_subtraction(self):
        model = norse.from_nir(chain(nir.IF(array(1.0), array(1.0), array(0.0))), reset="subtract")
        assert run(model, np.full((4, 1), 0.75, F))[:, 0].tolist() == [0, 1, 1, 0]

    def test_reset_by_subtraction_of_recurrent_neurons(self):
        neuron = nir.IF(array(1.0), array(1.0), array(0.0))
        loop = graph({"n": neuron, "w": nir.Linear(array([0.1]))}, ["in>n", "n>w", "w>n", "n>out"], [1])
        assert run(norse.from_nir(loop, reset="subtract"), np.full((4, 1), 0.75, F))[:, 0].tolist() == [0, 1, 1, 1]

    @pytest.mark.parametrize("bias", [False, True])
    def test_a_recurrent_population_sees_its_last_spikes(self, bias):
        rng, dt = np.random.default_rng(1), 0.0007
        node = FOREIGN["CubaLIF"]
        w_in, w_rec = rng.normal(size=(2, 3)).astype(F), np.array([[0.0, 1.5], [-2.0, 0.5]], F)
        b_in, b_rec = (array(0.3, 0.2), array(0.1, -0.1)) if bias else (array(0, 0), array(0, 0))
        parts = {"i": nir.Affine(w_in, b_in), "n": node, "r": nir.Affine(w_rec, b_rec)}
        model = norse.from_nir(graph(parts, ["in>i", "i>n", "n>r", "r>n", "n>out"], [3], [2]), dt=dt)
        assert type(model) is snn.SequentialState
        assert type(model[-1]) is snn.LIFRecurrentCell
        x = rng.random((400, 3)).astype(F) * 3
        euler, z, expected = Euler(node, dt), np.zeros(2), []
        for tick in x:
            z = euler.tick(w_in @ tick + b_in + w_rec @ z + b_rec)
            expected.append(z)
        assert (run(model, x) == expected).mean() > 0.99  # float32 against float64
        assert 0.02 < np.mean(expected) < 0.9
        with torch.no_grad():
            z, _ = norse.compile(snn.Lift(model), fullgraph=True)(torch.from_numpy(x)[:, None])
        assert (z[:, 0].numpy() == expected).mean() > 0.99

    def test_a_recurrent_population_fed_by_no_linear_layer(self):
        parts = {
            "s": nir.Scale(array(2.0, 3.0)),
            "n": FOREIGN["CubaLIF"],
            "r": nir.Linear(np.array([[0, 1.5], [-2, 0]], F)),
        }
        model = norse.from_nir(graph(parts, ["in>s", "s>n", "n>r", "r>n", "n>out"], [2]), dt=0.0007)
        x = np.random.default_rng(1).random((100, 2)).astype(F)
        euler, z, expected = Euler(FOREIGN["CubaLIF"], 0.0007), np.zeros(2), []
        for tick in x:
            z = euler.tick(parts["s"].scale * tick + parts["r"].weight @ z)
            expected.append(z)
        assert type(model[-1]) is snn.LIFRecurrentCell
        assert np.array_equal(run(model, x), expected)

    def test_a_subgraph_is_part_of_the_graph(self):
        inner = graph({"n": FOREIGN["LI"]}, ["in>n", "n>out"], [2])
        outer = graph({"a": nir.Linear(np.eye(2, dtype=F)), "sub": inner}, ["in>a", "a>sub", "sub>out"], [2])
        x = np.ones((5, 2), F)
        model = norse.from_nir(outer, dt=0.001)
        assert [name for name, _ in model.named_children()] == ["a", "sub_n_scale", "sub_n"]
        assert np.array_equal(run(model, x), run(norse.from_nir(chain(FOREIGN["LI"]), dt=0.001), x))


class TestRepairs:
    @pytest.mark.parametrize(("shape", "given"), [((1, 3), (3,)), ((3,), (3,))])
    def test_an_input_that_counts_the_batch(self, shape, given):
        fields = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.2, "v_reset": 0.0}
        neuron = nir.LIF(**{name: np.full(2, value, np.float32) for name, value in fields.items()})
        nodes = {
            "in": nir.Input({"input": np.array(shape)}), "w": nir.Linear(np.ones((2, 3), np.float32)), "lif": neuron,
            "out": nir.Output({"output": np.array([2])}),
        }  # fmt: skip
        graph = nir.NIRGraph(nodes, [("in", "w"), ("w", "lif"), ("lif", "out")], type_check=False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = norse.from_nir(graph, dt=0.001)
        said = [str(warning.message) for warning in caught]
        assert any("shape [1, 3] counts a batch; taken as [3]" in text for text in said) == (shape != given)
        assert model(torch.ones(5, *given))[0].shape == (5, 2)

    def test_an_input_of_two_dimensions_that_the_neurons_have_too(self):
        fields = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.2, "v_reset": 0.0}
        neuron = nir.LIF(**{name: np.full((1, 2), value, np.float32) for name, value in fields.items()})
        nodes = {
            "in": nir.Input({"input": np.array([1, 3])}), "w": nir.Linear(np.ones((2, 3), np.float32)), "lif": neuron,
            "out": nir.Output({"output": np.array([1, 2])}),
        }  # fmt: skip
        graph = nir.NIRGraph(nodes, [("in", "w"), ("w", "lif"), ("lif", "out")], type_check=False)
        assert norse.from_nir(graph, dt=0.001)(torch.ones(5, 1, 3))[0].shape == (5, 1, 2)

    def test_no_time_step_is_said_aloud(self):
        with pytest.warns(UserWarning, match=r"does not say its time step; dt=0\.001 s is assumed"):
            norse.from_nir(chain(FOREIGN["LIF"]))

    def test_a_time_step_longer_than_a_time_constant_is_said_aloud(self):
        with pytest.warns(UserWarning, match="forward Euler overshoots"):
            norse.from_nir(chain(FOREIGN["LIF"]), dt=0.1)

    def test_scalar_parameters_stand_for_all_neurons(self):
        scalar = nir.LIF(*(np.array(v, F) for v in (0.01, 1, 0, 0.1, 0)))
        parts = {"a": nir.Linear(np.ones((3, 2), F)), "n": scalar}
        with pytest.warns(UserWarning, match=r"node 'n' \(LIF\): its parameters have shape \[\]"):
            model = norse.from_nir(graph(parts, ["in>a", "a>n", "n>out"], [2], [3]), dt=0.001)
        assert run(model, np.ones((9, 2), F)).any(axis=0).all()

    def test_a_flatten_that_counts_the_batch(self):
        flat = nir.Flatten({"input": np.array([2, 3])}, start_dim=1)
        parts = {"f": flat, "a": nir.Linear(np.ones((1, 6), F))}
        with pytest.warns(UserWarning, match="taken as 0"):
            model = norse.from_nir(graph(parts, ["in>f", "f>a", "a>out"], [2, 3], [1]))
        assert model(torch.ones(4, 2, 3))[0].tolist() == [[6.0]] * 4


def lif(**changed):
    fields = {"tau": array(0.01), "r": array(1), "v_leak": array(0), "v_threshold": array(1), "v_reset": array(0)}
    return nir.LIF(**{**fields, **changed})


BAD_GRAPHS = {
    "NaN time constant": (
        lambda: chain(lif(tau=array(np.nan))),
        r"node 'lif' \(LIF\): tau: expected finite numbers, got nan",
    ),
    "no time constant": (
        lambda: chain(lif(tau=array(0))),
        r"node 'lif' \(LIF\): tau: expected a positive time constant, got 0",
    ),
    "negative time constant": (lambda: chain(lif(tau=array(-0.1))), r"node 'lif' \(LIF\): tau: expected a positive"),
    "infinite threshold": (
        lambda: chain(lif(v_threshold=array(np.inf))),
        r"node 'lif' \(LIF\): v_threshold: expected finite",
    ),
    "NaN weight": (
        lambda: chain(nir.Linear(np.full((2, 2), np.nan, F))),
        r"node 'linear' \(Linear\): weight: expected finite",
    ),
    "complex weight": (
        lambda: chain(nir.Linear(np.ones((2, 2), complex))),
        r"node 'linear' \(Linear\): expected real numbers",
    ),
    "dangling edge": (
        lambda: graph({"n": lif()}, ["in>n", "n>x", "n>out"], [1]),
        "edge 'n' -> 'x': there is no node 'x'",
    ),
    "unfed node": (
        lambda: graph({"n": lif(), "m": lif()}, ["in>n", "n>out"], [1]),
        r"node 'm' \(LIF\): expected an edge into it",
    ),
    "no input": (lambda: nir.NIRGraph({"n": lif()}, [], type_check=False), "expected an Input node, got none"),
    "no output": (
        lambda: nir.NIRGraph({"in": nir.Input(np.array([1])), "n": lif()}, [("in", "n")], type_check=False),
        "expected an Output node",
    ),
    "sizes that do not fit": (
        lambda: graph({"a": nir.Linear(np.ones((3, 2), F)), "n": nir.LI(TAU, R, LEAK)}, ["in>a", "a>n", "n>out"], [2]),
        r"node 'n' \(LI\): expected parameters of its input's shape \[3\], got \[2\]",
    ),
    "weights that do not fit": (
        lambda: graph({"a": nir.Linear(np.ones((3, 2), F))}, ["in>a", "a>out"], [5], [3]),
        r"node 'a' \(Linear\): it can't take samples of shape \[5\]",
    ),
    "a sum of two sizes": (
        lambda: graph(
            {"a": nir.Linear(np.ones((3, 2), F)), "s": nir.Scale(array(1, 1))}, ["in>a", "in>s", "a>out", "s>out"], [2]
        ),
        "node 'out': expected one shape to add up",
    ),
}


@pytest.mark.parametrize("what", BAD_GRAPHS)
@pytest.mark.parametrize("through_a_file", [False, True])
def test_refuses_a_graph(what, through_a_file, tmp_path):
    make, message = BAD_GRAPHS[what]
    source = make()
    if through_a_file:
        nir.write(tmp_path / "bad.nir", source)
        source = tmp_path / "bad.nir"
    with pytest.raises(ValueError, match=f"norse.from_nir: .*{message}"):
        norse.from_nir(source, dt=0.001)


class TestBadFiles:
    @pytest.fixture
    def file(self, tmp_path):
        norse.to_nir(snn.SequentialState(torch.nn.Linear(3, 4), snn.LIFCell()), tmp_path / "a.nir")
        return tmp_path / "a.nir"

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file"):
            norse.from_nir(tmp_path / "none.nir")

    def test_not_hdf5(self, file):
        file.write_text("a text")
        with pytest.raises(OSError, match="expected a HDF5 file"):
            norse.from_nir(file)

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
    def test_truncated(self, file, share):
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        with pytest.raises((OSError, ValueError), match=r"norse\.from_nir: .*a\.nir"):
            norse.from_nir(file)

    def test_hdf5_that_is_no_nir(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["data"] = [1, 2]
        with pytest.raises(ValueError, match="expected a NIR file with a group called node"):
            norse.from_nir(tmp_path / "a.h5")

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("node/nodes", "expected a NIRGraph with nodes and edges"),
            ("node/edges", "expected a NIRGraph with nodes and edges"),
            ("node/nodes/1", "there is no node '1'"),
            ("node/nodes/1/tau_mem", r"node '1' \(CubaLIF\): .*tau_mem"),
            ("node/nodes/1/type", "node '1': expected a NIR primitive, got None"),
            ("node/nodes/0/weight", r"node '0' \(Affine\): .*weight"),
            ("node/nodes/input/shape", r"node 'input' \(Input\): .*shape"),
        ],
    )
    def test_something_is_missing(self, file, path, message):
        with h5py.File(file, "a") as content:
            del content[path]
        with pytest.raises(ValueError, match=message):
            norse.from_nir(file)

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            ("node/nodes/1/type", "Hodgkin", "node '1': expected a NIR primitive, got 'Hodgkin'"),
            ("node/nodes/1/type", "NIRNode", "node '1': expected a NIR primitive, got 'NIRNode'"),
            ("node/nodes/1/r", [1.0, 2.0], r"node '1' \(CubaLIF\): All parameters must have the same shape"),
            ("node/nodes/1/r", ["a"] * 4, r"node '1' \(CubaLIF\): "),
            ("node/nodes/0/bias", [1.0, 2.0], r"node '0' \(Affine\): bias: expected shape \[4\], got \[2\]"),
            ("node/nodes/0/weight", [[[1.0]]], r"node '0' \(Affine\): weight: expected \[output, input\]"),
            ("node/nodes/input/shape", [-3], r"node 'input' \(Input\): expected a shape of positive integers"),
            ("node/edges", [1, 2], "edges: expected pairs of names"),
            ("node/nodes", [1, 2], "expected a NIRGraph with nodes and edges"),
        ],
    )
    def test_something_is_wrong(self, file, path, value, message):
        with h5py.File(file, "a") as content:
            del content[path]
            content[path] = value
        with pytest.raises(ValueError, match=message):
            norse.from_nir(file)

    def test_links_to_other_files_are_not_followed(self, file, tmp_path):
        with h5py.File(file, "a") as content:
            del content["node/nodes/0/weight"]
            content["node/nodes/0/weight"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/weight")
        with pytest.raises(ValueError, match="expected data, got a link"):
            norse.from_nir(file)

    def test_random_damage_is_an_error_or_harmless(self, file, tmp_path):
        """Bytes of a real file changed: it loads all the same, or says what is wrong."""
        good, rng = file.read_bytes(), np.random.default_rng(0)
        for _ in range(60):
            bad = bytearray(good)
            for place in rng.integers(0, len(bad), 20):
                bad[place] = rng.integers(0, 256)
            (tmp_path / "bad.nir").write_bytes(bad)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    norse.from_nir(tmp_path / "bad.nir")
                except (OSError, ValueError) as error:
                    assert "bad.nir" in str(error)
