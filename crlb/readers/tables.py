"""Spectra in the columns of FITS tables: one value per pixel in each row, or whole spectra in each cell."""

from typing import TYPE_CHECKING

import numpy as np

from crlb.errors import DataError
from crlb.files.memory import check_memory
from crlb.files.observed import Origin
from crlb.readers.columns import NAMES, Table, parsed, roles_of
from crlb.readers.fits import native, words
from crlb.readers.meta import about
from crlb.readers.options import ReadOptions

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU, HDUList

WAVES = (*NAMES["wave"], *NAMES["log10"], *NAMES["ln"])


def table_of(hdus: "HDUList", number: int, origin: Origin) -> Table:
    """Returns the columns of one table, with the wavelengths of another HDU or of the header if it has none.

    Scaled columns come scaled, cells that are null or not there as NaN.

    Args:
        hdus: of the file.
        number: of the table.
        origin: of the file.
    """
    hdu = hdus[number]
    cells = {column.name: _values(hdu, column.name) for column in hdu.columns}
    columns = {name: values for name, values in cells.items() if values is not None}
    units = {column.name: column.unit for column in hdu.columns if column.unit}
    keywords = words(hdus[0].header) | words(hdu.header)
    said = about(keywords)
    if keywords.get("DMODCLS") == "OneSpec" and "mask" in columns:  # of PypeIt, whose 1 is good
        columns["good"] = columns.pop("mask")
    if not any(parsed(name).base in WAVES for name in columns):
        n = next((v.shape[-1] for name, v in columns.items() if parsed(name).base in NAMES["flux"]), 0)
        columns |= _waves_elsewhere(hdus, keywords, n)
    return Table(columns, origin, units, said)


def _values(hdu: "BinTableHDU", name: str) -> np.ndarray | None:
    """The column in the machine's byte order, pixels last; None: it holds nothing that can be an array."""
    values = np.asarray(hdu.data[name])
    if values.dtype.kind == "O":
        return _padded(values)
    if values.dtype.kind in "iu" and (null := hdu.columns[name].null) is not None:
        raw = hdu.data.view(np.ndarray)[name]
        values = np.where(raw == null, np.nan, values.astype(np.float64))
    elif values.dtype.kind == "f" and isinstance(null := hdu.columns[name].null, int):
        raw = hdu.data.view(np.ndarray)[name]
        values = np.where(raw == null, np.nan, values) if raw.dtype.kind in "iu" else values
    if values.ndim > 2:
        values = values.reshape(len(values), -1) if values[0].size == max(values[0].shape) else values
    return native(values)


def _padded(values: np.ndarray) -> np.ndarray | None:
    """Cells of different lengths as rows of one, filled up with NaN."""
    rows = [np.asarray(cell) for cell in values]
    if any(row.ndim != 1 or row.dtype.kind not in "fiu" for row in rows):
        return None
    longest = max((row.size for row in rows), default=0)
    check_memory(8 * len(rows) * longest, f"a column of {len(rows)} cells of up to {longest} values")
    table = np.full((len(rows), longest), np.nan)
    for row, filled in zip(rows, table, strict=True):
        filled[: row.size] = row
    return table


def _waves_elsewhere(hdus: "HDUList", keywords: dict[str, object], n: int) -> dict[str, np.ndarray]:
    """Wavelengths of an image that is named so, or of the keywords COEFF0 and COEFF1."""
    for hdu in hdus:
        named = parsed(hdu.name).base in WAVES and not hasattr(hdu, "columns")
        if named and hdu.data is not None and hdu.data.shape[-1] == n:
            return {hdu.name.lower(): native(np.asarray(hdu.data))}
    first, step = keywords.get("COEFF0"), keywords.get("COEFF1")
    if isinstance(first, float) and isinstance(step, float):
        return {"loglam": first + step * np.arange(n)}
    return {}


def spectral_tables(
    hdus: "HDUList", options: ReadOptions, origin: Origin, only: int | None
) -> tuple[list[int], str]:
    """Returns the numbers of the tables that hold spectra, and why the first of the others does not.

    Args:
        hdus: of the file.
        options: what the user says of the columns.
        origin: of the file.
        only: number of the HDU that was asked for; None: any.
    """
    found, why = [], ""
    for number, hdu in enumerate(hdus):
        if not hasattr(hdu, "columns") or not hdu.header.get("NAXIS2") or only not in (None, number):
            continue
        try:
            roles_of(table_of(hdus, number, origin), options)
        except DataError as error:
            why = why or f"HDU {number}: {error}"
            continue
        found.append(number)
    return found, why
