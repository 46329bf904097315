"""Whether a NIR graph runs as the model that it was made from: both on the same input, spike by spike."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse.torch as snn
from norse.backends.nir_export import reference
from norse.backends.nir_export.dialect_neurons import LOWER_BOUND
from norse.backends.nir_export.dialects import Dialect
from norse.backends.nir_export.network import Example, Network, gives_state, tick_of
from norse.backends.nir_export.translate import Scale, meant
from norse.torch.module.stateful import is_stateful

MOST_TICKS, FEWEST_TICKS = 64, 4
WEAKEST, STRONGEST = 0.25, 8.0  # random spikes at the first tick, and at the last
MOST_PRODUCTS = 6e8  # of weights and inputs, in all ticks: a second or two
CONVOLUTION = 4.0  # a convolution in float64 takes about so many times as long as a matrix for a product
# What a file rounds (time constants in float32) may do to a potential in that many ticks, of the largest potential.
ROUNDING = 1e-5
# What float32 arithmetic may do besides, where the model can't be copied and runs as it is.
FLOAT32_ROUNDING = 1e-3


@dataclass(frozen=True)
class Verification:
    """What came out of running a NIR graph and its model on the same input.

    Args:
        ticks: how many were run, of one sample.
        spikes: how many the model fired, in all of its layers.
            The graph fired the same ones: else there is no report, but an error.
        on_threshold: how many stood on the threshold within rounding, and were taken as the model has them.
        largest_difference: of potentials and outputs.
        where: the node of that difference.
    """

    ticks: int
    spikes: int
    on_threshold: int
    largest_difference: float
    where: str

    def __str__(self) -> str:
        tied = f" ({self.on_threshold} on the threshold)" if self.on_threshold else ""
        return (
            f"{self.ticks} ticks: {self.spikes} spikes, all equal{tied}; largest difference of potentials "
            f"{self.largest_difference:.3g}" + (f" in node {self.where!r}" if self.where else "")
        )


@dataclass
class Calls:
    """A module's calls in one tick: the nodes that stand for them, and one of the values that they give."""

    value: str
    nodes: list[str] = field(default_factory=list)


@dataclass
class _Recorded:
    """What the model did: spikes and potentials by node, of one sample."""

    outputs: dict[str, Any] = field(default_factory=dict)
    fired: dict[str, list[Any]] = field(default_factory=dict)
    potentials: dict[str, list[Any]] = field(default_factory=dict)  # of every tick, or of the last one alone


def verify(
    graph: Any,
    model: nn.Module,
    network: Network,
    nodes_of: Mapping[str, Calls],
    dt: float,
    example: Example | None,
    dialect: Dialect,
    scales: Mapping[str, Scale],
    weak: bool,
    late: bool,
) -> Verification:
    """Runs the graph by NIR's equations and the model by torch, in float64 both.

    The input is the example's first sample, if it has ticks and is not zero, and then random spikes, rare and weak at
    first and stronger from tick to tick.

    Args:
        graph: a nir.NIRGraph.
        model: the model.
        network: what it was traced to.
        nodes_of: the calls of each module with a threshold or a potential, by its path.
        dt: the graph's time step in s.
        example: the example input.
        dialect: what the graph is written in.
        scales: of the potentials of its nodes.
        late: whether the model is as late as the tool's neurons are.
        weak: whether the random spikes stay weak, as the graph runs as the model does for such input alone.

    Raises:
        ValueError: where they differ by more than rounding; the message names the node and the tick.
    """
    graph = meant(graph, dialect, dt, late)
    inputs = _inputs(network, example, _ticks(graph), WEAKEST if weak else STRONGEST)
    tick, _ = tick_of(model)
    recorded, rounding = _recorded(tick, network, nodes_of, inputs, example)
    tied: list[tuple[str, int]] = []
    several: list[tuple[int, str, int]] = []  # where the file fires more often than the model: tick, node, how often
    largest = {name: max(map(_size, values), default=0.0) for name, values in recorded.potentials.items()}

    def judge(name: str, t: int, above: Any, z: Any) -> Any:
        if name not in recorded.fired:
            return z
        model_z = recorded.fired[name][t]
        factor = _size(scales[name].factor) if name in scales else 1.0
        within = rounding * max(largest.get(name, 0.0) * factor, _size(above), 1e-30)
        ties = (model_z != z) & (np.abs(above) <= within)
        if ((z > 1) & (model_z == 1)).any():
            several.append((t, name, int(z[(z > 1) & (model_z == 1)].max())))
        tied.extend([(name, t)] * int(ties.sum()))
        return np.where(ties, model_z, z)

    metadata = {name: getattr(node, "metadata", None) or {} for name, node in graph.nodes.items()}
    bounds = {name: said[LOWER_BOUND] for name, said in metadata.items() if LOWER_BOUND in said}
    bounds = {} if dialect.is_plain else bounds

    def traced(made: Any) -> reference.Trace:
        trace = reference.run(made, inputs, dt, judge, dialect.reset, bounds)
        for name, scale in scales.items():
            if name in trace.potentials:
                trace.potentials[name] = trace.potentials[name] / scale.factor + scale.leak
        return trace

    trace = traced(graph)
    for name in [name for name in recorded.potentials if isinstance(graph.nodes.get(name), nir.Linear)]:
        del recorded.potentials[name]  # a Linear that stands for neurons keeps no potential: what it gives is compared
    try:
        return _compared(trace, recorded, len(tied), rounding, lambda: traced(_rounded(graph)))
    except ValueError as error:
        causes = [*_held(recorded, bounds, dialect, scales), *_fired_more(several, dialect)]
        raise ValueError(". ".join([str(error), *causes])) from error


def _held(
    recorded: _Recorded, bounds: Mapping[str, Any], dialect: Dialect, scales: Mapping[str, Scale]
) -> Iterator[str]:
    """Where potentials fall below what their tool holds them at."""
    for name, bound in bounds.items():
        values, allowed = recorded.potentials.get(name, []), bound / scales[name].factor
        if not values:
            continue
        lowest = [float((v - allowed).min()) for v in values]
        if min(lowest) < -ROUNDING * _size(allowed):
            worst = int(np.argmin(lowest))
            v = np.broadcast_arrays(values[worst], allowed)
            place = int(np.argmin(v[0] - v[1]))
            tick = worst if len(values) > 1 else "the last"
            yield (
                f"{dialect.tool} holds v of IF at -v_threshold from below: that of node {name!r} falls to "
                f"{v[0].flat[place]:.3g} (tick {tick}), where v_threshold is {-v[1].flat[place]:.3g}. Train with "
                "reset_method=reset_subtract_bounded, which is that neuron (docs/nir.md#dialects)"
            )


def _fired_more(several: list[tuple[int, str, int]], dialect: Dialect) -> Iterator[str]:
    if several:
        t, name, count = min(several)
        yield (
            f"{dialect.tool} fires several spikes in a tick: {count} of them in node {name!r} at tick {t}, where v "
            f"reaches {count} v_threshold and the model fires once. Make inputs or weights weaker or v_threshold "
            "higher, or train with neurons that do so too, as SeveralIAFCell (docs/nir.md#dialects)"
        )


def _compared(
    trace: reference.Trace,
    recorded: _Recorded,
    tied: int,
    rounding: float,
    rounded: Callable[[], reference.Trace],
) -> Verification:
    """The report. `rounded` runs the graph with other last bits: what that changes is no difference in meaning."""
    ticks = len(next(iter(recorded.outputs.values())))
    count = sum(int(np.sum(values)) for values in recorded.fired.values())
    unequal = []
    for name, fired in recorded.fired.items():
        wrong = (np.array(fired) != trace.spikes[name]).reshape(len(fired), -1).any(1)
        if wrong.any():
            t = int(np.argmax(wrong))
            counts = f"{int(np.sum(fired[t]))} spikes in the model, {int(trace.spikes[name][t].sum())} in the file"
            unequal.append((t, name, counts))
    worst, where = 0.0, ""
    pairs = [(name, np.array(v), "potentials") for name, v in recorded.potentials.items()]
    pairs += [(name, value, "outputs") for name, value in recorded.outputs.items()]
    for name, ours, kind in pairs:
        theirs = getattr(trace, kind)[name][-len(ours) :]  # of a layer over time the last potential is known alone
        off = np.abs(ours - theirs)
        difference, allowed = _size(off), np.asarray(rounding * max(_size(ours), _size(theirs)))
        if difference > worst:
            worst, where = difference, name
        if not (off <= allowed).all() and not unequal:
            other = rounded()
            if all(np.array_equal(other.spikes[key], value) for key, value in trace.spikes.items()):
                change = np.abs(getattr(other, kind)[name] - getattr(trace, kind)[name])
                allowed = allowed + 8 * np.maximum.accumulate(change)[-len(ours) :]
            wrong = ~(off <= allowed).reshape(len(off), -1).all(1)
            if wrong.any():
                t = ticks - len(ours) + int(np.argmax(wrong))
                unequal.append((t, name, f"{kind} differ by {difference:.3g}, of {_size(ours):.3g}"))
    if unequal:
        t, name, what = min(unequal)
        raise ValueError(f"it would not run as the model does: node {name!r} differs at tick {t}: {what}")
    return Verification(ticks, count, tied, worst, where)


def _rounded(graph: Any) -> Any:
    """The graph with time constants that are another by the last bit of float32, as those of a file are."""
    made = copy.copy(graph)
    made.nodes = {}
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            made.nodes[name] = _rounded(node)
            continue
        made.nodes[name] = copy.copy(node)
        for field_name in ("tau", "tau_mem", "tau_syn", "w_in", "r"):
            if hasattr(node, field_name):
                value = np.asarray(getattr(node, field_name), np.float64)
                setattr(made.nodes[name], field_name, value * (1 + 2.0**-23))
    return made


def _size(value: Any) -> float:
    return float(np.max(np.abs(value), initial=0.0))


# ---- the input -------------------------------------------------------------------------------------------------------


def _ticks(graph: Any) -> int:
    """As many ticks as a graph of this size can be run for in some seconds."""
    return int(np.clip(MOST_PRODUCTS / _products(graph), FEWEST_TICKS, MOST_TICKS))


def _products(graph: Any) -> float:
    """Of weights and inputs, in one tick."""
    products = 1.0
    for node in graph.nodes.values():
        if isinstance(node, nir.NIRGraph):
            products += _products(node)
        weight: Any = getattr(node, "weight", None)
        if isinstance(node, nir.Conv1d | nir.Conv2d):
            places = float(np.prod(node.input_shape)) / float(np.prod(node.stride))
            products += CONVOLUTION * float(weight.size) * places
        elif weight is not None:
            products += float(weight.size)
    return products


def _inputs(network: Network, example: Example | None, ticks: int, strongest: float) -> dict[str, Any]:
    """By the names of the Input nodes, [T, ...]."""
    random, inputs = np.random.default_rng(0), {}
    given = pytree.tree_leaves(example) if example is not None else []
    for k, (name, value) in enumerate(network.inputs.items()):
        shape = network.shape(value)
        strength = np.linspace(WEAKEST, strongest, ticks).reshape(-1, *[1] * len(shape))
        made = (random.random((ticks, *shape)) < 0.3) * strength
        own = given[k].detach().cpu().double() if k < len(given) else torch.zeros(0)
        if own.dim() == len(shape) + 2 and bool(own.any()):
            made = np.concatenate([own[:ticks, 0].numpy(), made])
        inputs[name] = made.astype(np.float32).astype(np.float64)
    longest = max(map(len, inputs.values()))
    return {name: np.concatenate([x, x[: longest - len(x)]]) for name, x in inputs.items()}


# ---- the model -------------------------------------------------------------------------------------------------------


def _recorded(
    tick: nn.Module,
    network: Network,
    nodes_of: Mapping[str, Calls],
    inputs: Mapping[str, Any],
    example: Example | None,
) -> tuple[_Recorded, float]:
    """A copy in float64 on the CPU; where there can be none, the model as it is, with more room for rounding."""
    try:
        double = copy.deepcopy(tick).cpu().double()
        return _run(double, network, nodes_of, inputs, example, torch.float64, torch.device("cpu")), ROUNDING
    except Exception:  # whatever a user's modules raise when they are copied, moved or run in another precision
        value = next(iter(network.inputs.values()))
        device = next((t.device for t in (*tick.parameters(), *tick.buffers())), torch.device("cpu"))
        try:
            return _run(tick, network, nodes_of, inputs, example, network.dtype(value), device), FLOAT32_ROUNDING
        except Exception as error:
            raise ValueError(f"it can't be run to compare it with its file ({error}); verify=False does not") from error


def _run(
    tick: nn.Module,
    network: Network,
    nodes_of: Mapping[str, Calls],
    inputs: Mapping[str, Any],
    example: Example | None,
    dtype: torch.dtype,
    device: torch.device,
) -> _Recorded:
    recorded, handles = _Recorded(), []
    for path in nodes_of:
        rank = len(network.shape(nodes_of[path].value))
        watch = _watch(recorded, nodes_of[path].nodes, rank)
        handles.append(tick.get_submodule(path).register_forward_hook(watch))
    values = [torch.from_numpy(x)[:, None].to(device, dtype) for x in inputs.values()]
    try:
        with torch.no_grad():
            results = _results(tick, network, values, example)
    finally:
        for handle in handles:
            handle.remove()
    for place, (name, _) in zip(network.places, network.outputs, strict=True):
        ticks = [result[place] for result in results]
        recorded.outputs[name] = _numbers(ticks[0] if network.over_time else torch.stack(ticks))
    return recorded


def _results(tick: nn.Module, network: Network, values: Sequence[Tensor], example: Example | None) -> list[list[Any]]:
    """The leaves of what the model gives: of all ticks at once, or tick by tick."""
    stateful = is_stateful(tick)

    def called(now: Sequence[Tensor], state: Any) -> tuple[Any, Any]:
        args: tuple[Any, ...] = tuple(now)
        if isinstance(example, dict):
            args = (dict(zip(example, now, strict=True)),)
        options = {} if state is None else {"state": state}
        if len(args) == 1 and state is not None:
            args, options = (*args, state), {}
        result = tick(*args, **options)
        return (result[0], result[1]) if stateful and gives_state(result) else (result, None)

    if network.over_time:
        return [pytree.tree_leaves(called(values, None)[0])]
    state, results = None, []
    for now in zip(*values, strict=True):
        result, state = called(now, state)
        results.append(pytree.tree_leaves(result))
    return results


def _watch(recorded: _Recorded, nodes: Sequence[str], rank: int) -> Any:
    """Notes what a module fires and the potentials that it keeps; its calls are those nodes', in turn."""

    def ticks(value: Tensor) -> Any:
        return _numbers(value if value.dim() == rank + 2 else value[None])

    calls = 0

    def hook(module: nn.Module, args: Any, result: Any) -> None:
        nonlocal calls
        name, calls = nodes[calls % len(nodes)], calls + 1
        z, state = result if isinstance(result, tuple) else (result, None)
        v = getattr(state, "v", None)
        if isinstance(module, snn.Threshold) or hasattr(getattr(module, "p", None), "v_th"):
            recorded.fired.setdefault(name, []).extend(ticks(z))
        if isinstance(v, Tensor):
            recorded.potentials.setdefault(name, []).extend(ticks(v))

    return hook


def _numbers(value: Tensor) -> Any:
    """[T, B, ...] -> [T, ...], of the first sample."""
    return value[:, 0].detach().cpu().double().numpy()
