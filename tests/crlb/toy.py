"""A toy star with three labels in closed form: a slope and three lines, all flux between 0.2 and 2."""

from pathlib import Path

import h5py
import numpy as np

from crlb.grids.grid_file import SpectralGrid, make_grid

LABEL_NAMES = ("T_eff", "log_g", "M_H")
AXES = (
    np.array([4000.0, 4300.0, 4750.0, 5000.0, 5500.0]),
    np.array([1.0, 2.0, 2.5, 3.5, 4.5]),
    np.array([-1.0, -0.6, -0.3, 0.0]),
)
LINES = (7698.0, 8190.0, 8544.0)  # Å
WIDTH = 3.0  # Å


def toy_flux(labels: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Flux (..., n_pix) at labels (..., 3)."""
    heat, gravity, metals = (
        np.asarray((labels[..., i] - c) / s)[..., None]
        for i, (c, s) in enumerate(((4800, 800), (3, 2), (-0.5, 1)))
    )
    depths = (
        0.4 * np.exp(-0.8 * heat + 0.3 * metals),
        0.25 * np.exp(0.9 * gravity - 0.4 * heat + 0.5 * metals),
        0.5 * np.exp(0.3 * metals - 0.35 * gravity + 0.2 * heat * gravity),
    )
    x = (wave - 8000) / 1000
    optical = sum(d * np.exp(-0.5 * ((wave - c) / WIDTH) ** 2) for d, c in zip(depths, LINES, strict=True))
    return (1 - 0.2 * x * np.exp(0.5 * heat)) * np.exp(-optical)


def toy_grid(wave: np.ndarray, axes: tuple[np.ndarray, ...] = AXES) -> SpectralGrid:
    """The toy star on a tensor of labels, without a continuum."""
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return make_grid(
        wave=wave,
        axes=axes,
        flux=toy_flux(nodes, wave),
        label_names=LABEL_NAMES,
        resolving_power=15000.0,
        flux_unit="relative",
        source="toy star of the tests",
    )


def unsealed(path: Path) -> Path:
    """A file as others write it: without the checksum, so that a test may change it."""
    with h5py.File(path, "a") as file:
        del file.attrs["sha256"]
    return path
