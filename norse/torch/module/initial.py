"""Initial states: the membrane at rest, everything else zero."""

from typing import Any

import torch
from torch import Tensor

from norse.torch.functional.quantization import QuantizedStep
from norse.torch.module.shapes import tick_shape
from norse.torch.module.state_fields import StateFields


def potential(
    value: Tensor | float, like: Tensor, shape: tuple[int, ...] | None = None, requires_grad: bool = True
) -> Tensor:
    """A new tensor at a potential, of the dtype and on the device of another.

    Args:
        value: the potential, such as p.v_leak; it is copied and gets no gradient.
        like: the tensor whose dtype and device are taken, such as the input.
        shape: the shape, with which that of value is broadcast; None means that of value.
        requires_grad: whether the tensor gets a gradient. Not inside of `torch.func` and `torch.compile`, which find
            gradients in another way and can't make leaves.

    Returns:
        A leaf tensor.

    Example:
        >>> potential(torch.tensor(-70.0), torch.zeros(2, dtype=torch.float64), shape=(2,))
        tensor([-70., -70.], dtype=torch.float64, requires_grad=True)
    """
    own = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)
    if own.dtype != like.dtype or own.device != like.device:
        own = own.to(device=like.device, dtype=like.dtype)
    if shape is not None:
        own = own.expand(torch.broadcast_shapes(own.shape, shape) if own.ndim else shape)
    own = own.clone()
    if requires_grad and not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is None:
        own.requires_grad_()
    return own


def resting_state(module: Any, input_tensor: Tensor) -> Any:
    """The state of neurons at rest.

    Args:
        module: a neuron module with a `state_type`.
        input_tensor: its input.

    Returns:
        A state whose fields are at the parameters that they rest at (see `RestsAt`), the others zero.
    """
    p = module.p
    if isinstance(module.activation, QuantizedStep):
        _, (*_, p, _) = module.step_for(input_tensor)  # rounded, as its step sees them
    return _resting(module.state_fields, p, input_tensor, tick_shape(module, input_tensor), module.scalar_rest)


# Not functions in a function that call each other: such a cycle holds on to the input until Python's collector runs.
def _resting(declared: StateFields, p: Any, like: Tensor, shape: tuple[int, ...], scalar_rest: bool) -> Any:
    fields = []
    for name, parameter, nested in declared.fields:
        if nested is not None:
            fields.append(_resting(nested, getattr(p, name), like, shape, scalar_rest))
        elif parameter is not None:
            rest_shape = None if scalar_rest else shape
            fields.append(potential(getattr(p, parameter), like, rest_shape, requires_grad=name == "v"))
        else:
            fields.append(torch.zeros(shape, dtype=like.dtype, device=like.device))
    return declared.state_type(*fields)
