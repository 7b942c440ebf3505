"""The files of spectra that `crlb posterior` is given, looked at before jax is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, UsageError
from crlb.files.observed import MODEL_UNIT, Observed
from crlb.readers.many import Spoilt, spectra_of
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed

WAVE_TOLERANCE = 0.004  # Å, a hundredth of the arm's pixel


@dataclass(frozen=True, eq=False)
class Files:
    """Files of spectra, and what the first spectrum of each says of the others.

    Args:
        paths: the files.
        options: how they are to be understood.
        n: number of spectra; a file that cannot be read counts as one.
        known: labels that at least one of them has.
        simulated: whether all are spectra of this project's simulations, in the scale of its models.
        has_errors: whether all have errors.
    """

    paths: tuple[Path, ...]
    options: ReadOptions
    n: int
    known: tuple[str, ...]
    simulated: bool
    has_errors: bool


def look_at(paths: Sequence[Path], options: ReadOptions) -> Files:
    """Returns what is in the files, from their first spectra.

    Raises:
        DataError: none of them can be read: why the first cannot.
        UsageError: an option does not fit the files.
    """
    next(spectra_of(paths, options))
    n, firsts = 0, []
    for path in paths:
        try:
            file = open_observed(path, options)
        except DataError:  # keeps one row, with the reason
            n += 1
            continue
        n += file.n
        firsts += [one for one in file.each(0, 1) if isinstance(one, Observed)]
    known = dict.fromkeys(name for one in firsts for name in one.labels)
    simulated = bool(firsts) and all(one.unit == MODEL_UNIT for one in firsts)
    has_errors = all(one.has_errors for one in firsts)
    return Files(tuple(paths), options, n, tuple(known), simulated, has_errors)


def check_for_noise_model(paths: Sequence[Path], options: ReadOptions, mag: float | None) -> None:
    """Refuses files that a noise model cannot say the errors of.

    Raises:
        DataError: pixels that are none of the arm's, or no magnitude.
        UsageError: a magnitude beside that of the file.
    """
    for path in paths:
        one = next(iter(open_observed(path, options).spectra(0, 1)))
        arm_pixels(one)
        if one.mag is None and mag is None:
            raise DataError(f"{path} has no column mag; give the magnitude with --mag")
        if one.mag is not None and mag is not None:
            raise UsageError(f"--mag {mag:g} has no effect: {path} has a column mag; leave it out")


def arm_pixels(observed: Observed) -> np.ndarray:
    """Returns the row numbers of a spectrum's pixels among those of the arm.

    Raises:
        DataError: they are others.
    """
    nearest = np.clip(
        np.searchsorted(DETECTOR_WAVE, observed.wave - WAVE_TOLERANCE), 0, DETECTOR_WAVE.size - 1
    )
    off = np.abs(DETECTOR_WAVE[nearest] - observed.wave)
    if off.max() > WAVE_TOLERANCE or observed.segment is not None:
        worst = int(np.argmax(off))
        raise DataError(
            f"{observed.origin}: --noise model needs spectra on pixels of the arm, {DETECTOR_WAVE[0]:.3f} to "
            f"{DETECTOR_WAVE[-1]:.3f} Å, found one at {observed.wave[worst]:.3f} Å; leave --noise out to use "
            "the errors of the file"
        )
    found: np.ndarray = nearest
    return found


def placed(one: Observed | Spoilt, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Returns flux and usable pixels of a spectrum on the model's pixels; why it cannot be used, if so."""
    flux, usable = np.zeros(wave.size), np.zeros(wave.size, bool)
    if isinstance(one, Spoilt):
        return flux, usable, one.reason
    try:
        pixels = DETECTOR_WAVE[arm_pixels(one)]
    except DataError as error:
        return flux, usable, str(error)
    place = np.searchsorted(wave, pixels - 1e-6)
    inside = (place < wave.size) & (np.abs(wave[np.minimum(place, wave.size - 1)] - pixels) < 1e-3)
    flux[place[inside]], usable[place[inside]] = one.flux[inside], one.usable[inside]
    return flux, usable, ""
