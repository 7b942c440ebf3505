"""Distance from a training set, against dense linear algebra and against draws of the Gaussian it assumes."""

import numpy as np
import pytest
import scipy.stats

from specvit_jax.evaluation.distance import MODEL_ERROR, compare, make_frame
from specvit_jax.evaluation.training_set import TrainingSet

N_PIX, K, N = 120, 3, 2000


@pytest.fixture(scope="module")
def training() -> TrainingSet:
    """Spectra that are exactly Gaussian: three smooth components around a curved mean."""
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, N_PIX)
    basis = np.linalg.qr(np.stack([np.sin(3 * x), np.cos(5 * x), np.sin(9 * x)], axis=1))[0]
    return TrainingSet(
        mean=0.5 - 0.1 * x**2,
        basis=basis,
        coefficients=rng.normal(size=(N, K)) * np.array([1.0, 0.3, 0.1]),
        rest=np.zeros(N_PIX),
        mags=np.array([20.0, 21.0, 22.0]),
        errors=np.outer([0.02, 0.05, 0.1], np.ones(N_PIX)),
        snr_range=np.array([5.0, 25.0]),
        mag_range=np.array([20.0, 22.0]),
        label_range=np.array([[1.0], [5.0]]),
    )


def stars(training: TrainingSet, n: int, error: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of the training under their own noise and the error of a model; and their inverse variances."""
    rng = np.random.default_rng(seed)
    clean = training.mean + rng.normal(size=(n, K)) * training.deviation @ training.basis.T
    sigma = np.hypot(error, 0.02 * training.mean)
    return clean + sigma * rng.normal(size=(n, N_PIX)), np.full((n, N_PIX), error**-2.0)


@pytest.mark.parametrize("error", [0.002, 0.05, 0.2])
def test_p_values_of_spectra_of_the_training_are_not_smaller_than_uniform(training, error):
    flux, ivar = stars(training, 600, error)
    found = compare(flux, ivar, make_frame(training)).p_value
    for level in (0.02, 0.1, 0.3):
        assert (
            scipy.stats.binomtest(int((found < level).sum()), 600, level, alternative="greater").pvalue > 1e-3
        )
    # Nor much larger: 60 would be exact; the fitted amplitude takes some of the distance away.
    assert (found < 0.1).sum() > 8
    np.testing.assert_allclose(np.median(compare(flux, ivar, make_frame(training)).distance), 1.0, atol=0.05)


def test_the_amplitude_is_that_of_generalised_least_squares(training):
    flux, ivar = stars(training, 20, 0.03)
    ivar[:, 30:60] = 0.0
    found = compare(flux, ivar, make_frame(training))
    used = ivar[0] > 0
    covariance = (training.basis * training.deviation**2) @ training.basis.T
    covariance += np.diag(0.03**2 + (MODEL_ERROR * training.mean) ** 2)
    weighted = np.linalg.solve(covariance[np.ix_(used, used)], training.mean[used])
    amplitude = flux[:, used] @ weighted / (training.mean[used] @ weighted)
    # The errors are relative to the first scale, by the medians: the amplitude moves them a little.
    np.testing.assert_allclose(found.scale, 1 / amplitude, rtol=2e-3)


def test_distance_is_that_of_the_dense_covariance(training):
    flux, ivar = stars(training, 20, 0.05)
    ivar[:, ::7] = 0.0
    found = compare(flux, ivar, make_frame(training))
    used = ivar[0] > 0
    for i, scale in enumerate(found.scale):
        covariance = (training.basis * training.deviation**2) @ training.basis.T
        covariance += np.diag((0.05 * scale) ** 2 + (MODEL_ERROR * training.mean) ** 2)
        apart = (scale * flux[i] - training.mean)[used]
        wanted = apart @ np.linalg.solve(covariance[np.ix_(used, used)], apart)
        np.testing.assert_allclose(found.distance[i] ** 2 * used.sum(), wanted, rtol=2e-3)


def test_unit_of_the_flux_and_what_lies_in_unusable_pixels_do_not_matter(training):
    flux, ivar = stars(training, 8, 0.05)
    ivar[:, 10:20] = 0.0
    plain = compare(flux, ivar, make_frame(training))
    flux[:, 10:20] = 1e6
    other = compare(flux * 1e-17, ivar * 1e34, make_frame(training))
    np.testing.assert_allclose(other.flux, plain.flux, rtol=1e-4)
    np.testing.assert_allclose(other.p_value, plain.p_value, rtol=1e-2)


def test_unusable_pixels_are_filled_by_what_the_others_say(training):
    flux, ivar = stars(training, 200, 0.02)
    clean = stars(training, 200, 1e-9)[0]  # of the same stars, but for the error of models
    ivar[:, 40:60] = 0.0
    found = compare(flux, ivar, make_frame(training)).flux[:, 40:60]
    by_mean = np.abs(clean[:, 40:60] - training.mean[40:60]).mean()
    assert np.abs(found - clean[:, 40:60]).mean() < 0.3 * by_mean
    np.testing.assert_allclose(
        compare(flux, ivar, make_frame(training)).flux[:, :40], flux[:, :40], rtol=0.05
    )


@pytest.mark.parametrize("damage", ["a line", "a tilt", "a step"])
def test_what_is_no_spectrum_of_the_training_is_far(training, damage):
    flux, ivar = stars(training, 50, 0.02)
    x = np.linspace(-1, 1, N_PIX)
    flux += {"a line": 0.3 * (np.abs(x - 0.3) < 0.05), "a tilt": 0.4 * x, "a step": 0.2 * (x > 0)}[damage]
    assert (compare(flux, ivar, make_frame(training)).p_value < 1e-3).all()


def test_a_bright_star_is_not_far_because_its_noise_is_small(training):
    """What differs by the error of models, 2 %, is near, however small the noise."""
    flux, _ = stars(training, 300, 1e-4)
    found = compare(flux, np.full(flux.shape, 1e8), make_frame(training)).p_value
    assert (found < 1e-3).mean() < 0.01


def test_errors_that_are_a_little_too_small_make_no_star_strange(training):
    flux, ivar = stars(training, 300, 0.1)
    assert (compare(flux, 1.3**2 * ivar, make_frame(training)).p_value < 1e-3).mean() < 0.01
    assert (compare(flux, 4**2 * ivar, make_frame(training)).p_value < 1e-3).mean() > 0.9


def test_a_spectrum_without_usable_pixels_is_nothing_but_finite(training):
    found = compare(np.zeros((2, N_PIX)), np.zeros((2, N_PIX)), make_frame(training))
    assert np.isfinite(found.flux).all()
    np.testing.assert_allclose(found.flux, np.tile(training.mean, (2, 1)), rtol=1e-5)


def test_a_spectrum_does_not_change_another_one(training):
    flux, ivar = stars(training, 40, 0.05)
    before = compare(flux, ivar, make_frame(training))
    flux[7], ivar[7] = np.inf, 0.0
    after = compare(np.nan_to_num(flux, posinf=1e30), ivar, make_frame(training))
    others = np.arange(40) != 7
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[others], two[others])
