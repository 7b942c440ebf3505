"""Posteriors of stars go to JSON and back, stand in a table, and are put in order."""

import json
from dataclasses import fields

import numpy as np

from crlb.bayes.result import SHOWN, Posterior, joined

NAMES = ("T_eff", "log_g")


def some(first: int, n: int) -> Posterior:
    """Posteriors whose mean log g tells the star: its number over ten."""
    star = np.arange(first, first + n)
    mean = np.column_stack([4800.0 + star, star / 10])
    quantiles = mean[..., None] + np.array([-1.0, 0.0, 1.0])
    truth = np.where(star[:, None] == 0, np.nan, 0.5 + 0 * mean)
    return Posterior(NAMES, mean, 0.1 + 0 * mean, quantiles, truth, 300.0 + star, star != 1)


def test_posteriors_come_back_from_json_as_they_were():
    written = some(0, 3)
    found = Posterior.from_json(json.loads(json.dumps(written.to_json(), allow_nan=False)))
    for one in fields(Posterior):
        np.testing.assert_array_equal(getattr(found, one.name), getattr(written, one.name))
    assert found.converged.dtype == bool


def test_groups_of_stars_are_joined_in_the_order_of_their_rows():
    found = joined(np.array([4, 2, 3, 0, 1]), [some(4, 1), some(2, 2), some(0, 2)])
    np.testing.assert_allclose(found.mean[:, 1], np.arange(5) / 10)
    np.testing.assert_array_equal(found.converged, [True, False, True, True, True])
    assert found.label_names == NAMES


def test_a_table_shows_the_first_stars_and_says_what_is_left_and_what_failed():
    shown = some(0, SHOWN + 7).table()
    assert "4803 +- 0.1" in shown
    assert "0.3 +- 0.1" in shown
    assert f"{4800 + SHOWN - 1} +- 0.1" in shown
    assert f"{4800 + SHOWN} +- 0.1" not in shown
    assert "and 7 more stars." in shown
    assert f"1 of {SHOWN + 7} stars did not converge." in shown
    assert "more" not in some(2, 2).table()
