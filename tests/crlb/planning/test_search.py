"""The searches against closed forms."""

import math

import numpy as np
import pytest

from crlb.observation.brightness import FAINTEST
from crlb.planning.search import COARSE, MOST, faintest_mag, faintest_near, fewest_exposures


def test_the_fewest_exposures_are_those_of_the_closed_form():
    shrinking, lasting, want = np.array([1.0, 7.3, 2e4, 0.3, 1e-3]), np.array([0, 0, 0.1, 1.0, 0]), 0.5
    found = fewest_exposures(lambda n: np.sqrt(shrinking / n + lasting), want, 5)
    right = [4, 30, math.ceil(2e4 / 0.15), math.inf, 1]
    assert found.tolist() == right


def test_a_number_that_suffices_exactly_is_found_and_one_beyond_the_most_is_none():
    for right in (1, 2, 3, 4, 5, 63, 64, 65, 1000, int(MOST)):
        assert fewest_exposures(lambda n, m=right: np.where(n >= m, 1.0, 2.0), 1.0).tolist() == [right]
    assert fewest_exposures(lambda n: np.where(n > MOST, 1.0, 2.0), 1.0).tolist() == [math.inf]


def test_no_sigma_is_too_large():
    assert fewest_exposures(lambda n: np.where(n > 100, 0.5, np.nan), 1.0).tolist() == [101]
    assert fewest_exposures(lambda n: np.full(len(n), np.nan), 1.0).tolist() == [math.inf]


def test_the_faintest_magnitude_is_that_of_the_closed_form():
    sigma = lambda mag: 0.1 * 10 ** (0.2 * (mag - 20))  # noqa: E731
    right = 20 + 5 * math.log10(3)
    assert faintest_mag(sigma, 0.3) == pytest.approx(right, abs=2e-6)
    assert sigma(faintest_mag(sigma, 0.3)) <= 0.3
    assert math.isnan(faintest_mag(lambda mag: 1.0 + 0 * mag, 0.5))
    assert faintest_mag(lambda mag: 0.1 + 0 * mag, 0.5) == FAINTEST
    for start in (12.0, right - 0.1, right + 0.1, 30.0):
        assert right - COARSE <= faintest_near(sigma, 0.3, start) <= right
    assert math.isnan(faintest_near(sigma, 0.3, 60.0))
    assert faintest_near(sigma, 0.3, -10.0) == FAINTEST
