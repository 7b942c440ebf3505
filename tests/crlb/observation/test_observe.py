"""Stars as an observer gets them: scale, continuum, lost pixels, sky lines, level."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import UsageError
from crlb.observation.conditions import PUBLISHED, SURVEY, Conditions
from crlb.observation.noise import background, draw, electrons_per_flux
from crlb.observation.noise_curves import builtin_noise
from crlb.observation.observe import observing
from crlb.observation.sky_lines import sky_lines

NOISE = builtin_noise()
FLUX = jnp.asarray(0.5 + 0.1 * np.sin(np.arange(4096) / 300), jnp.float32)
MAG, N = jnp.float32(21.5), 800
KEYS = jax.random.split(jax.random.key(1), N)


def seen(conditions):
    return jax.jit(jax.vmap(observing(NOISE, conditions).see, (0, None, None)))(KEYS, FLUX, MAG)


def test_published_conditions_are_the_noise_alone():
    noisy, error = jax.vmap(lambda key: draw(key, FLUX, MAG, NOISE))(KEYS)
    found = seen(PUBLISHED)
    np.testing.assert_allclose(found.flux, noisy, atol=1e-5)
    np.testing.assert_allclose(found.error, error, rtol=1e-5)
    assert (np.asarray(found.usable) == 1).all()
    assert (np.asarray(found.gain) == 1).all()


def test_a_free_scale_hands_flux_on_at_one_level_whatever_it_was():
    found, observer = seen(Conditions(scale=math.inf, lost=0.1)), observing(NOISE)
    levels = jax.vmap(observer.level)(found.flux, found.usable)
    np.testing.assert_allclose(levels, 0.5, rtol=1e-5)
    weight = 1 / np.asarray(background(NOISE), np.float64)
    right = 0.5 / ((weight * np.asarray(FLUX)).sum() / weight.sum())
    assert np.mean(found.gain) == pytest.approx(right, rel=1e-3)
    assert (np.asarray(found.flux)[np.asarray(found.usable) == 0] == 0).all()


def test_continuum_has_the_spread_of_its_prior():
    conditions = Conditions(scale=0.05, continuum=2, continuum_sigma=0.1)
    ratio = np.asarray(seen(conditions).flux) / np.asarray(FLUX) - 1
    x = np.linspace(-1, 1, 4096)
    fit = np.polynomial.legendre.legfit(x, ratio.T, 2)
    np.testing.assert_allclose(fit.std(axis=1), [0.05, 0.1, 0.1], rtol=4 / math.sqrt(2 * N))
    np.testing.assert_allclose(fit.mean(axis=1), 0, atol=4 * 0.1 / math.sqrt(N))


def test_lost_pixels_are_as_many_as_said_half_of_them_in_blocks():
    lost = 1 - np.asarray(seen(Conditions(lost=0.04, lost_block=16)).usable)
    assert lost.mean() == pytest.approx(0.04, rel=0.05)
    neighbours = (lost[:, 1:] * lost[:, :-1]).sum() / lost.sum()
    assert neighbours == pytest.approx(0.5 * 15 / 16, abs=0.04)  # of a block all but one have a next one
    np.testing.assert_allclose(lost.mean(axis=0)[[0, -1]], 0.04, atol=4 * math.sqrt(0.04 / N))


def test_what_is_left_of_a_sky_line_is_one_share_of_it_along_its_pixels():
    conditions = Conditions(sky_left=0.03)
    noisy = np.asarray(seen(conditions).flux, np.float64) - np.asarray(FLUX)
    sky = sky_lines(NOISE)
    shape = np.asarray(sky.flux(FLUX, MAG, NOISE))
    per_flux = np.asarray(electrons_per_flux(FLUX, MAG, NOISE))
    np.testing.assert_allclose(shape, 12 * np.asarray(sky.electrons) / per_flux, rtol=1e-5)
    brightest = int(np.argmax(sky.electrons))
    inside = (np.asarray(sky.line) == sky.line[brightest]) & (np.asarray(sky.electrons) > 0)
    weight = np.where(inside, shape, 0)
    share = noisy @ weight / (weight**2).sum()
    assert share.std() == pytest.approx(0.03, rel=0.15)
    pair = np.flatnonzero(inside)[np.argsort(shape[inside])[-2:]]
    assert np.corrcoef(noisy[:, pair].T)[0, 1] > 0.5
    others = np.asarray(sky.electrons) == 0
    plain = np.asarray(seen(Conditions(lost=0.0, sky_left=0.0)).flux) - np.asarray(FLUX)
    assert noisy[:, others].std() == pytest.approx(plain[:, others].std(), rel=0.01)


def test_lines_cover_the_sky_above_its_continuum_and_each_has_one_peak():
    sky = sky_lines(NOISE)
    assert 100 < len(sky.n) < 250
    for number in range(len(sky.n)):
        shape = sky.electrons[(sky.line == number) & (sky.electrons > 0)]
        assert shape.size
        peaks = np.diff(np.sign(np.diff(np.pad(shape, 1)))) < 0
        assert peaks.sum() == 1


def test_better_seeing_is_a_brighter_star():
    best = seen(Conditions(seeing_arcsec=(0.5, 0.5)))
    brighter = replace(NOISE, exposure=replace(NOISE.exposure, seeing_arcsec=0.5))
    right = draw(KEYS[0], FLUX, MAG, brighter)[1]
    np.testing.assert_allclose(best.error[0], right, rtol=1e-4)


def test_exposures_of_one_length_and_number_are_those_of_the_noise():
    found = seen(Conditions(exptime_s=(450.0, 450.0), n_exp=(5, 5)))
    same = replace(NOISE, exposure=replace(NOISE.exposure, exptime_s=450.0, n_exp=5))
    np.testing.assert_allclose(found.error[0], draw(KEYS[0], FLUX, MAG, same)[1], rtol=1e-4)


def test_exposures_differ_from_star_to_star_within_their_range():
    errors = np.asarray(seen(Conditions(n_exp=(4, 6))).error)
    expected = [
        draw(KEYS[0], FLUX, MAG, replace(NOISE, exposure=replace(NOISE.exposure, n_exp=n)))[1]
        for n in (4, 5, 6)
    ]
    nearest = np.abs(errors[:, None] / np.stack(expected)[None] - 1).max(axis=2)
    assert nearest.min(axis=1).max() < 1e-4
    assert set(nearest.argmin(axis=1)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"n_exp": (4, 2)}, "n_exp must be two numbers above 0, least first; found 4, 2"),
        ({"exptime_s": (0.0, 900.0)}, "exptime_s must be two numbers above 0"),
    ],
)
def test_exposures_that_cannot_be(values, words):
    with pytest.raises(UsageError, match=words):
        Conditions(**values)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (Conditions(scale=0.5), "scale: stars can be drawn with at most 0.3"),
        (Conditions(continuum=1), "continuum_sigma: stars cannot be drawn from a flat prior"),
        (Conditions(rv_sigma_kms=math.inf), "rv_sigma_kms: stars cannot be drawn"),
        (Conditions(seeing_arcsec=(0.4, 1.0)), "seeing_arcsec must be"),
    ],
)
def test_what_cannot_be_drawn_is_refused(conditions, words):
    with pytest.raises(UsageError, match=words):
        observing(NOISE, conditions)


def test_survey_stars_are_finite():
    found = seen(SURVEY)
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(found))
