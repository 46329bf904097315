"""What `norse.torch` offers: every name that a user of Norse finds, under the same path, with the same arguments."""

import ast
import importlib
import inspect
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import norse.torch as snn

PUBLISHED: dict[str, dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parent.parent / "data" / "norse_api" / "names.json").read_text()
)
STARRED = [
    (module, name)
    for module, names in PUBLISHED.items()
    for name, fact in names.items()
    if fact.get("starred") or module == "norse.torch"
]
OTHER_PARAMETERS = snn.LIFParameters(v_th=torch.tensor(2.0))


def test_every_listed_name_is_there_and_once():
    assert sorted(set(snn.__all__)) == sorted(snn.__all__)
    assert all(hasattr(snn, name) for name in snn.__all__)


@pytest.mark.parametrize("name", snn.__all__)
def test_every_public_name_says_what_it_is(name):
    value = getattr(snn, name)
    if isinstance(value, type) or callable(value):
        assert len(inspect.getdoc(value) or "") > 40


def test_functions_that_share_their_modules_name_leave_the_module_in_place():
    assert inspect.ismodule(snn.functional.threshold)
    assert inspect.ismodule(snn.functional.heaviside)
    assert inspect.ismodule(snn.functional.lift)
    assert callable(snn.lift)
    assert callable(snn.heaviside)


@pytest.mark.parametrize("module", PUBLISHED)
def test_every_published_name_is_in_its_module_with_its_arguments(module):
    misses = [f"{name}: {miss}" for name, fact in PUBLISHED[module].items() for miss in differences(module, name, fact)]
    assert not misses, f"{module}\n  " + "\n  ".join(misses)


def test_table_of_the_names_at_the_top():
    """`-s` shows it."""
    rows = [(name, module, "present" if present(module, name) else "MISSING") for module, name in STARRED]
    print("\n" + "\n".join(f"★ {name:<40} {module:<50} {state}" for name, module, state in rows))
    missing = [name for name, _, state in rows if state == "MISSING"]
    print(f"{len(rows) - len(missing)} of {len(rows)} present")
    assert not missing


@pytest.mark.parametrize(
    ("listed", "ours", "miss"),
    [
        ("x, state, dt=0.001", lambda x, state=None, dt=0.001, more=None: None, None),
        ("x, state", lambda state, x: None, "argument 1 is state, not x"),
        ("x, dt=0.001", lambda x, dt=0.01: None, "argument dt is 0.01 by default, not 0.001"),
        ("x, dt=0.001", lambda x, dt: None, "argument dt has no default"),
        ("x, dt=0.001", lambda x, **kwargs: None, "argument dt is missing"),
        ("x", lambda x, y: None, "argument y is asked for besides"),
        ("x, **kwargs", lambda x: None, "takes no further keyword arguments"),
        ("*modules, last=True", lambda *modules, last=True: None, None),
        ("*modules", lambda: None, "takes no *modules"),
        ("p=LIFParameters()", lambda p=OTHER_PARAMETERS: None, "argument p is LIFParam"),
        ("n=tensor(1)", lambda n=1: None, "argument n is 1 by default"),
    ],
)
def test_the_comparison_sees_what_differs(listed, ours, miss):
    """Otherwise the tests above would be no use."""
    found = list(argument_differences(listed, inspect.signature(ours)))
    assert (not found) if miss is None else any(miss in text for text in found)


# ---- what is said of a name, and what is there -----------------------------------------------------------------------

BASES = {"Module": torch.nn.Module, "Sequential": torch.nn.Sequential, "Conv3d": torch.nn.Conv3d}


def present(module: str, name: str) -> bool:
    try:
        return getattr(snn, name, None) is getattr(importlib.import_module(module), name, ...)
    except ImportError:
        return False


def differences(module: str, name: str, fact: dict[str, Any]) -> Iterator[str]:
    """What a user of the published name would miss."""
    try:
        value = getattr(importlib.import_module(module), name)
    except ImportError as error:
        yield f"not importable ({error})"
        return
    except AttributeError:
        yield "missing"
        return
    if fact.get("starred") and getattr(snn, name, None) is not value:
        yield "missing at norse.torch" if not hasattr(snn, name) else "another object at norse.torch"
    yield from KINDS[fact["kind"]](value, fact)
    for method in fact.get("methods", []):
        if not callable(getattr(value, method, None)):
            yield f"method {method} is missing"
        elif method == "bio_default" and not isinstance(value.bio_default(), value):
            yield "bio_default() gives something else"


def named_tuple_differences(value: Any, fact: dict[str, Any]) -> Iterator[str]:
    if not (isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields")):
        yield "no named tuple"
        return
    parameter = inspect.Parameter
    fields = [
        parameter(field, parameter.POSITIONAL_OR_KEYWORD, default=value._field_defaults.get(field, parameter.empty))
        for field in value._fields
    ]
    yield from argument_differences(fact["arguments"], inspect.Signature(fields))


def function_differences(value: Any, fact: dict[str, Any]) -> Iterator[str]:
    if not callable(value) or isinstance(value, type):
        yield "no function"
        return
    yield from argument_differences(fact["arguments"], inspect.signature(value))


def class_differences(value: Any, fact: dict[str, Any]) -> Iterator[str]:
    if not isinstance(value, type):
        yield "no class"
        return
    base = fact.get("base")
    if base == "Function":
        if not issubclass(value, torch.autograd.Function):
            yield "no autograd.Function"
    elif base is not None and not issubclass(value, BASES.get(base) or published(base)):
        yield f"no {base}"
    if fact.get("arguments"):
        yield from argument_differences(fact["arguments"], inspect.signature(value))
    if "forward" in fact:
        signature = inspect.signature(value.forward)
        bound = signature.replace(parameters=list(signature.parameters.values())[1:])
        for miss in argument_differences(fact["forward"], bound):
            yield f"forward: {miss}"


def value_differences(value: Any, fact: dict[str, Any]) -> Iterator[str]:
    if "base" in fact and type(value).__name__ != fact["base"]:
        yield f"a {type(value).__name__}, no {fact['base']}"


KINDS = {
    "NamedTuple": named_tuple_differences,
    "function": function_differences,
    "class": class_differences,
    "value": value_differences,
}


def argument_differences(listed: str, signature: inspect.Signature) -> Iterator[str]:
    """The listed arguments come first, in their order, with their defaults; what follows them must be optional."""
    asked = ast.parse(f"lambda {listed}: 0", mode="eval").body
    assert isinstance(asked, ast.Lambda)
    ours = list(signature.parameters.values())
    kinds = {parameter.kind for parameter in ours}
    positional = [p for p in ours if p.kind == p.POSITIONAL_OR_KEYWORD]
    names = [argument.arg for argument in asked.args.args]
    defaults = dict(zip(reversed(names), reversed(asked.args.defaults), strict=False))
    only_keywords = [argument.arg for argument in asked.args.kwonlyargs]
    defaults |= dict(zip(only_keywords, asked.args.kw_defaults, strict=True))
    for place, name in enumerate(names):
        if place < len(positional) and positional[place].name != name:
            yield f"argument {place + 1} is {positional[place].name}, not {name}"
        elif place >= len(positional):
            yield f"argument {name} is missing"
    for name, default in defaults.items():
        if default is None:  # a keyword that must be given
            continue
        if name in signature.parameters:
            yield from default_differences(name, ast.unparse(default), signature.parameters[name].default)
        elif name in only_keywords:
            yield f"argument {name} is missing"
    further = [p for p in ours if p.name not in {*names, *only_keywords}]
    for parameter in further:
        if parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            yield f"argument {parameter.name} is asked for besides"
    anything_goes = not names and not only_keywords and asked.args.vararg and asked.args.kwarg
    if anything_goes:  # what torch.nn.Module says of a module without arguments
        return
    if asked.args.vararg and inspect.Parameter.VAR_POSITIONAL not in kinds and not further:
        yield f"takes no *{asked.args.vararg.arg}"
    if asked.args.kwarg and inspect.Parameter.VAR_KEYWORD not in kinds and not further:
        yield "takes no further keyword arguments"


def default_differences(name: str, listed: str, ours: Any) -> Iterator[str]:
    if ours is inspect.Parameter.empty:
        yield f"argument {name} has no default"
        return
    names = {node.id for node in ast.walk(ast.parse(listed)) if isinstance(node, ast.Name)}
    known = {"tensor": torch.tensor, "float32": torch.float32}
    try:
        expected = eval(listed, known | {n: published(n) for n in names - known.keys() if is_published(n)})
    except Exception as error:
        yield f"argument {name}: {listed} is no value ({error})"
        return
    if not same(expected, ours):
        yield f"argument {name} is {ours} by default, not {listed}"


def same(expected: Any, ours: Any) -> bool:
    if isinstance(expected, torch.Tensor) or isinstance(ours, torch.Tensor):
        tensors = isinstance(expected, torch.Tensor) and isinstance(ours, torch.Tensor)
        return tensors and expected.shape == ours.shape and torch.allclose(expected.double(), ours.double(), rtol=1e-6)
    if isinstance(expected, tuple):
        return type(expected) is type(ours) and all(map(same, expected, ours))
    if type(expected) is type(ours) and hasattr(expected, "__dict__") and not callable(expected):
        return vars(expected).keys() == vars(ours).keys() and all(
            map(same, vars(expected).values(), vars(ours).values())
        )
    if getattr(expected, "__name__", "") == "<lambda>":
        return callable(ours) and same(expected(torch.tensor(3.0)), ours(torch.tensor(3.0)))
    return bool(expected == ours) and isinstance(expected, bool) == isinstance(ours, bool)


@cache
def is_published(name: str) -> bool:
    return any(name in names for names in PUBLISHED.values())


@cache
def published(name: str) -> Any:
    """The library's object of a published name."""
    module = next(module for module, names in PUBLISHED.items() if name in names)
    return getattr(importlib.import_module(module), name)
