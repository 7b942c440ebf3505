"""What is unknown besides the labels: names, priors and polynomials."""

import math

import numpy as np
import pytest

from crlb.errors import UsageError
from crlb.observation.conditions import Conditions, polynomials


def test_nothing_is_unknown_unless_asked_for():
    assert Conditions().unknowns == ()
    assert Conditions().prior_mean.shape == Conditions().prior_precision.shape == (0,)


def test_unknowns_are_scale_continuum_velocity_in_this_order_with_their_priors():
    some = Conditions(scale=0.1, continuum=2, continuum_sigma=0.5, rv_sigma_kms=10.0)
    assert some.unknowns == ("scale", "continuum_1", "continuum_2", "rv_kms")
    np.testing.assert_array_equal(some.prior_mean, [1, 0, 0, 0])
    np.testing.assert_allclose(some.prior_precision, [100, 4, 4, 0.01])
    flat = Conditions(scale=math.inf, continuum=1, rv_sigma_kms=math.inf)
    np.testing.assert_array_equal(flat.prior_precision, [0, 0, 0])


def test_polynomials_are_those_of_legendre_over_the_range():
    wave = np.linspace(8000, 9000, 11)
    x = np.linspace(-1, 1, 11)
    found = polynomials(wave, 8000.0, 9000.0, 2)
    np.testing.assert_allclose(found, [np.ones(11), x, 1.5 * x**2 - 0.5], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": -0.1}, "scale must be 0 for known, positive or inf"),
        ({"scale": math.nan}, "scale must be 0 for known"),
        ({"rv_sigma_kms": -1.0}, "rv_sigma_kms must be 0 for known, positive km/s or inf"),
        ({"continuum_sigma": 0.0}, "continuum_sigma must be positive"),
        ({"continuum": -1}, "continuum must be an order of 0 to 20"),
        ({"continuum": 21}, "continuum must be an order"),
        ({"lsf_sigma": 0.3}, "lsf_sigma must be a fraction from 0 to 0.2"),
        ({"lost": 0.6}, "lost must be a fraction from 0 to 0.5"),
        ({"lost_block": 0}, "lost_block must be at least one pixel"),
        ({"sky_left": -0.1}, "sky_left must be a fraction"),
        ({"model_error": -0.01}, "model_error must be a fraction"),
        ({"model_error": math.nan}, "model_error must be a fraction"),
    ],
)
def test_impossible_conditions_are_refused(change, words):
    with pytest.raises(UsageError, match=words):
        Conditions(**change)
