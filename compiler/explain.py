"""What became of a model, in words: for each module how it runs and, where it's not native, why."""

from collections.abc import Sequence
from dataclasses import replace

from norse.compiler.ir import Graph, Node
from norse.compiler.passes.batch_time import BATCHED, STEPPED
from norse.compiler.passes.fuse_loops import LOOP
from norse.compiler.steps.loop import LoopStep
from norse.compiler.steps.stepped import Runs, SteppedStep
from norse.compiler.trace.model import Trace


def explain(trace: Trace, ticks: Graph, steps: Sequence[Runs]) -> str:
    """One line a module, in the order in which they run."""
    rows = [(_path(node), node.op, _how(node, ticks, steps)) for node in trace.graph.nodes if _shown(node)]
    eager = (node for node in trace.graph.nodes if node.op == "eager")
    rows += [(_path(node), node.attrs["_class"], f"eager: {trace.eager[node.attrs['_path']]}") for node in eager]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "\n".join(f"{path:<{widths[0]}}  {op:<{widths[1]}}  {how}" for path, op, how in rows)


def noted(trace: Trace, ticks: Graph) -> Graph:
    """The network's graph with a remark at each layer and neuron on how it runs."""
    notes = {node.outputs[0]: _region_note(node, ticks) for node in trace.graph.nodes if _shown(node)}
    return replace(trace.graph, notes=notes)


def generated_code(steps: Sequence[Runs]) -> str:
    """The text of all kernels; empty where torch runs everything."""
    texts = [backend.source(program, loop.title) for loop in loops(steps) for backend, program in loop.built]
    return "\n".join(dict.fromkeys(texts))


def loops(steps: Sequence[Runs]) -> list[LoopStep]:
    """Every loop, those inside stepped regions too."""
    found: list[LoopStep] = []
    for step in steps:
        if isinstance(step, LoopStep):
            found.append(step)
        elif isinstance(step, SteppedStep):
            found += [part for part in step.parts if isinstance(part, LoopStep)]
    return found


def _shown(node: Node) -> bool:
    return "_step" in node.attrs or "_row" in node.attrs


def _path(node: Node) -> str:
    return str(node.attrs["_path"]) or "(model)"


def _how(node: Node, ticks: Graph, steps: Sequence[Runs]) -> str:
    text = _region_note(node, ticks)
    if "_step" in node.attrs:
        titles = {n.region for n in ticks.nodes if n.tick and n.module == node.attrs["_path"]}
        reasons = dict.fromkeys(loop.reason for loop in loops(steps) if loop.title in titles and loop.reason)
        if reasons:
            text = f"torch, tick by tick: {'; '.join(reasons)}"
    return text


def _region_note(node: Node, ticks: Graph) -> str:
    if "_row" in node.attrs:
        return "torch, all ticks at once" if node.attrs["_over_time"] or ticks.types[node.output].over_time else "torch"
    regions = [n.region for n in ticks.nodes if n.tick and n.module == node.attrs["_path"]]
    if any(region.startswith(STEPPED) for region in regions):
        return "tick by tick: synapses by torch, the rest in native ticks"
    over_time = node.attrs["_over_time"]
    text = "one native loop over T" if over_time else "one native tick"
    if sum(region.startswith(LOOP) for region in dict.fromkeys(regions)) > 1:
        text = text.replace("one native loop", "native loops")
    if any(region == BATCHED for region in regions):
        text += ", its input synapse all ticks at once" if over_time else ", its synapses by torch"
    return text
