"""Runs a model and records what each of its neurons did at every tick: output and state, eager or compiled."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from norse.compiler.eager import SWITCH
from norse.compiler.guard import flattened
from norse.compiler.ir import Node, Ref
from norse.compiler.module import CompiledModule
from norse.compiler.passes.pipeline import run_pipeline
from norse.compiler.schedule import Options, make_schedule
from norse.compiler.steps.fuse_layers import fuse_layers
from norse.compiler.trace.neuron import OVER_TIME, is_neuron
from norse.compiler.untouched import untouched
from norse.torch.module.neuron import Neuron

OUTPUT = "output"


@dataclass
class Record:
    """A layer of neurons: what it is, and its output and the fields of its state after every tick, [T, ...]."""

    kind: str
    fields: dict[str, Tensor]
    over_time: bool


@dataclass
class Observation:
    """What a call returned, and what its neurons did, by their paths in the order in which they first ran."""

    result: Any
    layers: dict[str, Record] = field(default_factory=dict)


def observe(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Observation:
    """Calls the model without gradients. Its buffers and torch's random numbers are afterwards as they were.

    A compiled model runs compiled: the same trace, passes and steps, whose loops also write down what is asked for.
    """
    kwargs = kwargs or {}
    with torch.no_grad():
        if not isinstance(model, CompiledModule):
            return _eagerly(model, args, kwargs)
        with untouched(model):
            result = model(*args, **kwargs)
        if SWITCH.get() or model._called().trace is None:
            return replace(_eagerly(model.model, args, kwargs), result=result)
        return Observation(result, _compiled(model, args, kwargs))


# ---- compiled ------------------------------------------------------------------------------------


def _compiled(compiled: CompiledModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Record]:
    variant, options = compiled._called(), compiled.__dict__["_options"]
    assert isinstance(options, Options) and variant.trace is not None
    graph, modules = variant.trace.graph, dict(compiled.model.named_modules())
    neurons = [node for node in graph.nodes if "_step" in node.attrs]
    wanted = [name for node in neurons for name in node.outputs]
    graph = replace(graph, outputs=tuple(dict.fromkeys((*graph.outputs, *wanted))))
    ticks = run_pipeline(graph, options.exact)
    refs = {name: Ref(name) for name in wanted}
    trace = replace(variant.trace, graph=graph, outputs=refs)
    steps = make_schedule(ticks, modules, options)
    fused = fuse_layers(steps, ticks, options.synapses.fuses, modules)
    watched = replace(variant, trace=trace, ticks=ticks, steps=steps, fused=fused, staged=None)
    inside = [path for path in modules for eager in trace.eager if not eager or f"{path}.".startswith(f"{eager}.")]
    with untouched(compiled), _recording({path: modules[path] for path in inside}) as records:
        values = watched.run(compiled.model, args, kwargs, flattened(args, kwargs)[0])
    order = [node.attrs["_path"] for node in graph.nodes if "_step" in node.attrs or node.op == "eager"]
    found = {path: records[path] for path in records}
    by_path: dict[str, list[Node]] = {}
    for node in neurons:
        by_path.setdefault(node.attrs["_path"], []).append(node)
    found.update({path: _record_of(nodes, values) for path, nodes in by_path.items()})
    return dict(sorted(found.items(), key=lambda item: _place(item[0], order)))


def _place(path: str, order: list[str]) -> int:
    """Where a neuron runs: its own node, or that of the eager module that it is in."""
    return next((k for k, other in enumerate(order) if not other or f"{path}.".startswith(f"{other}.")), len(order))


def _record_of(nodes: list[Node], values: Mapping[str, Tensor]) -> Record:
    """Of all calls of a module: a layer's follow one another, a cell's belong to a tick."""
    first = nodes[0]
    names = _unique([OUTPUT, *(re.sub(r"(_\d+)+$", "", name) for name in first.outputs[1:])])
    fields = {}
    for place, name in enumerate(names):
        calls = [values[node.outputs[place]] for node in nodes]
        if not first.attrs["_over_time"]:
            fields[name] = torch.stack(calls)
        elif first.attrs["_own_time"]:
            fields[name] = torch.cat(calls)
        else:
            fields[name] = torch.stack(calls, 1).flatten(0, 1)
    return Record(first.op, fields, bool(first.attrs["_over_time"]))


# ---- eager ---------------------------------------------------------------------------------------


def _eagerly(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Observation:
    compiled = [path for path, part in model.named_modules() if isinstance(part, CompiledModule)]
    own = {
        path: module
        for path, module in model.named_modules()
        if not any(f"{path}.".startswith(f"{inner}.") for inner in compiled)
    }
    with untouched(model), _recording(own) as records:
        result = model(*args, **kwargs)
    return Observation(result, dict(records))


@contextmanager
def _recording(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Record]]:
    """While inside, calls of neurons among these modules are recorded, by hooks; they return what they would."""
    records: dict[str, Record] = {}
    calls: dict[str, list[list[Tensor]]] = {}
    with ExitStack() as hooks:
        for path, module in modules.items():
            if isinstance(module, Neuron):
                hooks.enter_context(_recorder(path, module, records, calls))
        yield records
    for path, record in records.items():
        join = torch.cat if isinstance(modules[path], OVER_TIME) else torch.stack
        record.fields = {n: join(parts) for n, parts in zip(record.fields, zip(*calls[path], strict=True), strict=True)}
        record.over_time = record.over_time or len(calls[path]) > 1


@contextmanager
def _recorder(
    path: str, module: Neuron, records: dict[str, Record], calls: dict[str, list[list[Tensor]]]
) -> Iterator[None]:
    over_time = isinstance(module, OVER_TIME) and is_neuron(module)
    asked = getattr(module, "record_states", False)

    def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        sequence = args[0] if args else kwargs.get("input_tensor")
        # without ticks there is no last state among those that are recorded
        module.record_states = asked or (isinstance(sequence, Tensor) and sequence.shape[0] > 0)

    def after(module: Any, args: Any, result: Any) -> Any:
        if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Tensor):
            return None
        recorded = over_time and module.record_states
        output, state = result
        leaves = pytree.tree_flatten_with_path(state)[0] if recorded or not isinstance(module, OVER_TIME) else []
        tensors = [(_field_name(keys), leaf) for keys, leaf in leaves if isinstance(leaf, Tensor)]
        names = _unique([OUTPUT, *(name for name, _ in tensors)])
        values = [output, *(leaf for _, leaf in tensors)]
        if path not in records:
            fields = dict(zip(names, values, strict=True))
            records[path] = Record(type(module).__name__, fields, isinstance(module, OVER_TIME))
        calls.setdefault(path, []).append([value.detach().clone() for value in values])
        if recorded and not asked:
            return output, pytree.tree_map(lambda x: x[-1] if isinstance(x, Tensor) else x, state)
        return None

    handles = [module.register_forward_hook(after, prepend=True)]
    if over_time:
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        if over_time:
            module.record_states = asked  # type: ignore[assignment]


def _field_name(keys: tuple[Any, ...]) -> str:
    key = keys[-1] if keys else None
    name = getattr(key, "name", None) or getattr(key, "key", None) or "state"
    return re.sub(r"(_\d+)+$", "", str(name))


def _unique(names: list[str]) -> list[str]:
    """`v`, `v (2)`: nested states may have fields of one name."""
    return [name if (n := names[:place].count(name)) == 0 else f"{name} ({n + 1})" for place, name in enumerate(names)]
