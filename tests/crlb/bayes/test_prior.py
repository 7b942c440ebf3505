"""The prior against scipy's Beta and truncated normal distributions."""

import jax
import numpy as np
import pytest
from scipy import stats

from crlb.bayes.prior import make_prior
from crlb.bayes.quadrature import tensor_rule
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


NORMALS = {"inside": (3.2, 0.4), "at an edge": (5.1, 0.3), "far outside": (5.8, 0.2), "wide": (3.0, 50.0)}


@pytest.fixture(params=list(NORMALS))
def cut(request):
    centre, sigma = NORMALS[request.param]
    oracle = stats.truncnorm((1 - centre) / sigma, (5 - centre) / sigma, centre, sigma)
    return make_prior(LOW, HIGH, NAMES, normal={"log_g": (centre, sigma)}), oracle


def test_a_normal_prior_cut_at_the_box_has_the_density_and_moments_of_scipy(cut):
    prior, oracle = cut
    np.testing.assert_allclose(prior.mean, [4875, oracle.mean()], rtol=1e-9)
    np.testing.assert_allclose(prior.variance, [2250**2 / 12, oracle.var()], rtol=1e-7)
    for log_g in (1.0, 3.1, 4.9, 5.0):
        expected = oracle.logpdf(log_g) - np.log(2250.0)
        with jax.enable_x64(True):
            np.testing.assert_allclose(prior.log_density(np.array([5000.0, log_g])), expected, rtol=1e-9)
    assert prior.log_density(np.array([5000.0, 5.1])) == -np.inf


def test_quantiles_and_draws_of_a_normal_prior_are_those_of_scipy(cut):
    prior, oracle = cut
    unit = np.random.default_rng(0).random((50, 2))
    np.testing.assert_allclose(prior.quantile(unit)[:, 1], oracle.ppf(unit[:, 1]), rtol=1e-9)
    np.testing.assert_allclose(prior.quantile(unit)[:, 0], 3750 + 2250 * unit[:, 0], rtol=1e-12)
    scaled = (prior.quantile(unit) - LOW) / (HIGH - LOW)
    np.testing.assert_allclose(prior.unit_quantile(unit), scaled, rtol=1e-12)
    labels = np.asarray(prior.draw(jax.random.key(3), 4000))
    assert stats.kstest(labels[:, 1], oracle.cdf).pvalue > 0.001
    assert stats.kstest(labels[:, 0], stats.uniform(3750, 2250).cdf).pvalue > 0.001


def test_a_normal_prior_stands_beside_a_beta_and_is_named():
    prior = make_prior(LOW, HIGH, NAMES, {"log_g": (3.0, 2.5)}, {"T_eff": (4800.0, 100.0)})
    assert prior.normal == {"T_eff": (4800.0, 100.0)}
    np.testing.assert_allclose(prior.mean[1], make_prior(LOW, HIGH, NAMES, {"log_g": (3.0, 2.5)}).mean[1])
    assert make_prior(LOW, HIGH, NAMES).normal == {}


def test_bounds_refuse_a_normal_prior():
    with pytest.raises(UsageError, match="normal one of log_g"):
        tensor_rule(make_prior(LOW, HIGH, NAMES, normal={"log_g": (3.0, 0.1)}), 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shapes": {"vsini": (1.0, 1.0)}}, "unknown label vsini"),
        ({"shapes": {"log_g": (0.0, 1.0)}}, "two positive numbers"),
        ({"high": LOW}, "T_eff needs low < high"),
        ({"normal": {"vsini": (1.0, 1.0)}}, "unknown label vsini"),
        ({"normal": {"log_g": (3.0, 0.0)}}, "log_g needs a mean and a positive sigma"),
        ({"normal": {"T_eff": (3.0, 0.1)}}, "sigma outside 3750 to 6000; check its unit"),
        ({"normal": {"log_g": (3.0, 1.0)}, "shapes": {"log_g": (2.0, 2.0)}}, "both Beta and normal"),
    ],
)
def test_unusable_priors_are_refused_in_words(arguments, words):
    with pytest.raises(UsageError, match=words):
        make_prior(**{"low": LOW, "high": HIGH, "label_names": NAMES} | arguments)
