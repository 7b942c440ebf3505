"""Distance from a training set, against dense linear algebra and against draws of the Gaussian it assumes."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import scipy.stats

from specvit_jax.evaluation.distance import MODEL_ERROR, compare, make_frame
from specvit_jax.evaluation.label_stars import STRANGE
from specvit_jax.evaluation.training_set import TrainingSet, training_set
from specvit_jax.network.find import shipped_weights
from specvit_jax.network.weights import load_weights
from specvit_jax.settings.observed_under import conditions_in, text_of
from specvit_jax.spectra.file_sources import simulator_of
from specvit_jax.spectra.source import Simulator, chunks

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
        calm=np.ones(N_PIX),
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


def test_only_calm_pixels_count_but_all_are_handed_on(training):
    """What is in the others moves neither scale nor distance, as if they were unusable, and is kept."""
    flux, ivar = stars(training, 20, 0.05)
    frame = make_frame(replace(training, calm=(np.arange(N_PIX) >= 40).astype(float)))
    disturbed = np.where(np.arange(N_PIX) < 40, flux + 3.0, flux)
    disturbed[:, 50], ivar[:, 50] = 0.0, 0.0
    found = compare(disturbed, ivar, frame)
    without = compare(disturbed, np.where(np.arange(N_PIX) < 40, 0.0, ivar), frame)
    # The first scale, which the errors are relative to, is by the median over all usable pixels.
    np.testing.assert_allclose(found.scale, without.scale, rtol=2e-2)
    np.testing.assert_allclose(found.distance, without.distance, rtol=2e-2)
    assert (found.p_value > 1e-3).all()
    assert (compare(disturbed, ivar, make_frame(training)).p_value < 1e-3).all()
    np.testing.assert_allclose(found.flux[:, :40], (disturbed * found.scale[:, None])[:, :40], rtol=1e-6)
    np.testing.assert_allclose(found.flux[:, 50], without.flux[:, 50], rtol=2e-2)


def shipped(name: str, conditions: str = "published") -> tuple[Simulator, TrainingSet]:
    """What draws spectra as a shipped network was trained, under conditions; and its training set."""
    path = shipped_weights(name)
    weights = load_weights(path)
    training, why = training_set(weights, path)
    assert training is not None, why
    return simulator_of(replace(weights.config.data, conditions=conditions)), training


@pytest.fixture(scope="module", params=["at rest", pytest.param("whole", marks=pytest.mark.slow)])
def survey(request):
    """The shipped network's training set, prepared, and 60 spectra drawn as it was trained.

    Not by default: velocity and width of the lines differ too, whose emulator takes half a minute.
    """
    known = {"rv_sigma_kms": 0.0, "lsf_sigma": 0.0} if request.param == "at rest" else {}
    conditions = text_of(replace(conditions_in("survey"), **known))
    simulator, training = shipped("survey", conditions)
    return make_frame(training), *drawn(simulator, 60)


def drawn(simulator: Simulator, n: int, seed: int = 11) -> tuple[np.ndarray, np.ndarray]:
    batch = next(chunks(simulator, jax.random.key(seed), n))
    flux, error = np.asarray(batch.flux, np.float64), np.asarray(batch.error, np.float64)
    usable = np.ones(flux.shape) if batch.usable is None else np.asarray(batch.usable)
    return flux, usable / error**2


def test_spectra_drawn_as_survey_was_trained_are_near(survey):
    frame, flux, ivar = survey
    found = compare(flux, ivar, frame)
    assert (found.p_value < STRANGE).mean() < 0.02
    # Larger than uniform is right: the simulator's spectra lack the 2 % that models are off.
    assert scipy.stats.kstest(found.p_value, "uniform", alternative="greater").pvalue > 1e-3
    np.testing.assert_allclose(np.median(found.distance), 1.0, atol=0.05)


def test_survey_spectra_with_the_error_of_models_have_uniform_p_values(survey):
    frame, flux, ivar = survey
    noise = np.random.default_rng(3).normal(size=flux.shape)
    found = compare(flux + MODEL_ERROR * np.asarray(frame.mean) * noise, ivar, frame)
    assert (found.p_value < STRANGE).mean() < 0.02
    # Twice the smaller of two uniform numbers, at most one: below x with probability x - x^2 / 4. Errors
    # count as too small where they seem so: values are larger by a little.
    for level in (0.1, 0.3, 0.6):
        share, wanted = (found.p_value < level).mean(), level - level**2 / 4
        assert share < wanted + 4 * (wanted * (1 - wanted) / 60) ** 0.5
    np.testing.assert_allclose(np.median(found.distance), 1.0, atol=0.03)


@pytest.mark.parametrize("damage", ["noise alone", "errors a quarter", "shifted", "reversed", "a bump"])
def test_strange_spectra_are_far_under_survey_conditions_too(survey, damage):
    frame, flux, ivar = survey
    flux, ivar = flux[:20], ivar[:20]
    pixel = np.arange(flux.shape[1])
    noise = np.random.default_rng(4).normal(size=flux.shape) / np.sqrt(np.where(ivar > 0, ivar, np.inf))
    changed = {
        "noise alone": (4 * noise + 0.01, ivar),
        "errors a quarter": (flux, 16 * ivar),
        "shifted": (np.roll(flux, 47, axis=1), np.roll(ivar, 47, axis=1)),
        "reversed": (flux[:, ::-1], ivar[:, ::-1]),
        "a bump": (flux + 0.5 * (np.abs(pixel - 2000) < 100), ivar),
    }
    assert (compare(*changed[damage], frame).p_value < STRANGE).mean() > 0.9


def test_tiny_reads_what_it_read_before_pixels_could_be_calm():
    simulator, training = shipped("tiny")
    np.testing.assert_array_equal(training.calm, 1.0)
    flux, ivar = drawn(simulator, 4, seed=5)
    found = compare(flux, ivar, make_frame(training))
    # Of the version without calm pixels.
    np.testing.assert_allclose(found.distance, [0.97045742, 1.0030965, 0.96628364, 0.98146317], rtol=1e-5)
    np.testing.assert_allclose(found.scale, [1.00031259, 1.00464813, 1.00044794, 1.00070116], rtol=1e-5)
