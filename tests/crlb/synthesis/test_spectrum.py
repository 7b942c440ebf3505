"""The synthetic spectrum, and the grid made of it that ships with the package."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.grids.grid_file import default_grid_path, load_grid, load_slice
from crlb.synthesis import build, synthesize
from crlb.synthesis.spectrum import kernel_half_width, log_wave, smooth

TRIPLET = (8480.0, 8680.0)  # Å, around Ca II 8500, 8544, 8664 (vacuum)
WINDOW = log_wave(8535.0, 8550.0, 1.2e-5)
STAR = (4600.0, 2.3, -0.4, 0.1, 0.1)
NODES = ((5000.0, 1.0, 0.0), (4000.0, 4.5, 0.5), (6000.0, 3.0, -2.0))


@lru_cache(maxsize=1)
def embedded():
    return load_slice(default_grid_path())


@lru_cache(maxsize=2)
def window_flux(dtype):
    return jax.jit(lambda labels: synthesize(labels, WINDOW, dtype=dtype)[0])


def node_of(grid, labels):
    index = tuple(int(np.argmin(np.abs(axis - value))) for axis, value in zip(grid.axes, labels, strict=True))
    return grid.flux[index]


def equivalent_width(wave, flux, centre, half=20.0):
    near = np.abs(wave - centre) < half
    continuum = np.quantile(flux[(wave > TRIPLET[0]) & (wave < TRIPLET[1])], 0.95)
    return np.trapezoid(1.0 - flux[near] / continuum, wave[near])


@pytest.mark.slow
def test_jacobian_equals_central_differences_in_every_label():
    flux, labels = window_flux(jnp.float64), jnp.array(STAR)
    slopes = jax.jacfwd(lambda labels: synthesize(labels, WINDOW)[0])
    jacobian = np.asarray(jax.jit(slopes)(labels))
    for i, step in enumerate((0.5, 1e-3, 1e-3, 1e-3, 1e-3)):
        shift = jnp.zeros(5).at[i].set(step)
        difference = np.asarray(flux(labels + shift) - flux(labels - shift)) / (2.0 * step)
        assert np.abs(difference).max() > 0.0
        np.testing.assert_allclose(jacobian[:, i], difference, atol=1e-5 * np.abs(difference).max())


@pytest.mark.slow
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


def rebuilt(grid, nodes):
    """Wavelengths, spectra around the triplet computed anew, and where they lie in the grid."""
    first = int(np.searchsorted(grid.wave, TRIPLET[0]))
    low = build.WAVE_RANGE[0] * np.exp(build.SPACING * build.EVERY * first)
    wave, flux = build.node_spectra(nodes, wave_range=(low, TRIPLET[1]))
    np.testing.assert_allclose(wave, grid.wave[first : first + len(wave)], rtol=1e-9)
    return flux, slice(first, first + len(wave))


@pytest.mark.slow
def test_a_few_nodes_rebuild_to_what_the_shipped_file_holds():
    grid = embedded()
    flux, pixels = rebuilt(grid, np.array([(*node, 0.0, 0.0) for node in NODES]))
    for node, spectrum in zip(NODES, flux, strict=True):
        np.testing.assert_allclose(spectrum, node_of(grid, node)[pixels], rtol=1.2 * build.RTOL)


@pytest.mark.slow
def test_abundance_ratios_rebuild_where_computed_and_nearly_so_between():
    """Nodes at every second log g and metallicity are computed, the others interpolated and flagged."""
    nodes = np.array([(5000.0, 2.0, 0.0, 0.25, 0.5), (5000.0, 2.5, 0.25, 0.25, 0.5)])
    for node in nodes:
        grid = load_grid(default_grid_path(), {"a_M": node[3], "C_M": node[4]})
        flux, pixels = rebuilt(grid, node[None])
        at = [int(np.argmin(np.abs(x - y))) for x, y in zip(grid.axes, node[:3], strict=True)]
        filled = node[1] == 2.5
        assert bool(grid.filled[tuple(at)]) == filled
        tolerance = 1.2 * build.RTOL * build.RTOL_ELSEWHERE + 2e-3 * filled
        np.testing.assert_allclose(flux[0], node_of(grid, node[:3])[pixels], rtol=tolerance)


def test_shipped_grid_is_the_published_box_and_says_that_it_is_not_bosz():
    grid = embedded()
    assert default_grid_path().stat().st_size <= 8e6
    for axis, expected in zip(grid.axes, build.AXES, strict=False):
        np.testing.assert_allclose(axis, expected)
    assert grid.filled is not None
    assert not grid.filled.any()
    assert grid.source.startswith("NOT BOSZ")
    assert grid.resolving_power == 10000.0
    assert grid.wave[0] < 7090.0
    assert grid.wave[-1] > 8860.0
    assert np.diff(np.log(grid.wave)).max() < 1 / (3.0 * grid.resolving_power)


def test_a_small_build_computes_fills_flags_and_resumes(tmp_path, monkeypatch):
    """With spectra in closed form: exp of a polynomial in the labels, which the filling reproduces."""
    calls = []

    def spectra(labels, **settings):
        calls.append(len(labels))
        heat, gravity, metals, alpha, carbon = ((labels - [5000, 3, 0, 0, 0]) / [1000, 1, 1, 1, 1]).T
        exponent = heat + 0.1 * gravity * metals + alpha * (0.3 * gravity**2 - metals) + carbon * gravity
        wave = np.linspace(8000.0, 8001.0, 40)
        return wave, np.exp(0.1 * exponent[:, None] + 0.05 * np.sin(np.arange(40) * gravity[:, None]))

    monkeypatch.setattr(build, "node_spectra", spectra)
    axes = (
        np.array([4500.0, 5000.0]), np.arange(1.0, 5.1, 0.5), np.arange(-1.0, 0.6, 0.25),
        np.array([0.0, 0.4]), np.array([-0.2, 0.0]),
    )  # fmt: skip
    path = tmp_path / "grid.h5"
    built = build.build_grid(path, axes=axes, rtol=None)
    assert sum(calls) == 2 * 9 * 7 + 3 * 2 * 5 * 4
    assert built.filled.sum() == 3 * 2 * (9 * 7 - 5 * 4)
    expected = spectra(built.nodes)[1].reshape(built.flux.shape)
    np.testing.assert_allclose(built.flux, expected, rtol=1e-6)
    np.testing.assert_allclose(load_grid(path).flux, built.flux, rtol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["grid.h5"]
    again, calls[:] = tmp_path / "again.h5", []
    with monkeypatch.context() as patch:  # stopped when all is computed, before the file is written
        patch.setattr(build, "save_grid", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build.build_grid(again, axes=axes, rtol=None)
    before = sum(calls)
    build.build_grid(again, axes=axes, rtol=None)
    assert sum(calls) == before
    np.testing.assert_array_equal(load_grid(again).flux, load_grid(path).flux)


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
