"""Tables of stars as CSV, ECSV and FITS, made of rows that lie in a file already: memory does not grow."""

import csv
import gzip
import io
import shutil
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from crlb.errors import UsageError
from crlb.files.output import hidden

if TYPE_CHECKING:
    from astropy.io import fits
    from astropy.table import Table

Kind = Literal["number", "integer", "flag", "text"]
About: TypeAlias = Mapping[str, str | int | float | Mapping[str, str]]
SUFFIXES = (".csv", ".ecsv", ".fits", ".fits.gz")
BLOCK = 10_000  # rows in memory at once
_NUMPY = {"number": "float64", "integer": "int64", "flag": "bool", "text": "U1"}
_BIG_ENDIAN = {"number": ">f8", "integer": ">i8", "flag": "S1"}
_TFORM = {"number": "D", "integer": "K", "flag": "L"}
_FITS_BLOCK = 2880  # bytes; the FITS standard 4.0, section 3.1


@dataclass(frozen=True)
class Column:
    """A column of a table of stars.

    Args:
        name: of the column.
        unit: as astropy writes it ("K", "dex", "km / s"); empty: none.
        description: one line.
        kind: of its values. A number may be NaN; a text is never empty, "-" stands for none.
    """

    name: str
    unit: str = ""
    description: str = ""
    kind: Kind = "number"


def check_table(option: str, path: Path | None) -> None:
    """Refuses a table whose name does not say its format; None: not asked for.

    Raises:
        UsageError: it ends otherwise than in .csv, .ecsv, .fits or .fits.gz.
    """
    if path is not None and not path.name.lower().endswith(SUFFIXES):
        raise UsageError(f"{option} must end in {', '.join(SUFFIXES)}, which choose the format; found {path}")


def write_table(rows: Path, path: Path, columns: Sequence[Column], about: About) -> None:
    """Writes a table in the format that its name says, from a CSV file of its rows with a header.

    CSV: the header and the rows, nothing else, as `pandas.read_csv` and spreadsheets take it; units,
    descriptions and `about` are in ECSV and FITS only.

    Args:
        rows: the CSV file.
        path: the file to create.
        columns: in the order of the rows.
        about: provenance, legends: name -> text, number, or texts by name.
    """
    name = path.name.lower()
    if name.endswith(".csv"):
        shutil.copyfile(rows, path)
    elif name.endswith(".ecsv"):
        _write_ecsv(rows, path, columns, about)
    else:
        _write_fits(rows, path, columns, about)


def empty_table(columns: Sequence[Column], about: About) -> "Table":
    """An astropy table without rows, with units, descriptions and metadata."""
    from astropy.table import Column as TableColumn
    from astropy.table import Table

    made = [
        TableColumn(
            np.zeros(0, _NUMPY[one.kind]),
            name=one.name,
            unit=one.unit or None,
            description=one.description or None,
        )
        for one in columns
    ]
    return Table(made, meta={name: _plain(value) for name, value in about.items()})


def _plain(value: str | int | float | Mapping[str, str]) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _write_ecsv(rows: Path, path: Path, columns: Sequence[Column], about: About) -> None:
    """Astropy writes the header of an empty table; the rows, which are CSV already, follow it."""
    text = io.StringIO()
    empty_table(columns, about).write(text, format="ascii.ecsv", delimiter=",")
    with path.open("wb") as file, rows.open("rb") as source:
        header = text.getvalue().splitlines(keepends=True)
        file.write("".join(line for line in header if line.startswith("#")).encode("utf-8"))
        shutil.copyfileobj(source, file)


def _write_fits(rows: Path, path: Path, columns: Sequence[Column], about: About) -> None:
    """A binary table, block of rows by block of rows; text is as wide as the longest."""
    from astropy.io import fits

    n, widths = 0, [1] * len(columns)
    for block in _blocks(rows):
        n += len(block)
        widths = [
            max(w, *map(_width, cells)) for w, cells in zip(widths, zip(*block, strict=True), strict=True)
        ]
    dtype = np.dtype(
        [(one.name, _BIG_ENDIAN.get(one.kind, f"S{w}")) for one, w in zip(columns, widths, strict=True)]
    )
    header = _fits_header(columns, widths, n, about)
    with _binary(path) as file:
        file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        file.write(header.tostring().encode("ascii"))
        for block in _blocks(rows):
            file.write(_records(block, columns, dtype).tobytes())
        file.write(bytes(-n * dtype.itemsize % _FITS_BLOCK))


def _fits_header(columns: Sequence[Column], widths: Sequence[int], n: int, about: About) -> "fits.Header":
    from astropy.io import fits

    units = [_fits_unit(one.unit) for one in columns]
    made = [
        fits.Column(one.name, _TFORM.get(one.kind, f"{w}A"), unit=unit)
        for one, w, unit in zip(columns, widths, units, strict=True)
    ]
    header = fits.BinTableHDU.from_columns(made, nrows=0, name="STARS").header
    header["NAXIS2"] = n
    for i, (one, unit) in enumerate(zip(columns, units, strict=True), start=1):
        said = one.description + (f" [{one.unit}]" if one.unit and not unit else "")
        if said:
            header[f"TCOMM{i}"] = _ascii(said)
    for name, value in about.items():
        if isinstance(value, Mapping):
            for key, text in value.items():
                header["COMMENT"] = _ascii(f"{name} {key}: {text}")
        else:
            keyword = name.upper() if len(name) <= 8 else f"HIERARCH {name}"
            header[keyword] = _ascii(value) if isinstance(value, str) else value
    return header


def _fits_unit(unit: str) -> str | None:
    """A unit as FITS writes it; None: the standard has none of that kind (dex), it goes into the comment."""
    from astropy import units

    try:
        return units.Unit(unit).to_string("fits") if unit else None
    except ValueError:
        return None


@contextmanager
def _binary(path: Path) -> "Iterator[IO[bytes] | gzip.GzipFile]":
    with path.open("wb") as file:
        if path.suffix.lower() != ".gz":
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            yield packed


def _blocks(rows: Path) -> Iterator[list[list[str]]]:
    """The rows of a CSV file without its header, at most `BLOCK` at a time."""
    with rows.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        next(reader)
        block: list[list[str]] = []
        for row in reader:
            block.append(row)
            if len(block) == BLOCK:
                yield block
                block = []
        if block:
            yield block


def _records(block: list[list[str]], columns: Sequence[Column], dtype: np.dtype) -> np.ndarray:
    found = np.zeros(len(block), dtype)
    for one, cells in zip(columns, zip(*block, strict=True), strict=True):
        if one.kind == "text":
            found[one.name] = [_ascii(cell).encode("ascii") for cell in cells]
        elif one.kind == "flag":
            found[one.name] = [cell[:1].encode("ascii") for cell in cells]  # T or F
        else:
            found[one.name] = np.array(cells).astype(dtype[one.name])
    return found


def _width(cell: str) -> int:
    return len(_ascii(cell))


def _ascii(text: str) -> str:
    """Text as FITS allows it: letters without their marks (Å becomes A), a question mark for the rest."""
    if text.isascii():
        return text
    plain = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return plain.encode("ascii", "replace").decode("ascii")


def partial_of(path: Path) -> Path:
    """Returns the file that holds the rows of a table until it is whole."""
    return hidden(path, ".partial")
