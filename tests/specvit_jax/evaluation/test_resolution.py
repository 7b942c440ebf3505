"""Smoothing to the lines a network was taught, against the closed form of Gaussians and against draws."""

import numpy as np
import pytest

from crlb.files.observed import Observed, Origin
from specvit_jax.evaluation.resolution import FWHM_PER_SIGMA, smoothed

WAVE = 8000 + 0.4 * np.arange(400)


def spectrum(flux, ivar=None) -> Observed:
    return Observed(WAVE, flux, np.ones(WAVE.shape) if ivar is None else ivar, Origin("f", "text"))


def line(fwhm: float) -> np.ndarray:
    sigma = fwhm / FWHM_PER_SIGMA
    return np.exp(-0.5 * ((WAVE - 8080) / sigma) ** 2) / sigma


def test_a_line_becomes_the_wanted_one():
    found = smoothed(spectrum(1 - 0.3 * line(0.9)), np.full(WAVE.shape, 0.9), 1.6)
    np.testing.assert_allclose(found.flux, 1 - 0.3 * line(1.6), atol=1e-3)


def test_lines_that_are_wider_stay_and_ends_are_not_darkened():
    flux = 1 - 0.3 * line(2.0)
    np.testing.assert_allclose(smoothed(spectrum(flux), np.full(WAVE.shape, 2.0), 1.6).flux, flux)
    np.testing.assert_allclose(smoothed(spectrum(np.ones(400)), np.full(400, 0.5), 1.6).flux, 1.0)


def test_the_variance_is_that_of_the_weighted_mean():
    rng = np.random.default_rng(0)
    error = np.linspace(0.5, 2.0, 400)
    draws = [
        smoothed(spectrum(rng.normal(size=400) * error, error**-2), np.full(400, 0.8), 1.6).flux
        for _ in range(600)
    ]
    found = smoothed(spectrum(np.ones(400), error**-2), np.full(400, 0.8), 1.6).ivar
    np.testing.assert_allclose(np.std(draws, axis=0) ** 2 * found, 1.0, atol=0.3)
    np.testing.assert_allclose(np.mean(np.std(draws, axis=0) ** 2 * found), 1.0, atol=0.02)


@pytest.mark.parametrize("bad", [200, 0, 399])
def test_an_unusable_pixel_is_left_out(bad):
    flux, ivar = np.ones(400), np.ones(400)
    flux[bad], ivar[bad] = 1e9, 0.0
    found = smoothed(spectrum(flux, ivar), np.full(400, 0.8), 1.6)
    np.testing.assert_allclose(found.flux[found.usable], 1.0)
    assert (~found.usable).sum() <= 1
    gap = np.where(np.abs(np.arange(400) - 200) < 15, 0.0, 1.0)
    assert not smoothed(spectrum(np.ones(400), gap), np.full(400, 0.8), 1.6).usable[195:206].any()
