"""DESI `coadd-*` and `spectra-*`: many stars, several arms, a resolution matrix for each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.observed import Origin
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey import masks, widths
from crlb.readers.survey.hdus import Hdus, keyword, named, needed, rows_of, text

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
    return int(named(hdus, f"{_arms(hdus)[0]}_FLUX").header["NAXIS2"])  # type: ignore[union-attr]


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectrum of every row, its arms as segments.

    Raises:
        DataError: arms differ in their rows, or lack a part.
    """
    for arm in _arms(hdus):
        _check_rows(hdus, arm)
    for row in rows_of(options, count(hdus)):
        yield _row(hdus, path, row, options)


def _arms(hdus: Hdus) -> list[str]:
    return [
        arm for arm in ARMS if named(hdus, f"{arm}_FLUX") is not None and named(hdus, f"{arm}_WAVELENGTH")
    ]


def _check_rows(hdus: Hdus, arm: str) -> None:
    expected = (count(hdus), needed(hdus, f"{arm}_WAVELENGTH").data.size)
    for part in ("FLUX", "IVAR"):
        shape = needed(hdus, f"{arm}_{part}").data.shape
        if shape != expected:
            raise DataError(f"HDU {arm}_{part} must have the shape {expected}, found {shape}")


def _row(hdus: Hdus, path: Path, row: int, options: ReadOptions) -> Raw:
    arms = _arms(hdus)
    parts = [_part(hdus, f"{arm}_FLUX", row) for arm in arms]
    wave = [np.asarray(needed(hdus, f"{arm}_WAVELENGTH").data, np.float64) for arm in arms]
    masked = _masked(hdus, arms, row, options, [part.size for part in parts])
    powers = [_power(hdus, arm, row, wave[i]) for i, arm in enumerate(arms)]
    given = [np.full(wave[i].size, np.nan) if one is None else one for i, one in enumerate(powers)]
    fibermap = named(hdus, "FIBERMAP")
    return Raw(
        origin=Origin(str(path), DESI, "_".join(arms) + "_FLUX", row, text(fibermap, row, "TARGETID")),
        wave=np.concatenate(wave),
        flux=np.concatenate(parts),
        noise=np.concatenate([_part(hdus, f"{arm}_IVAR", row) for arm in arms]),
        noise_kind="ivar",
        bad=masked.bad,
        wave_unit="A",
        medium="vacuum",
        flux_unit=FLUX_UNIT,
        resolving_power=np.concatenate(given) if any(one is not None for one in powers) else None,
        segment=np.repeat(np.arange(len(arms)), [part.size for part in parts]),
        notes=(*_notes(hdus, row, given), *masked.notes),
    )


def _part(hdus: Hdus, name: str, row: int) -> Float[np.ndarray, " n_pix"]:
    return np.asarray(needed(hdus, name).data[row], np.float64)


def _masked(hdus: Hdus, arms: list[str], row: int, options: ReadOptions, sizes: list[int]) -> masks.Masked:
    found = [
        np.zeros(size, np.uint32)
        if named(hdus, f"{arm}_MASK") is None
        else masks.as_bits(np.asarray(needed(hdus, f"{arm}_MASK").data[row]))
        for arm, size in zip(arms, sizes, strict=True)
    ]
    return masks.rejected(np.concatenate(found), BITS, tuple(BITS), options.mask_bits)


def _power(
    hdus: Hdus, arm: str, row: int, wave: Float[np.ndarray, " n_pix"]
) -> Float[np.ndarray, " n_pix"] | None:
    matrix = named(hdus, f"{arm}_RESOLUTION")
    if matrix is None or matrix.data is None:
        return None
    sigma = widths.of_band(np.asarray(matrix.data[row], np.float64))
    return widths.from_sigma(wave, sigma * np.gradient(wave))


def _notes(hdus: Hdus, row: int, powers: list[np.ndarray]) -> Iterator[str]:
    fibermap = named(hdus, "FIBERMAP")
    kind = text(fibermap, row, "OBJTYPE") or "empty"
    yield "DESI: vacuum wavelengths, corrected to the barycentre; the velocity of the star is still in them"
    if kind != "TGT":
        what = {"SKY": "sky", "empty": "an empty fibre"}.get(kind, kind)
        yield f"OBJTYPE says that this row is no target but {what}"
    status = text(fibermap, row, "COADD_FIBERSTATUS", "FIBERSTATUS")
    if status not in ("", "0"):
        yield f"the fibre's status is {status}, not 0"
    if keyword(hdus[0].header, "INFIL000") == "" and text(fibermap, row, "EXPID"):
        yield f"one exposure, {text(fibermap, row, 'EXPID')}; other rows may hold the same star"
    if any(np.isfinite(power).any() for power in powers):
        yield "resolving power from the second moments of the resolution matrix"
