"""HDUs and columns of FITS files by name, whatever the case, the byte order and the shape of their cells."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError, UsageError
from crlb.readers.options import ReadOptions

Hdu = Any  # astropy, which has no types, is imported by whoever opens the file
Hdus = Sequence[Hdu]


def named(hdus: Hdus, *names: str) -> Hdu | None:
    """Returns the HDU with the first of these names that there is; None if there is none."""
    found: dict[str, Hdu] = {}
    for hdu in hdus:  # forwards: astropy loads HDUs as it goes
        found.setdefault(str(hdu.name).upper(), hdu)
    return next((found[name.upper()] for name in names if name.upper() in found), None)


def needed(hdus: Hdus, *names: str) -> Hdu:
    """Returns the HDU with the first of these names that there is.

    Raises:
        DataError: there is none, or it is empty.
    """
    hdu = named(hdus, *names)
    if hdu is None or hdu.data is None:
        present = ", ".join(str(hdu.name) for hdu in hdus)
        raise DataError(f"an HDU {' or '.join(names)} with data is needed, found {present}")
    return hdu


def chosen(hdus: Hdus, options: ReadOptions) -> Hdu | None:
    """Returns the HDU that the option --hdu names, by name or number; None if the option is not given.

    Raises:
        UsageError: there is no such HDU.
    """
    if options.hdu is None:
        return None
    if options.hdu.isdigit() and int(options.hdu) < len(hdus):
        return hdus[int(options.hdu)]
    hdu = named(hdus, options.hdu)
    if hdu is None:
        present = ", ".join(str(hdu.name) for hdu in hdus)
        raise UsageError(f"--hdu must be one of {present}, or a number, found {options.hdu}")
    return hdu


def is_table(hdu: Hdu) -> bool:
    """Returns whether an HDU is a table."""
    return getattr(hdu, "columns", None) is not None and not getattr(hdu, "is_image", False)


def columns_of(hdu: Hdu) -> dict[str, str]:
    """Returns the names of a table's columns in small letters -> as they are; empty for an image."""
    return {str(name).lower(): str(name) for name in hdu.columns.names} if is_table(hdu) else {}


def has(hdu: Hdu, *names: str) -> bool:
    """Returns whether an HDU is a table that has all of these columns, whatever their case."""
    return {name.lower() for name in names} <= columns_of(hdu).keys()


def numbers(hdu: Hdu, *names: str) -> Float[np.ndarray, "..."] | None:
    """Returns the first of these columns that a table has, float64; None if it has none.

    The vector cells of a table of one row become one dimension. Integers equal to TNULL become NaN.
    """
    name = _first(hdu, names)
    if name is None:
        return None
    stored = hdu.data[name]
    values: np.ndarray = np.asarray(stored, np.float64)
    null = hdu.columns[name].null
    if null is not None and np.asarray(stored).dtype.kind in "iu":
        values = np.where(np.asarray(stored) == int(null), np.nan, values)
    return values[0] if values.ndim == 2 and len(values) == 1 else values


def whole(hdu: Hdu, *names: str) -> np.ndarray | None:
    """Returns the first of these columns that a table has as it is stored, for masks; None if it has none.

    The vector cells of a table of one row become one dimension.
    """
    name = _first(hdu, names)
    if name is None:
        return None
    values = np.asarray(hdu.data[name])
    return values[0] if values.ndim == 2 and len(values) == 1 else values


def column(hdu: Hdu, *names: str) -> Float[np.ndarray, "..."]:
    """Returns `numbers`, which must be there.

    Raises:
        DataError: the table has none of these columns.
    """
    values = numbers(hdu, *names)
    if values is None:
        present = ", ".join(columns_of(hdu).values()) or "no columns"
        raise DataError(f"HDU {hdu.name} must have a column {' or '.join(names)}, found {present}")
    return values


def cell(hdu: Hdu, row: int, *names: str) -> np.ndarray | None:
    """Returns one cell of the first of these columns that a table has, as it is stored; None without."""
    name = _first(hdu, names)
    return None if name is None else np.asarray(hdu.data[name][row])


def text(hdu: Hdu | None, row: int, *names: str) -> str:
    """Returns one cell as text, characters in a vector joined; empty where there is none."""
    found = None if hdu is None else cell(hdu, row, *names)
    if found is None:
        return ""
    return "".join(_decoded(part) for part in np.atleast_1d(found).tolist()).strip()


def _decoded(part: object) -> str:
    return part.decode("latin-1") if isinstance(part, bytes) else str(part)


def keyword(header: Mapping[str, Any], *names: str) -> str:
    """Returns the value of the first of these keywords that a header has, as text; empty if it has none."""
    found = next((header[name] for name in names if name in header), "")
    return str(found).strip()


def float_keyword(header: Mapping[str, Any], *names: str) -> float | None:
    """Returns the value of the first of these keywords that is a finite number; None if there is none."""
    for name in names:
        value = header.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
            return float(value)
    return None


def rows_of(options: ReadOptions, n_rows: int) -> range:
    """Returns the rows that are wanted of a file of `n_rows` spectra."""
    first, stop = options.rows if options.rows is not None else (0, n_rows)
    return range(max(0, first), min(stop, n_rows))


def _first(hdu: Hdu, names: Iterable[str]) -> str | None:
    present = columns_of(hdu)
    return next((present[name.lower()] for name in names if name.lower() in present), None)
