"""Initial states: the membrane at rest, everything else zero."""

from typing import Any, TypeVar

import torch
from torch import Tensor

State = TypeVar("State", bound=tuple[Any, ...])


def potential(value: Tensor | float, like: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """A new tensor at a potential, that requires grad, of the dtype and on the device of another.

    Args:
        value: the potential, such as p.v_leak; it is copied and gets no gradient.
        like: the tensor whose dtype and device are taken, such as the input.
        shape: the shape, with which value must broadcast; None means that of value.

    Returns:
        A leaf tensor with requires_grad=True.

    Example:
        >>> potential(torch.tensor(-70.0), torch.zeros(2, dtype=torch.float64), shape=(2,))
        tensor([-70., -70.], dtype=torch.float64, requires_grad=True)
    """
    own = torch.as_tensor(value).detach().to(device=like.device, dtype=like.dtype)
    return (own if shape is None else own.expand(shape)).clone().requires_grad_()


def at_rest(state_type: type[State], like: Tensor, shape: tuple[int, ...], **fields: Tensor) -> State:
    """A state with the given fields and zeros of the given shape in the others.

    Args:
        state_type: NamedTuple of tensors.
        like: the tensor whose dtype and device are taken, such as the input.
        shape: shape of one tick's output, such as [B, N].
        fields: those that are not zero.

    Returns:
        The state.

    Example:
        >>> from norse.torch.functional.lif import LIFFeedForwardState
        >>> x = torch.zeros(2)
        >>> at_rest(LIFFeedForwardState, x, (2,), v=potential(0.5, x))
        LIFFeedForwardState(v=tensor(0.5000, requires_grad=True), i=tensor([0., 0.]))
    """
    names: tuple[str, ...] = state_type._fields  # type: ignore[attr-defined]
    zeros = {n: torch.zeros(shape, dtype=like.dtype, device=like.device) for n in names if n not in fields}
    return state_type(**zeros, **fields)


def hidden_shape(shape: tuple[int, ...], input_weights: Tensor) -> tuple[int, ...]:
    """One tick's shape behind weights [hidden, input]: [..., input] -> [..., hidden]."""
    return (*shape[:-1], input_weights.shape[0])
