"""Numbers on their way between torch and NIR: numpy arrays, finite, of the shape that NIR wants."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def numbers(value: Any) -> Any:
    """Anything that NIR nodes hold as an array of float32 (float64 stays): arrays, tensors, Python numbers."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value if value.dtype == torch.float64 else value.float()).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected real numbers, got {array.dtype}")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def tensor(value: Any) -> Tensor:
    """A tensor of its own with these numbers."""
    return torch.tensor(numbers(value))


def uniform(value: Any) -> Tensor:
    """One number that stands for all neurons, where they are all alike: most files, and most models before."""
    return tensor(value.flat[0] if value.size and (value == value.flat[0]).all() else value)


def finite(value: Any, what: str) -> Any:
    """The numbers, if they are: NaN and infinity are refused."""
    array = numbers(value)
    if not np.isfinite(array).all():
        raise ValueError(f"{what}: expected finite numbers, got {array[~np.isfinite(array)].flat[0]}")
    return array


def of_shape(value: Any, shape: tuple[int, ...], dtype: torch.dtype, what: str) -> Any:
    """One number for each neuron, however many the model keeps them in ([], [N], [1, N], ...).

    A 0-d parameter of another dtype than its neuron's input is cast as torch does it when they meet.
    """
    if not isinstance(value, Tensor) or (value.dim() == 0 and value.dtype.itemsize > dtype.itemsize):
        value = torch.as_tensor(value, dtype=dtype)
    array = finite(value, what)
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]
    try:
        return np.broadcast_to(array, shape).copy()
    except ValueError:
        raise ValueError(
            f"{what}: expected one number, or one for each neuron {list(shape)}, got shape {list(array.shape)}"
        ) from None
