"""What recurrently connected neurons have besides: weights, and a diagonal of them that stays zero."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from norse.torch.module.checks import check_sizes
from norse.torch.module.neuron import Activation, Neuron
from norse.torch.module.parameters import shown


class RecurrentNeuron(Neuron):
    """Neurons behind input weights [hidden, input] that are connected by recurrent weights [hidden, hidden]."""

    weight_names: ClassVar[tuple[str, ...]] = ("input_weights", "recurrent_weights")
    input_weights: Tensor
    recurrent_weights: Tensor

    def connect(
        self,
        input_size: int,
        hidden_size: int,
        input_weights: Tensor | None,
        recurrent_weights: Tensor | None,
        autapses: bool,
    ) -> None:
        """Makes the weights, or takes the given ones, as `SNNRecurrentCell` describes.

        Raises:
            ValueError: if a size is negative or given weights have another shape.
        """
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        self.input_size = torch.as_tensor(input_size)
        self.hidden_size = torch.as_tensor(hidden_size)
        self.autapses = autapses
        self.register_weights("input_weights", input_weights, (hidden_size, input_size))
        self.register_weights("recurrent_weights", recurrent_weights, (hidden_size, hidden_size))
        if not autapses:
            with torch.no_grad():
                self.recurrent_weights.fill_diagonal_(0.0)
            self._keep_diagonal_zero()

    def starting_state(self, input_tensor: Tensor, state: Any) -> Any:
        return self._with_all_spikes(super().starting_state(input_tensor, state))

    def step_for(self, input_tensor: Tensor) -> tuple[Activation, tuple[Any, ...]]:
        activation, others = super().step_for(input_tensor)
        weights = self.recurrent_weights
        if not self.autapses and not isinstance(weights, torch.nn.Parameter):
            # Other tensors stand for the parameters, as in torch.func.functional_call: no hook watches these.
            place = self.weight_names.index("recurrent_weights")
            connected = 1 - torch.eye(weights.shape[0], dtype=weights.dtype, device=weights.device)
            others = (*others[:place], others[place] * connected, *others[place + 1 :])
        return activation, others

    def extra_repr(self) -> str:
        return (
            f"input_size={int(self.input_size)}, hidden_size={int(self.hidden_size)}, p={shown(self.p)}, "
            f"autapses={self.autapses}, dt={self.dt}"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "recurrent_weights":  # other ones than before, also by `load_state_dict(..., assign=True)`
            self._keep_diagonal_zero()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._keep_diagonal_zero()  # hooks don't survive deepcopy and pickle

    def _keep_diagonal_zero(self) -> None:
        weights = self.recurrent_weights
        if self.autapses or not weights.is_leaf:
            return
        learnt = weights.requires_grad
        # torch takes a hook only while a tensor requires grad, and frozen weights may be thawed later.
        weights.requires_grad_().register_hook(_without_diagonal)  # type: ignore[no-untyped-call]
        weights.requires_grad_(learnt)

    def _with_all_spikes(self, state: Any) -> Any:
        """Gives the state's z every neuron, where it was given as 0-d or with one neuron that stands for all."""
        z = getattr(state, "z", None)
        hidden = self.recurrent_weights.shape[-1]
        if isinstance(z, Tensor) and (z.dim() == 0 or z.shape[-1] != hidden):
            return state._replace(z=z.expand(*z.shape[:-1], hidden))
        nested = getattr(state, "_fields", ())[:1]  # a refractory neuron's, whose z is its inner neuron's
        if nested and hasattr(getattr(state, nested[0]), "_fields"):
            return state._replace(**{nested[0]: self._with_all_spikes(getattr(state, nested[0]))})
        return state


def _without_diagonal(gradient: Tensor) -> Tensor:
    return gradient.clone().fill_diagonal_(0.0)
