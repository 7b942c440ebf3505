"""Posteriors and limits with unknowns besides the labels, against integration by brute force in numpy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from crlb.bayes.exact_limit import posterior_of, simulate
from crlb.bayes.posterior import Inference, Observations, posterior
from crlb.bayes.unknowns import prior_under
from crlb.errors import DataError
from crlb.observation.conditions import PUBLISHED, Conditions, polynomials
from crlb.observation.moving import LSF, RV
from crlb.observation.noise import band_mean, electrons_per_flux, variance
from crlb.observation.sky_lines import sky_lines
from tests.crlb.bayes.conditions_toy import toy_model
from tests.crlb.bayes.test_posterior import WAVE

MAG, KEY = 21.0, jax.random.key(3)
EACH = {
    "scale": Conditions(scale=0.1),
    "free scale": Conditions(scale=np.inf),
    "continuum": Conditions(scale=0.05, continuum=1, continuum_sigma=0.1),
    "velocity": Conditions(rv_sigma_kms=30.0),
    "width": Conditions(lsf_sigma=0.15),
    "lost pixels": Conditions(lost=0.2, lost_block=4),
    "sky": Conditions(sky_left=0.2),
}
ALL = Conditions(
    scale=0.05, continuum=1, continuum_sigma=0.1, rv_sigma_kms=30.0, lsf_sigma=0.15, lost=0.2, lost_block=4,
    sky_left=0.1,
)  # fmt: skip
ADDED = ("continuum", "velocity", "sky")
INFERENCE = {"target_ess": 800.0, "n_templates": 4096, "n_points": 1024}


def solved(conditions, n, key=KEY, **options):
    """Stars drawn under conditions and their posteriors."""
    model = toy_model(conditions)
    with jax.enable_x64(True):
        prior = prior_under(conditions, model)
        drawn = simulate(key, n, MAG, model, prior, conditions)
        inference = Inference(conditions, **options)
        found = posterior_of(drawn, model, prior, key=jax.random.key(1), inference=inference)
    return model, prior, drawn, found


def brute_force(model, conditions, drawn, star, size):
    """Mean and sigma of log g and [M/H] from all nodes of a grid over the labels, velocity and width.

    Scale, continuum and shares of the sky are in the covariance matrix of the pixels, written down whole.
    """
    prior = prior_under(conditions, model)
    sizes = [size, size, *[12] * (len(prior.label_names) - 2)]
    edges = [np.linspace(a, b, m + 1) for a, b, m in zip(prior.low, prior.high, sizes, strict=True)]
    middles = [(e[1:] + e[:-1]) / 2 for e in edges]
    points = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, len(sizes))
    with jax.enable_x64(True):
        flux = np.asarray(
            jax.jit(model.emulator.batch)(jnp.asarray(points))
        )  # star after star: little memory
        own = np.asarray(jax.vmap(lambda f: band_mean(f, model.noise))(jnp.asarray(flux)))
        level = drawn.band_mean[star] / own if np.isinf(conditions.scale) else np.ones(len(flux))
        seen = jnp.asarray(level[:, None] * flux)  # as bright as the star
        noise = np.asarray(jax.vmap(lambda f: variance(f, MAG, model.noise))(seen))
        per_flux = np.asarray(jax.vmap(lambda f: electrons_per_flux(f, MAG, model.noise))(seen))
    usable, sky = drawn.usable[star], sky_lines(model.noise)
    curves = polynomials(WAVE, WAVE[0], WAVE[-1], conditions.continuum)
    scale = min(conditions.scale, 30.0)  # flat, but for a constant
    sigmas = [scale, *[conditions.continuum_sigma] * conditions.continuum]
    electrons = sky.electrons * model.noise.exposure.n_exp * model.noise.exposure.time
    lines = np.array([np.where(sky.line == i, electrons, 0.0) for i in range(len(sky.n))])
    log_p = np.empty(len(points))
    for some in np.array_split(np.arange(len(points)), max(1, len(points) // 1024)):
        rows = [s * flux[some] * curve[None] for s, curve in zip(sigmas, curves, strict=True)]
        rows += [conditions.sky_left * line[None] / per_flux[some] for line in lines]
        rows = np.stack(rows, axis=1)[:, :, usable]
        covariance = np.einsum("nkp,nkq->npq", rows, rows) + noise[some][:, usable, None] * np.eye(
            usable.sum()
        )
        factor = np.linalg.cholesky(covariance)
        residual = (drawn.flux[star] - flux[some])[:, usable, None]
        white = np.linalg.solve(factor, residual)[..., 0]
        log_det = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        log_p[some] = -0.5 * (white**2).sum(axis=1) - log_det
    for name, sigma, centre in ((RV, conditions.rv_sigma_kms, 0.0), (LSF, 1.6 * conditions.lsf_sigma, 1.6)):
        if sigma:
            log_p -= 0.5 * ((points[:, prior.label_names.index(name)] - centre) / sigma) ** 2
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = p @ points[:, :2]
    return mean, np.sqrt(p @ (points[:, :2] - mean) ** 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [*EACH, "all"])
def test_posterior_is_that_of_brute_force_integration(name):
    conditions = EACH.get(name, ALL)
    n, size = (1, 16) if name == "all" else (2, 40)
    model, _, drawn, found = solved(conditions, n, **INFERENCE)
    for star in range(n):
        mean, sigma = brute_force(model, conditions, drawn, star, size)
        assert found.converged[star]
        assert (np.abs(found.mean[star, :2] - mean) < 0.05 * sigma).all()
        np.testing.assert_allclose(found.sigma[star, :2], sigma, rtol=0.04)


def test_stars_are_the_same_whatever_is_unknown():
    """Same labels, and the same noise where something is unknown: differences between rows are sharp."""
    plain = Conditions(lost_block=1)
    drawn = [
        simulate(KEY, 4, MAG, toy_model(one), prior_under(one, toy_model(one)), one)
        for one in (PUBLISHED, plain, EACH["velocity"], ALL)
    ]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other.labels[:, :2], drawn[0].labels)
    scaled = simulate(KEY, 4, MAG, toy_model(plain), prior_under(plain, toy_model(plain)), EACH["sky"])
    outside = sky_lines(toy_model(plain).noise).electrons == 0
    np.testing.assert_allclose(scaled.flux[:, outside], drawn[1].flux[:, outside], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_limit_never_rises_when_an_unknown_is_added_and_ranks_are_flat_under_all():
    n = 96
    rows = {"none": Conditions(lost_block=1), **{name: EACH[name] for name in ADDED}, "all": ALL}
    variance_of, ranks = {}, {}
    for name, conditions in rows.items():
        _, _, _, found = solved(conditions, n)
        variance_of[name] = found.sigma[:, :2] ** 2
        ranks[name] = found.cumulative[:, :2]
    for name in ADDED:
        cost = variance_of[name] - variance_of["none"]
        error = cost.std(axis=0) / np.sqrt(n)
        assert (cost.mean(axis=0) > -2.5 * error).all(), name
    cost = variance_of["all"] - variance_of["sky"]
    assert (cost.mean(axis=0) > 0).all()
    for i in range(2):
        assert kstest(ranks["all"][:, i], "uniform").pvalue > 0.01


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_limits_of_no_uncertainty_are_the_conditional_ones():
    tiny = Conditions(
        scale=1e-5, continuum=1, continuum_sigma=1e-5, rv_sigma_kms=0.01, lsf_sigma=1e-4, sky_left=1e-5
    )
    _, _, _, none = solved(Conditions(lost_block=1), 16, **INFERENCE)
    _, _, _, found = solved(tiny, 16, **INFERENCE)
    np.testing.assert_allclose(found.sigma[:, :2], none.sigma, rtol=0.05)
    assert (np.abs(found.mean[:, :2] - none.mean) < 0.1 * none.sigma).all()


@pytest.mark.slow
def test_the_unit_of_a_flux_of_free_scale_changes_nothing():
    """Without a given mean of the flux, that of the observed flux tells the noise: nearly as well."""
    conditions = Conditions(scale=np.inf, sky_left=0.1)
    model, prior, drawn, found = solved(conditions, 4, n_templates=1024)
    observed = Observations(drawn.flux, drawn.mag, drawn.usable)
    other = replace(observed, flux=7.0 * drawn.flux)
    inference = Inference(conditions, n_templates=1024)
    with jax.enable_x64(True):
        one, two = (
            posterior(x, model, prior, key=jax.random.key(1), inference=inference) for x in (observed, other)
        )
    np.testing.assert_allclose(one.mean, two.mean, atol=0.02 * one.sigma.min())
    np.testing.assert_allclose(one.sigma, two.sigma, rtol=0.02)
    assert (np.abs(one.mean - found.mean) < 0.2 * found.sigma).all()
    with pytest.raises(DataError, match="band_mean must be positive for each of the 4 stars"):
        posterior(replace(observed, band_mean=np.zeros(4)), model, prior, key=KEY, inference=inference)


def test_a_star_in_its_own_seeing_has_a_magnitude_of_its_own():
    conditions = replace(PUBLISHED, seeing_arcsec=(0.5, 1.5))
    model = toy_model(conditions)
    drawn = simulate(KEY, 8, MAG, model, prior_under(conditions, model), conditions)
    assert np.ptp(drawn.mag) > 0.1
    best = simulate(KEY, 8, MAG, model, prior_under(PUBLISHED, model), PUBLISHED)
    np.testing.assert_array_equal(best.mag, MAG)
    brighter = drawn.mag < MAG
    assert (drawn.snr[brighter] > best.snr[brighter]).all()
