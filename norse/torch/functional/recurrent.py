"""The recurrent form of a feed-forward step: weights in front, spikes in the state."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from norse.torch.functional.sparse import linear_of

RecurrentState = TypeVar("RecurrentState", bound=tuple[Any, ...])


def recurrent_current(input_tensor: Tensor, z: Tensor, input_weights: Tensor, recurrent_weights: Tensor) -> Tensor:
    """W_in x + W_rec z, for x [B, input], z [B, hidden], W_in [hidden, input], W_rec [hidden, hidden]: [B, hidden]."""
    return linear_of(input_tensor, input_weights) + linear_of(z, recurrent_weights)


def recurrent_step(
    step: Callable[..., tuple[Tensor, Any]],
    feed_forward_state: Callable[..., Any],
    input_tensor: Tensor,
    state: RecurrentState,
    input_weights: Tensor,
    recurrent_weights: Tensor,
    p: Any,
    dt: float,
    **options: Any,
) -> tuple[Tensor, RecurrentState]:
    """One tick of `step` driven by W_in x + W_rec z, where z, the first field of `state`, are the last tick's spikes.

    Args:
        step: feed-forward step `(current, state, p, dt, **options) -> (z, state)`.
        feed_forward_state: the type of the step's state: the fields of `state` without z, in the same order.
        input_tensor: x, [B, input].
        state: named tuple (z, ...), each field [B, hidden].
        input_weights: W_in, [hidden, input].
        recurrent_weights: W_rec, [hidden, hidden].
        p: the model's parameters.
        dt: time step in s.
        options: further keyword arguments of `step`, such as its reset.

    Returns:
        The spikes, and the new state with them in front.
    """
    z, *others = state
    current = recurrent_current(input_tensor, z, input_weights, recurrent_weights)
    z_new, inner = step(current, feed_forward_state(*others), p, dt, **options)
    return z_new, type(state)(z_new, *inner)
