"""The Fisher matrix under conditions against one with the dense covariance of the pixels."""

import math

import numpy as np
import pytest

from crlb.errors import UsageError
from crlb.fisher.algebra import marginal_bounds
from crlb.observation.build import with_unknowns
from crlb.observation.conditions import SURVEY, Conditions
from crlb.observation.noise import electrons_per_flux
from crlb.observation.nuisances import nuisances_of
from crlb.observation.sky_lines import sky_lines
from crlb.observation.spectrograph import pfs_red_arm
from crlb.observation.star import observe
from crlb.observation.star_under import fisher_under, prior_sigmas
from tests.crlb.toy import toy_grid

MAG, LABELS = 21.0, np.array([4620.0, 2.3, -0.4])
GRID = toy_grid(np.arange(7600.0, 7900.0, 0.25))


def seen(conditions):
    with pytest.warns(UserWarning, match="the grid reaches"):
        model, nuisances = with_unknowns(
            GRID, pfs_red_arm(), nuisances_of(conditions), wave_range=(7620.0, 7880.0)
        )
    return model, observe(model, LABELS, MAG, nuisances)


def test_sky_and_lost_pixels_are_those_of_the_dense_covariance():
    conditions = Conditions(scale=math.inf, continuum=1, continuum_sigma=0.1, lost=0.02, sky_left=0.05)
    model, star = seen(conditions)
    covariance = np.diag(star.variance / 0.98)
    sky, some = sky_lines(model.noise), np.asarray(model.pixels)
    arm = model.emulator(LABELS)
    electrons = sky.electrons * model.noise.exposure.n_exp * model.noise.exposure.time
    shape = (electrons / np.asarray(electrons_per_flux(arm, MAG, model.noise)))[some]
    for number in range(len(sky.n)):
        line = np.where(np.asarray(sky.line)[some] == number, shape, 0)
        covariance += 0.05**2 * np.outer(line, line)
    right = star.jac.T @ np.linalg.solve(covariance, star.jac)
    right[-1, -1] += 0.1**-2
    found = fisher_under(star, model, conditions)
    assert found.label_names[-2:] == ("amplitude", "continuum_1")
    np.testing.assert_allclose(found.matrix, right, rtol=1e-8)


def test_every_unknown_costs_something_and_its_prior_limits_the_price():
    bounds = {}
    for name, conditions in {
        "none": Conditions(),
        "narrow": Conditions(rv_sigma_kms=1.0, lsf_sigma=0.01),
        "wide": Conditions(rv_sigma_kms=10.0, lsf_sigma=0.1),
        "survey": SURVEY,
    }.items():
        model, star = seen(conditions)
        bounds[name] = marginal_bounds(fisher_under(star, model, conditions))["log_g"]
    assert bounds["none"] <= bounds["narrow"] <= bounds["wide"] < bounds["survey"]


def test_priors_have_the_units_of_the_nuisances_and_flat_ones_are_none():
    assert prior_sigmas(SURVEY, 1.6) == {
        "continuum_1": 0.1,
        "continuum_2": 0.1,
        "continuum_3": 0.1,
        "rv_kms": 10.0,
        "lsf_fwhm": pytest.approx(0.16),
    }
    with pytest.raises(UsageError, match="seeing_arcsec"):
        nuisances_of(Conditions(seeing_arcsec=(0.5, 1.0)))
