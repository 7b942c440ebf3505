"""The emulator on the data's own pixels: against the instrument, closed forms, and finite differences."""

import dataclasses

import jax
import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE, FWHM_PER_SIGMA, SPEED_OF_LIGHT_KMS, cell_edges
from crlb.errors import DataError, UsageError
from crlb.files.observed import Observed, Origin
from crlb.grids.emulator import make_emulator
from crlb.observation.instrument import smooth_median, to_detector
from crlb.observation.kernel import pixel_kernel
from crlb.observation.pixels import before_instrument, on_observed, on_pixels
from tests.crlb.conftest import MODEL_WAVE, SMALL_AXES
from tests.crlb.toy import toy_grid

EDGES = cell_edges(DETECTOR_WAVE)
LOW, HIGH = EDGES[:-1], EDGES[1:]
INSIDE = np.array([4500.0, 2.2, -0.8])


@pytest.fixture(scope="module")
def grid():
    return toy_grid(MODEL_WAVE, SMALL_AXES)


@pytest.fixture(scope="module")
def fine(grid):
    with jax.enable_x64(True):
        return before_instrument(grid, rtol=1e-10)


def test_on_the_detectors_pixels_it_is_the_instruments_emulator(grid, fine):
    seen = on_pixels(fine, LOW, HIGH, fwhm=1.6)
    plain = make_emulator(to_detector(grid), rtol=1e-10)
    assert seen.covered.all()
    np.testing.assert_allclose(seen.emulator(INSIDE), plain(INSIDE), rtol=1e-7)
    np.testing.assert_allclose(seen.fwhm_used, 1.6)


@pytest.mark.parametrize("rv_kms", [-60.0, 130.0])
@pytest.mark.parametrize("width", [0.9, 1.9])
def test_moving_and_blurred_every_node_is_what_the_instrument_makes_of_it(grid, fine, rv_kms, width):
    pixels = DETECTOR_WAVE[200:3800:4]
    edges = cell_edges(pixels)
    seen = on_pixels(fine, edges[:-1], edges[1:], fwhm=width, rv_kms=rv_kms)
    moved = to_detector(grid, detector_wave=pixels, lsf_fwhm=width, rv_kms=rv_kms, normalise=False)
    scale = 0.5 / smooth_median(to_detector(grid, normalise=False).spectra, grid)  # that of the star at rest
    nodes = grid.nodes.reshape(*scale.shape, -1)
    for at in ((0, 0, 0), (1, 2, 1), (2, 1, 0)):
        found = seen.emulator(nodes[at])
        np.testing.assert_allclose(found, moved.flux[at] * scale[at], rtol=1e-7)


def test_pixels_in_any_order_with_gaps_and_overlaps_are_seen_one_by_one(fine):
    whole = on_pixels(fine, LOW, HIGH, fwhm=1.6, rv_kms=20.0)
    chosen = np.random.default_rng(1).integers(0, LOW.size, 500)
    some = on_pixels(fine, LOW[chosen], HIGH[chosen], fwhm=1.6, rv_kms=20.0)
    np.testing.assert_allclose(some.emulator.basis, np.asarray(whole.emulator.basis)[:, chosen], rtol=1e-12)
    np.testing.assert_allclose(some.d_rv_kms, np.asarray(whole.d_rv_kms)[:, chosen], rtol=1e-12, atol=1e-15)


def test_adjoining_pixels_conserve_flux_whatever_their_widths(fine):
    rng = np.random.default_rng(2)
    cuts = np.sort(np.concatenate([[7200.0, 8700.0], rng.uniform(7200.0, 8700.0, 300)]))
    many = on_pixels(fine, cuts[:-1], cuts[1:], fwhm=2.0, rv_kms=50.0)
    one = on_pixels(fine, cuts[:1], cuts[-1:], fwhm=2.0 * 7950 / cuts.mean(), rv_kms=50.0)
    light = np.asarray(many.emulator(INSIDE)) @ np.diff(cuts)
    np.testing.assert_allclose(light, float(one.emulator(INSIDE)[0]) * 1500.0, rtol=1e-6)


def test_a_delta_line_gets_the_widths_of_kernel_pixel_and_cell():
    wave = np.arange(8000.0, 8100.0, 0.1)
    row = np.zeros(wave.size)
    row[500] = 1.0
    edges = np.arange(8020.0, 8080.0, 0.37)
    middle, n = (edges[1:] + edges[:-1]) / 2, edges.size - 1
    for v in (0.0, 200.0):
        seen = pixel_kernel(wave, edges[:-1], edges[1:], np.full(n, 1.1), v).weights @ row
        stretch = 1 + v / SPEED_OF_LIGHT_KMS
        centre = np.average(middle, weights=seen)
        variance = np.average((middle - centre) ** 2, weights=seen)
        np.testing.assert_allclose(centre, wave[500] * stretch, rtol=1e-10)
        np.testing.assert_allclose(variance, 1.1**2 + (0.37**2 + (0.1 * stretch) ** 2) / 12, rtol=1e-6)
        np.testing.assert_allclose(seen.sum() * 0.37, 0.1 * stretch, rtol=1e-9)


@pytest.mark.parametrize("width", [0.0, 2.0])
def test_derivative_by_velocity_is_the_finite_difference(fine, width):
    low, high = np.arange(7090.0, 8855.0, 0.93), np.arange(7090.0, 8855.0, 0.93) + 1.3
    seen = {v: on_pixels(fine, low, high, fwhm=width, rv_kms=v) for v in (30.0, 29.999, 30.001)}
    both = seen[29.999].covered & seen[30.001].covered & seen[30.0].covered
    difference = (np.asarray(seen[30.001].emulator.basis) - np.asarray(seen[29.999].emulator.basis)) / 0.002
    found = np.asarray(seen[30.0].d_rv_kms)
    np.testing.assert_allclose(found[:, both], difference[:, both], atol=1e-5 * np.abs(difference).max())
    assert (found[:, ~seen[30.0].covered] == 0).all()


def test_a_flat_spectrum_stays_flat_at_any_velocity_up_to_the_ends():
    wave = np.arange(8000.0, 8020.0, 0.1)
    edges = np.arange(8000.0, 8019.0, 0.5)
    kernel = pixel_kernel(wave, edges[:-1], edges[1:], np.full(edges.size - 1, 1.5), 7.0)
    np.testing.assert_allclose(kernel.weights.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(kernel.d_rv_kms.sum(axis=1), 0.0, atol=1e-15)


def test_the_width_is_the_datas_or_the_grids_where_that_is_broader(fine):
    own = DETECTOR_WAVE / 15000
    asked = np.where(DETECTOR_WAVE < 8000, 0.3, 2.5)
    seen = on_pixels(fine, LOW, HIGH, fwhm=asked)
    np.testing.assert_allclose(seen.fwhm_used, np.maximum(asked, own))
    sharp = on_pixels(fine, LOW, HIGH, fwhm=0.0)
    left = DETECTOR_WAVE < 8000
    np.testing.assert_array_equal(
        np.asarray(seen.emulator.basis)[:, left], np.asarray(sharp.emulator.basis)[:, left]
    )


def test_pixels_outside_the_grid_are_zero_and_said(fine):
    wave = np.arange(7000.0, 8900.0, 2.0)
    edges, v, width = cell_edges(wave), 100.0, 6.0
    seen = on_pixels(fine, edges[:-1], edges[1:], fwhm=width, rv_kms=v)
    reach = 3 * np.sqrt(width**2 - (wave / 15000) ** 2) / FWHM_PER_SIGMA
    stretch, ends = 1 + v / SPEED_OF_LIGHT_KMS, cell_edges(MODEL_WAVE)[[0, -1]]
    expected = ((edges[:-1] - reach) / stretch >= ends[0]) & ((edges[1:] + reach) / stretch <= ends[1])
    np.testing.assert_array_equal(seen.covered, expected)
    assert 0 < expected.sum() < expected.size
    assert (np.asarray(seen.emulator.basis)[:, ~expected] == 0).all()
    assert np.isnan(seen.fwhm_used[~expected]).all()
    assert not on_pixels(fine, edges[:-1] + 3000, edges[1:] + 3000, fwhm=width).covered.any()


def test_a_width_that_is_no_number_and_a_pixel_without_extent_are_not_covered(fine):
    low, high = np.array([8000.0, 8001.0, 8002.0, 0.0]), np.array([8001.0, 8002.0, 8003.0, 0.0])
    seen = on_pixels(fine, low, high, fwhm=np.array([1.0, np.nan, np.inf, 1.0]))
    np.testing.assert_array_equal(seen.covered, [True, False, False, False])


def test_pixels_at_a_gap_of_the_grid_are_not_covered(fine):
    keep = (MODEL_WAVE < 8000) | (MODEL_WAVE > 8010)
    holed = dataclasses.replace(fine, basis=fine.basis[:, keep], wave=MODEL_WAVE[keep])
    wave = np.arange(7900.0, 8100.0, 1.0)
    seen = on_pixels(holed, wave, wave + 1, fwhm=0.0)
    np.testing.assert_array_equal(seen.covered, (wave + 1 <= 7999.61) | (wave >= 8010.39))


def test_an_observed_spectrum_gives_pixels_and_widths(fine):
    one, two = np.arange(7200.0, 8000.0, 0.8), 7900.0 * np.exp(np.arange(1000) * 1e-4)
    wave = np.concatenate([one, two])
    segment = np.repeat([0, 1], [one.size, two.size])
    power = np.where(segment == 0, 3000.0, 0.0)
    power[segment == 1] = 5000.0
    observed = Observed(
        wave, np.ones(wave.size), np.ones(wave.size), Origin("star.fits", "test"),
        resolving_power=power, segment=segment,
    )  # fmt: skip
    seen = on_observed(fine, observed, rv_kms=10.0)
    np.testing.assert_allclose(seen.fwhm_used[seen.covered], (wave / power)[seen.covered])
    edges = cell_edges(two)
    direct = on_pixels(fine, edges[:-1], edges[1:], fwhm=two / 5000, rv_kms=10.0)
    np.testing.assert_array_equal(
        np.asarray(seen.emulator.basis)[:, segment == 1], np.asarray(direct.emulator.basis)
    )
    broad = on_observed(fine, observed, fwhm=7.0)
    assert np.unique(broad.fwhm_used[broad.covered]) == [7.0]
    silent = dataclasses.replace(observed, resolving_power=None)
    with pytest.raises(UsageError, match=r"star.fits: needed the resolving power.*--resolving-power"):
        on_observed(fine, silent)
    np.testing.assert_array_equal(on_observed(fine, silent, fwhm=7.0).covered, broad.covered)


def test_a_grid_of_part_of_the_arm_is_scaled_over_that_part(grid):
    part = before_instrument(grid.cut(8300.0, 8700.0), rtol=1e-10)
    seen = np.asarray(part(np.array([4750.0, 2.5, -1.0])))
    assert np.median(seen) == pytest.approx(0.5, rel=0.01)


def test_a_grid_elsewhere_is_refused_in_words(grid):
    elsewhere = dataclasses.replace(grid, wave=grid.wave + 5000)
    with pytest.raises(DataError, match="needed spectra that reach the arm, 7100 to 8850 Å"):
        before_instrument(elsewhere)
