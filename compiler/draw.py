"""Draws a graph with Graphviz: operations with types on the edges between them; what crosses a tick is dashed."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from norse.compiler.ir import Graph, Node

SUFFIXES = ("dot", "svg", "png", "pdf")
_HIDDEN = ("parameter", "initial_state", "last", "enter", "leave")  # of no interest in a drawing of the network


@dataclass(frozen=True)
class Box:
    """An operation, an input or an output. `region` is the frame that it stands in."""

    label: str
    shape: str = "box"
    fill: str = "white"
    region: str = ""


@dataclass
class Drawing:
    """Boxes by their own names, and edges `(from, to, label, dashed)`: a dashed one leads to the next tick."""

    boxes: dict[str, Box] = field(default_factory=dict)
    edges: dict[tuple[str, str, str, bool], None] = field(default_factory=dict)


def draw(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Writes a drawing; the file's suffix says as what: dot, svg, png or pdf.

    Raises:
        ValueError: if the suffix is none of them.
        ModuleNotFoundError: without pydot.
        RuntimeError: if Graphviz is missing, or fails.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in SUFFIXES:
        raise ValueError(f"Graph.draw: argument path: expects a file that ends in .{', .'.join(SUFFIXES)}, got {path}")
    _write_whole(path, _rendered(_as_dot(drawing(graph)), kind))


def drawing(graph: Graph) -> Drawing:
    """What is drawn: of the network its layers, of the tick level all operations in frames for their regions."""
    hidden = _HIDDEN if any("_step" in node.attrs for node in graph.nodes) else ("parameter",)
    return _Drawer(graph, hidden).drawing()


class _Drawer:
    def __init__(self, graph: Graph, hidden: tuple[str, ...]) -> None:
        self.graph, self.hidden, self.made = graph, hidden, Drawing()
        self.home: dict[str, str] = {}  # value -> the box that makes it; hidden ones hand on what they read

    def drawing(self) -> Drawing:
        for index, name in enumerate(self.graph.inputs):
            self._box(f"input{index}", Box(name, "ellipse"), (name,))
        for index, node in enumerate(self.graph.nodes):
            if node.op in self.hidden:
                self._hide(node)
            else:
                self._box(f"node{index}", _box(node), node.outputs)
        for index, node in enumerate(self.graph.nodes):
            if node.op not in self.hidden:
                self._uses(f"node{index}", node)
        for index, name in enumerate(self.graph.outputs):
            source = self.home.get(name)
            if source is not None and not self._only_a_state(name):
                self.made.boxes[f"output{index}"] = Box("output", "ellipse")
                self._edge(source, f"output{index}", name)
        return self.made

    def _box(self, key: str, box: Box, values: tuple[str, ...]) -> None:
        self.made.boxes[key] = box
        self.home.update(dict.fromkeys(values, key))

    def _hide(self, node: Node) -> None:
        if node.op in ("enter", "leave", "last") and node.uses[0] in self.home:
            self.home[node.output] = self.home[node.uses[0]]

    def _uses(self, key: str, node: Node) -> None:
        registers = {register.value: register for register in self.graph.registers}
        for name in node.uses:
            register = registers.get(name)
            source = self.home.get(name if register is None else register.next)
            if source is not None:
                self._edge(source, key, name, dashed=register is not None)
            if register is not None and register.initial in self.home:
                self.made.edges[self.home[register.initial], key, f"{name}, at first", False] = None
        if "_step" in node.attrs and node.attrs["_over_time"]:  # its registers are its own
            held = ", ".join(re.sub(r"(_\d+)+$", "", name) for name in node.uses if self._starts(name))
            if held:
                self.made.edges[key, key, held, True] = None

    def _edge(self, source: str, target: str, name: str, dashed: bool = False) -> None:
        type_ = self.graph.types.get(name)
        label = f"{name}: {type_}" if dashed else str(type_ or "")
        self.made.edges[source, target, label, dashed] = None

    def _starts(self, name: str) -> bool:
        """Whether a value is a state's at the first tick."""
        return any(node.op == "initial_state" and name in node.outputs for node in self.graph.nodes)

    def _only_a_state(self, name: str) -> bool:
        """Last states are results too; drawn, each layer would have an arrow to the end."""
        return "last" in self.hidden and any(node.op == "last" and name in node.outputs for node in self.graph.nodes)


def _box(node: Node) -> Box:
    label = str(node.attrs.get("_class") or node.attrs.get("target") or node.attrs.get("function") or node.op)
    path = node.attrs.get("_path")
    if path is not None:
        label = f"{path}\n{label}" if path else label
    fill = "lightblue" if "_step" in node.attrs else "mistyrose" if node.op == "eager" else "white"
    return Box(label, fill=fill, region=node.region)


def _as_dot(drawn: Drawing) -> Any:
    try:
        import pydot
    except ModuleNotFoundError as missing:
        if missing.name != "pydot":
            raise
        message = "Graph.draw: the package pydot is missing; pip install -e '.[viz]' in a clone"
        raise ModuleNotFoundError(message, name="pydot") from None
    dot = pydot.Dot(graph_type="digraph", rankdir="TB", fontname="sans-serif")
    dot.set_node_defaults(fontname="sans-serif", style="filled", fillcolor="white")
    dot.set_edge_defaults(fontname="sans-serif", fontsize="10")
    for index, (region, boxes) in enumerate(_frames(drawn)):
        frame: Any = pydot.Cluster(f"region{index}", label=_quoted(region), fontname="sans-serif") if region else dot
        for key in boxes:
            box = drawn.boxes[key]
            frame.add_node(pydot.Node(key, label=_quoted(box.label), shape=box.shape, fillcolor=box.fill))
        if region:
            dot.add_subgraph(frame)
    for source, target, label, dashed in drawn.edges:
        style: dict[str, Any] = {"style": "dashed", "constraint": "false"} if dashed else {}
        dot.add_edge(pydot.Edge(source, target, None, label=_quoted(label), **style))
    return dot


def _frames(drawn: Drawing) -> Iterator[tuple[str, list[str]]]:
    """Regions follow one another and may come again under the same name: each stretch is a frame of its own."""
    region, keys = "", list[str]()
    for key, box in drawn.boxes.items():
        if box.region != region:
            yield region, keys
            region, keys = box.region, []
        keys.append(key)
    yield region, keys


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _rendered(dot: Any, kind: str) -> bytes:
    if kind == "dot":
        return bytes(dot.to_string(), "utf-8")
    try:
        return bytes(dot.create(format=kind))
    except FileNotFoundError:
        raise RuntimeError(
            f"Graph.draw: the program dot is missing, which draws {kind}; install Graphviz (apt install graphviz, brew "
            "install graphviz, https://graphviz.org/download), or write a .dot file"
        ) from None
    except AssertionError as failed:  # how pydot says that dot failed; dot's own words it prints
        raise RuntimeError(f"Graph.draw: Graphviz failed: {failed}") from failed


def _write_whole(path: Path, content: bytes) -> None:
    """All of the file or nothing of it: an old one stays as it is until the new one is complete."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
