"""Where a neuron's state starts: said beside each field."""

from typing import NamedTuple


class RestsAt(NamedTuple):
    """Says of a state's field that it starts at a parameter; without it, a field starts at 0.

    In a nested state, the parameter is that of the nested parameters of the same name: `LIFRefracState.lif.v` starts
    at `LIFRefracParameters.lif.v_leak`.

    Args:
        parameter: the field of the neuron's parameters.

    Example:
        >>> from typing import Annotated
        >>> from torch import Tensor
        >>> from norse.torch.utils.pytree import StateTuple
        >>> class Integrator(StateTuple):
        ...     v: Annotated[Tensor, RestsAt("v_leak")]
        ...     i: Tensor
    """

    parameter: str
