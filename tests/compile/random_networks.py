"""Networks that nobody thought of: a description is drawn, printed when it fails, and kept where it found a bug.

`draw(choose, wiring)` takes a random.Random. A description is a plain value that prints as the code which makes it,
whatever the drawing becomes later. `random_modules.build` builds it.

Samples are 4 features, lines [2, 6] or maps [2, 4, 4]. Not drawn, since they are known to stay eager: a module of the
user's with a state inside of a Lift, and a user's step in feedback (what its first state is made of is unknown).
Random steps have tests of their own, and Dropout is in eval mode.
"""

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..torch import neurons as library
from .random_steps import Expression, draw_expression

FEATURES, LINE, MAP = (4,), (2, 6), (2, 4, 4)
BATCHES = (1, 2, 3, 17)
TICKS = (0, 1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 24)
FORMS = {form.name: form for form in library.FORMS}
RESETS = ("value", "subtract", "value, detached", "subtract, detached")
METHODS = ("super", "tanh", "triangle", "circ", "heavi_erfc")
PLAIN = {"lif", "lif_box", "iaf", "lsnn", "leaky_integrator"}
"""Models of plain neurons."""
EXPONENTIAL = {"lif_ex", "lif_adex", "lif_adex_refrac"}
"""Models that run away unless a spike sets them back far enough."""

# ---- descriptions ------------------------------------------------------------------------------------------------


class Described:
    def __repr__(self) -> str:
        """As the code that makes it, without what is as it is by default."""
        fields = [f for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in fields)})"


@dataclass(frozen=True, repr=False)
class Neuron(Described):
    """A form of one of the library's models, or of a step that was drawn."""

    form: str  # the name of a class, or "user"
    shape: str = "0-d"  # of its parameters: "0-d", "neuron", "channel"
    learnt: str = "none"  # which of them are nn.Parameters: "none", "some", "all"
    method: str = "super"
    alpha: float = 10.0
    reset: str = "value"
    dt: float = 0.001
    option: bool = False  # autapses of a recurrent form, record_states of a layer over time
    expression: Expression | None = None  # of "user"


@dataclass(frozen=True, repr=False)
class Layer(Described):
    """One of torch's layers, by the name of what makes it."""

    name: str
    lifted: bool = False


@dataclass(frozen=True, repr=False)
class Part(Described):
    """Parts put together: "skip" around a chain, branches that are added ("add") or concatenated ("cat")."""

    how: str
    chains: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, repr=False)
class Loop(Described):
    """How a user's loop goes through the ticks, and what it keeps."""

    ticks: str = "index"  # "index", "unbind", "iterate", "enumerate"
    keeps: tuple[str, ...] = ("all",)  # "all", "sum", "max", "mean", "last", "list", "first half", "states"
    outputs: str = "tuple"  # "tuple", "dict", "alone"
    feedback: str = ""  # "output": enters the next tick; "trace": a decaying sum of inputs; "previous": the last input
    states: str = ""  # "detach", "decay": what happens to states between ticks
    batch_first: bool = False
    second_input: bool = False


@dataclass(frozen=True, repr=False)
class Network(Described):
    """A whole model, and its call."""

    wiring: str  # "over time", "lifted", "ticks", "loop", "recurrent sequential"
    parts: tuple[Any, ...]
    sample: tuple[int, ...] = FEATURES
    loop: Loop = Loop()
    hidden: bool = False  # return_hidden of the chain
    result: str = "state"  # over time: "state" of SequentialState, or a "dict" of a user's module
    ticks: int = 5
    batch: int = 2
    dtype: str = "float64"
    strides: str = "contiguous"  # "batch first", "every other", "expanded in time", "expanded in batch"
    state: str = "none"  # "none", "given", "of one sample"
    gradients: str = "all"  # of "all", the "input" (weights are frozen), or "none" (torch.no_grad)
    training: bool = False
    seed: int = 0


def neurons_of(parts: Sequence[Any]) -> list[Neuron]:
    found: list[Neuron] = []
    for part in parts:
        if isinstance(part, Neuron):
            found.append(part)
        elif isinstance(part, Part):
            found += neurons_of([inner for chain in part.chains for inner in chain])
    return found


# ---- drawing -----------------------------------------------------------------------------------------------------

ANYWHERE = ("Linear", "Linear, no bias", "LayerNorm", "Tanh", "ReLU", "Identity", "Softmax", "Dropout", "scaled")
ON_FEATURES = ("Linear", "Linear", "Linear, no bias", *ANYWHERE, "GroupNorm", "BatchNorm", "RMSNorm")
ON_LINES = ("Conv", "Conv", "Conv, depthwise", "BatchNorm", "ReLU", "AvgPool, same", "MaxPool, same", "LayerNorm")
ON_MAPS = (*ON_LINES, "ConvTranspose", "GroupNorm", "InstanceNorm", "Dropout2d", "LConv2d")
POOLS = ("AvgPool, half", "MaxPool, half", "AdaptiveAvgPool", "")
STRIDES = ("batch first", "every other", "expanded in time", "expanded in batch")
ALWAYS_LIFTED = {"GroupNorm", "BatchNorm", "InstanceNorm", "Dropout2d", "AdaptiveAvgPool", "ConvTranspose"}


def draw(choose: random.Random, wiring: str) -> Network:
    over_time = wiring == "over time"
    sample = choose.choice([FEATURES] * 5 + [LINE, MAP])
    if wiring == "recurrent sequential":
        sample = FEATURES
    training = choose.random() < 0.15
    loop = _draw_loop(choose, wiring) if wiring in ("loop", "recurrent sequential") else Loop()
    fed_back = wiring == "recurrent sequential" or bool(loop.feedback)
    dtype = choose.choice(["float32", "float64"])
    plain = dtype if choose.random() < 0.5 else ""
    parts = _draw_chain(choose, sample, Rules(over_time, wiring != "lifted", not fed_back, plain))
    if sample == FEATURES and wiring in ("over time", "ticks") and choose.random() < 0.06:
        parts = (Layer("Embedding"), *parts)
    ticks = 200 if choose.random() < 0.02 else choose.choice(TICKS)
    if wiring in ("loop", "recurrent sequential", "ticks"):
        ticks = max(ticks, 1)  # nothing to stack is an error
    if wiring == "ticks":
        ticks = min(ticks, 12)
    batch = choose.choice(BATCHES)
    return Network(
        wiring=wiring,
        parts=parts,
        sample=sample,
        loop=loop,
        hidden=over_time and choose.random() < 0.3,
        result=choose.choice(["state", "state", "dict"]) if over_time else "state",
        ticks=ticks,
        batch=max(batch, 2) if training else batch,
        dtype=dtype,
        strides=choose.choice(["contiguous"] * 4 + list(STRIDES)),
        state=choose.choice(["none", "none", "given", "of one sample"]),
        gradients=choose.choice(["all"] * 8 + ["input", "none"]),
        training=training,
        seed=choose.randrange(1000),
    )


@dataclass(frozen=True)
class Rules:
    """What may be drawn in a chain."""

    over_time: bool
    nested: bool  # parts of parts
    steps: bool  # of users
    plain: str = ""  # the dtype of a network of plain neurons, of which there are few kinds, so that kernels come again
    flat: bool = True  # features alone


def _draw_chain(choose: random.Random, sample: tuple[int, ...], rules: Rules) -> tuple[Any, ...]:
    """One to three neurons, with layers between."""
    if sample == FEATURES:
        return tuple(_draw_parts(choose, ON_FEATURES, choose.choice([1, 1, 1, 1, 2, 2, 3]), rules))
    in_space = dataclasses.replace(rules, flat=False)
    parts = _draw_parts(choose, ON_MAPS if sample == MAP else ON_LINES, 1, in_space)
    pool = choose.choice(POOLS)
    if pool:
        parts.append(Layer(pool, rules.over_time))
    if choose.random() < 0.6:
        parts += [Layer("Flatten", rules.over_time and choose.random() < 0.5), Layer("Linear")]
        parts += _draw_parts(choose, ON_FEATURES, 1, dataclasses.replace(rules, nested=False))
    return tuple(parts)


def _draw_parts(choose: random.Random, layers: tuple[str, ...], count: int, rules: Rules) -> list[Any]:
    parts: list[Any] = []
    inner = dataclasses.replace(rules, nested=False)
    for _ in range(count):
        parts += [_draw_layer(choose, layers, rules) for _ in range(choose.choice([0, 1, 1, 1, 2]))]
        if rules.nested and choose.random() < 0.2:
            how = choose.choice(["skip", "add", "cat"] if rules.flat else ["skip", "add"])
            chains = 1 if how == "skip" else 2
            parts.append(Part(how, tuple(tuple(_draw_parts(choose, layers, 1, inner)) for _ in range(chains))))
        else:
            parts.append(_draw_neuron(choose, rules))
    return parts


def _draw_layer(choose: random.Random, layers: tuple[str, ...], rules: Rules) -> Layer:
    name = choose.choice([layer for layer in layers if rules.over_time or layer != "LConv2d"])
    if not rules.over_time or name == "LConv2d":  # which has time itself
        return Layer(name)
    of_one_tick = not rules.flat and name not in ("ReLU", "LayerNorm")
    return Layer(name, of_one_tick or name in ALWAYS_LIFTED or choose.random() < 0.2)


def _draw_neuron(choose: random.Random, rules: Rules) -> Neuron:
    shape = choose.choice(["0-d", "0-d", "neuron", "neuron", "neuron" if rules.flat else "channel"])
    learnt = choose.choice(["none", "all", "all", "some"])
    if rules.steps and choose.random() < 0.15:
        return Neuron("user", shape, learnt, option=choose.random() < 0.2, expression=draw_expression(choose))
    fitting = [form for form in library.FORMS if form.over_time == rules.over_time and (rules.flat or not form.sizes)]
    if rules.plain:
        form = choose.choice([each for each in fitting if each.model.file in PLAIN])
        recurrent = form.recurrent and choose.random() < 0.5
        return Neuron(form.name, "0-d" if rules.plain == "float32" else "neuron", "all", option=recurrent)
    form = choose.choice(fitting)
    return Neuron(
        form.name,
        shape,
        learnt,
        choose.choice(["super", *METHODS]),
        choose.choice([10.0, 10.0, 4.0]),
        choose.choice(["value", "value, detached"] if form.model.file in EXPONENTIAL else ["value", "value", *RESETS]),
        choose.choice([0.001, 0.001, 0.002]),
        choose.random() < (0.5 if form.recurrent else 0.15),
    )


def _draw_loop(choose: random.Random, wiring: str) -> Loop:
    kept = ("all", "sum", "max", "mean", "last", "list", "first half", "states")
    keeps = tuple(sorted(choose.sample(kept, choose.choice([1, 1, 2, 3])), key=kept.index))
    return Loop(
        choose.choice(["index", "unbind", "iterate", "enumerate"]),
        keeps,
        choose.choice(["tuple", "dict", "alone"]),
        "" if wiring == "recurrent sequential" else choose.choice(["", "", "output", "trace", "previous"]),
        "" if wiring == "recurrent sequential" else choose.choice(["", "", "", "", "detach", "decay"]),
        choose.random() < 0.2,
        choose.random() < 0.2,
    )
