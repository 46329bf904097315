"""Imports point one way: norse.torch <- norse.compiler <- norse.backends <- norse's public verbs."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A folder, and what its modules may import of this project besides themselves.
ALLOWED = {
    "norse/torch": {"torch"},
    "compiler": {"torch", "compiler"},
    "backends": {"torch", "compiler", "backends"},
}


def imported_parts(file: Path) -> set[str]:
    """The parts of this project ("torch", "compiler", ...) that a module imports at its top level."""
    names = []
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Import):
            names += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            names += [f"{statement.module}.{alias.name}" for alias in statement.names]
    return {name.removeprefix("norse.").split(".")[0] for name in names if name.split(".")[0] == "norse"}


@pytest.mark.parametrize(("folder", "allowed"), ALLOWED.items())
def test_imports_point_one_way(folder: str, allowed: set[str]) -> None:
    wrong = {
        str(file.relative_to(ROOT)): parts - allowed
        for file in (ROOT / folder).rglob("*.py")
        if not (parts := imported_parts(file)) <= allowed
    }
    assert not wrong
