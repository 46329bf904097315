"""Xylo: a spike takes a tick from layer to layer, as xylosim 0.1.3 has it, and what that changes is said."""

import nir
import numpy as np
import pytest

from norse.backends.chips import check

from .graphs import chain, graph, lif, linear

TARGETS = ("xylo", "xylo_audio2", "xylo_imu")


def said(network, target="xylo"):
    return [(row.verdict, row.layer, row.used) for row in check(network, target).rows if row.limit == "ticks"]


def of(*edges):
    """Layers of 2 neurons that feed each other through weights; the input is "in", what feeds "out" is read."""
    nodes = {"in": nir.Input(np.array([2])), "out": nir.Output(np.array([2]))}
    made = []
    for source, target in edges:
        if target == "out":
            made.append((source, target))
            continue
        weights = f"{source}_{target}"
        nodes |= {weights: linear(2, 2), target: lif(2)}
        made += [(source, weights), (weights, target)]
    return graph(nodes, made)


@pytest.mark.parametrize("target", TARGETS)
def test_a_chain_is_later_by_a_tick_for_each_layer(target):
    layers = [node for _ in range(4) for node in (linear(2, 2), lif(2))]
    assert said(chain((2,), *layers), target) == [("fits", "", 3)]


@pytest.mark.parametrize("target", TARGETS)
def test_a_skip_past_a_layer_differs(target):
    skip = of(("in", "a"), ("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("d", "out"))
    assert said(skip, target) == [("differs", "c", [1, 2])]


def test_a_skip_of_the_input_differs():
    assert said(of(("in", "a"), ("a", "b"), ("in", "b"), ("b", "c"), ("c", "out"))) == [("differs", "b", [0, 1])]


def test_branches_of_one_length_are_the_same_spikes():
    both = of(("in", "a"), ("in", "b"), ("a", "c"), ("b", "c"), ("c", "out"))
    assert said(both) == [("fits", "", 1)]


def test_a_layer_that_feeds_itself_waits_a_tick_in_both():
    assert said(of(("in", "a"), ("a", "a"), ("a", "b"), ("b", "out"))) == [("fits", "", 1)]


def test_a_loop_of_two_layers_differs():
    loop = of(("in", "a"), ("a", "b"), ("b", "a"), ("b", "c"), ("c", "out"))
    assert [entry[:2] for entry in said(loop)] == [("differs", "a")]
