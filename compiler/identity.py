"""Whether something is still the same object."""

from typing import Any


class Identity:
    """Equal to another Identity of the same object, as long as a container among them has its length.

    It keeps the object alive, so no new one can take its place unnoticed.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self.size = len(value) if isinstance(value, list | dict | set) else 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.value is other.value and self.size == other.size

    __hash__ = None  # type: ignore[assignment]
