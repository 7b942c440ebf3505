"""PFS: `pfsObject`, `pfsSingle`, `pfsGAObject` (one star); which file it is; the others are in `pfs_sets`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crlb.errors import DataError, UsageError
from crlb.files.observed import Origin
from crlb.labels import LABEL_NAMES
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey import pfs_sets
from crlb.readers.survey.hdus import (
    Hdu,
    Hdus,
    chosen,
    column,
    has,
    is_table,
    keyword,
    named,
    needed,
    numbers,
    text,
    whole,
)
from crlb.readers.survey.pfs_axis import arms_of, keyword_wave, planes, rejected, resolving_power

OBJECT, GA_OBJECT = "PFS pfsObject", "PFS pfsGAObject"
TABLES = ("FLUXTABLE", "FLUX_TABLE", "FLUXTBL")
STELLAR = ("STELLARPARAM", "STPARAM")
FRAME = (
    "PFS: vacuum wavelengths, corrected to the barycentre by the pipeline's default; the velocity of the "
    "star is still in them"
)


def format_of(hdus: Hdus) -> str | None:
    """Returns the name of the format if the file is one of PFS, else None."""
    flux, target, covariance = named(hdus, "FLUX"), named(hdus, "TARGET"), named(hdus, "COVAR")
    if flux is None or named(hdus, "MASK") is None or (covariance is None and target is None):
        return None
    if target is not None and has(target, "targetId", "objId"):
        return pfs_sets.COADD
    if flux.header.get("NAXIS") == 2 and covariance is not None:
        return pfs_sets.format_of(hdus)
    if flux.header.get("NAXIS") != 1:
        return None
    return OBJECT if named(hdus, *STELLAR) is None else GA_OBJECT


def count(hdus: Hdus) -> int:
    """Returns the number of fibres or objects."""
    name = format_of(hdus)
    return 1 if name in (OBJECT, GA_OBJECT) else pfs_sets.count(name or "", hdus)


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectra of a file.

    Raises:
        DataError: an HDU or column is missing, or the wavelengths are not to be had.
        UsageError: the option --hdu names neither the table nor the image of fluxes.
    """
    if name not in (OBJECT, GA_OBJECT):
        yield from pfs_sets.read(name, hdus, path, options)
        return
    picked = chosen(hdus, options) or _full_table(hdus) or needed(hdus, "FLUX")
    if picked.name.upper() in TABLES and is_table(picked):
        yield _table(name, hdus, picked, path, options)
    elif picked.name.upper() == "FLUX":
        yield _images(name, hdus, path, options)
    else:
        raise UsageError(f"--hdu must be FLUX or {' or '.join(TABLES)} for PFS files, found {picked.name}")


def _full_table(hdus: Hdus) -> Hdu | None:
    """The table of fluxes that were not resampled, if it is there and has rows."""
    table = named(hdus, *TABLES)
    return table if table is not None and is_table(table) and len(table.data) > 1 else None


def _table(name: str, hdus: Hdus, table: Hdu, path: Path, options: ReadOptions) -> Raw:
    wave, mask = column(table, "wavelength", "lambda"), whole(table, "mask")
    error, variance = numbers(table, "error"), numbers(table, "fluxVariance", "variance")
    noise = variance if error is None else error
    names = planes(table.header, *_headers(hdus))
    masked = rejected(np.zeros(wave.size, np.int32) if mask is None else mask, names, options.mask_bits)
    power, said = resolving_power(wave, arms_of(hdus))
    return Raw(
        origin=Origin(str(path), name, str(table.name), None, _star(hdus)),
        wave=wave,
        flux=column(table, "flux"),
        noise=noise,
        noise_kind=None if noise is None else "variance" if error is None else "error",
        bad=masked.bad,
        wave_unit="nm",
        medium="vacuum",
        flux_unit="nJy",
        resolving_power=power,
        labels=labels_of(hdus),
        notes=(FRAME, "fluxes that were not resampled", said, *masked.notes, *label_notes(hdus)),
    )


def _images(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Raw:
    image, stored = needed(hdus, "FLUX"), named(hdus, "WAVELENGTH")
    flux = np.asarray(image.data, np.float64)
    if stored is not None and stored.data is not None:
        wave, said = np.asarray(stored.data, np.float64), "wavelengths from the HDU WAVELENGTH"
    else:
        wave, said = keyword_wave(image.header, flux.size)
    covariance, mask = named(hdus, "COVAR"), np.asarray(needed(hdus, "MASK").data)
    # Spectra of models (pfsSimObject, pfsReference) have no errors.
    variance = None if covariance is None else np.atleast_2d(np.asarray(covariance.data, np.float64))[0]
    parts = {"WAVELENGTH": wave, "COVAR": flux if variance is None else variance, "MASK": mask}
    for what, part in parts.items():
        if part.size != flux.size:
            raise DataError(f"HDU {what} must have {flux.size} pixels as FLUX has, found {part.size}")
    masked = rejected(mask, planes(*_headers(hdus)), options.mask_bits)
    power, width = resolving_power(wave, arms_of(hdus), native=False)
    return Raw(
        origin=Origin(str(path), name, "FLUX", None, _star(hdus)),
        wave=wave,
        flux=flux,
        noise=variance,
        noise_kind=None if variance is None else "variance",
        bad=masked.bad,
        wave_unit="nm",
        medium="vacuum",
        flux_unit="nJy",
        resolving_power=power,
        labels=labels_of(hdus),
        notes=(FRAME, said, "fluxes were resampled: their errors are correlated", width, *masked.notes),
    )


def _headers(hdus: Hdus) -> tuple[Hdu, ...]:
    return needed(hdus, "MASK").header, needed(hdus, "FLUX").header, hdus[0].header


def _star(hdus: Hdus) -> str:
    target = named(hdus, "TARGET")
    for header in ([] if target is None else [target.header]) + [hdus[0].header]:
        if "OBJID" in header:
            return f"{keyword(header, 'CATID')}/{keyword(header, 'OBJID')}".lstrip("/")
    return ""


def labels_of(hdus: Hdus) -> dict[str, float]:
    """Returns the labels that the file's table of stellar parameters holds; none without a temperature."""
    table = named(hdus, *STELLAR)
    if table is None or not has(table, "param", "value"):
        return {}
    values = np.atleast_1d(column(table, "value"))
    flags = whole(table, "flag")
    found = {
        text(table, row, "param"): float(values[row])
        for row in range(len(values))
        if np.isfinite(values[row]) and (flags is None or not np.atleast_1d(flags)[row])
    }
    return {name: found[name] for name in LABEL_NAMES if name in found} if found.get("T_eff", 0) > 0 else {}


def label_notes(hdus: Hdus) -> tuple[str, ...]:
    """Returns what is to be said of the labels of a file."""
    if named(hdus, *STELLAR) is None:
        return ()
    found = labels_of(hdus)
    return (f"labels of the pipeline: {', '.join(found)}" if found else "the table of labels is empty",)
