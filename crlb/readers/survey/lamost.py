"""LAMOST low resolution (image of rows, or table since DR8) and medium resolution (tables per exposure)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.observed import Origin
from crlb.readers.options import Medium, ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey import masks
from crlb.readers.survey.hdus import Hdu, Hdus, chosen, column, float_keyword, has, keyword, numbers, whole

LRS, MRS = "LAMOST LRS", "LAMOST MRS"
MEASURED_LRS = 1500.0  # wave / FWHM at 8500 Å: 1300-1600 measured on the stars of one plate; 1800 nominal
NOMINAL_MRS = 7500.0  # wave / FWHM, data release papers


def format_of(hdus: Hdus) -> str | None:
    """Returns the name of the format if the file is one of LAMOST, else None."""
    header = hdus[0].header
    if "LAMOST" not in keyword(header, "TELESCOP").upper() and "LAMOST" not in keyword(
        header, "DATA_V", "ORIGIN"
    ):
        return None
    if header.get("NAXIS") == 2 and header.get("NAXIS2", 0) >= 4 and _coefficients(header) is not None:
        return LRS
    tables = _tables(hdus)
    if not tables:
        return None
    return LRS if tables[0].name.upper() == "COADD" else MRS


def count(hdus: Hdus) -> int:
    """Returns 1: one star per file."""
    return 1


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectrum; of medium resolution the coadded arms, as segments.

    Raises:
        DataError: the HDU that the option --hdu names holds no spectrum, or rows or columns are missing.
    """
    if not _tables(hdus):
        yield _image(hdus, path, options)
        return
    picked = chosen(hdus, options)
    tables = _tables(hdus) if picked is None else [picked]
    # A file of medium resolution that has no coadded arm has its exposures, all of them, as segments.
    coadded = [hdu for hdu in tables if hdu.name.upper().startswith("COADD")]
    yield _of_tables(name, hdus, coadded or tables, path, options)


def _tables(hdus: Hdus) -> list[Hdu]:
    return [
        hdu for hdu in hdus if has(hdu, "FLUX", "IVAR") and (has(hdu, "WAVELENGTH") or has(hdu, "LOGLAM"))
    ]


def _coefficients(header: Hdu) -> tuple[float, float] | None:
    """log10 of the first wavelength (Å) and its step."""
    first = float_keyword(header, "COEFF0", "CRVAL1")
    step = float_keyword(header, "COEFF1", "CD1_1", "CDELT1")
    return None if first is None or step is None else (first, step)


def _image(hdus: Hdus, path: Path, options: ReadOptions) -> Raw:
    """Rows: flux, inverse variance, wavelength or flux without continuum, and-mask, or-mask."""
    header, rows = hdus[0].header, np.asarray(hdus[0].data)
    first, step = _coefficients(header) or (np.nan, np.nan)
    masked = masks.rejected(rows[3], wanted=options.mask_bits)
    return Raw(
        origin=Origin(str(path), LRS, "", None, keyword(header, "DESIG", "OBJNAME")),
        # Not the third row: it holds float32, and in the first releases no wavelengths at all.
        wave=10 ** (first + step * np.arange(rows.shape[1])),
        flux=rows[0].astype(np.float64),
        noise=rows[1].astype(np.float64),
        noise_kind="ivar",
        bad=masked.bad,
        wave_unit="A",
        medium=_medium(header),
        flux_unit="unknown",
        resolving_power=MEASURED_LRS,
        notes=(*_notes(LRS, header), *masked.notes),
    )


def _of_tables(name: str, hdus: Hdus, tables: list[Hdu], path: Path, options: ReadOptions) -> Raw:
    parts = [_columns(hdu) for hdu in tables]
    flux = [part[1] for part in parts]
    masked = masks.rejected(np.concatenate([part[3] for part in parts]), wanted=options.mask_bits)
    header = hdus[0].header
    return Raw(
        origin=Origin(
            str(path), name, "+".join(hdu.name for hdu in tables), None, keyword(header, "DESIG", "OBJNAME")
        ),
        wave=np.concatenate([part[0] for part in parts]),
        flux=np.concatenate(flux),
        noise=np.concatenate([part[2] for part in parts]),
        noise_kind="ivar",
        bad=masked.bad,
        wave_unit="A",
        medium=_medium(header),
        flux_unit="unknown",
        resolving_power=MEASURED_LRS if name == LRS else NOMINAL_MRS,
        segment=np.repeat(np.arange(len(flux)), [one.size for one in flux]) if len(flux) > 1 else None,
        notes=(*_notes(name, header), *masked.notes),
    )


def _columns(
    hdu: Hdu,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"], np.ndarray]:
    """Wavelength (Å), flux, inverse variance and mask of a table."""
    if not has(hdu, "FLUX", "IVAR"):
        raise DataError(f"HDU {hdu.name} must be a table with FLUX and IVAR")
    loglam = numbers(hdu, "LOGLAM")
    wave = column(hdu, "WAVELENGTH") if loglam is None else 10**loglam
    flux, ivar, mask = column(hdu, "FLUX"), column(hdu, "IVAR"), whole(hdu, "ANDMASK", "PIXMASK")
    return wave, flux, ivar, np.zeros(flux.size, np.int64) if mask is None else masks.as_bits(mask)


def _medium(header: Hdu) -> Medium:
    return "air" if header.get("VACUUM") is False else "vacuum"


def _notes(name: str, header: Hdu) -> Iterator[str]:
    if "VACUUM" not in header:
        yield "LAMOST: the file has no keyword VACUUM; vacuum wavelengths assumed, as in all releases"
    corrected = header.get("HELIO") is not False
    frame = "corrected to the Sun" if corrected else "not corrected to the Sun"
    yield f"LAMOST: wavelengths {frame}; the velocity of the star is still in them"
    if name == LRS:
        yield "resolving power 1500: 1300-1600 was measured at 8500 Å on one plate, nominal is 1800"
    else:
        yield "resolving power 7500, nominal"
    yield "the mask is the and-mask: every bit of it rejects"
    kind = f"{keyword(header, 'CLASS')} {keyword(header, 'SUBCLASS')}".strip()
    if kind:
        yield f"the pipeline's class is {kind}, z = {keyword(header, 'Z')} (not removed)"
