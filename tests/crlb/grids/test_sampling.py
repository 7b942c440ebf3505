"""Samples of a grid: close enough for its resolving power, without a gap, where they are needed."""

import numpy as np
import pytest

from crlb.errors import DataError
from crlb.grids.sampling import check_sampling, too_sparse

EVEN = np.arange(7000.0, 9000.0, 1.0)
RANGE = (7100.0, 8850.0)


@pytest.mark.parametrize(
    "wave",
    [
        EVEN,
        np.geomspace(7000.0, 9000.0, 2600),  # equal steps of the logarithm: R = 10,000
        7000.0 + np.cumsum(np.random.default_rng(1).uniform(0.01, 1.4, 3000)),
        np.concatenate([EVEN[:1000], EVEN[1000:] + 0.4]),  # a jump, but not out of the resolution element
    ],
    ids=["even", "logarithmic", "irregular", "jump"],
)
def test_samples_within_a_resolution_element_pass(wave):
    check_sampling(wave, 5000.0, *RANGE)  # 1.42 Å at 7100 Å


def test_samples_one_resolution_element_apart_pass():
    """BOSZ at its highest resolving power: steps of 1/R in ln wave, rounded to 0.001 Å."""
    check_sampling(np.round(np.geomspace(7000.0, 9000.0, 1258), 3), 5000.0, *RANGE)


def test_samples_further_apart_are_refused_with_place_and_spacing():
    words = r"one resolution element apart, 0\.71 Å at resolving power 10000, found them 1 Å apart at 7100"
    with pytest.raises(DataError, match=words):
        check_sampling(EVEN, 10_000.0, *RANGE)


def test_samples_too_far_apart_in_one_stretch_are_named_there():
    wave = np.concatenate([EVEN[:1400], np.arange(8400.0, 9000.0, 2.0)])
    with pytest.raises(DataError, match=r"1\.68 Å at resolving power 5000, found them 2 Å apart at 84"):
        check_sampling(wave, 5000.0, *RANGE)


def test_a_gap_is_refused_with_both_ends():
    wave = EVEN[(EVEN < 8541) | (EVEN > 8549)]
    words = r"found a gap of 10 Å between 8540\.00 and 8550\.00 Å \(around it they are 1 Å apart\)"
    with pytest.raises(DataError, match=words):
        check_sampling(wave, 5000.0, *RANGE)


@pytest.mark.parametrize("gap", [(7020, 7080), (8870, 8950)])
def test_a_gap_where_nothing_is_needed_passes(gap):
    wave = EVEN[(gap[0] > EVEN) | (gap[1] < EVEN)]
    check_sampling(wave, 5000.0, *RANGE)
    with pytest.raises(DataError, match="gap of"):
        check_sampling(wave, 5000.0, 7000.0, 9000.0)


@pytest.mark.parametrize("gap", [(7095, 7105), (8845, 8855)])
def test_a_gap_over_an_end_of_what_is_needed_is_refused(gap):
    with pytest.raises(DataError, match="gap of"):
        check_sampling(EVEN[(gap[0] > EVEN) | (gap[1] < EVEN)], 5000.0, *RANGE)


def test_ranges_at_a_gap_are_told_from_the_others():
    gap = np.concatenate([EVEN[EVEN <= 8000], EVEN[EVEN >= 8010]])
    low = np.array([7990.0, 7999.5, 8003.0, 8009.5, 8010.0, 6990.0])
    found = too_sparse(gap, 5000.0, low, low + 1)
    np.testing.assert_array_equal(found, [False, True, True, True, False, False])
    np.testing.assert_array_equal(too_sparse(gap, 5000.0, low, low + 1, 300.0)[:2], [False, False])
    assert too_sparse(EVEN, 20_000.0, low, low + 1)[:5].all()
