"""What is in a NIR file: its nodes with shapes and parameters, its edges, and whether it can be run."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from norse.backends.nir_export.build import read_in_dialect
from norse.backends.nir_export.cycles import Edge
from norse.backends.nir_export.diagram import flattened
from norse.backends.nir_export.file import read_file
from norse.backends.nir_export.spoken import spoken_in


@dataclass(frozen=True)
class NodeDescription:
    """A node: its primitive, the shape of what it gives for one sample (None: unknown), and its parameters.

    Args:
        name: of subgraphs with the graph's in front.
        primitive: its type in NIR.
        shape: without time and batch.
        parameters: each as text: a number, or a range and a shape.
        numbers: how many its arrays hold.
    """

    name: str
    primitive: str
    shape: tuple[int, ...] | None
    parameters: Mapping[str, str]
    numbers: int


@dataclass(frozen=True)
class Description:
    """A file, its parameters as they stand there.

    `waiting` are the edges that carry the last tick's value; `problem` says why it can't be run, if so; `read_as` in
    which tool's words it was read for that, and `doubt` what speaks for another's.
    """

    nodes: tuple[NodeDescription, ...]
    edges: tuple[Edge, ...]
    waiting: frozenset[Edge]
    metadata: Mapping[str, Any]
    repairs: tuple[str, ...] = ()
    problem: str | None = None
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    read_as: str = ""
    doubt: str = ""


def describe(path: str | os.PathLike[str], dialect: str | None = None) -> Description:
    """Reads and describes a file.

    Args:
        path: a NIR file.
        dialect: the tool that wrote it; None means what the file says, or NIR.

    Raises:
        OSError: if there is no such file, or it is no HDF5 file, or damaged.
        ValueError: if it is no NIR graph, or the dialect is none. A graph that can't be run is described, with its
            `problem`.
    """
    graph = read_file(path)
    spoken = spoken_in(graph, dialect, "norse.from_nir")
    metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
    shapes: Mapping[str, tuple[int, ...]] = {}
    waiting: frozenset[Edge] = frozenset()
    problem = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read, _ = read_in_dialect(graph, spoken.dialect)
            shapes, waiting = read.shapes, read.diagram.delayed
            said, _ = flattened(graph, "")
            nodes, edges = {name: said[name] for name in read.diagram.order()}, list(read.diagram.edges)
        except ValueError as error:
            problem = str(error)
            nodes, edges = _as_it_is(graph)
    repairs = tuple(str(warning.message).removeprefix("norse.from_nir: ") for warning in caught)
    rows = tuple(_described(name, node, shapes.get(name)) for name, node in nodes.items())
    inputs = {row.name: row.shape for row in rows if row.primitive == "Input" and row.shape is not None}
    told = (str(spoken), spoken.doubt)
    return Description(rows, tuple(edges), waiting, metadata, repairs, problem, inputs, *told)


def _as_it_is(graph: Any) -> tuple[dict[str, Any], list[Edge]]:
    try:
        return flattened(graph, "")
    except ValueError:  # an edge to nowhere
        return dict(graph.nodes), [(str(a), str(b)) for a, b in graph.edges]


def _described(name: str, node: Any, shape: tuple[int, ...] | None) -> NodeDescription:
    values = {key: value for key, value in vars(node).items() if key not in ("metadata", "input_type", "output_type")}
    if isinstance(node, nir.NIRGraph):
        values = {}
    arrays = [np.asarray(value) for value in values.values() if isinstance(value, np.ndarray)]
    if shape is None:
        said = (node.output_type or {}).get("output") if not isinstance(node, nir.NIRGraph) else None
        shape = None if said is None else tuple(int(size) for size in np.atleast_1d(said))
    parameters = {key: _text(value) for key, value in values.items()}
    return NodeDescription(name, type(node).__name__, shape, parameters, sum(array.size for array in arrays))


def _text(value: Any) -> str:
    """0.01, 0.1..0.3 [4], same."""
    if isinstance(value, bytes | str):
        return value if isinstance(value, str) else value.decode("utf8", "replace")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or not array.size:
        return str(value)
    shape = f" [{', '.join(map(str, array.shape))}]" if array.ndim else ""
    low, high = array.min(), array.max()
    if array.ndim == 1 and array.size <= 2 and array.dtype.kind in "iu":
        return "×".join(map(str, array.tolist()))
    return f"{low:.4g}{shape}" if low == high else f"{low:.4g}..{high:.4g}{shape}"
