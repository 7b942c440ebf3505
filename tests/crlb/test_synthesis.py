"""The synthetic spectrum, and the grid made of it that ships with the package."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.grid import default_grid_path, load_grid
from crlb.synthesis import build, synthesize
from crlb.synthesis.spectrum import kernel_half_width, log_wave, smooth

TRIPLET = (8480.0, 8680.0)  # Å, around Ca II 8500, 8544, 8664 (vacuum)
WINDOW = log_wave(8535.0, 8550.0, 1.2e-5)
STAR = (4600.0, 2.3, -0.4, 0.1, 0.1)
# compiling costs more than running here, so the compiler is told not to try hard
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
NODES = ((5000.0, 1.0, 0.0), (4000.0, 4.5, 0.5), (6000.0, 3.0, -2.0))


@lru_cache(maxsize=1)
def embedded():
    return load_grid(default_grid_path())


@lru_cache(maxsize=2)
def window_flux(dtype):
    return jax.jit(lambda labels: synthesize(labels, WINDOW, dtype=dtype)[0], compiler_options=QUICK)


def node_of(grid, labels):
    index = tuple(int(np.argmin(np.abs(axis - value))) for axis, value in zip(grid.axes, labels, strict=True))
    return grid.flux[index]


def equivalent_width(wave, flux, centre, half=20.0):
    near = np.abs(wave - centre) < half
    continuum = np.quantile(flux[(wave > TRIPLET[0]) & (wave < TRIPLET[1])], 0.95)
    return np.trapezoid(1.0 - flux[near] / continuum, wave[near])


def test_jacobian_equals_central_differences_in_every_label():
    flux, labels = window_flux(jnp.float64), jnp.array(STAR)
    slopes = jax.jacfwd(lambda labels: synthesize(labels, WINDOW)[0])
    jacobian = np.asarray(jax.jit(slopes, compiler_options=QUICK)(labels))
    for i, step in enumerate((0.5, 1e-3, 1e-3, 1e-3, 1e-3)):
        shift = jnp.zeros(5).at[i].set(step)
        difference = np.asarray(flux(labels + shift) - flux(labels - shift)) / (2.0 * step)
        assert np.abs(difference).max() > 0.0
        np.testing.assert_allclose(jacobian[:, i], difference, atol=1e-5 * np.abs(difference).max())


def test_float32_opacities_change_the_flux_by_less_than_a_thousandth():
    double, single = (window_flux(dtype)(jnp.array(STAR)) for dtype in (jnp.float64, jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, double, rtol=1e-3)


def test_smoothing_gives_a_delta_line_the_width_of_the_resolving_power_and_keeps_its_area():
    step, resolving_power = 1e-6, 20000.0
    wave = log_wave(8000.0, 8040.0, step)
    flux = jnp.zeros(len(wave)).at[len(wave) // 2].set(1.0)
    seen = np.asarray(smooth(flux, resolving_power, step, 1))
    half = kernel_half_width(resolving_power, step)
    centre = wave[half : len(wave) - half]
    assert seen.shape == centre.shape
    assert seen.sum() == pytest.approx(1.0, rel=1e-6)
    above = centre[seen > 0.5 * seen.max()]
    assert above[-1] - above[0] == pytest.approx(8020.0 / resolving_power, abs=3 * 8020.0 * step)


def test_a_few_nodes_rebuild_to_what_the_shipped_file_holds():
    grid = embedded()
    first = int(np.searchsorted(grid.wave, TRIPLET[0]))
    low = build.WAVE_RANGE[0] * np.exp(build.STEP * build.EVERY * first)
    labels = np.array([(*node, 0.0, 0.0) for node in NODES])
    wave, flux = build.node_spectra(labels, wave_range=(low, TRIPLET[1]))
    np.testing.assert_allclose(wave, grid.wave[first : first + len(wave)], rtol=1e-9)
    for node, spectrum in zip(NODES, flux, strict=True):
        shipped = node_of(grid, node)[first : first + len(wave)]
        np.testing.assert_allclose(spectrum, shipped, rtol=1.2 * build.RTOL)


def test_shipped_grid_is_the_published_box_and_says_that_it_is_not_bosz():
    grid = embedded()
    assert default_grid_path().stat().st_size <= 8e6
    for axis, expected in zip(grid.axes, build.AXES, strict=True):
        np.testing.assert_allclose(axis, expected)
    assert grid.source.startswith("NOT BOSZ")
    assert grid.resolving_power == 20000.0
    assert grid.wave[0] < 7098.0
    assert grid.wave[-1] > 8852.0
    assert np.diff(np.log(grid.wave)).max() < 1 / (2.0 * grid.resolving_power)


def test_calcium_triplet_weakens_from_giants_to_subgiants_and_with_metallicity():
    grid = embedded()
    widths = [equivalent_width(grid.wave, node_of(grid, (5000.0, g, 0.0)), 8544.4) for g in (1.0, 2.0, 3.0)]
    assert widths[0] > 1.2 * widths[1] > 1.2 * 1.1 * widths[2]
    poor = equivalent_width(grid.wave, node_of(grid, (5000.0, 1.0, -2.0)), 8544.4)
    assert 0.0 < poor < 0.5 * widths[0]


def test_flux_of_cool_stars_is_below_that_of_hot_stars_at_every_wavelength():
    flux = embedded().flux
    assert (np.diff(np.median(flux, axis=-1), axis=0) > 0.0).all()


def test_building_refuses_to_replace_a_file_before_it_starts_work(tmp_path):
    path = tmp_path / "grid.h5"
    path.write_text("precious")
    with pytest.raises(OSError, match="exists already"):
        build.build_grid(path)
    assert path.read_text() == "precious"
