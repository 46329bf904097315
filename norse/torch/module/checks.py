"""What a neuron module refuses, and says about it. Cheap: it runs at every tick of a cell.

A module describes what it expects by class attributes: `axes`, the dimensions that its input must at least have ("T"
for time, "N" for features), and `state_type`, the NamedTuple of its state, or None for a state that is the user's
own business.
"""

from functools import cache
from typing import Any, get_type_hints

import torch
from torch import Tensor


def check_input(module: Any, x: Any) -> None:
    """Refuses an input that the neuron module can't take.

    Args:
        module: a neuron module with `axes`, and `input_weights` if "N" is among them.
        x: the input.

    Raises:
        TypeError: if x is no tensor, or complex, integer or boolean.
        ValueError: if x has too few dimensions or another number of features.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{_name(module)}: argument input_tensor: expects a torch.Tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        remedy = "its real and imaginary part as features" if x.is_complex() else "input_tensor.float()"
        raise TypeError(
            f"{_name(module)}: argument input_tensor: expects floating point numbers, got {x.dtype}; pass {remedy}"
        )
    axes = module.axes
    if x.dim() < len(axes):
        raise ValueError(
            f"{_name(module)}: argument input_tensor: expects at least the dimensions [{', '.join(axes)}], "
            f"got shape {list(x.shape)}"
        )
    if axes and axes[-1] == "N" and x.shape[-1] != module.input_weights.shape[-1]:
        raise ValueError(
            f"{_name(module)}: argument input_tensor: expects {module.input_weights.shape[-1]} input features, "
            f"got {x.shape[-1]} (shape {list(x.shape)})"
        )


def check_state(module: Any, x: Tensor, state: Any) -> None:
    """Refuses a state that doesn't belong to the neuron module or its input.

    Args:
        module: a neuron module with `axes` and `state_type`.
        x: the module's input, checked before.
        state: the state given with it.

    Raises:
        TypeError: if the state has not the fields of `state_type`, or one of them is no tensor.
        ValueError: if a field is on another device than x, or its shape doesn't broadcast with one tick's output.
    """
    if module.state_type is not None:
        _check_fields(module, "state", module.state_type, state, x.device, _tick_shape(module, x))


def check_fallback(module: Any, x: Tensor, state: Any) -> None:
    """Refuses an initial state that a user's `state_fallback` made for a whole sequence instead of one tick.

    Args:
        module: a neuron module with `axes` and `state_type`.
        x: the module's input, checked before.
        state: what its `state_fallback` made of it.

    Raises:
        ValueError: if a layer over time starts from a state that has time.
    """
    if module.state_type is not None or module.axes[:1] != ("T",):
        return
    for field in state if isinstance(state, tuple | list) else (state,):
        if isinstance(field, Tensor) and x.dim() > 1 and field.shape == x.shape:
            raise ValueError(
                f"{_name(module)}: argument state_fallback: expects to make one tick's state, broadcasting with "
                f"{list(x.shape[1:])}, got {list(field.shape)}; it is given the whole sequence x: use x[0]"
            )


def _check_fields(
    module: Any, path: str, expected: Any, state: Any, device: torch.device, shape: tuple[int, ...]
) -> None:
    if getattr(state, "_fields", None) != expected._fields:
        raise TypeError(
            f"{_name(module)}: argument {path}: expects {expected.__name__} with fields {', '.join(expected._fields)}, "
            f"got {_description(state)}"
        )
    for name, kind, value in zip(expected._fields, _field_types(expected), state, strict=True):
        if hasattr(kind, "_fields"):
            _check_fields(module, f"{path}.{name}", kind, value, device, shape)
            continue
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{_name(module)}: argument {path}.{name}: expects a torch.Tensor, got {type(value).__name__}"
            )
        if value.device != device:
            raise ValueError(
                f"{_name(module)}: argument {path}.{name}: expects a tensor on the input's device {device}, "
                f"got one on {value.device}; move the state with .to()"
            )
        if value.shape != shape and not _broadcastable(value.shape, shape):
            raise ValueError(
                f"{_name(module)}: argument {path}.{name}: expects a shape that broadcasts with {list(shape)}, "
                f"got {list(value.shape)}"
            )


@cache
def _field_types(expected: Any) -> tuple[Any, ...]:
    hints = get_type_hints(expected)
    return tuple(hints[name] for name in expected._fields)


def _tick_shape(module: Any, x: Tensor) -> tuple[int, ...]:
    axes = module.axes
    shape = x.shape[1:] if axes and axes[0] == "T" else x.shape
    return (*shape[:-1], module.input_weights.shape[0]) if axes and axes[-1] == "N" else shape


def _broadcastable(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or m == 1 or n == 1 for m, n in zip(reversed(a), reversed(b), strict=False))


def _name(module: Any) -> str:
    return type(module).__name__


def _description(state: Any) -> str:
    fields = getattr(state, "_fields", None)
    return f"{type(state).__name__} with fields {', '.join(fields)}" if fields else type(state).__name__
