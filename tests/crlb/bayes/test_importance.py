"""Densities of the proposals against truncated logistics of scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import logistic

from crlb.bayes.importance import LOGISTIC_SCALE, Mixture, log_density


@pytest.mark.parametrize("centre", [[0.4, 0.7], [-3.0, 1.2], [0.5, 40.0]])
def test_log_density_is_that_of_logistics_cut_to_the_cube_one_after_the_other(centre):
    factor = np.array([[0.05, 0.0], [0.3, 0.2]])
    x = np.random.default_rng(0).random((64, 2))
    with jax.enable_x64(True):
        one = Mixture(jnp.array([0.25]), jnp.array([centre]), jnp.asarray(factor)[None])
        found = np.asarray(log_density(one, jnp.asarray(x)))[:, 0]
    expected, z = np.full(len(x), np.log(0.25)), np.zeros((len(x), 2))
    for i in range(2):
        own = logistic(centre[i] + z @ factor[i], factor[i, i] * LOGISTIC_SCALE)
        left = own.median() > 0.5  # of the centre lies most of the cube: the lower tail is exact there
        mass = np.where(left, own.cdf(1) - own.cdf(0), own.sf(0) - own.sf(1))
        expected += own.logpdf(x[:, i]) - np.log(mass)
        z[:, i] = (x[:, i] - centre[i] - z @ factor[i]) / factor[i, i]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
