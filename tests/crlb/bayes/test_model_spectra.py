"""Spectra at many points: both ways against the emulator itself, and slopes against central differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import crlb.bayes.model_spectra as module
from crlb.bayes.model_spectra import Single, is_dense, labels_of, spectra, spectra_and_slopes
from crlb.bayes.prior import make_prior
from crlb.grids.emulator import make_emulator
from tests.crlb.toy import toy_grid

WAVE = np.arange(8170.0, 8210.0)  # Å
RNG = np.random.default_rng(0)
UNIT = np.concatenate([RNG.random((30, 3)), np.zeros((1, 3)), np.ones((1, 3))])


def test_the_way_is_chosen_by_the_number_of_nodes():
    few = make_emulator(toy_grid(WAVE))
    many = dataclasses.replace(few, coefficients=jnp.zeros((17, 16, 16, len(few.basis))))
    assert is_dense(few)
    assert not is_dense(many)


@pytest.fixture(scope="module", params=["all nodes", "nodes around each point"])
def case(request):
    """Emulator in float64, the model in float32, by the way of the parameter."""
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DENSE_NODES", 4096 if request.param == "all nodes" else 0)
        emulator = make_emulator(toy_grid(WAVE))
        single = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), emulator)
        yield emulator, Single(single, make_prior(emulator.low, emulator.high, emulator.label_names))


def test_spectra_are_the_emulators_to_the_edges_of_the_box(case):
    emulator, model = case
    exact = jax.vmap(emulator)(labels_of(model.prior, jnp.asarray(UNIT)))
    found = spectra(model, jnp.asarray(UNIT))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact, rtol=2e-6)


def test_slopes_are_central_differences_of_spectra(case):
    emulator, model = case
    inner, step = 0.1 + 0.8 * UNIT, 1e-5
    flux = lambda unit: jax.vmap(emulator)(labels_of(model.prior, jnp.asarray(unit)))  # noqa: E731
    found = spectra_and_slopes(model, jnp.asarray(inner))
    np.testing.assert_allclose(found[:, 0], flux(inner), rtol=2e-6)
    for i in range(3):
        shift = step * np.eye(3)[i]
        slope = (flux(inner + shift) - flux(inner - shift)) / (2 * step)
        np.testing.assert_allclose(found[:, i + 1], slope, atol=2e-5)
