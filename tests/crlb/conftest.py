"""Fisher work is done in float64: every test here runs with x64 enabled."""

import dataclasses

import jax
import numpy as np
import pytest

from crlb.cli import parse
from crlb.errors import run_cli
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import save_grid
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise_curves import NoiseModel, builtin_noise, load_noise
from tests.crlb.toy import AXES, toy_grid

MODEL_WAVE = np.arange(7090.0, 8860.0, 0.4)  # Å
SMALL_AXES = (AXES[0][1:4], AXES[1][1:4], AXES[2][:2])


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def builtin() -> NoiseModel:
    with jax.enable_x64(True):
        return builtin_noise()


@pytest.fixture
def legacy(reference) -> NoiseModel:
    return load_noise(reference / "pfs_mr_noise.h5")


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "toy.h5"
    save_grid(toy_grid(MODEL_WAVE, SMALL_AXES), path)
    return path


@pytest.fixture
def crlb(capsys):
    """Runs a command line in this process; returns its exit status, stdout, stderr."""

    def run(*args) -> tuple[int, str, str]:
        try:
            run_cli(parse([str(arg) for arg in args]))
            status = 0
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def thin_noise() -> NoiseModel:
    """The built-in noise on every sixteenth pixel."""
    with jax.enable_x64(True):
        full = builtin_noise()
        arrays = {
            field.name: getattr(full, field.name)[::16]
            for field in dataclasses.fields(full)
            if np.ndim(getattr(full, field.name)) == 1
        }
        return dataclasses.replace(full, **arrays)


@pytest.fixture(scope="session")
def thin_emulator(thin_noise):
    """A toy grid of three labels on every sixteenth pixel."""
    with jax.enable_x64(True):
        return make_emulator(toy_grid(np.asarray(thin_noise.wave)), rtol=1e-8)


@pytest.fixture(scope="session")
def thin_model(thin_emulator, thin_noise) -> ForwardModel:
    """Stars of the toy grid on every sixteenth pixel."""
    return ForwardModel(thin_emulator, thin_noise)
