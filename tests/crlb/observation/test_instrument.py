"""Spectra on the detector: conserved, blurred by the right width, moved by the right shift."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from crlb.detector import DETECTOR_WAVE, FWHM_PER_SIGMA, SPEED_OF_LIGHT_KMS, cell_edges
from crlb.errors import DataError, UsageError
from crlb.grids.compression import Factors
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import SpectralGrid, make_grid
from crlb.observation.instrument import detector_flux, to_detector

PIXEL = 1750.0 / 4096  # A
DETECTOR = DETECTOR_WAVE[2000:2200]  # a stretch is enough for most claims
FINE = np.linspace(DETECTOR[0] - 15.0, DETECTOR[-1] + 15.0, 4001)
CELL = FINE[1] - FINE[0]
SIGMA = 1.6 / FWHM_PER_SIGMA


def line(index: int = 2000) -> jax.Array:
    """All light in one cell: as close to a delta line as the input can come."""
    return jnp.zeros(FINE.size).at[index].set(1.0 / CELL)


def smooth_spectrum(wave: np.ndarray, sigma: float, depth: float = 0.6) -> np.ndarray:
    """Continuum 1 with Gaussian absorption lines of equal area, of width sigma A."""
    flux = np.ones_like(wave)
    for centre in (7970.0, 7988.0, 7991.5, 8020.0):
        flux -= depth * np.exp(-0.5 * ((wave - centre) / sigma) ** 2) / sigma
    return flux


def grid_of(wave: np.ndarray, *spectra: np.ndarray, resolving_power: float = 6000.0) -> SpectralGrid:
    return make_grid(
        wave=wave,
        axes=(4000.0 + np.arange(float(len(spectra))),),
        flux=np.stack(spectra),
        label_names=("T_eff",),
        resolving_power=resolving_power,
        flux_unit="test",
        source="test",
    )


def test_the_detector_tiles_7100_to_8850():
    edges = cell_edges(DETECTOR_WAVE)
    assert DETECTOR_WAVE.shape == (4096,)
    assert edges[[0, -1]] == pytest.approx([7100.0, 8850.0], abs=1e-9)
    assert DETECTOR_WAVE[[0, -1]] == pytest.approx([7100.21362, 8849.78638], abs=1e-5)


@pytest.mark.parametrize("sigma", [0.0, 0.05, SIGMA])
@pytest.mark.parametrize("rv_kms", [0.0, 130.0])
def test_a_line_keeps_its_flux(sigma, rv_kms):
    seen = detector_flux(FINE, line(), DETECTOR, lsf_sigma=sigma, rv_kms=rv_kms)
    # The level stays as the wavelengths stretch, so the flux of a moved line grows by 1 + v/c.
    expected = 1.0 + rv_kms / SPEED_OF_LIGHT_KMS
    assert float(seen.sum() * PIXEL) == pytest.approx(expected, rel=1e-6)


def test_a_flat_spectrum_stays_flat_up_to_the_edges():
    seen = detector_flux(DETECTOR, jnp.full(DETECTOR.size, 0.7), DETECTOR, lsf_sigma=SIGMA)
    np.testing.assert_allclose(seen, 0.7, rtol=1e-12)


def test_a_delta_line_has_the_line_spread_functions_width():
    seen = np.asarray(detector_flux(FINE, line(), DETECTOR, lsf_sigma=SIGMA))
    centre = np.average(DETECTOR, weights=seen)
    variance = np.average((DETECTOR - centre) ** 2, weights=seen)
    assert centre == pytest.approx(FINE[2000], abs=1e-6)
    assert variance == pytest.approx(SIGMA**2 + (PIXEL**2 + CELL**2) / 12, rel=1e-6)


def test_a_delta_line_has_the_full_width_at_half_maximum_asked_for():
    narrow = DETECTOR[0] + 0.01 * np.arange(6000)  # pixels too small to widen anything
    seen = np.asarray(detector_flux(FINE, line(), narrow, lsf_sigma=SIGMA))
    above = narrow[seen > 0.5 * seen.max()]
    assert above[-1] - above[0] == pytest.approx(1.6, abs=0.02)


def test_pixels_equal_the_integral_of_the_convolution():
    """Against scipy's adaptive quadrature of the normal distribution over one cell, then one pixel."""
    seen = np.asarray(detector_flux(FINE, line(), DETECTOR, lsf_sigma=SIGMA, rv_kms=40.0))
    low, high = cell_edges(FINE)[2000:2002] * (1 + 40.0 / SPEED_OF_LIGHT_KMS)
    for pixel in (95, 100, 103):
        left, right = DETECTOR[pixel] - PIXEL / 2, DETECTOR[pixel] + PIXEL / 2
        into_pixel, _ = quad(
            lambda x, a=left, b=right: norm.cdf(b, x, SIGMA) - norm.cdf(a, x, SIGMA), low, high
        )
        assert seen[pixel] == pytest.approx(into_pixel / CELL / PIXEL, rel=1e-6, abs=1e-9)


def test_without_width_it_is_rebinning_by_overlap():
    rng = np.random.default_rng(1)
    flux = rng.uniform(size=FINE.size)
    cumulative = np.concatenate([[0.0], np.cumsum(flux * np.diff(cell_edges(FINE)))])
    expected = np.diff(np.interp(cell_edges(DETECTOR), cell_edges(FINE), cumulative)) / PIXEL
    for sigma in (0.0, 1e-7):  # the limit is continuous
        seen = detector_flux(FINE, jnp.asarray(flux), DETECTOR, lsf_sigma=sigma)
        np.testing.assert_allclose(seen, expected, rtol=1e-5)


def test_derivatives_are_finite_at_zero_width():
    def seen(sigma, rv_kms):
        return detector_flux(FINE, line(), DETECTOR, lsf_sigma=sigma, rv_kms=rv_kms) @ jnp.cos(DETECTOR)

    in_sigma, in_rv = jax.grad(seen, argnums=(0, 1))(0.0, 0.0)  # reverse: a singular dead branch gives NaN
    assert jnp.isfinite(in_sigma)
    assert jnp.isfinite(in_rv)


def test_velocity_moves_a_line_by_wave_v_over_c():
    for rv_kms in (-300.0, 25.0, 300.0):
        seen = detector_flux(FINE, line(), DETECTOR, lsf_sigma=SIGMA, rv_kms=rv_kms)
        centre = np.average(DETECTOR, weights=seen)
        assert centre - FINE[2000] == pytest.approx(FINE[2000] * rv_kms / 299792.458, abs=1e-6)


def test_it_is_linear_in_flux():
    rng = np.random.default_rng(2)
    first, second = jnp.asarray(rng.uniform(size=(2, FINE.size)))

    def seen(flux):
        return detector_flux(FINE, flux, DETECTOR, lsf_sigma=SIGMA, rv_kms=12.0)

    np.testing.assert_allclose(seen(2 * first - 3 * second), 2 * seen(first) - 3 * seen(second), atol=1e-12)


@pytest.mark.parametrize("name", ["lsf_sigma", "rv_kms"])
def test_derivatives_equal_central_differences(name):
    flux = jnp.asarray(smooth_spectrum(FINE, 0.8))

    def seen(value):
        return detector_flux(FINE, flux, DETECTOR, **({"lsf_sigma": SIGMA, "rv_kms": 20.0} | {name: value}))

    at, step = {"lsf_sigma": (SIGMA, 1e-4), "rv_kms": (20.0, 1e-2)}[name]
    slope = jax.jacfwd(seen)(at)
    difference = (seen(at + step) - seen(at - step)) / (2 * step)
    assert float(jnp.abs(slope).max()) > 1e-4
    np.testing.assert_allclose(slope, difference, atol=3e-6 * float(jnp.abs(slope).max()))


def test_reverse_and_forward_derivatives_in_flux_agree():
    flux = jnp.asarray(smooth_spectrum(FINE, 0.8))

    def seen(flux):
        return detector_flux(FINE, flux, DETECTOR, lsf_sigma=SIGMA, rv_kms=20.0)

    tangent = jnp.asarray(np.random.default_rng(3).normal(size=FINE.size))
    cotangent = jnp.asarray(np.random.default_rng(4).normal(size=DETECTOR.size))
    _, forward = jax.jvp(seen, (flux,), (tangent,))
    (backward,) = jax.vjp(seen, flux)[1](cotangent)
    assert float(forward @ cotangent) == pytest.approx(float(tangent @ backward), rel=1e-10)


def test_it_can_be_jitted_and_vmapped_over_width_and_velocity():
    flux = jnp.asarray(smooth_spectrum(FINE, 0.8))

    def seen(sigma, rv):
        return detector_flux(FINE, flux, DETECTOR, lsf_sigma=sigma, rv_kms=rv)

    many = jax.jit(jax.vmap(seen))(jnp.array([0.3, SIGMA]), jnp.array([-50.0, 50.0]))
    np.testing.assert_allclose(many[1], seen(SIGMA, 50.0), rtol=1e-7)


def test_float32_places_lines_as_float64_does():
    """float32 alone knows 8000 A to 0.0005 A, a thousandth of a pixel."""
    error = []
    for index in range(1990, 2010):
        with jax.enable_x64(False):
            seen = detector_flux(FINE, line(index).astype(jnp.float32), DETECTOR, lsf_sigma=SIGMA)
        assert seen.dtype == jnp.float32
        error.append(np.average(DETECTOR, weights=np.asarray(seen, np.float64)) - FINE[index])
    assert np.abs(error).max() < 2e-4 * PIXEL


def test_pixels_outside_the_input_are_nan_and_the_others_are_not():
    half = FINE[:2000]
    seen = np.asarray(detector_flux(half, jnp.ones(2000), DETECTOR, lsf_sigma=SIGMA))
    covered = cell_edges(DETECTOR)[1:] <= cell_edges(half)[-1]
    assert 0 < covered.sum() < DETECTOR.size
    np.testing.assert_allclose(seen[covered], 1.0, rtol=1e-12)
    assert np.isnan(seen[~covered]).all()


def test_a_traced_width_beyond_the_window_is_nan_and_a_known_one_is_not():
    def seen(sigma):
        return detector_flux(FINE, jnp.ones(FINE.size), DETECTOR, lsf_sigma=sigma)

    assert jnp.isnan(jax.jit(seen)(1.7)).all()
    np.testing.assert_allclose(seen(1.7), 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wave": FINE[::-1].copy()}, "increasing"),
        ({"detector_wave": np.array([8000.0])}, "increasing"),
        ({"lsf_sigma": -0.1}, "not negative"),
        ({"lsf_sigma": float("nan")}, "finite"),
    ],
)
def test_bad_arguments_are_named(change, words):
    arguments = {"wave": FINE, "flux": line(), "detector_wave": DETECTOR, "lsf_sigma": SIGMA} | change
    with pytest.raises(UsageError, match=words):
        detector_flux(**arguments)


def test_flux_of_another_length_is_refused():
    with pytest.raises((UsageError, TypeError)):  # TypeError: the annotations, which only tests check
        detector_flux(FINE, jnp.ones(3), DETECTOR, lsf_sigma=SIGMA)


def test_topping_up_in_quadrature_equals_direct_convolution():
    """Lines as wide as R = 10,000 taken to 1.6 A, against lines that have 1.6 A to begin with."""
    narrow_sigma = 8000.0 / 10_000 / FWHM_PER_SIGMA
    narrow = grid_of(FINE, smooth_spectrum(FINE, narrow_sigma, 0.3), resolving_power=10_000.0)
    seen = to_detector(narrow, detector_wave=DETECTOR, normalise=False)
    wide = detector_flux(FINE, jnp.asarray(smooth_spectrum(FINE, SIGMA, 0.3)), DETECTOR, lsf_sigma=0.0)
    assert 1 - float(wide.min()) > 0.2
    np.testing.assert_allclose(seen.flux[0], wide, atol=2e-3)  # the grid's width is R-fixed, not 0.8 A
    untouched = detector_flux(
        FINE, jnp.asarray(smooth_spectrum(FINE, narrow_sigma, 0.3)), DETECTOR, lsf_sigma=0.0
    )
    assert np.abs(seen.flux[0] - untouched).max() > 0.1


def test_a_grid_as_broad_as_the_detector_on_its_pixels_is_unchanged():
    rng = np.random.default_rng(5)
    spectra = rng.uniform(0.5, 1.0, size=(3, DETECTOR.size))
    grid = grid_of(DETECTOR, *spectra, resolving_power=4500.0)
    with pytest.warns(UserWarning, match="1.77 to 1.79 Å is used"):
        seen = to_detector(grid, detector_wave=DETECTOR, normalise=False)
    np.testing.assert_allclose(seen.flux, spectra, rtol=1e-9)


def test_every_node_equals_detector_flux_and_has_median_one_half():
    grid = grid_of(FINE, smooth_spectrum(FINE, 0.3, 0.1), smooth_spectrum(FINE, 0.9), resolving_power=2e4)
    grid = dataclasses.replace(grid, continuum=Factors(np.full_like(grid.flux, 2.0)))
    seen = to_detector(grid, detector_wave=DETECTOR, rv_kms=15.0)
    sigma = np.sqrt(1.6**2 - (DETECTOR / 2e4) ** 2) / FWHM_PER_SIGMA
    for node in range(2):
        flux = np.asarray(
            detector_flux(FINE, jnp.asarray(grid.flux[node]), DETECTOR, lsf_sigma=sigma, rv_kms=15.0)
        )
        # detector_flux leaves out 2e-9 of the kernel, to_detector 3e-12
        np.testing.assert_allclose(seen.flux[node], 0.5 * flux / np.median(flux), rtol=2e-9)
        assert seen.cont is not None
        np.testing.assert_allclose(seen.cont[node], 2.0 * 0.5 / np.median(flux), rtol=1e-10)
    assert seen.resolving_power == pytest.approx(DETECTOR.mean() / 1.6)


def test_scale_is_a_smooth_function_of_the_labels():
    """Medians that jitter from node to node do not enter: the scale follows the polynomial under them."""
    axes = (np.linspace(4000.0, 6000.0, 12), np.linspace(1.0, 5.0, 10))
    heat, gravity = np.meshgrid(-5040 / axes[0], axes[1], indexing="ij")
    jitter = np.random.default_rng(4).normal(size=heat.shape)
    line = np.exp(-0.5 * ((FINE - 7975.0) / 9.0) ** 2)  # moves the mean, not the median, and smoothly
    flux = (2 + heat + 0.1 * gravity**2)[..., None] * (1 - 0.2 * heat[..., None] * line)
    rough = np.where(np.arange(FINE.size) % 2, 1 + 0.002 * jitter[..., None], 1 - 0.002 * jitter[..., None])
    grid = make_grid(FINE, axes, flux * rough, ("T_eff", "log_g"), 5000.0, "test", "test")
    with pytest.warns(UserWarning, match="1.60 to 1.61 Å is used"):  # no kernel, which would blur the jitter
        seen = to_detector(grid, detector_wave=DETECTOR)
    np.testing.assert_allclose(np.median(seen.flux, axis=-1), 0.5, rtol=5e-3)
    assert np.abs(np.diff(seen.flux.mean(axis=-1), n=4, axis=0)).max() < 1e-4


def test_on_a_short_axis_too_the_scale_does_not_follow_single_nodes():
    """Five nodes whose medians alternate by 0.1 % about one mean: their scale is a parabola."""
    third = (FINE - DETECTOR[0] + PIXEL / 2) // (200 * PIXEL / 18) % 3 == 0  # six of eighteen equal stretches
    flux = 1 + 0.001 * np.where(third, 2, -1) * (-1.0) ** np.arange(5)[:, None]
    grid = make_grid(FINE, (np.arange(5.0),), flux, ("log_g",), 6000.0, "test", "test")
    seen = to_detector(grid, detector_wave=DETECTOR).flux
    np.testing.assert_allclose(np.median(seen, axis=-1), 0.5, rtol=2e-3)
    assert np.abs(np.diff(np.log(seen.mean(axis=-1)), n=3)).max() < 1e-4  # 8e-3 if every median were 0.5


def test_to_detector_is_the_same_in_either_precision():
    grid = grid_of(FINE, smooth_spectrum(FINE, 0.3, 0.1), resolving_power=2e4)
    with jax.enable_x64(False):
        single = to_detector(grid, detector_wave=DETECTOR)
    np.testing.assert_array_equal(single.flux, to_detector(grid, detector_wave=DETECTOR).flux)


def test_a_grid_that_does_not_cover_the_detector_is_refused_with_both_ranges():
    grid = grid_of(FINE, smooth_spectrum(FINE, 0.9))
    with pytest.raises(DataError, match=r"7100\.00-8850\.00 Å, found 79\d\d\.\d+-80\d\d\.\d+ Å"):
        to_detector(grid)


def test_a_peer_made_grid_goes_through(reference):
    from crlb.grids.grid_file import load_grid

    grid = load_grid(reference / "synspec_grid_coarse.h5")
    with pytest.warns(UserWarning, match="resolving power 5000 .* 1.60 to 1.77 Å is used"):
        seen = to_detector(grid)
    assert seen.flux.shape == (*grid.flux.shape[:-1], 4096)
    np.testing.assert_allclose(np.median(seen.flux, axis=-1), 0.5, rtol=5e-3)
    # R = 5000 is broader than 1.6 A beyond 8000 A: nothing is added there, and lines keep their depth.
    red = DETECTOR_WAVE > 8050.0
    before = grid.flux / np.median(grid.flux, axis=-1, keepdims=True)
    after = seen.flux / np.median(seen.flux, axis=-1, keepdims=True)
    np.testing.assert_allclose(after[..., red], before[..., red], rtol=0.02)


def test_nodes_never_seen_are_predicted_within_4e_3(reference):
    """99 % of the nodes of a coarse grid, each from its neighbours: median over pixels of the flux error."""
    from crlb.grids.grid_file import load_grid

    with pytest.warns(UserWarning, match="is used"):
        grid = to_detector(load_grid(reference / "synspec_grid_coarse.h5"))
    found = []
    for axis, nodes in enumerate(grid.axes):
        for left_out in range(1, len(nodes) - 1):
            emulator = make_emulator(grid.take(axis, np.delete(np.arange(len(nodes)), left_out)), rtol=1e-5)
            truth = grid.take(axis, [left_out])
            predicted = np.asarray(emulator.batch(jnp.asarray(truth.nodes)))
            error = np.abs(predicted / truth.flux.reshape(predicted.shape) - 1)
            found.append(np.median(error, axis=-1))
    assert np.percentile(np.concatenate(found), 99) < 4e-3  # 4.95e-3 if every node's own median is the scale
    assert np.median(np.concatenate(found)) < 6e-4  # 7.5e-4
