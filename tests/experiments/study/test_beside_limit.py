"""Methods beside the limit: what a network tells, the mean over its seeds."""

from typing import Any

import numpy as np
import pytest

from experiments.study.beside_limit import LimitRun, network_row, over_seeds, told_by
from experiments.study.rows import widened
from specvit_jax.evaluation.predict import Predictions

RNG = np.random.default_rng(5)
TRUTH = RNG.uniform(1, 5, 500)
EXACT = np.stack([TRUTH + RNG.normal(0, 0.5, 500), np.full(500, 0.5)], axis=1)


def run_of(arm: str, seed: int, error: float, cover: float | None = None) -> LimitRun:
    told = np.stack([TRUTH + error * (EXACT[:, 0] - TRUTH), np.full(500, np.nan)], axis=1)
    more: dict[str, Any] = {"labels": {"log_g": error}, "spectra": 10, "cover_68": cover}
    return widened(LimitRun, network_row(TRUTH, EXACT, told), arm=arm, seed=seed, **more)


def test_what_is_told_is_of_log_g_and_its_sigma():
    names, labels = ("T_eff", "log_g"), np.array([[5000.0, 3.0], [6000.0, 4.0]])
    np.testing.assert_array_equal(told_by(Predictions(names, labels)), [[3, np.nan], [4, np.nan]])
    found = told_by(Predictions(names, labels, sigma=np.array([[90.0, 0.1], [80.0, 0.2]])))
    np.testing.assert_array_equal(found, [[3, 0.1], [4, 0.2]])


def test_rows_over_seeds_are_means_and_their_intervals_know_the_scatter():
    runs = [run_of("a", 42, 1.0, 0.6), run_of("a", 43, 1.2, 0.8), run_of("b", 42, 1.0)]
    both, alone = over_seeds(runs)
    for key in ("r2", "efficiency", "mae"):
        values = np.array([getattr(run, key) for run in runs[:2]])
        assert getattr(both, key) == pytest.approx(values.mean())
        reach = getattr(both, f"{key}_high") - getattr(both, key)
        assert reach > 1.96 * values.std(ddof=1) / np.sqrt(2)
    assert (both.seeds, alone.seeds) == (2, 1)
    assert both.cover_68 == pytest.approx(0.7)
    assert both.labels == {"log_g": pytest.approx(1.1)}
    assert alone.cover_68 is None


def test_a_mean_that_lacks_a_seed_is_none():
    (row,) = over_seeds([run_of("a", 42, 1.0, 0.6), run_of("a", 43, 1.0)])
    assert row.cover_68 is None
