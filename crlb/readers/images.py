"""Spectra in FITS images: one row of pixels or several, wavelengths in keywords or in another image."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from crlb.errors import DataError
from crlb.files.observed import Origin
from crlb.readers.columns import NAMES, Table, parsed
from crlb.readers.fits import native, words
from crlb.readers.meta import about
from crlb.readers.options import Medium
from crlb.readers.units import SIZES, likely_units

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

LOGARITHMS = (2.7, 5.0)  # log10(Å) of 500 Å and 10 um: values that are no wavelengths without a unit
WAVES = (*NAMES["wave"], *NAMES["log10"], *NAMES["ln"])
BESIDE = {"stat": "variance", "sigm": "error", "uncert": "error", "stdev": "error", "varian": "variance"}
LINEAR = ("", "LINEAR", "WAVE", "AWAV", "LAMBDA", "WAVELENGTH", "WAVELEN", "LAM", "WAVELNTH")


@dataclass(frozen=True, eq=False)
class _Wave:
    """Wavelengths, and what the keywords say of them."""

    values: np.ndarray
    unit: str | None
    medium: Medium | None
    notes: tuple[str, ...]


def spectral_images(hdus: "HDUList", only: int | None) -> list[int]:
    """Returns the numbers of the images that can hold fluxes: rows of pixels that have wavelengths.

    The rows of a picture are spectra where something says so, or where the user asks for this HDU.

    Args:
        hdus: of the file.
        only: number of the HDU that was asked for; None: any.
    """
    found = []
    for number, hdu in enumerate(hdus):
        beside = _is_beside(hdu.name) if only is None else number != only
        if hasattr(hdu, "columns") or beside or hdu.header.get("NAXIS", 0) == 0:
            continue
        shape = [hdu.header.get(f"NAXIS{k}", 0) for k in range(1, hdu.header["NAXIS"] + 1)]
        n = int(shape[0])
        if n < 2 or 0 in shape or (len(shape) > 3 and max(shape[3:]) > 1):
            continue
        keywords = words(hdus[0].header) | words(hdu.header)
        sky = str(keywords.get("CTYPE1", "")).upper()[:4] in ("RA--", "DEC-", "GLON", "GLAT", "ELON", "XPIX")
        if not sky and ("CRVAL1" in keywords or "COEFF0" in keywords or _wave_hdu(hdus, n) is not None):
            if only is None and len(shape) > 1 and shape[1] > 1 and not _rows_are_spectra(hdus, keywords, n):
                continue
            found.append(number)
    return found


def _rows_are_spectra(hdus: "HDUList", keywords: Mapping[str, object], n: int) -> bool:
    """Whether something says that the first axis of a picture is one of wavelengths."""
    kind = str(keywords.get("CTYPE1", "")).upper()
    words_of_wave = kind.startswith(("WAVE", "AWAV", "LAMBDA", "LAM", "MULTISPE")) or "DC-FLAG" in keywords
    return words_of_wave or "COEFF0" in keywords or _wave_hdu(hdus, n) is not None or "WAT1_001" in keywords


def _is_beside(name: str) -> bool:
    """Whether an HDU is named as something that belongs to fluxes, not as fluxes."""
    base = parsed(name).base
    kinds = ("error", "ivar", "variance", "mask", "good", "power")
    return base in BESIDE or base in WAVES or any(base in NAMES[kind] for kind in kinds)


def _wave_hdu(hdus: "HDUList", n: int) -> int | None:
    for number, hdu in enumerate(hdus):
        image = not hasattr(hdu, "columns") and hdu.header.get("NAXIS1") == n
        if image and parsed(hdu.name).base in WAVES:
            return number
    return None


def table_of(hdus: "HDUList", number: int, origin: Origin) -> Table:
    """Returns fluxes, wavelengths, and the images beside them that are named error, variance, ivar or mask.

    Wavelengths come from an image of their own, or from CRVAL1, CRPIX1, CDELT1 or CD1_1, linear or
    logarithmic (CTYPE1, DC-FLAG; or values that can be nothing but logarithms), or from COEFF0 and COEFF1.

    Args:
        hdus: of the file.
        number: of the image with the fluxes.
        origin: of the file.

    Raises:
        DataError: the wavelengths are in a form that is not read.
    """
    hdu = hdus[number]
    keywords = words(hdus[0].header) | words(hdu.header)
    data, extra = _bands(np.asarray(hdu.data), keywords)
    n = data.shape[-1]
    columns, units = {"flux": native(data)} | extra, {}
    wave = _own_waves(hdus, n) or _waves(keywords, n)
    columns["wave"] = wave.values
    for other in hdus:
        if other is hdu or hasattr(other, "columns") or not _is_beside(other.name) or other.data is None:
            continue
        beside = np.asarray(other.data)
        if parsed(other.name).base not in WAVES and beside.shape[-1] == n and beside.size in (n, data.size):
            name = BESIDE.get(parsed(other.name).base, other.name.lower())
            name = _uncertainty(other.header) if name == "error" and "UTYPE" in other.header else name
            columns[name] = native(beside.reshape(data.shape if beside.size == data.size else (n,)))
            if other.header.get("BUNIT"):
                units[name] = str(other.header["BUNIT"])
    if wave.unit:
        units["wave"] = wave.unit
    said = about(keywords)
    said = replace(said, medium=wave.medium or said.medium, notes=(*said.notes, *wave.notes))
    return Table(columns, origin, units, said, word="images")


def _uncertainty(header: Mapping[str, object]) -> str:
    """Which kind of uncertainty astropy's NDData wrote."""
    kind = str(header["UTYPE"]).lower()
    return "ivar" if "inv" in kind else "variance" if "var" in kind else "error"


def _bands(data: np.ndarray, keywords: Mapping[str, object]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows of pixels, and the errors that IRAF keeps as another band of the same image."""
    if data.ndim > 3:
        data = data.reshape(data.shape[-3:])
    extra = {}
    if data.ndim == 3:
        named = {i: str(keywords.get(f"BANDID{i + 1}", "")).lower() for i in range(len(data))}
        sigma = [i for i, name in named.items() if "sigma" in name]
        if len(data) > 1 and not named[0].startswith("spectrum"):
            raise DataError(f"an image of {' x '.join(map(str, data.shape))} is a cube, not rows of spectra")
        if sigma:
            extra["error"] = native(data[sigma[0]])
        data = data[0]
    if data.ndim == 2:
        _check_rows(data, keywords)
    if data.ndim == 2 and len(data) == 1:
        return data[0], {name: values[0] for name, values in extra.items()}
    return data, extra


def _check_rows(data: np.ndarray, keywords: Mapping[str, object]) -> None:
    """Refuses rows that are not all fluxes: by their names, or because one increases as wavelengths do."""
    n = len(data)
    if any(name.startswith("WV_0_") for name in keywords):
        raise DataError(
            "wavelengths of echelle orders as MAKEE keeps them (WV_0_nn) are not read; use a table"
        )
    named = f"ARRAY{n}" in keywords or f"ROW{n}" in keywords
    rising = data[(np.diff(data, axis=1) > 0).all(axis=1)].astype(np.float64)
    if n > 1 and (named or any(likely_units(row) for row in rising)):
        raise DataError(
            f"the {n} rows of the image are flux, errors or wavelengths of one spectrum, not spectra; put "
            "them into the columns of a table"
        )


def _own_waves(hdus: "HDUList", n: int) -> _Wave | None:
    number = _wave_hdu(hdus, n)
    if number is None:
        return None
    hdu = hdus[number]
    base = parsed(hdu.name).base
    unit = str(hdu.header.get("BUNIT") or "") or None
    if base not in NAMES["wave"] and not (unit and "log" in unit.lower()):
        unit = f"{'ln' if base in NAMES['ln'] else 'log10'}({unit or 'A'})"
    values = native(np.asarray(hdu.data))
    values = values[0] if values.ndim == 2 and len(values) == 1 else values
    medium = about(words(hdu.header)).medium or parsed(hdu.name).medium
    return _Wave(values, unit, medium, (f"wavelengths from HDU {hdu.name}",))


def _waves(keywords: Mapping[str, object], n: int) -> _Wave:
    """Wavelengths by the keywords of the header."""
    if "CRVAL1" not in keywords:
        first, step = _number(keywords, "COEFF0"), _number(keywords, "COEFF1")
        return _Wave(first + step * np.arange(n), "log10(A)", None, ("wavelengths from COEFF0, COEFF1",))
    kind = str(keywords.get("CTYPE1", "")).strip().upper()
    first, step = _number(keywords, "CRVAL1"), _step(keywords)
    pixel = _number(keywords, "CRPIX1") if "CRPIX1" in keywords else 1.0
    notes = () if "CRPIX1" in keywords else ("CRPIX1 is missing: taken as 1",)
    offset = step * (np.arange(n) + 1 - pixel)
    unit = _unit(keywords)
    medium: Medium | None = {"AWAV": "air", "WAVE": "vacuum"}.get(re.split(r"[-\s]", kind)[0])  # type: ignore[assignment]
    if kind in ("WAVE-LOG", "AWAV-LOG") and first > 10:  # Greisen et al. 2006, A&A 446, 747, equation 5
        return _Wave(first * np.exp(offset / first), unit, medium, notes)
    _check_kind(kind, keywords)
    low, high = sorted((first + offset[0], first + offset[-1]))
    flag = _number(keywords, "DC-FLAG") if "DC-FLAG" in keywords else 0.0
    if flag == 1 or "LOG" in kind:
        base = unit if unit and "log" in unit.lower() else f"log10({unit or 'A'})"
        return _Wave(first + offset, base, medium, notes)
    if unit is None and LOGARITHMS[0] < low < high < LOGARITHMS[1]:
        said = f"CRVAL1 = {first:g} without unit: read as log10 of wavelengths in Å"
        return _Wave(first + offset, "log10(A)", medium, (*notes, said))
    return _Wave(first + offset, unit, medium, notes)


def _check_kind(kind: str, keywords: Mapping[str, object]) -> None:
    """Refuses axes that are not wavelengths, and those that keywords do not give pixel by pixel."""
    if kind == "MULTISPE" or "multispec" in str(keywords.get("WAT0_001", "")):
        raise DataError(
            "wavelengths in IRAF's multispec form (WAT2_nnn) are not read; put the spectrum on linear "
            "wavelengths (dispcor) or into a table"
        )
    if kind not in LINEAR and kind.lower() not in SIZES and "LOG" not in kind:
        raise DataError(
            f"CTYPE1 = '{kind}' is no axis of wavelengths that is read (WAVE, AWAV, LINEAR, WAVE-LOG); put "
            "wavelengths and flux into a table"
        )


def _step(keywords: Mapping[str, object]) -> float:
    for name in ("CD1_1", "CDELT1"):
        if name in keywords and (step := _number(keywords, name)) != 0:
            scale = _number(keywords, "PC1_1") if name == "CDELT1" and "PC1_1" in keywords else 1.0
            return step * scale
    raise DataError("the step of the wavelengths is missing: CDELT1 or CD1_1")


def _unit(keywords: Mapping[str, object]) -> str | None:
    """The unit by CUNIT1, by a CTYPE1 that is a unit, or by IRAF's "units=angstroms" in WAT1_001."""
    if given := str(keywords.get("CUNIT1") or "").strip():
        return given
    if (kind := str(keywords.get("CTYPE1") or "")).strip().lower() in SIZES:
        return kind
    found = re.search(r"units\s*=\s*[\"']?([A-Za-z]+)", str(keywords.get("WAT1_001", "")))
    return found[1] if found else None


def _number(keywords: Mapping[str, object], name: str) -> float:
    value = keywords.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise DataError(f"keyword {name} must be a finite number, found {value!r}")
    return float(value)
