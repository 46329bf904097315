"""Every primitive of NIR is read and written, in graphs of any form: what is written and read again runs the same."""

import warnings

import nir
import numpy as np
import pytest
import torch
from torch import nn

import norse
import norse.torch as snn

F = np.float32
LOW = torch.tensor(0.2)


def array(*values):
    return np.array(values, F)


def conv(kind, **options):
    shape = (3, 2, 3) if kind is nir.Conv1d else (3, 2, 3, 3)
    weight = np.random.default_rng(0).normal(size=shape).astype(F)
    return kind(None, weight, 1, 0, 1, 1, array(0.1, 0.2, 0.3), **options)


def graph(nodes, edges, shape, out):
    ends = {"input": nir.Input({"input": np.array(shape)}), "output": nir.Output({"output": np.array(out)})}
    nodes = {"input": ends["input"], **nodes, "output": ends["output"]}
    return nir.NIRGraph(nodes, [tuple(e.split(">")) for e in edges], type_check=False, metadata={"dt": 0.001})


def single(node, shape, out=None):
    return graph({"it": node}, ["input>it", "it>output"], shape, out or shape)


TAU, ONE, ZERO = array(0.01, 0.02), array(1, 1), array(0, 0.01)
GRAPHS = {
    "Input": single(nir.Scale(ONE), [2]),
    "Output": single(nir.Scale(ONE), [2]),
    "NIRGraph": graph({"it": single(nir.Linear(np.ones((3, 2), F)), [2], [3])}, ["input>it", "it>output"], [2], [3]),
    "Affine": single(nir.Affine(np.ones((3, 2), F), array(1, 2, 3)), [2], [3]),
    "Linear": single(nir.Linear(np.ones((3, 2), F)), [2], [3]),
    "Scale": single(nir.Scale(array(2, 3)), [2]),
    "Conv1d": single(conv(nir.Conv1d), [2, 8], [3, 6]),
    "Conv2d": single(conv(nir.Conv2d), [2, 6, 6], [3, 4, 4]),
    "Flatten": single(nir.Flatten({"input": np.array([2, 3])}, 0), [2, 3], [6]),
    "AvgPool2d": single(nir.AvgPool2d(*(np.array(v) for v in ([2, 2], [2, 2], [0, 0]))), [2, 4, 4], [2, 2, 2]),
    "SumPool2d": single(nir.SumPool2d(*(np.array(v) for v in ([2, 2], [2, 2], [0, 0]))), [2, 4, 4], [2, 2, 2]),
    "Threshold": single(nir.Threshold(array(0.4, 0.6)), [2]),
    "Delay": single(nir.Delay(array(0.002, 0.005)), [2]),
    "I": single(nir.I(array(1, 0.5)), [2]),
    "IF": single(nir.IF(array(1, 0.5), ONE, ZERO), [2]),
    "LI": single(nir.LI(TAU, array(1, 2), ZERO), [2]),
    "LIF": single(nir.LIF(TAU, array(3, 4), ZERO, array(0.1, 0.2), ZERO), [2]),
    "CubaLI": single(nir.CubaLI(TAU, TAU, ONE, ZERO, array(5, 10)), [2]),
    "CubaLIF": single(nir.CubaLIF(TAU, TAU, ONE, ZERO, array(0.1, 0.2), ZERO, array(5, 10)), [2]),
}


def primitives():
    others = ("NIRNode", "str2NIRNode", "dict2NIRNode")
    return sorted(name for name in nir.ir.__all__ if name not in others)


def kinds_in(graph):
    inner = (kinds_in(node) for node in graph.nodes.values() if isinstance(node, nir.NIRGraph))
    return {type(node).__name__ for node in graph.nodes.values()}.union(*inner)


def run(model, x):
    """All ticks of x [T, B, ...], or of a dictionary of such."""
    with torch.no_grad():
        result = snn.Lift(model)(x)
    return result[0] if isinstance(result, tuple) else result


class InnerGraph(nn.Module):
    def __init__(self):
        super().__init__()
        self.part, self.last = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), snn.LIFCell()

    def forward(self, x, state=None):
        return self.last(self.part(x), state)


def test_table_of_all_primitives(tmp_path):
    """`-s` shows it."""
    rows = []
    for name in primitives():
        source = GRAPHS[name]
        assert name in kinds_in(source)
        model = norse.from_nir(source)
        x = (
            torch.rand(12, 2, *source.nodes["input"].input_type["input"], generator=torch.manual_seed(1)) < 0.5
        ).float()
        expected = run(model, x)
        if name == "NIRGraph":
            writing = InnerGraph()
            written = norse.to_nir(writing, tmp_path / "a.nir", subgraphs=True)
            again, expected, result = norse.from_nir(tmp_path / "a.nir"), run(writing, x), None
        else:
            written = norse.to_nir(model, tmp_path / "a.nir", example_input=x[0])
            again = norse.from_nir(tmp_path / "a.nir")
        result = run(again, x)
        assert torch.equal(result, expected)
        rows.append((name, "yes", "yes" if name in kinds_in(written) else "NO"))
    print("\nprimitive   read  written\n" + "\n".join(f"{name:<11} {r:<5} {w}" for name, r, w in rows))
    assert [row[0] for row in rows if row[2] != "yes"] == []
    assert len(rows) == 19


class TestDelays:
    def test_a_signal_is_as_many_ticks_late_as_the_file_says(self):
        x = torch.rand(12, 1, 2)
        y = run(norse.from_nir(GRAPHS["Delay"]), x)
        assert torch.equal(y[2:, 0, 0], x[:-2, 0, 0])
        assert torch.equal(y[5:, 0, 1], x[:-5, 0, 1])
        assert not y[:2, 0, 0].any()

    @pytest.mark.parametrize("ticks", [1, 3])
    def test_a_cycle_through_a_delay_takes_no_other_tick(self, ticks):
        """v_t = x_t + v_{t - ticks} / 2, by a loop."""
        nodes = {"sum": nir.Scale(array(1)), "half": nir.Scale(array(0.5)), "late": nir.Delay(array(ticks * 0.001))}
        edges = ["input>sum", "sum>late", "late>half", "half>sum", "sum>output"]
        x, expected = torch.rand(20, 1, 1), []
        for t in range(20):
            expected.append(x[t] + (expected[t - ticks] / 2 if t >= ticks else 0))
        model = norse.from_nir(graph(nodes, edges, [1], [1]))
        assert torch.equal(run(model, x), torch.stack(expected))
        again = norse.from_nir(norse.to_nir(model, example_input=x[0]))
        assert torch.equal(run(again, x), torch.stack(expected))

    @pytest.mark.parametrize("over_time", [False, True])
    def test_are_written_as_they_are_in_the_model(self, over_time, tmp_path):
        delays = torch.tensor([0.0, 0.001, 0.003, 0.004])
        if over_time:
            model = snn.SequentialState(nn.Linear(3, 4), snn.SynapseDelay(delays, 0.01), snn.LIF())
        else:
            model = snn.SequentialState(nn.Linear(3, 4), snn.SynapseDelayCell(delays, 0.01), snn.LIFCell())
        written = norse.to_nir(model, tmp_path / "a.nir")
        assert np.array_equal(written.nodes["1"].delay, delays.numpy())
        x = torch.rand(30, 2, 3) * 9
        with torch.no_grad():
            expected = model(x)[0] if over_time else run(model, x)
        assert torch.equal(run(norse.from_nir(tmp_path / "a.nir"), x), expected)
        assert expected.any()

    def test_between_two_ticks_are_said_aloud(self):
        model = snn.SequentialState(nn.Linear(3, 4), snn.SynapseDelayCell(0.0015, 0.01))
        with pytest.warns(UserWarning, match="no whole number of ticks"):
            norse.to_nir(model)

    def test_that_blur_are_refused(self):
        model = snn.SequentialState(nn.Linear(3, 4), snn.SynapseDelayCell(0.002, 0.01, kernel="gaussian"))
        with pytest.raises(ValueError, match=r"layer '1' \(SynapseDelayCell\): NIR's Delay shifts.*kernel='linear'"):
            norse.to_nir(model)

    def test_longer_than_memory_are_refused(self):
        with pytest.raises(ValueError, match=r"node 'it' \(Delay\): delay: expected at most 1048576 ticks"):
            norse.from_nir(single(nir.Delay(array(1e9)), [1]))

    def test_negative_ones_are_refused(self):
        with pytest.raises(ValueError, match=r"node 'it' \(Delay\): delay: expected no negative time, got -1"):
            norse.from_nir(single(nir.Delay(array(-1)), [1]))


class TwoTicksAgo(nn.Module):
    """Spikes come back to the first layer after two ticks, those of the second after one; others are late by one."""

    def __init__(self):
        super().__init__()
        self.enter, self.cell = nn.Linear(3, 4), snn.LIFCell(snn.LIFParameters(v_th=LOW))
        self.on, self.last = nn.Linear(4, 4), snn.LIFBoxCell(snn.LIFBoxParameters(v_th=LOW / 8))

    def forward(self, x, state=None):
        cell, other, one, two, late = (None, None, None, None, None) if state is None else state
        current = self.enter(x)
        if two is None:
            one = two = late = torch.zeros_like(current)
        z, cell = self.cell(current + two - late, cell)
        out, other = self.last(self.on(z) + one, other)
        return out, (cell, other, z, one, out)


class PassedOn(nn.Module):
    """Hands its input of the last tick forward, in no cycle."""

    def __init__(self):
        super().__init__()
        self.cell = snn.IAFCell()

    def forward(self, x, state=None):
        cell, before = (None, torch.zeros_like(x)) if state is None else state
        z, cell = self.cell(0.5 * x - before / 4, cell)
        return z, (cell, x)


class TwoEars(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(2, 4), nn.Linear(3, 4)
        self.cell, self.readout = snn.LIFCell(snn.LIFParameters(v_th=LOW)), nn.Linear(4, 1)

    def forward(self, near, far, state=None):
        z, state = self.cell(self.left(near) + self.right(far), state)
        return {"spikes": z, "side": self.readout(z)}, state


class TestGraphs:
    @pytest.mark.parametrize("model", [TwoTicksAgo, PassedOn])
    def test_values_of_earlier_ticks_that_close_no_cycle_are_delays(self, model, tmp_path):
        torch.manual_seed(3)
        model = model()
        x = (torch.rand(60, 2, 3) < 0.5).float() * 4

        written = norse.to_nir(model, tmp_path / "a.nir", example_input=x[0])
        assert any(isinstance(node, nir.Delay) for node in written.nodes.values())
        read = norse.from_nir(tmp_path / "a.nir")
        expected = run(model, x)
        assert 0 < expected.mean() < 1
        assert torch.equal(run(read, x), expected)
        assert norse.to_nir(read, example_input=x[0]).nodes.keys() == written.nodes.keys()

    def test_several_inputs_and_outputs_have_the_models_names(self, tmp_path):
        torch.manual_seed(3)
        model, near, far = TwoEars(), torch.rand(40, 2, 2) * 3, torch.rand(40, 2, 3) * 3
        written = norse.to_nir(model, tmp_path / "a.nir", example_input=(near[0], far[0]))
        assert {name for name, node in written.nodes.items() if isinstance(node, nir.Input)} == {"near", "far"}
        assert {name for name, node in written.nodes.items() if isinstance(node, nir.Output)} == {"spikes", "side"}
        read, state = norse.from_nir(tmp_path / "a.nir"), None
        result = run(read, {"near": near, "far": far})
        for t in range(40):
            with torch.no_grad():
                expected, state = model(near[t], far[t], state)
            assert all(torch.equal(result[name][t], expected[name]) for name in ("spikes", "side"))
        assert result["spikes"].any()
        again = norse.to_nir(read, example_input={"near": near[0], "far": far[0]})
        assert again.nodes.keys() == written.nodes.keys()
        assert again.edges == written.edges

    def test_several_inputs_compile(self):
        torch.manual_seed(3)
        written = norse.to_nir(TwoEars(), example_input=(torch.ones(1, 2), torch.ones(1, 3)))
        model = snn.Lift(norse.from_nir(written))
        x = {"near": torch.rand(40, 2, 2) * 3, "far": torch.rand(40, 2, 3) * 3}
        with torch.no_grad():
            expected, _ = model(x)
            result, _ = norse.compile(model, exact=True)(x)
        assert all(torch.equal(result[name], expected[name]) for name in expected)

    def test_several_inputs_of_no_ticks(self):
        written = norse.to_nir(TwoEars(), example_input=(torch.ones(1, 2), torch.ones(1, 3)))
        result, state = snn.Lift(norse.from_nir(written))({"near": torch.rand(0, 2, 2), "far": torch.rand(0, 2, 3)})
        assert {name: value.shape for name, value in result.items()} == {"spikes": (0, 2, 4), "side": (0, 2, 1)}
        assert state is None

    def test_inputs_of_another_name_are_refused(self):
        written = norse.to_nir(TwoEars(), example_input=(torch.ones(1, 2), torch.ones(1, 3)))
        with pytest.raises(ValueError, match=r"argument x: expects a dictionary of \['near', 'far'\], got \['near'\]"):
            norse.from_nir(written)({"near": torch.ones(1, 2)})

    def test_an_edge_that_is_said_twice_is_one_edge(self):
        twice = graph({"it": nir.Scale(array(2))}, ["input>it", "input>it", "it>output"], [1], [1])
        with pytest.warns(UserWarning, match="edge 'input' -> 'it': it is there 2 times; taken once"):
            model = norse.from_nir(twice)
        assert model(torch.ones(1, 1))[0].item() == 2.0

    @pytest.mark.parametrize("edge", ["it>input", "output>it"])
    def test_edges_against_the_direction_of_ports_are_refused(self, edge):
        wrong = graph({"it": nir.Scale(array(2))}, ["input>it", "it>output", edge], [1], [1])
        with pytest.raises(ValueError, match=r"expected no edge (into an Input|out of an Output)"):
            norse.from_nir(wrong)

    def test_a_submodule_can_be_a_graph_of_its_own(self, tmp_path):
        torch.manual_seed(3)
        inner = snn.SequentialState(nn.Linear(3, 5), snn.LIFCell(snn.LIFParameters(v_th=LOW)))
        model = snn.SequentialState(nn.Linear(4, 3), inner, snn.SequentialState(snn.LIFRecurrentCell(5, 6)))
        written = norse.to_nir(model, tmp_path / "a.nir", subgraphs=True)
        assert [type(node).__name__ for node in written.nodes.values()] == [
            "Input", "Affine", "NIRGraph", "NIRGraph", "Output",
        ]  # fmt: skip
        assert list(written.nodes["1"].nodes) == ["input", "0", "1", "output"]
        x = torch.rand(40, 2, 4) * 5
        assert torch.equal(run(norse.from_nir(tmp_path / "a.nir"), x), run(model, x))
        nir.read(tmp_path / "a.nir", type_check=False)

    def test_a_submodule_that_a_cycle_leaves_is_no_graph_of_its_own(self):
        class Loop(nn.Module):
            def __init__(self):
                super().__init__()
                self.part, self.back = snn.SequentialState(nn.Linear(4, 5), snn.LIFCell()), nn.Linear(5, 4, bias=False)

            def forward(self, x, state=None):
                part, z = (None, None) if state is None else state
                z, part = self.part(x if z is None else x + self.back(z), part)
                return z, (part, z)

        written = norse.to_nir(Loop(), subgraphs=True, example_input=torch.ones(1, 4))
        assert not any(isinstance(node, nir.NIRGraph) for node in written.nodes.values())

    def test_differences_quotients_and_negation_are_scales(self):
        class Arithmetic(nn.Module):
            def __init__(self):
                super().__init__()
                self.enter, self.by = nn.Linear(3, 3), nn.Parameter(torch.tensor([1.0, 2.0, 4.0]))

            def forward(self, x):
                return -self.enter(x) / self.by - x * 0.5

        model, x = Arithmetic(), torch.rand(1, 5, 3)
        assert torch.allclose(run(norse.from_nir(norse.to_nir(model)), x), model(x))


def test_a_module_with_the_name_of_a_delay_keeps_it():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.cell_delay = snn.IAFCell(), nn.Linear(3, 3)

        def forward(self, x, state=None):
            cell, before = (None, torch.zeros_like(x)) if state is None else state
            z, cell = self.cell(x, cell)
            return self.cell_delay(z) + before, (cell, z)

    model, x = Named(), torch.rand(30, 2, 3)
    written = norse.to_nir(model, example_input=x[0])
    assert type(written.nodes["cell_delay"]) is nir.Affine
    assert type(written.nodes["cell_delay_"]) is nir.Delay
    assert torch.equal(run(norse.from_nir(written), x), run(model, x))


class TestThreshold:
    def test_of_the_library_is_0_or_1_and_has_a_derivative(self):
        layer = snn.Threshold(nn.Parameter(torch.tensor([0.5, 0.1])))
        x = torch.tensor([[0.5, 0.5], [0.6, 0.05]], requires_grad=True)
        z = layer(x)
        z.sum().backward()
        assert z.tolist() == [[0, 1], [1, 0]]
        assert x.grad.all()
        assert layer.threshold.grad.all()

    def test_compiles_as_a_layer_that_gives_spikes(self):
        model = snn.Lift(snn.SequentialState(nn.Linear(3, 4), snn.Threshold(0.1), nn.Linear(4, 2), snn.LICell()))
        compiled, x = norse.compile(model, fullgraph=True, exact=True), torch.randn(20, 2, 3)
        assert torch.equal(compiled(x)[0], model(x)[0])
        assert "spike[" in str(compiled.graph)

    @pytest.mark.parametrize(
        "spike",
        [
            lambda self, y: (y > 0.1).float(),
            lambda self, y: (y > self.limit).to(y.dtype),
            lambda self, y: torch.where(y > 0.1, 1.0, 0.0),
        ],
    )
    def test_is_a_comparison_in_a_models_own_forward(self, spike):
        class Own(nn.Module):
            def __init__(self):
                super().__init__()
                self.enter, self.limit = nn.Linear(3, 4), nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.4]))

            def forward(self, x):
                return spike(self, self.enter(x))

        model, x = Own(), torch.randn(1, 20, 3)
        written = norse.to_nir(model)
        assert type(written.nodes["threshold"]) is nir.Threshold
        with torch.no_grad():
            assert torch.equal(run(norse.from_nir(written), x)[0], model(x[0]))

    def test_comparisons_of_two_values_and_sums_of_truths_are_refused(self):
        class Two(nn.Module):
            def forward(self, x):
                return (x > 2 * x).float()

        class Truths(nn.Module):
            def forward(self, x):
                return ((x > 0.1) + (x > 0.2)).float()

        with pytest.raises(ValueError, match="NIR can compare a value with a constant alone"):
            norse.to_nir(Two(), example_input=torch.ones(1, 3))
        with pytest.raises(ValueError, match=r"NIR adds up numbers, not torch\.bool"):
            norse.to_nir(Truths(), example_input=torch.ones(1, 3))

    def test_of_an_unknown_surrogate_is_refused(self):
        with pytest.raises(ValueError, match=r"Threshold: argument method: expects one of .*super.*, got 'none'"):
            snn.Threshold(0.5, method="none")


def test_an_integrator_adds_up_r_times_its_input():
    model = norse.from_nir(GRAPHS["I"])
    assert run(model, torch.ones(3, 1, 2))[:, 0].tolist() == [[1, 0.5], [2, 1], [3, 1.5]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = norse.compile(snn.Lift(model), fullgraph=True)
    assert torch.equal(compiled(torch.ones(3, 1, 2))[0], run(model, torch.ones(3, 1, 2)))


def test_a_sum_that_feeds_itself_is_a_node():
    class Trace(nn.Module):
        """y_t = x_t / 2 + y_{t-1}, with no module at all."""

        def forward(self, x, state=None):
            total = x / 2 + (torch.zeros_like(x) if state is None else state)
            return total, total

    x = torch.rand(9, 1, 3)
    read = norse.from_nir(norse.to_nir(Trace(), example_input=x[0]))
    assert torch.allclose(run(read, x), x.cumsum(0) / 2)
