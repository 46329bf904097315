"""`to_nir` with the published arguments; `norse.to_nir` writes the graph."""

import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from norse.torch.module.neuron import Neuron
from norse.torch.module.sequential import SequentialState

if TYPE_CHECKING:
    import nir


def to_nir(
    module: torch.nn.Module,
    sample_data: Tensor | None = None,
    model_name: str = "norse",
    time_scaling_factor: float = 1,
    type_check: bool = True,
) -> "nir.NIRGraph":
    """Writes a spiking model in NIR, the exchange format of neuromorphic tools: `norse.to_nir` by another name.

    Source: J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction set for
    interoperable brain-inspired computing", Nature Communications 15, 8122 (2024).

    Args:
        module: the model; `norse.to_nir` says what it may hold.
        sample_data: an input of any values, [T, B, ...] for layers over time, [B, ...] for cells; it tells the shapes.
            Not needed if the first layer is linear or recurrent.
        model_name: kept in the graph's metadata, and the node's name if the model is a single layer.
        time_scaling_factor: the model's unit of time in s, if it is another: time constants are
            time_scaling_factor / τ⁻¹.
        type_check: whether to warn where nir can't check that the shapes of connected nodes fit.

    Returns:
        The graph.

    Raises:
        TypeError: if module is no module.
        ValueError: if NIR can't say what a layer does; the message names the layer. If model_name is empty or has a
            dot.

    Example:
        >>> from norse.torch.module.lif_box import LIFBoxCell
        >>> graph = to_nir(LIFBoxCell(), torch.ones(1, 4), model_name="cells")
        >>> list(graph.nodes), graph.nodes["cells"].tau.tolist()
        (['input', 'cells', 'output'], [0.009999999776482582, 0.009999999776482582, 0.009999999776482582, 0.009999999776482582])
    """  # noqa: E501
    from norse.verbs import to_nir as write

    if not model_name or "." in model_name:
        raise ValueError(f"to_nir: argument model_name: expects a name without dots, got {model_name!r}")
    if isinstance(module, Neuron) or (isinstance(module, torch.nn.Module) and not list(module.children())):
        module = SequentialState(OrderedDict([(model_name, module)]))
    with warnings.catch_warnings():
        if not type_check:
            warnings.filterwarnings("ignore", message=".*nir can't work out the shapes")
        graph = write(module, example_input=sample_data, time_scaling_factor=time_scaling_factor)
    graph.metadata["model_name"] = model_name
    return graph
