"""Nuisances against the instrument itself by finite differences, numpy's polynomials, and textbook lines."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.legendre import legval

from crlb.detector import Detector, contiguous
from crlb.errors import DataError, UsageError
from crlb.fisher.matrix import flux_jacobian
from crlb.grids.emulator import make_emulator
from crlb.observation.instrument import detector_flux, seen_by, to_detector
from crlb.observation.nuisance import instrument_derivatives, with_nuisances
from crlb.observation.nuisances import Nuisances
from tests.crlb.toy import LABEL_NAMES, toy_grid

MODEL_WAVE = np.arange(8140.0, 8240.0, 0.15)
DETECTOR = np.arange(8150.0, 8230.0, 0.427)
PIXELS = contiguous(DETECTOR, 1.6, "toy")
AXES = (np.array([4000.0, 4700.0, 5500.0]), np.array([1.0, 2.5, 4.5]), np.array([-1.0, -0.3, 0.0]))
INSIDE = np.array([4500.0, 2.2, -0.4])
ALL = {"amplitude": True, "continuum": 3, "rv": True, "lsf": True}


@pytest.fixture(scope="module")
def grid():
    return toy_grid(MODEL_WAVE, AXES)


@pytest.fixture(scope="module")
def model(grid):
    with jax.enable_x64(True):
        return with_nuisances(grid, Nuisances(**ALL), detector=PIXELS, rtol=1e-10)


@pytest.fixture(scope="module")
def jac(model):
    with jax.enable_x64(True):
        columns = jax.jit(flux_jacobian)(model, model.at_rest(INSIDE))
    return dict(zip(model.label_names, np.asarray(columns).T, strict=True))


def observed(grid, scale=None, **options):
    """The plain emulator of the grid on the detector at INSIDE; `scale` multiplies each node."""
    seen = to_detector(grid, detector_wave=DETECTOR, normalise=False, **options)
    seen = dataclasses.replace(seen, spectra=seen.spectra.scaled(scale))
    return np.asarray(make_emulator(seen, rtol=1e-10)(INSIDE))


@pytest.fixture(scope="module")
def rest_scale(grid):
    return 0.5 / np.median(to_detector(grid, detector_wave=DETECTOR, normalise=False).flux, axis=-1)


def test_names_and_rest_values(model):
    assert model.label_names == (
        *LABEL_NAMES, "amplitude", "continuum_1", "continuum_2", "continuum_3", "rv_kms", "lsf_fwhm"
    )  # fmt: skip
    np.testing.assert_array_equal(model.at_rest(INSIDE)[3:], [1, 0, 0, 0, 0, 1.6])
    assert model.at_rest(np.stack([INSIDE] * 4)).shape == (4, 9)
    np.testing.assert_array_equal(model.wave, DETECTOR)


def test_at_rest_it_is_the_plain_emulator(grid, model, jac):
    plain = make_emulator(to_detector(grid, detector_wave=DETECTOR), rtol=1e-10)
    np.testing.assert_allclose(model(model.at_rest(INSIDE)), plain(INSIDE), rtol=1e-8)
    slopes = np.asarray(jax.jit(flux_jacobian)(plain, INSIDE)).T
    for name, slope in zip(LABEL_NAMES, slopes, strict=True):
        np.testing.assert_allclose(jac[name], slope, atol=1e-7 * np.abs(slope).max())


def test_derivative_by_velocity_is_the_difference_of_two_instruments(grid, jac, rest_scale):
    ahead, behind = (observed(grid, rest_scale, rv_kms=v) for v in (1.0, -1.0))
    difference = (ahead - behind) / 2
    assert np.abs(difference).max() > 1e-4
    np.testing.assert_allclose(jac["rv_kms"], difference, atol=2e-3 * np.abs(difference).max())


def test_derivative_by_width_is_the_difference_of_two_instruments(grid, jac, rest_scale):
    wide, narrow = (observed(grid, rest_scale, lsf_fwhm=w) for w in (1.61, 1.59))
    difference = (wide - narrow) / 0.02
    assert np.abs(difference).max() > 1e-3
    np.testing.assert_allclose(jac["lsf_fwhm"], difference, atol=2e-3 * np.abs(difference).max())


def test_amplitude_and_continuum_multiply_the_flux(model, jac):
    flux = np.asarray(model(model.at_rest(INSIDE)))
    np.testing.assert_allclose(jac["amplitude"], flux, rtol=1e-12)
    x = np.linspace(-1, 1, DETECTOR.size)
    for k in (1, 2, 3):
        polynomial = legval(x, np.eye(4)[k])
        np.testing.assert_allclose(jac[f"continuum_{k}"], flux * polynomial, rtol=1e-9, atol=1e-12)
    moved = model.at_rest(INSIDE).at[np.array([3, 5])].set(jnp.array([2.0, 0.1]))
    np.testing.assert_allclose(model(moved), 2 * flux * (1 + 0.1 * legval(x, [0, 0, 1])), rtol=1e-9)


def test_nuisances_can_be_chosen_one_by_one(grid):
    small = {"detector": PIXELS, "rtol": 1e-6}
    assert with_nuisances(grid, Nuisances(), **small).label_names == LABEL_NAMES
    assert with_nuisances(grid, Nuisances(rv=True), **small).label_names == (*LABEL_NAMES, "rv_kms")
    tilted = with_nuisances(grid, Nuisances(continuum=2), **small)
    assert tilted.label_names == (*LABEL_NAMES, "continuum_1", "continuum_2")
    assert tilted(tilted.at_rest(INSIDE)).shape == DETECTOR.shape


def test_instrument_derivatives_of_a_gaussian_line_are_the_textbook_ones():
    """A Gaussian of width s in Å: d/dv = -(lambda/c) f', d/d fwhm = fwhm / 2.3548^2 f''."""
    wave, centre, s = np.arange(8170.0, 8215.0, 0.02), 8192.0, 2.0
    row = np.exp(-0.5 * ((wave - centre) / s) ** 2)
    pixels = np.arange(8180.0, 8205.0, 0.05)
    seen = instrument_derivatives(wave, row[None], contiguous(pixels, 1.0, "toy"), resolving_power=np.inf)
    total = s**2 + (1.0 / 2.354820045) ** 2
    x = pixels - centre
    profile = s / np.sqrt(total) * np.exp(-0.5 * x**2 / total)
    np.testing.assert_allclose(seen.flux[0], profile, atol=2e-4)
    slope = profile * x / total * pixels / 299792.458
    np.testing.assert_allclose(seen.d_rv_kms[0], slope, atol=2e-4 * slope.max())
    curvature = profile * (x**2 / total - 1) / total / 2.354820045**2
    np.testing.assert_allclose(seen.d_lsf_fwhm[0], curvature, atol=1e-3 * np.abs(curvature).max())


def test_velocity_of_spectra_already_on_the_detector_is_the_central_difference():
    rows = np.random.default_rng(2).uniform(0.5, 1, (2, DETECTOR.size))  # the roughest there can be
    seen = instrument_derivatives(
        DETECTOR, rows, contiguous(DETECTOR, 1.0, "toy"), resolving_power=5e3, lsf=False
    )
    assert seen.d_lsf_fwhm is None
    np.testing.assert_allclose(seen.flux, rows, rtol=1e-9)
    inside = slice(1, -1)
    ahead, behind = (
        detector_flux(DETECTOR, jnp.asarray(rows[1]), DETECTOR[inside], lsf_sigma=0.0, rv_kms=v)
        for v in (0.5, -0.5)
    )
    np.testing.assert_allclose(seen.d_rv_kms[1, inside], ahead - behind, rtol=1e-6, atol=1e-9)


def test_width_and_velocity_of_arms_that_overlap_are_those_of_the_kernel_moved(grid):
    """Two arms, the second sharper, of changing width: central differences of the instrument itself."""
    low = np.concatenate([np.arange(8155.0, 8200.0, 0.7), np.arange(8190.0, 8225.0, 0.3)])
    high = low + np.where(np.arange(low.size) < 65, 0.7, 0.3)
    fwhm = np.where(np.arange(low.size) < 65, low / 2266, 1.1)
    arms = Detector(low, high, fwhm, "toy")
    rows = np.asarray(grid.flux[1, 1])
    seen = instrument_derivatives(MODEL_WAVE, rows, arms, resolving_power=grid.resolving_power)

    def through(change: float, rv_kms: float) -> np.ndarray:
        scaled = Detector(low, high, fwhm * (1 + change / arms.width), "toy")
        spectra = dataclasses.replace(grid, spectra=grid.spectra)
        moved = seen_by(spectra, scaled, rv_kms=rv_kms, normalise=False)
        return np.asarray(moved.flux[1, 1])

    np.testing.assert_allclose(seen.flux, through(0.0, 0.0), rtol=1e-10)
    by_width = (through(1e-3, 0.0) - through(-1e-3, 0.0)) / 2e-3
    np.testing.assert_allclose(seen.d_lsf_fwhm, by_width, atol=2e-6 * np.abs(by_width).max())
    by_rv = (through(0.0, 0.01) - through(0.0, -0.01)) / 0.02
    np.testing.assert_allclose(seen.d_rv_kms, by_rv, atol=2e-5 * np.abs(by_rv).max())


def test_free_width_needs_a_sharper_grid(grid):
    broad = dataclasses.replace(grid, resolving_power=5000.0)
    words = r"a FWHM of 1.65 Å .* the instrument 1.6 Å; use a grid of higher"
    with pytest.warns(UserWarning, match="1.63 to 1.65 Å is used"), pytest.raises(UsageError, match=words):
        with_nuisances(broad, Nuisances(lsf=True), detector=PIXELS)
    with pytest.warns(UserWarning, match="1.63 to 1.65 Å is used"):
        assert "rv_kms" in with_nuisances(broad, Nuisances(rv=True), detector=PIXELS).label_names


def test_bad_arguments_are_refused_in_words(grid, model):
    with pytest.raises(UsageError, match="order of 0 or more, found -1"):
        Nuisances(continuum=-1)
    with pytest.raises(DataError, match="needed the detector's range"):
        with_nuisances(grid, Nuisances())
    with pytest.raises(DataError, match="needed the detector's range"):
        instrument_derivatives(
            MODEL_WAVE,
            np.ones((1, MODEL_WAVE.size)),
            contiguous(DETECTOR + 60, 1.6, "toy"),
            resolving_power=2e4,
        )
    with pytest.raises(UsageError, match=r"needed T_eff, log_g.* found 3 values"):
        model(INSIDE)
    with pytest.raises(UsageError, match="log_g must lie within the grid"):
        model(model.at_rest(np.array([4500.0, 9.0, -0.4])))


def test_outside_the_grid_is_nan_when_traced(model):
    assert np.isnan(jax.jit(model)(model.at_rest(np.array([4500.0, 9.0, -0.4])))).all()
