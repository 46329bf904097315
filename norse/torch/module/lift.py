"""Any module, applied at every tick."""

from typing import Any

import torch

from norse.torch.functional.lift import over_time
from norse.torch.module.sparse_input import call_module
from norse.torch.module.stateful import is_stateful


class Lift(torch.nn.Module):
    """Applies a module of one tick, [B, ...], to every tick of a sequence, [T, B, ...].

    Args:
        module: stateless, `module(x)`, or stateful, `module(x, state)`; see `is_stateful`.

    Returns:
        `forward(x)` gives the outputs [T, ...] of a stateless module, and (outputs, last state) of a stateful one. A
        stateful module's first state is given with the input, `forward((x, state))`. A module of several inputs or
        outputs takes or gives them in a dictionary.

    Raises:
        TypeError: if module is a class, or can't be called; if it gets a sparse tensor, which it can't take.

    Example:
        >>> Lift(torch.nn.Conv2d(1, 4, 3))(torch.ones(10, 8, 1, 28, 28)).shape
        torch.Size([10, 8, 4, 26, 26])
        >>> from norse.torch.module.lif import LIFCell
        >>> z, state = Lift(LIFCell())((torch.ones(10, 8, 3), None))
        >>> z.shape
        torch.Size([10, 8, 3])
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        if isinstance(module, type) or not callable(module):
            got = f"the class {module.__name__}" if isinstance(module, type) else type(module).__name__
            raise TypeError(f"{type(self).__name__}: argument module: expects a module of one tick, got {got}")
        self.lifted_module = module

    def forward(self, x: Any) -> Any:
        """[T, ...] or ([T, ...], state) -> [T, ...] or ([T, ...], state); dictionaries of such for several of them."""
        sequence, state = x if isinstance(x, tuple | list) else (x, None)
        if is_stateful(self.lifted_module):
            return over_time(self.lifted_module, sequence, state)
        name = f"{type(self).__name__}: {type(self.lifted_module).__name__}"
        return over_time(lambda tick, _: (call_module(name, self.lifted_module, tick), None), sequence, None)[0]
