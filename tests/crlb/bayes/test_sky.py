"""What is left of the sky: the likelihood against a Gaussian with its dense covariance."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.bayes.likelihood import Stars, make_likelihood
from crlb.bayes.model_spectra import labels_of
from crlb.bayes.sky import make_sky
from crlb.bayes.unknowns import prior_under
from crlb.errors import UsageError
from crlb.observation.conditions import Conditions
from crlb.observation.noise import band_mean, variance
from crlb.observation.noise_curves import builtin_noise
from tests.crlb.bayes.conditions_toy import dense_log_density, toy_model
from tests.crlb.bayes.test_posterior import WAVE

MAG = 20.5
CONDITIONS = {
    "sky": Conditions(sky_left=0.2),
    "sky and continuum": Conditions(scale=0.2, continuum=2, continuum_sigma=0.1, sky_left=0.1),
    "all": Conditions(
        scale=0.2, continuum=1, continuum_sigma=0.1, sky_left=0.1, rv_sigma_kms=10.0, lsf_sigma=0.1
    ),
}


@pytest.fixture(scope="module", params=list(CONDITIONS))
def case(request):
    """Likelihood, a star with lost pixels, points, and the exact log densities there."""
    conditions = CONDITIONS[request.param]
    model = toy_model(conditions)
    prior = prior_under(conditions, model)
    rng = np.random.default_rng(0)
    unit = rng.uniform(0.35, 0.65, (24, len(prior.label_names)))
    usable = rng.random(WAVE.size) > 0.1
    with jax.enable_x64(True):
        like = make_likelihood(model, prior, conditions)
        labels = np.asarray(labels_of(prior, jnp.asarray(unit)))
        y = np.asarray(model.emulator(labels[-1])) + 0.03 * rng.normal(size=WAVE.size)
        y = np.where(usable, y, 0.0)
        exact = [dense_log_density(model, point, conditions, y, usable, MAG) for point in labels]
    stars = Stars(y[None], usable[None].astype(float), np.array([MAG]))
    return like, stars, unit, np.array(exact)


def test_own_points_have_the_density_of_the_dense_gaussian(case):
    like, stars, unit, exact = case
    with jax.enable_x64(True):
        own = np.asarray(like.at_points(jnp.asarray(unit[None]), stars))[0]
        level = np.asarray(variance(like.reference, jnp.float32(MAG), like.noise))
    left_out = np.log(2 * np.pi * level) @ stars.usable[0] - np.log(like.unknowns.prior.precision).sum()
    assert np.ptp(exact) > 4
    np.testing.assert_allclose(own - 0.5 * left_out, exact, atol=0.01)
    assert not like.exact_at_templates


def test_score_and_information_are_those_of_the_density_near_a_maximum(case):
    """Central differences of ln L at fixed noise are the score; only that of the mean is computed."""
    like, stars, unit, _ = case
    with jax.enable_x64(True):
        found = like.newton(jnp.asarray(unit[None, -1:]), stars)
        fisher = np.asarray(found.fisher[0, 0])
        assert (np.linalg.eigvalsh(fisher) > -1e-6 * fisher.max()).all()
        step = 0.3 / np.sqrt(np.diag(fisher).max())
        points = np.concatenate(
            [unit[-1] + step * np.eye(unit.shape[1]), unit[-1] - step * np.eye(unit.shape[1])]
        )
        value = np.asarray(like.at_points(jnp.asarray(points[None]), stars))[0].reshape(2, -1)
    slope = (value[0] - value[1]) / (2 * step)
    score = np.asarray(found.score[0, 0])
    assert (np.abs(slope - score) < 0.35 * np.sqrt(np.diag(fisher)) + 0.1 * np.abs(score)).all()


def test_sums_over_lines_are_those_by_index():
    with jax.enable_x64(True):
        sky = make_sky(builtin_noise(), Conditions(sky_left=0.03))
        rng = np.random.default_rng(1)
        values = rng.normal(size=(2, 4096))
        inside = np.asarray(sky.lines.electrons) > 0
        right = np.array([sky.lines.sums(jnp.asarray(row * inside)) for row in values])
        np.testing.assert_allclose(sky.sums(jnp.asarray(values)), right, atol=1e-12)


@pytest.mark.parametrize(
    ("made", "asked", "words"),
    [
        (Conditions(), Conditions(rv_sigma_kms=10.0), "rv_sigma_kms = 10, but the model has no axis rv_kms"),
        (Conditions(), Conditions(lsf_sigma=0.1), "lsf_sigma = 0.1, but the model has no axis lsf_fwhm"),
        (Conditions(rv_sigma_kms=10.0), Conditions(), "rv_sigma_kms = 0: known under these conditions"),
    ],
)
def test_conditions_and_axes_of_the_model_must_agree(made, asked, words):
    model = toy_model(made)
    with pytest.raises(UsageError, match=words):
        make_likelihood(model, prior_under(made, model), asked)


def test_another_prior_of_the_velocity_than_that_of_the_conditions_is_refused():
    narrow, wide = Conditions(rv_sigma_kms=5.0), Conditions(rv_sigma_kms=10.0)
    model = toy_model(wide)
    with pytest.raises(UsageError, match=r"prior of rv_kms: needed 0 \+- 10.*found 0 \+- 5"):
        make_likelihood(model, prior_under(narrow, model), wide)


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_noise_of_a_flux_of_free_scale_follows_from_its_electrons(factor):
    """Labels do not change how many electrons a unit of flux is; the unit changes nothing."""
    conditions = Conditions(scale=np.inf, sky_left=0.1)
    model = toy_model(conditions)
    prior = prior_under(conditions, model)
    rng = np.random.default_rng(0)
    unit = rng.uniform(0.35, 0.65, (24, 2))
    wide = replace(conditions, scale=30.0)  # flat, but for a constant
    with jax.enable_x64(True):
        like = make_likelihood(model, prior, conditions)
        labels = np.asarray(labels_of(prior, jnp.asarray(unit)))
        clean = model.emulator(labels[-1])
        y = np.asarray(clean) + 0.03 * rng.normal(size=WAVE.size)
        mean = float(band_mean(clean, model.noise))
        stars = Stars(factor * y[None], np.ones((1, WAVE.size)), np.array([MAG]), np.array([factor * mean]))
        own = np.asarray(like.at_points(jnp.asarray(unit[None]), stars))[0]
        # The same noise from another model: every spectrum at the mean of the star's.
        exact = []
        for point in labels:
            level = mean / float(band_mean(model.emulator(point), model.noise))
            exact.append(dense_log_density(model, point, wide, y, np.ones(WAVE.size, bool), MAG, level=level))
        free = np.asarray(like.at_points(jnp.asarray(unit[None]), stars._replace(band_mean=None)))[0]
    exact = np.array(exact)
    np.testing.assert_allclose(own - own[0], exact - exact[0], atol=0.01)
    if factor == 1.0:  # where a magnitude counts, ln L is another
        assert np.abs(free - free[0] - (exact - exact[0])).max() > 0.1
