"""Nuisances against the instrument itself by finite differences, numpy's polynomials, and known answers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from numpy.polynomial.legendre import legval

from crlb.emulator import make_emulator
from crlb.errors import DataError, UsageError
from crlb.fisher import cramer_rao_bound, fisher_information, flux_jacobian
from crlb.grid import load_grid
from crlb.instrument import to_detector
from crlb.noise import snr, variance
from crlb.nuisance import instrument_derivatives, with_nuisances
from crlb.nuisance_effects import median_row, node_effects, node_fishers, nuisance_effects, nuisance_sets

from .toy import LABEL_NAMES, toy_grid

MODEL_WAVE = np.arange(8140.0, 8240.0, 0.15)
DETECTOR = np.arange(8150.0, 8230.0, 0.427)
AXES = (np.array([4000.0, 4700.0, 5500.0]), np.array([1.0, 2.5, 4.5]), np.array([-1.0, -0.3, 0.0]))
INSIDE = np.array([4500.0, 2.2, -0.4])
ALL = {"amplitude": True, "continuum": 3, "rv": True, "lsf": True}


@pytest.fixture(scope="module")
def grid():
    return toy_grid(MODEL_WAVE, AXES)


@pytest.fixture(scope="module")
def model(grid):
    with jax.enable_x64(True):
        return with_nuisances(grid, **ALL, detector_wave=DETECTOR, rtol=1e-10)


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
    slopes = np.asarray(flux_jacobian(plain, INSIDE)).T
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
    small = {"detector_wave": DETECTOR, "rtol": 1e-6}
    assert with_nuisances(grid, **small).label_names == LABEL_NAMES
    assert with_nuisances(grid, rv=True, **small).label_names == (*LABEL_NAMES, "rv_kms")
    tilted = with_nuisances(grid, continuum=2, **small)
    assert tilted.label_names == (*LABEL_NAMES, "continuum_1", "continuum_2")
    assert tilted(tilted.at_rest(INSIDE)).shape == DETECTOR.shape


def test_instrument_derivatives_of_a_gaussian_line_are_the_textbook_ones():
    """A Gaussian of width s in Å: d/dv = -(lambda/c) f', d/d fwhm = fwhm / 2.3548^2 f''."""
    wave, centre, s = np.arange(8170.0, 8215.0, 0.02), 8192.0, 2.0
    row = np.exp(-0.5 * ((wave - centre) / s) ** 2)
    pixels = np.arange(8180.0, 8205.0, 0.05)
    seen = instrument_derivatives(wave, row[None], pixels, lsf_fwhm=1.0, resolving_power=np.inf)
    total = s**2 + (1.0 / 2.354820045) ** 2
    x = pixels - centre
    profile = s / np.sqrt(total) * np.exp(-0.5 * x**2 / total)
    np.testing.assert_allclose(seen.flux[0], profile, atol=2e-4)
    slope = profile * x / total * pixels / 299792.458
    np.testing.assert_allclose(seen.d_rv_kms[0], slope, atol=2e-4 * slope.max())
    curvature = profile * (x**2 / total - 1) / total / 2.354820045**2
    np.testing.assert_allclose(seen.d_lsf_fwhm[0], curvature, atol=1e-3 * np.abs(curvature).max())


def test_free_width_needs_a_sharper_grid(grid):
    broad = dataclasses.replace(grid, resolving_power=5000.0)
    with pytest.raises(UsageError, match=r"a FWHM of 1.65 Å .* the instrument 1.6 Å; use a grid of higher"):
        with_nuisances(broad, lsf=True, detector_wave=DETECTOR)
    assert "rv_kms" in with_nuisances(broad, rv=True, detector_wave=DETECTOR).label_names
    with pytest.raises(UsageError, match=r"must stay below 3.53 Å"):
        with_nuisances(grid, lsf=True, lsf_fwhm=3.6, detector_wave=DETECTOR)


def test_bad_arguments_are_refused_in_words(grid, model):
    with pytest.raises(UsageError, match="order of 0 or more, found -1"):
        with_nuisances(grid, continuum=-1)
    with pytest.raises(DataError, match="needed the detector's range"):
        with_nuisances(grid)
    with pytest.raises(DataError, match="needed the detector's range"):
        instrument_derivatives(
            MODEL_WAVE, np.ones((1, MODEL_WAVE.size)), DETECTOR + 60, lsf_fwhm=1.6, resolving_power=2e4
        )
    with pytest.raises(UsageError, match=r"needed T_eff, log_g.* found 3 values"):
        model(INSIDE)
    with pytest.raises(UsageError, match="log_g must lie within the grid"):
        model(model.at_rest(np.array([4500.0, 9.0, -0.4])))


def test_outside_the_grid_is_nan_when_traced(model):
    assert np.isnan(jax.jit(model)(model.at_rest(np.array([4500.0, 9.0, -0.4])))).all()


def white(flux):
    return jnp.full((1, flux.size), 0.01**2)


def test_every_nuisance_raises_the_bound_and_all_together_most(model):
    nodes = model.emulator.nodes[::3]
    effects = node_effects(model, node_fishers(model, white, nodes), label="T_eff")
    assert list(effects) == ["none", "amplitude", "continuum 1", "continuum 3", "rv", "lsf", "all"]
    for name, effect in effects.items():
        assert effect.bound.shape == effect.schur_decay.shape == (9, 1)
        assert (effect.bound >= effects["none"].bound * (1 - 1e-9)).all(), name
        assert (effect.bound <= effects["all"].bound * (1 + 1e-9)).all(), name
        assert (effect.schur_decay > 0).all()
        assert (effect.schur_decay < 1).all()
    assert (effects["continuum 3"].bound > 1.01 * effects["none"].bound).all()


def test_batched_effects_equal_one_star_by_hand(model):
    nodes = np.stack([INSIDE] * 18)  # more than one chunk
    nodes[17, 1] = 3.1
    done = []
    fishers = node_fishers(model, white, nodes, advance=done.append)
    assert done == [16, 2]
    effect = node_effects(model, fishers, label="M_H", labels=("T_eff", "M_H"))["continuum 1"]
    vector = model.at_rest(nodes[17])
    columns = np.array([0, 2, 3, 4])
    design = np.asarray(flux_jacobian(model, vector))[:, columns] / 0.01
    covariance = np.linalg.inv(design.T @ design)
    np.testing.assert_allclose(effect.bound[17, 0], np.sqrt(covariance[1, 1]), rtol=1e-8)
    decay = 1 / (covariance[1, 1] * (design[:, 1] @ design[:, 1]))
    np.testing.assert_allclose(effect.schur_decay[17, 0], decay, rtol=1e-8)
    flux = model(vector)
    np.testing.assert_allclose(fishers.snr[17, 0], snr(flux, jnp.full_like(flux, 0.01)), rtol=1e-12)


def test_rows_follow_from_what_the_model_has(grid):
    bare = with_nuisances(grid, continuum=2, rv=True, detector_wave=DETECTOR, rtol=1e-6)
    assert nuisance_sets(bare) == {
        "none": (),
        "continuum 1": ("continuum_1",),
        "continuum 2": ("continuum_1", "continuum_2"),
        "rv": ("rv_kms",),
        "all": ("continuum_1", "continuum_2", "rv_kms"),
    }
    fishers = node_fishers(bare, white, bare.emulator.nodes[:1])
    with pytest.raises(UsageError, match="unknown label C_M: this grid has T_eff, log_g, M_H"):
        node_effects(bare, fishers, label="C_M")
    with pytest.raises(UsageError, match="labels must include log_g"):
        node_effects(bare, fishers, labels=("T_eff",))


def test_table_of_effects_holds_medians_over_nodes(builtin):
    axes = (AXES[0][:2], AXES[1][:2], AXES[2][:2])
    grid = toy_grid(np.arange(7080.0, 8870.0, 0.4), axes)
    rows = nuisance_effects(grid, builtin, [19.0, 21.0], lsf=False)
    assert [(row.nuisance, row.mag) for row in rows[-2:]] == [("all", 19.0), ("all", 21.0)]
    assert len(rows) == 12
    plain = make_emulator(to_detector(grid))

    @jax.jit
    def by_hand(node):
        flux = plain(node)
        noise = variance(flux, 21.0, builtin)
        fisher = fisher_information(flux_jacobian(plain, node), 1 / noise)
        return cramer_rao_bound(fisher)[1], snr(flux, jnp.sqrt(noise))

    expected = np.median([by_hand(node) for node in plain.nodes], axis=0)
    none = next(row for row in rows if (row.nuisance, row.mag) == ("none", 21.0))
    np.testing.assert_allclose([none.bound, none.snr], expected, rtol=1e-6)
    assert none.lost == 0


def test_a_node_without_a_bound_is_nan_here_and_unbounded_in_the_median(model):
    fishers = node_fishers(model, white, model.emulator.nodes[:3])
    rv = model.label_names.index("rv_kms")
    fishers.fisher[0, :, rv, :] = fishers.fisher[0, :, :, rv] = 0.0
    effects = node_effects(model, fishers)
    np.testing.assert_array_equal(np.isnan(effects["rv"].bound[:, 0]), [True, False, False])
    assert np.isfinite(effects["lsf"].bound).all()
    row = median_row("rv", 20.0, effects["rv"].bound[:, 0], effects["rv"].schur_decay[:, 0], np.ones(3))
    np.testing.assert_allclose(row.bound, effects["rv"].bound[1:, 0].max())
    np.testing.assert_allclose(row.schur_decay, effects["rv"].schur_decay[1:, 0].min())
    assert row.lost == 1


def test_reference_grid_gives_the_published_cost_of_a_free_continuum(reference):
    """White noise, SNR 7.1, interior nodes every 250 K and 0.5 dex; stated for a grid twice as fine."""
    grid = load_grid(reference / "synspec_grid_coarse.h5")
    model = with_nuisances(grid, amplitude=True, continuum=3)
    axes = np.arange(4250, 5751, 250.0), np.arange(1.5, 4.6, 0.5), np.array([-0.5, 0.0])
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    error = Partial(lambda flux: jnp.full((1, flux.size), (0.5 / 7.1) ** 2))
    effects = node_effects(model, node_fishers(model, error, nodes))
    found = {name: (np.median(e.bound), np.median(e.schur_decay)) for name, e in effects.items()}
    np.testing.assert_allclose(found["none"], (0.325, 0.78), rtol=0.1)
    np.testing.assert_allclose(found["continuum 3"], (0.513, 0.28), rtol=0.1)
