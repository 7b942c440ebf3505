"""Gaia RVS mean spectra: CSV and tables with a row per pixel, or with a row per star."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from crlb.files.observed import Origin
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey.hdus import Hdu, Hdus, cell, column, columns_of, has, rows_of, text

RVS = "Gaia RVS"
RESOLVING_POWER = 11500.0  # wave / FWHM, Cropper et al. 2018, A&A 616, A5
RANGE = (845.0, 872.0)  # nm
GRID = 846.0 + 0.01 * np.arange(2401)  # nm, of all mean spectra of DR3
NOTES = (
    "Gaia RVS: vacuum wavelengths, shifted to rest and normalised to the pseudo-continuum by the pipeline",
    "resolving power 11500, nominal",
)


def format_of(hdus: Hdus) -> str | None:
    """Returns the name of the format if the file is a table of RVS spectra, else None."""
    return RVS if any(_per_pixel(hdu) or _per_star(hdu) for hdu in hdus) else None


def count(hdus: Hdus) -> int:
    """Returns the number of stars."""
    hdu = _table(hdus)
    return len(hdu.data) if _per_star(hdu) else len(_stars(_columns(hdu)))


def read(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectrum of every star."""
    hdu = _table(hdus)
    if _per_star(hdu):
        yield from (_star(hdu, row, path) for row in rows_of(options, len(hdu.data)))
        return
    stars = gaia_rvs(_columns(hdu), path)
    yield from (stars[row] for row in rows_of(options, len(stars)))


def gaia_rvs(columns: Mapping[str, np.ndarray], path: Path) -> list[Raw]:
    """Returns the spectra of a CSV file of the Gaia archive, one per `source_id`; none if it is another file.

    Args:
        columns: name in any case -> values of the rows, text or numbers; empty cells as NaN or "".
        path: of the file.
    """
    named = {name.strip().lower(): values for name, values in columns.items()}
    if not {"source_id", "wavelength", "flux", "flux_error"} <= named.keys():
        return []
    wave = _floats(named["wavelength"])
    if not wave.size or not (RANGE[0] < np.nanmin(wave) and np.nanmax(wave) < RANGE[1]):
        return []
    stars = _stars(named)
    flux, error = _floats(named["flux"]), _floats(named["flux_error"])
    rows = [pixels if len(stars) > 1 else slice(None) for pixels in stars.values()]
    return [
        _raw(
            Origin(str(path), RVS, "", i if len(stars) > 1 else None, star), wave[row], flux[row], error[row]
        )
        for i, (star, row) in enumerate(zip(stars, rows, strict=True))
    ]


def _stars(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Pixels of every star, by its identifier, in the order of the file."""
    identifiers = np.asarray(columns["source_id"])
    _, first, number = np.unique(identifiers, return_index=True, return_inverse=True)
    return {str(identifiers[first[k]]): np.flatnonzero(number == k) for k in np.argsort(first)}


def _floats(values: np.ndarray) -> np.ndarray:
    """Numbers, NaN for empty cells."""
    values = np.ma.filled(values, "" if np.asarray(values).dtype.kind in "USO" else np.nan)
    if values.dtype.kind not in "USO":
        return values.astype(np.float64)
    return np.array([float(text) if str(text).strip() else np.nan for text in values.tolist()], np.float64)


def _raw(origin: Origin, wave: np.ndarray, flux: np.ndarray, error: np.ndarray) -> Raw:
    return Raw(
        origin=origin,
        wave=wave,
        flux=flux,
        noise=error,
        noise_kind="error",
        wave_unit="nm",
        medium="vacuum",
        flux_unit="normalised",
        resolving_power=RESOLVING_POWER,
        rv_kms=0.0,
        notes=NOTES,
    )


def _per_pixel(hdu: Hdu) -> bool:
    if not has(hdu, "source_id", "wavelength", "flux", "flux_error") or not len(hdu.data):
        return False
    wave = column(hdu, "wavelength")
    return bool(wave.ndim == 1 and RANGE[0] < np.nanmin(wave) and np.nanmax(wave) < RANGE[1])


def _per_star(hdu: Hdu) -> bool:
    if not has(hdu, "source_id", "flux", "flux_error") or has(hdu, "wavelength") or not len(hdu.data):
        return False
    return np.asarray(hdu.data[columns_of(hdu)["flux"]][0]).shape == GRID.shape


def _table(hdus: Hdus) -> Hdu:
    return next(hdu for hdu in hdus if _per_pixel(hdu) or _per_star(hdu))


def _columns(hdu: Hdu) -> dict[str, np.ndarray]:
    identifiers = np.asarray(hdu.data[columns_of(hdu)["source_id"]])
    rest = {name: column(hdu, name) for name in ("wavelength", "flux", "flux_error")}
    return {"source_id": identifiers, **rest}


def _star(hdu: Hdu, row: int, path: Path) -> Raw:
    flux, error = cell(hdu, row, "flux"), cell(hdu, row, "flux_error")
    origin = Origin(str(path), RVS, str(hdu.name), row, text(hdu, row, "source_id"))
    return _raw(origin, GRID, np.asarray(flux, np.float64), np.asarray(error, np.float64))
