"""Stars in any number of exposures against stars that are observed in each; the limit in closed form."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from crlb.observation.exposure import Exposure
from crlb.observation.noise import electrons_per_flux
from crlb.observation.nuisances import Nuisances
from crlb.observation.star import observe
from crlb.planning.variance import any_exposures, variance_parts

LABELS, MAG = np.array([4620.0, 2.3, -0.4]), 21.0


@pytest.fixture(scope="module")
def model(thin_model):
    seen = thin_model.with_exposure(Exposure(600.0, 12, 1.0)).with_noise_level(1.3)
    return seen.select(np.arange(10, 200))


@pytest.fixture(scope="module")
def star(model):
    return any_exposures(model, None, LABELS[None], MAG)[0]


@pytest.mark.parametrize(("n_exp", "mag"), [(1, 21.0), (12, 21.0), (500, 18.5), (3, 24.0)])
def test_a_star_is_the_one_that_is_observed(model, star, n_exp, mag):
    right = observe(model.with_exposure(Exposure(600.0, n_exp, 1.0)), LABELS, mag)
    found = star.at(n_exp, mag)
    assert (found.label_names, found.mag) == (right.label_names, right.mag)
    for name in ("labels", "wave", "flux", "variance", "jac", "variance_jac"):
        np.testing.assert_allclose(getattr(found, name), getattr(right, name), rtol=1e-9, atol=1e-15)
    assert found.snr == pytest.approx(right.snr)


def test_the_limit_is_what_is_left_of_the_sky(model, star):
    noise, flux = model.noise, np.asarray(model.emulator(LABELS))
    time = 600 / 900
    electrons = np.asarray(electrons_per_flux(jnp.asarray(flux), MAG, noise)) / 12
    left = 0.01 * time * np.asarray(noise.skymax_e)
    right = (1.3 * left / electrons) ** 2
    np.testing.assert_allclose(star.at(np.inf).variance, right[10:200], rtol=1e-9)
    forever = observe(model.with_exposure(Exposure(600.0, 10**9, 1.0)), LABELS, MAG)
    np.testing.assert_allclose(star.at(np.inf).variance, forever.variance, rtol=1e-4)
    for name in LABELS_OF:
        assert star.at(np.inf).fisher().bound(name) == pytest.approx(forever.fisher().bound(name), rel=1e-4)


LABELS_OF = ("T_eff", "log_g", "M_H")


def test_without_anything_left_of_the_sky_there_is_no_limit(model):
    clean = replace(model, noise=replace(model.noise, sky_floor=0.0))
    (star,) = any_exposures(clean, None, LABELS[None], MAG)
    assert not star.floored
    ratio = star.at(10).fisher(False).bound("log_g") / star.at(1000).fisher(False).bound("log_g")
    assert ratio == pytest.approx(10)


def test_the_parts_add_up_whatever_the_flux(model):
    flux = jnp.linspace(0.1, 2.0, len(model.emulator.wave))
    one = model.noise.with_exposure(Exposure(600.0, 1, 1.0))
    right = replace(model, noise=one).arm_variance(flux, 20.0)
    np.testing.assert_allclose(variance_parts(flux, 20.0, model.noise).sum(axis=0), right, rtol=1e-12)


def test_with_nuisances_the_noise_counts_as_known():
    from crlb.observation.build import with_unknowns
    from crlb.observation.spectrograph import pfs_red_arm
    from tests.crlb.toy import toy_grid

    with pytest.warns(UserWarning, match="the grid reaches"):
        model, nuisances = with_unknowns(
            toy_grid(np.arange(7600.0, 7900.0, 0.25)), pfs_red_arm(),
            Nuisances(amplitude=True, continuum=1, rv=True), wave_range=(7620.0, 7880.0),
        )  # fmt: skip
    right = observe(model, LABELS, MAG, nuisances)
    (star,) = any_exposures(model, nuisances, LABELS[None], MAG)
    found = star.at(12)
    assert found.label_names == right.label_names
    for name in ("variance", "jac", "variance_jac", "labels"):
        np.testing.assert_allclose(getattr(found, name), getattr(right, name), rtol=1e-9, atol=1e-12)
