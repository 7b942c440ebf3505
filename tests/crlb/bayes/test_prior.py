"""The prior against scipy's Beta distribution."""

import jax
import numpy as np
import pytest
from scipy import stats

from crlb.bayes.prior import make_prior
from crlb.errors import UsageError

LOW, HIGH = np.array([3750.0, 1.0]), np.array([6000.0, 5.0])
NAMES = ("T_eff", "log_g")


@pytest.fixture(params=[{}, {"log_g": (3.0, 2.5)}], ids=["uniform", "beta"])
def case(request):
    shape = request.param.get("log_g", (1.0, 1.0))
    oracle = stats.beta(*shape, loc=1.0, scale=4.0)
    return make_prior(LOW, HIGH, NAMES, request.param), oracle


def test_moments_and_density_are_those_of_scipy(case):
    prior, oracle = case
    np.testing.assert_allclose(prior.mean[1], oracle.mean(), rtol=1e-12)
    np.testing.assert_allclose(prior.variance[1], oracle.var(), rtol=1e-12)
    for log_g in (1.2, 3.0, 4.9):
        expected = oracle.logpdf(log_g) - np.log(2250.0)
        np.testing.assert_allclose(prior.log_density(np.array([5000.0, log_g])), expected, rtol=1e-10)


def test_density_is_nothing_outside_and_finite_on_the_edge_of_a_uniform_prior(case):
    prior, _ = case
    for labels in ([3700.0, 3.0], [5000.0, 5.1]):
        assert prior.log_density(np.array(labels)) == -np.inf
    uniform = make_prior(LOW, HIGH, NAMES)
    np.testing.assert_allclose(uniform.log_density(np.array([3750.0, 5.0])), -np.log(9000.0))


def test_draws_follow_the_distribution(case):
    prior, oracle = case
    labels = np.asarray(prior.draw(jax.random.key(3), 4000))
    assert stats.kstest(labels[:, 1], oracle.cdf).pvalue > 0.001
    assert stats.kstest(labels[:, 0], stats.uniform(3750, 2250).cdf).pvalue > 0.001
    assert abs(np.corrcoef(labels.T)[0, 1]) < 0.08


def test_quantiles_are_those_of_scipy(case):
    prior, oracle = case
    unit = np.array([[0.1, 0.3], [0.5, 0.99]])
    np.testing.assert_allclose(prior.quantile(unit)[:, 1], oracle.ppf(unit[:, 1]), rtol=1e-12)
    np.testing.assert_allclose(prior.quantile(unit)[:, 0], 3750 + 2250 * unit[:, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shapes": {"vsini": (1.0, 1.0)}}, "unknown label vsini"),
        ({"shapes": {"log_g": (0.0, 1.0)}}, "two positive numbers"),
        ({"high": LOW}, "T_eff needs low < high"),
    ],
)
def test_unusable_priors_are_refused_in_words(arguments, words):
    with pytest.raises(UsageError, match=words):
        make_prior(**{"low": LOW, "high": HIGH, "label_names": NAMES} | arguments)
