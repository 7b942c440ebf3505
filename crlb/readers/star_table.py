"""Tables of stars, one a row: a catalogue, isochrones, a mock survey. Labels, magnitudes, weights."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.observed import Origin
from crlb.files.text_input import read_bytes
from crlb.readers.columns import Table, listed, parsed
from crlb.readers.meta import LABELS
from crlb.readers.text import is_text, table_of

NAMES = LABELS | {"mag": ("mag",), "weight": ("weight",)}  # what a column is -> its names, in lower case
HEAD = 4096  # bytes, by which a text is told from other files


@dataclass(frozen=True, eq=False)
class StarTable:
    """Columns of a table of stars.

    Args:
        path: the file.
        sha256: its checksum.
        columns: labels of `crlb.labels`, in their units; AB magnitudes under "mag", weights under "weight".
        unread: names of the other columns.
    """

    path: Path
    sha256: str
    columns: dict[str, Float[np.ndarray, " n"]]
    unread: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of stars."""
        return len(next(iter(self.columns.values())))


def read_star_table(path: str | Path) -> StarTable:
    """Returns the stars of a CSV or ECSV file: labels by the names that headers of spectra have, mag, weight.

    Columns are T_eff (or teff, K), log_g (logg), M_H (mh, fe_h, feh), a_M (alpha_m) and C_M, in any case,
    with or without a unit behind; of several names of one label the first in this order counts.

    Raises:
        MissingInputError: the file cannot be read.
        DataError: it is no text or table with names, or has none of these columns; a cell is no number.
    """
    content = read_bytes(path, "population")
    if not is_text(content[:HEAD]):
        raise DataError(f"population {path} is no text; give a table as CSV or ECSV")
    try:
        table = table_of(content, Origin(str(path), "table of stars"))
        found = {name: column for name in NAMES if (column := _column(table, name)) is not None}
        values = {name: _numbers(table, name, column) for name, column in found.items()}
    except DataError as error:
        raise DataError(f"population {path}: {error}") from error
    if not set(values) & set(LABELS):
        raise DataError(
            f"population {path}: needed columns named as labels ({', '.join(LABELS)}), found "
            f"{listed(list(table.columns))}"
        )
    unread = tuple(name for name in table.columns if name not in found.values())
    return StarTable(Path(path), hashlib.sha256(content).hexdigest(), values, unread)


def _column(table: Table, name: str) -> str | None:
    """The column that holds something by its name; None: there is none."""
    for known in NAMES[name]:
        found = [column for column in table.columns if parsed(column).base == known]
        if len(found) > 1:
            raise DataError(f"several columns could be {name}: {listed(found)}; rename all but one")
        if found:
            return found[0]
    return None


def _numbers(table: Table, name: str, column: str) -> Float[np.ndarray, " n"]:
    values = table.columns[column]
    if values.dtype.kind not in "fiu" or values.ndim != 1:
        raise DataError(f"{name} (column {column}) must be numbers, found {values.dtype}")
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers))) + 1
        raise DataError(f"{name} (column {column}) must be finite, found {numbers[row - 1]} in star {row}")
    return numbers
