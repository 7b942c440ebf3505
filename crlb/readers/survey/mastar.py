"""MaStar: spectra of single stars as images in log10 wave, and the tables of all visits."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crlb.files.observed import Origin
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey import masks
from crlb.readers.survey.hdus import Hdu, Hdus, cell, float_keyword, has, keyword, named, rows_of, text

TEMPLATE, VISITS = "MaStar template", "MaStar visits"
LOGARITHMS = (3.0, 4.7)  # log10 of 1000 Å and 5 um: no wavelength in Å, nm or um of an optical spectrum


def format_of(hdus: Hdus) -> str | None:
    """Returns the name of the format if the file is one of MaStar, else None."""
    header, powers = hdus[0].header, named(hdus, "SPECRES")
    first = float_keyword(header, "CRVAL1")
    if powers is not None and header.get("NAXIS") == 1 and first is not None:
        same = powers.header.get("NAXIS1") == header["NAXIS1"]
        return TEMPLATE if same and LOGARITHMS[0] < first < LOGARITHMS[1] else None
    return VISITS if any(_has_visits(hdu) for hdu in hdus) else None


def count(hdus: Hdus) -> int:
    """Returns the number of spectra."""
    return next((len(hdu.data) for hdu in hdus if _has_visits(hdu)), 1)


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectra."""
    if name == TEMPLATE:
        yield _template(hdus, path)
        return
    hdu = next(hdu for hdu in hdus if _has_visits(hdu))
    for row in rows_of(options, len(hdu.data)):
        yield _visit(hdu, row, path, options)


def _has_visits(hdu: Hdu) -> bool:
    return has(hdu, "MANGAID", "WAVE", "FLUX", "IVAR", "MASK")


def _template(hdus: Hdus, path: Path) -> Raw:
    header, flux = hdus[0].header, np.asarray(hdus[0].data, np.float64)
    first, step = float_keyword(header, "CRVAL1"), float_keyword(header, "CD1_1", "CDELT1")
    pixel = float_keyword(header, "CRPIX1")
    logarithm = (first or 0) + (step or np.nan) * (np.arange(flux.size) + 1 - (1 if pixel is None else pixel))
    powers = named(hdus, "SPECRES")
    return Raw(
        origin=Origin(str(path), TEMPLATE, "", None, keyword(header, "OBJECT", "MANGAID")),
        wave=10**logarithm,
        flux=flux,
        wave_unit="A",
        medium="vacuum",
        flux_unit="unknown",
        resolving_power=None if powers is None else np.asarray(powers.data, np.float64),
        rv_kms=0.0,
        notes=(
            "CRVAL1 is a logarithm of Å by its size; the header does not say so",
            "MaStar: vacuum wavelengths at rest, as the survey has them; the file says neither",
            "resolving power from the HDU SPECRES",
        ),
    )


def _visit(hdu: Hdu, row: int, path: Path, options: ReadOptions) -> Raw:
    wave, flux, ivar = (np.asarray(cell(hdu, row, name), np.float64) for name in ("WAVE", "FLUX", "IVAR"))
    mask = cell(hdu, row, "MASK")
    masked = masks.rejected(np.zeros(wave.size, np.int64) if mask is None else mask, wanted=options.mask_bits)
    velocity = text(hdu, row, "HELIOV")
    known = (f"the survey's velocity is {velocity} km/s (not removed)",) if velocity else ()
    return Raw(
        origin=Origin(str(path), VISITS, str(hdu.name), row, text(hdu, row, "MANGAID")),
        wave=wave,
        flux=flux,
        noise=ivar,
        noise_kind="ivar",
        bad=masked.bad,
        wave_unit="A",
        medium="vacuum",
        flux_unit="1e-17 erg/s/cm2/A",
        notes=(
            "MaStar: vacuum wavelengths; not in the file is whether they are at rest: taken as observed",
            "the resolution is not read from these tables; give --resolving-power",
            *known,
            *masked.notes,
        ),
    )
