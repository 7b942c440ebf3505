"""Fisher matrices of many stars against those of one star after the other."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.fisher.field import CHUNK, fisher_field
from crlb.fisher.matrix import fisher_information, flux_jacobian
from crlb.observation import noise as noise_module
from crlb.observation.forward_model import ForwardModel
from tests.crlb.bayes.bounds_toy import MAGS, stars


@pytest.mark.parametrize("variance_term", [True, False])
def test_fisher_field_is_the_fisher_matrix_star_by_star(thin_model, variance_term):
    thin_emulator, thin_noise = thin_model.emulator, thin_model.noise
    points, done = stars(thin_emulator, CHUNK + 2), []
    found = fisher_field(
        thin_model,
        MAGS,
        points,
        columns=(2, 0),
        variance_term=variance_term,
        advance=done.append,
    )
    assert found.shape == (CHUNK + 2, 3, 2, 2)
    assert done == [CHUNK, 2]

    @jax.jit
    def expected(point):
        variance = lambda x: noise_module.variance(thin_emulator(x), 18.0, thin_noise)  # noqa: E731
        jac, variance_jac = flux_jacobian(thin_emulator, point), flux_jacobian(variance, point)
        return fisher_information(jac, 1 / variance(point), variance_jac if variance_term else None)

    for i in (0, CHUNK + 1):
        reference = expected(jnp.asarray(points[i]))[np.ix_([2, 0], [2, 0])]
        np.testing.assert_allclose(found[i, 1], reference, rtol=1e-10)


def test_a_label_without_effect_gets_no_information_from_rounding(thin_model):
    thin_emulator = thin_model.emulator
    mean = jnp.mean(thin_emulator.coefficients, axis=1, keepdims=True)
    deaf = dataclasses.replace(
        thin_emulator, coefficients=jnp.broadcast_to(mean, thin_emulator.coefficients.shape)
    )
    fisher = fisher_field(ForwardModel(deaf, thin_model.noise), MAGS, stars(thin_emulator, CHUNK + 2))
    assert (fisher[:, :, 1] == 0).all()
    assert (fisher[:, :, 0, 0] > 0).all()


def test_every_point_can_have_a_magnitude_of_its_own(thin_model):
    points = stars(thin_model.emulator, CHUNK + 2)
    which = np.arange(len(points)) % len(MAGS)
    own = fisher_field(thin_model, np.array(MAGS)[which, None], points)[:, 0]
    every = fisher_field(thin_model, MAGS, points)
    np.testing.assert_allclose(own, every[np.arange(len(points)), which], rtol=1e-12)
