"""What is read from a network star by star: excess error, pulls, forecasts. Closed forms and scipy decide."""

from dataclasses import dataclass
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from experiments.efficiency import experiment as efficiency
from experiments.residuals import experiment as residuals
from experiments.study.cells import Field, Grid, Place, field
from experiments.study.resampling import with_ends
from experiments.study.rows import intervals
from experiments.study.stars import Stars
from experiments.uncertainty import experiment as uncertainty
from experiments.uncertainty import forecasts
from experiments.uncertainty.rows import Forecast
from specvit_jax.evaluation.limits import cramer_rao, in_float64
from specvit_jax.spectra.source import make_simulator

N = 4_000


@dataclass(frozen=True, kw_only=True)
class TopField(Field):
    top: Grid


@pytest.fixture(scope="module")
def known():
    """Truth = posterior mean + 0.6 normal, variance 1; the network is off by 0.2 normal beside."""
    mean, off, scatter = np.random.default_rng(0).normal(size=(3, N)) * [[0.8], [0.2], [0.6]]
    return efficiency.Known(mean + scatter, mean, np.full(N, 0.36), mean + off)


@pytest.fixture(scope="module")
def whole(known):
    return efficiency.cell(known, np.ones(N, bool))


def test_interval_of_a_mean_is_that_of_the_normal_approximation():
    values = np.random.default_rng(1).normal(2.0, 3.0, N)
    found = with_ends("mean", lambda x: x.mean(axis=-1), values)
    reach = 1.96 * values.std() / N**0.5
    assert found["mean"] == values.mean()
    assert found["mean_high"] - found["mean"] == pytest.approx(reach, rel=0.1)
    assert found["mean"] - found["mean_low"] == pytest.approx(reach, rel=0.1)


def test_what_belongs_to_a_star_is_resampled_together():
    values = np.random.default_rng(2).exponential(size=100)
    found = with_ends("ratio", lambda x, y: x.sum(axis=-1) / y.sum(axis=-1), values, 2 * values)
    assert found == pytest.approx({"ratio": 0.5, "ratio_low": 0.5, "ratio_high": 0.5})


def test_few_stars_get_no_score():
    assert with_ends("mean", np.mean, np.ones(19)) == {"mean": None, "mean_low": None, "mean_high": None}


def test_cells_hold_every_star_once_and_the_rows_of_a_field_go_up():
    x, y = np.random.default_rng(3).uniform(size=(2, 400))
    across, up = Place("x", x, [0.0, 0.3, 1.0]), Place("y", y, [0.0, 0.5, 0.8, 1.0])
    assert np.array_equal(sum(inside.astype(int) for _, _, inside in across.cells()), np.ones(400))
    found = field(TopField, across, up, {"top": np.max}, y)
    assert np.array_equal(found.n, np.histogram2d(y, x, bins=[up.edges, across.edges])[0])
    assert np.all(np.array(found.top)[:, 0] <= up.edges[1:])
    assert np.all(np.diff(np.array(found.top)[:, 1]) > 0)


def test_efficiency_and_excess_are_those_of_the_closed_form(whole):
    assert whole.excess == pytest.approx(0.04, rel=0.1)
    assert whole.excess_by_truth == pytest.approx(0.04, abs=0.012)
    assert whole.r2_bayes == pytest.approx(0.64, abs=0.02)
    assert whole.control == pytest.approx(1.0, abs=0.03)
    assert whole.efficiency == pytest.approx(0.6 / 0.64, abs=0.03)
    assert whole.expected == pytest.approx(0.6 / 0.64, abs=0.01)
    assert whole.relative == pytest.approx(0.04 / 0.36, rel=0.1)
    assert whole.share_of_excess == whole.share_of_stars == 1


def test_excess_without_truths_has_the_smaller_error(whole):
    width = {name: np.ptp(intervals([whole], name)[1:]) for name in ("excess", "excess_by_truth")}
    # Standard deviations per star: 2^0.5 0.2^2 against (2 0.2^4 + 4 0.2^2 0.6^2)^0.5.
    assert width["excess_by_truth"] / width["excess"] == pytest.approx(4.36, rel=0.15)


def test_shares_of_cells_add_up(known):
    some = known.take(np.arange(N) < 200)
    cells = efficiency.row(some, Place("mean", some.mean, [-9.0, 0.0, 1.0, 9.0]))
    assert sum(cell.n for cell in cells) == 200
    assert sum(cell.share_of_excess for cell in cells) == pytest.approx(1)


def test_largest_squares_of_normal_deviates_hold_what_chi_square_says():
    found = efficiency.largest(np.random.default_rng(4).normal(size=100_000) ** 2)
    for top in found:
        assert top.share_of_excess == pytest.approx(top.normal, rel=0.03)


def test_parity_counts_estimates_in_rows_and_those_beyond():
    found = residuals.parity(np.array([1.05, 1.05, 3.05]), np.array([4.05, 9.0, 3.05]), 1.0, 5.0)
    counts = np.array(found.counts)
    row = np.searchsorted(found.pred_edges, 4.05) - 1
    assert (counts[row, 0], counts.sum(), found.beyond) == (1, 2, 1)


def test_pulls_of_normal_deviates_are_standard_normal_and_others_are_not():
    pull = norm.ppf((np.arange(N) + 0.5) / N)
    right, wide = residuals.pulls(pull), residuals.pulls(1.2 * pull)
    assert right.std_low < 1 < right.std_high < wide.std == pytest.approx(1.2, abs=0.04)
    assert right.ks == pytest.approx(0.5 / N)
    assert right.ks_95 < wide.ks
    assert right.within_1 == pytest.approx(0.683, abs=0.03)
    assert np.dot(right.density, np.diff(right.edges)) == pytest.approx(1)


@pytest.mark.slow
def test_bound_of_a_star_is_that_of_differences_at_its_own_magnitude(toy_grid):
    simulator = make_simulator(toy_grid)
    labels, mag = np.array([[4700.0, 2.2, -0.3], [5200.0, 3.4, 0.2]]), np.array([20.7, 22.3])
    with jax.enable_x64(True):
        model = in_float64(simulator)
        step = np.diag([1.0, 1e-3, 1e-3])

        def both(label, m):
            star = jnp.asarray(label)
            return np.asarray(model.flux(star)), np.asarray(model.variance(star, m))

        found = cramer_rao(simulator, labels, mag[:, None])[:, 0]
        for label, m, bound in zip(labels, mag, found, strict=True):
            ends = [(both(label + h, m), both(label - h, m)) for h in step]
            width = 2 * np.diag(step)[:, None]
            flux, var = (np.array([up[i] - down[i] for up, down in ends]) / width for i in (0, 1))
            v = both(label, m)[1]
            fisher = (flux / v) @ flux.T + 0.5 * (var / v**2) @ var.T
            np.testing.assert_allclose(bound, np.linalg.inv(fisher).diagonal() ** 0.5, rtol=1e-4)


def test_nll_and_crps_are_those_of_scipy_and_of_the_integral():
    y, p, s = 1.3, 0.4, 0.7
    steps = lambda x: (norm.cdf(x, p, s) - (x >= y)) ** 2  # noqa: E731
    integral = quad(steps, -9, y)[0] + quad(steps, y, 9)[0]
    one = [np.array([value]) for value in (y, p, s)]
    assert forecasts.crps(*one)[0] == pytest.approx(integral, rel=1e-6)
    assert forecasts.nll(*one)[0] == pytest.approx(-norm.logpdf(y, p, s))
    assert forecasts.pit(*one)[0] == pytest.approx(norm.cdf(y, p, s))


def test_excess_nll_is_the_mean_difference_of_nll_under_a_posterior_that_is_not_normal():
    y = np.random.default_rng(6).uniform(1, 3, 200_000)
    mean, exact, pred, sigma = (np.full(y.size, value) for value in (2.0, 3**-0.5, 2.2, 0.8))
    difference = forecasts.nll(y, pred, sigma) - forecasts.nll(y, mean, exact)
    assert forecasts.excess_nll(pred, sigma, mean, exact)[0] == pytest.approx(difference.mean(), abs=0.005)
    assert forecasts.excess_nll(mean, exact, mean, exact)[0] == pytest.approx(0, abs=1e-12)


def test_forecasts_as_wide_as_their_errors_have_width_one(known):
    near_one = np.tile([0.999, 1.001], N // 2)
    exact = np.stack([known.mean, 0.6 * near_one], axis=-1)
    honest, narrow = (forecasts.against_exact(known.pred, s * near_one, exact) for s in (0.4**0.5, 0.3))
    assert honest["correlation"] == pytest.approx(1)
    assert honest["width"] == pytest.approx(1, abs=0.01)
    assert narrow["width"] == pytest.approx(0.3 / 0.4**0.5, abs=0.01)
    assert honest["excess_mean"] == pytest.approx(0.04 / 0.8, rel=0.1)
    assert honest["excess_nll"] == pytest.approx(0.5 * np.log(0.4 / 0.36), rel=0.1)


def test_coverage_of_right_forecasts_is_the_level(known):
    found = forecasts.scores(known.truth, known.mean, np.full(N, 0.6))
    for level in forecasts.LEVELS:
        name = f"cover_{round(100 * level)}"
        assert found[f"{name}_low"] - 0.01 < level < found[f"{name}_high"] + 0.01
    assert forecasts.scores(known.truth, known.mean, np.full(N, 0.3))["cover_68"] < 0.45


def test_correlation_is_that_of_the_logarithms():
    x, y = np.exp(np.random.default_rng(7).normal(size=(2, 50)) @ np.eye(50))
    assert forecasts.log_correlation(x, x * y) == pytest.approx(np.corrcoef(np.log(x), np.log(x * y))[0, 1])


def test_ranks_come_back_in_the_order_of_the_stars(monkeypatch):
    n = 600
    mag = np.random.default_rng(8).uniform(20.5, 22.5, n)
    stars = Stars(np.empty((n, 0)), mag[:, None], mag, mag, np.empty((n, 0)))
    pieces = []

    def exact_posterior(simulator, flux, mag, truth):
        pieces.append(np.ptp(mag))
        return SimpleNamespace(cumulative=truth)

    monkeypatch.setattr(uncertainty, "exact_posterior", exact_posterior)
    work = SimpleNamespace(
        size=uncertainty.Size(n, n), stars=stars, study=SimpleNamespace(name=""), simulator=None, column=0,
        part=lambda name, asked, kind, compute: compute(),
    )  # fmt: skip
    assert np.array_equal(uncertainty.exact_ranks(work), mag)
    assert len(pieces) == 3
    assert max(pieces) < 1


def test_seeds_count_in_the_interval_of_a_score():
    one = Forecast(nll=0.1, nll_low=0.0, nll_high=0.2)
    other = Forecast(nll=0.5, nll_low=0.4, nll_high=0.6)
    alone, both = uncertainty.mean_forecast([one]), uncertainty.mean_forecast([one, other])
    assert (alone.nll, alone.nll_low, alone.nll_high) == pytest.approx((0.1, 0.0, 0.2))
    assert alone.crps is None
    assert both.nll == pytest.approx(0.3)
    assert both.nll_high - both.nll == pytest.approx(1.96 * ((0.1 / 1.96) ** 2 + 0.08 / 2) ** 0.5)
