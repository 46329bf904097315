"""What a chip has: numbers in data/*.toml, each with its unit and its source."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_DATA = files(__name__.rpartition(".")[0]) / "data"


@dataclass(frozen=True)
class Source:
    """Where a number is from: a paper, a data sheet, a page of documentation."""

    title: str
    url: str


@dataclass(frozen=True)
class Limit:
    """A limit of a chip. `checks.CHECKS` says by its name what it limits.

    Args:
        name: of what is limited.
        value: the largest number, a list of all that are allowed, or a word that says what the chip does.
        unit: of the value.
        source: where it is from.
        section: where in the source.
        note: what else must be known to read it.
        per: of weight bits, what may have a scale of its own: "tensor" or "neuron".
    """

    name: str
    value: Any
    unit: str
    source: Source
    section: str
    note: str = ""
    per: str = "tensor"


@dataclass(frozen=True)
class Unchecked:
    """What is not compared, and why not."""

    what: str
    why: str


@dataclass(frozen=True)
class Chip:
    """A chip, and the tool that places networks on it, with the dialect that it reads ("": none that we know of)."""

    target: str
    name: str
    maker: str
    tool: str
    limits: Mapping[str, Limit]
    unchecked: tuple[Unchecked, ...]
    dialect: str = ""


def targets() -> tuple[str, ...]:
    """The chips there are data of, by the names that `check` takes."""
    names = (entry.name for entry in _DATA.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def read_chip(target: str) -> Chip:
    """The data of a chip. `target` is one of `targets()`."""
    data = tomllib.loads((_DATA / f"{target}.toml").read_text("utf8"))
    sources = {key: Source(**source) for key, source in data["sources"].items()}
    limits = {
        name: Limit(name, **{**limit, "source": sources[limit["source"]]}) for name, limit in data["limits"].items()
    }
    unchecked = tuple(Unchecked(**entry) for entry in data.get("unchecked", ()))
    return Chip(target, data["name"], data["maker"], data["tool"], limits, unchecked, data.get("dialect", ""))
