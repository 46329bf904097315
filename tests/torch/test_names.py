"""What `norse.torch` offers."""

import inspect

import pytest

import norse.torch as snn


def test_every_listed_name_is_there_and_once():
    assert sorted(set(snn.__all__)) == sorted(snn.__all__)
    assert all(hasattr(snn, name) for name in snn.__all__)


@pytest.mark.parametrize("name", snn.__all__)
def test_every_public_name_says_what_it_is(name):
    assert len(inspect.getdoc(getattr(snn, name)) or "") > 40


def test_functions_that_share_their_modules_name_leave_the_module_in_place():
    assert inspect.ismodule(snn.functional.threshold)
    assert inspect.ismodule(snn.functional.heaviside)
    assert inspect.ismodule(snn.functional.lift)
    assert callable(snn.lift)
    assert callable(snn.heaviside)
