"""Metrics for any stars: invariances, limits, the same numbers as scikit-learn; what has none is refused."""

from dataclasses import asdict

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st

from crlb.errors import DataError, UsageError
from specvit_jax import metrics
from specvit_jax.evaluation.scores import coverage

powers = st.floats(-30, 30)
seeds = st.integers(0, 2**32 - 1)
numbers = st.floats(-1e6, 1e6)
some = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30).map(np.array)


def drawn(seed: int, n: int = 40, power: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    truth = chance.uniform(-1, 1, n)
    return 10.0**power * truth, 10.0**power * (0.8 * truth + chance.normal(0.1, 0.3, n))


def all_of(truth: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    return {name: float(metric(truth, pred)) for name, metric in metrics.METRICS.items()}


@given(some)
def test_numbers_are_those_of_scikit_learn(pairs):
    truth, pred = pairs.T
    assume(np.ptp(truth) > 1e-6)
    found = all_of(truth, pred)
    assert found["r2"] == pytest.approx(sklearn.metrics.r2_score(truth, pred), rel=1e-7, abs=1e-9)
    assert found["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(truth, pred), rel=1e-12)
    assert found["rmse"] == pytest.approx(sklearn.metrics.root_mean_squared_error(truth, pred), rel=1e-12)
    explained = 1 - found["scatter"] ** 2 / truth.var()
    expected = sklearn.metrics.explained_variance_score(truth, pred)
    assert explained == pytest.approx(expected, rel=1e-7, abs=1e-9)


@given(some)
def test_metrics_bound_each_other(pairs):
    truth, pred = pairs.T
    residual = pred - truth
    assume(np.ptp(truth) > 1e-6)
    found, size = all_of(truth, pred), np.abs(residual).max()
    assert found["rmse"] ** 2 == pytest.approx(found["bias"] ** 2 + found["scatter"] ** 2, abs=1e-9 * size**2)
    assert abs(found["bias"]) <= found["mae"] * (1 + 1e-12) + 1e-300
    assert found["mae"] <= found["rmse"] * (1 + 1e-12)
    assert found["r2"] <= 1


@given(seeds, powers, st.floats(-3, 3), st.sampled_from([1, -1]))
def test_metrics_follow_the_unit_of_the_label(seed, power, shift, sign):
    truth, pred = drawn(seed)
    unit = sign * 10.0**power
    before, after = all_of(truth, pred), all_of(unit * (truth + shift), unit * (pred + shift))
    assert after["r2"] == pytest.approx(before["r2"], rel=1e-9)
    assert after["bias"] == pytest.approx(unit * before["bias"], rel=1e-9, abs=1e-12 * abs(unit))
    for name in ("mae", "rmse", "scatter"):
        assert after[name] == pytest.approx(abs(unit) * before[name], rel=1e-9)


@given(seeds)
def test_metrics_know_no_order_and_no_company(seed):
    truth, pred = drawn(seed)
    order = np.random.default_rng(seed).permutation(len(truth))
    for name, metric in metrics.METRICS.items():
        alone = metric(truth, pred)
        assert metric(truth[order], pred[order]) == pytest.approx(alone, rel=1e-12, abs=1e-15)
        stacked = metric(np.stack([truth, truth[::-1]]), np.stack([pred, pred[::-1]]))
        np.testing.assert_allclose(stacked, alone, rtol=1e-12, atol=1e-15, err_msg=name)


@given(seeds, powers, st.integers(2, 40))
def test_the_truth_itself_scores_best(seed, power, n):
    truth, _ = drawn(seed, n, power)
    assert all_of(truth, truth) == {"r2": 1.0, "mae": 0.0, "rmse": 0.0, "bias": 0.0, "scatter": 0.0}
    assert float(metrics.r2(truth, np.full(n, truth.mean()))) == pytest.approx(0, abs=1e-12)


@given(st.floats(-1e300, 1e300), st.integers(1, 50))
def test_one_star_or_stars_of_one_label_have_no_r2(value, n):
    truth = np.full(n, value)
    for pred in (truth, np.arange(n, dtype=float)):
        with pytest.raises(DataError, match=r"R2 needs true values that differ.* all equal"):
            metrics.r2(truth, pred)
        with pytest.raises(DataError, match="R2 needs true values that differ"):
            metrics.summary(truth, pred, n_bootstrap=3)


@given(seeds, st.sampled_from([np.nan, np.inf, -np.inf]), st.sampled_from(["truth", "pred", "snr"]))
def test_numbers_that_are_not_finite_are_refused_by_name(seed, bad, where):
    truth, pred = drawn(seed)
    values = {"truth": truth, "pred": pred, "snr": np.full(len(truth), 5.0)}
    values[where][seed % len(truth)] = bad
    with pytest.raises(DataError, match=f"{where} must be finite, found 1"):
        metrics.by_snr(**values, edges=[0.0, 10.0], n_bootstrap=3)
    if where != "snr":
        with pytest.raises(DataError, match=f"{where} must be finite, found 1"):
            metrics.summary(values["truth"], values["pred"], n_bootstrap=3)


@given(seeds, st.integers(2, 60), powers, st.integers(1, 60))
def test_a_summary_is_finite_and_ordered_or_refused(seed, n, power, kinds):
    truth, pred = drawn(seed, n, power)
    truth = truth[np.arange(n) % kinds]  # labels of a grid: few values
    if kinds == 1:
        with pytest.raises(DataError, match="R2 needs true values that differ"):
            metrics.summary(truth, pred, n_bootstrap=20)
        return
    found = asdict(metrics.summary(truth, pred, n_bootstrap=20))
    assert np.isfinite(list(found.values())).all()
    for name in metrics.METRICS:
        assert found[f"{name}_low"] <= found[f"{name}_high"]


@given(seeds, st.lists(st.floats(1, 1e3), max_size=6), st.integers(0, 80))
def test_every_spectrum_between_the_edges_is_in_one_bin(seed, edges, n):
    truth, pred = drawn(seed, n)
    snr = np.random.default_rng(seed).uniform(0, 1e3, n)
    if n == 0:
        with pytest.raises(DataError, match="at least one spectrum"):
            metrics.by_snr(truth, pred, snr, edges, n_bootstrap=3)
        return
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        with pytest.raises(UsageError, match="increasing"):
            metrics.by_snr(truth, pred, snr, edges, n_bootstrap=3)
        edges = sorted({0.5, *edges, 2e3})
    rows = metrics.by_snr(truth, pred, snr, edges, n_bootstrap=3)
    assert sum(row.n for row in rows) == ((snr >= edges[0]) & (snr < edges[-1])).sum()
    for row in rows:
        assert (row.r2 is None) == (row.n < metrics.MIN_BIN)
        assert row.snr_median is None or row.snr_low <= row.snr_median < row.snr_high


@given(seeds, st.floats(-3, 3), powers)
def test_coverage_is_a_share_that_grows_with_sigma_and_has_no_unit(seed, shift, power):
    truth, pred = drawn(seed)
    sigma = np.random.default_rng(seed).uniform(0.1, 1, len(truth))
    found = coverage(truth, pred + shift, sigma)
    assert 0 <= found["1_sigma"] <= found["2_sigma"] <= 1
    assert coverage(truth, pred + shift, 2 * sigma)["1_sigma"] == found["2_sigma"]
    unit = 2.0 ** round(power)
    assert coverage(unit * truth, unit * (pred + shift), unit * sigma) == found
    assert coverage(truth, truth, sigma * 0) == {"1_sigma": 1.0, "2_sigma": 1.0}
