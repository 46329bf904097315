"""Every model's forms with learnt parameters, inputs and states, and how a compiled one is compared with eager.

Parameters are one for all neurons in float32, one each in float64. Given equal currents the results are eager's bits.
Where neurons are summed over inside the loop, or an exponential is in it, spikes and gradients alone are compared, and
what each tick makes of eager's state.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..torch.neurons import NEURONS, Form, all_learnt
from .comparison import TOLERANCE, Observation, assert_same_results, observe, once, tick_by_tick

ULPS = 4

EXPONENTIAL = {"lif_ex", "lif_adex", "lif_adex_refrac"}


def rounds(form: Form) -> bool:
    """Whether a product with a matrix is inside of the native loop (a cell's are torch's own calls), or exp."""
    return (form.over_time and (form.recurrent or form.model.sized)) or form.model.file in EXPONENTIAL


def parameters(form: Form, dtype: torch.dtype) -> Any:
    """All of them learnt, in float64 one for each neuron; a surrogate of sharpness 10 has a gradient everywhere."""
    p = _blunt(all_learnt(form.model.parameters(), dtype))
    if dtype == torch.float32:
        return p
    generator = torch.Generator().manual_seed(5)

    def spread(leaf: Any) -> Any:
        if not isinstance(leaf, nn.Parameter):
            return leaf
        return nn.Parameter(leaf.detach() * (1 + 0.1 * torch.rand(NEURONS, generator=generator, dtype=dtype)))

    return pytree.tree_map(spread, p)


def _blunt(p: Any) -> Any:
    if not hasattr(p, "_fields"):
        return p
    return p._replace(
        **{name: torch.tensor(10.0) if name == "alpha" else _blunt(getattr(p, name)) for name in p._fields}
    )


def call_of(form: Form) -> Any:
    return once if form.over_time else tick_by_tick


def case(form: Form, dtype: torch.dtype, ticks: int, batch: int) -> tuple[Any, Tensor, Any]:
    """A module, an input, and a state in the middle of a run."""
    module = form.make(parameters(form, dtype), dtype)
    return module, driven(form, ticks, batch, dtype), form.state(module, batch, dtype)


def driven(form: Form, ticks: int, batch: int, dtype: torch.dtype) -> Tensor:
    """Conductances of the published size take hundreds of ticks to reach the threshold."""
    return form.input(ticks, batch, dtype=dtype) * (40 if form.model.file == "coba_lif" else 1)


def assert_near(ours: Observation, eager: Observation, of: str) -> None:
    """Within 4 ulps of the largest number."""
    for mine, theirs in zip(ours.leaves, eager.leaves, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        apart = float((mine - theirs).abs().max()) / max(float(theirs.abs().max()), 1e-30)
        assert apart <= ULPS * torch.finfo(theirs.dtype).eps, f"{of}: {apart:.1e} of the largest"


def assert_eagers_gradients(ours: Observation, eager: Observation) -> None:
    """Zero where eager's is zero (a reset's, where nothing spikes), else within the tolerance of the largest."""
    nonzero = 0
    for name, theirs in eager.gradients.items():
        mine = ours.gradients[name]
        if theirs is None or not theirs.any():
            assert mine is None or not mine.any(), f"{name} has a gradient after all"
            continue
        nonzero += 1
        assert mine is not None, f"{name} has no gradient"
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype), name
        error = float((mine - theirs).abs().max() / theirs.abs().max())
        assert error < TOLERANCE[theirs.dtype], f"the gradient of {name} is off by {error:.1e}"
    assert eager.gradients["x"] is not None
    assert eager.gradients["x"].any()
    assert nonzero > len(eager.gradients) * 2 // 3, "the case shows little: most gradients are zero"


def compare(form: Form, compiled: nn.Module, module: nn.Module, x: Tensor, state: Any) -> None:
    eager, ours = (observe(each, x, state, call_of(form)) for each in (copy.deepcopy(module), compiled))
    assert_eagers_results(form, ours, eager)
    assert_eagers_gradients(ours, eager)


def assert_eagers_results(form: Form, ours: Observation, eager: Observation) -> None:
    """Bit for bit; where sums or exponentials round otherwise, the same spikes."""
    if rounds(form):
        assert torch.equal(ours.results[0], eager.results[0]), "other spikes: gradients can't be compared"
    else:
        assert_same_results(ours, eager)
