"""Networks that nobody thought of: random chains, parameters, T and B. Exact, they give eager's bits and gradients."""

import copy
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse
import norse.torch as snn
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters

from .comparison import TOLERANCE, assert_same_results, observe
from .neurons import currents, learnt

FEATURES = 5
DRAWS = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Skip(nn.Module):
    """A user's module, followed by the tracer: an inner layer, and its input around it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        z, state = self.inner(x, state)
        return 0.5 * x + z, state


LAYERS = ("Linear", "LIF", "LIFBox", "IAF", "LI", "LIFRecurrent", "Dropout", "Skip")
shapes = st.sampled_from([(), (FEATURES,), (1, FEATURES)])


@st.composite
def layers(draw: st.DrawFn, kinds: tuple[str, ...] = LAYERS) -> nn.Module:
    kind = draw(st.sampled_from(kinds))
    shape = draw(shapes)
    match kind:
        case "Linear":
            return nn.Linear(FEATURES, FEATURES, bias=draw(st.booleans()))
        case "LIF":
            method = draw(st.sampled_from(["super", "tanh", "triangle", "circ"]))
            return snn.LIF(
                p=learnt(LIFParameters, shape)._replace(method=method), dt=draw(st.sampled_from([1e-3, 2e-3]))
            )
        case "LIFBox":
            return snn.LIFBox(p=learnt(LIFBoxParameters, shape), dt=0.003)
        case "IAF":
            return snn.IAF(p=learnt(IAFParameters, shape))
        case "LI":
            return snn.LI(p=learnt(LIParameters, shape), record_states=draw(st.booleans()))
        case "LIFRecurrent":
            p = learnt(LIFParameters, shape)
            return snn.LIFRecurrent(FEATURES, FEATURES, p=p, autapses=draw(st.booleans()))
        case "Dropout":
            return nn.Dropout(0.3)
    return Skip(draw(layers(("LIF", "LI", "IAF"))))


@st.composite
def chains(draw: st.DrawFn) -> snn.SequentialState:
    torch.manual_seed(draw(st.integers(0, 3)))
    chain = draw(st.lists(layers(), min_size=2, max_size=4))
    model = snn.SequentialState(*chain, return_hidden=draw(st.booleans())).double().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("weight", "weights")):
                weight.mul_(2).add_(0.2)
    return model


def largest(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None or not gradient.numel() else float(gradient.abs().max())


@DRAWS
@given(chains(), st.integers(0, 9), st.integers(1, 4), st.integers(0, 5), st.booleans())
def test_a_chain_is_eager_bit_for_bit_with_all_its_gradients(
    model: nn.Module, ticks: int, batch: int, seed: int, second_call: bool
) -> None:
    x = 3 * currents("", ticks, batch, FEATURES, seed=seed)
    eager, compiled = copy.deepcopy(model), norse.compile(model, exact=True)
    state = eager(x)[1] if second_call and not recorded(model) else None
    theirs = observe(eager, x, detached(state), backward=differentiable(eager, x, state))
    mine = observe(compiled, x, detached(state), backward=bool(theirs.gradients))
    assert_same_results(mine, theirs)
    scale = max([0.0, *map(largest, theirs.gradients.values())])
    for name, gradient in theirs.gradients.items():
        ours = mine.gradients[name]
        if gradient is None:
            assert largest(ours) == 0, name
        else:
            # A gradient that is zero but for its rounding is measured against the others.
            bound = TOLERANCE[torch.float64] * max(largest(gradient), 1e-3 * scale)
            assert (0 if ours is None else largest(gradient - ours)) <= bound, name


def recorded(model: nn.Module) -> bool:
    """The states of all ticks are no state to go on from."""
    return any(getattr(module, "record_states", False) for module in model.modules())


def differentiable(model: nn.Module, x: Tensor, state: Any) -> bool:
    out, _ = model(x.requires_grad_(), state)
    outs = out if isinstance(out, list) else [out]
    return any(tensor.requires_grad for tensor in outs)


def detached(state: Any) -> Any:
    return pytree.tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, state)
