"""A compiled model in the pieces that a profile has rows for: a layer, a loop, a call of the user's."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn

from norse.compiler.explain import modules_of
from norse.compiler.ir import Node
from norse.compiler.lower import path_of
from norse.compiler.steps.loop import LoopStep
from norse.compiler.steps.stepped import Runs, SteppedStep
from norse.compiler.steps.torch_nodes import TorchStep

_REST = ("", "states and parameters")
OF_THE_REST = ("parameter", "initial_state", "last")


@dataclass(frozen=True)
class Piece:
    """One piece: what runs, the path of the layer that it is for, what it is, and its nodes if torch runs it."""

    step: Runs
    layer: str
    operation: str
    nodes: tuple[Node, ...] = ()
    whole: bool = False  # the model itself, which is not compiled

    @property
    def runs(self) -> str:
        """What runs it: the name of a backend, torch, or the module itself."""
        if isinstance(self.step, LoopStep) and self.step.built and not self.step.reason:
            return self.step.built[-1][0].name
        return "eager" if self.whole or any(node.op == "eager" for node in self.nodes) else "torch"

    @property
    def title(self) -> str:
        """As torch.profiler shows it."""
        return f"norse {self.layer or '(model)'}: {self.operation}"


def pieces(steps: Sequence[Runs], modules: Mapping[str, nn.Module]) -> list[Piece]:
    """All pieces, in the order in which they run."""
    found: list[Piece] = []
    for step in steps:
        if isinstance(step, TorchStep):
            found += _of_torch(step, modules)
        elif isinstance(step, LoopStep):
            paths = modules_of(step)
            found.append(Piece(step, ", ".join(paths), f"{_kinds(paths, modules)} loop"))
        elif isinstance(step, SteppedStep):
            path = path_of(step.title.partition(" ")[2])
            found.append(Piece(step, path, f"{_kinds([path], modules)} tick by tick"))
        else:
            found.append(Piece(step, "", type(step).__name__))
    return found


def in_ranges(steps: list[Runs], model: nn.Module) -> list[Runs]:
    """While torch.profiler records, the pieces of the steps in ranges that it shows by name; else none."""
    if not torch.autograd.profiler._is_profiler_enabled:
        return []
    return [_Range(piece) for piece in pieces(steps, dict(model.named_modules()))]


class _Range:
    def __init__(self, piece: Piece) -> None:
        self._piece = piece

    def run(self, values: Any) -> None:
        with torch.profiler.record_function(self._piece.title):
            self._piece.step.run(values)


def _of_torch(step: TorchStep, modules: Mapping[str, nn.Module]) -> Iterator[Piece]:
    for (layer, operation), group in groupby(step.nodes, lambda node: _label(node, modules)):
        part = copy.copy(step)
        part.nodes = tuple(group)
        yield Piece(part, layer, operation, part.nodes)


def _label(node: Node, modules: Mapping[str, nn.Module]) -> tuple[str, str]:
    if node.op in OF_THE_REST or node.region == "prologue":
        return _REST
    if node.tick:
        path = path_of(node.module)
        return path, f"{_kinds([path], modules)} synapse"
    path = node.attrs.get("_path", node.module)
    return path, str(node.attrs.get("_class") or node.attrs.get("target") or node.op)


def _kinds(paths: Sequence[str], modules: Mapping[str, nn.Module]) -> str:
    kinds = dict.fromkeys(type(modules[path]).__name__ for path in paths if path in modules)
    return " and ".join(kinds) or "neuron"
