"""Chains of modules, some of which carry a state."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from norse.torch.module.sparse_input import call_module
from norse.torch.module.stateful import is_stateful


class SequentialState(torch.nn.Sequential):
    """A torch Sequential that carries the states of its modules.

    A module is stateful if its forward has a parameter called `state`, or if it is one of torch's recurrent layers.

    Args:
        args: modules (or one OrderedDict of them), called one after the other. Works over time ([T, B, N]) if they
            all do, and tick by tick ([B, N]) if they are cells.
        return_hidden: whether to return a list of every module's output instead of the last one.

    Returns:
        `forward(input_tensor, state=None)` gives (output, states), or (list of outputs, states); states is a list with
        one entry a module, None for stateless ones.

    Raises:
        TypeError: if an argument is no module, but a class or a function; if a module that takes a state returns none;
            if a module gets a sparse tensor, which it can't take.
        ValueError: if the list of states hasn't one entry a module.

    Example:
        >>> from norse.torch.module.lif import LIF
        >>> model = SequentialState(torch.nn.Linear(3, 4), LIF())
        >>> z, states = model(torch.ones(100, 8, 3))
        >>> z.shape, states[0], states[1].v.shape
        (torch.Size([100, 8, 4]), None, torch.Size([8, 4]))
        >>> z, states = model(torch.ones(100, 8, 3), states)

        All of it without its history, as between two steps of an optimizer; so also `x.to("cuda")`:

        >>> from norse.torch.utils.pytree import tree_map_only
        >>> states = tree_map_only(torch.Tensor, lambda x: x.detach(), states)
        >>> states[1].v.requires_grad
        False
    """

    def __init__(self, *args: Any, return_hidden: bool = False) -> None:
        for index, module in enumerate(args):
            if not isinstance(module, torch.nn.Module | dict):
                got = f"the class {module.__name__}" if isinstance(module, type) else type(module).__name__
                raise TypeError(f"{type(self).__name__}: argument {index}: expects a torch.nn.Module, got {got}")
        super().__init__(*args)
        self.return_hidden = return_hidden
        self._state_hooks: list[RemovableHandle] = []

    def __getitem__(self, idx: Any) -> Any:
        part = super().__getitem__(idx)
        if isinstance(idx, slice):
            part.return_hidden = self.return_hidden  # type: ignore[assignment]
        return part

    def __add__(self, other: torch.nn.Sequential) -> "SequentialState":
        return self._of(super().__add__(other))

    def __mul__(self, other: int) -> "SequentialState":
        return self._of(super().__mul__(other))

    def _of(self, modules: torch.nn.Sequential) -> "SequentialState":
        return type(self)(*modules, return_hidden=self.return_hidden)

    def forward(self, input_tensor: Tensor, state: list[Any] | None = None) -> tuple[Any, list[Any]]:
        """Input, and states (or None) -> output, and states."""
        modules = list(self)
        if isinstance(state, list | tuple) and len(state) != len(modules):
            got = f"one {type(state).__name__}" if hasattr(state, "_fields") else len(state)
            raise ValueError(
                f"{type(self).__name__}: argument state: expects a list of {len(modules)} states, one for each module, "
                f"got {got}"
            )
        x, hidden, states = input_tensor, [], []
        for index, module in enumerate(modules):
            if is_stateful(module):
                result = module(x, None if state is None else state[index])
                if isinstance(result, Tensor):
                    raise TypeError(
                        f"{type(self).__name__}: module {index} ({type(module).__name__}) takes a state: expects it to "
                        "return (output, state), got a tensor"
                    )
                x, new_state = result
            else:
                name = f"{type(self).__name__}: module {index} ({type(module).__name__})"
                x, new_state = call_module(name, module, x), None
            hidden.append(x)
            states.append(new_state)
        return (hidden if self.return_hidden else x), states

    def register_forward_state_hooks(self, forward_hook: Callable[..., Any]) -> None:
        """Calls `forward_hook(module, (input, state), (output, state))` after each stateful module.

        Args:
            forward_hook: as in torch's `register_forward_hook`.

        Raises:
            ValueError: if such hooks are in place.
        """
        if self._state_hooks:
            raise ValueError(f"{type(self).__name__}: forward state hooks are in place already; remove them first")
        self._state_hooks = [module.register_forward_hook(forward_hook) for module in self if is_stateful(module)]

    def remove_forward_state_hooks(self) -> None:
        """Removes what `register_forward_state_hooks` registered."""
        for handle in self._state_hooks:
            handle.remove()
        self._state_hooks = []


class RecurrentSequentialState(NamedTuple):
    """State of a `RecurrentSequential`.

    Args:
        cache: the output (or list of outputs) that is added to the next input; None before the first tick.
        state: the list of its modules' states.
    """

    cache: Any = None
    state: Any = None


class RecurrentSequential(torch.nn.Module):
    """A chain of modules whose output is added to its next input: y_t = f(x_t + y_{t-1}).

    Args:
        modules: the chain, as for `SequentialState`; it works tick by tick, so its neurons are cells.
        output_modules: which module's output is returned and fed back, or a list of them, all fed back.

    Returns:
        `forward(x, state=None)` gives (output, RecurrentSequentialState); with a list of output modules, the output is
        a list.

    Raises:
        TypeError: if the state is no RecurrentSequentialState.

    Example:
        >>> from norse.torch.module.lif import LIFCell
        >>> model = RecurrentSequential(torch.nn.Linear(4, 4), LIFCell())
        >>> z, state = model(torch.ones(8, 4))
        >>> z, state = model(torch.ones(8, 4), state)
        >>> z.shape
        torch.Size([8, 4])
    """

    def __init__(self, *modules: torch.nn.Module, output_modules: list[int] | int = -1) -> None:
        super().__init__()
        self.module = SequentialState(*modules, return_hidden=True)
        self.output_modules = output_modules

    def forward(self, x: Tensor, state: RecurrentSequentialState | None = None) -> tuple[Any, RecurrentSequentialState]:
        """One tick: input and state (or None) -> output(s) and state."""
        if state is None:
            state = RecurrentSequentialState()
        elif not isinstance(state, RecurrentSequentialState):
            raise TypeError(
                f"{type(self).__name__}: argument state: expects a RecurrentSequentialState, got {type(state).__name__}"
            )
        if state.cache is not None:
            for fed_back in [state.cache] if isinstance(self.output_modules, int) else state.cache:
                x = x + fed_back
        hidden, states = self.module(x, state.state)
        if isinstance(self.output_modules, int):
            output: Any = hidden[self.output_modules]
        else:
            output = [hidden[index] for index in self.output_modules]
        return output, RecurrentSequentialState(cache=output, state=states)
