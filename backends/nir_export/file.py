"""NIR files: read with what is wrong told by the node's name, written whole or not at all."""

import io
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nir

from norse.backends.nir_export.hdf5 import Damaged, NotNir, read_tree


def write_file(graph: Any, path: str | os.PathLike[str], check: Callable[[Any], None]) -> None:
    """Writes beside the target and renames, so that whatever goes wrong leaves the target as it was.

    `check` gets the graph as nir reads it from the new file, before that takes the target's place. The HDF5 library
    makes the file in memory: where it writes to a full disk itself, it ends the process (HDF5 2.0.0: a segmentation
    fault while it closes the file).
    """
    target, memory = Path(path), io.BytesIO()
    if target.is_dir():
        raise IsADirectoryError(f"norse.to_nir: {target}: is a directory, expected the name of a file in it")
    nir.write(memory, graph)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("wb") as file:
            file.write(memory.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        check(nir.read(part, type_check=False))
        part.replace(target)
    except OSError as error:
        raise OSError(error.errno, f"norse.to_nir: {target}: can't write it: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def read_file(path: str | os.PathLike[str]) -> Any:
    """The NIRGraph in a file, with its shapes not yet checked.

    Raises:
        OSError: if there is no such file, or it can't be read as HDF5.
        ValueError: if what it holds is no NIR graph; the message names the node.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"norse.from_nir: {path}: is a directory, expected a NIR file")
    if not Path(path).is_file():
        raise FileNotFoundError(f"norse.from_nir: {path}: no such file")
    try:
        tree = read_tree(path)
    except Damaged as error:
        raise OSError(f"norse.from_nir: {path}: expected a HDF5 file, can't read it: {error}") from error
    except NotNir as error:
        raise ValueError(f"norse.from_nir: {path}: {error}") from error
    content = tree.get("node")
    if not isinstance(content, dict):
        raise ValueError(f"norse.from_nir: {path}: expected a NIR file with a group called node, found none")
    return _graph(content, str(path), "")


def _graph(tree: Mapping[str, Any], path: str, inside: str) -> Any:
    where = f"norse.from_nir: {path}: " + (f"graph {inside!r}: " if inside else "")
    if tree.get("type") != "NIRGraph" or not isinstance(tree.get("nodes"), dict) or "edges" not in tree:
        raise ValueError(f"{where}expected a NIRGraph with nodes and edges, got {tree.get('type', 'no type')!s}")
    prefix = f"{inside}." if inside else ""
    nodes = {}
    for name, node in tree["nodes"].items():
        if isinstance(node, dict) and node.get("type") == "NIRGraph":
            nodes[name] = _graph(node, path, prefix + name)
        else:
            nodes[name] = _node(node, f"{where}node {name!r}")
    try:
        edges = [tuple(end.decode() if isinstance(end, bytes) else str(end) for end in edge) for edge in tree["edges"]]
    except TypeError as error:
        raise ValueError(f"{where}edges: expected pairs of names, got {error}") from error
    if any(len(edge) != 2 for edge in edges):
        raise ValueError(f"{where}edges: expected pairs of names, got {edges[0]}")
    return nir.NIRGraph(nodes, edges, metadata=tree.get("metadata", {}), type_check=False)


def _node(tree: Any, where: str) -> Any:
    kind = tree.get("type") if isinstance(tree, dict) else None
    if kind not in nir.ir.__all__ or kind in ("NIRNode", "str2NIRNode", "dict2NIRNode"):
        raise ValueError(f"{where}: expected a NIR primitive, got {kind!r}")
    try:
        return nir.dict2NIRNode(dict(tree))
    except Exception as error:  # what nir's constructors raise: AssertionError, TypeError, KeyError, ...
        raise ValueError(f"{where} ({kind}): {error or type(error).__name__}") from error
