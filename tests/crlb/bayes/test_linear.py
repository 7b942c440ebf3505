"""Linear unknowns integrated out, against the density of the same Gaussian written down whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.legendre import legvander
from scipy.stats import multivariate_normal

from crlb.bayes.linear import GaussianPrior, chi_squared, products_of_legendre, solve

N, RNG = 40, np.random.default_rng(4)


def one_spectrum(known: bool):
    rows, y, weight = RNG.normal(size=(3, N)), RNG.normal(size=N), RNG.uniform(0.5, 2, N)
    mean, precision = np.array([1.0, 0.2, -0.3])[int(known) :], np.array([4.0, 0.5, 9.0])[int(known) :]
    return rows, y, weight, GaussianPrior(jnp.asarray(mean), jnp.asarray(precision))


def minus_two_log(rows, y, weight, prior):
    """-2 ln L as the solver gives it, and the solution."""
    gram, cross = jnp.asarray((rows * weight) @ rows.T), jnp.asarray((rows * weight) @ y)
    solved = solve(gram, cross, prior)
    return float(chi_squared(jnp.sum(y**2 * weight), gram, cross, solved) + solved.extra), solved


@pytest.mark.parametrize("known", [False, True], ids=["all unknown", "first known"])
def test_integral_is_the_gaussian_with_the_prior_in_its_covariance(known):
    rows, y, weight, prior = one_spectrum(known)
    free, fixed = rows[int(known) :], rows[: int(known)].sum(axis=0)
    mean, precision = map(np.asarray, prior)
    whole = multivariate_normal(fixed + mean @ free, np.diag(1 / weight) + (free.T / precision) @ free)
    constant = np.log(weight).sum() + np.log(precision).sum() - N * np.log(2 * np.pi)
    found, _ = minus_two_log(rows, y, weight, prior)
    np.testing.assert_allclose(found, -2 * whole.logpdf(y) + constant, rtol=1e-10)


def test_flat_prior_gives_weighted_least_squares_and_its_covariance():
    rows, y, weight, _ = one_spectrum(known=False)
    _, solved = minus_two_log(rows, y, weight, GaussianPrior(jnp.zeros(3), jnp.zeros(3)))
    root = np.sqrt(weight)
    oracle = np.linalg.lstsq((rows * root).T, y * root, rcond=None)[0]
    np.testing.assert_allclose(solved.best, oracle, rtol=1e-10)
    np.testing.assert_allclose(solved.covariance, np.linalg.inv((rows * weight) @ rows.T), rtol=1e-9)


def test_unknowns_that_the_spectrum_does_not_tell_apart_give_nan():
    rows, y, weight, _ = one_spectrum(known=False)
    rows[1] = rows[0]
    found, _ = minus_two_log(rows, y, weight, GaussianPrior(jnp.zeros(3), jnp.zeros(3)))
    assert np.isnan(found)


def test_without_unknowns_only_the_residuals_are_left():
    rows, y, weight, _ = one_spectrum(known=True)
    found, _ = minus_two_log(rows[:1], y, weight, GaussianPrior(jnp.zeros(0), jnp.zeros(0)))
    np.testing.assert_allclose(found, ((y - rows[0]) ** 2 * weight).sum(), rtol=1e-10)


def test_products_of_polynomials_are_sums_of_polynomials():
    x = np.linspace(-1, 1, 9)
    table, wide = legvander(x, 3).T, legvander(x, 6).T
    found = np.einsum("jkl,lp->jkp", products_of_legendre(3), wide)
    np.testing.assert_allclose(found, table[:, None] * table[None], atol=1e-12)


def test_many_systems_are_solved_as_each_alone():
    rows, y, weight, prior = one_spectrum(known=False)
    gram, cross = jnp.asarray((rows * weight) @ rows.T), jnp.asarray((rows * weight) @ y)
    many = jax.jit(solve)(jnp.stack([gram, 2 * gram]), jnp.stack([cross, cross]), prior)
    np.testing.assert_allclose(many.best[1], solve(2 * gram, cross, prior).best, rtol=1e-12)
