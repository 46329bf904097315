"""Calls of modules of torch with sparse tensors, which few of them take: the error then says which module it was."""

from typing import Any

import torch
from torch import Tensor


def call_module(name: str, module: torch.nn.Module, x: Any) -> Any:
    """`module(x)`; if x is sparse and torch has no way to do it, the error names the module.

    Args:
        name: of the module, for the error.
        module: one without a state.
        x: what it is called with.

    Raises:
        TypeError: if torch refuses x, which is sparse.

    Example:
        >>> call_module("Chain: module 0 (Conv1d)", torch.nn.Conv1d(1, 2, 3), torch.ones(4, 1, 8).to_sparse())
        Traceback (most recent call last):
        TypeError: Chain: module 0 (Conv1d): ... got torch.sparse_coo ...; pass input_tensor.to_dense(masked_grad=False)
    """
    if not isinstance(x, Tensor) or x.layout == torch.strided:
        return module(x)
    try:
        return module(x)
    except RuntimeError as error:
        # masked_grad: torch's own default gives no gradient to what is silent
        raise TypeError(
            f"{name}: expects a dense tensor, got {x.layout} of shape {list(x.shape)}, of which torch says: {error}; "
            "pass input_tensor.to_dense(masked_grad=False)"
        ) from error
