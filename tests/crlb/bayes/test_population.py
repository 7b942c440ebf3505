"""The exact limit on stars of a table against closed forms, plain numpy, and a continuous prior."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from crlb.bayes.exact_limit import bayes_limit, simulate
from crlb.bayes.population import Population, make_population
from crlb.bayes.population_limit import population_limits
from crlb.bayes.prior import make_prior
from crlb.errors import DataError, UsageError
from crlb.observation.conditions import Conditions
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import variance
from crlb.readers.star_table import StarTable
from tests.crlb.bayes.test_posterior import KEY, NOISE, star  # noqa: F401

NAMES = ("log_g", "M_H")


def table(**columns) -> StarTable:
    return StarTable(
        Path("stars.csv"), "-", {name: np.asarray(values, float) for name, values in columns.items()}
    )


def uniform(emulator, n: int, seed: int = 5) -> Population:
    unit = np.random.default_rng(seed).random((n, 2))
    labels = emulator.low + (emulator.high - emulator.low) * unit
    return Population(labels, np.full(n, 1 / n), NAMES)


def fluxes_and_sigmas(emulator, labels, mags) -> tuple[np.ndarray, np.ndarray]:
    """Noiseless spectra and 1-sigma noise of stars, in float64."""
    with jax.enable_x64(True):
        flux = jax.vmap(emulator)(jnp.asarray(labels))
        at = jnp.broadcast_to(jnp.asarray(mags), len(labels))
        return np.asarray(flux), np.sqrt(jax.vmap(lambda f, m: variance(f, m, NOISE))(flux, at))


def posterior_means(emulator, population, mags, spectra) -> np.ndarray:
    """Formula 6, star by star."""
    flux, sigma = fluxes_and_sigmas(emulator, population.labels, mags)
    chi2 = (((spectra[:, None] - flux[None]) / sigma[None]) ** 2).sum(-1) + 2 * np.log(sigma).sum(-1)[None]
    joint = population.weight * np.exp(-0.5 * (chi2 - chi2.min(axis=1, keepdims=True)))
    return joint / joint.sum(axis=1, keepdims=True) @ population.labels


def test_two_stars_are_told_apart_as_often_as_the_closed_form_says(star):  # noqa: F811
    """p = 1/(1 + exp(-d x - d^2/2)) for noise x along the difference: R2 = 1 - 4 E[p (1 - p)]."""
    labels, mag = np.array([[2.0, -0.5], [3.2, -0.5]]), 22.0
    flux, sigma = fluxes_and_sigmas(star, labels, mag)
    assert np.ptp(sigma, axis=0).max() < 0.03 * sigma.max()  # the closed form is of equal noise
    distance = np.linalg.norm((flux[1] - flux[0]) / sigma.mean(axis=0))

    def share(x: float) -> float:
        p = expit(distance * x + distance**2 / 2)
        return float(p * (1 - p) * norm.pdf(x))

    expected = 1 - 4 * quad(share, -10, 10)[0]
    assert 0.15 < expected < 0.85
    found = population_limits(
        ForwardModel(star, NOISE), [mag], Population(labels, np.array([0.5, 0.5]), NAMES),
        labels=["log_g"], key=KEY, n=2000,
    )["log_g"][0]  # fmt: skip
    assert found.variance == pytest.approx(0.6**2)
    assert found.r2_bayes.value == pytest.approx(expected, abs=0.02)
    assert found.r2_of_posterior_mean.value == pytest.approx(expected, abs=0.05)
    assert found.unconverged == 2000  # of two stars no posterior has twenty


@pytest.mark.parametrize("own", [False, True])
def test_posterior_means_are_those_of_plain_numpy(star, own):  # noqa: F811
    population = uniform(star, 300)
    weight = np.random.default_rng(1).random(300)
    mags = np.random.default_rng(2).uniform(19.0, 21.0, 300)
    population = Population(population.labels, weight / weight.sum(), NAMES, mags if own else None)
    model, n = ForwardModel(star, NOISE), 100
    found = population_limits(model, None if own else [20.5], population, labels=NAMES, key=KEY, n=n)
    with jax.enable_x64(True):
        box = make_prior(star.low, star.high, NAMES)
        drawn = simulate(jax.random.fold_in(KEY, 0), n, 20.5, model, box, population=population)
    means = posterior_means(star, population, mags if own else 20.5, drawn.flux)
    for i, name in enumerate(NAMES):
        expected = 1 - ((means[:, i] - drawn.labels[:, i]) ** 2).mean() / population.variance[i]
        assert found[name][0].r2_of_posterior_mean.value == pytest.approx(expected, abs=2e-3)
    assert own == (np.ptp(drawn.mag) > 0)


def test_a_dense_table_of_a_box_has_the_limit_of_the_box(star):  # noqa: F811
    model, population = ForwardModel(star, NOISE), uniform(star, 4096)
    found = population_limits(model, [21.5], population, labels=["log_g"], key=KEY, n=300)["log_g"][0]
    box = bayes_limit(
        model, [21.5], make_prior(star.low, star.high, NAMES), label="log_g", key=KEY, n=300
    )[0]  # fmt: skip
    assert 0.2 < box.r2_bayes.value < 0.95
    spread = box.r2_bayes.high - box.r2_bayes.low
    assert abs(found.r2_bayes.value - box.r2_bayes.value) < spread
    assert found.rank_ks.p_value > 0.01
    assert found.ess.median > 20


def test_twice_the_weight_is_twice_the_star(star):  # noqa: F811
    labels = uniform(star, 40).labels
    once = Population(labels, np.array([2.0, *[1.0] * 39]) / 41, NAMES)
    twice = Population(np.concatenate([labels[:1], labels]), np.full(41, 1 / 41), NAMES)
    np.testing.assert_allclose(once.variance, twice.variance)
    limits = [
        population_limits(ForwardModel(star, NOISE), [21.0], one, labels=["M_H"], key=KEY, n=60)["M_H"][0]
        for one in (once, twice)
    ]
    assert limits[0].r2_bayes.value == pytest.approx(limits[1].r2_bayes.value, rel=1e-6)


def test_stars_are_drawn_by_their_weights():
    weight = np.array([0.1, 0.0, 0.6, 0.3])
    population = Population(np.arange(4.0)[:, None], weight, ("log_g",))
    counts = np.bincount(np.asarray(population.rows(KEY, 20_000)), minlength=4)
    np.testing.assert_allclose(counts / 20_000, weight, atol=0.015)
    assert counts[1] == 0


def test_kernels_add_their_variance_and_stay_in_the_box(star):  # noqa: F811
    box = (np.array([0.0, 0.0]), np.array([10.0, 1.0]))
    population = Population(np.array([[4.0, 0.5], [6.0, 0.5]]), np.array([0.25, 0.75]), NAMES)
    found = population.smoothed({"log_g": 0.5}, box, n=20_000)
    assert found.n == 20_000
    np.testing.assert_allclose(found.mean, [5.5, 0.5], atol=0.03)
    np.testing.assert_allclose(found.variance, [0.75 + 0.25, 0.0], atol=0.03)
    edge = population.smoothed({"M_H": 0.7}, box, n=500)
    assert (edge.low >= box[0]).all()
    assert (edge.high <= box[1]).all()
    with pytest.raises(UsageError, match="unknown label T_eff"):
        population.smoothed({"T_eff": 40.0}, box)
    with pytest.raises(UsageError, match="positive and finite"):
        population.smoothed({"log_g": 0.0}, box)


def test_stars_outside_the_grid_are_counted_by_label_and_refused_or_left_out():
    low, high = np.array([1.0, -1.0]), np.array([5.0, 0.0])
    stars = table(
        log_g=[0.5, 2.0, 3.0, 7.0], M_H=[-0.5, -0.5, -1.5, -2.0], weight=[1, 2, 3, 4], mag=[1, 2, 3, 4]
    )
    words = "3 of 4 stars lie outside the grid: 2 in log_g .0.5 to 7, the grid has 1 to 5.; 2 in M_H"
    with pytest.raises(DataError, match=words):
        make_population(stars, NAMES, low, high)
    found, dropped = make_population(stars, NAMES, low, high, drop_outside=True)
    assert (found.n, dropped, found.weight.tolist(), found.mag.tolist()) == (1, 3, [1.0], [2.0])


def test_columns_and_weights_that_cannot_be_are_refused():
    low, high = np.array([1.0, -1.0]), np.array([5.0, 0.0])
    with pytest.raises(DataError, match="needed a column for M_H, found log_g"):
        make_population(table(log_g=[2.0]), NAMES, low, high)
    with pytest.raises(DataError, match=r"weight must be 0 or more.*found -1 in star 2"):
        make_population(table(log_g=[2.0, 3.0], M_H=[0, 0], weight=[1, -1]), NAMES, low, high)
    with pytest.raises(DataError, match="needed 1 to 100,000 stars within the grid, found 0"):
        make_population(table(log_g=[9.0], M_H=[0]), NAMES, low, high, drop_outside=True)


def test_conditions_that_make_it_inexact_are_refused(star):  # noqa: F811
    model, population = ForwardModel(star, NOISE), uniform(star, 30)
    for name, conditions in (
        ("sky_left", Conditions(sky_left=0.01)),
        ("scale", Conditions(scale=np.inf)),
        ("seeing_arcsec", Conditions(seeing_arcsec=(0.6, 1.0))),
    ):
        with pytest.raises(UsageError, match=f"{name}.*not exact"):
            population_limits(model, [20.0], population, labels=["M_H"], key=KEY, n=4, conditions=conditions)
    with pytest.raises(UsageError, match="no magnitudes of its own"):
        population_limits(model, None, population, labels=["M_H"], key=KEY, n=4)
