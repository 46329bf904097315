"""Any graph is summarised whole, and every chip has a report on it."""

import nir
import torch
from hypothesis import HealthCheck, given, settings

import norse
from norse.backends.chips import compared, network_of, read_chip, targets

from ..nir.random_graphs import Graph, plans


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans())
def test_every_node_is_a_layer(plan):
    example = {f"in_{k}": torch.zeros(2, plan.width) for k in range(plan.inputs)}
    graph = norse.to_nir(Graph(plan), example_input=example if plan.inputs > 1 else example["in_0"], verify=False)
    network = network_of(graph)
    nodes = {name for name, node in graph.nodes.items() if not isinstance(node, nir.Input | nir.Output)}
    assert {layer.name for layer in network.layers} == nodes
    for target in targets():
        report = compared(network, read_chip(target))
        kinds = {layer.primitive for layer in network.layers if layer.name in {row.layer for row in report.misfits}}
        assert {"Delay", "Scale", "Threshold"} & {layer.primitive for layer in network.layers} <= kinds
        assert str(report)
