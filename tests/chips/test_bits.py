"""Bits that weights need: of grids that are made here, by scale and levels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norse.backends.chips.bits import bits_needed, bits_needed_by_row


@pytest.mark.parametrize(
    ("levels", "bits"),
    [([0], 1), ([1], 2), ([-1, 1], 2), ([2, 1], 3), ([3, -1], 3), ([4, 3], 4), ([63, 1], 7), ([64, 1], 8),
     ([127, -126], 8), ([128, 1], 9), ([32767, 1], 16)],
)  # fmt: skip
def test_are_those_of_the_largest_level(levels, bits):
    for scale in (1.0, 0.5, 0.013, 3e-5):
        assert bits_needed(np.float32(scale) * np.array(levels, np.float32)) == bits


def test_a_common_factor_of_the_levels_is_none_of_their_bits():
    assert bits_needed(np.array([100, 50, -150], np.float32)) == 3  # 2, 1, -3 times 50


def test_more_levels_than_16_bits_have_are_floats():
    assert bits_needed(np.array([32768, 1], np.float32)) is None
    assert bits_needed(np.linspace(-1, 1, 70001)) is None


def test_random_floats_are_on_no_grid():
    for seed in range(20):
        assert bits_needed(np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-127, 127), min_size=1, max_size=50),
    st.floats(1e-4, 10),
)
def test_grids_of_8_bits_need_8_bits_at_most(levels, scale):
    weights = np.float32(scale) * np.array(levels, np.float32)
    divisor = np.gcd.reduce(np.abs(levels))
    largest = int(np.abs(levels).max() // divisor) if divisor else 0
    assert bits_needed(weights) == (1 if not largest else len(bin(largest)) - 2 + 1)


def test_a_scale_for_each_row():
    weights = np.array([[127, 1], [0.3 * 5, 0.3 * 127]], np.float32)
    assert bits_needed_by_row(weights) == 8
    assert bits_needed(weights) is None or bits_needed(weights) > 8
    assert bits_needed_by_row(np.random.default_rng(0).normal(size=(2, 9))) is None
    assert bits_needed_by_row(np.zeros((2, 3))) == 1
