"""The probability of a class of stars against closed forms, brute force, and how often it comes true."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import entr
from scipy.stats import truncnorm

from crlb.bayes import classes
from crlb.bayes.classes import Above, probability_above
from crlb.bayes.posterior import Inference, Observations
from crlb.errors import DataError, UsageError
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import variance
from tests.crlb.bayes.test_posterior import (
    KEY,
    NOISE,
    WAVE,
    box_prior,
    line,  # noqa: F401
    observed,
    star,  # noqa: F401
    unit_noise,
)

MAG = 18.0  # of the linear stars


def spectra(line, noise, truth):  # noqa: F811
    """Linear stars under noise, and what least squares says of each label."""
    base, jac = np.asarray(line.basis[:2])
    var = np.asarray(variance(line.basis[0], MAG, noise))
    y = (
        base
        + truth[:, None] * jac
        + np.sqrt(var) * np.random.default_rng(0).normal(size=(len(truth), WAVE.size))
    )
    return Observations(y, np.full(len(truth), MAG)), ((y - base) / var) @ jac / (jac**2 / var).sum()


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_a_linear_label_has_the_probability_of_a_cut_normal(line, sigma):  # noqa: F811
    noise, truth = unit_noise(line, sigma), np.random.default_rng(3).uniform(size=400)
    seen, best = spectra(line, noise, truth)
    given = ForwardModel(line, noise), box_prior(line)
    found = probability_above(
        seen, *given, "label_0", 0.4, key=KEY, inference=Inference(target_ess=1000.0, n_points=1024)
    )
    assert found.converged.all()
    exact = truncnorm.sf(0.4, (0 - best) / sigma, (1 - best) / sigma, best, sigma)
    np.testing.assert_allclose(found.probability, exact, atol=0.012)
    assert found.accuracy == pytest.approx(np.maximum(exact, 1 - exact).mean(), abs=1e-3)
    entropy = (entr(exact) + entr(1 - exact)).mean()
    assert found.cross_entropy == pytest.approx(entropy, rel=0.01)
    # it is right as often as it says
    right = ((found.probability > 0.5) == (truth > 0.4)).mean()
    reach = 4 * np.sqrt(found.accuracy * (1 - found.accuracy) / len(truth))
    assert right == pytest.approx(found.accuracy, abs=reach)


def test_where_a_spectrum_says_nothing_the_prior_is_what_is_known(line):  # noqa: F811
    noise = unit_noise(line, 1e3)
    seen, _ = spectra(line, noise, np.full(4, 0.5))
    found = probability_above(seen, ForwardModel(line, noise), box_prior(line), "label_0", 0.4, key=KEY)
    np.testing.assert_allclose(found.probability, 0.6, atol=2e-3)


def brute_force(emulator, y, mag, value, size=256):
    """The probability that the first of two labels lies above a value, summed over a grid of both."""
    axes = [
        low + (high - low) * (np.arange(size) + 0.5) / size
        for low, high in zip(emulator.low, emulator.high, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    mu = np.asarray(jax.vmap(emulator)(jnp.asarray(points)))
    v = np.asarray(jax.vmap(lambda flux: variance(flux, mag, NOISE))(mu))
    log_p = -0.5 * ((y - mu) ** 2 / v + np.log(v)).sum(axis=1)
    p = np.exp(log_p - log_p.max())
    return p[points[:, 0] > value].sum() / p.sum()


@pytest.mark.slow
@pytest.mark.parametrize("mag", [20.5, 22.5])
def test_two_labels_agree_with_brute_force_integration(star, mag):  # noqa: F811
    labels = np.array([[2.4, -0.4], [2.6, -0.9], [1.0, -1.0], [4.8, -0.1]])
    y = observed(star, labels, mag)
    found = probability_above(
        Observations(y, np.full(len(y), mag)), ForwardModel(star, NOISE), box_prior(star), "log_g", 2.5,
        key=KEY, inference=Inference(target_ess=1500.0, n_templates=4096, n_points=1024),
    )  # fmt: skip
    exact = [brute_force(star, one, mag, 2.5) for one in y]
    np.testing.assert_allclose(found.probability, exact, atol=0.015)
    assert min(exact) < 0.25 < 0.9 < max(exact)


def test_weights_that_sum_to_more_than_one_by_rounding_leave_a_probability(line, monkeypatch):  # noqa: F811
    rounded = SimpleNamespace(
        cumulative=np.array([[np.nextafter(1.0, 2.0)], [0.25]]), converged=np.ones(2, bool)
    )
    monkeypatch.setattr(classes, "posterior", lambda *args, **options: rounded)
    seen = Observations(np.zeros((2, WAVE.size)), np.full(2, MAG))
    found = probability_above(seen, ForwardModel(line, unit_noise(line, 1.0)), box_prior(line), "label_0",
                              0.4, key=KEY)  # fmt: skip
    assert found.probability.tolist() == [0.0, 0.75]


def test_the_limits_of_no_knowledge_and_of_certainty():
    blind = Above("log_g", 2.5, np.full(5, 0.625), np.ones(5, bool))
    assert blind.accuracy == 0.625
    assert blind.cross_entropy == pytest.approx(-0.625 * np.log(0.625) - 0.375 * np.log(0.375))
    sure = Above("log_g", 2.5, np.array([0.0, 1.0]), np.ones(2, bool))
    assert (sure.accuracy, sure.cross_entropy) == (1.0, 0.0)
    assert Above.from_json(blind.to_json()).accuracy == 0.625
    with pytest.raises(DataError, match="at least one star"):
        Above("log_g", 2.5, np.zeros(0), np.zeros(0, bool)).accuracy  # noqa: B018


def test_other_labels_and_values_beyond_the_prior_are_refused(line):  # noqa: F811
    noise = unit_noise(line, 0.1)
    seen, _ = spectra(line, noise, np.full(2, 0.5))
    given = seen, ForwardModel(line, noise), box_prior(line)
    with pytest.raises(UsageError, match="label must be one of label_0, found 'log_g'"):
        probability_above(*given, "log_g", 0.5, key=KEY)
    with pytest.raises(UsageError, match=r"must lie within its prior, 0 to 1, found 2\.5"):
        probability_above(*given, "label_0", 2.5, key=KEY)
