"""What every comparison here does: one call of a model and of what it compiles to, results and gradients side by side.

Eager runs on a deep copy that was made before anything was compiled, so nothing can leak from one to the other.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse
import norse.torch as snn
from norse.compiler.module import CompiledModule

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}  # of a gradient: max|difference| / max|eager gradient|
_INTEGRATORS = (snn.LI, snn.LIBox, snn.LICell, snn.LIBoxCell)


@dataclass(frozen=True)
class Observation:
    """What a call gave: its results, and the gradients of a random weighting of all of them."""

    results: Any
    gradients: dict[str, Tensor | None]

    @property
    def leaves(self) -> list[Any]:
        return pytree.tree_leaves(self.results)


Call = Callable[[nn.Module, Any, Any], Any]


def once(model: nn.Module, x: Any, state: Any) -> Any:
    return model(x) if state is None else model(x, state)


def tick_by_tick(model: nn.Module, x: Any, state: Any) -> Any:
    """A model of cells over a sequence: its outputs, and its last state."""
    outputs = []
    for tick in x.unbind(0):
        out, state = once(model, tick, state)
        outputs.append(out)
    return torch.stack(outputs), state


def observe(model: nn.Module, x: Tensor, state: Any = None, call: Call = once, backward: bool = True) -> Observation:
    """Calls the model on fresh leaves with the values, and the strides, of `x` and `state`."""
    given = {"x": x, **{f"state{key}": leaf for key, leaf in _named_tensors(state)}}
    leaves = {name: _as_leaf(tensor, backward) for name, tensor in given.items()}
    fresh = iter([leaf for name, leaf in leaves.items() if name != "x"])
    state = pytree.tree_map(lambda leaf: next(fresh) if isinstance(leaf, Tensor) else leaf, state)
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    wanted |= {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    results = call(model, leaves["x"], state)
    if not backward:
        return Observation(_detached(results), {})
    return Observation(_detached(results), gradients_of(results, wanted))


def gradients_of(results: Any, wanted: dict[str, Tensor]) -> dict[str, Tensor | None]:
    generator = torch.Generator().manual_seed(7)
    loss = torch.zeros((), dtype=torch.float64)
    for leaf in pytree.tree_leaves(results):
        if isinstance(leaf, Tensor) and leaf.requires_grad:
            weight = torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
            loss = loss + (leaf.double() * weight).sum()
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return dict(zip(wanted, found, strict=True))


def assert_same_results(ours: Observation, eager: Observation) -> None:
    """Bit for bit, in the same structure."""
    assert pytree.tree_structure(ours.results) == pytree.tree_structure(eager.results)
    for index, (mine, theirs) in enumerate(zip(ours.leaves, eager.leaves, strict=True)):
        if not isinstance(theirs, Tensor):
            assert mine == theirs
            continue
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype), f"result {index}"
        same = torch.equal(mine, theirs) or torch.equal(mine.nan_to_num(9.0), theirs.nan_to_num(9.0))
        assert same, f"result {index} differs in {(mine != theirs).sum()} of {mine.numel()} elements"


def assert_close_results(ours: Observation, eager: Observation, tolerance: float) -> None:
    assert pytree.tree_structure(ours.results) == pytree.tree_structure(eager.results)
    for mine, theirs in zip(ours.leaves, eager.leaves, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        if theirs.numel():
            assert (mine - theirs).abs().max() <= tolerance * theirs.abs().max()


def assert_same_gradients(ours: Observation, eager: Observation, without_gradient: tuple[str, ...] = ()) -> None:
    """None where eager has none, else close to eager's and not zero everywhere.

    `without_gradient` names what has none in eager, or a zero one, for a good reason.
    """
    assert eager.gradients, "nothing asks for a gradient"
    assert ours.gradients.keys() == eager.gradients.keys()
    for name, theirs in eager.gradients.items():
        mine = ours.gradients[name]
        if name in without_gradient:
            assert theirs is None or not theirs.any(), f"{name} has a gradient after all"
            assert mine is None or not mine.any(), f"the gradient of {name} is not eager's zero"
            continue
        assert theirs is not None and bool(theirs.any()), f"eager's gradient of {name} is zero: the case shows nothing"
        assert mine is not None, f"{name} has no gradient"
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype), name
        error = float((mine - theirs).abs().max() / theirs.abs().max())
        assert error < TOLERANCE[theirs.dtype], f"the gradient of {name} is off by {error:.1e}"


def assert_spikes_and_silence(model: nn.Module, x: Tensor, state: Any = None, call: Call = once) -> None:
    """Every spiking layer spikes somewhere and is silent somewhere."""
    model, seen = copy.deepcopy(model), {}
    for path, module in model.named_modules():
        if hasattr(module, "state_fallback") and not isinstance(module, (*_INTEGRATORS, snn.LILinearCell)):
            outputs = seen.setdefault(path, [])
            module.register_forward_hook(lambda _m, _i, out, outputs=outputs: outputs.append(out[0].detach().flatten()))
    with torch.no_grad():
        call(model, x, state)
    for path, outputs in seen.items():
        rate = float(torch.cat(outputs).mean())
        assert 0 < rate < 1, f"layer {path!r} fires at a rate of {rate}: the case shows nothing"


def assert_compiles_to_the_same(
    model: nn.Module,
    x: Tensor,
    state: Any = None,
    *,
    call: Call = once,
    backward: bool = True,
    without_gradient: tuple[str, ...] = (),
    **options: Any,
) -> CompiledModule:
    """Results bit for bit, gradients within rounding, called twice. Returns what was compiled."""
    eager = observe(copy.deepcopy(model), x, state, call, backward)
    if x.numel():
        assert_spikes_and_silence(model, x, state, call)
    compiled = norse.compile(model, **options)
    for _ in range(2):
        ours = observe(compiled, x, state, call, backward)
        assert_same_results(ours, eager)
        if backward:
            assert_same_gradients(ours, eager, without_gradient)
    return compiled


def assert_native(compiled: CompiledModule) -> None:
    """Nothing of it runs eagerly or tick by tick in Python."""
    text = compiled.explain()
    assert "native" in text, text
    assert "eager" not in text and "tick by tick" not in text, text


def _named_tensors(state: Any) -> list[tuple[str, Tensor]]:
    return [
        (pytree.keystr(path), leaf)
        for path, leaf in pytree.tree_flatten_with_path(state)[0]
        if isinstance(leaf, Tensor)
    ]


def _as_leaf(tensor: Tensor, backward: bool) -> Tensor:
    tensor = tensor.detach()  # keeps strides: an expanded or transposed tensor stays one
    return tensor.requires_grad_() if backward and tensor.is_floating_point() else tensor


def _detached(results: Any) -> Any:
    return pytree.tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, results)
