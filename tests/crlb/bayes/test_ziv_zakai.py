"""Ziv-Zakai bound against closed forms and integrals, its distance against spectra drawn and told apart."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import beta as beta_distribution

from crlb.bayes.prior import Prior
from crlb.bayes.quadrature import tensor_rule
from crlb.bayes.ziv_zakai import nuisance_directions, spectral_distance, ziv_zakai
from crlb.observation import noise as noise_module
from tests.crlb.bayes.bounds_toy import MAGS, box, euclidean, stars


def test_ziv_zakai_without_information_is_the_prior_variance():
    blind = lambda a, b: np.zeros((len(a), 1))  # noqa: E731
    for shapes, order in (([(1.0, 1.0)], 8), ([(3.0, 3.0)], 40)):
        prior = box((2, 6), shapes=shapes)
        found = ziv_zakai(blind, prior, 0, np.ones((1, 1)), rule=tensor_rule(prior, order))
        expected = quad(lambda h, p=prior: h * overlap(p, h), 0, 4)[0] / 2
        assert found[0] == pytest.approx(expected, rel=2e-3)
    assert expected <= prior.variance[0] * (1 + 1e-9)


def overlap(prior: Prior, h: float) -> float:
    """int min(pi(t), pi(t + h)) dt of one label."""
    pdf = lambda t: beta_distribution.pdf((t - 2) / 4, prior.a[0], prior.b[0]) / 4  # noqa: E731
    return quad(lambda t: min(pdf(t), pdf(t + h)), 2, 6 - h)[0]


@pytest.mark.parametrize("sigma", [0.02, 0.3, 3.0])
def test_ziv_zakai_of_a_linear_star_in_closed_form(sigma):
    prior = box((0, 1))
    found = ziv_zakai(
        euclidean(lambda t: t, [sigma]), prior, 0, np.ones((1, 1)), rule=tensor_rule(prior, 6)
    )  # fmt: skip
    expected = quad(lambda h: h * (1 - h) * ndtr(-h / (2 * sigma)), 0, 1, points=[3 * sigma % 1])[0]
    assert found[0] == pytest.approx(expected, rel=1e-3)


def test_ziv_zakai_under_a_beta_prior_is_its_double_integral():
    prior, sigma = box((0, 1), shapes=[(2.5, 4.0)]), 0.2
    found = ziv_zakai(
        euclidean(lambda t: t, [sigma]), prior, 0, np.ones((1, 1)), rule=tensor_rule(prior, 40)
    )  # fmt: skip
    h = (np.arange(400) + 0.5) / 400
    t = (np.arange(2000)[None, :] + 0.5) / 2000 * (1 - h[:, None])
    p, q = (beta_distribution.pdf(x, 2.5, 4.0) for x in (t, t + h[:, None]))
    d, tilt = h[:, None] / sigma, np.log(p / q) * sigma / h[:, None]
    inner = (p * ndtr(-d / 2 - tilt) + q * ndtr(-d / 2 + tilt)).mean(1) * (1 - h)
    assert found[0] == pytest.approx(0.5 * (h * inner).mean(), rel=1e-3)


def test_nuisance_directions_follow_the_valley_of_the_information():
    fisher = np.array([[[4.0, 1.0, 0.5], [1.0, 2.0, 0.3], [0.5, 0.3, 1.0]]])
    found = nuisance_directions(fisher, 1, scales=(1.0,))
    np.testing.assert_allclose(found[0], [0, 1, 0])
    np.testing.assert_allclose(fisher[0, [0, 2]] @ found[1], 0, atol=1e-12)
    assert found[1][1] == 1
    assert len(nuisance_directions(np.zeros((1, 3, 3)), 1)) == 1


def test_distance_is_the_bhattacharyya_distance_of_the_two_spectra(thin_model):
    thin_emulator, thin_noise = thin_model.emulator, thin_model.noise
    first, second = stars(thin_emulator, 2, 4), stars(thin_emulator, 2, 5)
    found = spectral_distance(thin_model, MAGS)(first, second)
    flux = [np.asarray(thin_emulator(jnp.asarray(x[1]))) for x in (first, second)]
    var = [np.asarray(noise_module.variance(jnp.asarray(f), MAGS[2], thin_noise)) for f in flux]
    x = np.linspace(-9, 9, 4001)  # sigma of the first
    log = 0.0
    for m1, m2, v1, v2 in zip(*flux, *var, strict=True):
        y = m1 + np.sqrt(v1) * x
        p, q = (np.exp(-0.5 * (y - m) ** 2 / v) / np.sqrt(2 * np.pi * v) for m, v in ((m1, v1), (m2, v2)))
        log += np.log(np.sqrt(p * q).sum() * (y[1] - y[0]))
    assert found[1, 2] == pytest.approx(np.sqrt(-8 * log), rel=1e-6)
    plain = spectral_distance(thin_model, MAGS[2:], variance_term=False)
    np.testing.assert_allclose(
        plain(first, second)[1, 0], np.sqrt(2 * ((flux[0] - flux[1]) ** 2 / (var[0] + var[1])).sum())
    )


def test_half_the_distance_tells_how_often_the_best_choice_errs(thin_model):
    thin_emulator, thin_noise = thin_model.emulator, thin_model.noise
    first, second = stars(thin_emulator, 1, 4), stars(thin_emulator, 1, 4) + np.array([[30.0, -0.05, 0.01]])
    mag = 20.5
    d = spectral_distance(thin_model, [mag, *MAGS[1:]])(first, second)[0, 0]
    flux = [np.asarray(thin_emulator(jnp.asarray(x[0]))) for x in (first, second)]
    sigma = [np.sqrt(np.asarray(noise_module.variance(jnp.asarray(f), mag, thin_noise))) for f in flux]
    rng, errors, n = np.random.default_rng(6), 0, 10000
    for truth in (0, 1):
        y = flux[truth] + sigma[truth] * rng.normal(size=(n, len(flux[0])))
        chi = [(-0.5 * ((y - f) / s) ** 2 - np.log(s)).sum(1) for f, s in zip(flux, sigma, strict=True)]
        errors += int((chi[truth] < chi[1 - truth]).sum())
    rate = errors / (2 * n)
    assert 0.02 < rate < 0.48
    assert ndtr(-d / 2) == pytest.approx(rate, abs=4 * np.sqrt(rate / (2 * n)))
