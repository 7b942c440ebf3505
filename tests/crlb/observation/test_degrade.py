"""Data blurred to the model's width: textbook widths, light, the scatter of fits to white noise."""

import dataclasses

import numpy as np
import pytest

from crlb.errors import UsageError
from crlb.files.observed import Observed, Origin
from crlb.observation.degrade import degraded, too_sharp

WAVE = np.arange(8400.0, 8800.0, 0.05)


def spectrum(flux, ivar=None, wave=WAVE, power=30_000.0, **options):
    return Observed(
        wave, flux, np.full(wave.size, 1e4) if ivar is None else ivar, Origin("star.fits", "test"),
        resolving_power=np.full(wave.size, power), **options,
    )  # fmt: skip


def line(wave, fwhm, centre=8600.0):
    return 1 - 0.5 / fwhm * np.exp(-4 * np.log(2) * ((wave - centre) / fwhm) ** 2)


def test_a_line_gets_the_width_asked_for_and_keeps_its_area():
    own = 8600.0 / 30_000
    found = degraded(spectrum(line(WAVE, own)), resolving_power=10_000.0)
    inner = (found.wave > 8590) & (found.wave < 8610)
    depth, step = 1 - found.flux[inner], np.diff(found.wave).mean()
    variance = np.average((found.wave[inner] - 8600) ** 2, weights=depth)
    pixels = (step**2 + 0.05**2) / 12
    assert variance == pytest.approx((0.86 / 2.354820045) ** 2 + pixels, rel=2e-3)
    low, high = found.cells
    assert (depth * (high - low)[inner]).sum() == pytest.approx(0.5 * np.sqrt(np.pi / np.log(16)), rel=2e-3)
    np.testing.assert_allclose(found.resolving_power, 10_000.0)
    assert step == pytest.approx(0.43, rel=0.05)


def test_light_is_conserved():
    flux = np.random.default_rng(0).uniform(0.5, 1.5, WAVE.size)
    found = degraded(spectrum(flux), fwhm=1.0)
    low, high = found.cells
    inner = slice(5, -5)
    first, last = low[inner][0], high[inner][-1]
    chosen = (first < WAVE) & (last > WAVE)
    light = (found.flux * (high - low))[inner].sum()
    assert light == pytest.approx(flux[chosen].sum() * 0.05, rel=2e-3)
    np.testing.assert_allclose(degraded(spectrum(np.full(WAVE.size, 0.7)), fwhm=1.0).flux[inner], 0.7)


@pytest.mark.parametrize("error", ["even", "uneven"])
def test_a_broad_template_fitted_to_noise_scatters_as_ivar_promises(error):
    rng, wave = np.random.default_rng(1), WAVE[:1600]
    sigma = np.full(wave.size, 0.1) if error == "even" else 0.1 * (1.5 + np.sin(wave / 8))
    found = []
    for _ in range(600):
        noise = sigma * rng.normal(size=wave.size)
        noisy = degraded(spectrum(noise, sigma**-2.0, wave), resolving_power=10_000.0)
        template = 1 + 0.5 * np.cos((noisy.wave - 8440) / 10)
        information = (noisy.ivar * template**2).sum()
        found.append(((noisy.ivar * template * noisy.flux).sum() / information, information**-0.5))
    amplitude, promised = np.array(found).T
    assert amplitude.std() == pytest.approx(promised.mean(), rel=0.09)  # 600 draws know it to 2.9 %
    assert abs(amplitude.mean()) < 4 * promised.mean() / np.sqrt(600)


def test_the_variance_is_the_row_sum_of_the_covariance():
    """By brute force: unit light in each input pixel gives the columns of the matrix."""
    wave = np.arange(8500.0, 8510.0, 0.1)
    rng = np.random.default_rng(2)
    ivar = rng.uniform(1, 5, wave.size)
    ivar[30:36] = 0
    columns = np.stack(
        [degraded(spectrum(row, ivar, wave), fwhm=0.9).flux for row in np.eye(wave.size)], axis=1
    )
    covariance = columns @ np.diag(np.where(ivar > 0, 1 / np.where(ivar > 0, ivar, 1.0), 0.0)) @ columns.T
    found = degraded(spectrum(np.ones(wave.size), ivar, wave), fwhm=0.9)
    good = found.usable
    assert 8 <= good.sum() < good.size
    np.testing.assert_allclose(found.ivar[good], 1 / covariance.sum(axis=1)[good], rtol=1e-10)
    np.testing.assert_allclose(found.flux[good], 1.0, rtol=1e-12)


def test_unusable_input_does_not_leak_and_gaps_become_unusable():
    ivar = np.full(WAVE.size, 1e4)
    flux = np.ones(WAVE.size)
    single, gap = slice(2000, 2002), (WAVE > 8550) & (WAVE < 8560)
    ivar[single], ivar[gap] = 0, 0
    wild = np.where(ivar > 0, flux, 1e9)
    found = degraded(spectrum(wild, ivar), resolving_power=10_000.0)
    np.testing.assert_allclose(found.flux[found.usable], 1.0, rtol=1e-12)
    inside = (found.wave > 8550.8) & (found.wave < 8559.2)
    assert not found.usable[inside].any()
    beside = np.abs(found.wave - WAVE[2000]) < 1
    assert found.usable[beside].all()
    assert not found.usable[[0, -1]].any()
    assert found.usable.mean() > 0.95


def test_data_that_are_broad_already_are_only_rebinned():
    found = degraded(spectrum(line(WAVE, 2.0), power=4300.0), resolving_power=10_000.0)
    np.testing.assert_allclose(found.flux[found.usable], line(found.wave, 2.0)[found.usable], atol=3e-3)
    np.testing.assert_allclose(found.resolving_power, 4300.0)
    assert found.ivar[100] == pytest.approx(1e4 * 8.6, rel=0.05)  # pixels averaged, no correlation


def test_coarse_pixels_are_kept():
    wave = np.arange(8400.0, 8800.0, 0.6)
    found = degraded(spectrum(np.ones(wave.size), wave=wave), resolving_power=10_000.0)
    np.testing.assert_array_equal(found.wave, wave)
    np.testing.assert_allclose(found.flux[found.usable], 1.0)


def test_segments_stay_apart_and_what_was_done_is_said():
    wave = np.concatenate([WAVE, WAVE + 100.02])
    segment = np.repeat([3, 7], WAVE.size)
    flux = np.repeat([1.0, 2.0], WAVE.size)
    found = degraded(spectrum(flux, wave=wave, segment=segment, done=("read",)), resolving_power=10_000.0)
    assert found.segment is not None
    for number, level in ((3, 1.0), (7, 2.0)):
        np.testing.assert_allclose(found.flux[(found.segment == number) & found.usable], level)
    assert found.done[0] == "read"
    assert f"blurred to R 10000 and rebinned from 16000 to {found.wave.size} pixels" in found.done[1]


def test_without_errors_ivar_stays_a_flag():
    ivar = np.ones(WAVE.size)
    ivar[:2000] = 0
    found = degraded(spectrum(np.ones(WAVE.size), ivar, has_errors=False), resolving_power=10_000.0)
    np.testing.assert_array_equal(np.unique(found.ivar), [0.0, 1.0])


def test_a_quarter_sharper_is_too_sharp():
    assert too_sharp(spectrum(np.ones(WAVE.size)), 10_000.0)
    assert not too_sharp(spectrum(np.ones(WAVE.size), power=12_000.0), 10_000.0)
    assert not too_sharp(dataclasses.replace(spectrum(np.ones(WAVE.size)), resolving_power=None), 10_000.0)


def test_bad_arguments_are_refused_in_words():
    sharp = spectrum(np.ones(WAVE.size))
    with pytest.raises(UsageError, match="either a resolving power or a FWHM"):
        degraded(sharp)
    with pytest.raises(UsageError, match="must be positive, found -3"):
        degraded(sharp, fwhm=-3.0)
    with pytest.raises(UsageError, match=r"star.fits: needed the resolving power.*--resolving-power"):
        degraded(dataclasses.replace(sharp, resolving_power=None), fwhm=1.0)
