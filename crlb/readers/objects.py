"""Spectra in memory as `Observed`: specutils' spectra, astropy's tables, arrays by name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crlb.errors import DataError
from crlb.files.observed import Observed, Origin
from crlb.readers.columns import Table
from crlb.readers.meta import about
from crlb.readers.options import ReadOptions
from crlb.readers.raw import NoiseKind
from crlb.readers.rows import raws_of
from crlb.readers.understand import observed_of

NOISE: dict[str, NoiseKind] = {"std": "error", "var": "variance", "ivar": "ivar"}  # astropy.nddata's words


# Any: specutils is not needed here; what has its attributes is read.
def observed_from(spectra: Any, options: ReadOptions = ReadOptions(), star: str = "") -> list[Observed]:  # noqa: B008
    """Returns the spectra of an object in memory, one for each row of flux.

    Args:
        spectra: a `specutils.Spectrum` (also `Spectrum1D`, `SpectrumCollection`) or what has its attributes
            spectral_axis, flux, uncertainty, mask, meta; an astropy `Table` or `QTable`; a mapping from names
            of columns ("wave", "flux", "error" ...) to arrays or quantities; a list of any of these.
        options: what the object does not say, units and medium of its wavelengths above all.
        star: name of the star, where the object has none.

    Raises:
        DataError: the object is none of these; unit or medium of the wavelengths is neither in it nor in the
            options; or as `crlb.readers.understand.observed_of`.
    """
    origin = Origin("memory", type(spectra).__name__, star=star)
    if isinstance(spectra, Mapping):
        table = _of_arrays(spectra, origin)
    elif hasattr(spectra, "spectral_axis") and hasattr(spectra, "flux"):
        table = _of_specutils(spectra, origin)
    elif hasattr(spectra, "colnames"):
        table = table_of_astropy(spectra, origin)
    elif isinstance(spectra, Sequence) and not isinstance(spectra, str | bytes):
        return [observed for one in spectra for observed in observed_from(one, options, star)]
    else:
        raise DataError(
            f"spectra must be a specutils Spectrum, a table of astropy or a dict of arrays, found "
            f"{type(spectra).__name__}; a file is read by crlb.readers.read.open_observed"
        )
    return [observed_of(raw, options) for raw in raws_of(table, options)]


def table_of_astropy(table: Any, origin: Origin) -> Table:
    """Returns the columns of an astropy table, of quantities or with units; masked numbers are NaN."""
    columns = {str(name): table[name] for name in table.colnames}
    said = about({str(key): value for key, value in table.meta.items()})
    return Table({name: _array(column) for name, column in columns.items()}, origin, _units(columns), said)


def _of_arrays(arrays: Mapping[str, Any], origin: Origin) -> Table:
    columns = {name: values for name, values in arrays.items() if np.ndim(getattr(values, "value", values))}
    words = {name: value for name, value in arrays.items() if name not in columns}
    return Table(
        {name: _array(values) for name, values in columns.items()}, origin, _units(columns), about(words)
    )


def _of_specutils(spectrum: Any, origin: Origin) -> Table:
    axis, medium = _axis(spectrum.spectral_axis)
    columns, units = {"wave": axis, "flux": _array(spectrum.flux)}, _units({"flux": spectrum.flux})
    noise = getattr(spectrum, "uncertainty", None)
    if noise is not None:
        kind = NOISE.get(getattr(noise, "uncertainty_type", ""))
        if kind is None:
            raise DataError(f"uncertainty must be of type std, var or ivar, found {type(noise).__name__}")
        columns[kind] = np.asarray(noise.array)
        if getattr(noise, "unit", None) is not None:
            units[kind] = str(noise.unit)
    if getattr(spectrum, "mask", None) is not None:
        columns["mask"] = np.broadcast_to(np.asarray(spectrum.mask), columns["flux"].shape)
    meta = getattr(spectrum, "meta", None) or {}
    header = meta.get("header")
    words = {str(key): value for key, value in (*dict(header or {}).items(), *meta.items())}
    units["wave"] = "A"
    said = about({"wave_medium": medium} | words)
    velocity = getattr(spectrum, "radial_velocity", None)
    if velocity is not None and np.any(np.asarray(velocity.to_value("km/s")) != 0):
        said = replace(
            said, notes=(f"its radial_velocity, {velocity}, is not removed; give rv_kms for that",)
        )
    return Table(columns, origin, units, said, word="attributes")


def _axis(axis: Any) -> tuple[np.ndarray, str]:
    """Wavelengths in Å, and the medium where the axis itself says it: frequencies know of none."""
    from astropy import units

    unit = getattr(axis, "unit", None)
    length = unit is not None and unit.is_equivalent(units.AA)
    try:
        values = units.Quantity(axis).to_value(units.AA, units.spectral())
    except units.UnitConversionError as error:
        raise DataError(
            f"spectral_axis must be one of wavelengths, frequencies or energies, found '{unit}'"
        ) from error
    return np.asarray(values, np.float64), "" if length else "vacuum"


def _units(columns: Mapping[str, Any]) -> dict[str, str]:
    given = {name: getattr(values, "unit", None) for name, values in columns.items()}
    return {name: str(unit) for name, unit in given.items() if unit is not None and str(unit)}


def _array(values: Any) -> np.ndarray:
    """Numbers of a column, quantity or array, masked or not; masked ones are NaN."""
    mask = np.asarray(getattr(values, "mask", False))
    bare = getattr(values, "unmasked", values)
    array = np.asarray(np.ma.getdata(getattr(bare, "value", bare)))
    if mask.any() and array.dtype.kind in "fiu":
        array = np.where(mask, np.nan, array.astype(np.float64))
    return array
