"""Biological parameters by a model's name."""

from collections.abc import Callable
from typing import Any

from norse.torch.functional.coba_lif import default_bio_parameters as COBA_LIF
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_adex import LIFAdExParameters
from norse.torch.functional.lif_ex import LIFExParameters
from norse.torch.functional.lsnn import LSNNParameters

MODELS: dict[str, Callable[[], Any]] = {
    "iaf": IAFParameters.bio_default,
    "li": LIParameters.bio_default,
    "lif": LIFParameters.bio_default,
    "lifEx": LIFExParameters.bio_default,
    "lifAdEx": LIFAdExParameters.bio_default,
    "lsnn": LSNNParameters.bio_default,
    "coba": lambda: COBA_LIF,
}
"""What makes each model's parameters, times in ms and potentials in mV."""


def default_bio_parameters(model: str, **kwargs: Any) -> dict[str, Any]:
    """The biological parameters of a model, times in ms and potentials in mV, as arguments of its parameters' tuple.

    Args:
        model: "iaf", "li", "lif", "lifEx", "lifAdEx", "lsnn" or "coba".
        kwargs: parameters to have instead, by their names.

    Returns:
        Parameters by name.

    Raises:
        ValueError: if there is no such model, or it has no such parameter.

    Example:
        >>> import torch
        >>> p = LIFParameters(**default_bio_parameters("lif", v_reset=torch.tensor(-65.0)))
        >>> p.v_th, p.v_reset
        (tensor(-55.), tensor(-65.))
    """
    if model not in MODELS:
        raise ValueError(f"default_bio_parameters: argument model: expects one of {', '.join(MODELS)}, got {model!r}")
    parameters = MODELS[model]()._asdict()
    unknown = kwargs.keys() - parameters.keys()
    if unknown:
        raise ValueError(
            f"default_bio_parameters: argument {min(unknown)}: expects a parameter of {model}: {', '.join(parameters)}"
        )
    return {**parameters, **kwargs}
