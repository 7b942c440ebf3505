"""Velocities of spectra made from the models themselves, from textbook lines, and of real stars."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crlb.detector import DETECTOR_WAVE, SPEED_OF_LIGHT_KMS
from crlb.errors import DataError
from crlb.files.observed import Observed, Origin
from crlb.observation.chi2_curves import OnPixels, gain_curves, joined, pixels_for, shift_of, velocity_of
from crlb.observation.templates import Templates, fast_size, load_templates
from crlb.observation.velocity import find_velocity, medium_hint
from crlb.wavelengths import air_to_vacuum
from tests.crlb.toy import LABEL_NAMES

SPACING = 3e-5
LN_WAVE = np.log(7090.0) + SPACING * np.arange(int(np.log(8860.0 / 7090.0) / SPACING))
NODES = np.array([[4300.0, 2.0, -1.0], [4300.0, 3.5, -0.6], [5000.0, 2.0, -0.6], [5000.0, 3.5, -0.3]])
LINES = np.array(
    [7240.0, 7390.0, 7512.0, 7705.0, 7899.0, 8011.0, 8200.0, 8331.0, 8503.0, 8544.0, 8665.0, 8790.0]
)


def star(wave, which=0, sigma=0.8):
    """Continuum with a dozen lines of given width (Å); depths differ from star to star."""
    depths = np.random.default_rng(which).uniform(0.1, 0.5, LINES.size)
    return 1 - (depths * 0.8 / sigma * np.exp(-0.5 * ((wave[:, None] - LINES) / sigma) ** 2)).sum(axis=1)


@pytest.fixture(scope="module")
def templates():
    flux = np.stack([star(np.exp(LN_WAVE), which) for which in range(4)])
    return Templates(LN_WAVE[0], SPACING, flux, NODES, LABEL_NAMES, 1e4)


def seen(wave, rv_kms=0.0, *, snr=None, which=0, power=1e4, seed=0, **options):
    """The star receding at `rv_kms` on these pixels with a tilted continuum, with noise or without."""
    flux = star(wave / (1 + rv_kms / SPEED_OF_LIGHT_KMS), which) * (1.3 + 2e-4 * (wave - 8000))
    error = 1e-3 if snr is None else 1 / snr
    noise = 0.0 if snr is None else error * np.random.default_rng(seed).normal(size=wave.size)
    return Observed(
        wave, flux + noise, np.full(wave.size, error**-2), Origin("star.fits", "test"),
        resolving_power=np.full(wave.size, power), **options,
    )  # fmt: skip


@pytest.mark.parametrize("rv_kms", [-450.0, -33.3, 0.0, 12.5, 590.0])
def test_a_star_like_a_template_has_its_velocity(templates, rv_kms):
    found = find_velocity(seen(DETECTOR_WAVE, rv_kms, which=2), templates)
    assert found.rv_kms == pytest.approx(rv_kms, abs=0.05)
    assert found.significant
    assert found.labels == dict(zip(LABEL_NAMES, NODES[2], strict=True))


def test_any_pixels_do_and_overlapping_segments_count_together(templates):
    first, second = np.arange(7200.0, 8100.0, 0.6), np.exp(np.arange(np.log(7900), np.log(8700), 8e-5))
    wave = np.concatenate([first, second])
    segment = np.repeat([0, 1], [first.size, second.size])
    both = find_velocity(seen(wave, 88.0, segment=segment), templates)
    assert both.rv_kms == pytest.approx(88.0, abs=0.1)
    alone = [find_velocity(seen(part, 88.0, snr=20), templates).sigma_kms for part in (first, second)]
    together = find_velocity(seen(wave, 88.0, snr=20, segment=segment), templates).sigma_kms
    assert together == pytest.approx((np.array(alone) ** -2).sum() ** -0.5, rel=0.15)


def test_sigma_is_the_scatter_and_that_of_the_fisher_information(templates):
    found = [find_velocity(seen(DETECTOR_WAVE, 40.0, snr=15, seed=seed), templates) for seed in range(40)]
    errors = np.array([f.rv_kms for f in found]) - 40.0
    sigmas = np.array([f.sigma_kms for f in found])
    ahead, behind = (seen(DETECTOR_WAVE, 40.0 + d).flux for d in (0.5, -0.5))
    fisher = ((ahead - behind) ** 2).sum() * 15**2
    assert np.median(sigmas) == pytest.approx(fisher**-0.5, rel=0.1)  # the continuum costs next to nothing
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(np.median(sigmas), rel=0.3)
    assert abs(errors.mean()) < 3 * np.median(sigmas) / np.sqrt(40)


def test_errors_that_are_too_small_do_not_shrink_sigma(templates):
    noisy = seen(DETECTOR_WAVE, 40.0, snr=15)
    boasting = dataclasses.replace(noisy, ivar=noisy.ivar * 100)
    silent = dataclasses.replace(noisy, ivar=np.ones(noisy.wave.size), has_errors=False)
    honest, *others = (find_velocity(o, templates) for o in (noisy, boasting, silent))
    for other in others:
        assert other.sigma_kms == pytest.approx(honest.sigma_kms, rel=0.3)
        assert abs(other.rv_kms - honest.rv_kms) < honest.sigma_kms
    assert others[0].chi2 / others[0].dof == pytest.approx(100.0, rel=0.1)
    assert honest.chi2 / honest.dof == pytest.approx(1.0, rel=0.1)


def test_chi2_curves_are_least_squares_at_every_shift(templates):
    o = seen(np.exp(LN_WAVE[200:-200:3]), 3.0, snr=30)  # pixels on samples: no interpolation
    shifts = np.arange(-20, 21)
    pixels = pixels_for(o, templates, shifts)._replace(width=0.0)
    gain = gain_curves(pixels, templates, 1e5, shifts)
    x = np.linspace(-1, 1, o.wave.size)
    polynomials = x[:, None] ** np.arange(4)
    root = np.sqrt(o.ivar)

    def chi2(model):
        columns = root[:, None] * model[:, None] * polynomials
        return np.linalg.lstsq(columns, root * o.flux, rcond=None)[1][0]

    place = np.arange(200, LN_WAVE.size - 200, 3)
    for row, shift in ((0, 0), (1, -20), (3, 13)):
        expected = chi2(np.ones(o.wave.size)) - chi2(templates.flux[row][place - shift])
        assert gain[row, shift + 20] == pytest.approx(expected, rel=1e-6)
    fit = OnPixels(pixels, templates, 1e5, np.array([3])).fit(0, 13.0, np.ones(o.wave.size, bool))
    assert fit.chi2 == pytest.approx(chi2(templates.flux[3][place - 13]), rel=1e-6)


def test_the_slope_on_the_pixels_is_the_finite_difference(templates):
    o = seen(DETECTOR_WAVE[300:-300], 3.0)
    pixels = pixels_for(o, templates, np.arange(-5, 6))
    model, every = OnPixels(pixels, templates, 5000.0, np.array([0])), np.ones(o.wave.size, bool)
    fit, ahead, behind = (model.fit(0, s, every) for s in (1.0, 1.1, 0.9))
    change = (ahead.residuals - behind.residuals) / 0.2
    # at the minimum of the continuum's terms only the part across them is left
    np.testing.assert_allclose(fit.slope @ change, -fit.slope @ fit.slope, rtol=0.02)


def test_only_what_the_templates_reach_counts(templates):
    wave = np.arange(6000.0, 9500.0, 0.5)
    o = seen(wave, 60.0)
    outside = (wave < 7050) | (wave > 8900)
    wild = dataclasses.replace(o, flux=np.where(outside, 1e6 * np.sin(wave), o.flux))
    found = find_velocity(wild, templates)
    assert found.rv_kms == pytest.approx(60.0, abs=0.1)
    few = dataclasses.replace(o, ivar=np.where(outside, 1.0, 0.0))
    with pytest.raises(DataError, match=r"star.fits: needed at least 20 usable pixels between 7090 and .* 0"):
        find_velocity(few, templates)


def test_cosmic_rays_and_a_telluric_band_do_not_move_it(templates):
    o = seen(DETECTOR_WAVE, 25.0, snr=50)
    flux = o.flux.copy()
    flux[np.random.default_rng(3).integers(0, flux.size, 60)] += 30.0
    band = (o.wave > 7590) & (o.wave < 7680)
    flux[band] *= 0.4 + 0.3 * np.sin(o.wave[band])
    found = find_velocity(dataclasses.replace(o, flux=flux), templates)
    assert found.rv_kms == pytest.approx(25.0, abs=4 * found.sigma_kms)
    assert found.sigma_kms < 1.0
    assert found.n_outliers >= 50


@pytest.mark.parametrize("width", [2.0, 5.0])
def test_a_width_that_is_not_stated_is_found(templates, width):
    wave = DETECTOR_WAVE
    sigma = np.hypot(0.8, np.sqrt(width**2 - (8000 / 1e4) ** 2) / 2.3548)
    flux = star(wave / (1 + 70 / SPEED_OF_LIGHT_KMS), 1, sigma)
    flux = flux + 0.005 * np.random.default_rng(4).normal(size=wave.size)
    o = Observed(wave, flux, np.full(wave.size, 4e4), Origin("star.fits", "test"))
    found = find_velocity(o, templates)
    assert found.rv_kms == pytest.approx(70.0, abs=max(0.5, 4 * found.sigma_kms))
    assert found.fwhm == pytest.approx(width, rel=0.15)
    assert found.fwhm_sigma is not None
    assert found.fwhm_sigma < 0.15 * width
    given = find_velocity(o, templates, fwhm=width)
    assert (given.fwhm, given.fwhm_sigma) == (pytest.approx(width), None)


@pytest.mark.parametrize("kind", ["noise", "zero", "constant", "tiny", "negative"])
def test_what_holds_no_star_is_not_significant(templates, kind):
    n = DETECTOR_WAVE.size
    flux = {
        "noise": np.random.default_rng(5).normal(1, 0.2, n),
        "zero": np.zeros(n),
        "constant": np.ones(n),
        "tiny": np.full(n, 1e-17),
        "negative": np.random.default_rng(6).normal(-1, 0.2, n),
    }[kind]
    for has_errors in (True, False):
        o = Observed(DETECTOR_WAVE, flux, np.full(n, 25.0), Origin("x", "test"), has_errors=has_errors)
        assert not find_velocity(o, templates).significant


def test_units_do_not_matter(templates):
    o = seen(DETECTOR_WAVE, -140.0, snr=20)
    scaled = dataclasses.replace(o, flux=o.flux * 1e-17, ivar=o.ivar * 1e34)
    one, other = (find_velocity(x, templates) for x in (o, scaled))
    assert other.rv_kms == pytest.approx(one.rv_kms, abs=1e-6)
    assert other.sigma_kms == pytest.approx(one.sigma_kms, rel=1e-6)


def test_two_stars_in_one_spectrum_have_a_second_peak(templates):
    one, two = seen(DETECTOR_WAVE, -200.0), seen(DETECTOR_WAVE, 150.0)
    found = find_velocity(dataclasses.replace(one, flux=0.6 * one.flux + 0.4 * two.flux), templates)
    assert found.rv_kms == pytest.approx(-200.0, abs=1.0)
    assert found.second_rv_kms == pytest.approx(150.0, abs=10.0)
    assert found.significant


def test_a_comb_of_equal_lines_has_no_single_velocity(templates):
    comb = 1 - 0.3 * np.exp(-0.5 * ((LN_WAVE * SPEED_OF_LIGHT_KMS % 120.0 - 60.0) / 20.0) ** 2)
    alike = dataclasses.replace(templates, flux=comb[None], labels=NODES[:1])
    flux = np.interp(np.log(DETECTOR_WAVE), LN_WAVE, comb) + np.random.default_rng(7).normal(0, 0.1, 4096)
    o = dataclasses.replace(seen(DETECTOR_WAVE), flux=flux, ivar=np.full(4096, 100.0))
    found = find_velocity(o, alike)
    assert found.chi2_gain > 1000
    assert not found.significant


def test_joined_pixels_keep_light_and_weight():
    o = seen(np.arange(8000.0, 8020.0, 0.01), snr=30)
    coarse = joined(o, 0.1 / 8000)
    assert coarse.wave.size == pytest.approx(o.wave.size / 10, abs=20)
    np.testing.assert_allclose(coarse.ivar.sum(), o.ivar.sum(), rtol=0.01)
    n = o.wave.size // coarse.wave.size
    np.testing.assert_allclose(coarse.flux[5], o.flux[5 * n : 6 * n].mean())


def test_medium_is_suspected_at_83_km_s_and_nowhere_else():
    assert "air (--wave-medium air)" in (medium_hint(-83.5) or "")
    assert "vacuum (--wave-medium vacuum)" in (medium_hint(80.0) or "")
    assert medium_hint(0.0) is None
    assert medium_hint(-95.0) is None
    wave = np.array([8500.0])
    expected = (wave / air_to_vacuum(wave) - 1) * SPEED_OF_LIGHT_KMS
    assert expected[0] == pytest.approx(-82.8, abs=0.5)


def test_shift_and_velocity_are_inverse(templates):
    assert velocity_of(shift_of(123.4, templates), templates) == pytest.approx(123.4)
    assert fast_size(1000) == 1024
    assert fast_size(700) == 768


def test_it_works_without_jax():
    code = "import sys, crlb.observation.velocity, crlb.observation.templates; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def observed_stars(reference):
    if not (reference / "observed").is_dir():
        pytest.skip(f"no observed spectra in {reference}")
    return reference / "observed"


def real_star(path: Path, *, air: bool, power: float) -> Observed:
    header, flux = fits.getheader(path), fits.getdata(path).astype(float).squeeze()
    wave = header["CRVAL1"] + header["CDELT1"] * (np.arange(flux.size) + 1 - header.get("CRPIX1", 1))
    return Observed(
        air_to_vacuum(wave) if air else wave, np.where(flux > 0, flux, 0.0), (flux > 0) * 1.0,
        Origin(path.name, "test"), has_errors=False, resolving_power=np.full(flux.size, power),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "power", "rv_kms", "tolerance"),
    [
        ("deimos_cat/t5_HD161096.fits", 7000.0, 0.0, 2.0),
        ("indous_cat/indo-us_HD122563.fits", 8700.0, 1.0, 5.0),
        ("stelib/STELIB_v3.2_HD102870.fits", 2600.0, -65.0, 20.0),
    ],
)
def test_real_stars_have_their_velocity(observed_stars, file, power, rv_kms, tolerance):
    found = find_velocity(real_star(observed_stars / file, air=True, power=power), load_templates())
    assert found.significant
    assert found.rv_kms == pytest.approx(rv_kms, abs=tolerance)


def test_a_real_star_read_in_the_wrong_medium_is_suspected(observed_stars):
    path = observed_stars / "deimos_cat/t5_HD161096.fits"
    found = find_velocity(real_star(path, air=False, power=7000.0), load_templates())
    assert found.rv_kms == pytest.approx(-83.0, abs=3.0)
    assert medium_hint(found.rv_kms) is not None
