"""Builds what `random_networks` describes: the module, its input and state, and weights with which its neurons fire."""

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import norse.torch as snn
from norse.torch.functional.reset import DetachedReset, reset_subtract, reset_value

from .comparison import Call, once, tick_by_tick
from .random_networks import FEATURES, FORMS, Layer, Network, Neuron, neurons_of
from .random_steps import expression_step, resting, step_parameters
from .random_wirings import Branches, Named, Scaled, Skip, UserLoop

RESETS: dict[str, Any] = {
    "value": reset_value,
    "subtract": reset_subtract,
    "value, detached": DetachedReset(reset_value),
    "subtract, detached": DetachedReset(reset_subtract),
}
NEVER_RECORDS = {"iaf", "lif_box", "leaky_integrator_box"}
LOOPS = ("loop", "recurrent sequential")


@dataclass
class Case:
    """A network that can be called."""

    network: Network
    model: nn.Module
    x: Tensor
    state: Any
    call: Call


def build(network: Network) -> Case:
    """The module and its call; its weights are scaled until every spiking layer both spikes and is silent."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(network.seed)
        model = _model(network)
        dtype = getattr(torch, network.dtype)
        model = model.to(dtype).train(network.training)
        for module in model.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.eval()
        if network.gradients == "input":
            model.requires_grad_(False)
        x, call = _input(network, dtype), _call(network)
        for _ in range(ROUNDS):
            if not _adjusted(model, x, call, network):
                break
        return Case(network, model, x, _state(network, model, x, call), call)


def _model(network: Network) -> nn.Module:
    modules, out = _modules(network.parts, network.wiring == "over time", network.sample)
    if network.wiring == "recurrent sequential":
        return UserLoop(snn.RecurrentSequential(*modules), network.loop, network.sample, out)
    chain = snn.SequentialState(*modules, return_hidden=network.hidden)
    if network.wiring == "lifted":
        return snn.Lift(chain)
    if network.wiring == "loop":
        return UserLoop(chain, network.loop, network.sample, out)
    return Named(chain) if network.result == "dict" else chain


def _modules(parts: Sequence[Any], over_time: bool, sample: tuple[int, ...]) -> tuple[list[nn.Module], tuple[int, ...]]:
    modules: list[nn.Module] = []
    for part in parts:
        module, sample = _module(part, over_time, sample)
        modules.append(module)
    return modules, sample


def _module(part: Any, over_time: bool, sample: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
    if isinstance(part, Neuron):
        return _neuron(part, over_time, sample), sample
    if isinstance(part, Layer):
        layer, after = _layer(part.name, over_time and not part.lifted, sample)
        return (snn.Lift(layer) if over_time and part.lifted else layer), after
    chains = [snn.SequentialState(*_modules(chain, over_time, sample)[0]) for chain in part.chains]
    if part.how == "skip":
        return Skip(chains[0]), sample
    merge = nn.Linear(2 * sample[-1], sample[-1]) if part.how == "cat" else None
    return Branches(*chains, merge), sample


def _layer(name: str, over_time: bool, sample: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
    """A layer for one tick, or (a few of them) over time; and the sample behind it."""
    channels, last, rank = sample[0], sample[-1], len(sample) - 1
    half = (*sample[:1], *(max(size // 2, 1) for size in sample[1:]))

    def of_rank(kind: str) -> Any:
        return getattr(nn, f"{kind}{rank}d")

    makes: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
        "Linear": (lambda: _strong(nn.Linear(last, FEATURES[0])), (*sample[:-1], FEATURES[0])),
        "Linear, no bias": (lambda: _strong(nn.Linear(last, FEATURES[0], bias=False)), (*sample[:-1], FEATURES[0])),
        "Embedding": (lambda: nn.Embedding(6, FEATURES[0]), sample),
        "LayerNorm": (lambda: nn.LayerNorm(last), sample),
        "RMSNorm": (lambda: nn.RMSNorm(last), sample),
        "GroupNorm": (lambda: nn.GroupNorm(2, channels), sample),
        "BatchNorm": (lambda: _used(getattr(nn, f"BatchNorm{max(rank, 1)}d")(channels)), sample),
        "InstanceNorm": (lambda: of_rank("InstanceNorm")(channels, affine=True), sample),
        "Tanh": (nn.Tanh, sample),
        "ReLU": (nn.ReLU, sample),
        "Identity": (nn.Identity, sample),
        "Softmax": (lambda: nn.Softmax(-1), sample),
        "Dropout": (lambda: nn.Dropout(0.3), sample),
        "Dropout2d": (lambda: nn.Dropout2d(0.3), sample),
        "scaled": (Scaled, sample),
        "Conv": (lambda: _strong(of_rank("Conv")(channels, channels, 3, padding=1)), sample),
        "Conv, depthwise": (
            lambda: _strong(of_rank("Conv")(channels, channels, 3, padding=1, groups=channels)), sample),
        "ConvTranspose": (lambda: _strong(of_rank("ConvTranspose")(channels, channels, 3, padding=1)), sample),
        "LConv2d": (lambda: _strong(snn.LConv2d(channels, channels, 3, padding=1)), sample),
        "AvgPool, same": (lambda: of_rank("AvgPool")(3, stride=1, padding=1), sample),
        "MaxPool, same": (lambda: of_rank("MaxPool")(3, stride=1, padding=1), sample),
        "AvgPool, half": (lambda: of_rank("AvgPool")(2), half),
        "MaxPool, half": (lambda: of_rank("MaxPool")(2), half),
        "AdaptiveAvgPool": (lambda: of_rank("AdaptiveAvgPool")(2), (channels, *(2 for _ in sample[1:]))),
        "Flatten": (lambda: nn.Flatten(2 if over_time else 1), (math.prod(sample),)),
    }  # fmt: skip
    make, after = makes[name]
    return make(), after


def _strong(layer: Any) -> nn.Module:
    nn.init.normal_(layer.weight, 0.4, 2.0)
    return layer  # type: ignore[no-any-return]


def _used(norm: Any) -> nn.Module:
    """A batch norm that has seen data."""
    with torch.no_grad():
        norm.running_mean.normal_(0.1, 0.2)
        norm.running_var.uniform_(0.5, 1.5)
        norm.weight.normal_(2.0, 0.5)
        norm.bias.normal_(0.3, 0.2)
    return norm  # type: ignore[no-any-return]


def _neuron(neuron: Neuron, over_time: bool, sample: tuple[int, ...]) -> nn.Module:
    shapes = {"0-d": (), "neuron": sample, "channel": (sample[0], *(1 for _ in sample[1:]))}
    shape = shapes[neuron.shape]
    if neuron.form == "user":
        assert neuron.expression is not None
        step, p = expression_step(neuron.expression), _spread(step_parameters(), neuron, shape)
        if over_time:
            return snn.SNN(step, resting(True), p, record_states=neuron.option)
        return snn.SNNCell(step, resting(False), p)
    form = FORMS[neuron.form]
    kind = getattr(importlib.import_module(f"norse.torch.module.{form.model.file}"), form.name)
    n = sample[-1]
    sizes = (n, n) if form.weighted else (n,) if form.model.sized else ()
    options: dict[str, Any] = {"dt": neuron.dt} if form.model.file != "izhikevich" else {}
    if form.recurrent:
        options["autapses"] = neuron.option
    elif over_time and neuron.option and form.model.file not in NEVER_RECORDS:
        options["record_states"] = True
    return kind(*sizes, _spread(form.model.parameters(), neuron, shape), **options)  # type: ignore[no-any-return]


def _spread(p: Any, neuron: Neuron, shape: tuple[int, ...]) -> Any:
    """The model's parameters, a little different for every neuron, learnt or not, with another surrogate and reset."""
    changed: dict[str, Any] = {}
    for index, (name, value) in enumerate(p._asdict().items()):
        if name == "alpha":
            changed[name] = torch.tensor(neuron.alpha) if neuron.alpha == 10.0 else neuron.alpha
        elif name == "method":
            changed[name] = neuron.method
        elif name == "reset_method":
            changed[name] = RESETS[neuron.reset]
        elif hasattr(value, "_fields") and name != "s":
            changed[name] = _spread(value, neuron, shape)
        elif isinstance(value, Tensor | float | int) and name != "s":
            spread = torch.as_tensor(value) * (1 + 0.1 * torch.rand(shape))
            if not bool(torch.as_tensor(value).any()):
                spread = 0.1 * torch.rand(shape)
            wanted = neuron.learnt == "all" or (neuron.learnt == "some" and index % 2 == 0)
            changed[name] = nn.Parameter(spread) if wanted else spread
    return p._replace(**changed)


# ---- the call ----------------------------------------------------------------------------------------------------


def _input(network: Network, dtype: torch.dtype) -> Tensor:
    """Drawn in float64, so that float32 has the same numbers rounded."""
    if network.parts[0] == Layer("Embedding"):
        return torch.randint(0, 6, (network.ticks, network.batch))
    first, second = network.ticks, network.batch
    if network.loop.batch_first:
        first, second = second, first

    def values(*leading: int) -> Tensor:
        return (2 * torch.randn(*leading, *network.sample, dtype=torch.float64) + 1).to(dtype)

    match network.strides:
        case "batch first":
            return values(second, first).transpose(0, 1)
        case "every other":
            return values(2 * first, 2 * second)[::2, ::2]
        case "expanded in time":
            return values(1, second).expand(first, second, *network.sample)
        case "expanded in batch":
            return values(first, 1).expand(first, second, *network.sample)
    return values(first, second)


def _call(network: Network) -> Call:
    if network.wiring == "lifted":
        return lambda model, x, state: model((x, state))
    if network.wiring == "ticks":
        return tick_by_tick
    if network.wiring in LOOPS:
        if network.loop.second_input:
            return lambda model, x, state: model(x, 0.5 * x.flip(0), state)
        return lambda model, x, state: model(x, state=state)
    return once


def _state(network: Network, model: nn.Module, x: Tensor, call: Call) -> Any:
    """A state in the middle of a run, of as many samples or of one that stands for all."""
    if network.state == "none" or network.ticks == 0 or _records(network.parts):
        return None
    short = x
    if network.state == "of one sample" and not network.training:
        short = x[:1] if network.loop.batch_first else x[:, :1]
    with torch.no_grad():
        result = call(model, short, None)
    if isinstance(result, dict):
        return None if isinstance(result.get("states"), Tensor) else result.get("states")
    return result[-1] if isinstance(result, tuple) and network.loop.outputs != "alone" else None


def _records(parts: Sequence[Any]) -> bool:
    """The states of all ticks are no state to go on from."""
    return any(n.option and not (n.form in FORMS and FORMS[n.form].recurrent) for n in neurons_of(parts))


# ---- spikes and silence ------------------------------------------------------------------------------------------

ROUNDS = 12


def rates(model: nn.Module, x: Tensor, call: Call) -> dict[str, float]:
    """How often the neurons of every spiking layer fire, in the order in which they run."""
    seen: dict[str, list[Tensor]] = {}
    hooks = []
    for path, module in model.named_modules():
        if hasattr(module, "state_fallback") and not _integrates(module):
            outputs = seen.setdefault(path, [])
            hooks.append(
                module.register_forward_hook(lambda _m, _i, out, o=outputs: o.append(out[0].detach().flatten()))
            )
    buffers = [buffer.clone() for buffer in model.buffers()]
    with torch.no_grad():
        call(model, x, None)
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)
    for hook in hooks:
        hook.remove()
    return {path: float(torch.cat(found).mean()) for path, found in seen.items() if found and torch.cat(found).numel()}


def _integrates(module: Any) -> bool:
    return isinstance(module, snn.LI | snn.LICell | snn.LIBox | snn.LIBoxCell | snn.LILinear | snn.LILinearCell)


def _adjusted(model: nn.Module, x: Tensor, call: Call, network: Network) -> bool:
    """Whether something was scaled: what leads to the first layer that never or always fires, else its threshold."""
    if network.ticks < 2:
        return False
    for path, rate in rates(model, x, call).items():
        if 0 < rate < 1:
            continue
        factor = 3.0 if rate == 0 else 0.3
        neuron = model.get_submodule(path)
        with torch.no_grad():
            source = _leads_to(model, path)
            if source is not None:
                source.mul_(factor)
            else:
                if x.is_floating_point() and _is_first(model, path):
                    _base(x).mul_(factor)
                for name, tensor in (*neuron.named_parameters(), *neuron.named_buffers()):
                    if name.rsplit(".", 1)[-1] in ("v_th", "v_thresh"):
                        tensor.div_(factor)
        return True
    return False


def _base(x: Tensor) -> Tensor:
    """What an expanded tensor is a view of."""
    return x if x._base is None else x._base


def _is_first(model: nn.Module, path: str) -> bool:
    paths = [p for p, m in model.named_modules() if hasattr(m, "state_fallback")]
    return paths[0] == path


def _leads_to(model: nn.Module, path: str) -> Tensor | None:
    """The weights of the last synapse in front of a neuron, or its own."""
    own = getattr(model.get_submodule(path), "input_weights", None)
    if own is not None:
        return own.data  # type: ignore[no-any-return]
    last: Tensor | None = None
    for name, module in model.named_modules():
        if name == path:
            return last
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            last = module.weight.data
        elif hasattr(module, "state_fallback"):
            last = None
    return None
