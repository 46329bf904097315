"""On every chip synapses end on neurons: weights that others receive do not fit, and what to do is said."""

import nir
import numpy as np
import pytest
import torch
from torch import nn

import norse
import norse.torch as snn
from norse.backends.chips import targets

from .graphs import chain, conv, graph, integrate_and_fire, lif, linear, pool


def said(network, target):
    """Layer -> what is said of its synapses."""
    return {row.layer: row.text for row in norse.check(network, target).rows if row.limit == "weights_to_neurons"}


def neurons(target, *shape):
    return integrate_and_fire(*shape) if target == "speck" else lif(*shape)


@pytest.mark.parametrize("target", targets())
class TestOnEveryChip:
    def test_a_network_that_ends_in_neurons_has_no_row(self, target):
        network = chain((4,), linear(3, 4), neurons(target, 3), linear(2, 3), neurons(target, 2))
        assert not said(network, target)

    def test_weights_alone_do_not_fit(self, target):
        report = norse.check(norse.quantize(snn.SequentialState(nn.Linear(16, 8, bias=False)), bits=7), target)
        assert not report.fits
        assert "does not fit: weights to neurons" in str(report)
        assert "end the model in neurons" in said(chain((4,), linear(3, 4)), target)["n0"]

    def test_an_analog_readout_does_not_fit_and_the_neurons_before_it_are_not_blamed(self, target):
        network = chain((4,), linear(3, 4), neurons(target, 3), linear(2, 3))
        assert list(said(network, target)) == ["n2"]
        assert "no neurons receive its result" in said(network, target)["n2"]
        assert not [row for row in norse.check(network, target).misfits if row.layer == "n1"]

    def test_weights_behind_weights_do_not_fit(self, target):
        found = said(chain((4,), linear(3, 4), linear(2, 3), neurons(target, 2)), target)
        assert list(found) == ["n0"]
        assert "feeds the weights of node 'n1' (Linear)" in found["n0"]
        assert "multiply the two weights into one" in found["n0"]

    def test_flattening_and_pooling_between_them_are_seen_through(self, target):
        flat = nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1)
        behind = chain((1, 4, 4), conv(2, 1, 1), pool(2), flat, linear(3, 8), neurons(target, 3))
        assert list(said(behind, target)) == ["n0"]
        received = chain((1, 4, 4), conv(2, 1, 1), pool(2), flat, neurons(target, 8))
        assert not said(received, target)

    def test_currents_that_are_read_beside_the_neurons_do_not_fit(self, target):
        nodes = {
            "in": nir.Input(np.array([4])), "w": linear(3, 4), "n": neurons(target, 3),
            "out": nir.Output(np.array([3])), "currents": nir.Output(np.array([3])),
        }  # fmt: skip
        network = graph(nodes, [("in", "w"), ("w", "n"), ("n", "out"), ("w", "currents")])
        assert "no neurons receive its result" in said(network, target)["w"]

    def test_loops_and_skips_between_neurons_have_no_row(self, target):
        nodes = {
            "in": nir.Input(np.array([4])), "w": linear(3, 4), "a": neurons(target, 3), "loop": linear(3, 3),
            "v": linear(3, 3), "b": neurons(target, 3), "skip": linear(3, 3), "u": linear(3, 3),
            "c": neurons(target, 3), "out": nir.Output(np.array([3])),
        }  # fmt: skip
        edges = [("in", "w"), ("w", "a"), ("a", "loop"), ("loop", "a"), ("a", "v"), ("v", "b"), ("b", "u"), ("u", "c"),
                 ("a", "skip"), ("skip", "c"), ("c", "out")]  # fmt: skip
        assert not said(graph(nodes, edges), target)

    def test_no_neurons_and_no_weights(self, target):
        network = chain((1, 4, 4), pool(2))
        assert "there are no neurons" in said(network, target)[""]
        assert not norse.check(network, target).fits


def test_a_scale_that_is_merged_is_seen_through():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights, self.neurons = nn.Linear(4, 3, bias=False), snn.LIF()

        def forward(self, x):
            return self.neurons(2 * self.weights(x))[0]

    assert not said(norse.quantize(Scaled(), bits=7, example_input=torch.zeros(5, 1, 4)), "brainscales2")


class TestTheWayToSpeckByAFile:
    """What `norse.check` says is what `norse.to_nir(dialect="sinabs")` does."""

    @staticmethod
    def model(neurons, pooling):
        torch.manual_seed(0)
        weights = nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.Linear(2 * 4 * 4, 3, bias=False)
        layers = weights[0], neurons, pooling, nn.Flatten(), weights[1], neurons
        x = torch.zeros(4, 1, 1, 8, 8)
        return norse.quantize(snn.Lift(snn.SequentialState(*layers)), bits=8, example_input=x), x

    @pytest.mark.parametrize(
        ("reset", "pooling", "row"),
        [
            (snn.reset_subtract_bounded, nn.LPPool2d(1, 2), None),
            (snn.reset_subtract_bounded, nn.AvgPool2d(2), ("primitives", "does not fit")),
            (snn.reset_value, nn.LPPool2d(1, 2), ("reset", "differs")),
        ],
    )
    def test_is_told_where_there_is_none(self, reset, pooling, row):
        model, x = self.model(snn.IAFCell(snn.IAFParameters(reset_method=reset)), pooling)
        report = norse.check(model, "speck", example_input=x)
        rows = [entry for entry in report.rows if 'files for Sinabs 3.1.3 (dialect="sinabs")' in entry.text]
        assert {(entry.limit, entry.verdict) for entry in rows} == ({row} if row else set())
        assert report.fits is (row is None or row[1] != "does not fit")
        if row is None:
            with pytest.warns(UserWarning, match="fires several spikes in a tick"):
                norse.to_nir(model, example_input=x, dialect="sinabs", verify=False)
            return
        with pytest.raises(ValueError, match=r"reset_method|LPPool2d"):
            norse.to_nir(model, example_input=x, dialect="sinabs", verify=False)
        assert any(remedy in rows[0].text for remedy in ("nn.LPPool2d(1, ...)", "reset_method=reset_subtract_bounded"))

    def test_the_lower_bound_is_advised_to_neurons_that_can_have_it(self):
        for kind, advised in ((integrate_and_fire, True), (lif, False)):
            rows = norse.check(chain((4,), linear(3, 4), kind(3)), "speck").rows
            (row,) = (row for row in rows if row.limit == "lower_bound")
            assert ("reset_subtract_bounded" in row.text) is advised
