"""A grid small enough for whole experiments: three labels, four nodes each, a few analytic lines."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.grids.grid_file import make_grid, save_grid


@pytest.fixture(scope="session")
def toy_grid(tmp_path_factory) -> Path:
    axes = (np.linspace(4000, 5500, 4), np.linspace(1, 4, 4), np.linspace(-1, 0.5, 4))
    flux = np.stack([toy_flux(*labels) for labels in product(*axes)]).reshape(4, 4, 4, -1)
    path = tmp_path_factory.mktemp("grid") / "toy.h5"
    save_grid(
        make_grid(
            wave=DETECTOR_WAVE,
            axes=axes,
            flux=flux,
            label_names=("T_eff", "log_g", "M_H"),
            resolving_power=5600.0,
            flux_unit="relative",
            source="analytic toy spectra, not stars",
        ),
        path,
    )
    return path


def toy_flux(t_eff: float, log_g: float, m_h: float) -> np.ndarray:
    """A sloping continuum with a metallicity-sensitive and a gravity-sensitive set of lines."""
    flux = (DETECTOR_WAVE / 8000) ** (4 - t_eff / 1000)
    for i, centre in enumerate(np.linspace(7200, 8750, 16)):
        strength = 10 ** (0.4 * m_h) * (1 + 0.3 * (log_g - 2.5) * (-1) ** i)
        flux *= 1 - 0.35 * strength / 1.7 * np.exp(-0.5 * ((DETECTOR_WAVE - centre) / (6 + log_g)) ** 2)
    return flux
