"""Where a module keeps its neuron's parameters: a submodule `p` whose tensors move, train and are saved with it."""

from typing import Any

import torch
from torch import Tensor


def is_named_tuple(value: Any) -> bool:
    """Whether the value is an instance of a NamedTuple."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


class ParameterTuple(torch.nn.Module):
    """The fields of a parameter NamedTuple as a module.

    An nn.Parameter is a parameter (saved), another tensor a non-persistent buffer (moved by `.to()`, not saved), a
    nested NamedTuple a ParameterTuple; everything else is kept as it is.

    Args:
        values: the NamedTuple.

    Example:
        >>> from norse.torch.functional.lif import LIFParameters
        >>> held = ParameterTuple(LIFParameters(v_th=torch.nn.Parameter(torch.tensor(2.0))))
        >>> list(held.state_dict())
        ['v_th']
    """

    def __init__(self, values: Any) -> None:
        super().__init__()
        self._kind = type(values)
        for name, value in values._asdict().items():
            if isinstance(value, Tensor) and not isinstance(value, torch.nn.Parameter):
                self.register_buffer(name, value, persistent=False)
            else:
                setattr(self, name, ParameterTuple(value) if is_named_tuple(value) else value)

    def values(self) -> Any:
        """The NamedTuple, made of the tensors that the module holds now."""
        fields = (getattr(self, name) for name in self._kind._fields)
        return self._kind(*(field.values() if isinstance(field, ParameterTuple) else field for field in fields))

    def _get_name(self) -> str:
        return self._kind.__name__


class HeldParameters:
    """The attribute `p` of a neuron module: assigned a NamedTuple, it holds a ParameterTuple; read, a NamedTuple.

    A module or any other object is kept as it is. Assigning replaces: what was held before is no longer registered.
    """

    def __get__(self, module: torch.nn.Module | None, owner: type | None = None) -> Any:
        if module is None:
            return self
        held = module._modules.get("p")
        if held is None:
            return module.__dict__.get("_plain_p")
        return held.values() if isinstance(held, ParameterTuple) else held

    def __set__(self, module: torch.nn.Module, value: Any) -> None:
        # torch.nn.Module.__setattr__ registers modules itself; only what is none arrives here.
        module._modules.pop("p", None)
        module.__dict__.pop("_plain_p", None)
        if is_named_tuple(value):
            module._modules["p"] = ParameterTuple(value)
        else:
            module.__dict__["_plain_p"] = value
