"""Metrics against hand formulas and limits."""

import numpy as np
import pytest

from crlb.errors import DataError, UsageError
from specvit_jax import metrics

TRUTH = np.array([1.0, 2.0, 3.0, 4.0])
PRED = np.array([1.5, 2.0, 2.0, 4.5])  # residuals 0.5, 0, -1, 0.5


def test_metrics_equal_the_hand_computed_values():
    assert metrics.r2(TRUTH, PRED) == pytest.approx(1 - 1.5 / 5.0)
    assert metrics.mae(TRUTH, PRED) == pytest.approx(0.5)
    assert metrics.rmse(TRUTH, PRED) == pytest.approx(np.sqrt(1.5 / 4))
    assert metrics.bias(TRUTH, PRED) == pytest.approx(0.0)
    assert metrics.scatter(TRUTH, PRED) == pytest.approx(np.sqrt(1.5 / 4))


def test_the_sign_of_the_bias_is_prediction_minus_truth():
    assert metrics.bias(TRUTH, TRUTH + 0.3) == pytest.approx(0.3)
    assert metrics.scatter(TRUTH, TRUTH + 0.3) == pytest.approx(0.0, abs=1e-12)
    assert metrics.rmse(TRUTH, TRUTH + 0.3) == pytest.approx(0.3)


def test_r2_is_one_for_the_truth_and_zero_for_its_mean():
    assert metrics.r2(TRUTH, TRUTH) == 1.0
    assert metrics.r2(TRUTH, np.full(4, TRUTH.mean())) == pytest.approx(0.0)


def test_float32_labels_of_thousands_of_kelvin_lose_no_digits():
    rng = np.random.default_rng(0)
    truth = rng.uniform(4000, 6000, 5000)
    pred = truth + rng.normal(0, 1.0, 5000)
    assert metrics.r2(truth.astype("f4"), pred.astype("f4")) == pytest.approx(
        metrics.r2(truth, pred), abs=1e-8
    )


def test_r2_of_equal_true_values_is_refused():
    with pytest.raises(DataError, match="all equal"):
        metrics.r2(np.ones(5), np.arange(5.0))


def test_resamplings_without_variance_are_left_out_of_the_interval_of_r2():
    """With two spectra half of the resamplings have one of them twice."""
    found = metrics.summary(np.array([0.0, 1.0]), np.array([0.25, 0.75]), n_bootstrap=50)
    assert found.r2 == found.r2_low == found.r2_high == pytest.approx(0.75)


def test_a_bin_of_one_true_value_is_counted_and_not_scored():
    truth, pred = np.repeat([1.0, 2.0, 3.0], [25, 20, 20]), np.linspace(0.0, 4.0, 65)
    first, second = metrics.by_snr(truth, pred, np.repeat([5.0, 15.0], [25, 40]), [0.0, 10.0, 20.0])
    assert (first.n, first.r2, first.mae) == (25, None, None)
    assert second.r2 is not None


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="pred must be finite, found 1"):
        metrics.summary(TRUTH, np.array([1.0, np.nan, 2.0, 3.0]))


def test_no_spectra_are_refused():
    with pytest.raises(DataError, match="at least one spectrum"):
        metrics.summary(TRUTH[:0], PRED[:0])


def test_the_bootstrap_interval_of_the_bias_is_the_normal_one():
    rng = np.random.default_rng(1)
    truth = rng.uniform(1, 5, 4000)
    pred = truth + rng.normal(0.1, 0.5, 4000)
    found = metrics.summary(truth, pred, n_bootstrap=2000, level=0.95)
    residual = pred - truth
    half = 1.959964 * residual.std() / np.sqrt(4000)
    assert found.bias_low == pytest.approx(residual.mean() - half, abs=0.1 * half)
    assert found.bias_high == pytest.approx(residual.mean() + half, abs=0.1 * half)
    assert found.r2_low < found.r2 < found.r2_high


def test_the_bootstrap_interval_of_r2_covers_the_population_value_at_its_level():
    rng, hits = np.random.default_rng(2), 0
    for seed in range(200):  # truth uniform on [0, sqrt(12)]: variance 1; noise 0.5: population R2 0.75
        truth = rng.uniform(0, np.sqrt(12), 200)
        found = metrics.summary(truth, truth + rng.normal(0, 0.5, 200), n_bootstrap=200, level=0.8, seed=seed)
        hits += found.r2_low <= 0.75 <= found.r2_high
    assert 0.7 < hits / 200 < 0.88


def test_the_interval_repeats_by_seed_whatever_the_block_size(monkeypatch):
    rng = np.random.default_rng(3)
    truth, pred = rng.normal(size=300), rng.normal(size=300)
    whole = metrics.summary(truth, pred, n_bootstrap=50, seed=7)
    assert metrics.summary(truth, pred, n_bootstrap=50, seed=8) != whole
    monkeypatch.setattr(metrics, "BLOCK", 900)
    assert metrics.summary(truth, pred, n_bootstrap=50, seed=7) == whole


def test_a_bin_is_scored_with_its_own_spectra_and_its_own_variance():
    rng = np.random.default_rng(4)
    snr = rng.uniform(2, 10, 1000)
    truth = np.where(snr < 5, 3 + 0.1 * rng.normal(size=1000), rng.uniform(1, 5, 1000))
    pred = truth + rng.normal(0, 0.3, 1000)
    rows = metrics.by_snr(truth, pred, snr, [2.0, 5.0, 10.0], n_bootstrap=20)
    for row, inside in zip(rows, (snr < 5, snr >= 5), strict=True):
        residual = (pred - truth)[inside]
        assert row.n == inside.sum()
        assert row.snr_median == np.median(snr[inside])
        assert row.rmse == pytest.approx(np.sqrt(np.mean(residual**2)))
        assert row.r2 == pytest.approx(1 - np.mean(residual**2) / truth[inside].var())
    assert rows[0].r2 < 0 < rows[1].r2


def test_bins_are_closed_below_and_open_above():
    snr = np.repeat([2.0, 3.0, 4.0], 30)
    truth = np.tile(np.arange(30.0), 3)
    rows = metrics.by_snr(truth, truth, snr, [2.0, 3.0, 4.0], n_bootstrap=10)
    assert [row.n for row in rows] == [30, 30]
    assert [row.snr_median for row in rows] == [2.0, 3.0]


def test_an_empty_bin_and_a_small_one_are_listed_without_scores():
    snr = np.concatenate([np.full(50, 3.0), np.full(metrics.MIN_BIN - 1, 12.0)])
    truth = np.arange(len(snr), dtype=float)
    _, empty, small = metrics.by_snr(truth, truth, snr, [2.0, 5.0, 10.0, 20.0], n_bootstrap=10)
    assert (empty.n, empty.snr_median, empty.r2, empty.r2_low) == (0, None, None, None)
    assert (small.n, small.snr_median, small.mae) == (metrics.MIN_BIN - 1, 12.0, None)


@pytest.mark.parametrize("edges", [[2.0], [2.0, 2.0], [3.0, 2.0]])
def test_edges_that_do_not_increase_are_refused(edges):
    with pytest.raises(UsageError, match="increasing"):
        metrics.by_snr(TRUTH, PRED, TRUTH, edges)
