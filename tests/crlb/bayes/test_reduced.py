"""The likelihood from sums over pixels against the same Gaussian written down whole, pixel by pixel."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import crlb.bayes.reduced as module
from crlb.bayes.model_spectra import labels_of
from crlb.bayes.prior import make_prior
from crlb.bayes.reduced import Pixels, make_cut, make_reduced_likelihood, reduce, stacked
from crlb.observation.conditions import Conditions, polynomials
from tests.crlb.bayes.test_posterior import WAVE, star  # noqa: F401

N, RNG = WAVE.size, np.random.default_rng(3)
CONDITIONS = {
    "nothing": Conditions(),
    "scale": Conditions(scale=0.2),
    "scale and continuum": Conditions(scale=0.3, continuum=2, continuum_sigma=0.2),
    "continuum": Conditions(continuum=2, continuum_sigma=0.1),
    "velocity": Conditions(rv_sigma_kms=5.0),
    "all": Conditions(scale=0.3, continuum=2, continuum_sigma=0.2, rv_sigma_kms=5.0),
}


class Case:
    """One star of the toy grid with errors of its own, a mask, a tilt and a velocity."""

    def __init__(self, emulator, conditions):
        self.emulator, self.conditions = emulator, conditions
        self.ivar = np.where(RNG.random(N) > 0.1, 50.0**2 * RNG.uniform(1, 4, N), 0.0)
        shape = 1 + 0.1 * np.linspace(-1, 1, N)
        self.moving = np.gradient(np.asarray(emulator.basis, float), axis=1) * 0.02 * shape
        self.curves = polynomials(WAVE, WAVE[0], WAVE[-1], 2 * conditions.continuum)
        with jax.enable_x64(True):
            clean = np.asarray(emulator(jnp.array([3.0, -0.5]))) * shape
        self.y = clean + RNG.normal(size=N) / np.sqrt(np.where(self.ivar > 0, self.ivar, np.inf))
        self.unit = RNG.uniform(0.42, 0.58, (32, 2))
        self.prior = make_prior(emulator.low, emulator.high, emulator.label_names)
        with jax.enable_x64(True):
            self.labels = np.asarray(labels_of(self.prior, jnp.asarray(self.unit)))

    @property
    def sums(self):
        velocity = None if not self.conditions.rv_sigma_kms else self.moving
        basis = np.asarray(self.emulator.basis, float)
        some = self.ivar > 0
        pixels = Pixels(
            self.y[some], self.ivar[some], basis[:, some], None if velocity is None else velocity[:, some],
            self.curves[:, some],
        )  # fmt: skip
        flat = np.asarray(self.emulator.coefficients, float).reshape(-1, len(basis))
        return stacked([reduce(pixels, make_cut(pixels.basis, pixels.ivar, flat))])

    def like(self):
        return make_reduced_likelihood(self.emulator, self.prior, self.conditions)

    def rows(self, labels):
        """What is fixed of the model, and the spectra that the unknowns multiply."""
        flux, weights = self.emulator(jnp.asarray(labels)), self.emulator.weights(jnp.asarray(labels))
        known = int(not self.conditions.scale)
        rows = np.asarray(flux) * self.curves[: self.conditions.continuum + 1]
        if self.conditions.rv_sigma_kms:
            rows = np.concatenate([rows, (np.asarray(weights) @ self.moving)[None]])
        return rows[:known].sum(axis=0), rows[known:]

    def log_density(self, labels):
        fixed, free = self.rows(labels)
        some = self.ivar > 0
        mean = fixed + self.conditions.prior_mean @ free
        covariance = np.diag(1 / self.ivar[some])
        covariance += (free[:, some].T / self.conditions.prior_precision) @ free[:, some]
        return multivariate_normal(mean[some], covariance).logpdf(self.y[some])


@pytest.fixture(scope="module", params=list(CONDITIONS))
def case(request, star):  # noqa: F811
    return Case(star, CONDITIONS[request.param])


def test_sums_have_the_density_of_the_whole_gaussian(case):
    with jax.enable_x64(True):
        like, sums = case.like(), case.sums
        own = np.asarray(like.at_points(jnp.asarray(case.unit[None]), sums))[0]
        shared = like.at_templates(case.unit, sums)[0]
        exact = np.array([case.log_density(labels) for labels in case.labels])
    assert np.ptp(exact) > 10
    np.testing.assert_allclose(own, shared, atol=1e-6)
    np.testing.assert_allclose(own - own[0], exact - exact[0], atol=0.1)


def test_without_a_cut_they_agree_to_rounding(case, monkeypatch):
    monkeypatch.setattr(module, "LOST", 0.0)
    with jax.enable_x64(True):
        own = np.asarray(case.like().at_points(jnp.asarray(case.unit[None]), case.sums))[0]
        exact = np.array([case.log_density(labels) for labels in case.labels])
    np.testing.assert_allclose(own - own[0], exact - exact[0], atol=1e-5)


def test_newton_has_the_information_and_score_that_unknowns_leave(case):
    conditions = case.conditions
    with jax.enable_x64(True):
        found = case.like().newton(jnp.asarray(case.unit[None, :1]), case.sums)
        fixed, free = case.rows(case.labels[0])

        def slopes(i, step=1e-4):
            move = np.eye(2)[i] * step * (case.prior.high - case.prior.low)
            up, down = case.rows(case.labels[0] + move), case.rows(case.labels[0] - move)
            return [(a - b) / (2 * step) for a, b in zip(up, down, strict=True)]

        moved = [slopes(i) for i in (0, 1)]
    matrix = (free * case.ivar) @ free.T + np.diag(conditions.prior_precision)
    right = (free * case.ivar) @ (case.y - fixed) + conditions.prior_precision * conditions.prior_mean
    best = np.linalg.solve(matrix, right) if len(matrix) else np.zeros(0)
    jac = np.stack([a + best @ b for a, b in moved])
    shared = (free * case.ivar) @ jac.T
    fisher = (jac * case.ivar) @ jac.T
    if len(matrix):
        fisher = fisher - shared.T @ np.linalg.solve(matrix, shared)
    np.testing.assert_allclose(found.fisher[0, 0], fisher, rtol=2e-3, atol=1e-4 * fisher.max())
    score = (jac * case.ivar) @ (case.y - fixed - best @ free)
    np.testing.assert_allclose(found.score[0, 0], score, rtol=2e-3, atol=2e-3 * np.abs(score).max())


def test_unknowns_are_those_of_generalised_least_squares(case):
    with jax.enable_x64(True):
        solved = case.like().unknowns_at(jnp.asarray(case.unit[None, :1]), case.sums)
        fixed, free = case.rows(case.labels[0])
        covariance = np.asarray(solved.covariance)[0, 0]
    matrix = (free * case.ivar) @ free.T + np.diag(case.conditions.prior_precision)
    right = (free * case.ivar) @ (case.y - fixed)
    right += case.conditions.prior_precision * case.conditions.prior_mean
    np.testing.assert_allclose(covariance, np.linalg.inv(matrix), rtol=1e-3, atol=1e-9)
    best = np.asarray(solved.best)[0, 0][int(not case.conditions.scale) :]
    assert (np.abs(best - np.linalg.solve(matrix, right)) < 0.02 * np.sqrt(np.diag(covariance))).all()


def test_pixels_without_weight_do_not_count(star):  # noqa: F811
    case = Case(star, Conditions(scale=math.inf))
    with jax.enable_x64(True):
        before = np.asarray(case.like().at_points(jnp.asarray(case.unit[None]), case.sums))
        case.y[case.ivar == 0] = 1e9
        after = np.asarray(case.like().at_points(jnp.asarray(case.unit[None]), case.sums))
    np.testing.assert_array_equal(before, after)
