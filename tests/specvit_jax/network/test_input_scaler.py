"""What a network reads of spectra of unknown scale with lost pixels, against Gaussian conditioning."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg

from specvit_jax.network.input_scaler import REST_REACH
from specvit_jax.network.standardise import SkyLeft, fit_input_scaler
from specvit_jax.settings.config import DataConfig

N, N_PIX, K = 300, 60, 5
LOST = DataConfig(
    conditions="{lost: 0.05}", input_scaling="noise", preprocess="pca", components=K, n_scaling=N
)
SKY = replace(LOST, conditions="{lost: 0.05, sky_left: 0.03}")
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


@pytest.fixture(scope="module")
def sky(spectra):
    """Three lines that cover half of the pixels, in some as strong as the noise; their pixels' covariance."""
    rng = np.random.default_rng(5)
    line = np.repeat([0, 0, 1, 1, 2, 2], N_PIX // 6)
    inside = np.repeat([1, 0, 1, 0, 1, 0], N_PIX // 6) * rng.uniform(0.2, 1.5, size=N_PIX)
    sigma = inside * spectra[2] * np.exp(0.3 * rng.normal(size=(N, 1)))
    left = np.sqrt((sigma**2).mean(axis=0)) / np.sqrt((spectra[2].astype(np.float64) ** 2).mean(axis=0))
    covariance = np.eye(N_PIX) + np.outer(left, left) * (line[:, None] == line)
    return SkyLeft(sigma.astype(np.float32), line), covariance


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_noise_with_a_sky_that_is_left_becomes_independent(spectra, sky, share):
    noisy, clean, error, _ = spectra
    scaler = fit_input_scaler(noisy, clean, error, SKY, sky=sky[0])
    usable = np.random.default_rng(6).uniform(size=N_PIX) >= share
    root = scipy.linalg.inv(scipy.linalg.sqrtm(sky[1][np.ix_(usable, usable)]))
    scale = np.sqrt((error.astype(np.float64) ** 2).mean(axis=0))
    expected = np.zeros(clean.shape)
    expected[:, usable] = ((noisy - clean.mean(axis=0, dtype=np.float64)) / scale)[:, usable] @ root
    masks = np.broadcast_to(usable, clean.shape).astype(np.float32)
    found = scaler.scaled(noisy, masks if share else None)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_components_know_that_the_sky_is_one_number_per_line(spectra, sky):
    """They are a linear map of the generalised least-squares ones, which have the least scatter."""
    noisy, clean, error, _ = spectra
    scaler = fit_input_scaler(noisy, clean, error, SKY, sky=sky[0])
    scale = np.sqrt((error.astype(np.float64) ** 2).mean(axis=0))
    mean = clean.mean(axis=0, dtype=np.float64)
    shapes = (np.linalg.svd(clean - mean, full_matrices=False)[2][:K] / scale).T
    weighted = np.linalg.solve(sky[1], shapes)
    least = np.linalg.solve(shapes.T @ weighted, weighted.T @ ((noisy - mean) / scale).T).T
    found = np.asarray(scaler.encode(noisy))
    left = np.linalg.lstsq(least, found, rcond=None)[1]
    assert (left < 1e-5 * (found**2).sum(axis=0)).all()
    independent = np.asarray(fit_input_scaler(noisy, clean, error, LOST).encode(noisy))
    assert (np.linalg.lstsq(least, independent, rcond=None)[1] > 1e-3 * (independent**2).sum(axis=0)).any()


@pytest.mark.parametrize("other", [{"preprocess": "none"}, {"input_scaling": "pixel"}])
def test_where_noise_is_not_the_unit_the_sky_counts_as_noise(spectra, sky, other):
    noisy, clean, error, _ = spectra
    data = replace(SKY, **other)
    scaler = fit_input_scaler(noisy, clean, error, data, sky=sky[0])
    expected = fit_input_scaler(noisy, clean, np.hypot(error, sky[0].sigma), data)
    assert scaler.sky is None
    np.testing.assert_array_equal(scaler.encode(noisy), expected.encode(noisy))


def test_without_losses_a_mask_changes_nothing(spectra, sky):
    noisy, clean, error, usable = spectra
    for data in (LOST, SKY, replace(FREE, noise_component=True, preprocess="zca")):
        scaler = fit_input_scaler(noisy, clean, error, data, level=np.ones(N_PIX), sky=sky[0])
        found = scaler.encode(noisy, np.ones_like(usable))
        np.testing.assert_allclose(found, scaler.encode(noisy), atol=2e-4)  # float32, Cholesky


@pytest.mark.parametrize("preprocess", ["none", "pca", "zca"])
def test_the_flux_of_a_lost_pixel_has_no_influence(spectra, sky, preprocess):
    noisy, clean, error, usable = spectra
    conditions = "{scale: .inf, lost: 0.05, sky_left: 0.03}"
    data = replace(FREE, conditions=conditions, preprocess=preprocess, noise_component=preprocess != "none")
    level = np.arange(1.0, N_PIX + 1)
    scaler = fit_input_scaler(noisy, clean, error, data, usable=usable, level=level, sky=sky[0])
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
