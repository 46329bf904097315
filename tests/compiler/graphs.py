"""What the tests here are made of: graphs of real layers between the passes, ticks of steps, and their text."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from textwrap import dedent
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from norse.backends.cpu.build import load
from norse.backends.cpu.run import Executable, translation_unit
from norse.backends.operators import BuiltRegion
from norse.compiler.ir import BATCH, TIME, Graph, Register, Type
from norse.compiler.passes.batch_time import batch_time
from norse.compiler.passes.infer_types import infer_types
from norse.compiler.passes.normalise import normalise
from norse.compiler.passes.pipeline import PIPELINE
from norse.compiler.region import Kind, RegionProgram, lower_region
from norse.compiler.trace.model import trace_model
from norse.compiler.trace.step import trace_step
from norse.compiler.verify import verify


def text(literal: str) -> str:
    """A graph's text as it is written in a test."""
    return dedent(literal).strip("\n")


def network(model: nn.Module, *arguments: Any) -> Graph:
    """The network-level graph of `model(*arguments)`."""
    return trace_model(model, arguments, {}).graph


def around(
    transform: Callable[..., Graph], model: nn.Module, *arguments: Any, exact: bool = False
) -> tuple[Graph, Graph]:
    """The model's graph before and after one pass of the pipeline, verified at every stage."""
    graph = network(model, *arguments)
    for each in PIPELINE:
        before, graph = graph, (partial(batch_time, exact=exact) if each is batch_time else each)(graph)
        verify(graph)
        if each is transform:
            return before, graph
    raise ValueError(f"{transform} is not in the pipeline")


def over_time(*features: int, dtype: torch.dtype = torch.float32, spike: bool = False) -> Type:
    """The type of a value at every tick: `[T, B, *features]`."""
    return Type(dtype, (TIME, BATCH, *features), spike)


def tick_of(activation: Callable[..., Any], *arguments: Any) -> Graph:
    """The typed tick of a step `(x, state, ...) -> (output, state)`, with a register for each of the state's tensors.

    The arguments' shapes, [B, N] for x and the state, are those of one tick.
    """
    step = trace_step(activation, arguments)
    graph = normalise(step.graph)
    leaves = [pytree.tree_leaves(argument) for argument in arguments]
    types, reads = {}, []
    for name, (argument, leaf) in zip(graph.inputs, step.inputs, strict=True):
        tensor = leaves[argument][leaf]
        axes = (BATCH, *tensor.shape[1:]) if tensor.ndim > 1 and argument < 2 else tuple(tensor.shape)
        types[name] = Type(tensor.dtype, ((TIME,) if argument < 2 else ()) + axes)
        if argument == 1:
            reads.append(name)
    registers = tuple(
        Register(read, f"initial_{read}", after) for read, after in zip(reads, graph.outputs[1:], strict=True)
    )
    inputs = tuple(name for name in graph.inputs if name not in reads)
    types.update({register.initial: replace(types[register.value]) for register in registers})
    return infer_types(Graph(inputs, graph.nodes, graph.outputs[:1], registers, types))


def kinds_of(tick: Graph) -> dict[str, Kind]:
    """How a kernel reads the tick's inputs."""

    def kind(name: str) -> Kind:
        if tick.types[name].over_time:
            return Kind.TICK
        if any(node.op == "linear" and node.uses[1] == name for node in tick.nodes):
            return Kind.MATRIX
        return Kind.ROW if tick.types[name].axes else Kind.SCALAR

    return {name: kind(name) for name in tick.inputs}


def program_of(tick: Graph, wanted: Collection[str] = ()) -> RegionProgram:
    return lower_region(tick, kinds_of(tick), wanted)


def built(program: RegionProgram) -> BuiltRegion:
    """The program with its kernels, compiled for this machine."""
    library = load(translation_unit(program.forward, program.backward, "test"))
    backward = None if program.backward is None else Executable(program.backward, library, "norse_backward")
    return BuiltRegion(program, Executable(program.forward, library, "norse_forward"), backward)


def eager_over_time(activation: Callable[..., Any], x: Tensor, state: Any, *rest: Any) -> tuple[Tensor, Any]:
    """The step in a Python loop: what everything here is compared with."""
    rows = []
    for tick in x:
        z, state = activation(tick, state, *rest)
        rows.append(z)
    return torch.stack(rows), state


def gradients(
    outputs: Mapping[str, Tensor], seeds: Mapping[str, Tensor], of: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """torch.autograd's, zero where nothing flows."""
    names = [name for name, output in outputs.items() if output.requires_grad]
    found = torch.autograd.grad(
        [outputs[name] for name in names], list(of.values()), [seeds[name] for name in names], allow_unused=True
    )
    return {n: torch.zeros_like(x) if g is None else g for (n, x), g in zip(of.items(), found, strict=True)}
