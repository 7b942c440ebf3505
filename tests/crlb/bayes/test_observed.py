"""Posteriors of observed spectra against brute force, the ranks of simulated truths, and symmetries."""

import dataclasses
import math

import jax
import numpy as np
import pytest
from scipy.stats import kstest

from crlb.bayes import best_fit
from crlb.bayes.best_fit import ERROR_LENGTH
from crlb.bayes.observed import Wanted, observed_posteriors
from crlb.bayes.prior import make_prior
from crlb.bayes.solve import Inference
from crlb.errors import UsageError
from crlb.observation.conditions import Conditions, polynomials
from tests.crlb.bayes.observed_toy import WAVE, clean, emulator, place, prior, rows, target

KEY = jax.random.key(3)
FREE = Conditions(scale=math.inf, continuum=2, rv_sigma_kms=math.inf)
SCALE = Conditions(scale=math.inf)
TILT = 1 + 0.2 * np.linspace(-1, 1, WAVE.size)


def solved(targets, conditions=FREE, its_prior=None, **wanted):
    inference = Inference(conditions, n_templates=2048, n_points=256)
    return list(
        observed_posteriors(
            targets, emulator(), its_prior or prior(), key=KEY, inference=inference, wanted=Wanted(**wanted)
        )
    )


def brute_force(one, conditions, rv_kms, size=101):
    """Mean and sigma of both labels on a grid, unknowns integrated out by dense least squares."""
    x = np.linspace(0, 1, size)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    some = one.ivar > 0
    root = np.sqrt(one.ivar[some])
    seen = place(WAVE, rv_kms)
    basis, moving = rows(WAVE, rv_kms), seen.d_rv_kms
    curves = polynomials(WAVE[some], WAVE[some][0], WAVE[some][-1], conditions.continuum)
    shape = (one.flux[some] / clean((0.5, 0.5), WAVE, rv_kms)[some]).mean()
    log_p = np.empty(len(points))
    for i, point in enumerate(points):
        weights = np.array([1.0, *point])
        design = (weights @ basis)[some] * curves
        if conditions.rv_sigma_kms:
            design = np.concatenate([design, (weights @ moving)[some][None] * shape])
        q, r = np.linalg.qr((design * root).T)
        y = one.flux[some] * root
        log_p[i] = 0.5 * ((q.T @ y) ** 2).sum() - np.log(np.abs(np.diag(r))).sum()
    p = np.exp(log_p - log_p.max())
    mean = p @ points / p.sum()
    return mean, np.sqrt(p @ (points - mean) ** 2 / p.sum())


@pytest.mark.parametrize("conditions", [SCALE, FREE], ids=["scale", "scale, continuum, velocity"])
def test_moments_are_those_of_brute_force_integration(conditions):
    rng = np.random.default_rng(1)
    some = [target(labels, 0.03, rng) for labels in ((0.3, 0.6), (0.02, 0.97))]
    for one, found in zip(some, solved(some, conditions), strict=True):
        mean, sigma = brute_force(one, conditions, 0.0)
        assert found.converged
        np.testing.assert_allclose(found.mean, mean, atol=0.1 * sigma.min())
        np.testing.assert_allclose(found.sigma, sigma, rtol=0.07)


@pytest.fixture(scope="module")
def sample():
    """Stars of the prior, their velocities, and their posteriors with everything unknown."""
    rng = np.random.default_rng(2)
    n = 200
    truth, rv_kms = rng.random((n, 2)), rng.normal(0, 30, n)
    some = [
        target(labels, 0.03, rng, rv_kms=v, shape=TILT, unit=1e-17)
        for labels, v in zip(truth, rv_kms, strict=True)
    ]
    return truth, rv_kms, solved(some, samples=512)


def test_ranks_of_the_truth_are_uniform_with_everything_unknown(sample):
    truth, _, found = sample
    assert all(one.converged for one in found)
    ranks = np.array([(one.samples < t[None]).mean(axis=0) for one, t in zip(found, truth, strict=True)])
    for i in (0, 1):
        assert kstest(ranks[:, i], "uniform").pvalue > 0.01


def test_velocity_scale_and_chi2_have_the_spread_they_claim(sample):
    _, rv_kms, found = sample
    off = np.array([(one.rv_kms - v) / one.rv_sigma_kms for one, v in zip(found, rv_kms, strict=True)])
    scale = np.array([(one.scale / 1e-17 - 1) / (one.scale_sigma / 1e-17) for one in found])
    for pull in (off, scale):
        assert abs(pull.mean()) < 4 / len(pull) ** 0.5
        assert 0.85 < pull.std() < 1.15
    tilt = np.array([one.continuum for one in found])
    np.testing.assert_allclose(tilt.mean(axis=0), [0.2, 0.0], atol=0.005)
    assert kstest([one.p_value for one in found], "uniform").pvalue > 0.001


def test_good_stars_carry_no_flag_but_that_of_a_short_spectrum(sample):
    _, _, found = sample
    flags = [flag for one in found for flag in one.flags if flag not in ("FEW_PIXELS", "EDGE")]
    assert len(flags) <= 1


def one_star(**changes):
    return target((0.4, 0.6), 0.02, np.random.default_rng(5), **{"shape": TILT} | changes)


def assert_same(one, other, rtol=1e-6):
    np.testing.assert_allclose(one.mean, other.mean, rtol=rtol)
    np.testing.assert_allclose(one.sigma, other.sigma, rtol=rtol)


def test_unit_of_the_flux_changes_nothing_but_the_scale():
    (here,), (there,) = solved([one_star()]), solved([one_star(unit=1e-17)])
    assert_same(here, there)
    np.testing.assert_allclose(there.scale, 1e-17 * here.scale, rtol=1e-6)


def test_a_tilt_of_f_nu_against_f_lambda_goes_into_the_continuum():
    plain, tilted = one_star(), one_star()
    factor = (WAVE / WAVE.mean()) ** 2
    tilted = dataclasses.replace(tilted, flux=tilted.flux * factor, ivar=tilted.ivar / factor**2)
    here, there = solved([plain, tilted])
    assert (np.abs(here.mean - there.mean) < 0.05 * here.sigma).all()


def test_errors_ten_times_as_large_make_sigma_ten_times_as_large():
    clean_star = dataclasses.replace(one_star(), flux=clean((0.4, 0.6)) * TILT)
    small = dataclasses.replace(clean_star, ivar=clean_star.ivar * 100)
    few, many = solved([clean_star, small])
    np.testing.assert_allclose(few.sigma, 10 * many.sigma, rtol=0.05)


def test_a_pixel_without_weight_changes_nothing_whatever_it_holds():
    ivar = one_star().ivar.copy()
    ivar[40:44] = 0
    numbers = []
    for value in (0.0, 1e30, np.nan):
        one = dataclasses.replace(one_star(), ivar=ivar)
        one.flux[40:44] = value
        numbers.append(solved([one])[0])
    assert_same(numbers[0], numbers[1], rtol=0)
    assert_same(numbers[0], numbers[2], rtol=0)
    assert numbers[0].n_pix == WAVE.size - 4


def test_complementary_pixels_know_together_what_all_of_them_know():
    whole = one_star()
    odd = np.arange(WAVE.size) % 2 == 1
    parts = [dataclasses.replace(whole, ivar=np.where(keep, whole.ivar, 0)) for keep in (odd, ~odd)]
    first, second, both = solved([*parts, whole])
    weights = [1 / one.sigma**2 for one in (first, second)]
    mean = (first.mean * weights[0] + second.mean * weights[1]) / sum(weights)
    assert (np.abs(mean - both.mean) < 0.6 * both.sigma).all()
    np.testing.assert_allclose(sum(weights), 1 / both.sigma**2, rtol=0.2)


def test_order_of_stars_is_kept_and_a_bad_one_changes_no_other():
    dead = dataclasses.replace(one_star(), flux=np.zeros(WAVE.size))
    unusable = dataclasses.replace(one_star(), ivar=np.zeros(WAVE.size))
    alone = solved([one_star()])[0]
    found = solved([dead, one_star(), unusable])
    assert ["UNUSABLE" in one.flags for one in found] == [True, False, True]
    assert "BAD_SCALE" in found[0].flags
    assert "FEW_PIXELS" in found[2].flags
    assert "median flux is 0" in found[0].note
    assert (np.abs(found[1].mean - alone.mean) < 0.2 * alone.sigma).all()


def test_without_errors_they_are_estimated_from_the_scatter():
    one = dataclasses.replace(one_star(), ivar=np.ones(WAVE.size), has_errors=False)
    (found,), (known,) = solved([one]), solved([one_star()])
    np.testing.assert_allclose(found.error, 0.02, rtol=0.2)
    np.testing.assert_allclose(found.sigma, known.sigma, rtol=0.25)
    assert "NO_ERRORS" in found.flags
    assert math.isnan(found.p_value)


def test_error_of_the_model_grows_until_chi2_is_the_degrees_of_freedom():
    rng = np.random.default_rng(6)
    one = target((0.4, 0.6), 0.003, rng)
    wrong = dataclasses.replace(one, flux=one.flux * (1 + 0.03 * rng.normal(size=WAVE.size)))
    (plain,), (fitted,) = solved([wrong], SCALE), solved([wrong], SCALE, fit_model_error=True)
    assert "POOR_FIT" in plain.flags
    assert "POOR_FIT" not in fitted.flags
    np.testing.assert_allclose(fitted.chi2, fitted.dof, rtol=0.05)
    np.testing.assert_allclose(fitted.model_error, 0.03, rtol=0.25)
    assert (fitted.sigma > 4 * plain.sigma).all()
    (good,) = solved([one], SCALE, fit_model_error=True)
    assert good.model_error < 0.003


def test_more_pixels_of_the_same_spectrum_do_not_make_a_model_better():
    """A model errs alike over a line and its wings: what it misses does not average out pixel by pixel."""
    conditions, rng = dataclasses.replace(SCALE, model_error=0.03), np.random.default_rng(9)
    fine, twice = np.arange(8400.0, 8520.0, 0.4), np.repeat(WAVE, 2)
    stars = [target((0.4, 0.6), 1e-4, rng, wave=wave) for wave in (WAVE, fine, twice)]
    one, finer, exposures = (found.sigma for found in solved(stars, conditions))
    np.testing.assert_allclose(finer, one, rtol=0.1)
    np.testing.assert_allclose(exposures, one, rtol=0.1)
    alone = 1.0 / (0.03 * clean((0.4, 0.6)).mean()) ** 2 * 0.8 / ERROR_LENGTH  # weight of a pixel
    design = np.stack([clean((0.4, 0.6)), *rows(WAVE)[1:]])
    expected = np.sqrt(np.diagonal(np.linalg.inv(alone * design @ design.T)))[1:]
    np.testing.assert_allclose(one, expected, rtol=0.25)


def test_a_velocity_that_never_comes_to_rest_costs_no_answer(monkeypatch):
    monkeypatch.setattr(best_fit, "MAX_PASSES", 1)
    (found,) = solved([one_star()])
    assert np.isfinite([*found.mean, *found.sigma]).all()
    assert "VELOCITY" in found.flags


def test_best_model_and_samples_are_returned_on_request():
    one = one_star(unit=1e-17)
    (found,) = solved([one], model=True, samples=256)
    residual = (one.flux - found.model) * np.sqrt(one.ivar)
    np.testing.assert_allclose((residual**2).sum(), found.chi2, rtol=1e-6)
    assert found.samples.shape == (256, 2)
    np.testing.assert_allclose(found.samples.mean(axis=0), found.mean, atol=0.1 * found.sigma.min())
    np.testing.assert_allclose(found.samples.std(axis=0), found.sigma, rtol=0.1)


def test_a_narrow_normal_prior_is_what_is_left_of_a_label():
    narrow = make_prior(np.zeros(2), np.ones(2), ("label_0", "label_1"), normal={"label_0": (0.4, 0.002)})
    (found,) = solved([one_star()], its_prior=narrow)
    np.testing.assert_allclose(found.sigma[0], 0.002, rtol=0.1)


def nonsense():
    rng = np.random.default_rng(7)
    noise = 0.5 * 0.02 * rng.normal(size=WAVE.size)
    lines = np.exp(-0.5 * ((WAVE[:, None] - WAVE[7::19]) / 1.1) ** 2).sum(axis=1)
    return {
        "featureless": 0.5 + noise,
        "emission lines": 0.5 * (1 + lines) + noise,
        "other lines": 0.5 * (1 - 0.4 * lines) + noise,
        "upside down": 1 - clean((0.8, 0.5)) + noise,
    }


@pytest.mark.parametrize("name", list(nonsense()))
def test_what_is_no_star_of_the_grid_is_flagged(name):
    strange = dataclasses.replace(one_star(), flux=nonsense()[name])
    (found,) = solved([strange])
    assert "OUT_OF_GRID" in found.flags


def test_noise_without_flux_has_no_scale():
    rng = np.random.default_rng(8)
    flux = 0.001 + 0.2 * rng.normal(size=WAVE.size)
    (found,) = solved([dataclasses.replace(one_star(), flux=flux, ivar=np.full(WAVE.size, 25.0))])
    assert "BAD_SCALE" in found.flags


@pytest.mark.parametrize("conditions", [Conditions(), Conditions(scale=0.05)], ids=["known", "prior"])
def test_a_scale_that_the_conditions_do_not_allow_is_flagged(conditions):
    good, wrong = one_star(shape=1.0), one_star(shape=1.0, unit=3.0)
    flags = [one.flags for one in solved([good, wrong], conditions)]
    assert "BAD_SCALE" not in flags[0]
    assert "BAD_SCALE" in flags[1]


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(UsageError, match="power of two"):
        Wanted(samples=100)
    other = make_prior(np.zeros(1), np.ones(1), ("label_0",))
    with pytest.raises(UsageError, match="emulator's labels"):
        solved([one_star()], its_prior=other)
