"""fast_math's exp and tanh, compared with numpy's of twice the precision: their error, and where they have none."""

import ctypes

import numpy
import pytest

from norse.backends.cpu import build

# Of numbers from an array, as loops over neurons are.
SOURCE = """
#include "arithmetic.h"
#define OF_ALL(NAME, FUNCTION, TYPE) \\
  extern "C" void NAME(const TYPE* x, TYPE* y, long count) { \\
    for (long k = 0; k < count; ++k) y[k] = FUNCTION(x[k]); \\
  }
OF_ALL(exp_float32, norse_exp, float)
OF_ALL(exp_float64, norse_exp, double)
OF_ALL(tanh_float32, norse_tanh, float)
OF_ALL(tanh_float64, norse_tanh, double)
"""
FLOATS = 2.0 ** numpy.arange(-149, 8, dtype=numpy.float64)

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
of_both = pytest.mark.parametrize("name", ["exp", "tanh"])


def computed(name: str, x: numpy.ndarray, *, fast_math: bool = True) -> numpy.ndarray:
    library, y = build.load(SOURCE, fast_math=fast_math), numpy.empty_like(x)
    function = getattr(library, f"{name}_{x.dtype}")
    function(*(ctypes.c_void_p(array.ctypes.data) for array in (x, y)), ctypes.c_long(x.size))
    return y


def ulps(name: str, x: numpy.ndarray) -> numpy.ndarray:
    """The distance to the true value, in units of what the dtype resolves there: subnormal results, too."""
    wide = numpy.float64 if x.dtype == numpy.float32 else numpy.longdouble
    true = getattr(numpy, name)(x.astype(wide))
    resolved = numpy.spacing(numpy.abs(true).astype(x.dtype)).astype(wide)
    return numpy.abs(computed(name, x).astype(wide) - true) / resolved


def numbers(dtype: type) -> numpy.ndarray:
    """Where exp is neither zero nor infinite: everywhere, with more of them near zero, and every power of two."""
    lowest, highest = (-103.9, 88.72) if dtype == numpy.float32 else (-745.1, 709.78)
    random = numpy.random.default_rng(0)
    drawn = (random.uniform(lowest, highest, 400_000), random.uniform(-20, 20, 300_000), random.uniform(-2, 2, 300_000))
    powers = FLOATS[-lowest > FLOATS]
    small = random.uniform(-1, 1, 100_000) * 2.0 ** random.uniform(-140, 0, 100_000)
    all_of_them = numpy.concatenate([*drawn, small, powers[powers < highest], -powers]).astype(dtype)
    return all_of_them[(all_of_them > lowest) & (all_of_them < highest)]


@both
@of_both
def test_the_error_is_as_promised(name: str, dtype: type) -> None:
    if dtype == numpy.float64 and numpy.finfo(numpy.longdouble).nmant <= 52:
        pytest.skip("this machine has no longer numbers than double")
    assert ulps(name, numbers(dtype)).max() < {"exp": 1.1, "tanh": 1.4}[name]


@both
def test_exp_of_what_is_special(dtype: type) -> None:
    largest, smallest = (88.7, -103.2) if dtype == numpy.float32 else (709.7, -745.1)
    x = numpy.array(
        [numpy.inf, -numpy.inf, numpy.nan, 0, -0.0, 1e4, -1e4, largest + 0.1, smallest - 1, smallest], dtype
    )
    y = computed("exp", x)
    numpy.testing.assert_array_equal(y[:-1], [numpy.inf, 0, numpy.nan, 1, 1, numpy.inf, 0, numpy.inf, 0])
    assert y[-1] == numpy.finfo(dtype).smallest_subnormal
    assert numpy.isfinite(computed("exp", numpy.array([largest], dtype))).all()


@both
def test_tanh_of_what_is_special(dtype: type) -> None:
    x = numpy.array([numpy.inf, -numpy.inf, numpy.nan, 0, 1e4, -1e4, 1e-30], dtype)
    numpy.testing.assert_array_equal(computed("tanh", x), numpy.array([1, -1, numpy.nan, 0, 1, -1, 1e-30], dtype))


@both
@of_both
def test_without_fast_math_they_are_the_c_librarys(name: str, dtype: type) -> None:
    library = ctypes.CDLL(None)
    function = getattr(library, name + ("f" if dtype == numpy.float32 else ""))
    function.argtypes, function.restype = (
        (ctypes.c_float if dtype == numpy.float32 else ctypes.c_double,),
        (ctypes.c_float if dtype == numpy.float32 else ctypes.c_double),
    )
    x = numpy.linspace(-3, 3, 1000).astype(dtype)
    numpy.testing.assert_array_equal(computed(name, x, fast_math=False), numpy.array([function(v) for v in x], dtype))
