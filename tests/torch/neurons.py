"""Every neuron model in every form: a model is one row, and all tests of this folder that ask for FORMS see it."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from norse.torch.functional.coba_lif import CobaLIFParameters
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.izhikevich import tonic_spiking
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_adex import LIFAdExParameters
from norse.torch.functional.lif_adex_refrac import LIFAdExRefracParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.lif_correlation import LIFCorrelationParameters
from norse.torch.functional.lif_ex import LIFExParameters
from norse.torch.functional.lif_refrac import LIFRefracParameters
from norse.torch.functional.lsnn import LSNNParameters

INPUTS, NEURONS = 3, 4


@dataclass(frozen=True)
class Model:
    """A model: where its modules are, how they are called, and an input under which its neurons spike now and then."""

    file: str
    cell: str | None  # one tick; None where the model has no such form
    layer: str | None
    recurrent_cell: str | None
    recurrent: str | None
    parameters: Callable[[], Any]
    drive: float
    sized: bool = False  # whether a feed-forward form is told how many neurons it has
    spikes: bool = True


def model(file: str, name: str, parameters: Callable[[], Any], drive: float, **more: Any) -> Model:
    """A model whose four forms have the usual names."""
    return Model(file, f"{name}Cell", name, f"{name}RecurrentCell", f"{name}Recurrent", parameters, drive, **more)


MODELS = (
    model("lif", "LIF", LIFParameters, 3.0),
    model("lif_box", "LIFBox", LIFBoxParameters, 10.0),
    model("iaf", "IAF", IAFParameters, 0.4),
    model("lif_ex", "LIFEx", LIFExParameters, 2.0),
    model("lif_adex", "LIFAdEx", LIFAdExParameters, 2.0),
    model("lif_refrac", "LIFRefrac", LIFRefracParameters, 3.0),
    model("lif_adex_refrac", "LIFAdExRefrac", LIFAdExRefracParameters, 2.0),
    model("lif_mc", "LIFMC", LIFParameters, 3.0, sized=True),
    model("lif_mc_refrac", "LIFMCRefrac", LIFRefracParameters, 3.0, sized=True),
    model("lsnn", "LSNN", LSNNParameters, 3.0),
    model("izhikevich", "Izhikevich", lambda: tonic_spiking, 40.0),
    Model(
        "coba_lif",
        "CobaLIFFeedForwardCell",
        "CobaLIFFeedForward",
        "CobaLIFCell",
        "CobaLIFRecurrent",
        CobaLIFParameters,
        0.5,
    ),
    Model(
        "lif_correlation",
        None,
        None,
        "LIFCorrelationRecurrentCell",
        "LIFCorrelationRecurrent",
        LIFCorrelationParameters,
        3.0,
    ),
    Model("leaky_integrator", "LICell", "LI", None, None, LIParameters, 1.0, spikes=False),
    Model("leaky_integrator", None, None, "LILinearCell", "LILinear", LIParameters, 1.0, spikes=False),
    Model("leaky_integrator_box", "LIBoxCell", "LIBox", None, None, LIBoxParameters, 1.0, spikes=False),
)


@dataclass(frozen=True)
class Form:
    """One class of a model."""

    name: str
    model: Model
    over_time: bool
    weighted: bool

    def __str__(self) -> str:
        return self.name

    @property
    def sizes(self) -> tuple[int, ...]:
        """The constructor's arguments before the parameters."""
        return (INPUTS, NEURONS) if self.weighted else (NEURONS,) if self.model.sized else ()

    @property
    def features(self) -> int:
        return INPUTS if self.weighted else NEURONS

    @property
    def recurrent(self) -> bool:
        return self.weighted and self.model.spikes

    def make(self, p: Any = None, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
        """A module with random weights, the same ones at every call."""
        kind = getattr(importlib.import_module(f"norse.torch.module.{self.model.file}"), self.name)
        torch.manual_seed(7)
        return kind(*self.sizes, self.model.parameters() if p is None else p, **options).to(dtype)

    def input(self, *leading: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
        """[*leading, features] of a current under which its neurons both spike and are silent."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(*leading, self.features, generator=generator, dtype=torch.float64)
        return (self.model.drive * (noise + 0.5)).to(dtype)

    def state(
        self, module: Any, batch: int = 2, dtype: torch.dtype = torch.float32, seed: int = 9, ticks: int = 5
    ) -> Any:
        """A state in the middle of a run, in full shape."""
        state = None
        with torch.no_grad():
            for x in self.input(ticks, batch, dtype=dtype, seed=seed):
                state = module(x[None] if self.over_time else x, state)[1]
        return state


def _forms() -> Iterator[Form]:
    for each in MODELS:
        for name, over_time, weighted in (
            (each.cell, False, False),
            (each.layer, True, False),
            (each.recurrent_cell, False, True),
            (each.recurrent, True, True),
        ):
            if name is not None:
                yield Form(name, each, over_time, weighted)


FORMS = tuple(_forms())
CELLS = tuple(form for form in FORMS if not form.over_time)
LAYERS = tuple(form for form in FORMS if form.over_time)
RECURRENT = tuple(form for form in FORMS if form.recurrent)


def tensors(tree: Any) -> list[Tensor]:
    """All tensors of a nest of states."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def assert_same(ours: Any, theirs: Any, exact: bool = True) -> None:
    """That two outputs and states have the same structure and the same numbers."""
    assert pytree.tree_structure(ours) == pytree.tree_structure(theirs)
    for a, b in zip(tensors(ours), tensors(theirs), strict=True):
        if exact:
            assert torch.equal(a, b)
        else:
            torch.testing.assert_close(a, b)


def all_learnt(p: Any, dtype: torch.dtype = torch.float32) -> Any:
    """The parameters with every number but the surrogate's sharpness as an nn.Parameter, nested ones too.

    Of a spiking behaviour, its parameters; the state that it starts from stays as it is.
    """
    if hasattr(p, "_fields"):
        return p._replace(
            **{name: all_learnt(getattr(p, name), dtype) for name in p._fields if name not in ("alpha", "s")}
        )
    if isinstance(p, float | int | Tensor):
        return torch.nn.Parameter(torch.as_tensor(p).detach().to(dtype).clone())
    return p
