"""Small NIR graphs, written by hand."""

from itertools import pairwise

import nir
import numpy as np

DT = 0.001


def chain(shape, *nodes, dt=DT):
    """Input, the nodes one after the other (n0, n1, ...), Output."""
    names = ["input", *(f"n{k}" for k in range(len(nodes))), "output"]
    ends = (nir.Input(np.array(shape)), nir.Output(np.array([1])))
    everything = dict(zip(names, (ends[0], *nodes, ends[1]), strict=True))
    return graph(everything, list(pairwise(names)), dt)


def graph(nodes, edges, dt=DT):
    return nir.NIRGraph(nodes, edges, metadata={} if dt is None else {"dt": dt}, type_check=False)


def lif(*shape, tau_mem=0.008, tau_syn=0.004, v_reset=0.0):
    ones = np.ones(shape, np.float32)
    return nir.CubaLIF(
        tau_syn=ones * tau_syn,
        tau_mem=ones * tau_mem,
        r=ones,
        v_leak=ones * 0,
        v_threshold=ones,
        v_reset=ones * v_reset,
        w_in=ones * tau_syn / DT,
    )


def integrate_and_fire(*shape, v_reset=0.0):
    ones = np.ones(shape, np.float32)
    return nir.IF(r=ones, v_threshold=ones, v_reset=ones * v_reset)


def linear(outputs, inputs, weight=None):
    return nir.Linear(np.ones((outputs, inputs), np.float32) if weight is None else weight)


def conv(out, inp, kernel, stride=1, padding=0, bias=None, weight=None, groups=1, dilation=1):
    kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    weight = np.ones((out, inp // groups, *kernel), np.float32) if weight is None else weight
    bias = np.zeros(out, np.float32) if bias is None else bias.astype(np.float32)
    return nir.Conv2d(None, weight, stride, padding, dilation, groups, bias)


def pool(kernel, stride=None, padding=0):
    pair = [np.array([size, size]) for size in (kernel, kernel if stride is None else stride, padding)]
    return nir.SumPool2d(*pair)
