"""Bounds under a prior against brute-force errors of the posterior mean, and all of them at once."""

import jax
import numpy as np
import pytest

from crlb.bayes.bounds import EFFORT, Effort, PriorBounds, bayesian_bounds, pooled, shrinkage, work
from crlb.bayes.prior import make_prior
from crlb.bayes.quadrature import tensor_rule
from crlb.bayes.ziv_zakai import nuisance_directions, ziv_zakai
from crlb.errors import UsageError
from tests.crlb.bayes.bounds_toy import (
    MAGS,
    bent,
    bent_flux_fisher,
    box,
    brute_force_mmse,
    circle,
    circle_fisher,
    euclidean,
    weighted,
)
from tests.crlb.toy import AXES, LABEL_NAMES


def test_pooled_and_shrinkage_are_plain_averages():
    bound, weights = np.array([0.5, 2.0]), np.array([0.25, 0.75])
    assert pooled(bound) == pytest.approx((0.25 + 4) / 2)
    assert pooled(bound, weights) == pytest.approx(0.25 * 0.25 + 0.75 * 4)
    expected = 0.25 * 0.25 * 2 / 2.25 + 0.75 * 4 * 2 / 6
    assert shrinkage(bound, 2.0, weights) == pytest.approx(expected)
    assert shrinkage(np.array([np.inf]), 2.0) == 2.0


def test_one_label_bounds_stay_below_the_error_of_the_posterior_mean():
    sigmas, prior = [0.1, 0.4, 1.0, 3.0], box((0, 1))
    t = (np.arange(300) + 0.5) / 300
    mmse = np.array([brute_force_mmse(circle, t, np.full(300, 1 / 300), t, s) for s in sigmas])
    local = weighted(prior, circle_fisher(sigmas), (40, 47), 24)
    zakai = ziv_zakai(
        euclidean(lambda a: circle(a[:, 0]), sigmas), prior, 0, np.ones((1, 1)), rule=tensor_rule(prior, 40)
    )
    assert (local < mmse).all()
    assert (zakai < mmse).all()
    assert (zakai > 0.4 * mmse).all()
    assert local[1] < 0.3 * mmse[1]  # confusion with a distant label, which local bounds do not see
    assert zakai[1] > 1.7 * local[1]


def test_two_label_bounds_stay_below_the_error_of_the_posterior_mean():
    sigmas, prior = [0.05, 0.3, 1.0], box((0, 1), (0, 1))
    u = (np.arange(24) + 0.5) / 24
    labels = np.stack(np.meshgrid(u, u, indexing="ij"), -1).reshape(-1, 2)
    uniform = np.full(len(labels), 1 / len(labels))
    mmse = [brute_force_mmse(bent, labels, uniform, labels[:, 0], s) for s in sigmas]
    fisher, rule = bent_flux_fisher(sigmas), tensor_rule(prior, 12)
    directions = nuisance_directions(fisher(np.array([[0.2, 0.3], [0.5, 0.5]]))[:, 0], 0)
    zakai = ziv_zakai(euclidean(bent, sigmas), prior, 0, directions, rule=rule)
    alone = ziv_zakai(euclidean(bent, sigmas), prior, 0, directions[:1], rule=rule)
    local = weighted(prior, fisher, (20, 23), 12)
    assert (local < mmse).all()
    assert (zakai < mmse).all()
    assert (zakai > 0.3 * np.array(mmse)).all()
    assert zakai[0] > 1.3 * alone[0]  # moving the nuisance along hides the target


def test_bounds_do_not_care_for_units():
    sigmas, plain, scaled = [0.05, 0.5], box((0, 1), (0, 1)), box((0, 1e6), (0, 1e-3))
    unit = np.array([[1e6, 1e-3]])
    fisher = bent_flux_fisher(sigmas)
    found = []
    for prior, s in ((plain, np.ones((1, 2))), (scaled, unit)):
        info = lambda t, s=s: fisher(t / s) / (s.T * s)[None, None]  # noqa: E731
        directions = nuisance_directions(info(s / 2)[:, 0], 0)
        distance = euclidean(lambda t, s=s: bent(t / s), sigmas)
        zakai = ziv_zakai(distance, prior, 0, directions, rule=tensor_rule(prior, 5))
        found.append(np.stack([weighted(prior, info, (8, 9), 5), zakai]))
    np.testing.assert_allclose(found[1], found[0] * 1e12, rtol=1e-8)


@pytest.fixture(scope="module")
def results(thin_model) -> list[tuple[PriorBounds, ...]]:
    small = Effort(fit=7, check=9, each=4, total=12, pairs=4)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setitem(EFFORT, 3, small)
        shapes = {name: (3.0, 3.0) for name in LABEL_NAMES}
        found = []
        for prior in (
            make_prior(thin_model.emulator.low, thin_model.emulator.high, LABEL_NAMES),
            make_prior(thin_model.emulator.low, thin_model.emulator.high, LABEL_NAMES, shapes),
        ):
            done: list[int] = []
            found.append(bayesian_bounds(thin_model, MAGS, prior, label="log_g", advance=done.append))
            assert 0.3 * work(3) < sum(done) <= work(3)
        return found


def test_all_bounds_are_ordered_and_approach_their_limits(results):
    for bins in results:
        for found in bins:
            mse, variance = vars(found.mse), found.variance
            for name in ("shrinkage", "weighted_van_trees", "ziv_zakai"):
                assert 0 < mse[name] <= variance * (1 + 1e-9)
                assert getattr(found.r2, name) == pytest.approx(1 - mse[name] / variance)
            assert mse["weighted_van_trees"] <= mse["pooled"]
        assert bins[-1].mse.weighted_van_trees > bins[0].mse.weighted_van_trees
    assert results[0][0].mag == MAGS[0]
    bright = vars(results[1][0].mse)
    assert bright["weighted_van_trees"] == pytest.approx(bright["pooled"], rel=0.1)
    assert results[0][0].variance == pytest.approx((AXES[1][-1] - AXES[1][0]) ** 2 / 12)


def test_van_trees_is_given_for_betas_and_refused_with_a_reason_for_a_uniform_prior(results):
    uniform, smooth = results
    assert all(found.mse.van_trees is None and found.r2.van_trees is None for found in uniform)
    assert "Beta(1, 1)" in uniform[0].reason["van_trees"]
    for found in smooth:
        assert 0 < found.mse.van_trees < found.mse.weighted_van_trees * 1.01
        assert found.reason == {}


@pytest.mark.parametrize(
    ("names", "label", "stretch", "message"),
    [
        (("T_eff", "M_H", "log_g"), "log_g", 1.0, "emulator's labels"),
        (LABEL_NAMES, "age", 1.0, "found age"),
        (LABEL_NAMES, "log_g", 1.5, "within the grid"),
    ],
)
def test_a_prior_that_does_not_match_is_refused(thin_model, names, label, stretch, message):
    prior = make_prior(
        thin_model.emulator.low,
        thin_model.emulator.low + stretch * (thin_model.emulator.high - thin_model.emulator.low),
        names,
    )
    with pytest.raises(UsageError, match=message):
        bayesian_bounds(thin_model, MAGS, prior, label=label)
