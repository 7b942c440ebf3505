"""What a network reads of spectra of unknown scale with lost pixels, against Gaussian conditioning."""

from dataclasses import replace

import numpy as np
import pytest

from specvit_jax.network.input_scaler import REST_REACH
from specvit_jax.network.standardise import fit_input_scaler
from specvit_jax.settings.config import DataConfig

N, N_PIX, K = 300, 60, 5
LOST = DataConfig(
    conditions="{lost: 0.05}", input_scaling="noise", preprocess="pca", components=K, n_scaling=N
)
FREE = replace(LOST, conditions="{scale: .inf, lost: 0.05}")


@pytest.fixture(scope="module")
def spectra():
    """Clean spectra of K directions, unit-noise-scaled noise that differs from pixel to pixel, a mask."""
    rng = np.random.default_rng(3)
    error = np.broadcast_to(0.05 * (1 + rng.uniform(size=N_PIX)), (N, N_PIX)).astype(np.float32)
    shapes = rng.normal(size=(K, N_PIX)) * 0.05 * np.array([4.0, 2.0, 1.0, 0.6, 0.3])[:, None]
    clean = (0.5 + rng.normal(size=(N, K)) @ shapes).astype(np.float32)
    noisy = (clean + error * rng.normal(size=clean.shape)).astype(np.float32)
    usable = (rng.uniform(size=clean.shape) > 0.3).astype(np.float32)
    return noisy, clean, error, usable


def dense(spectra, usable):
    """Mean of the components of every spectrum given its usable pixels, from the full covariance of them."""
    noisy, clean, error, _ = (np.asarray(array, np.float64) for array in spectra)
    scale = np.sqrt((error**2).mean(axis=0))
    x, centred = (noisy - clean.mean(axis=0)) / scale, (clean - clean.mean(axis=0)) / scale
    vectors = np.linalg.svd(centred, full_matrices=False)[2][:K].T
    covariance = vectors.T @ centred.T @ centred @ vectors / N
    found = []
    for row, mask in zip(x, usable > 0, strict=True):
        seen = vectors[mask]
        total = seen @ covariance @ seen.T + np.eye(mask.sum())
        found.append(covariance @ seen.T @ np.linalg.solve(total, row[mask]))
    return np.array(found), covariance


def test_components_of_spectra_with_lost_pixels_are_their_conditional_mean(spectra):
    noisy, clean, error, usable = spectra
    scaler = fit_input_scaler(noisy, clean, error, LOST)
    expected, _ = dense(spectra, usable)
    # The network's components are a fixed linear map of those: found from spectra without losses.
    whole, _ = dense(spectra, np.ones_like(usable))
    turn = np.linalg.lstsq(whole, np.asarray(scaler.encode(noisy)), rcond=None)[0]
    np.testing.assert_allclose(whole @ turn, scaler.encode(noisy), atol=2e-4)
    np.testing.assert_allclose(np.asarray(scaler.encode(noisy, usable)), expected @ turn, atol=2e-4)
    assert np.abs(np.asarray(scaler.encode(noisy, usable)) - np.asarray(scaler.encode(noisy))).max() > 0.1


def test_without_losses_a_mask_changes_nothing(spectra):
    noisy, clean, error, usable = spectra
    for data in (LOST, replace(FREE, noise_component=True, preprocess="zca")):
        scaler = fit_input_scaler(noisy, clean, error, data, level=np.ones(N_PIX))
        found = scaler.encode(noisy, np.ones_like(usable))
        np.testing.assert_allclose(found, scaler.encode(noisy), atol=2e-4)  # float32, Cholesky


@pytest.mark.parametrize("preprocess", ["none", "pca", "zca"])
def test_the_flux_of_a_lost_pixel_has_no_influence(spectra, preprocess):
    noisy, clean, error, usable = spectra
    data = replace(FREE, preprocess=preprocess, noise_component=preprocess != "none")
    scaler = fit_input_scaler(noisy, clean, error, data, usable=usable, level=np.arange(1.0, N_PIX + 1))
    spoilt = np.where(usable > 0, noisy, np.float32(np.nan))
    np.testing.assert_array_equal(scaler.encode(spoilt, usable), scaler.encode(noisy, usable))


def test_a_network_under_a_free_scale_does_not_see_the_scale(spectra):
    noisy, clean, error, usable = spectra
    data = replace(FREE, noise_component=True)
    scaler = fit_input_scaler(noisy, clean, error, data, usable=usable, level=np.arange(1.0, N_PIX + 1))
    expected = np.asarray(scaler.encode(noisy, usable))
    for factor in (2.0**-56, 8.0):  # exact in floating point
        np.testing.assert_array_equal(scaler.encode(np.float32(factor) * noisy, usable), expected)
    for factor in (1e-17, 0.3, 250.0):
        found = np.asarray(scaler.encode((factor * noisy).astype(np.float32), usable))
        np.testing.assert_allclose(found[:, :-1], expected[:, :-1], atol=1e-6 * np.abs(expected).max())
        # A small difference of large numbers in float32, divided by its small scatter.
        np.testing.assert_allclose(found[:, -1], expected[:, -1], atol=1e-4)


def test_more_lost_pixels_than_are_taken_out_at_once(spectra, monkeypatch):
    noisy, clean, error, usable = spectra
    scaler = fit_input_scaler(noisy, clean, error, LOST)
    expected = np.asarray(scaler.encode(noisy, usable))
    monkeypatch.setattr("specvit_jax.network.input_scaler.PIECE", 3)
    np.testing.assert_allclose(scaler.encode(noisy, usable), expected, atol=2e-5)


def test_the_noise_component_tells_the_noise(spectra):
    _, clean, error, usable = spectra
    rng = np.random.default_rng(4)
    level = np.exp(rng.uniform(-1, 1, size=N))
    noisy = (clean + level[:, None] * error * rng.normal(size=clean.shape)).astype(np.float32)
    scaler = fit_input_scaler(noisy, clean, error, replace(LOST, noise_component=True), usable=usable)
    found = np.asarray(scaler.encode(noisy, usable))[:, -1]
    assert np.corrcoef(found, np.log(level))[0, 1] > 0.97
    told = (np.asarray(scaler.log_rest(scaler.scaled(noisy, usable), usable)) - scaler.rest[0]) / scaler.rest[
        1
    ]
    assert abs(told.mean()) < 1e-3
    assert abs(told.std() - 1) < 1e-3
    np.testing.assert_allclose(found, np.clip(told, -REST_REACH, REST_REACH), atol=1e-4)
    # A constant row in whitened spectra: the same number in every pixel.
    zca = fit_input_scaler(noisy, clean, error, replace(LOST, preprocess="zca"), usable=usable)
    both = fit_input_scaler(
        noisy, clean, error, replace(LOST, preprocess="zca", noise_component=True), usable=usable
    )
    row = np.asarray(both.encode(noisy, usable)) - np.asarray(zca.encode(noisy, usable))
    np.testing.assert_allclose(row, np.repeat(found[:, None], N_PIX, axis=1), atol=1e-4)


@pytest.mark.parametrize(("factor", "end"), [(0.0, -REST_REACH), (0.01, -REST_REACH), (50.0, REST_REACH)])
def test_noise_beyond_that_of_the_training_counts_as_that_of_its_end(spectra, factor, end):
    _, clean, error, _ = spectra
    rng = np.random.default_rng(4)
    noise = error * rng.normal(size=clean.shape)
    level = np.exp(rng.uniform(-1, 1, size=N))[:, None]
    data = replace(LOST, noise_component=True)
    scaler = fit_input_scaler((clean + level * noise).astype(np.float32), clean, error, data)
    found = np.asarray(scaler.encode((clean + factor * noise).astype(np.float32)))[:, -1]
    assert np.abs(found).max() == REST_REACH
    assert (found == end).mean() > 0.8  # the others are so far from the mean that the prior holds them back


def test_noise_scaling_makes_components_the_least_squares_ones(spectra):
    """Whitened components span the same space as V^T x, V of the noise-scaled clean spectra."""
    noisy, clean, error, _ = spectra
    scaler = fit_input_scaler(noisy, clean, error, LOST)
    scale = np.sqrt((error.astype(np.float64) ** 2).mean(axis=0))
    shapes = np.linalg.svd((clean - clean.mean(axis=0)), full_matrices=False)[2][:K]
    design = (shapes / scale).T
    least = np.linalg.lstsq(design, ((noisy - clean.mean(axis=0)) / scale).T, rcond=None)[0].T
    found = np.asarray(scaler.encode(noisy))
    np.testing.assert_allclose(least @ np.linalg.lstsq(least, found, rcond=None)[0], found, atol=1e-3)
