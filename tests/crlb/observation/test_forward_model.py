"""Emulator and noise as one object: what pixels are in use changes nothing about them; parts must fit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.bayes.posterior import Inference, Observations, posterior
from crlb.bayes.prior import make_prior
from crlb.bayes.ziv_zakai import spectral_distance
from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, UsageError
from crlb.fisher.field import difference_field, fisher_field
from crlb.fisher.matrix import cramer_rao_bound, fisher_information, flux_jacobian
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.build import forward_model
from crlb.observation.exposure import Exposure
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import snr, variance
from crlb.validation.leave_out import leave_out
from tests.crlb.conftest import MODEL_WAVE, SMALL_AXES
from tests.crlb.toy import toy_grid

MAG = 21.5


@pytest.fixture(scope="module")
def labels(thin_model) -> np.ndarray:
    low, high = thin_model.emulator.low, thin_model.emulator.high
    return low + 0.4 * (high - low)


@pytest.fixture(scope="module")
def halves(thin_model) -> tuple[ForwardModel, ForwardModel]:
    """Two models whose pixels, chosen at random, are together those of the arm."""
    chosen = np.random.default_rng(0).random(len(thin_model.wave)) < 0.3
    return thin_model.select(chosen), thin_model.select(~chosen)


def test_choosing_pixels_changes_nothing_about_those_that_stay(thin_model, labels):
    flux, error = thin_model.flux(labels), jnp.sqrt(thin_model.variance(labels, MAG))
    noisy, _ = thin_model.draw(jax.random.key(1), labels, MAG)
    rng, n = np.random.default_rng(2), len(thin_model.wave)
    for chosen in (rng.random(n) < 0.5, np.array([3, 5, 4, 200]), np.arange(100, 140)):
        part, rows = thin_model.select(chosen), np.arange(n)[np.sort(np.arange(n)[chosen])]
        np.testing.assert_array_equal(part.wave, np.asarray(thin_model.wave)[rows])
        np.testing.assert_allclose(part.flux(labels), flux[rows], rtol=1e-12)
        np.testing.assert_allclose(part.variance(labels, MAG), error[rows] ** 2, rtol=1e-12)
        np.testing.assert_allclose(part.snr(labels, MAG), snr(flux[rows], error[rows]), rtol=1e-12)
        np.testing.assert_allclose(part.draw(jax.random.key(1), labels, MAG)[0], noisy[rows], rtol=1e-12)


def test_a_choice_within_a_choice_is_one_of_the_arm(thin_model, labels):
    low, high = np.asarray(thin_model.wave)[[40, 120]]
    part = thin_model.within(low, high).select(np.arange(10, 20))
    np.testing.assert_array_equal(part.flux(labels), thin_model.flux(labels)[50:60])
    with pytest.raises(UsageError, match=r"lie within 0..9, found 3..10"):
        part.select(np.array([3, 10]))
    with pytest.raises(UsageError, match="at least one set"):
        part.select(np.zeros(10, bool))
    with pytest.raises(UsageError, match="at least two of the pixels"):
        part.within(8849.0, 8850.0)


@pytest.mark.parametrize("variance_term", [True, False])
def test_information_of_complementary_pixels_adds_up(thin_model, halves, labels, variance_term):
    options = {"variance_term": variance_term}
    whole, *parts = (
        fisher_field(model, [18.0, MAG], labels[None], **options) for model in (thin_model, *halves)
    )
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-10)
    whole, *parts = (difference_field(model, [MAG], **options) for model in (thin_model, *halves))
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-9, atol=1e-12 * np.abs(whole).max())


def test_squared_distances_of_complementary_pixels_add_up(thin_model, halves, labels):
    other = labels * np.array([1.02, 1.1, 0.9])
    whole, *parts = (
        spectral_distance(model, [MAG])(labels[None], other[None]) for model in (thin_model, *halves)
    )
    np.testing.assert_allclose(np.sqrt(sum(part**2 for part in parts)), whole, rtol=1e-9)


def test_the_posterior_of_a_choice_is_that_of_a_mask(thin_model, halves, labels):
    model, key = halves[0], jax.random.key(3)
    flux = np.asarray(thin_model.draw(jax.random.key(4), labels, 20.0)[0])[None]
    prior = make_prior(thin_model.emulator.low, thin_model.emulator.high, thin_model.label_names)
    usable = np.zeros(flux.shape, bool)
    usable[:, np.asarray(model.pixels)] = True
    asked = {"key": key, "inference": Inference(target_ess=64.0, n_templates=1024, n_points=128)}
    masked = posterior(Observations(flux, np.array([20.0]), usable), thin_model, prior, **asked)
    chosen = posterior(Observations(flux[usable][None], np.array([20.0])), model, prior, **asked)
    np.testing.assert_allclose(chosen.mean, masked.mean, rtol=1e-9)
    np.testing.assert_allclose(chosen.sigma, masked.sigma, rtol=1e-9)


def test_emulator_and_noise_of_different_pixels_are_refused(thin_model, builtin):
    with pytest.raises(DataError, match=r"same pixels.* found 256 pixels .* and 4096 pixels"):
        ForwardModel(thin_model.emulator, builtin)
    moved = dataclasses.replace(thin_model.noise, wave=thin_model.noise.wave + 0.1)
    with pytest.raises(DataError, match="emulator and noise must be on the same pixels"):
        ForwardModel(thin_model.emulator, moved)
    with pytest.raises(DataError, match="grid and noise must be on the same pixels"):
        leave_out(toy_grid(np.asarray(thin_model.wave)), moved, [20.0], 3)


def test_noise_twice_as_strong_doubles_every_bound(thin_model, labels):
    bounds = [
        cramer_rao_bound(fisher_field(model, [20.0], labels[None], variance_term=False)[0, 0])
        for model in (thin_model, thin_model.with_noise_level(2.0))
    ]
    np.testing.assert_allclose(bounds[1], 2 * bounds[0], rtol=1e-9)
    with pytest.raises(UsageError, match="noise_level must be positive"):
        thin_model.with_noise_level(0.0)


def test_an_exposure_is_that_of_the_noise(thin_model, labels):
    short = thin_model.with_exposure(Exposure(n_exp=3))
    expected = variance(thin_model.flux(labels), MAG, thin_model.noise.with_exposure(Exposure(n_exp=3)))
    np.testing.assert_array_equal(short.variance(labels, MAG), expected)
    assert (short.exposure.n_exp, thin_model.exposure.n_exp) == (3, 12)


def test_a_model_is_a_pytree_of_numbers(halves, labels):
    model = halves[0]
    seen = jax.jit(lambda model, labels: model.snr(labels, MAG))(model, labels)
    np.testing.assert_allclose(seen, model.snr(labels, MAG), rtol=1e-12)
    twice = jax.tree.map(lambda x: x, model)
    assert (twice.instrument, twice.label_names) == (model.instrument, model.label_names)
    assert model.astype(jnp.float32).flux(labels).dtype == jnp.float32


def small_grid(low: float = 0.0, high: float = np.inf) -> SpectralGrid:
    return toy_grid(MODEL_WAVE[(low <= MODEL_WAVE) & (high >= MODEL_WAVE)], SMALL_AXES)


def test_a_range_of_wavelengths_leaves_scale_and_magnitude_those_of_the_arm(builtin):
    star = np.array([4500.0, 2.5, -0.7])
    arm = forward_model(small_grid(), builtin)
    for low, high in ((8400.0, 8750.0), (7500.0, 8849.0)):
        part = forward_model(small_grid(), builtin, wave_range=(low, high))
        inside = (low <= DETECTOR_WAVE) & (high >= DETECTOR_WAVE)
        np.testing.assert_allclose(part.flux(star), arm.flux(star)[inside], rtol=1e-6)
        np.testing.assert_allclose(part.variance(star, MAG), arm.variance(star, MAG)[inside], rtol=1e-6)


def test_where_a_grid_does_not_reach_the_arm_the_convention_is_said_and_is_one(builtin):
    star, grid = np.array([4500.0, 2.5, -0.7]), small_grid(7990.0)
    with pytest.raises(DataError, match="--wave-range"):
        forward_model(grid, builtin)
    with pytest.raises(DataError, match=r"the grid covers 7990.* not all of 7900 to 8500"):
        forward_model(grid, builtin, wave_range=(7900.0, 8500.0))
    with pytest.warns(UserWarning, match=r"the grid reaches 7990.* means over that part"):
        wide = forward_model(grid, builtin, wave_range=(8002.0, 8849.0))
    with pytest.warns(UserWarning, match="the grid reaches"):
        narrow = forward_model(grid, builtin, wave_range=(8400.0, 8750.0))
    common = np.isin(np.asarray(wide.wave), np.asarray(narrow.wave))
    np.testing.assert_allclose(narrow.flux(star), wide.flux(star)[common], rtol=1e-6)
    np.testing.assert_allclose(narrow.variance(star, MAG), wide.variance(star, MAG)[common], rtol=1e-6)
    said = narrow.describe()
    assert said["lsf_fwhm_used"] == [1.6, 1.6]
    assert "the part of the arm that the grid reaches" in said["magnitude"]
    assert said["pixels"]["n"] == len(narrow.wave)


def test_one_star_has_the_bound_of_its_fisher_matrix_in_any_precision(builtin):
    model = forward_model(small_grid(), builtin)
    labels = {"T_eff": 4500.0, "log_g": 2.5, "M_H": -0.7}
    vector = np.array(list(labels.values()))
    var = model.variance(vector, MAG)
    told = flux_jacobian(lambda x: model.variance(x, MAG), vector)
    expected = cramer_rao_bound(fisher_information(flux_jacobian(model.flux, vector), 1 / var, told))
    with jax.enable_x64(False):
        star = model.star(mag=MAG, **labels)
        found = [star.fisher().bound(name) for name in labels]
        ratio = star.snr
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(ratio, model.snr(vector, MAG), rtol=1e-12)
    with pytest.raises(UsageError, match="a_M is not free in this model"):
        model.star(mag=MAG, a_M=0.1, **labels)
    with pytest.raises(UsageError, match="log_g is missing"):
        model.star(mag=MAG, T_eff=4500.0, M_H=-0.7)
    with pytest.raises(UsageError, match="T_eff must lie within the grid"):
        model.star(mag=MAG, **labels | {"T_eff": 9000.0})
