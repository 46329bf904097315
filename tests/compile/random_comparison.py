"""Compares a drawn network with what it compiles to, in both modes, and counts what that showed."""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

import norse
from norse.backends.cpu import CpuBackend
from norse.compiler.backend import Backend, Region
from norse.compiler.errors import Unsupported
from norse.compiler.explain import loops
from norse.compiler.module import CompiledModule
from norse.compiler.region import RegionProgram

from .comparison import TOLERANCE, Observation, assert_same_results, observe
from .random_modules import Case, build, rates
from .random_networks import Network, neurons_of

CLOSE = {torch.float32: 1e-4, torch.float64: 1e-9}  # results of the default mode, of the largest: sums in another order
SMALL = 1e-3  # a gradient of less than this, of the largest one, is what is left of terms that cancel


@dataclass
class SparingBackend:
    """The CPU backend, for so many kernels, and none that only one network needs; other loops run with torch."""

    most: int
    rare: bool = False  # whether to build what only one network needs
    network: int = 0  # which one is compiled now
    first: dict[str, int] = field(default_factory=dict)  # which network needed a kernel first
    kernels: set[str] = field(default_factory=set)
    inner: Backend = field(default_factory=CpuBackend)
    name: str = "cpu"
    device: str = "cpu"

    def prepare(self, program: RegionProgram, title: str) -> Region:
        again = self.rare or self.first.setdefault(program.key, self.network) != self.network
        if program.key not in self.kernels and (not again or len(self.kernels) >= self.most):
            raise Unsupported("this kernel is not built")
        self.kernels.add(program.key)
        return self.inner.prepare(program, title)

    def source(self, program: RegionProgram, title: str) -> str:
        return self.inner.source(program, title)


@dataclass
class Tally:
    """What all networks together showed."""

    networks: int = 0
    eager: list[str] = field(default_factory=list)  # compiled to nothing but eager, and why: these show nothing
    undefined: int = 0  # eager raises, or gives infinities
    loops: Counter[str] = field(default_factory=Counter)
    layers: int = 0
    one_sided: int = 0  # spiking layers that always or never fire
    neurons: int = 0
    per_neuron: int = 0  # with parameters of their own
    most_ticks: int = 0
    spikes: int = 0
    flipped: int = 0  # spikes of the default mode that are not eager's
    rounded_away: int = 0  # networks in the default mode whose float32 results differ by more than rounding
    gradients: int = 0
    cancelling: int = 0  # of these, those of float32 in which rounding is more than the tolerance
    worst: dict[str, float] = field(default_factory=lambda: {"float32": 0.0, "float64": 0.0})

    def __str__(self) -> str:
        return (
            f"{self.networks} networks, {len(self.eager)} of them eager, {self.undefined} undefined; T up to "
            f"{self.most_ticks}; loops: {self.loops['native']} native, {self.loops['torch']} with torch; "
            f"{self.neurons} neuron layers, {self.per_neuron} with parameters per neuron; {self.one_sided} of "
            f"{self.layers} spiking layers always or never fire; default mode: {self.flipped} of {self.spikes} spikes "
            f"flipped, {self.rounded_away} networks differ by more than rounding; {self.gradients} runs with "
            f"gradients, {self.cancelling} of terms that cancel, else off by at most {self.worst['float32']:.1e} in "
            f"float32, {self.worst['float64']:.1e} in float64"
        )


def check(network: Network, backend: SparingBackend, tally: Tally, **options: Any) -> CompiledModule | None:
    """Exact: eager's bits. Default: close to eager, or (in float32 alone) so in float64. Gradients in both.

    Returns what was compiled last, with further `options`; None where eager raises.
    """
    case = build(network)
    backend.network += 1
    _count(case, tally)
    reference = copy.deepcopy(case.model)
    try:
        eager = observed(case, reference)
    except (RuntimeError, ValueError, TypeError) as error:
        _check_error(case, backend, error)
        tally.undefined += 1
        return None
    for exact in (True, False):
        compiled = _compiled(case, backend, exact, **options)
        ours = observed(case, compiled)
        if exact:
            assert_same_results(ours, eager)
            _count_loops(compiled, network, tally)
        elif not _close(ours, eager, network, backend, tally):
            continue
        for (name, theirs), mine in zip(reference.named_buffers(), compiled.buffers(), strict=True):
            close = largest(mine - theirs) <= (0 if exact else CLOSE.get(theirs.dtype, 0.0)) * largest(theirs)
            assert close, f"the statistics {name} are not eager's"
        if all(gradient is None or bool(gradient.isfinite().all()) for gradient in eager.gradients.values()):
            _check_gradients(ours, eager, network, backend, tally)
        else:
            tally.undefined += exact
    return compiled


def observed(case: Case, model: nn.Module) -> Observation:
    torch.manual_seed(11)
    if case.network.gradients == "none" or case.network.ticks == 0:
        with torch.no_grad():
            return observe(model, case.x, case.state, case.call, backward=False)
    return observe(model, case.x, case.state, case.call)


def _compiled(case: Case, backend: Backend, exact: bool, **options: Any) -> CompiledModule:
    """As a user compiles it, but for the backend; every second one with linear layers that are event-driven always."""
    sparse = True if case.network.seed % 2 else "auto"
    compiled = norse.compile(copy.deepcopy(case.model), exact=exact, sparse=sparse, **options)
    compiled.__dict__["_options"] = replace(compiled.__dict__["_options"], backends=(backend,))
    return compiled


def _count(case: Case, tally: Tally) -> None:
    network = case.network
    tally.networks += 1
    tally.most_ticks = max(tally.most_ticks, network.ticks)
    neurons = neurons_of(network.parts)
    tally.neurons += len(neurons)
    tally.per_neuron += sum(neuron.shape != "0-d" for neuron in neurons)
    if network.ticks > 2:
        found = rates(case.model, case.x, case.call)
        tally.layers += len(found)
        tally.one_sided += sum(not 0 < rate < 1 for rate in found.values())


def _count_loops(compiled: CompiledModule, network: Network, tally: Tally) -> None:
    variant = compiled._called()
    found = loops(variant.steps) if variant.trace is not None else []
    if not found:
        reasons = variant.trace.eager.values() if variant.trace is not None else [variant.reason]
        tally.eager.append(f"{'; '.join(reasons)}: {network}")
    tally.loops.update("native" if loop.built else "torch" for loop in found)


def _check_error(case: Case, backend: Backend, error: Exception) -> None:
    for exact in (True, False):
        try:
            observed(case, _compiled(case, backend, exact))
        except (RuntimeError, ValueError, TypeError):
            continue
        raise AssertionError(f"eager raises, what is compiled does not: {error!r}")


# ---- results in the default mode ---------------------------------------------------------------------------------


def _close(ours: Observation, eager: Observation, network: Network, backend: SparingBackend, tally: Tally) -> bool:
    """Whether spikes are equal and the rest is close; if not, that rounding alone is why."""
    close = True
    for mine, theirs in _pairs(ours, eager):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        assert torch.equal(mine.isfinite(), theirs.isfinite()), "it is finite elsewhere"
        if theirs.numel() and bool(((theirs == 0) | (theirs == 1)).all()):
            tally.spikes += theirs.numel()
            tally.flipped += int((mine != theirs).sum())
        close &= largest(mine - theirs) <= CLOSE[theirs.dtype] * max(largest(theirs), SMALL)
    if not close:
        off = max(largest(mine - theirs) for mine, theirs in _pairs(ours, eager))
        assert network.dtype == "float32", f"results of the default mode are off by {off:.1e}"
        check(replace(network, dtype="float64"), backend, Tally())
        tally.rounded_away += 1
    return close


def _pairs(ours: Observation, eager: Observation) -> Iterator[tuple[Tensor, Tensor]]:
    for mine, theirs in zip(ours.leaves, eager.leaves, strict=True):
        if isinstance(theirs, Tensor):
            yield mine, theirs
        else:
            assert mine == theirs


# ---- gradients ---------------------------------------------------------------------------------------------------


def _check_gradients(
    ours: Observation, eager: Observation, network: Network, backend: SparingBackend, tally: Tally
) -> None:
    scale = max([0.0, *map(largest, eager.gradients.values())])
    tally.gradients += bool(scale)
    for name, theirs in eager.gradients.items():
        mine = ours.gradients[name]
        if theirs is None:
            assert largest(mine) == 0, f"{name} has a gradient, in eager it has none"
        elif largest(theirs) == 0:
            assert largest(mine) <= SMALL * TOLERANCE[theirs.dtype] * scale, f"the gradient of {name} is not zero"
        else:
            assert mine is not None, f"{name} has no gradient"
            assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype), name
            error = largest(mine - theirs) / max(largest(theirs), SMALL * scale)
            if error >= TOLERANCE[theirs.dtype]:
                _check_cancelling(network, name, mine, theirs, backend, tally)
                return
            tally.worst[network.dtype] = max(tally.worst[network.dtype], error)


def _check_cancelling(
    network: Network, name: str, mine: Tensor, theirs: Tensor, backend: SparingBackend, tally: Tally
) -> None:
    """In float32, terms that cancel leave more than 1e-4: eager is as far from float64, where both are equal."""
    off = f"the gradient of {name} is off by {largest(mine - theirs) / largest(theirs):.1e}"
    assert network.dtype == "float32", off
    double = replace(network, dtype="float64")
    check(double, backend, Tally())
    case = build(double)
    right = observed(case, case.model).gradients[name]
    assert right is not None and largest(mine - right) <= 4 * largest(theirs - right), off
    tally.cancelling += 1


def largest(x: Tensor | None) -> float:
    return 0.0 if x is None or not x.numel() else float(x.detach().double().nan_to_num(0.0, 0.0, 0.0).abs().max())
