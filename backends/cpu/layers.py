"""The layers over all ticks that this backend runs in its own way."""

from functools import cache

import torch
from torch import nn

from norse.backends.cpu.build import NUMBERS, begin, runtime_source
from norse.backends.cpu.convolution import Convolution
from norse.backends.cpu.fused_layer import FusedLayers
from norse.backends.cpu.pooling import average
from norse.backends.cpu.synapse import Linear, Sparse
from norse.compiler.ir import Graph
from norse.compiler.steps.torch_nodes import Synapses, has_weights
from norse.torch.module.quantized import QuantizedConv1d, QuantizedConv2d, QuantizedLinear


def synapses(sparse: Sparse) -> Synapses:
    """Event-driven as far as the user wants it. Average pooling has torch's bits either way."""
    if not sparse:
        return Synapses(layers={nn.AvgPool2d: average})
    linear, convolution = Linear(sparse), Convolution(sparse)
    return Synapses(
        linear,
        {
            **dict.fromkeys((nn.Linear, QuantizedLinear), linear.layer),
            **dict.fromkeys((nn.Conv1d, nn.Conv2d, QuantizedConv1d, QuantizedConv2d), convolution),
            nn.AvgPool2d: average,
        },
        FusedLayers(sparse),
        _build_ahead,
    )


def _build_ahead(graph: Graph) -> None:
    """Begins to build what linear layers and the loops behind them run on: one after the other it would take twice as
    long."""
    _begin("driver")
    _begin("lists")
    for node in filter(has_weights, graph.nodes):
        dtype = graph.types[node.output].dtype
        if dtype in NUMBERS:
            _begin("synapse", dtype)
            for name in ("convolution", "fused_convolution", "pooling") if "Conv" in node.op else ("fused_linear",):
                _begin(name, dtype)


@cache
def _begin(name: str, dtype: torch.dtype | None = None) -> None:
    """Once in a process: to find that a library is there reads all headers, 0.6 ms."""
    begin(runtime_source(name, dtype))
