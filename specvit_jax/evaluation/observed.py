"""Observed spectra of a file, as methods read them and as they are scored on."""

from pathlib import Path

import numpy as np
from jaxtyping import Array, Float

from crlb.detector import DETECTOR_WAVE
from crlb.files import pfsspec
from crlb.files.hdf5 import open_input
from crlb.files.spectra import label_columns
from crlb.labels import LABEL_NAMES
from specvit_jax.spectra.source import Spectra
from specvit_jax.spectra.stored_noise import read_observable, say_noise, with_noise


def read_observed(
    data: str | Path,
    names: tuple[str, ...],
    level: float = 1.0,
    wave: Float[np.ndarray, " n_pix"] = DETECTOR_WAVE,
) -> Spectra:
    """Spectra of a file with flux, error and noisy, to be scored on these labels.

    The labels are looked for before any spectrum is read. Where the file has no noisy flux, noise is drawn
    from its errors as `with_noise` does, which is said on stderr.

    Args:
        data: the file.
        names: of the labels.
        level: factor on noise that is drawn.
        wave: pixel centres that the spectra must have, vacuum Å.

    Raises:
        MissingInputError: no such file.
        DataError: other wavelengths, damaged, NaN, non-positive errors.
        UsageError: it lacks one of the labels.
    """
    with open_input(data, "spectra") as file:
        table = pfsspec.read_table(file)
        if found := tuple(name for name in LABEL_NAMES if name in table):
            label_columns(found, names)
    say_noise(data, level)
    return with_noise(read_observable(data, wave=wave), level)


def usable_pixels(spectra: Spectra) -> Float[np.ndarray, "n n_pix"] | None:
    """1 for pixels with noisy flux that no mask marks, 0 for the others; None: there are no others."""
    assert spectra.noisy is not None
    known = np.isfinite(spectra.noisy)
    if spectra.usable is None and known.all():
        return None
    found: np.ndarray = known * (1 if spectra.usable is None else spectra.usable)
    return found.astype(np.float32)


def fill_unusable(
    flux: Float[np.ndarray, "n n_pix"], mean: Float[Array | np.ndarray, " n_pix"]
) -> tuple[Float[np.ndarray, "n n_pix"], int]:
    """The flux with NaN, which marks an unusable pixel, replaced by the training mean; and how many.

    A network sees zero there: the pixel says nothing.
    """
    missing = np.isnan(flux)
    return np.where(missing, np.asarray(mean)[None, :], flux), int(missing.sum())
