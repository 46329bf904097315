"""Xylo, Loihi 2, SpiNNaker2 and BrainScaleS-2: each limit met exactly and crossed by one."""

import nir
import numpy as np
import pytest

from norse.backends.chips import Chip, Layer, Limit, Network, Source, check, compared, network_of, read_chip

from .graphs import chain, conv, graph, integrate_and_fire, lif, linear, pool


def rows(network, target, limit):
    return [row for row in check(network, target).rows if row.limit == limit]


def feed_forward(inputs, hidden, outputs, weight=None):
    return chain((inputs,), linear(hidden, inputs), lif(hidden), linear(outputs, hidden, weight), lif(outputs))


def two_hidden(first, second, weight=None):
    nodes = (linear(first, 1), lif(first), linear(second, first, weight), lif(second), linear(1, second), lif(1))
    return chain((1,), *nodes)


def with_synapses(first, second, count):
    """A matrix with so many ones."""
    weight = np.zeros(second * first, np.float32)
    weight[:count] = 1
    return two_hidden(first, second, weight.reshape(first, second).T)


# What Rockpool's "Overview of the Xylo family" says of each.
XYLO = {
    # target: inputs, hidden, outputs, fan-out, synapses, input targets, output sources
    "xylo": (16, 992, 32, 1024, 63488, 128, 128),
    "xylo_audio2": (16, 1000, 8, 64, 64000, 1000, 1000),
    "xylo_imu": (16, 496, 16, 512, 31744, 128, 128),
}


@pytest.mark.parametrize("target", XYLO)
@pytest.mark.parametrize("more", [0, 1])
def test_xylo_is_met_exactly_and_crossed_by_one(target, more):
    inputs, hidden, outputs, fan_out, synapses, reached, read = (number + more for number in XYLO[target])
    networks = {
        "input_channels": feed_forward(inputs, 2, 1),
        "hidden_neurons": feed_forward(1, hidden, 1),
        "output_neurons": feed_forward(1, 1, outputs),
        "hidden_fan_out": two_hidden(1, fan_out),
        "hidden_synapses": with_synapses(300, 300, synapses),
        "input_targets": feed_forward(1, reached, 1),
        "output_sources": feed_forward(1, read, 1),
    }
    for limit, network in networks.items():
        (row,) = rows(network, target, limit)
        assert row.verdict == ("does not fit" if more else "fits"), row
        assert row.over == (1 if more else None)
        assert row.used == row.available + more


def test_xylo_reads_only_the_outputs_that_have_a_weight():
    weight = np.zeros((1, 200), np.float32)
    weight[0, :128] = 1
    assert [row.used for row in rows(feed_forward(1, 200, 1, weight), "xylo", "output_sources")] == [128]


@pytest.mark.parametrize(
    ("tau", "verdict", "text"),
    [
        (0.016, "fits", "4, 16 time steps"),
        (0.001, "fits", "1, 4 time steps"),
        (0.010, "does not fit", "tau_mem is 10 time steps; nearest on the chip 8, -20%"),
        (0.0005, "does not fit", "tau_mem is 0.5 time steps; nearest on the chip 1, +100%"),
    ],
)
def test_xylo_decays_by_shifting_bits(tau, verdict, text):
    network = chain((1,), linear(1, 1), lif(1, tau_mem=tau, tau_syn=0.004))
    assert [(row.verdict, row.text) for row in rows(network, "xylo", "time_constants")] == [(verdict, text)]


def test_time_constants_need_a_time_step():
    network = chain((1,), linear(1, 1), lif(1), dt=None)
    assert [row.verdict for row in rows(network, "xylo", "time_constants")] == ["not checked"]
    (row,) = (row for row in check(network, "xylo", dt=0.002).rows if row.limit == "time_constants")
    assert (row.verdict, row.text) == ("fits", "2, 4 time steps")


def test_xylo_has_hidden_neurons_between_input_and_outputs():
    (row,) = rows(chain((1,), linear(1, 1), lif(1)), "xylo", "structure")
    assert (row.verdict, row.layer) == ("does not fit", "n1")
    assert [row.verdict for row in rows(feed_forward(1, 1, 1), "xylo", "structure")] == ["fits"]


def test_xylo_has_loops_among_hidden_neurons_only():
    nodes = {
        "in": nir.Input(np.array([1])), "w": linear(2, 1), "hidden": lif(2), "rec": linear(2, 2), "read": linear(1, 2),
        "last": lif(1), "loop": linear(1, 1), "out": nir.Output(np.array([1])),
    }  # fmt: skip
    edges = [("in", "w"), ("w", "hidden"), ("hidden", "rec"), ("rec", "hidden"), ("hidden", "read"), ("read", "last"),
             ("last", "out")]  # fmt: skip
    network = graph(dict(nodes), [*edges, ("last", "loop"), ("loop", "last")])
    assert [row.layer for row in rows(network, "xylo", "structure")] == ["last"]
    del nodes["loop"]
    network = graph(nodes, edges)
    assert [row.verdict for row in rows(network, "xylo", "structure")] == ["fits"]
    assert [(row.verdict, row.layer) for row in rows(network, "xylo", "recurrence")] == [("fits", "hidden")]


def test_xylo_scales_each_neuron_by_itself():
    weight = np.array([[127, 1], [0.3 * 5, 0.3 * 127]], np.float32)
    network = chain((2,), linear(2, 2, weight), lif(2))
    assert [row.verdict for row in rows(network, "xylo", "weight_bits")] == ["fits"]
    assert [row.verdict for row in rows(network, "spinnaker2", "weight_bits")] == ["does not fit"]


def test_a_network_that_fits_xylo():
    report = check(feed_forward(16, 100, 8), "xylo")
    assert report.fits
    assert not report.misfits
    assert [row.limit for row in report.of("differs")] == ["reset", "reset"]
    assert str(report).startswith("XyloAudio 3 (SynSense): fits\n")


@pytest.mark.parametrize(
    ("target", "limit", "field", "most"),
    [
        ("loihi2", "neurons", "neurons", 1_048_576),
        ("loihi2", "synapses", "weights", 120_000_000),
        ("spinnaker2", "weight_memory", "weights", 152 * 128 * 1024),  # a byte each
    ],
)
@pytest.mark.parametrize("more", [0, 1])
def test_totals_of_large_chips(target, limit, field, most, more):
    """Of a network that is only summarised: its arrays would be large."""
    layers = tuple(
        Layer(f"n{k}", "LIF", (1,), (1,), (1,), **{field: size}) for k, size in enumerate((most - 5, 5 + more))
    )
    report = compared(Network(layers, {}, (), (), None), read_chip(target))
    (row,) = (row for row in report.rows if row.limit == limit)
    assert (row.verdict, row.over) == (("does not fit", 1) if more else ("fits", None))


@pytest.mark.parametrize("target", ["loihi2", "spinnaker2", *XYLO])
@pytest.mark.parametrize(("level", "verdict"), [(127, "fits"), (128, "does not fit")])
def test_8_bits(target, level, verdict):
    network = chain((2,), linear(1, 2, np.array([[level, 1]], np.float32)), lif(1))
    assert [row.verdict for row in rows(network, target, "weight_bits")] == [verdict]


def test_loihi_has_pools_with_neurons():
    network = chain((1, 2, 2), pool(2), conv(1, 1, 1), lif(1, 1, 1))
    assert [(row.verdict, row.layer) for row in rows(network, "loihi2", "pools")] == [("differs", "n0")]
    assert [row.verdict for row in rows(feed_forward(1, 1, 1), "loihi2", "pools")] == ["fits"]


@pytest.mark.parametrize(("limit", "most"), [("fan_in", 20), ("fan_out", 30)])
@pytest.mark.parametrize("more", [0, 1])
def test_chips_with_data_of_your_own(limit, most, more):
    """20 neurons feed 30: 20 synapses into each, 30 out of each."""
    source = Source("data sheet", "https://example.org")
    chip = Chip("mine", "Mine", "me", "mine", {limit: Limit(limit, most - more, "synapses", source, "1")}, ())
    report = compared(network_of(feed_forward(1, 20, 30)), chip)
    assert [(row.used, row.over) for row in report.rows] == [(most, 1 if more else None)]
    assert report.fits is not bool(more)


class TestBrainScaleS2:
    @pytest.mark.parametrize(
        ("inputs", "neurons", "used"),
        [(128, 512, 512), (128, 513, 513), (129, 256, 512), (129, 257, 514), (1, 512, 512), (784, 73, 511)],
    )
    def test_neurons_take_a_circuit_for_each_128_inputs(self, inputs, neurons, used):
        (row,) = rows(chain((inputs,), linear(neurons, inputs), lif(neurons)), "brainscales2", "circuits")
        assert (row.used, row.verdict) == (used, "fits" if used <= 512 else "does not fit")

    def test_the_vendors_example(self):
        """Partitioning of Feedforward SNNs: 784 inputs need 7 circuits each, 256 of them 2."""
        network = chain((784,), linear(256, 784), lif(256), linear(10, 256), lif(10))
        (row,) = rows(network, "brainscales2", "circuits")
        assert row.used == 256 * 7 + 10 * 2

    @pytest.mark.parametrize(("level", "verdict"), [(63, "fits"), (64, "does not fit")])
    def test_weights_are_6_bits_for_each_sign(self, level, verdict):
        network = chain((2,), linear(1, 2, np.array([[-level, 1]], np.float32)), lif(1))
        assert [row.verdict for row in rows(network, "brainscales2", "weight_bits")] == [verdict]

    def test_biases_are_refused_and_zeros_are_none(self):
        for bias, verdict in ((0, "fits"), (1, "does not fit")):
            affine = nir.Affine(np.ones((1, 2), np.float32), np.full(1, bias, np.float32))
            found = rows(chain((2,), affine, lif(1)), "brainscales2", "primitives")
            assert [row.verdict for row in found] == [verdict]


@pytest.mark.parametrize(
    ("target", "node", "fits"),
    [
        ("xylo", lif(1), True), ("xylo", integrate_and_fire(1), False),
        ("loihi2", lif(1), True), ("loihi2", nir.Threshold(np.ones(1, np.float32)), False),
        ("spinnaker2", integrate_and_fire(1), True), ("spinnaker2", nir.I(np.ones(1, np.float32)), False),
        ("brainscales2", lif(1), True), ("brainscales2", integrate_and_fire(1), False),
    ],
)  # fmt: skip
def test_neurons_that_a_chip_has(target, node, fits):
    found = rows(chain((1,), linear(1, 1), node), target, "primitives")
    assert all(row.verdict == "fits" for row in found) is fits


def test_convolutions_are_none_of_xylos():
    network = chain((1, 2, 2), conv(1, 1, 1), lif(1, 2, 2))
    assert [row.used for row in rows(network, "xylo", "primitives")] == ["Conv2d"]
