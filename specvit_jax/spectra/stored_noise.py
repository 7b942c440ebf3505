"""Noise of spectra that are stored without it: drawn from their errors, the same every time they are read."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crlb.detector import DETECTOR_WAVE
from crlb.files import pfsspec
from crlb.files.hdf5 import open_input
from crlb.files.spectra import EDGES, Spectra, read_spectra

SEED = 20_251_203  # of noise that files lack; the same for every method, so that they compare


def lacks_noise(path: str | Path) -> bool:
    """Whether a file of spectra has flux and errors, but no noisy flux.

    Raises:
        MissingInputError, DataError: it does not exist, or is not HDF5.
    """
    with open_input(path, "spectra") as file:
        has = {name: pfsspec.ARRAYS[name] in file for name in ("flux", "error", "noisy")}
    return has == {"flux": True, "error": True, "noisy": False}


def read_observable(
    path: str | Path, rows: int | None = None, wave: Float[np.ndarray, " n_pix"] = DETECTOR_WAVE
) -> Spectra:
    """Spectra of a file with flux and error, and with noisy where it has that.

    Args:
        path: the file.
        rows: spectra to read, from the first; None: all.
        wave: pixel centres that they must have, vacuum Å.

    Raises:
        MissingInputError, DataError: as `read_spectra`.
    """
    need = ("flux", "error") if lacks_noise(path) else ("flux", "error", "noisy")
    return read_spectra(path, need=need, wave=wave, rows=rows)


def with_noise(spectra: Spectra, level: float = 1.0) -> Spectra:
    """Spectra as they are if they have noisy flux; else flux + level x error x standard normal.

    The noise of a spectrum depends on its row alone. An error that is NaN, which the first and the last pixel
    may have, counts as that of the pixel beside it.

    Args:
        spectra: with flux and error.
        level: factor on the errors; 0: the flux itself.
    """
    if spectra.noisy is not None:
        return spectra
    assert spectra.flux is not None
    assert spectra.error is not None
    error = _edges_filled(spectra.error)
    noisy = np.empty_like(spectra.flux)
    for row, flux in enumerate(spectra.flux):
        noise = np.random.default_rng((SEED, row)).standard_normal(len(flux))
        noisy[row] = flux + level * error[row] * noise
    return replace(spectra, noisy=noisy, error=error * level if level else error)


def say_noise(path: str | Path, level: float) -> None:
    """Prints on stderr where the noise of a file's spectra comes from, if not from the file or not as asked.

    Args:
        path: the file.
        level: factor on the noise that is asked for.

    Raises:
        MissingInputError, DataError: as `lacks_noise`.
    """
    line = ""
    if lacks_noise(path):
        line = "the file has no noisy flux, and the training is without noise: its noiseless flux is read"
        if level:
            line = (
                f"the file has no noisy flux; noise of {level:g} times its errors is drawn, always the same"
            )
    elif not level:
        line = "the noisy flux of the file is read, although the training is without noise"
    if line:
        print(f"note: {path}: {line}", file=sys.stderr, flush=True)


def _edges_filled(error: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, "n n_pix"]:
    filled = error.copy()
    for edge, beside in zip(EDGES, (1, -2), strict=True):
        lost = np.isnan(filled[:, edge])
        filled[lost, edge] = filled[lost, beside]
    return filled
