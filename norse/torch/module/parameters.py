"""A neuron's parameters as a module, so that their tensors move, train and are saved with it."""

from typing import Any

import torch
from torch import Tensor


def is_named_tuple(value: Any) -> bool:
    """Whether the value is an instance of a NamedTuple."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


class ParameterTuple(torch.nn.Module):
    """The fields of a parameter NamedTuple as a module.

    An nn.Parameter is a parameter (saved), another tensor a non-persistent buffer (moved by `.to()`, not saved), a
    nested NamedTuple a ParameterTuple; everything else is kept as it is. Tensors that are not learnt are copied, so
    that modules made from the same defaults share nothing.

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
        self._others: dict[str, Any] = {}
        for name, value in values._asdict().items():
            if isinstance(value, torch.nn.Parameter):
                self.register_parameter(name, value)
            elif isinstance(value, Tensor):
                self.register_buffer(name, value if value.requires_grad else value.clone(), persistent=False)
            elif is_named_tuple(value):
                self.add_module(name, ParameterTuple(value))
            else:
                self._others[name] = value

    def as_named_tuple(self) -> Any:
        """The NamedTuple, made of the tensors that the module holds now."""
        held = {**self._parameters, **self._buffers, **self._others}
        return self._kind(*[held[name] if name in held else self._nested(name) for name in self._kind._fields])

    def _nested(self, name: str) -> Any:
        value = getattr(self, name)
        return value.as_named_tuple() if isinstance(value, ParameterTuple) else value

    def _get_name(self) -> str:
        return self._kind.__name__


def _holds_parameter(values: Any) -> bool:
    if isinstance(values, dict):
        values = values.values()
    return any(
        _holds_parameter(value) if isinstance(value, dict | list | tuple) else isinstance(value, torch.nn.Parameter)
        for value in values
    )


def shown(value: Any) -> str:
    """Parameters in one line: functions by their names, larger tensors by their shapes."""
    if is_named_tuple(value):
        fields = (f"{name}={shown(field)}" for name, field in value._asdict().items())
        return f"{type(value).__name__}({', '.join(fields)})"
    if isinstance(value, Tensor):
        return str(value.detach()) if value.dim() == 0 else f"tensor{list(value.shape)}"
    return str(getattr(value, "__name__", None) or repr(value))


class HoldsParameters(torch.nn.Module):
    """A module with an attribute `p`, a neuron's parameters, which its `extra_repr` shows."""

    @property
    def p(self) -> Any:
        """The neuron's parameters.

        A NamedTuple is held as the submodule `neuron`: nn.Parameters in it are learnt and saved, other tensors moved.
        """
        held = self._modules.get("neuron")
        if isinstance(held, ParameterTuple):
            return held.as_named_tuple()
        if "p" in self.__dict__:
            return self.__dict__["p"]
        raise AttributeError("p")  # torch.nn.Module.__getattr__ goes on and finds a module or an nn.Parameter

    @p.setter
    def p(self, value: Any) -> None:
        for place, name in ((self._modules, "neuron"), (self._modules, "p"), (self._parameters, "p")):
            place.pop(name, None)
        self.__dict__.pop("p", None)
        if is_named_tuple(value):
            self._modules["neuron"] = ParameterTuple(value)
        elif isinstance(value, torch.nn.Module):
            self._modules["p"] = value
        elif isinstance(value, torch.nn.Parameter):
            self._parameters["p"] = value
        elif isinstance(value, dict | list | tuple) and _holds_parameter(value):
            kind = type(value).__name__
            raise TypeError(
                f"{type(self).__name__}: argument p: an nn.Parameter in a {kind} would not be learnt; use a NamedTuple"
            )
        else:
            self.__dict__["p"] = value

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "p":  # torch.nn.Module would refuse to replace a submodule by something that is none
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        if self._modules.keys() - {"neuron"}:
            return super().__repr__()
        return f"{type(self).__name__}({self.extra_repr()})"  # which shows p
