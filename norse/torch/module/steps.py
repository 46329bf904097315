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
        exponential: exact between spikes instead of forward Euler, for integrator="exponential", if there is one.
    """

    plain: Callable[..., Any]
    sparse: Callable[..., Any] | None = None
    adjoint: Callable[..., Any] | None = None
    adjoint_sparse: Callable[..., Any] | None = None
    exponential: Callable[..., Any] | None = None

    def chosen(self, p: Any, options: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The step for parameters, and a module's options with the step for sparse input among them.

        Args:
            p: the model's parameters; those of the neuron inside, if there is one, have the method.
            options: of the module; its activation_sparse comes before the model's, and its integrator chooses.

        Raises:
            ValueError: if the integrator is unknown, or not there for EventProp gradients.
        """
        nested = [p, *(value for value in p if hasattr(value, "_fields"))] if isinstance(p, tuple) else []
        adjoint = self.adjoint is not None and any(getattr(inner, "method", None) == "adjoint" for inner in nested)
        known = ("euler",) if self.exponential is None or adjoint else ("euler", "exponential")
        options = dict(options)
        integrator = options.pop("integrator", "euler")
        if integrator not in known:
            of = " with the method 'adjoint'" if adjoint else ""
            raise ValueError(f"argument integrator: expects {' or '.join(known)}{of}, got {integrator!r}")
        if integrator == "exponential" and self.exponential is not None:
            return self.exponential, options
        if adjoint and self.adjoint is not None:
            return self.adjoint, {"activation_sparse": self.adjoint_sparse, **options}
        return self.plain, {"activation_sparse": self.sparse, **options}
