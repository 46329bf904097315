"""What a neuron module refuses, and says about it. Inputs and states are checked at every tick of a cell, so cheaply.

A module describes what it expects by class attributes: `axes`, the dimensions that its input must at least have ("T"
for time, "N" for features), and `state_type`, the NamedTuple of its state, or None for a state that is the user's
own business.
"""

import inspect
import sys
import warnings
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.threshold import METHODS
from norse.torch.module.shapes import tick_shape
from norse.torch.module.state_fields import StateFields


def check_dt(module: Any, dt: Any) -> None:
    """Refuses a time step that is none.

    Args:
        module: a neuron module.
        dt: its time step.

    Raises:
        ValueError: if dt is not above 0 and finite.
    """
    if not isinstance(dt, Real | Tensor) or not 0 < float(dt) < float("inf"):
        raise ValueError(f"{_name(module)}: argument dt: expects a time step above 0, got {dt!r}")


def check_sizes(module: Any, **sizes: Any) -> None:
    """Refuses numbers of features that are none.

    Args:
        module: a neuron module.
        sizes: numbers of features, by the names of its arguments.

    Raises:
        TypeError: if one is no whole number.
        ValueError: if one is negative.
    """
    for name, size in sizes.items():
        if not isinstance(size, Integral) and not (isinstance(size, Tensor) and not size.is_floating_point()):
            raise TypeError(f"{_name(module)}: argument {name}: expects a whole number, got {size!r}")
        if size < 0:
            raise ValueError(f"{_name(module)}: argument {name}: expects at least 0, got {size}")


def check_parameters(module: Any, p: Any, dt: float, path: str = "p", exact: bool = False) -> None:
    """Refuses parameters that no neuron can have, and warns of a time step that they are too fast for.

    Args:
        module: a neuron module.
        p: its parameters, a named tuple.
        dt: its time step.
        path: what to call them.
        exact: whether no time step is too long.

    Raises:
        TypeError: if p is no named tuple, lacks fields of the neuron's parameters, or a rate is no number.
        ValueError: if an inverse time constant is negative or no number, or no surrogate has the method's name.
    """
    if not hasattr(p, "_fields") or isinstance(p, type):
        got = f"the class {p.__name__}: make one, {p.__name__}()" if isinstance(p, type) else type(p).__name__
        raise TypeError(f"{_name(module)}: argument {path}: expects the neuron's parameters, got {got}")
    if path == "p":
        _check_model(module, p)
    for name, value in zip(p._fields, p, strict=True):
        if hasattr(value, "_fields"):
            check_parameters(module, value, dt, f"{path}.{name}", exact)
        elif name == "method" and value not in (methods := _methods(module)):
            raise ValueError(
                f"{_name(module)}: argument {path}.method: expects one of {', '.join(methods)}, got {value!r}"
            )
        elif name.startswith("tau_") and name.endswith("_inv"):
            _check_rate(module, f"{path}.{name}", value, 0.0 if exact else dt)


def _check_model(module: Any, p: Any) -> None:
    """Refuses parameters that lack fields of those that are the module's default; further fields are the user's."""
    argument = inspect.signature(type(module).__init__).parameters.get("p")
    default = argument.default if argument is not None else None
    missing = [name for name in getattr(default, "_fields", ()) if name not in p._fields]
    if missing:
        raise TypeError(
            f"{_name(module)}: argument p: expects {type(default).__name__}, got {type(p).__name__}, which has no "
            f"{', '.join(missing)}"
        )


def _methods(module: Any) -> tuple[str, ...]:
    """Surrogates, and "adjoint" for a neuron that has an adjoint step behind it."""
    steps = getattr(module, "steps", None)
    return (*METHODS, "adjoint") if steps is not None and steps.adjoint is not None else tuple(METHODS)


def _check_rate(module: Any, path: str, rate: Any, dt: float) -> None:
    if not isinstance(rate, Real | Tensor):
        raise TypeError(f"{_name(module)}: argument {path}: expects a number or a tensor, got {rate!r}")
    if isinstance(rate, Tensor):
        if rate.is_meta or not rate.numel():
            return  # it has no values
        rate = rate.detach()
    lowest, highest = (float(rate.min()), float(rate.max())) if isinstance(rate, Tensor) else (float(rate), float(rate))
    if not (lowest >= 0 and highest < float("inf")):
        raise ValueError(
            f"{_name(module)}: argument {path}: expects an inverse time constant of at least 0, got {lowest or highest}"
        )
    if highest * float(dt) > 1 + 1e-6:  # rounding: 1 / dt is a time constant of one tick
        warnings.warn(
            f"{_name(module)}: dt={dt} is larger than the time constant 1 / {path} = {1 / highest:.3g}: "
            "explicit Euler overshoots, from twice the time constant on without bound",
            stacklevel=_users_level(),
        )


def _users_level() -> int:
    """How many frames above the caller's the first line stands that is not the library's."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("norse.torch."):
        level, frame = level + 1, frame.f_back
    return level


def _is_result(x: Any) -> bool:
    """Whether it looks like what a neuron module returned as a whole."""
    return type(x) is tuple and len(x) == 2 and isinstance(x[0], Tensor)


def check_input(module: Any, x: Any) -> None:
    """Refuses an input that the neuron module can't take.

    Args:
        module: a neuron module with `axes`, and `input_weights` if "N" is among them.
        x: the input.

    Raises:
        TypeError: if x is no tensor, complex, integer or boolean, of another dtype than the weights, or sparse in a way
            that the neuron has no step for.
        ValueError: if x is on another device than the weights, or has too few dimensions or another number of features.
    """
    if not isinstance(x, Tensor):
        remedy = "; layers return (output, state): pass the output" if _is_result(x) else ""
        got = f"{type(x).__name__}{remedy}"
        raise TypeError(f"{_name(module)}: argument input_tensor: expects a torch.Tensor, got {got}")
    if not x.is_floating_point():
        remedy = "its real and imaginary part as features" if x.is_complex() else "input_tensor.float()"
        raise TypeError(
            f"{_name(module)}: argument input_tensor: expects floating point numbers, got {x.dtype}; pass {remedy}"
        )
    if module.state_type is not None and x.layout != torch.strided:
        if getattr(module, "activation_sparse", None) is None:
            raise TypeError(
                f"{_name(module)}: argument input_tensor: expects a dense tensor, got {x.layout}, for which it has no "
                "step; pass input_tensor.to_dense(masked_grad=False)"
            )
        if not x.is_sparse:
            raise TypeError(
                f"{_name(module)}: argument input_tensor: expects a dense or sparse COO tensor, got {x.layout}; "
                "pass input_tensor.to_sparse_coo()"
            )
    for name in getattr(module, "weight_names", ())[:1]:
        weights = getattr(module, name)
        if weights.device != x.device:
            raise ValueError(
                f"{_name(module)}: argument input_tensor: expects a tensor on the device of {name}, "
                f"{weights.device}, got one on {x.device}; move the module or the input with .to()"
            )
        if weights.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):  # which converts both
            raise TypeError(
                f"{_name(module)}: argument input_tensor: expects the dtype of {name}, {weights.dtype}, got {x.dtype}; "
                "convert the module or the input with .to()"
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
        check_fields(module, "state", module.state_fields, state, x.device, tick_shape(module, x))


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


def check_fields(
    module: Any, path: str, declared: StateFields, state: Any, device: torch.device, shape: tuple[int, ...]
) -> None:
    """Refuses a state, or a part of one, that is not as declared; raises as `check_state`.

    Args:
        module: the module that is given it.
        path: what to call the state.
        declared: its fields.
        state: the state.
        device: where its tensors must be.
        shape: what their shapes must broadcast with.
    """
    expected = declared.state_type
    if getattr(state, "_fields", None) != expected._fields:
        raise TypeError(
            f"{_name(module)}: argument {path}: expects {expected.__name__} with fields {', '.join(expected._fields)}, "
            f"got {_description(state)}"
        )
    for (name, _, nested), value in zip(declared.fields, state, strict=True):
        if nested is not None:
            check_fields(module, f"{path}.{name}", nested, value, device, shape)
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


def _broadcastable(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or m == 1 or n == 1 for m, n in zip(reversed(a), reversed(b), strict=False))


def _name(module: Any) -> str:
    return type(module).__name__


def _description(state: Any) -> str:
    fields = getattr(state, "_fields", None)
    return f"{type(state).__name__} with fields {', '.join(fields)}" if fields else type(state).__name__
