"""Looking for where two models part: `norse.compare`. Running compiled models eagerly is `norse.eager`."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from norse.comparison import ROUNDING, Comparison, Difference, LayerComparison
from norse.compiler.module import CompiledModule
from norse.compiler.observe import OUTPUT, Observation, Record, observe
from norse.torch.module.lift import Lift
from norse.verbs import from_nir

_RESULT = "result"
Pair = tuple[Tensor, Tensor]  # one field in both models, [T, ...]


def compare(
    model: nn.Module,
    other: nn.Module | str | os.PathLike[str],
    x: Any,
    state: Any = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
) -> Comparison:
    """Runs two models on the same input and finds the first tick, layer, neuron and state field in which they differ.

    Spikes, and all that is 0 and 1 in both models, must be equal. Other numbers may differ by rounding: by
    `norse.comparison.ROUNDING` (1e-5 in float32) times the largest number of their field, unless `rtol` or `atol` says
    by how much; `rtol=0, atol=0` asks for equal bits. The report has the largest difference in any case.

    Outputs and states of all neurons (those of this library, and of users' steps in its modules) are compared at every
    tick, layer by layer in the order in which they run, and at the end the results. Layers are the same if they have
    the same path, apart from a Lift's `lifted_module`; if the paths differ, layers that run in the same place.

    Compiled models run compiled, with loops that also write down states; others run eagerly. Both start from the same
    random numbers. No gradients are computed, and afterwards buffers and random numbers are as they were.

    Args:
        model: any module.
        other: another, such as `norse.compile(model)`, or the path of a NIR file, which is read by `norse.from_nir` and
            lifted over time if the model is one over time.
        x: what both are called with.
        state: the state that both start from; None means their own.
        rtol: if this or `atol` is given, differences up to atol + rtol · |value in other| don't count, the one that is
            not given being 0. None: what rounding is allowed. NaN equals NaN.
        atol: see rtol.

    Returns:
        A report: `equal`, `first`, `growth`, `spikes_that_differ` and more; it prints, and `plot()` draws it.

    Raises:
        TypeError: if model or other is none of those above.
        ValueError: if the models have no layer in common, or one has outputs of another shape.

    Example:
        >>> import copy, torch, norse, norse.torch as snn
        >>> _ = torch.manual_seed(0)
        >>> model = snn.SequentialState(torch.nn.Linear(3, 4), snn.LIF())
        >>> x = 5 * torch.ones(100, 8, 3)
        >>> print(str(norse.compare(model, copy.deepcopy(model), x)).splitlines()[0])
        the first and the second are equal at every tick (of 100)
        >>> norse.compare(model, norse.compile(model), x).equal
        True
        >>> altered = copy.deepcopy(model)
        >>> with torch.no_grad():
        ...     altered[0].weight[2, 1] += 0.1
        >>> report = norse.compare(model, altered, x)
        >>> report.first.tick, report.first.layer, report.first.field, report.first.neuron[-1]
        (0, '1', 'v', 2)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"norse.compare: argument model: expects a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(other, nn.Module | str | os.PathLike):
        raise TypeError(
            "norse.compare: argument other: expects a torch.nn.Module or the path of a NIR file, got "
            f"{type(other).__name__}"
        )
    mine = _observed(model, x, state)
    names = [_name(model), _name(other)]
    if not isinstance(other, nn.Module):
        cell = from_nir(other)
        other = Lift(cell) if any(record.over_time for record in mine.layers.values()) else cell
    theirs = _observed(other, x, state)
    if names[0] == names[1]:
        names = ["the first", "the second"]
    given = None if rtol is None and atol is None else (rtol or 0.0, atol or 0.0)
    return _compared((names[0], names[1]), mine, theirs, given)


def _observed(model: nn.Module, x: Any, state: Any) -> Observation:
    x, state = pytree.tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, (x, state))
    if state is None:
        return observe(model, (x,))
    root = model.model if isinstance(model, CompiledModule) else model
    return observe(model, ((x, state),) if isinstance(root, Lift) else (x, state))


def _name(model: Any) -> str:
    if isinstance(model, CompiledModule):
        return f"compiled {type(model.model).__name__}"
    return type(model).__name__ if isinstance(model, nn.Module) else os.fspath(model)


def _compared(
    names: tuple[str, str], mine: Observation, theirs: Observation, given: tuple[float, float] | None
) -> Comparison:
    pairs, unmatched = _matched(mine.layers, theirs.layers)
    fields = [_fields(layer, other, mine.layers[layer], theirs.layers[other]) for layer, other in pairs]
    length = max((len(a) for layer in fields for a, _ in layer.values()), default=0)
    known = [(layer, other, mine.layers[layer].kind) for layer, other in pairs]
    results = _results(mine.result, theirs.result, length)
    if results or not pairs:
        known.append((_RESULT, _RESULT, ""))
        fields.append(results)
    else:
        unmatched.append("the result")
    ticks = max((len(a) for layer in fields for a, _ in layer.values()), default=0)
    compared, first, traces = [], None, dict[str, Pair]()
    for (layer, other, kind), pair in zip(known, fields, strict=True):
        found, where = _layer(layer, other, kind, pair, ticks, given)
        compared.append(found)
        if where is not None and (first is None or where.tick < first.tick):
            first, traces = where, _traces(pair, where.neuron, ticks)
    allowed = "rounding" if given is None else f"atol={given[1]:g} and rtol={given[0]:g}"
    return Comparison(names, ticks, first, tuple(compared), tuple(unmatched), traces, allowed)


# ---- which layers, which fields --------------------------------------------------------------------


def _matched(mine: Mapping[str, Record], theirs: Mapping[str, Record]) -> tuple[list[tuple[str, str]], list[str]]:
    """Layers of the same path; or else, if there are as many, in the order in which they run."""
    short = {_without_lifts(path): path for path in theirs}
    pairs = [(path, short[_without_lifts(path)]) for path in mine if _without_lifts(path) in short]
    if len(pairs) < max(len(mine), len(theirs)) and len(mine) == len(theirs):
        in_order = list(zip(mine, theirs, strict=True))
        if all(_shape(mine[a]) == _shape(theirs[b]) for a, b in in_order):
            pairs = in_order
    if not pairs and mine and theirs:
        raise ValueError(
            f"norse.compare: the models have no layer of neurons in common: {_listed(mine)}, and {_listed(theirs)}"
        )
    matched = ({a for a, _ in pairs}, {b for _, b in pairs})
    return pairs, [
        f'layer "{p}"' for paths, own in zip((mine, theirs), matched, strict=True) for p in paths if p not in own
    ]


def _listed(layers: Mapping[str, Record]) -> str:
    return ", ".join(f'"{path}" ({record.kind}, {list(_shape(record))})' for path, record in layers.items())


def _without_lifts(path: str) -> str:
    return ".".join(part for part in path.split(".") if part != "lifted_module")


def _shape(record: Record) -> torch.Size:
    return record.fields[OUTPUT].shape


def _fields(layer: str, other: str, mine: Record, theirs: Record) -> dict[str, Pair]:
    """The fields that both have, the state's before the output."""
    if _shape(mine) != _shape(theirs):
        also = f' and "{other}" ({theirs.kind})' if (layer, mine.kind) != (other, theirs.kind) else " in both"
        raise ValueError(
            f'norse.compare: layer "{layer}" ({mine.kind}){also}: expects outputs of one shape, got '
            f"{list(_shape(mine))} and {list(_shape(theirs))}"
        )
    names = [name for name in mine.fields if name in theirs.fields and name != OUTPUT]
    pairs = {name: (mine.fields[name], theirs.fields[name]) for name in (*names, OUTPUT)}
    return {name: _broadcast(f'layer "{layer}": {name}', *pair) for name, pair in pairs.items()}


def _results(mine: Any, theirs: Any, length: int) -> dict[str, Pair]:
    """What the models return: outputs by tick, states at the last one. Of results of different kinds, the outputs, and
    nothing if these differ in shape."""
    parts = [_parts(mine), _parts(theirs)]
    if [[n for n, _ in part] for part in parts[0]] != [[n for n, _ in part] for part in parts[1]]:
        parts = [part[:1] for part in parts]
    found: dict[str, Pair] = {}
    for place, (these, those) in enumerate(zip(*parts, strict=True)):
        for (name, a), (_, b) in zip(these, those, strict=False):
            if a.shape != b.shape and length:
                return {}
            if a.shape != b.shape:
                raise ValueError(f"norse.compare: results of different shapes: {list(a.shape)} and {list(b.shape)}")
            over_time = place == 0 and a.ndim > 0 and (a.shape[0] == length or not length)
            found[name or OUTPUT] = (a, b) if over_time else (a.unsqueeze(0), b.unsqueeze(0))
    return found


def _parts(result: Any) -> list[list[tuple[str, Tensor]]]:
    """The output's tensors, then those of the rest, named by where they stand."""
    is_pair = isinstance(result, tuple) and not hasattr(result, "_fields") and len(result) == 2
    parts = result if is_pair else (result,)
    named = [pytree.tree_flatten_with_path(part)[0] for part in parts]
    return [
        [(f"[{place}]{pytree.keystr(keys)}" if place else pytree.keystr(keys), leaf) for keys, leaf in part]
        for place, part in enumerate([[(k, x) for k, x in part if isinstance(x, Tensor)] for part in named])
    ]


def _broadcast(where: str, a: Tensor, b: Tensor) -> Pair:
    """A state that is the same for all samples may be kept once for all of them."""
    try:
        one, two = torch.broadcast_tensors(a.detach().cpu(), b.detach().cpu())
    except RuntimeError:
        raise ValueError(f"norse.compare: {where}: shapes differ: {list(a.shape)} and {list(b.shape)}") from None
    return one, two


# ---- what differs -------------------------------------------------------------------------------------


def _layer(
    layer: str, other: str, kind: str, fields: Mapping[str, Pair], ticks: int, given: tuple[float, float] | None
) -> tuple[LayerComparison, Difference | None]:
    growth, largest, first = [0.0] * ticks, dict[str, float](), None
    for name, pair in fields.items():
        a, b = (x.detach().cpu().double() for x in pair)
        apart, allowed = _apart(a, b), _allowed(pair, given)
        too_far = torch.where(apart > allowed, apart, 0.0)
        offset = ticks - len(a)  # a last state belongs to the last tick
        for tick, size in enumerate(_by_tick(apart)):
            growth[offset + tick] = max(growth[offset + tick], size)
        where = next((tick for tick, size in enumerate(_by_tick(too_far)) if size), None)
        if where is not None and (first is None or offset + where < first.tick):
            neuron = _index(too_far[where])
            values = float(a[where][neuron]), float(b[where][neuron])
            size, bound = float(apart[where][neuron]), float(allowed.expand_as(apart)[where][neuron])
            first = Difference(offset + where, layer, kind, name, neuron, values, size, bound)
        largest[name] = float(apart.max()) if apart.numel() else 0.0
    spikes, differing, others = _spikes(fields) if layer != _RESULT or kind else (None, 0, None)
    first_tick = None if first is None else first.tick
    outputs = fields[OUTPUT][0].numel() if OUTPUT in fields else 0
    found = LayerComparison(layer, other, kind, first_tick, tuple(growth), largest, spikes, differing, others, outputs)
    return found, first


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|, 0 where both are NaN, infinite where only one is."""
    apart = (a - b).abs()
    return torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, apart.nan_to_num(nan=torch.inf, posinf=torch.inf))


def _allowed(pair: Pair, given: tuple[float, float] | None) -> Tensor:
    """How far the numbers of a field may be apart: one number for all of them, or one for each."""
    a, b = (x.detach().cpu().double().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs() for x in pair)
    if not a.numel() or all(_is_zero_or_one(x) for x in pair):
        return torch.zeros((), dtype=torch.float64)
    if given is not None:
        return given[1] + given[0] * b
    return max(ROUNDING.get(x.dtype, 0.0) for x in pair) * torch.maximum(a.max(), b.max())


def _is_zero_or_one(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def _by_tick(apart: Tensor) -> list[float]:
    return apart.flatten(1).amax(1).tolist() if apart.numel() else []  # type: ignore[no-any-return]


def _index(tick: Tensor) -> tuple[int, ...]:
    return tuple(int(i) for i in torch.unravel_index(tick.argmax(), tick.shape)) if tick.ndim else ()


def _spikes(fields: Mapping[str, Pair]) -> tuple[int | None, int, int | None]:
    """Those of the first, those that only one has, those of the second."""
    a, b = fields[OUTPUT]
    if not (_is_zero_or_one(a) and _is_zero_or_one(b)):
        return None, 0, None
    return int(a.sum()), int((a != b).sum()), int(b.sum())


def _traces(fields: Mapping[str, Pair], neuron: tuple[int, ...], ticks: int) -> dict[str, Pair]:
    def trace(x: Tensor) -> Tensor:
        where: Any = (slice(None), *neuron)
        return x[where].detach().cpu()

    fitting: Iterator[tuple[str, Pair]] = (
        (name, pair)
        for name, pair in fields.items()
        if len(pair[0]) == ticks and all(i < n for i, n in zip(neuron, pair[0].shape[1:], strict=False))
    )
    return {name: (trace(a), trace(b)) for name, (a, b) in fitting if a.ndim == 1 + len(neuron)}
