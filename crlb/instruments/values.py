"""Values in the description of an instrument: taken from mappings by name, numbers and curves checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.text_input import read_text, shown
from crlb.suggest import meant

MOST_BYTES = 64 * 2**20  # of a table beside the description


@dataclass(frozen=True)
class Section:
    """A mapping within a description, with its place in words.

    Args:
        values: by key.
        place: where it stands ("arm red, pixels").
        folder: which names of files start from.
    """

    values: Mapping[str, object]
    place: str
    folder: Path

    def only(self, *known: str) -> "Section":
        """Returns the section itself.

        Raises:
            DataError: it has another key than these.
        """
        for key in self.values:
            if key not in known:
                raise DataError(
                    f"{self.place}: unknown key {shown(key)}: needed some of {', '.join(known)}"
                    f"{meant(str(key), known)}"
                )
        return self

    def has(self, key: str) -> bool:
        """Returns whether the key is there."""
        return key in self.values

    def choice(self, *keys: str) -> str:
        """Returns the one of these keys that is there.

        Raises:
            DataError: none, or more than one.
        """
        found = [key for key in keys if key in self.values]
        if len(found) != 1:
            raise DataError(
                f"{self.place}: needed one of {', '.join(keys)}, found {', '.join(found) or 'none of them'}"
            )
        return found[0]

    def number(
        self, key: str, default: float | None = None, low: float = 0.0, high: float = math.inf
    ) -> float:
        """Returns a finite number above `low` and at most `high`; text is tried, as YAML reads 1e4 as text.

        Raises:
            DataError: it is missing without a default, no number, or out of range.
        """
        if key not in self.values and default is not None:
            return default
        return _number(self.values.get(key), f"{self.place}: {key}", low, high)

    def words(self, key: str, default: str | None = None) -> str:
        """Returns a text that is not empty.

        Raises:
            DataError: it is missing without a default, or none.
        """
        found = self.values.get(key, default)
        if not isinstance(found, str) or not found.strip():
            raise DataError(f"{self.place}: needed {key}, a text; found {shown(found)}")
        return found

    def section(self, key: str) -> "Section":
        """Returns the mapping under a key.

        Raises:
            DataError: there is none.
        """
        return section(self.values.get(key), f"{self.place}, {key}", self.folder)

    def sections(self, key: str) -> "list[Section]":
        """Returns the mappings in the list under a key, at least one.

        Raises:
            DataError: there is no such list.
        """
        found = self.values.get(key)
        if not isinstance(found, list) or not found:
            raise DataError(f"{self.place}: needed {key}, a list of mappings; found {shown(found)}")
        return [section(one, f"{self.place}, {key} {i + 1}", self.folder) for i, one in enumerate(found)]

    def array(self, key: str) -> Float[np.ndarray, " n"]:
        """Returns the list of finite numbers under a key, at least two.

        Raises:
            DataError: there is none.
        """
        found = self.values.get(key)
        if not isinstance(found, list) or len(found) < 2:
            raise DataError(
                f"{self.place}: needed {key}, a list of two numbers or more; found {shown(found)}"
            )
        return np.array([_number(one, f"{self.place}: {key}", -math.inf) for one in found])

    def table(self, key: str, *columns: str) -> "Table":
        """Returns columns of numbers of the CSV or ECSV file that is named under a key.

        Raises:
            MissingInputError: it cannot be read.
            DataError: a column is missing or not finite.
        """
        path = self.folder / self.words(key)
        return read_columns(path, columns)


def section(value: object, place: str, folder: Path) -> Section:
    """Returns a mapping with its place.

    Raises:
        DataError: it is none.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise DataError(f"{place}: needed a mapping, found {shown(value)}")
    return Section(value, place, folder)


def _number(value: object, place: str, low: float = 0.0, high: float = math.inf) -> float:
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        found = None
    if found is None or not math.isfinite(found) or not low < found <= high:
        limits = (
            "" if low == -math.inf else f" above {low:g}" + (f", at most {high:g}" if high < math.inf else "")
        )
        raise DataError(f"{place} must be a finite number{limits}, found {shown(value)}")
    return found


@dataclass(frozen=True)
class Table:
    """Columns of numbers by name; those that are not in the file are missing."""

    columns: Mapping[str, Float[np.ndarray, " n"]]
    path: Path

    def at(self, wave: Float[np.ndarray, " n_pix"], name: str) -> Float[np.ndarray, " n_pix"]:
        """Returns a column at other wavelengths, linear between those of the table (column "wave", Å).

        Raises:
            DataError: there is no such column, or the table does not reach all of them.
        """
        own, values = self.columns["wave"], self.columns.get(name)
        if values is None:
            raise DataError(f"{self.path}: needed a column {name}, found {', '.join(self.columns)}")
        if not (np.diff(own) > 0).all():
            raise DataError(f"{self.path}: wave must increase; sort the rows")
        if wave.min() < own[0] or wave.max() > own[-1]:
            raise DataError(
                f"{self.path}: needed wavelengths from {wave.min():.2f} to {wave.max():.2f} Å, found "
                f"{own[0]:.2f} to {own[-1]:.2f}; widen the table, or shorten the arm"
            )
        found: Float[np.ndarray, " n_pix"] = np.interp(wave, own, values)
        return found


def read_columns(path: Path, wanted: Sequence[str]) -> Table:
    """Returns those of the wanted columns that a CSV or ECSV file has, as finite numbers.

    Raises:
        MissingInputError: it cannot be read.
        DataError: not a table with a header and two rows, without a column "wave", or not finite.
    """
    import csv

    lines = [line for line in read_text(path, "table", MOST_BYTES).splitlines() if line.strip()]
    rows = list(csv.reader(line for line in lines if not line.lstrip().startswith("#")))
    if len(rows) < 3:
        raise DataError(f"{path}: needed a header and at least two rows, found {len(rows)} lines")
    header = [name.strip() for name in rows[0]]
    if len(header) == 1 and len(header[0].split()) > 1:  # ECSV has blanks by default
        rows = [row[0].split() for row in rows]
        header = rows[0]
    if "wave" not in header:
        raise DataError(f"{path}: needed a column wave (vacuum Å), found {', '.join(header)[:300]}")
    columns = {name: _column(rows, header.index(name), path, name) for name in wanted if name in header}
    return Table(columns, path)


def _column(rows: list[list[str]], i: int, path: Path, name: str) -> Float[np.ndarray, " n"]:
    values = []
    for number, row in enumerate(rows[1:], 2):
        if i >= len(row):
            raise DataError(f"{path}: row {number} has no column {name}")
        values.append(_number(row[i].strip(), f"{path}: {name} in row {number}", -math.inf))
    return np.array(values)
