"""Monte-Carlo errors against closed forms, and posteriors that lean on an edge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, truncnorm

from crlb.bayes.monte_carlo import SETS, largest_error
from crlb.bayes.posterior import Inference, Observations, posterior
from crlb.observation.forward_model import ForwardModel
from tests.crlb.bayes.test_posterior import WAVE, box_prior, linear_emulator, unit_noise

KEY = jax.random.key(4)
LEVELS = (0.16, 0.5, 0.84)


def error_of(x, levels=(), n_sets=SETS):
    """The largest error of one star with equal weights."""
    with jax.enable_x64(True):
        weight = jnp.full((1, x.size), 1 / x.size)
        return float(
            largest_error(jnp.asarray(x)[None, :, None], weight, levels=levels, n_rounds=1, n_sets=n_sets)[0]
        )


def test_independent_points_have_the_textbook_error_of_mean_and_of_quantile():
    x = np.random.default_rng(0).normal(size=65536)
    n = x.size**0.5
    assert abs(error_of(x, n_sets=1024) * n - 1) < 0.05  # the mean's, larger than sigma's 0.71
    for level in (0.16, 0.9):
        textbook = (level * (1 - level)) ** 0.5 / norm.pdf(norm.ppf(level))
        assert abs(error_of(x, (level,), n_sets=1024) * n / textbook - 1) < 0.06


def test_sigma_of_heavy_tails_is_what_errs_most():
    x = np.random.default_rng(1).exponential(size=65536) ** 2  # kurtosis 87.7
    kurtosis = ((x - x.mean()) ** 4).mean() / x.var() ** 2
    textbook = ((kurtosis - 1) / 4 / x.size) ** 0.5
    assert abs(error_of(x, n_sets=1024) / textbook - 1) < 0.06


def test_sets_that_agree_have_no_error_and_rounds_may_differ():
    x = np.tile(np.random.default_rng(2).normal(size=64), SETS)
    assert error_of(x, LEVELS) < 1e-12
    both = np.concatenate([x, x + 1.0])  # a round of another proposal
    with jax.enable_x64(True):
        weight = jnp.full((1, both.size), 1 / both.size)
        found = largest_error(jnp.asarray(both)[None, :, None], weight, levels=LEVELS, n_rounds=2)
    assert float(found[0]) < 1e-12


@pytest.fixture(scope="module")
def edges():
    """Numbers of 32 stars whose truncated normal posteriors lean on an edge, and the exact distributions."""
    best, sigma = (
        np.linspace(-0.5, 0.1, 32),
        0.15,
    )  # of the unbounded fit, to over three sigma outside the box
    with jax.enable_x64(True):
        found = found_at(best, sigma, Inference(quantiles=LEVELS, n_templates=64))
    return found, truncnorm((0 - best) / sigma, (1 - best) / sigma, best, sigma)


def found_at(best, sigma, inference):
    """Posteriors of one linear label from noiseless spectra at `best`."""
    line = linear_emulator(np.sin(WAVE))
    y = np.asarray(line.basis[0]) + best[:, None] * np.asarray(line.basis[1])
    observed = Observations(y, np.full(len(best), 18.0))
    model = ForwardModel(line, unit_noise(line, sigma))
    return posterior(observed, model, box_prior(line), key=KEY, inference=inference)


def test_posteriors_at_an_edge_have_the_sigma_and_quantiles_of_a_truncated_normal(edges):
    found, exact = edges
    ratio, sd = found.sigma[:, 0] / exact.std(), exact.std()
    assert found.converged.mean() > 0.9
    good = found.converged
    assert np.sqrt(((ratio - 1)[good] ** 2).mean()) < 0.03
    assert np.sqrt((((found.mean[:, 0] - exact.mean()) / sd)[good] ** 2).mean()) < 0.03
    for i, level in enumerate(LEVELS):
        off = (found.quantiles[:, 0, i] - exact.ppf(level)) / sd
        assert np.sqrt((off[good] ** 2).mean()) < 0.03


def test_too_few_points_are_not_said_to_have_converged(monkeypatch):
    monkeypatch.setattr("crlb.bayes.solve.MAX_ROUNDS", 1)
    few = Inference(quantiles=(0.001,), target_ess=2.0, n_templates=32, n_points=32)
    assert not found_at(np.array([-0.3, 0.5]), 0.15, few).converged.any()
