"""SDSS and BOSS: `spec-*` (table per spectrum) and the older `spSpec-*` (image of rows)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.observed import Origin
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey import masks, widths
from crlb.readers.survey.hdus import (
    Hdu,
    Hdus,
    cell,
    chosen,
    column,
    has,
    keyword,
    named,
    numbers,
    text,
    whole,
)

SPEC, SPSPEC = "SDSS spec", "SDSS spSpec"
FLUX_UNIT = "1e-17 erg/s/cm2/A"
# SPPIXMASK of idlutils, data/sdss/sdssMaskbits.par: bits 0-15 of the fibre, 16-31 of the pixel.
BITS = {
    "NOPLUG": 0,
    "BADTRACE": 1,
    "BADFLAT": 2,
    "BADARC": 3,
    "MANYBADCOLUMNS": 4,
    "MANYREJECTED": 5,
    "LARGESHIFT": 6,
    "BADSKYFIBER": 7,
    "NEARWHOPPER": 8,
    "WHOPPER": 9,
    "SMEARIMAGE": 10,
    "SMEARHIGHSN": 11,
    "SMEARMEDSN": 12,
    "NEARBADPIXEL": 16,
    "LOWFLAT": 17,
    "FULLREJECT": 18,
    "PARTIALREJECT": 19,
    "SCATTEREDLIGHT": 20,
    "CROSSTALK": 21,
    "NOSKY": 22,
    "BRIGHTSKY": 23,
    "NODATA": 24,
    "COMBINEREJ": 25,
    "BADFLUXFACTOR": 26,
    "BADSKYCHI": 27,
    "REDMONSTER": 28,
}
# NODATA is not among them: where it is true the inverse variance is 0, and DR9 sets it wrongly where the
# cameras overlap (www.sdss.org, caveats of DR9). BRIGHTSKY, BADSKYCHI, REDMONSTER: skymask of idlspec2d.
UNUSABLE = (
    *("NOPLUG", "BADTRACE", "BADFLAT", "BADARC", "FULLREJECT", "NOSKY", "BRIGHTSKY", "COMBINEREJ"),
    *("BADFLUXFACTOR", "BADSKYCHI", "REDMONSTER"),
)


def format_of(hdus: Hdus) -> str | None:
    """Returns the name of the format if the file is one of SDSS, else None."""
    if _spectra(hdus):
        return SPEC
    header = hdus[0].header
    rows = header.get("NAXIS") == 2 and header.get("NAXIS2") in (5, 6) and "COEFF0" in header
    return SPSPEC if rows and "SDSS" in keyword(header, "TELESCOP", "ORIGIN").upper() else None


def count(hdus: Hdus) -> int:
    """Returns 1: the spectra of the single exposures are not read unless the option --hdu names one."""
    return 1


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectrum.

    Raises:
        DataError: the HDU that the option --hdu names holds no spectrum.
    """
    yield _image(hdus, path, options) if name == SPSPEC else _table(hdus, path, options)


def _spectra(hdus: Hdus) -> list[Hdu]:
    """Tables with a spectrum each: the sum of the exposures first, if it is there."""
    found = [hdu for hdu in hdus if has(hdu, "loglam", "flux", "ivar")]
    return sorted(found, key=lambda hdu: (str(hdu.name).upper() != "COADD", not has(hdu, "and_mask")))


def _table(hdus: Hdus, path: Path, options: ReadOptions) -> Raw:
    hdu = chosen(hdus, options) or _spectra(hdus)[0]
    if not has(hdu, "loglam", "flux", "ivar"):
        names = ", ".join(one.name for one in _spectra(hdus))
        raise DataError(f"--hdu must name a table with loglam, flux and ivar ({names}), found {hdu.name}")
    loglam, mask = column(hdu, "loglam"), whole(hdu, "and_mask", "mask")
    wdisp, wave = numbers(hdu, "wdisp"), 10 ** column(hdu, "loglam")
    rejected = _rejected(mask, options)
    power = None if wdisp is None else widths.from_sigma(wave, wdisp * np.log(10) * _step(loglam) * wave)
    return Raw(
        origin=Origin(str(path), SPEC, str(hdu.name), None, _star(hdus)),
        wave=wave,
        flux=column(hdu, "flux"),
        noise=column(hdu, "ivar"),
        noise_kind="ivar",
        bad=rejected.bad,
        wave_unit="A",
        medium="vacuum",
        flux_unit=FLUX_UNIT,
        resolving_power=power,
        notes=(*_notes(hdus, power), *rejected.notes),
    )


def _step(loglam: Float[np.ndarray, " n_pix"]) -> Float[np.ndarray, " n_pix"]:
    """Width of every pixel in log10 wave, from wavelengths that are rounded to float32."""
    step = np.abs(np.gradient(loglam))
    usual = float(np.median(step))
    # Coadded spectra have one step, 1e-4, which float32 blurs by 5e-7; exposures have their own.
    return np.full(step.shape, round(usual, 6)) if np.ptp(step) < 2e-6 else step


def _rejected(mask: np.ndarray | None, options: ReadOptions) -> masks.Masked:
    return masks.Masked({}, ()) if mask is None else masks.rejected(mask, BITS, UNUSABLE, options.mask_bits)


def _notes(hdus: Hdus, power: np.ndarray | None) -> Iterator[str]:
    yield "SDSS: vacuum wavelengths, corrected to the Sun; the velocity of the star is still in them"
    if power is not None:
        yield (
            "resolving power from the column wdisp, one standard deviation in pixels; on a BOSS star lines "
            "at 8500 Å were wider than it says (1600-2000 for 2190)"
        )
    table = named(hdus, "SPALL", "SPECOBJ", "SPZBEST")
    kind = f"{text(table, 0, 'class')} {text(table, 0, 'subclass')}".strip()
    redshift = None if table is None else cell(table, 0, "z")
    if kind and redshift is not None:
        yield f"the pipeline's class is {kind}, z = {float(redshift):.6f} (not removed)"


def _star(hdus: Hdus) -> str:
    header = hdus[0].header
    parts = [keyword(header, "PLATEID"), keyword(header, "MJD"), keyword(header, "FIBERID")]
    return "-".join(parts) if all(parts) else keyword(header, "OBJECT", "NAME")


def _image(hdus: Hdus, path: Path, options: ReadOptions) -> Raw:
    """Rows: flux, flux without continuum, error, mask (DR7 and before)."""
    header, rows = hdus[0].header, np.asarray(hdus[0].data)
    rejected = _rejected(rows[3], options)
    n_pix = rows.shape[1]
    return Raw(
        origin=Origin(str(path), SPSPEC, "", None, _star(hdus)),
        wave=10 ** (float(header["COEFF0"]) + float(header["COEFF1"]) * np.arange(n_pix)),
        flux=rows[0].astype(np.float64),
        noise=rows[2].astype(np.float64),
        noise_kind="error",
        bad=rejected.bad,
        wave_unit="A",
        medium="vacuum",
        flux_unit=FLUX_UNIT,
        notes=(*_notes(hdus, None), *rejected.notes),
    )
