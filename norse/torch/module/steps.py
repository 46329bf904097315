"""The steps of one neuron model that a module chooses from."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Steps(NamedTuple):
    """A model's step in one form (feed-forward or recurrent), and its variants.

    Args:
        plain: with a surrogate derivative.
        sparse: the same for sparse COO input, if there is one.
        adjoint: with EventProp gradients, for parameters with the method "adjoint", if there is one.
        adjoint_sparse: the same for sparse COO input, if there is one.
    """

    plain: Callable[..., Any]
    sparse: Callable[..., Any] | None = None
    adjoint: Callable[..., Any] | None = None
    adjoint_sparse: Callable[..., Any] | None = None

    def chosen(self, p: Any, options: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The step for parameters, and a module's options with the step for sparse input among them.

        Args:
            p: the model's parameters; those of the neuron inside, if there is one, have the method.
            options: of the module; its activation_sparse comes before the model's.
        """
        nested = [p, *(value for value in p if hasattr(value, "_fields"))] if isinstance(p, tuple) else []
        if self.adjoint is not None and any(getattr(inner, "method", None) == "adjoint" for inner in nested):
            return self.adjoint, {"activation_sparse": self.adjoint_sparse, **options}
        return self.plain, {"activation_sparse": self.sparse, **options}
