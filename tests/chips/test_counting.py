"""Synapses are counted as loops over all pairs of neurons count them."""

import itertools

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norse.backends.chips import network_of

from .graphs import chain, conv, graph, integrate_and_fire, lif, linear, pool


def layer(network, name):
    return next(entry for entry in network.layers if entry.name == name)


def counted(weight, size, stride, padding, groups):
    """Fan-in, fan-out and synapses of a convolution, by the definition of one."""
    out, inside, height, width = weight.shape
    rows, columns = ((n + 2 * padding - k) // stride + 1 for n, k in zip(size, (height, width), strict=True))
    into = np.zeros((out, rows, columns), int)
    out_of = np.zeros((inside * groups, *size), int)
    for f, r, c, i, y, x in itertools.product(*map(range, (out, rows, columns, inside, height, width))):
        source = (f // (out // groups) * inside + i, r * stride + y - padding, c * stride + x - padding)
        if weight[f, i, y, x] and 0 <= source[1] < size[0] and 0 <= source[2] < size[1]:
            into[f, r, c] += 1
            out_of[source] += 1
    return int(into.max()), int(out_of.max()), int(into.sum())


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    groups=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_of_convolutions(size, kernel, stride, padding, groups, seed):
    weight = np.random.default_rng(seed).integers(0, 3, (4, 2 // groups, *kernel)).astype(np.float32)
    fan_in, fan_out, synapses = counted(weight, size, stride, padding, groups)
    out = tuple((n + 2 * padding - k) // stride + 1 for n, k in zip(size, kernel, strict=True))
    nodes = (
        integrate_and_fire(2, *size),
        conv(4, 2, kernel, stride, padding, weight=weight, groups=groups),
        integrate_and_fire(4, *out),
    )
    network = network_of(chain((2, *size), *nodes))
    assert layer(network, "n2").fan_in == fan_in
    assert layer(network, "n0").fan_out == fan_out
    assert [c.synapses for c in network.connections if (c.source, c.target) == ("n0", "n2")] == [synapses]


def test_of_linear_layers_zeros_are_no_synapses():
    weight = np.array([[1, 0, 2], [0, 0, 3]], np.float32)
    network = network_of(chain((3,), lif(3), linear(2, 3, weight), lif(2)))
    assert layer(network, "n2").fan_in == 2
    assert layer(network, "n0").fan_out == 2
    (connection,) = (c for c in network.connections if c.target == "n2")
    assert (connection.synapses, connection.senders) == (3, 2)


def test_through_a_pool_all_that_it_adds_up():
    nodes = (integrate_and_fire(1, 4, 4), pool(2), nir.Flatten({"input": np.array([1, 2, 2])}, 0, -1), linear(3, 4))
    network = network_of(chain((1, 4, 4), *nodes, integrate_and_fire(3)))
    assert layer(network, "n4").fan_in == 16
    assert layer(network, "n0").fan_out == 3
    assert layer(network, "n3").map_in == (1, 2, 2)


def test_of_a_recurrent_layer_its_own_spikes_too():
    nodes = {
        "in": nir.Input(np.array([3])),
        "w": linear(5, 3),
        "lif": lif(5),
        "rec": linear(5, 5, 1 - np.eye(5, dtype=np.float32)),
        "out": nir.Output(np.array([5])),
    }
    network = network_of(graph(nodes, [("in", "w"), ("w", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "out")]))
    neurons = layer(network, "lif")
    assert (neurons.fan_in, neurons.fan_out, neurons.recurrent, neurons.role) == (3 + 4, 4, True, "output")
    assert [(c.source, c.target, c.synapses) for c in network.connections] == [("in", "lif", 15), ("lif", "lif", 20)]


def test_of_branches_that_join_both():
    nodes = {
        "in": nir.Input(np.array([2])),
        "a": lif(2),
        "b": linear(3, 2),
        "c": linear(3, 2),
        "d": lif(3),
        "out": nir.Output(np.array([3])),
    }
    edges = [("in", "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "out")]
    network = network_of(graph(nodes, edges))
    assert layer(network, "d").fan_in == 4
    assert layer(network, "a").fan_out == 6
    assert [entry.role for entry in network.neurons] == ["hidden", "output"]


def test_a_loop_without_neurons_is_gone_round_once():
    nodes = {
        "in": nir.Input(np.array([2])),
        "a": nir.Scale(np.ones(2, np.float32)),
        "b": nir.Delay(np.full(2, 0.002, np.float32)),
        "c": linear(3, 2),
        "d": lif(3),
        "out": nir.Output(np.array([3])),
    }
    edges = [("in", "a"), ("a", "b"), ("b", "a"), ("a", "c"), ("c", "d"), ("d", "out")]
    assert layer(network_of(graph(nodes, edges)), "d").fan_in == 2


def test_what_only_comes_round_a_loop_is_a_layer_too():
    nodes = {
        "in": nir.Input(np.array([2])),
        "a": linear(2, 2),
        "wait": nir.Delay(np.full(2, 0.002, np.float32)),
        "b": linear(2, 2),
        "out": nir.Output(np.array([2])),
    }
    network = network_of(graph(nodes, [("in", "a"), ("a", "wait"), ("wait", "b"), ("b", "a"), ("a", "out")]))
    assert {entry.name for entry in network.layers} == {"a", "wait", "b"}


def test_absurd_sizes_are_refused():
    with pytest.raises(ValueError, match="at most"):
        network_of(chain((2**25,), nir.Scale(np.ones(1, np.float32))))
