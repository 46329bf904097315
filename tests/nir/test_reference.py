"""The interpreter that judges files: held to closed forms, to numbers worked out by hand, and to torch's layers."""

import ast
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from torch import nn

from norse.backends.nir_export import reference

DT = 0.001


def chain(*nodes):
    return nir.NIRGraph.from_list(*nodes, type_check=False)


def graph(nodes, edges, shape):
    ends = {"in": nir.Input({"input": np.array(shape)}), "out": nir.Output({"output": np.array(shape)})}
    return nir.NIRGraph({**ends, **nodes}, [tuple(e.split(">")) for e in edges], type_check=False)


def output(graph, x, dt=DT):
    (start,) = (name for name, node in graph.nodes.items() if isinstance(node, nir.Input))
    (result,) = reference.run(graph, {start: np.asarray(x, float)}, dt).outputs.values()
    return result


def array(*values):
    return np.array(values, float)


def test_it_shares_no_code_with_what_it_judges():
    tree = ast.parse(Path(reference.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"collections.abc", "dataclasses", "typing", "nir", "numpy"}


class TestNeurons:
    """Closed forms of forward Euler under a constant input."""

    t = np.arange(1, 41)

    def test_a_leaky_integrator_approaches_its_limit_geometrically(self):
        v = output(chain(nir.LI(array(0.01), array(2.0), array(0.5))), np.ones((40, 1)))
        limit = 0.5 + 2.0
        assert np.allclose(v[:, 0], limit + (0.5 - limit) * 0.9**self.t, rtol=1e-12)

    def test_a_synapse_adds_a_second_geometric_part(self):
        v = output(chain(nir.CubaLI(array(0.005), array(0.01), array(1.0), array(0.0), array(3.0))), np.ones((40, 1)))
        expected = 3.0 * (1 - 0.9**self.t - 0.1 * (0.8 * (0.9**self.t - 0.8**self.t) / 0.1))
        assert np.allclose(v[:, 0], expected, rtol=1e-12)

    def test_integrators_count(self):
        assert output(chain(nir.I(array(0.25))), np.ones((4, 1))).ravel().tolist() == [0.25, 0.5, 0.75, 1.0]

    def test_an_integrator_fires_above_the_threshold_not_at_it_and_starts_at_its_reset(self):
        node = nir.IF(array(0.25), array(0.75), v_reset=array(-0.25))
        trace = reference.run(chain(node), {"input": np.ones((10, 1))}, DT)
        assert trace.spikes["if"].ravel().tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
        assert trace.potentials["if"].ravel()[:6].tolist() == [0, 0.25, 0.5, 0.75, -0.25, 0]

    @pytest.mark.parametrize("reset", [0.0, -0.3])
    def test_a_leaky_neuron_fires_at_the_period_of_the_closed_form(self, reset):
        """From v_reset to above v_threshold takes the least n with limit - (limit - v_reset) 0.9^n > v_threshold."""
        node = nir.LIF(array(0.01), array(2.0), array(0.0), array(1.0), v_reset=array(reset))
        times = np.nonzero(output(chain(node), np.ones((200, 1)))[:, 0])[0]
        period = int(np.floor(np.log((2.0 - reset) / 1.0) / -np.log(0.9))) + 1
        assert set(np.diff(times)) == {period}

    def test_a_synapse_and_a_threshold(self):
        node = nir.CubaLIF(array(0.005), array(0.01), array(1.0), array(0.0), array(0.05), w_in=array(5.0))
        spikes = output(chain(node), [[1], [0], [0], [0], [0]]).ravel()
        # I is 1, 0.8, 0.64, 0.512, 0.4096; v before the reset a tenth of it, as it starts at 0 after each spike
        assert spikes.tolist() == [1, 1, 1, 1, 0]

    def test_a_threshold_has_no_memory(self):
        x = [[0.4, 0.9], [0.5, 0.5], [0.6, 0.1]]
        assert output(chain(nir.Threshold(array(0.5, 0.2))), x).tolist() == [[0, 1], [0, 1], [1, 0]]

    def test_a_judge_decides_what_a_spike_is(self):
        node = nir.IF(array(0.5), array(0.75))
        never = reference.run(chain(node), {"input": np.ones((4, 1))}, DT, lambda name, t, above, z: 0 * z)
        assert never.potentials["if"].ravel().tolist() == [0.5, 1.0, 1.5, 2.0]


class TestDelays:
    def test_whole_ticks_shift_and_parts_share(self):
        x = [[1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
        y = output(chain(nir.Delay(array(0.0, 0.002, 0.0015))), x)
        assert np.allclose(y, [[1, 0, 0], [0, 0, 0.5], [0, 1, 0.5], [0, 0, 0]])

    def test_a_cycle_through_one_waits_there_alone(self):
        nodes = {"s": nir.Scale(array(1.0)), "d": nir.Delay(array(0.002)), "h": nir.Scale(array(0.5))}
        y = output(graph(nodes, ["in>s", "s>d", "d>h", "h>s", "s>out"], [1]), [[1], [0], [0], [0], [0]])
        assert y.ravel().tolist() == [1, 0, 0.5, 0, 0.25]


class TestLayers:
    @pytest.mark.parametrize(
        ("stride", "padding", "dilation", "groups"),
        [(1, 0, 1, 1), ((2, 1), (1, 2), 1, 1), (1, "same", (2, 1), 1), (2, 1, 2, 2), (1, "valid", 1, 4)],
    )
    def test_a_convolution_is_torchs(self, stride, padding, dilation, groups):
        torch.manual_seed(0)
        layer = nn.Conv2d(4, 8, (3, 2), stride, padding, dilation, groups).double()
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        node = nir.Conv2d((9, 8), weight, stride, padding, dilation, groups, bias)
        x = torch.randn(2, 4, 9, 8, dtype=torch.float64)
        shape = {"in": nir.Input({"input": np.array([4, 9, 8])}), "out": nir.Output({"output": np.array([1])})}
        result = output(nir.NIRGraph({**shape, "c": node}, [("in", "c"), ("c", "out")], type_check=False), x.numpy())
        assert np.allclose(result, layer(x).detach().numpy(), rtol=1e-12)

    def test_a_convolution_in_one_dimension_is_torchs(self):
        torch.manual_seed(0)
        layer, x = nn.Conv1d(2, 3, 3, 2, 1).double(), torch.randn(2, 2, 9, dtype=torch.float64)
        node = nir.Conv1d(9, layer.weight.detach().numpy(), 2, 1, 1, 1, layer.bias.detach().numpy())
        assert np.allclose(output(graph({"c": node}, ["in>c", "c>out"], [2, 9]), x.numpy()), layer(x).detach().numpy())

    @pytest.mark.parametrize("padding", [0, 1])
    def test_pools_are_torchs(self, padding):
        x, sizes = torch.randn(2, 3, 7, 7, dtype=torch.float64), [np.array([n, n]) for n in (3, 2, padding)]
        for kind, pool in ((nir.AvgPool2d, nn.AvgPool2d(3, 2, padding)), (nir.SumPool2d, nn.LPPool2d(1, 3, 2))):
            if kind is nir.SumPool2d and padding:
                continue  # torch's has no border
            result = output(graph({"p": kind(*sizes)}, ["in>p", "p>out"], [3, 7, 7]), x.numpy().clip(0))
            assert np.allclose(result, pool(x.clip(0)).numpy())

    def test_flatten_counts_without_the_batch(self):
        node = nir.Flatten({"input": np.array([2, 3, 4])}, 1, 2)
        assert output(graph({"f": node}, ["in>f", "f>out"], [2, 3, 4]), np.zeros((5, 2, 3, 4))).shape == (5, 2, 12)

    def test_linear_layers(self):
        weight, bias = np.array([[1.0, 2.0], [3.0, 4.0]]), array(10, 20)
        assert output(chain(nir.Linear(weight)), [[1, 1]]).tolist() == [[3, 7]]
        assert output(chain(nir.Affine(weight, bias)), [[1, 1]]).tolist() == [[13, 27]]


class TestGraphs:
    def test_recurrent_weights_see_the_last_tick(self):
        nodes = {"n": nir.IF(array(1.0), array(0.9)), "w": nir.Affine(np.array([[-1.0]]), array(0.5))}
        y = output(graph(nodes, ["in>n", "n>w", "w>n", "n>out"], [1]), np.ones((6, 1)))
        # v before the reset: 1 + 0.5, then 1 - 1 + 0.5 = 0.5, then 0.5 + 1.5 = 2, then 0.5, ...
        assert y.ravel().tolist() == [1, 0, 1, 0, 1, 0]

    def test_subgraphs_are_part_of_the_graph_and_edges_add_up(self):
        inner = graph({"a": nir.Scale(array(2.0)), "b": nir.Scale(array(3.0))}, ["in>a", "in>b", "a>out", "b>out"], [1])
        assert output(graph({"g": inner}, ["in>g", "g>out", "in>out"], [1]), [[1], [2]]).ravel().tolist() == [6, 12]
