"""Fisher work is done in float64: every test here runs with x64 enabled."""

import jax
import pytest

from crlb.noise_curves import NoiseModel, builtin_noise, load_noise


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def builtin() -> NoiseModel:
    with jax.enable_x64(True):
        return builtin_noise()


@pytest.fixture
def legacy(reference) -> NoiseModel:
    return load_noise(reference / "pfs_mr_noise.h5")
