"""The comparisons: for each name of a limit, a function of the network, the limit and the chip that gives rows."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from norse.backends.chips.chip import Chip, Limit
from norse.backends.chips.comparisons import by, each_among, each_at_most, each_within, total
from norse.backends.chips.convolution import convolutions
from norse.backends.chips.cores import check_circuits, check_cores
from norse.backends.chips.report import Row, row
from norse.backends.chips.routes import is_bounded_by_reset, unsayable, unsayable_reset
from norse.backends.chips.summary import Layer, Network
from norse.backends.chips.synapses import check_synapses
from norse.backends.chips.ticks import check_ticks

Check = Callable[[Network, Limit, Chip], Iterable[Row]]


def run_checks(network: Network, chip: Chip) -> tuple[Row, ...]:
    """Rows for what holds of all chips, for a chip's limits in the order of its data, and for what is not checked."""
    rows = list(check_synapses(network))
    rows += [found for limit in chip.limits.values() for found in CHECKS[limit.name](network, limit, chip)]
    rows += [Row("", "not checked", f"{entry.what}: {entry.why}") for entry in chip.unchecked]
    return tuple(rows)


# ---- what the layers are ---------------------------------------------------------------------------------------------


def _primitives(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    computing = [layer for layer in network.layers if not _computes_nothing(layer)]
    used = dict.fromkeys(layer.primitive for layer in computing)
    in_its_words = chip.dialect != "" and network.dialect == chip.dialect
    wrong = [(layer, kind) for layer in computing if (kind := _kind(layer, in_its_words)) not in limit.value]
    for layer, kind in wrong:
        has = f"the chip has {', '.join(limit.value)}"
        if in_its_words and layer.said_as:
            text = f"the file says it as {kind}, {has}{_SAID_SO.get(layer.primitive, '')}"
        else:
            kind, text = layer.primitive, f"{has}{_HINTS.get(layer.primitive, '')}"
        yield row(limit, "does not fit", text, layer, kind)
    had = [layer for layer in computing if (layer, _kind(layer, in_its_words)) not in wrong]
    unsaid = [(layer, why) for layer in had if (why := unsayable(layer.primitive, chip))]
    for layer, why in unsaid:
        yield row(limit, "does not fit", why, layer, layer.primitive)
    if computing and not wrong and not unsaid:
        yield row(limit, "fits", ", ".join(used), used=list(used))


_HINTS = {"Scale": "; fold it into the weights", "Affine": "; leave the bias out"}
_SAID_SO = {"IF": "; with reset_method=reset_subtract_bounded it is written as IF"}


def _kind(layer: Layer, in_its_words: bool) -> str:
    """Affine without a bias that isn't 0 is Linear; what a file for the chip's tool says counts as it stands there."""
    if in_its_words and layer.said_as:
        return layer.said_as
    return "Linear" if layer.primitive == "Affine" and not layer.biases else layer.primitive


def _computes_nothing(layer: Layer) -> bool:
    """To rename neurons is no work for any chip: events carry addresses."""
    return layer.primitive == "Flatten"


def _order(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    """Weights, then neurons, then pooling."""
    wrong: list[tuple[Layer, str]] = []
    for layer in network.layers:
        before, after = network.before(layer.name), network.after(layer.name)
        if layer.weights and not (len(after) == 1 and after[0].neurons):
            wrong.append((layer, f"expected one layer of neurons after it, got {_names(after)}"))
        if layer.neurons and not (len(before) == 1 and before[0].weights):
            wrong.append((layer, f"expected one layer of weights before it, got {_names(before)}"))
        if _pools_maps(layer) and not all(source.neurons for source in before):
            wrong.append((layer, f"expected neurons or the input before it, got {_names(before)}"))
    for layer, text in wrong:
        yield row(limit, "does not fit", text, layer)
    if not wrong:
        yield row(limit, "fits", f"{', '.join(limit.value)} {limit.unit}")


def _names(layers: Sequence[Layer]) -> str:
    return ", ".join(map(str, layers)) or "none"


def _structure(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    """The input feeds hidden neurons, these each other and the output neurons, which feed nobody."""
    wrong = []
    layers = {layer.name: layer for layer in network.neurons}
    for connection in network.connections:
        source, target = layers.get(connection.source), layers[connection.target]
        if source is None and target.role == "output":
            wrong.append((target, "is fed by the input; put hidden neurons between"))
        elif source is not None and source.role == "output":
            what = "itself" if source is target else str(target)
            wrong.append((source, f"is an output and feeds {what}; outputs feed nobody on the chip"))
    for layer, text in wrong:
        yield row(limit, "does not fit", text, layer)
    if not wrong:
        yield row(limit, "fits", limit.value)


def _recurrence(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    loops = [layer for layer in network.neurons if layer.recurrent]
    for layer in loops:
        yield row(limit, "fits" if limit.value == "on the chip" else "differs", f"placed {limit.value}", layer)
    if not loops:
        yield row(limit, "fits", "none")


def _reset(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    spiking = [layer for layer in network.neurons if layer.reset_by]
    wrong = [layer for layer in spiking if not _resets_as(layer, limit)]
    has = " or ".join(_BY[kind] for kind in limit.value)
    for layer in wrong:
        says = f"to {', '.join(f'{v:.4g}' for v in layer.reset)}" if layer.reset_by == "zero" else _BY["subtract"]
        text = f"{says}, the chip {has}; {_RESET_SO[limit.value[-1]]}"
        yield row(limit, "differs", text, layer, list(layer.reset) or layer.reset_by)
    unsaid = [(layer, why) for layer in spiking if layer not in wrong and (why := unsayable_reset(layer, chip))]
    for layer, why in unsaid:
        does = _BY["zero" if layer.reset_by == "zero" else "subtract"]
        yield row(limit, "differs", f"{does}, {why}", layer, list(layer.reset) or layer.reset_by)
    if spiking and not wrong and not unsaid:
        used = dict.fromkeys(_BY["zero" if layer.reset_by == "zero" else "subtract"] for layer in spiking)
        yield row(limit, "fits", ", ".join(used))


_BY = {"zero": "to zero", "subtract": "by subtracting the threshold"}
_RESET_SO = {
    "zero": "reset_method=reset_value and v_reset=0 do so",
    "subtract": 'reset_method=reset_subtract does so, and norse.from_nir(..., reset="subtract") of a file',
}


def _resets_as(layer: Layer, limit: Limit | None) -> bool:
    """Whether a spike does what it does on the chip, or nobody says what that is."""
    if limit is None:
        return True
    return layer.reset == (0.0,) and "zero" in limit.value if layer.reset_by == "zero" else "subtract" in limit.value


def _spikes(role: str) -> Check:
    """How often a neuron may fire in a time step; where it is reset otherwise it is another neuron in any case."""

    def check(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
        resets = chip.limits.get("reset")
        spiking = [n for n in network.neurons if n.reset_by and role in ("", n.role) and _resets_as(n, resets)]
        several = limit.value != 1  # on the chip
        has = f"up to {limit.value}" if isinstance(limit.value, int) else limit.value
        differing = [layer for layer in spiking if (layer.reset_by == "several") != several]
        text = f"one, the chip {has}" if several else "several, the chip one"
        for layer in differing:
            yield row(limit, "differs", f"{text} where v passes the threshold more than once", layer, layer.reset_by)
        if spiking and not differing:
            yield row(limit, "fits", f"{has if several else 'one'}, as the chip", used=limit.value)

    return check


def _lower_bound(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    """What holds v from below; where it is reset otherwise it is another neuron in any case."""
    resets = chip.limits.get("reset")
    spiking = [layer for layer in network.neurons if layer.reset_by and _resets_as(layer, resets)]
    falling = [layer for layer in spiking if not layer.bounded]
    for layer in falling:
        text = f"none, the chip has {limit.value}, which counts where v falls below it"
        hint = "; reset_method=reset_subtract_bounded has it" if is_bounded_by_reset(layer, chip) else ""
        yield row(limit, "differs", text + hint, layer)
    if spiking and not falling:
        yield row(limit, "fits", limit.value)


def _pools(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    pools = [layer for layer in network.layers if _pools_maps(layer)]
    for layer in pools:
        yield row(limit, "differs", f"the chip has pools {limit.value}", layer)
    if not pools:
        yield row(limit, "fits", "none")


def _pools_maps(layer: Layer) -> bool:
    return layer.primitive in ("AvgPool2d", "SumPool2d")


def _biases(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    biased = [layer for layer in network.weighted if layer.biases]
    for layer in biased:
        yield row(limit, "differs", f"{layer.biases:,}, which the chip has {limit.value}", layer, layer.biases)
    if not biased:
        yield row(limit, "fits", "none")


def _time_constants(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    """Decays by a bit shift: the state loses 2^-n of itself in a step, so forward Euler's τ/dt is 2^n."""
    timed = [(layer, name, value) for layer in network.neurons for name, values in layer.times for value in values]
    if not timed:
        return
    if network.dt is None:
        yield row(limit, "not checked", "the file says no time step; pass dt")
        return
    wrong = []
    for layer, name, value in timed:
        steps = value / network.dt
        nearest = 2 ** max(0, round(math.log2(steps)))
        if abs(steps - nearest) > 1e-4 * nearest:
            wrong.append((layer, name, steps, nearest))
    for layer, name, steps, nearest in wrong:
        text = f"{name} is {steps:.4g} time steps; nearest on the chip {nearest}, {nearest / steps - 1:+.0%}"
        yield row(limit, "does not fit", text, layer, steps, nearest)
    if not wrong:
        found = sorted({round(value / network.dt) for _, _, value in timed})
        yield row(limit, "fits", f"{', '.join(map(str, found))} time steps", used=found)


# ---- how many --------------------------------------------------------------------------------------------------------


def _input_channels(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    yield total(limit, sum(math.prod(shape) for shape in network.inputs.values()))


def _neurons(role: str) -> Check:
    def check(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
        yield total(limit, sum(layer.neurons for layer in network.neurons if role in ("", layer.role)))

    return check


def _layers(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    yield total(limit, len(network.weighted))


def _destinations(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    used = [
        (layer, len({c.target for c in network.connections if c.source == layer.name})) for layer in network.neurons
    ]
    yield from each_at_most(limit, used)


def _of_each(measure: Callable[[Layer], int], of: Callable[[Network], Sequence[Layer]]) -> Check:
    def check(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
        yield from each_at_most(limit, [(layer, measure(layer)) for layer in of(network)])

    return check


def _hidden(network: Network) -> list[Layer]:
    return [layer for layer in network.neurons if layer.role == "hidden"]


def _hidden_synapses(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    hidden = {layer.name for layer in _hidden(network)}
    inside = [c.synapses for c in network.connections if c.source in hidden and c.target in hidden]
    yield total(limit, sum(inside))


def _input_targets(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    fed = {c.target for c in network.connections if c.source in network.inputs}
    yield total(limit, sum(layer.neurons for layer in _hidden(network) if layer.name in fed))


def _output_sources(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    outputs = {layer.name for layer in network.neurons if layer.role == "output"}
    hidden = {layer.name for layer in _hidden(network)}
    read: dict[str, int] = {}
    for connection in network.connections:
        if connection.source in hidden and connection.target in outputs:
            read[connection.source] = max(read.get(connection.source, 0), connection.senders)
    yield total(limit, sum(read.values()))


# ---- weights ---------------------------------------------------------------------------------------------------------


def _synapses(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    yield total(limit, sum(layer.weights for layer in network.weighted))


def _weight_memory(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    bits = chip.limits["weight_bits"].value
    yield total(limit, math.ceil(sum(layer.weights for layer in network.weighted) * bits / 8))


def _weight_bits(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    """Bits of the coarsest symmetric grid that the weights are on; of each row of its own where neurons may scale."""
    wrong = []
    for layer in network.weighted:
        bits = layer.bits_by_row if limit.per == "neuron" else layer.bits
        if bits is None or bits > limit.value:
            wrong.append((layer, bits))
    hint = f"norse.quantize(model, bits={limit.value}) puts them on a grid"
    for layer, bits in wrong:
        what = "floats on no grid of up to 16 bits" if bits is None else f"{bits} bits"
        if limit.per == "tensor" and layer.bits_by_row is not None and layer.bits_by_row <= limit.value:
            what += f" with one scale ({layer.bits_by_row} with one for each output, which the chip has not)"
        over = "" if bits is None else f", {bits - limit.value} too many"
        text = f"{what}, the chip has {limit.value} {limit.unit}{over}; {hint}"
        yield row(limit, "does not fit", text, layer, bits)
    if network.weighted and not wrong:
        most = max((layer.bits_by_row if limit.per == "neuron" else layer.bits) or 0 for layer in network.weighted)
        yield row(limit, "fits", f"{most} of {limit.value} {limit.unit}", used=most)


# ---- maps and kernels ------------------------------------------------------------------------------------------------


def _input_size(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    yield from each_within(limit, [(None, shape[1:]) for shape in network.inputs.values() if len(shape) == 3])


def _map_size(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    maps = [(layer, layer.shape_out[1:]) for layer in network.neurons if len(layer.shape_out) == 3]
    yield from each_within(limit, maps)


def _channels(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    made = convolutions(network, chip)
    yield from each_at_most(limit, [(conv.layer, max(conv.channels_in, conv.channels_out)) for conv in made])


def _kernel_size(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    made = convolutions(network, chip)
    yield from each_within(limit, [(conv.layer, conv.kernel) for conv in made])


def _kernel_shape(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    made = [conv for conv in convolutions(network, chip) if conv.layer.primitive == "Conv2d"]
    wrong = [conv for conv in made if len(set(conv.kernel)) > 1]
    for conv in wrong:
        yield row(limit, "does not fit", f"{by(conv.kernel)}, expected a square", conv.layer, list(conv.kernel))
    if made and not wrong:
        yield row(limit, "fits", limit.value)


def _strides(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    yield from each_among(limit, [(conv.layer, conv.stride) for conv in convolutions(network, chip)])


def _paddings(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    yield from each_among(limit, [(conv.layer, conv.padding) for conv in convolutions(network, chip)])


def _pool_sizes(network: Network, limit: Limit, chip: Chip) -> Iterator[Row]:
    pools = [layer for layer in network.layers if _pools_maps(layer)]
    yield from each_among(limit, [(layer, (*layer.kernel, *layer.stride)) for layer in pools])
    for layer in pools:
        if layer.kernel != layer.stride or len(set(layer.kernel)) > 1 or any(layer.padding):
            text = (
                f"expected a square kernel, its size as stride and no padding, got kernel {by(layer.kernel)}, "
                f"stride {by(layer.stride)}, padding {by(layer.padding)}"
            )
            yield row(limit, "does not fit", text, layer, list(layer.kernel))


def _said_elsewhere(network: Network, limit: Limit, chip: Chip) -> Iterable[Row]:
    """Numbers that another check reads."""
    return ()


CHECKS: Mapping[str, Check] = {
    "primitives": _primitives,
    "order": _order,
    "structure": _structure,
    "recurrence": _recurrence,
    "ticks": check_ticks,
    "reset": _reset,
    "spikes": _spikes(""),
    "hidden_spikes": _spikes("hidden"),
    "output_spikes": _spikes("output"),
    "lower_bound": _lower_bound,
    "pools": _pools,
    "biases": _biases,
    "time_constants": _time_constants,
    "input_channels": _input_channels,
    "input_size": _input_size,
    "input_targets": _input_targets,
    "output_sources": _output_sources,
    "neurons": _neurons(""),
    "hidden_neurons": _neurons("hidden"),
    "output_neurons": _neurons("output"),
    "layers": _layers,
    "destinations": _destinations,
    "fan_in": _of_each(lambda layer: layer.fan_in, lambda network: network.neurons),
    "fan_out": _of_each(lambda layer: layer.fan_out, lambda network: network.neurons),
    "hidden_fan_out": _of_each(lambda layer: layer.hidden_fan_out, _hidden),
    "hidden_synapses": _hidden_synapses,
    "synapses": _synapses,
    "weight_memory": _weight_memory,
    "weight_bits": _weight_bits,
    "channels": _channels,
    "kernel_size": _kernel_size,
    "kernel_shape": _kernel_shape,
    "strides": _strides,
    "paddings": _paddings,
    "map_size": _map_size,
    "pool_sizes": _pool_sizes,
    "linear": _said_elsewhere,  # by `convolutions`
    "core_kernels": check_cores,
    "core_neurons": _said_elsewhere,  # by `check_cores`
    "core_biases": _said_elsewhere,
    "circuits": check_circuits,
    "circuit_fan_in": _said_elsewhere,  # by `check_circuits`
}
