"""Grids, files of spectra and disks that are small enough for tests."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import jax
import numpy as np

from crlb.detector import DETECTOR_WAVE
from crlb.files import pfsspec
from crlb.grids.grid_file import make_grid, save_grid
from crlb.observation.noise import NoiseModel, builtin_noise

LABELS = ("T_eff", "log_g")
PIECE = 64  # spectra of a piece, where files are small


def save_two_line_grid(path: Path) -> Path:
    """Four temperatures by five gravities of a continuum with two lines."""
    axes = (np.array([4000.0, 4500.0, 5000.0, 6000.0]), np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    temperature, gravity = (axis[..., None] for axis in np.meshgrid(*axes, indexing="ij"))
    line = np.exp(-0.5 * ((DETECTOR_WAVE - 8544.0) / 5.0) ** 2)
    other = np.exp(-0.5 * ((DETECTOR_WAVE - 7700.0) / 3.0) ** 2)
    flux = 1 - 0.1 * gravity * line - 0.4 * (temperature / 5000) * other
    grid = make_grid(
        wave=DETECTOR_WAVE,
        axes=axes,
        flux=flux,
        label_names=LABELS,
        resolving_power=5600.0,
        flux_unit="arbitrary",
        source="two lines",
    )
    save_grid(grid, path)
    return path


def narrow_noise(n_pix: int) -> NoiseModel:
    """The noise of the detector's first pixels only."""
    return builtin_noise().take(np.arange(n_pix))


def write_clean(path: Path, n: int, first: int = 0, n_pix: int = 4096, **columns: np.ndarray) -> Path:
    """A file of noiseless spectra that know their number: flux 1 + row/4096 at pixel 0, T_eff 4000 + row."""
    row = first + np.arange(n)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        flux = pfsspec.create(file, DETECTOR_WAVE[:n_pix], n, ("flux",))["flux"]
        flux[...] = 1 + row[:, None] / 4096 + 0.1 * np.sin(np.arange(n_pix))[None]
        table = {"T_eff": 4000.0 + row, "log_g": 1.0 + row % 5, "mag": 20.5 + row % 3} | columns
        pfsspec.write_table(file, {name: column for name, column in table.items() if column is not None})
    return path


def rows_of(labels: jax.Array | np.ndarray) -> np.ndarray:
    """The numbers of the spectra that `write_clean` wrote, from their labels."""
    return np.round(np.asarray(labels)[:, 0] - 4000.0).astype(int)


@contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """No file can grow beyond so many bytes: writes really fail, in the middle (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
