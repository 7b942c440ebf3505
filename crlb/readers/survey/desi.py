"""DESI `coadd-*` and `spectra-*`: many stars, several arms, a resolution matrix for each."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.observed import Origin
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey import masks, widths
from crlb.readers.survey.hdus import Hdu, Hdus, keyword, named, needed, rows_of, text

DESI = "DESI spectra"
ARMS = ("B", "R", "Z", "BRZ")  # BRZ: arms put together by desi_coadd_spectra --coadd-cameras
FLUX_UNIT = "1e-17 erg/s/cm2/A"
# specmask of desispec, py/desispec/maskbits.py.
BITS = {
    "SOMEBADPIX": 0,
    "ALLBADPIX": 1,
    "COSMIC": 2,
    "LOWFLAT": 3,
    "BADFIBERFLAT": 4,
    "BRIGHTSKY": 5,
    "BADSKY": 6,
    "BAD2DFIT": 7,
    "NODATA": 8,
    "BADFIBER": 9,
}


def format_of(hdus: Hdus) -> str | None:
    """Returns the name of the format if the file is one of DESI, else None."""
    return DESI if _arms(hdus) and named(hdus, "FIBERMAP") is not None else None


def count(hdus: Hdus) -> int:
    """Returns the number of rows, sky and empty ones included."""
    return int(needed(hdus, f"{_arms(hdus)[0]}_FLUX").header["NAXIS2"])


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectrum of every row, its arms as segments.

    Raises:
        DataError: arms differ in their rows, or lack a part.
    """
    arms = [_arm(hdus, letter) for letter in _arms(hdus)]
    fibermap, exposures = named(hdus, "FIBERMAP"), keyword(hdus[0].header, "INFIL000") == ""
    for row in rows_of(options, count(hdus)):
        yield _row(arms, fibermap, Origin(str(path), DESI, "", row), options, exposures)


class _Arm(NamedTuple):
    """One arm: wavelengths (Å), and what has a row per spectrum; None where the file has it not."""

    wave: Float[np.ndarray, " n_pix"]
    flux: np.ndarray
    ivar: np.ndarray
    mask: np.ndarray | None
    resolution: np.ndarray | None


def _arms(hdus: Hdus) -> list[str]:
    present = {str(hdu.name).upper() for hdu in hdus}
    return [arm for arm in ARMS if {f"{arm}_FLUX", f"{arm}_WAVELENGTH"} <= present]


def _arm(hdus: Hdus, letter: str) -> _Arm:
    wave = np.asarray(needed(hdus, f"{letter}_WAVELENGTH").data, np.float64)
    expected = (count(hdus), wave.size)
    flux, ivar = (needed(hdus, f"{letter}_{part}").data for part in ("FLUX", "IVAR"))
    for part, data in (("FLUX", flux), ("IVAR", ivar)):
        if data.shape != expected:
            raise DataError(f"HDU {letter}_{part} must have the shape {expected}, found {data.shape}")
    mask, resolution = named(hdus, f"{letter}_MASK"), named(hdus, f"{letter}_RESOLUTION")
    return _Arm(
        wave, flux, ivar, None if mask is None else mask.data, None if resolution is None else resolution.data
    )


def _row(arms: list[_Arm], fibermap: Hdu, origin: Origin, options: ReadOptions, exposures: bool) -> Raw:
    row = origin.row or 0
    powers = [_power(arm, row) for arm in arms]
    given = np.concatenate(
        [
            np.full(arm.wave.size, np.nan) if power is None else power
            for arm, power in zip(arms, powers, strict=True)
        ]
    )
    masked = masks.rejected(_mask(arms, row), BITS, tuple(BITS), options.mask_bits)
    return Raw(
        origin=replace(origin, star=text(fibermap, row, "TARGETID")),
        wave=np.concatenate([arm.wave for arm in arms]),
        flux=np.concatenate([np.asarray(arm.flux[row], np.float64) for arm in arms]),
        noise=np.concatenate([np.asarray(arm.ivar[row], np.float64) for arm in arms]),
        noise_kind="ivar",
        bad=masked.bad,
        wave_unit="A",
        medium="vacuum",
        flux_unit=FLUX_UNIT,
        resolving_power=None if all(power is None for power in powers) else given,
        segment=np.repeat(np.arange(len(arms)), [arm.wave.size for arm in arms]),
        notes=(*_notes(fibermap, row, given, exposures), *masked.notes),
    )


def _mask(arms: list[_Arm], row: int) -> np.ndarray:
    return np.concatenate(
        [
            np.zeros(arm.wave.size, np.uint32)
            if arm.mask is None
            else masks.as_bits(np.asarray(arm.mask[row]))
            for arm in arms
        ]
    )


def _power(arm: _Arm, row: int) -> Float[np.ndarray, " n_pix"] | None:
    if arm.resolution is None:
        return None
    sigma = widths.of_band(np.asarray(arm.resolution[row], np.float64))
    return widths.from_sigma(arm.wave, sigma * np.gradient(arm.wave))


def _notes(fibermap: Hdu, row: int, power: Float[np.ndarray, " n_pix"], exposures: bool) -> Iterator[str]:
    kind = text(fibermap, row, "OBJTYPE") or "empty"
    yield "DESI: vacuum wavelengths, corrected to the barycentre; the velocity of the star is still in them"
    if kind != "TGT":
        what = {"SKY": "sky", "empty": "an empty fibre"}.get(kind, kind)
        yield f"OBJTYPE says that this row is no target but {what}"
    status = text(fibermap, row, "COADD_FIBERSTATUS", "FIBERSTATUS")
    if status not in ("", "0"):
        yield f"the fibre's status is {status}, not 0"
    if exposures and text(fibermap, row, "EXPID"):
        yield f"one exposure, {text(fibermap, row, 'EXPID')}; other rows may hold the same star"
    if np.isfinite(power).any():
        yield "resolving power from the second moments of the resolution matrix"
