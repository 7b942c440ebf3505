"""CALSPEC: absolute fluxes of standard stars from HST/STIS."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from crlb.files.observed import Origin
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey.hdus import Hdu, Hdus, column, has, keyword, numbers

CALSPEC = "CALSPEC"
NULL = 1e38  # larger numbers stand for "no value" (1.6e38)
# Measured at 8500 Å on the Sun's twins: R 400-500 where the column FWHM says 880.
TRUE_WIDTH = 2.0  # times the column FWHM
PIXELS = (0.5, 20.0)  # a width of fewer or more pixels than this is no width
PLAUSIBLE = 0.9  # of the widths must be widths


def format_of(hdus: Hdus) -> str | None:
    """Returns the name of the format if the file is one of CALSPEC, else None."""
    return CALSPEC if any(_is_table(hdu) for hdu in hdus) else None


def count(hdus: Hdus) -> int:
    """Returns 1: one star per file."""
    return 1


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectrum."""
    hdu, header = next(hdu for hdu in hdus if _is_table(hdu)), hdus[0].header
    wave, error = column(hdu, "WAVELENGTH"), _error(hdu)
    power = _resolving_power(hdu, wave)
    yield Raw(
        origin=Origin(str(path), CALSPEC, str(hdu.name), None, keyword(header, "TARGETID")),
        wave=wave,
        flux=column(hdu, "FLUX"),
        noise=error,
        noise_kind="error",
        bad=_bad(hdu),
        wave_unit="A",
        medium="vacuum",
        flux_unit="erg/s/cm2/A",
        resolving_power=power,
        notes=tuple(_notes(hdu, power)),
    )


def _is_table(hdu: Hdu) -> bool:
    return has(hdu, "WAVELENGTH", "FLUX", "STATERROR", "SYSERROR")


def _known(values: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    known: np.ndarray = np.isfinite(values) & (np.abs(values) < NULL)
    return known


def _error(hdu: Hdu) -> Float[np.ndarray, " n"]:
    """Statistical and systematic error in quadrature; one alone where the other has no value."""
    parts = [column(hdu, "STATERROR"), column(hdu, "SYSERROR")]
    squares = [np.where(_known(part), part, 0.0) ** 2 for part in parts]
    total: np.ndarray = np.sqrt(squares[0] + squares[1])
    return total


def _bad(hdu: Hdu) -> dict[str, Bool[np.ndarray, " n"]]:
    statistical, quality = column(hdu, "STATERROR"), numbers(hdu, "DATAQUAL")
    bad = {"statistical error 0: a model, not measured": statistical == 0}
    return bad if quality is None else bad | {"DATAQUAL 0": quality == 0}


def _resolving_power(hdu: Hdu, wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"] | None:
    """Resolving power from the column FWHM, mended; None where the column cannot be a width."""
    fwhm = numbers(hdu, "FWHM")
    if fwhm is None:
        return None
    pixel = np.abs(np.gradient(wave))
    good = (fwhm >= PIXELS[0] * pixel) & (fwhm <= PIXELS[1] * pixel)
    if np.mean(good) < PLAUSIBLE:
        return None
    return np.where(good, wave / (TRUE_WIDTH * np.where(good, fwhm, 1.0)), np.nan)


def _notes(hdu: Hdu, power: np.ndarray | None) -> Iterator[str]:
    yield "CALSPEC: vacuum wavelengths as observed, known to no better than 50 km/s"
    if not _known(column(hdu, "STATERROR")).any():
        yield "the file has no statistical errors; the systematic ones stand alone"
    else:
        yield "errors: statistical and systematic in quadrature"
    if power is not None:
        yield "resolving power from twice the column FWHM: 400-500 was measured where it says 880"
    elif has(hdu, "FWHM"):
        yield (
            "the column FWHM holds no widths (it is not of the order of the pixels) and is left out; "
            "400-500 was measured on such files: give --resolving-power"
        )
