"""Speck: each limit met exactly and crossed by one; memory as the vendor's tool counts it."""

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest

import norse
from norse.backends.chips import check, network_of
from norse.backends.chips.chip import read_chip
from norse.backends.chips.convolution import convolutions
from norse.backends.chips.cores import kernel_memory, neuron_memory

from .graphs import chain, conv, graph, integrate_and_fire, lif, linear, pool

CNN = Path(__file__).parents[1] / "data" / "nir" / "cnn_sinabs.nir"


def rows(graph, limit):
    return [row for row in check(graph, "speck").rows if row.limit == limit]


def layer(out, inp, size, kernel=1, **options):
    """A convolution and its neurons, with a map of the given size."""
    made = conv(out, inp, kernel, **options)
    return made, integrate_and_fire(out, *size)


def one(out, inp, size, result=None, **options):
    return chain((inp, *size), *layer(out, inp, size if result is None else result, **options))


def weights(*levels):
    return np.array(levels, np.float32).reshape(1, 1, 1, -1)


BOUNDARIES = [
    # limit, a network that meets it, one that crosses it, by how much
    ("layers", [one(1, 1, (2, 2)), 9], [one(1, 1, (2, 2)), 10], 1),
    ("channels", one(1, 1024, (2, 2)), one(1, 1025, (2, 2)), 1),
    ("channels", one(1024, 1, (2, 2)), one(1025, 1, (2, 2)), 1),
    ("core_kernels", one(1024, 64, (2, 2)), one(1024, 65, (2, 2)), 1024),
    ("core_neurons", one(16, 1, (64, 64)), one(17, 1, (64, 64)), 4096),
    ("core_biases", one(1024, 1, (1, 1), bias=np.ones(1024)), one(1025, 1, (1, 1), bias=np.ones(1025)), 1),
    ("weight_bits", one(1, 1, (2, 2), (2, 1), kernel=(1, 2), weight=weights(127, 1)),
     one(1, 1, (2, 2), (2, 1), kernel=(1, 2), weight=weights(128, 1)), 1),
]  # fmt: skip


def built(network):
    """A graph; of [a layer, n], n of them in a chain."""
    if not isinstance(network, list):
        return network
    once, times = network
    nodes = [node for _ in range(times) for node in (once.nodes["n0"], once.nodes["n1"])]
    return chain(tuple(once.nodes["input"].input_type["input"]), *nodes)


@pytest.mark.parametrize(("limit", "exact", "crossing", "over"), BOUNDARIES, ids=[row[0] for row in BOUNDARIES])
def test_numbers_are_met_exactly_and_crossed_by_one(limit, exact, crossing, over):
    said = "core_kernels" if limit.startswith("core_") else limit  # what fits a core is said in one row
    assert [row.verdict for row in rows(built(exact), said)] == ["fits"]
    assert [row.over for row in rows(built(crossing), limit) if row.verdict == "does not fit"] == [over]


@pytest.mark.parametrize(
    ("limit", "exact", "crossing", "used"),
    [
        ("kernel_size", one(1, 1, (20, 20), (5, 5), kernel=16), one(1, 1, (20, 20), (4, 4), kernel=17), [17, 17]),
        ("kernel_size", one(1, 1, (20, 20), (5, 5), kernel=16), one(1, 1, (20, 20), (5, 4), kernel=(16, 17)), [16, 17]),
        ("kernel_shape", one(1, 1, (5, 5), (3, 3), kernel=3), one(1, 1, (5, 5), (3, 4), kernel=(3, 2)), [3, 2]),
        ("map_size", one(1, 1, (64, 64)), one(1, 1, (64, 65)), [64, 65]),
        (
            "input_size",
            one(1, 1, (128, 128), (64, 64), stride=2),
            one(1, 1, (129, 128), (65, 64), stride=2),
            [129, 128],
        ),
        ("input_size", one(1, 1, (9, 128), (5, 64), stride=2), one(1, 1, (9, 129), (5, 65), stride=2), [9, 129]),
        ("strides", one(1, 1, (9, 9), (2, 2), stride=8), one(1, 1, (9, 9), (3, 3), stride=3), [3, 3]),
        ("paddings", one(1, 1, (2, 2), (16, 16), padding=7), one(1, 1, (2, 2), (18, 18), padding=8), [8, 8]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sizes_are_met_exactly_and_crossed(limit, exact, crossing, used):
    assert [row.verdict for row in rows(exact, limit)] == ["fits"]
    assert [(row.verdict, row.used) for row in rows(crossing, limit)] == [("does not fit", used)]


@pytest.mark.parametrize(
    ("made", "fits"), [(pool(4), True), (pool(3), False), (pool(4, 2), False), (pool(2, 2, 1), False)]
)
def test_pools_are_of_1_2_or_4_and_do_not_overlap(made, fits):
    network = chain((1, 12, 12), *layer(1, 1, (12, 12)), made)
    assert all(row.verdict == "fits" for row in rows(network, "pool_sizes")) is fits


@pytest.mark.parametrize(("targets", "verdict"), [(2, "fits"), (3, "does not fit")])
def test_a_core_sends_to_two(targets, verdict):
    first = layer(1, 1, (2, 2))
    nodes = {"in": nir.Input(np.array([1, 2, 2])), "a": first[0], "b": first[1], "out": nir.Output(np.array([1, 2, 2]))}
    edges = [("in", "a"), ("a", "b")]
    for k in range(targets):
        nodes |= dict(zip((f"c{k}", f"d{k}"), layer(1, 1, (2, 2)), strict=True))
        edges += [("b", f"c{k}"), (f"c{k}", f"d{k}"), (f"d{k}", "out")]
    assert [row.verdict for row in rows(graph(nodes, edges), "destinations")] == [verdict]


def test_memory_is_counted_as_in_the_vendors_example():
    """Sinabs documentation, Speck, Overview: 16 to 32 channels, 3x3 at 64x64: 8 Ki weights, 128 Ki neurons."""
    network = network_of(one(32, 16, (64, 64), kernel=3, padding=1))
    (made,) = convolutions(network, read_chip("speck"))
    assert (kernel_memory(made), neuron_memory(made)) == (8 * 1024, 128 * 1024)
    found = rows(one(32, 16, (64, 64), kernel=3, padding=1), "core_neurons")
    assert [(row.used, row.available) for row in found] == [(131072, 65536)]


def test_memory_is_counted_as_sinabs_counts_it():
    """What memory_summary() of sinabs 3.1.3 gives for these layers, DynapcnnNetwork having been run on them."""
    nodes = (
        conv(20, 3, 5, padding=2), integrate_and_fire(20, 24, 20),
        conv(33, 20, 7, 2, 3), integrate_and_fire(33, 12, 10),
    )  # fmt: skip
    made = convolutions(network_of(chain((3, 24, 20), *nodes)), read_chip("speck"))
    assert [kernel_memory(entry) for entry in made] == [3072, 81920]
    assert [neuron_memory(entry) for entry in made] == [20480, 8448]
    made = convolutions(network_of(CNN), read_chip("speck"))
    assert [kernel_memory(entry) for entry in made] == [1024, 4096, 2048, 32768, 4096]
    assert [neuron_memory(entry) for entry in made] == [4096, 4096, 512, 256, 10]


def test_a_core_needs_room_for_weights_and_neurons():
    """No core has 64 Ki weights and more than 16 Ki neurons."""
    network = one(1024, 64, (4, 4))
    assert [row.verdict for row in rows(network, "core_kernels")] == ["fits"]
    network = one(1024, 64, (4, 5))
    (row,) = rows(network, "core_kernels")
    assert row.verdict == "does not fit"
    assert "65,536 weights and 32,768 neurons, no core has room for both" in row.text


@pytest.mark.parametrize(("layers", "verdict"), [(2, "fits"), (3, "does not fit")])
def test_layers_do_not_share_a_core(layers, verdict):
    """Two cores have 64 Ki weights."""
    nodes = [node for _ in range(layers) for node in layer(256, 256, (1, 1))]
    (row,) = rows(chain((256, 1, 1), *nodes), "core_kernels")
    assert row.verdict == verdict
    if layers == 3:
        assert (row.used, row.available, row.over) == (3, 2, 1)


@pytest.mark.parametrize(("last", "verdict"), [(128, "fits"), (129, "does not fit")])
def test_nine_layers_that_fill_the_kernels_of_all_cores(last, verdict):
    """64 Ki, 64 Ki, 32 Ki, 32 Ki and five times 16 Ki weights; 129 x 128 is 128 more than the ninth has."""
    sizes = [(128, 512), (512, 128), (128, 256), (256, 128), *[(128, 128)] * 4, (128, last)]
    network = parallel([layer(out, inp, (1, 1)) for out, inp in sizes], [inp for _, inp in sizes])
    (row,) = rows(network, "core_kernels")
    assert row.verdict == verdict, row.text
    assert row.over == (1 if verdict == "does not fit" else None)


def parallel(layers, channels):
    """Each layer with an input and an output of its own."""
    nodes, edges = {}, []
    for k, ((weights, neurons), inp) in enumerate(zip(layers, channels, strict=True)):
        ends = {
            f"i{k}": nir.Input(np.array([inp, 1, 1])),
            f"o{k}": nir.Output(np.array([weights.weight.shape[0], 1, 1])),
        }
        nodes |= ends | {f"w{k}": weights, f"n{k}": neurons}
        edges += [(f"i{k}", f"w{k}"), (f"w{k}", f"n{k}"), (f"n{k}", f"o{k}")]
    return graph(nodes, edges)


def test_cores_have_as_many_neurons_as_the_chips_designers_say():
    """O. Richter et al., Speck: ... with a low latency 327K Neuron ... Pipeline, arXiv:2304.06793."""
    assert sum(read_chip("speck").limits["core_neurons"].value) == 320 * 1024


def test_a_large_layer_behind_a_small_one_takes_the_large_core():
    """Matched in any order: 9 layers for 9 cores, the largest last."""
    nodes = [node for out, inp in [*[(128, 128)] * 5, *[(256, 128)], *[(128, 256)], *[(512, 128)], *[(128, 512)]]
             for node in layer(out, inp, (1, 1))]  # fmt: skip
    (row,) = rows(chain((128, 1, 1), *nodes), "core_kernels")
    assert row.verdict == "fits", row.text


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ((conv(1, 1, 1), conv(1, 1, 1), integrate_and_fire(1, 2, 2)), "expected one layer of neurons after it"),
        ((*layer(1, 1, (2, 2)), conv(1, 1, 1)), "expected one layer of neurons after it, got none"),
        ((integrate_and_fire(1, 2, 2),), "expected one layer of weights before it, got none"),
        ((conv(1, 1, 1), pool(2), integrate_and_fire(1, 1, 1)), "expected neurons or the input before it"),
    ],
)
def test_the_order_in_a_core(nodes, text):
    found = [row.text for row in rows(chain((1, 2, 2), *nodes), "order") if row.verdict == "does not fit"]
    assert any(text in entry for entry in found), found


def test_the_input_may_be_pooled():
    assert [row.verdict for row in rows(chain((1, 2, 2), pool(2), *layer(1, 1, (1, 1))), "order")] == ["fits"]


def test_neurons_that_it_has_not():
    (row,) = rows(chain((1, 2, 2), conv(1, 1, 1), lif(1, 2, 2)), "primitives")
    assert (row.verdict, row.layer, row.used) == ("does not fit", "n1", "CubaLIF")


def test_what_it_computes_otherwise():
    network = chain((1, 2, 2), conv(1, 1, 1, bias=np.ones(1, np.float32)), integrate_and_fire(1, 2, 2, v_reset=0.5))
    assert [row.verdict for row in rows(network, "biases")] == ["differs"]
    (row,) = rows(network, "reset")
    assert row.verdict == "differs"
    assert "to 0.5, the chip to zero or by subtracting" in row.text


def test_loops_are_placed_by_hand():
    nodes = {
        "in": nir.Input(np.array([2])), "w": linear(2, 2), "if": integrate_and_fire(2), "rec": linear(2, 2),
        "out": nir.Output(np.array([2])),
    }  # fmt: skip
    edges = [("in", "w"), ("w", "if"), ("if", "rec"), ("rec", "if"), ("if", "out")]
    (row,) = rows(graph(nodes, edges), "recurrence")
    assert (row.verdict, row.layer) == ("differs", "if")


class TestTheRealFile:
    def test_fits_but_for_its_weights(self):
        report = norse.check(CNN, "speck")
        assert not report.fits
        assert {row.limit for row in report.misfits} == {"weight_bits"}
        assert [row.layer for row in report.misfits] == ["0", "2", "5", "9", "11"]
        assert all("norse.quantize(model, bits=8)" in row.text for row in report.misfits)

    def test_fits_when_they_are_rounded(self):
        graph = nir.read(CNN)
        for node in graph.nodes.values():
            if hasattr(node, "weight"):
                scale = np.abs(node.weight).max() / np.float32(127)
                node.weight = np.round(node.weight / scale) * scale
        report = norse.check(graph, "speck")
        assert report.fits, report
        (row,) = (row for row in report.rows if row.limit == "weight_bits")
        assert (row.verdict, row.used) == ("fits", 8)

    def test_scales_that_differ_in_a_layer_are_said(self):
        graph = nir.read(CNN)
        node = graph.nodes["11"]
        scale = np.abs(node.weight).max(1, keepdims=True) / np.float32(127)
        node.weight = (np.round(node.weight / scale) * scale).astype(np.float32)
        (row,) = (row for row in norse.check(graph, "speck").misfits if row.layer == "11")
        assert "8 with one for each output, which the chip has not" in row.text


def test_rows_name_their_source():
    report = check(CNN, "speck")
    for row in report.rows:
        if row.limit:
            assert row.url.startswith("https://") and row.source and row.section
    assert replace(report, rows=()).fits
