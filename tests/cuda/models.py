"""The models whose CUDA kernels are compared with eager, their inputs, and how one is run.

Where neurons are connected, weights are multiples of 1/64 and inputs are spikes: their sums are exact in any order, so
eager and the kernels see equal currents and everything after them must be bit-identical.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse.torch as snn
from norse.backends.cpu import CpuBackend
from norse.backends.cuda import ShimBackend
from norse.compiler.backend import Backend, Region
from norse.compiler.module import CompiledModule
from norse.compiler.region import RegionProgram
from norse.compiler.schedule import Options
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters

TICKS, BATCH, NEURONS = 40, 3, 7
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}  # of max|difference| / max|eager gradient|


class ThreeTimes(torch.autograd.Function):
    """A spike with the derivative 3, which no formula for a spike gives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * 3


class UserState(NamedTuple):
    v: Tensor
    trace: Tensor


def user_step(x: Tensor, state: UserState, p: Tensor, dt: float) -> tuple[Tensor, UserState]:
    """Two states that exchange places, a clamp, a choice, and a spike through the reset."""
    v = torch.clamp(0.7 * state.trace + p * x, -1.5, 4.0)
    z = ThreeTimes.apply(0.1 * (v - 1))
    return z, UserState(v=torch.where(v > 2, v - 2, v * (1 - z)), trace=state.v)


def user_start(x: Tensor) -> UserState:
    return UserState(torch.zeros_like(x[0]), torch.full_like(x[0], 0.5))


def _learnt(value: float, *shape: int) -> nn.Parameter:
    return nn.Parameter(torch.full(shape, value) * (1 + 0.1 * torch.rand(shape)))


def _lif() -> nn.Module:
    alpha = torch.tensor(10.0)
    return snn.LIF(LIFParameters(tau_mem_inv=_learnt(150.0, NEURONS), v_th=_learnt(1.0), alpha=alpha))


def _lif_box() -> nn.Module:
    return snn.LIFBox(
        LIFBoxParameters(tau_mem_inv=_learnt(200.0), v_reset=_learnt(0.2, NEURONS), alpha=torch.tensor(10.0))
    )


def _li() -> nn.Module:
    return snn.LI(LIParameters(tau_syn_inv=_learnt(150.0, NEURONS)))


def _iaf() -> nn.Module:
    return snn.IAF(IAFParameters(v_th=_learnt(1.0, NEURONS), alpha=torch.tensor(10.0)))


def _user() -> nn.Module:
    return snn.SNN(user_step, user_start, p=_learnt(1.0, NEURONS))


def _recurrent_lif() -> nn.Module:
    p = LIFParameters(tau_mem_inv=torch.tensor(250.0), tau_syn_inv=torch.tensor(250.0), alpha=torch.tensor(10.0))
    return _on_a_grid(snn.LIFRecurrent(5, NEURONS, p))


def _on_a_grid(layer: Any) -> nn.Module:
    with torch.no_grad():
        layer.input_weights.copy_(torch.round(64 * (1 + torch.rand_like(layer.input_weights))) / 64)
        layer.recurrent_weights.copy_(torch.round(32 * torch.randn_like(layer.recurrent_weights)) / 64)
    return layer  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Model:
    make: Callable[[], nn.Module]
    scale: float  # of its input
    spikes: bool = True  # its output is 0 or 1
    connected: bool = False


MODELS = {
    "LIF": Model(_lif, 2.0),
    "LIFBox": Model(_lif_box, 6.0),
    "LI": Model(_li, 1.0, spikes=False),
    "IAF": Model(_iaf, 0.4),
    "recurrent LIF": Model(_recurrent_lif, 1.0, connected=True),
    "a user's step": Model(_user, 1.0),
}


def model_and_input(name: str, dtype: torch.dtype, ticks: int = TICKS) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    model = MODELS[name]
    module = model.make().to(dtype)
    if model.connected:
        x = (torch.rand(ticks, BATCH, 5) < 0.3).to(dtype)
    else:
        x = model.scale * (torch.randn(ticks, BATCH, NEURONS, dtype=dtype) + 0.5)
    return module, x


def through_shim(model: nn.Module, threads: int = 4, descending: bool = False) -> CompiledModule:
    """Four threads a block, so that a sample's seven neurons are more than a block's threads."""
    return compiled(model, ShimBackend(threads, descending))


def on_cpu(model: nn.Module) -> CompiledModule:
    return compiled(model, CpuBackend())


def compiled(model: nn.Module, backend: Backend) -> CompiledModule:
    return CompiledModule(copy.deepcopy(model), Options((backend,), exact=False, fast_math=False), fullgraph=True)


@dataclass
class Recorder:
    """A backend that keeps the programs which it hands to another."""

    inner: Backend
    programs: list[RegionProgram] = field(default_factory=list)
    name: str = "recorder"
    device: str = "cpu"

    def prepare(self, program: RegionProgram, title: str) -> Region:
        self.programs.append(program)
        return self.inner.prepare(program, title)

    def source(self, program: RegionProgram, title: str) -> str:
        return self.inner.source(program, title)


def program_of(name: str, dtype: torch.dtype = torch.float32) -> RegionProgram:
    """The program of a model's one loop, forward and backward."""
    module, x = model_and_input(name, dtype)
    recorder = Recorder(CpuBackend())
    compiled(module, recorder)(x.requires_grad_())
    (program,) = recorder.programs
    assert program.backward is not None
    return program


@dataclass(frozen=True)
class Run:
    results: list[Tensor]  # outputs, then the fields of the state
    gradients: dict[str, Tensor]


def run(model: nn.Module, x: Tensor, state: Any = None) -> Run:
    """Results and the gradients of input, state and parameters, for a random weighting of all results."""
    x = x.detach().requires_grad_()
    leaves = {"x": x, **dict(model.named_parameters())}
    if state is not None:
        state = pytree.tree_map(lambda leaf: leaf.detach().requires_grad_(), state)
        leaves.update((f"state {index}", leaf) for index, leaf in enumerate(pytree.tree_leaves(state)))
    results = pytree.tree_leaves(model(x) if state is None else model(x, state))
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(leaf.shape, generator=generator, dtype=torch.float64).to(leaf) for leaf in results]
    loss = sum((leaf * weight).sum() for leaf, weight in zip(results, weights, strict=True) if leaf.requires_grad)
    assert isinstance(loss, Tensor)
    found = torch.autograd.grad(loss, list(leaves.values()))
    return Run([leaf.detach() for leaf in results], dict(zip(leaves, found, strict=True)))


def assert_same_bits(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
        assert torch.equal(mine, other), f"{int((mine != other).sum())} of {mine.numel()} differ"


def assert_close_gradients(ours: dict[str, Tensor], eager: dict[str, Tensor]) -> None:
    """Within rounding, and nowhere a gradient that is zero throughout: it would agree with anything."""
    assert ours.keys() == eager.keys()
    for name, theirs in eager.items():
        assert theirs.any(), f"eager's gradient of {name} is zero everywhere: the case shows nothing"
        assert ours[name].any(), f"the gradient of {name} is zero everywhere"
        error = float((ours[name] - theirs).abs().max() / theirs.abs().max())
        assert error < TOLERANCE[theirs.dtype], f"the gradient of {name} is off by {error:.1e}"


def assert_spikes_and_silence(name: str, z: Tensor) -> None:
    if MODELS[name].spikes:
        assert set(z.unique().tolist()) == {0.0, 1.0}, "the case shows nothing unless neurons spike and are silent"
        assert z.flatten(0, -2).any(0).sum() > NEURONS // 2, "most neurons never spike"
    else:
        assert (z > 0).any() and (z < 0).any()
