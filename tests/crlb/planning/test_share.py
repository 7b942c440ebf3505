"""Shares of stars against counting by hand, and what a plan says of its stars."""

import numpy as np
import pytest

from crlb.planning.result import ExposuresRow
from crlb.planning.share import PlannedStars, SharePlan, fewest_for, needed_row, reached_row, steps_of

NEEDED = (4, 1, None, 40, 4, None)
WEIGHT = np.array([0.1, 0.2, 0.05, 0.3, 0.15, 0.2])


def rows(floors=(0.0, 0.0, 0.5, 0.0, 0.0, np.nan)):
    return [
        ExposuresRow("pfs-mr", 20.0, "log_g", 0.2, n, None, None, None, floor, "the sky")
        for n, floor in zip(NEEDED, floors, strict=True)
    ]


def plan(n=6, seed=None):
    one = needed_row(rows(), 20.0, WEIGHT, 1800.0)
    labels = np.full((6, 1), 2.5)
    stars = PlannedStars("s.csv", "0", n, 1, np.arange(1, 7), ("log_g",), labels, WEIGHT, seed=seed)
    reached = tuple(reached_row(one, WEIGHT, n, n / 2) for n in (1, 3, 4, 39, 40))
    return SharePlan(1800.0, reached, (one,), stars, {})


def test_shares_are_sums_of_weights_of_the_stars_that_suffice():
    shares = [row.share for row in plan().reached]
    assert shares == pytest.approx([0.2, 0.2, 0.45, 0.45, 0.75])
    (one,) = plan().needed
    assert (one.n_exp_50, one.hours_50) == (40, 20.0)
    assert (one.n_exp_90, one.hours_90) == (None, None)
    assert one.never == pytest.approx(0.25)
    assert one.untold == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_fewest_exposures_are_those_of_counting_up(seed):
    rng = np.random.default_rng(seed)
    needed = [None if rng.uniform() < 0.1 else int(rng.integers(1, 30)) for _ in range(40)]
    weight = rng.dirichlet(np.ones(40))
    for share in (0.01, 0.5, 0.9):
        counted = (
            n
            for n in range(1, 31)
            if sum(w for x, w in zip(needed, weight, strict=True) if x and x <= n) >= share
        )
        assert fewest_for(share, needed, weight) == next(counted, None)


def test_rounding_of_a_sum_of_weights_moves_no_share():
    assert sum([0.1] * 9) < 0.9
    assert fewest_for(0.9, tuple(range(1, 11)), np.full(10, 0.1)) == 9
    assert fewest_for(0.5, (1, 9), np.array([0.5, 0.5])) == 1


def test_steps_begin_with_one_exposure_and_end_where_they_are_told_to():
    numbers, share = steps_of((4, None, 40, 4), np.array([0.1, 0.2, 0.3, 0.4]), last=80)
    np.testing.assert_array_equal(numbers, [1, 4, 40, 80])
    np.testing.assert_allclose(share, [0.0, 0.5, 0.8, 0.8])


def test_a_plan_says_what_its_stars_are_and_reads_itself_back():
    found = plan(n=1000, seed=3)
    said = " ".join(found.table().split())
    assert "Stars: 6 of s.csv (1 outside the grid left out)." in said
    # 1 sigma of a share of one half of n_eff = 1 / sum(weight^2) stars is 0.5 / sqrt(n_eff)
    assert f"uncertain by up to {50 * np.sqrt((WEIGHT**2).sum()):.1f} percentage points (1 sigma)" in said
    assert "never: the floor, set by the sky, is above what is wanted." in said
    assert "never counts up to 1 stars without such a floor" in said
    again = SharePlan.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert again.needed[0].n_exp == NEEDED


def test_the_figure_passes_through_the_shares_of_the_table():
    found = plan()
    (axes,) = found.plot().axes
    (line,) = axes.lines
    hours, share = line.get_data()
    for row in found.reached:
        before = np.flatnonzero(np.asarray(hours) <= row.hours * (1 + 1e-12))
        assert share[before[-1]] == pytest.approx(100 * row.share)
    assert axes.get_legend().get_texts()[0].get_text() == "mag 20"
