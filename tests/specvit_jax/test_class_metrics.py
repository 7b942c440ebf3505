"""Scores of probabilities of two classes, against scikit-learn, closed forms and known populations."""

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as sklearn

from crlb.errors import DataError, UsageError
from specvit_jax import class_metrics


@pytest.fixture(scope="module")
def told() -> tuple[np.ndarray, np.ndarray]:
    """Classes that come true exactly as often as they are said to."""
    rng = np.random.default_rng(0)
    p = rng.beta(0.8, 0.5, 50_000)
    return (rng.uniform(size=p.size) < p).astype(float), p


def test_scores_are_those_of_scikit_learn(told):
    above, p = (part[:5000] for part in told)
    assert class_metrics.accuracy(above, p) == sklearn.accuracy_score(above, p > 0.5)
    assert class_metrics.cross_entropy(above, p) == pytest.approx(sklearn.log_loss(above, p), rel=1e-6)
    assert class_metrics.brier(above, p) == pytest.approx(sklearn.brier_score_loss(above, p), rel=1e-12)
    assert class_metrics.balanced_accuracy(above, p) == pytest.approx(
        sklearn.balanced_accuracy_score(above, p > 0.5), rel=1e-12
    )


def test_skill_is_zero_for_the_shares_and_one_for_certainty():
    above = np.repeat([0.0, 1.0], [300, 700])
    assert class_metrics.skill(above, np.full(1000, 0.7)) == pytest.approx(0, abs=1e-12)
    assert class_metrics.skill(above, above) == pytest.approx(1, abs=1e-6)
    assert class_metrics.skill(above, np.full(1000, 0.3)) < 0
    with pytest.raises(DataError, match="of both classes, found 3 of one"):
        class_metrics.skill(np.ones(3), np.full(3, 0.5))


def test_what_float32_rounds_to_certainty_has_a_finite_price():
    wrong = class_metrics.cross_entropy(np.zeros(1), np.ones(1, np.float32))
    assert wrong == pytest.approx(24 * np.log(2), rel=1e-6)


def test_an_interval_of_accuracy_is_that_of_a_binomial_share():
    above = np.repeat([0.0, 1.0], [400, 600])
    found = class_metrics.summary(above, np.full(1000, 0.9), n_bootstrap=4000)
    low, high = scipy.stats.binom(1000, 0.6).ppf([0.025, 0.975]) / 1000
    assert found.accuracy == found.share_above == 0.6
    assert (found.accuracy_low, found.accuracy_high) == pytest.approx((low, high), abs=0.003)
    assert found.brier_low < found.brier < found.brier_high
    assert found.cross_entropy_low < found.cross_entropy < found.cross_entropy_high


def test_honest_probabilities_come_true_as_often_as_said(told):
    rows = class_metrics.reliability(*told)
    assert sum(row.n for row in rows) == 50_000
    for row in rows:
        assert row.p_low <= row.p_mean <= row.p_high
        assert row.share_above == pytest.approx(row.p_mean, abs=4 * np.sqrt(0.25 / row.n))
    assert class_metrics.calibration_error(rows) < 0.01


def test_overconfident_probabilities_are_off_by_as_much_as_they_are_too_sure():
    above = np.tile([0.0, 1.0, 1.0, 1.0], 500)
    rows = class_metrics.reliability(above, np.full(2000, 0.95))
    assert [row.n for row in rows] == [0] * 9 + [2000]
    assert rows[0].p_mean is None
    assert class_metrics.calibration_error(rows) == pytest.approx(0.2, abs=1e-12)


def test_bins_hold_the_spectra_of_their_snr_and_say_where_they_are_too_few(told):
    above, p = (part[:1000] for part in told)
    snr = np.linspace(0, 10, 1000, endpoint=False)
    first, second, empty = class_metrics.by_snr(above, p, snr, (0.0, 0.1, 5.0, 11.0), n_bootstrap=10)
    assert (first.n, first.accuracy) == (10, None)
    assert (second.n, empty.n) == (490, 500)
    inside = slice(10, 500)
    assert second.accuracy == pytest.approx(class_metrics.accuracy(above[inside], p[inside]))
    assert second.skill == pytest.approx(class_metrics.skill(above[inside], p[inside]))
    one = class_metrics.by_snr(np.ones(100), p[:100], snr[:100], (0.0, 11.0), n_bootstrap=10)[0]
    assert (one.skill, one.balanced_accuracy, one.share_above) == (None, None, 1.0)
    with pytest.raises(UsageError, match="increasing SNR"):
        class_metrics.by_snr(above, p, snr, (5.0, 1.0))


@pytest.mark.parametrize(
    ("above", "p", "said"),
    [
        ([0.0, 1.0], [0.5, 4.4], "probabilities, found 0.5 to 4.4; are these labels"),
        ([0.0, 2.5], [0.5, 0.5], "0 or 1"),
        ([], [], "at least one spectrum"),
        ([0.0], [np.nan], "finite"),
    ],
)
def test_labels_are_not_taken_for_probabilities(above, p, said):
    with pytest.raises(DataError, match=said):
        class_metrics.summary(np.array(above), np.array(p))
