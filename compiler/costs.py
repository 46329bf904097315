"""What a piece of a compiled model costs, computed from its nodes and tensors: bytes, floating point operations."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from norse.compiler.ir import Graph, Node
from norse.compiler.ops import OPS, arithmetic, comparison, product
from norse.compiler.region import Kernel, Kind, RegionProgram
from norse.compiler.steps.loop import LoopStep

_COUNTED = (arithmetic, product, comparison)  # of an op's type rule: all else selects, converts or copies


@dataclass(frozen=True)
class Extent:
    """How much a loop runs over: ticks, and the elements (samples times neurons) of one tick."""

    ticks: int
    elements: int

    @property
    def all(self) -> int:
        return self.ticks * self.elements


def size_of(tensors: Iterable[Any]) -> int:
    """Bytes of tensors, each once; what is expanded counts as what is in memory."""
    found: dict[Any, int] = {}
    for x in tensors:
        if isinstance(x, Tensor) and not x.is_sparse:
            held = (size for size, stride in zip(x.shape, x.stride(), strict=True) if stride)
            count = 1 if x.numel() else 0
            for size in held if count else ():
                count *= size
            found[x.data_ptr(), x.shape, x.stride()] = count * x.element_size()
        elif isinstance(x, Tensor):
            found[id(x)] = size_of([x._indices(), x._values()])
    return sum(found.values())


def extent(loop: LoopStep, read: Mapping[str, Tensor], made: Mapping[str, Tensor]) -> Extent:
    """Of a loop's call, by the tensors that it read and made, under the names that they have in the model."""
    outer, graph = loop.tick.outer, loop.tick.graph
    ticks = read[outer[loop.tick.varying[0]]].shape[0] if loop.tick.over_time else 1
    rows = [made[outer[name]].numel() // max(ticks, 1) for name in graph.outputs if loop.tick.over_time]
    rows += [made[outer[name]].numel() for name in graph.outputs if not loop.tick.over_time]
    rows += [made[f"final {outer[register.value]}"].numel() for register in graph.registers]
    return Extent(ticks, max(rows, default=0))


def program_of(loop: LoopStep, backward: bool) -> RegionProgram | None:
    """The loop's kernels as last built, if a kernel runs it."""
    fitting = [program for _, program in loop.built if (program.backward is not None) == backward]
    return fitting[-1] if fitting and not loop.reason else None


def loop_operations(graph: Graph, over: Extent, matrices: Mapping[str, tuple[int, ...]]) -> int:
    """Arithmetic and comparisons of a loop, one each, exp and its kin too; matrices in full, as if none was silent."""
    turned = {n.output: n.uses[0] for n in graph.nodes if n.op == "transpose"}
    matrices = {**matrices, **{n: matrices[of][::-1] for n, of in turned.items() if of in matrices}}
    return sum(_operations(node, graph, over, matrices) for node in graph.nodes)


def _operations(node: Node, graph: Graph, over: Extent, matrices: Mapping[str, tuple[int, ...]]) -> int:
    if node.op == "custom":
        forward: Graph = node.attrs["_forward"]
        inner = {name: matrices[use] for name, use in zip(forward.inputs, node.uses, strict=True) if use in matrices}
        return loop_operations(forward, over, inner)
    if node.op in ("vecmat", "linear"):
        rows, columns = matrices[node.uses[1].removesuffix("_transposed")]
        return 2 * rows * columns * over.all // max(rows, 1)
    if node.op not in OPS or OPS[node.op].result not in _COUNTED:
        return 0
    known = graph.types.get(node.outputs[0])
    return over.ticks if known is not None and not known.axes else over.all


def torch_operations(nodes: Iterable[Node], values: Mapping[str, Any]) -> int:
    """Elementwise arithmetic that torch runs; its matrix products and convolutions are torch's to count."""
    counted = (n.outputs[0] for n in nodes if n.op in OPS and OPS[n.op].result in _COUNTED)
    return sum(values[name].numel() for name in counted if name in values)


def kernel_bytes(kernel: Kernel, over: Extent, matrices: Mapping[str, tuple[int, ...]]) -> int:
    """What a kernel reads and writes, each value once: inputs, initial and last states, outputs."""
    graph = kernel.graph
    counts = {Kind.TICK: over.all, Kind.ROW: over.elements, Kind.SCALAR: 1, Kind.KEY: 1}
    total = 0
    for name in graph.inputs:
        rows, columns = matrices.get(name.removesuffix("_transposed"), (0, 0))
        total += _itemsize(kernel, name) * counts.get(kernel.kinds[name], rows * columns)
    total += sum(over.all * _itemsize(kernel, name) for name in graph.outputs)
    return total + sum(2 * over.elements * _itemsize(kernel, register.value) for register in graph.registers)


def _itemsize(kernel: Kernel, name: str) -> int:
    return torch.empty((), dtype=kernel.dtype(name)).element_size()
