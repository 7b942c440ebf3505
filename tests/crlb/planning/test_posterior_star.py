"""Posteriors of one star in any exposures: that star, the same noise, and its bound where that is reached."""

import jax
import numpy as np
import pytest

from crlb.bayes.exact_limit import simulate
from crlb.bayes.prior import make_prior
from crlb.observation.star import observe
from crlb.planning.bounds import bounds_or_nan
from crlb.planning.plan import exposures_rows, faintest_rows
from crlb.planning.planned import BoundedStar, PosteriorStar, in_exposures, same_star
from crlb.planning.variance import any_exposures

LABELS = {"T_eff": 4700.0, "log_g": 2.6, "M_H": -0.6}
VALUES, MAG = np.array(list(LABELS.values())), 19.0


@pytest.fixture(scope="module")
def prior(thin_emulator):
    return make_prior(thin_emulator.low, thin_emulator.high, thin_emulator.label_names)


@pytest.fixture(scope="module")
def star(thin_model, prior):
    (seen,) = any_exposures(thin_model, None, VALUES[None], MAG)
    bounded = BoundedStar("thin", seen, 0.0, lambda star: bounds_or_nan(star.fisher()), ("sky",))
    return PosteriorStar(bounded, thin_model, LABELS, prior, jax.random.key(3), 24)


def test_all_draws_are_of_the_star_and_their_noise_is_the_same_number_of_sigmas(thin_model, prior):
    same, key, noises = same_star(prior, LABELS), jax.random.key(1), []
    for n_exp in (1.0, 40.0):
        model = in_exposures(thin_model, n_exp)
        drawn = simulate(key, 5, MAG, model, same)
        np.testing.assert_allclose(drawn.labels, np.tile(VALUES, (5, 1)), rtol=2e-3)
        right = observe(thin_model.with_exposure(model.exposure), VALUES, MAG)
        variance = np.asarray(model.arm_variance(thin_model.emulator(VALUES), MAG))
        assert (n_exp > 1) or np.allclose(variance, right.variance)
        noises.append((drawn.flux - right.flux) / np.sqrt(variance))
    np.testing.assert_allclose(noises[0], noises[1], atol=0.05)


@pytest.mark.slow
def test_a_bright_star_has_the_posterior_of_its_bound(star):
    found, bound = star.sigmas(40.0, 17.0), star.bounded.sigmas(40.0, 17.0)
    for name in LABELS:
        assert found[name] == pytest.approx(bound[name], rel=0.1)


@pytest.mark.slow
def test_rows_are_where_the_posterior_passes_what_is_wanted(star):
    want = {"log_g": 0.6 * star.sigmas(1.0, MAG)["log_g"]}
    (row,) = exposures_rows(star, [MAG], want, 900.0)
    assert row.n_exp > 1
    assert row.sigma == star.sigmas(row.n_exp, MAG)["log_g"] <= want["log_g"]
    assert star.sigmas(row.n_exp - 1.0, MAG)["log_g"] > want["log_g"]
    (faint,) = faintest_rows(star, [row.hours], want, 900.0)
    assert faint.n_exp == row.n_exp
    assert faint.mag == pytest.approx(MAG, abs=0.2)
    hopeless = {"log_g": 0.9 * star.floor(23.0)["log_g"]}
    (never,) = exposures_rows(star, [23.0], hopeless, 900.0)
    assert never.n_exp is None
    assert "set by sky" in never.never()
