"""The examples in the docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import norse
import norse.backends
import norse.compiler


def module_names() -> set[str]:
    """Every module, by the name users import; pytest's own --doctest-modules takes norse.compiler for `compiler`."""
    packages = (norse, norse.compiler, norse.backends)
    inside = (pkgutil.walk_packages(package.__path__, f"{package.__name__}.") for package in packages)
    return {package.__name__ for package in packages} | {module.name for modules in inside for module in modules}


@pytest.mark.parametrize("name", sorted(module_names()))
def test_the_examples_of(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).failed == 0
