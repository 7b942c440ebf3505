"""ESO Phase 3: spectra of many instruments as one row of vector cells that name what they are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from crlb.errors import DataError
from crlb.files.observed import Origin
from crlb.readers.options import Medium, ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey.hdus import Hdu, Hdus, columns_of, float_keyword, is_table, keyword, numbers, whole

ESO = "ESO spectrum"
FLUXES = ("FLUX", "FLUX_REDUCED")
ERRORS = ("ERR", "ERR_FLUX", "ERR_REDUCED")


def format_of(hdus: Hdus) -> str | None:
    """Returns the name of the format if the file is a spectrum by ESO's data products standard, else None."""
    return ESO if any(_is_spectrum(hdu) for hdu in hdus) else None


def count(hdus: Hdus) -> int:
    """Returns 1: one star per file."""
    return 1


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectrum.

    Raises:
        DataError: there is no column of fluxes.
    """
    hdu, primary = next(hdu for hdu in hdus if _is_spectrum(hdu)), hdus[0].header
    wave, flux, error = numbers(hdu, "WAVE"), numbers(hdu, *FLUXES), numbers(hdu, *ERRORS)
    if wave is None or flux is None:
        raise DataError(
            f"HDU {hdu.name} must have WAVE and FLUX, found {', '.join(columns_of(hdu).values())}"
        )
    medium, quality = _medium(hdu), whole(hdu, "QUAL")
    yield Raw(
        origin=Origin(str(path), ESO, str(hdu.name), None, keyword(primary, "OBJECT")),
        wave=wave,
        flux=flux,
        noise=error,
        noise_kind=None if error is None else "error",
        bad={} if quality is None else {"QUAL not 0": np.asarray(quality) != 0},
        wave_unit=_unit(hdu, "WAVE") or None,
        medium=medium,
        flux_unit=_unit(hdu, *FLUXES) or "unknown",
        resolving_power=float_keyword(hdu.header, "SPEC_RES") or float_keyword(primary, "SPEC_RES"),
        notes=tuple(_notes(hdu, primary, medium)),
    )


def _is_spectrum(hdu: Hdu) -> bool:
    if not is_table(hdu) or "wave" not in columns_of(hdu):
        return False
    spectrum = "spectrum" in keyword(hdu.header, "VOCLASS").lower() or "TUCD1" in hdu.header
    return spectrum and any(name.lower() in columns_of(hdu) for name in FLUXES)


def _number(hdu: Hdu, *names: str) -> int:
    """Number from 1 of the first of these columns that there is; 0 if there is none."""
    found = [name.lower() for name in hdu.columns.names]
    return next((found.index(name.lower()) + 1 for name in names if name.lower() in found), 0)


def _unit(hdu: Hdu, *names: str) -> str:
    return keyword(hdu.header, f"TUNIT{_number(hdu, *names)}")


def _medium(hdu: Hdu) -> Medium | None:
    """Vacuum or air by the UCD: `em.wl;obs.atmos` is air; None where there is no UCD."""
    ucd = keyword(hdu.header, f"TUCD{_number(hdu, 'WAVE')}").lower()
    if not ucd.startswith("em.wl"):
        return None
    return "air" if "obs.atmos" in ucd else "vacuum"


def _notes(hdu: Hdu, primary: Any, medium: Medium | None) -> Iterator[str]:
    frame = keyword(hdu.header, "SPECSYS") or keyword(primary, "SPECSYS")
    if medium is not None:
        yield f"ESO: {medium} by the UCD of the wavelengths"
    yield f"ESO: frame {frame or 'not stated'}; the velocity of the star is still in the wavelengths"
