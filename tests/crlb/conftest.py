"""Fisher work is done in float64: every test here runs with x64 enabled."""

import jax
import pytest


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield
