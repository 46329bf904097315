"""Writing graphs as arithmetic: equal nodes are made once, and only equal ones."""

import itertools

import pytest

from norse.compiler.build import Builder
from norse.compiler.ir import Ref


def test_equal_nodes_are_made_once() -> None:
    builder = Builder(("x",))
    x = builder.expression(Ref("x"))
    assert (x * -0.0).ref == (x * -0.0).ref
    assert len(builder.nodes) == 1


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: (c, "x")], ids=["", "in a tuple"])
def test_constants_that_are_equal_but_not_the_same_are_told_apart(wrap) -> None:  # type: ignore[no-untyped-def]
    for a, b in itertools.combinations([0.0, -0.0, 0, False], 2):
        builder = Builder(("x",))
        x = builder.expression(Ref("x"))
        assert builder.emit("call", x, wrap(a)).ref != builder.emit("call", x, wrap(b)).ref
        assert builder.emit("call", x, number=wrap(a)).ref != builder.emit("call", x, number=wrap(b)).ref
