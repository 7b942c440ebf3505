"""The likelihood under a noise model against the same Gaussian written down whole, pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from crlb.bayes.likelihood import Stars, make_likelihood
from crlb.bayes.model_spectra import labels_of
from crlb.bayes.prior import make_prior
from crlb.errors import UsageError
from crlb.observation.conditions import Conditions, polynomials
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import variance
from tests.crlb.bayes.test_posterior import NOISE, WAVE, observed, star  # noqa: F401

MAG = 20.0
CONDITIONS = {
    "scale": Conditions(scale=0.2),
    "continuum": Conditions(scale=0.3, continuum=2, continuum_sigma=0.2),
    "scale known": Conditions(continuum=2, continuum_sigma=0.1),
    "model error": Conditions(scale=0.2, continuum=1, continuum_sigma=0.2, model_error=0.02),
}


@pytest.fixture(scope="module", params=list(CONDITIONS))
def case(request, star):  # noqa: F811
    """Likelihood, one star with a mask, points, and the exact log densities there."""
    conditions = CONDITIONS[request.param]
    prior = make_prior(star.low, star.high, star.label_names)
    rng = np.random.default_rng(0)
    unit = rng.uniform(0.4, 0.6, (32, 2))
    usable = rng.random(WAVE.size) > 0.1
    with jax.enable_x64(True):
        like = make_likelihood(ForwardModel(star, NOISE), prior, conditions)
        y = observed(star, np.array([[3.0, -0.5]]), MAG)[0] * (1.05 + 0.1 * np.linspace(-1, 1, WAVE.size))
        y = np.where(usable, y, 0.0)
        labels = np.asarray(labels_of(prior, jnp.asarray(unit)))
        exact = [log_density(star, point, conditions, y, usable) for point in labels]
    stars = Stars(y[None], usable[None].astype(float), np.array([MAG]))
    return like, stars, unit, np.array(exact), conditions


def total_variance(flux, conditions):
    noise = np.asarray(variance(jnp.asarray(flux), MAG, NOISE))
    return noise + (conditions.model_error * flux) ** 2


def log_density(emulator, labels, conditions, y, usable):
    """ln N(y; prior mean of the model, noise + what the unknowns add), on the usable pixels."""
    flux = np.asarray(emulator(jnp.asarray(labels)))
    rows = flux * polynomials(WAVE, WAVE[0], WAVE[-1], conditions.continuum)
    free = rows[int(not conditions.scale) :]
    covariance = np.diag(total_variance(flux, conditions)) + (free.T / conditions.prior_precision) @ free
    some = np.ix_(usable, usable)
    return multivariate_normal(flux[usable], covariance[some]).logpdf(y[usable])


def test_own_points_and_shared_ones_have_the_density_of_the_whole_gaussian(case):
    like, stars, unit, exact, _ = case
    with jax.enable_x64(True):
        own = np.asarray(like.at_points(jnp.asarray(unit[None]), stars))[0]
        shared = like.at_templates(unit, stars)[0]
    assert np.ptp(exact) > 4
    np.testing.assert_allclose(shared - shared[0], exact - exact[0], atol=2e-3)
    np.testing.assert_allclose(own - own[0], exact - exact[0], atol=0.01)


def test_newton_has_the_information_and_score_that_unknowns_leave(case, star):  # noqa: F811
    like, stars, unit, _, conditions = case
    with jax.enable_x64(True):
        found = like.newton(jnp.asarray(unit[None, :1]), stars)
        labels = labels_of(like.prior, jnp.asarray(unit[0]))
        flux, jac = np.asarray(star(labels)), np.asarray(jax.jacfwd(star)(labels)).T
    jac = jac * (star.high - star.low)[:, None]
    weight = stars.usable[0] / total_variance(flux, conditions)
    curves, known = polynomials(WAVE, WAVE[0], WAVE[-1], conditions.continuum), int(not conditions.scale)
    rows, fixed = (flux * curves)[known:], flux * known
    matrix = (rows * weight) @ rows.T + np.diag(conditions.prior_precision)
    right = (rows * weight) @ (stars.flux[0] - fixed) + conditions.prior_precision * conditions.prior_mean
    best = np.linalg.solve(matrix, right)
    jac = jac * (known + best @ curves[known:])
    shared = (rows * weight) @ jac.T
    fisher = (jac * weight) @ jac.T - shared.T @ np.linalg.solve(matrix, shared)
    np.testing.assert_allclose(found.fisher[0, 0], fisher, rtol=1e-3, atol=1e-4 * fisher.max())
    score = (jac * weight) @ (stars.flux[0] - fixed - best @ rows)
    np.testing.assert_allclose(found.score[0, 0], score, rtol=1e-3, atol=1e-3 * np.abs(score).max())


def test_a_free_velocity_is_refused_under_a_noise_model(star):  # noqa: F811
    prior = make_prior(star.low, star.high, star.label_names)
    with pytest.raises(UsageError, match="rv_sigma_kms"):
        make_likelihood(ForwardModel(star, NOISE), prior, Conditions(rv_sigma_kms=10.0))
