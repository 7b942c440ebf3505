"""Spectra on other pixels."""

import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE, cell_edges
from crlb.errors import DataError
from crlb.files.observed import Observed, Origin
from crlb.readers.combine import cells, combined, resampled

ORIGIN = Origin("star.fits", "test")


def spectrum(
    wave: np.ndarray, flux: np.ndarray, error: float | np.ndarray = 0.1, **given: object
) -> Observed:
    ivar = np.broadcast_to(np.asarray(error, np.float64) ** -2, wave.shape).copy()
    return Observed(wave, flux, ivar, ORIGIN, **given)


def test_the_same_pixels_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    wave = np.sort(rng.uniform(8400, 8800, 500))
    one = spectrum(np.linspace(8400, 8800, 500), rng.normal(1, 0.1, 500), rng.uniform(0.1, 1, 500))
    found = resampled(one, one.wave)
    np.testing.assert_allclose(found.flux, one.flux, rtol=1e-9)
    np.testing.assert_allclose(found.ivar, one.ivar, rtol=1e-9)
    assert wave.size == 500


def test_a_constant_stays_constant_and_a_slope_a_slope() -> None:
    wave = np.arange(8400.0, 8800.0, 0.3)
    new = np.arange(8410.0, 8790.0, 0.77)
    np.testing.assert_allclose(resampled(spectrum(wave, np.full(wave.shape, 3.0)), new).flux, 3.0)
    slope = resampled(spectrum(wave, wave / 8400), new).flux
    np.testing.assert_allclose(slope, new / 8400, atol=0.3 / 8400)


def test_the_energy_of_a_line_is_conserved() -> None:
    wave = np.arange(8400.0, 8800.0, 0.2)
    line = np.exp(-0.5 * ((wave - 8542.1) / 0.35) ** 2)
    new = np.arange(8400.0, 8800.0, 1.3)
    before = (line * 0.2).sum()
    after = (resampled(spectrum(wave, line), new).flux * 1.3).sum()
    assert after == pytest.approx(before, rel=1e-9)


def test_whole_pixels_put_together_average_and_their_variance_falls() -> None:
    wave = 8400.05 + 0.1 * np.arange(400)
    rng = np.random.default_rng(1)
    flux, error = rng.normal(1, 0.1, 400), rng.uniform(0.1, 0.3, 400)
    new = 8400.2 + 0.4 * np.arange(100)
    found = resampled(spectrum(wave, flux, error), new)
    np.testing.assert_allclose(found.flux, flux.reshape(100, 4).mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(1 / found.ivar, (error**2).reshape(100, 4).sum(axis=1) / 16, rtol=1e-6)


def test_the_propagated_variance_is_that_of_many_draws() -> None:
    rng = np.random.default_rng(2)
    wave = np.sort(8400 + 100 * rng.uniform(size=150))
    new = np.arange(8410.0, 8490.0, 1.7)
    error = rng.uniform(0.05, 0.2, 150)
    draws = [resampled(spectrum(wave, rng.normal(1, error), error), new) for _ in range(800)]
    scatter = np.var([draw.flux for draw in draws], axis=0)
    good = draws[0].usable
    assert good.mean() > 0.7
    np.testing.assert_allclose((scatter * draws[0].ivar)[good], 1, atol=0.25)


def test_unusable_pixels_do_not_enter_and_holes_are_unusable() -> None:
    wave = 8400.05 + 0.1 * np.arange(400)
    flux = np.ones(400)
    flux[100:103], flux[200:240] = 50.0, 50.0
    ivar = np.full(400, 100.0)
    ivar[100:103], ivar[200:240] = 0, 0
    flux[ivar == 0] = 0
    new = 8400.5 + 1.0 * np.arange(40)  # of ten old ones each
    found = resampled(Observed(wave, flux, ivar, ORIGIN), new)
    np.testing.assert_allclose(found.flux[found.usable], 1.0)
    np.testing.assert_array_equal(np.flatnonzero(~found.usable), np.arange(20, 24))
    assert found.ivar[10] == pytest.approx(700)


def test_pixels_outside_the_data_are_unusable_and_gaps_stay_gaps() -> None:
    wave = np.concatenate([np.arange(8400.0, 8500.0, 0.5), np.arange(8600.0, 8700.0, 0.5)])
    found = resampled(spectrum(wave, np.ones(400)), DETECTOR_WAVE)
    inside = (DETECTOR_WAVE > 8400) & (DETECTOR_WAVE < 8700)
    gap = (DETECTOR_WAVE > 8501) & (DETECTOR_WAVE < 8599)
    assert not found.usable[~inside & (np.abs(DETECTOR_WAVE - 8550) > 151)].any()
    assert not found.usable[gap].any()
    assert found.usable[inside].sum() == pytest.approx(200 / 0.4272, abs=4)


def test_cells_touch_where_pixels_are_regular() -> None:
    wave = 10 ** np.linspace(3.9, 3.95, 300)
    low, high = cells(wave)
    edges = cell_edges(wave)
    np.testing.assert_allclose(low, edges[:-1])
    np.testing.assert_allclose(high, edges[1:])


def test_exposures_combine_as_their_weighted_mean() -> None:
    wave = np.linspace(8400, 8800, 100)
    rng = np.random.default_rng(3)
    flux, error = rng.normal(1, 0.1, (3, 100)), rng.uniform(0.1, 0.3, (3, 100))
    three = spectrum(
        np.tile(wave, 3), flux.ravel(), error.ravel(), segment=np.repeat([0, 1, 2], 100), rv_kms=5.0
    )
    found = combined(three)
    weight = error**-2
    np.testing.assert_allclose(found.wave, wave)
    np.testing.assert_allclose(found.flux, (weight * flux).sum(axis=0) / weight.sum(axis=0))
    np.testing.assert_allclose(found.ivar, weight.sum(axis=0))
    assert (found.segment, found.rv_kms) == (None, 5.0)
    assert "3 segments combined" in found.done[-1]


def test_arms_that_overlap_become_one_spectrum_and_a_bad_arm_does_not_count() -> None:
    blue, red = np.arange(7000.0, 7620.0, 0.8), np.arange(7520.2, 8900.0, 0.8)
    segment = np.repeat([0, 1], [blue.size, red.size])
    wave = np.concatenate([blue, red])
    both = spectrum(wave, np.ones(wave.size), segment=segment)
    found = combined(both)
    assert (np.diff(found.wave) > 0).all()
    assert (found.wave[0], found.wave[-1]) == (blue[0], red[-1])
    np.testing.assert_allclose(found.flux, 1)
    np.testing.assert_allclose(
        np.median(found.ivar[(found.wave > 7530) & (found.wave < 7610)]), 300, rtol=0.15
    )
    broken = np.where(segment == 0, 0.0, 100.0)
    found = combined(Observed(wave, np.where(segment == 0, 0, 1.0), broken, ORIGIN, segment=segment))
    assert not found.usable[found.wave < 7519].any()
    np.testing.assert_allclose(found.flux[found.usable], 1)


def test_without_errors_segments_are_averaged_and_stay_without() -> None:
    wave = np.linspace(8400, 8800, 100)
    flux = np.concatenate([np.full(100, 1.0), np.full(100, 3.0)])
    one = Observed(
        np.tile(wave, 2), flux, np.ones(200), ORIGIN, has_errors=False, segment=np.repeat([0, 1], 100)
    )
    found = combined(one)
    np.testing.assert_allclose(found.flux, 2.0)
    np.testing.assert_array_equal(found.ivar, 1.0)


def test_resolving_power_goes_along() -> None:
    wave = np.linspace(8400, 8800, 400)
    one = spectrum(wave, np.ones(400), resolving_power=wave / 1.6)
    np.testing.assert_allclose(resampled(one, wave[10:-10:3]).resolving_power, wave[10:-10:3] / 1.6)


def test_coarse_data_on_fine_pixels_are_said_to_share_noise() -> None:
    one = spectrum(np.arange(8400.0, 8800.0, 2.0), np.ones(200))
    assert "neighbours share noise" in resampled(one, np.arange(8410.0, 8790.0, 0.4)).done[-1]


def test_pixels_that_do_not_increase_are_refused() -> None:
    one = spectrum(np.arange(8400.0, 8800.0, 2.0), np.ones(200))
    with pytest.raises(DataError, match="increasing"):
        resampled(one, one.wave[::-1].copy())
