"""Scaling of labels; standardisation and whitening of spectra."""

from dataclasses import replace

import numpy as np
import pytest

from crlb.errors import DataError, UsageError
from specvit_jax.network.standardise import fit_input_scaler, fit_label_scaler
from specvit_jax.settings.config import DataConfig

N, N_PIX, K = 400, 24, 5
RNG = np.random.default_rng(0)
# Spectra that differ in three directions, under noise that grows along the arm and with the flux.
CLEAN = (0.5 + RNG.normal(size=(N, 3)) * [0.3, 0.2, 0.1] @ RNG.normal(size=(3, N_PIX))).astype(np.float32)
ERROR = (np.linspace(0.1, 0.5, N_PIX) * (1 + 0.3 * np.abs(CLEAN))).astype(np.float32)


def drawn(seed: int, times: int = 1) -> np.ndarray:
    """Noisy spectra, each clean one observed so many times."""
    clean, error = np.tile(CLEAN, (times, 1)), np.tile(ERROR, (times, 1))
    return clean + error * np.random.default_rng(seed).standard_normal(clean.shape, np.float32)


def fit(**changes):
    data = replace(DataConfig(components=K), **changes)
    return fit_input_scaler(drawn(1), CLEAN, ERROR, data)


# --- labels

LABELS = RNG.normal([3.0, 5000.0], [1.2, 600.0], (50, 2)).astype(np.float32)


def test_minmax_brings_labels_to_the_unit_interval():
    scaled = fit_label_scaler(LABELS, "minmax").encode(LABELS)
    np.testing.assert_allclose(scaled.min(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(scaled.max(axis=0), 1.0, atol=1e-6)


def test_zscore_brings_labels_to_mean_zero_and_deviation_one():
    scaled = fit_label_scaler(LABELS, "zscore").encode(LABELS)
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, rtol=1e-5)


def test_without_scaling_labels_keep_their_units():
    scaler = fit_label_scaler(LABELS, "none")
    np.testing.assert_array_equal(scaler.encode(LABELS), LABELS)
    np.testing.assert_array_equal(scaler.decode(LABELS), LABELS)


@pytest.mark.parametrize("scaling", ["zscore", "minmax", "none"])
def test_labels_beyond_those_at_hand_come_back(scaling):
    scaler, beyond = fit_label_scaler(LABELS, scaling), np.array([[-4.0, 9000.0]], np.float32)
    np.testing.assert_allclose(scaler.decode(scaler.encode(beyond)), beyond, rtol=1e-5)


def test_labels_that_do_not_vary_are_refused_unless_they_keep_their_units():
    still = np.ones((5, 1), np.float32)
    for scaling in ("zscore", "minmax"):
        with pytest.raises(UsageError, match="must vary"):
            fit_label_scaler(still, scaling)
    assert fit_label_scaler(still, "none").scale == 1.0
    with pytest.raises(ValueError, match="label_scaling"):
        fit_label_scaler(still, "log")


# --- standardisation


def test_every_pixel_gets_mean_zero_and_deviation_one():
    x = fit(input_scaling="pixel").encode(drawn(1))
    np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=0), 1.0, rtol=1e-5)


def test_overall_scaling_is_one_affine_map_for_all_pixels():
    scaler = fit(input_scaling="overall")
    assert len(np.unique(scaler.mean)) == len(np.unique(scaler.scale)) == 1
    x = scaler.encode(drawn(1))
    assert (np.mean(x), np.std(x)) == pytest.approx((0.0, 1.0), abs=1e-5)


def test_without_scaling_spectra_stay_as_they_are():
    np.testing.assert_array_equal(fit(input_scaling="none").encode(drawn(1)), drawn(1))


def test_a_pixel_that_does_not_vary_is_refused():
    noisy = drawn(1)
    noisy[:, 3] = 0.5
    with pytest.raises(DataError, match="pixel 3"):
        fit_input_scaler(noisy, CLEAN, ERROR, DataConfig())


# --- whitening


@pytest.mark.parametrize("scaling", ["pixel", "overall", "none"])
def test_components_of_fresh_draws_have_identity_covariance(scaling):
    z = np.asarray(fit(preprocess="pca", input_scaling=scaling).encode(drawn(2, times=100)))
    assert z.shape == (100 * N, K)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.02)  # 40,000 draws: 4 / sqrt(n)
    np.testing.assert_allclose(np.cov(z.T), np.eye(K), atol=0.03)


def test_pixels_of_whitened_spectra_have_unit_variance():
    x = np.asarray(fit(preprocess="zca").encode(drawn(2, times=100)))
    assert x.shape == (100 * N, N_PIX)
    np.testing.assert_allclose(x.var(axis=0), 1.0, atol=0.03)


def test_under_equal_noise_components_are_the_principal_ones_of_numpy():
    data = DataConfig(preprocess="pca", components=3, input_scaling="none")
    scaler = fit_input_scaler(drawn(1), CLEAN, np.full_like(ERROR, 0.2), data)
    covariance = np.cov(CLEAN.T.astype(np.float64), bias=True) + 0.2**2 * np.eye(N_PIX)
    values, vectors = np.linalg.eigh(covariance)
    expected = (CLEAN - CLEAN.mean(axis=0)) @ (vectors / np.sqrt(values))[:, :-4:-1]
    found = np.asarray(scaler.encode(CLEAN))
    np.testing.assert_allclose(found * np.sign(found[0] * expected[0]), expected, atol=1e-4)


def test_zca_of_all_directions_is_the_inverse_root_of_the_covariance():
    data = DataConfig(preprocess="zca", components=N_PIX, input_scaling="none")
    scaler = fit_input_scaler(drawn(1), CLEAN, ERROR, data)
    covariance = np.cov(CLEAN.T.astype(np.float64), bias=True) + np.diag((ERROR**2).mean(axis=0))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors / np.sqrt(values) @ vectors.T
    np.testing.assert_allclose(np.asarray(scaler.analysis) @ np.asarray(scaler.synthesis), root, atol=2e-4)


def test_components_beyond_the_clean_directions_carry_noise_alone():
    scaler = fit(preprocess="pca", input_scaling="none")
    _, _, directions = np.linalg.svd(CLEAN.astype(np.float64) - CLEAN.mean(axis=0, dtype=np.float64))
    signal = np.linalg.matrix_rank(directions[:3] @ np.asarray(scaler.analysis), tol=1e-3)
    assert signal == 3
    assert np.linalg.matrix_rank(np.asarray(scaler.analysis)) == K


def test_more_components_than_spectra_or_pixels_are_refused():
    with pytest.raises(UsageError, match=r"at most the 400 spectra .* and 24 pixels, found 25"):
        fit(preprocess="zca", components=25)
    data = DataConfig(preprocess="pca", components=5)
    with pytest.raises(UsageError, match="at most the 4 spectra"):
        fit_input_scaler(drawn(1)[:4], CLEAN[:4], ERROR[:4], data)


def test_whitening_refuses_numbers_that_are_not_finite():
    error = ERROR.copy()
    error[3, 0] = np.nan
    with pytest.raises(DataError, match="finite"):
        fit_input_scaler(drawn(1), CLEAN, error, DataConfig(preprocess="zca", components=K))


# --- spectra without noise


def test_spectra_without_noise_are_whitened_as_far_as_they_differ():
    still = np.zeros_like(ERROR)
    data = replace(DataConfig(components=3, noise_level=0.0), preprocess="pca", input_scaling="none")
    scaler = fit_input_scaler(CLEAN, CLEAN, still, data)
    found = np.asarray(scaler.encode(CLEAN), np.float64)
    np.testing.assert_allclose(found.T @ found / N, np.eye(3), atol=1e-3)
    with pytest.raises(UsageError, match=r"data\.components.* must be at most 3 with data\.noise_level 0"):
        fit_input_scaler(CLEAN, CLEAN, still, replace(data, components=K))
