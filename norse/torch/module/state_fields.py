"""What a state's declaration says, read once: when a module is made, not at its calls."""

from typing import Any, NamedTuple, Optional, get_type_hints

from norse.torch.functional.rest import RestsAt


class StateFields(NamedTuple):
    """A state's type, and of each field its name, the parameter that it rests at, and the state in it, if any."""

    state_type: Any
    fields: tuple[tuple[str, str | None, Optional["StateFields"]], ...]


def state_fields(state_type: Any) -> StateFields:
    """Reads the declaration of a state.

    Args:
        state_type: a NamedTuple or StateTuple of tensors and such states.

    Returns:
        Its fields, nested ones too.

    Example:
        >>> from norse.torch.functional.lif import LIFFeedForwardState
        >>> state_fields(LIFFeedForwardState).fields
        (('v', 'v_leak', None), ('i', None, None))
    """
    fields = []
    for name, kind in get_type_hints(state_type, include_extras=True).items():
        rests = [extra.parameter for extra in getattr(kind, "__metadata__", ()) if isinstance(extra, RestsAt)]
        nested = state_fields(kind) if hasattr(kind, "_fields") else None
        fields.append((name, rests[0] if rests else None, nested))
    return StateFields(state_type, tuple(fields))
