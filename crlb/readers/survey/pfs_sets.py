"""PFS files of many fibres: `pfsArm`, `pfsMerged` (electrons) and `pfsCoadd`, `pfsCalibrated` (nJy)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError, UsageError
from crlb.files.observed import Origin
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey.hdus import Hdu, Hdus, cell, chosen, is_table, named, needed, rows_of, text, whole
from crlb.readers.survey.pfs_axis import FWHM, arms_of, planes, planes_in_text, rejected, resolving_power

ARM, MERGED, COADD = "PFS pfsArm", "PFS pfsMerged", "PFS pfsCoadd"
MERGED_RANGE = 400.0  # nm: no arm is as wide
TARGET_TYPES = {2: "sky", 3: "a flux standard", 4: "unassigned"}  # TargetType of the datamodel; 1 is science


def format_of(hdus: Hdus) -> str | None:
    """Returns which of the two formats of extracted fibres a file has."""
    wave = named(hdus, "WAVELENGTH")
    if wave is None or wave.data is None:
        return None
    shared = wave.header.get("NAXIS") == 1
    return MERGED if shared or np.ptp(np.atleast_2d(wave.data)[0]) > MERGED_RANGE else ARM


def count(name: str, hdus: Hdus) -> int:
    """Returns the number of fibres, or of objects."""
    if name == COADD:
        return len(needed(hdus, "TARGET").data)
    return int(needed(hdus, "FLUX").header["NAXIS2"])


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectrum of every fibre or object.

    Raises:
        DataError: an HDU is missing or has another shape.
        UsageError: the option --hdu names neither FLUX nor FLUXTABLE.
    """
    picked = chosen(hdus, options)
    if picked is not None and picked.name.upper() not in ("FLUX", "FLUXTABLE"):
        raise UsageError(f"--hdu must be FLUX or FLUXTABLE for PFS files, found {picked.name}")
    for row in rows_of(options, count(name, hdus)):
        yield _object(hdus, path, row, options) if name == COADD else _fibre(name, hdus, path, row, options)


def _fibre(name: str, hdus: Hdus, path: Path, row: int, options: ReadOptions) -> Raw:
    flux = np.asarray(needed(hdus, "FLUX").data[row], np.float64)
    wave = _pixels(hdus, "WAVELENGTH", row)
    variance = np.asarray(needed(hdus, "COVAR").data[row], np.float64)[0]
    mask, norm = np.asarray(needed(hdus, "MASK").data[row]), named(hdus, "NORM")
    said = "flux in electrons, with the throughput of the instrument in it"
    if norm is not None and norm.data is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            counts = np.asarray(norm.data[row], np.float64)
            flux, variance = flux / counts, variance / counts**2
        said = "flux is FLUX / NORM, relative to the lamp of the flat field"
    names = planes(needed(hdus, "MASK").header, needed(hdus, "FLUX").header, hdus[0].header)
    masked = rejected(mask, names, options.mask_bits)
    power, width = resolving_power(wave, arms_of(hdus), native=name == ARM)
    return Raw(
        origin=Origin(str(path), name, "FLUX", row, _fibre_name(hdus, row)),
        wave=wave,
        flux=flux,
        noise=variance,
        noise_kind="variance",
        bad=masked.bad,
        wave_unit="nm",
        medium="vacuum",
        flux_unit="unknown",
        resolving_power=power,
        notes=(f"PFS: vacuum wavelengths as observed; {said}", width, *masked.notes),
    )


def _pixels(hdus: Hdus, name: str, row: int) -> Float[np.ndarray, " n_pix"]:
    """A fibre's row of an image, or the only one where all fibres share it."""
    data = needed(hdus, name).data
    return np.asarray(data if data.ndim == 1 else data[row], np.float64)


def _fibre_name(hdus: Hdus, row: int) -> str:
    fibres = named(hdus, "FIBERID")
    return "" if fibres is None or fibres.data is None else f"fibre {np.atleast_1d(fibres.data)[row]}"


def _object(hdus: Hdus, path: Path, row: int, options: ReadOptions) -> Raw:
    table, target = named(hdus, "FLUXTABLE"), needed(hdus, "TARGET")
    picked = chosen(hdus, options)
    wanted = table is not None and (picked is None or picked.name.upper() == "FLUXTABLE")
    parts = _table_parts(table, row) if wanted else None
    from_table, said = parts is not None, "fluxes that were not resampled"
    if parts is None:
        parts, said = _image_parts(hdus, row), "fluxes were resampled: their errors are correlated"
    wave, flux, noise, mask = parts
    masked = rejected(mask, _names(hdus, row), options.mask_bits)
    power, width = resolving_power(wave, _arms(hdus, row), native=from_table)
    kind = text(target, row, "targetType")
    what = TARGET_TYPES.get(int(kind)) if kind.isdigit() else None
    return Raw(
        origin=Origin(
            str(path), COADD, "FLUXTABLE" if from_table else "FLUX", row, _object_name(target, row)
        ),
        wave=wave,
        flux=flux,
        noise=noise,
        noise_kind="error" if from_table else "variance",
        bad=masked.bad,
        wave_unit="nm",
        medium="vacuum",
        flux_unit="nJy",
        resolving_power=power,
        notes=(
            "PFS: vacuum wavelengths, corrected to the barycentre by the pipeline's default",
            *([] if what is None else [f"the target is {what}"]),
            *(said, width, *masked.notes),
        ),
    )


def _object_name(target: Hdu, row: int) -> str:
    return f"{text(target, row, 'catId')}/{text(target, row, 'objId')}"


_Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _table_parts(table: Hdu, row: int) -> _Parts | None:
    """Wavelength (nm), flux, error and mask of an object's row in the table; None where it is empty."""
    found = [cell(table, row, name) for name in ("wavelength", "flux", "error", "mask")]
    if any(part is None or np.size(part) < 2 for part in found):
        return None
    wave, flux, error = (np.asarray(part, np.float64).ravel() for part in found[:3])
    return wave, flux, error, np.asarray(found[3]).ravel()


def _image_parts(hdus: Hdus, row: int) -> _Parts:
    """Wavelength (nm), flux, variance and mask of an object: rows of images, or cells of tables."""
    wave, flux, mask = (_row(needed(hdus, name), row) for name in ("WAVELENGTH", "FLUX", "MASK"))
    covariance = needed(hdus, "COVAR")
    rows = cell(covariance, row, "row_0") if is_table(covariance) else covariance.data[row][0]
    variance = np.asarray(rows, np.float64)
    sizes = {part.size for part in (wave, flux, mask, variance)}
    if len(sizes) > 1:
        raise DataError(f"object {row}: WAVELENGTH, FLUX, MASK and COVAR must have one length, found {sizes}")
    return wave.astype(np.float64), flux.astype(np.float64), variance, mask


def _row(hdu: Hdu, row: int) -> np.ndarray:
    if is_table(hdu):
        found = cell(hdu, row, "value")
        if found is None:
            raise DataError(f"HDU {hdu.name} must be an image, or a table with the column value")
        return np.asarray(found)
    return np.asarray(hdu.data if hdu.data.ndim == 1 else hdu.data[row])


def _names(hdus: Hdus, row: int) -> dict[str, int]:
    """Mask bits by name: of the object's metadata, else of the headers."""
    metadata = named(hdus, "METADATA")
    found = {} if metadata is None else planes_in_text(text(metadata, row, "metadata"))
    return found or planes(needed(hdus, "MASK").header, hdus[0].header)


def _arms(hdus: Hdus, row: int) -> str:
    """Letters of the arms that the observations of one object name."""
    table, mine = named(hdus, "OBSERVATIONS"), cell(needed(hdus, "TARGET"), row, "targetId")
    targets = None if table is None or not is_table(table) else whole(table, "targetId")
    if table is None or targets is None or mine is None:
        return ""
    found = "".join(text(table, int(i), "arm") for i in np.flatnonzero(targets == mine))
    return "".join(sorted({letter for letter in found if letter in FWHM}))
