"""Which tool's dialect a graph is in: what is given, else what the graph notes, else NIR."""

from dataclasses import dataclass
from typing import Any

from norse.backends.nir_export.dialects import DIALECTS, Dialect, dialect_of

ROCKPOOLS_NAMES = ("_LIFTorch", "_LIFNeuronTorch")


@dataclass(frozen=True)
class Spoken:
    """The dialect that a graph is read in.

    Args:
        name: of the dialect.
        why: what told it.
        doubt: what speaks for another one, "" for nothing.
    """

    name: str
    why: str
    doubt: str = ""

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.name]

    def __str__(self) -> str:
        means = "NIR says it" if self.dialect.is_plain else f"{self.dialect.tool} means it"
        return f"read as {means} ({self.why})"


def spoken_in(graph: Any, given: str | None, where: str) -> Spoken:
    """The dialect of a graph; `given` is what the caller says, and `where` who asks.

    Raises:
        ValueError: if what is given is no dialect.
    """
    noted = _noted(graph)
    if given is not None:
        dialect_of(given, where)
        other = f", though it says {noted!r}" if noted is not None and noted != given else ""
        return Spoken(given, f"as asked{other}")
    if noted in DIALECTS:
        return Spoken(str(noted), "as it says")
    if noted is not None:
        doubt = f"its metadata says dialect {noted!r}, none of {', '.join(DIALECTS)}; read as NIR"
        return Spoken("nir", f"what it says, {noted!r}, is no dialect here", doubt)
    doubt = ""
    if any(str(node).endswith(ROCKPOOLS_NAMES) for node in graph.nodes):
        doubt = "its nodes have names of Rockpool's; read as NIR says it, which Rockpool does not: dialect='rockpool'"
    return Spoken("nir", "it names no tool that wrote it; dialect= or --from does", doubt)


def _noted(graph: Any) -> str | None:
    name = graph.metadata.get("dialect") if isinstance(graph.metadata, dict) else None
    return name.decode("utf8", "replace") if isinstance(name, bytes) else None if name is None else str(name)
