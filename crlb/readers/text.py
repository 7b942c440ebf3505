"""Spectra in tables of text: CSV, ECSV, columns with or without names."""

import csv
import re
import warnings
from collections.abc import Sequence

import numpy as np

from crlb.errors import DataError
from crlb.files.memory import check_memory
from crlb.files.observed import Origin
from crlb.readers.columns import NAMES, Table, parsed
from crlb.readers.meta import about
from crlb.readers.objects import table_of_astropy
from crlb.readers.units import wave_unit

COMMENTS = ("#", "%", "!", "//")
ECSV = "# %ECSV"
RULE = set("-=+| ")  # a line of these is drawn, not written
MOST = 512 * 2**20  # bytes: of a text ...
IN_MEMORY = 10  # ... which takes so many times as much in memory
LONGEST_COMMENT = 500  # characters of a comment that are read as "key: value"
NO_NUMBER = {"", "-", "--", "nan", "null", "none", "na", "n/a", "masked", "indef"}
_KEY = re.compile(r"^\s*([A-Za-z_][\w -]*?)\s*[:=]\s*(.+?)\s*$")
_COMMA = re.compile(r"^[+-]?\d+,\d+$")
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$")


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file can be those of a text."""
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # otherwise a letter is cut off at the end
            return sum(byte < 9 or 13 < byte < 32 for byte in head) == 0
    return True


def table_of(content: bytes, origin: Origin) -> Table:
    """Returns the columns of a text.

    ECSV as astropy has it. Otherwise lines that begin with #, %, ! or // are comments, of which "key: value"
    is understood for wave_unit, wave_medium, flux_unit and labels; columns are set apart by commas,
    semicolons, tabs or blanks; their names stand in the first line or in the last comment before the numbers,
    their units perhaps in a line below.

    Raises:
        DataError: the text is empty or too long, is no table, or ECSV that astropy cannot read.
    """
    if len(content) > MOST:
        raise DataError(
            f"{len(content) / 2**20:.0f} MiB of text are more than the {MOST >> 20} that are read"
        )
    check_memory(IN_MEMORY * len(content), f"a text of {len(content) / 2**20:.3g} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return _ecsv(text, origin) if text.startswith(ECSV) else _plain(text, origin)


def _ecsv(text: str, origin: Origin) -> Table:
    """Columns, units and metadata of an ECSV table; masked numbers are NaN."""
    import astropy.table
    from astropy.utils.exceptions import AstropyWarning
    from yaml import YAMLError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # units that it does not know are kept as texts
            found = astropy.table.Table.read(text.splitlines(), format="ascii.ecsv")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, YAMLError) as error:
        raise DataError(f"no ECSV table that astropy can read: {str(error).splitlines()[0]}") from error
    return table_of_astropy(found, origin)


def _plain(text: str, origin: Origin) -> Table:
    comments, lines = _split(text)
    if not lines:
        raise DataError("no line of numbers in it")
    rows = _rows(lines)
    width = len(rows[0])
    names = None if _numeric(rows[0]) else [field.strip().strip(",;'\"") for field in rows.pop(0)]
    named = names is not None
    if names is None:
        names = _commented_names(comments, width)
        named = names is not None
    names = names or [str(i + 1) for i in range(width)]
    if len(set(names)) < len(names):
        raise DataError(f"several columns have one name: {', '.join(names)}")
    if not rows:
        raise DataError(f"a line of names ({', '.join(names[:20])}) and no numbers below it")
    _check_widths(rows, len(names))
    units = dict(zip(names, rows.pop(0), strict=True)) if named and _are_units(rows) else {}
    columns = {name: _column(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
    matches = (_KEY.match(comment[:LONGEST_COMMENT]) for comment in comments)
    said = about({found[1]: found[2] for found in matches if found})
    return Table(columns, origin, {name: unit.strip() for name, unit in units.items()}, said, named)


def _split(text: str) -> tuple[list[str], list[str]]:
    """Comments without their sign, and the other lines that are not empty."""
    comments, lines = [], []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith(COMMENTS):
            comments.append(bare.lstrip("#%!/ "))
        elif set(bare) - RULE:
            lines.append(line)
    return comments, lines


def _rows(lines: Sequence[str]) -> list[list[str]]:
    """The fields of every line: set apart by what stands in the last line."""
    last = lines[-1]
    for sign in (";", "\t", "|", ","):
        if sign in last:
            rows = list(csv.reader(lines, delimiter=sign, skipinitialspace=True))
            fields = [field.strip() for row in rows[-20:] for field in row]
            if sign != "," and (found := [field for field in fields if _COMMA.match(field)]):
                raise DataError(f"'{found[0]}' has a comma; write numbers with a decimal point")
            width = len(rows[0])
            return [row[:-1] if len(row) == width + 1 and not row[-1].strip() else row for row in rows]
    return [line.split() for line in lines]


def _check_widths(rows: Sequence[Sequence[str]], width: int) -> None:
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            line = " ".join(row)[:60]
            raise DataError(f"row {number} of numbers has {len(row)} columns, not {width}: '{line}'")


def _numeric(row: Sequence[str]) -> bool:
    """Whether a row is one of numbers, not of names."""
    words = [field.strip() for field in row]
    return any(_NUMBER.match(word) for word in words) or all(word.lower() in NO_NUMBER for word in words)


def _are_units(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line below the names has units, that of a wavelength among them."""
    if len(rows) < 2 or _numeric(rows[0]) or not _numeric(rows[1]):
        return False
    return any(wave_unit(word) for word in rows[0] if word.strip())


def _commented_names(comments: Sequence[str], width: int) -> list[str] | None:
    """The names of the columns in the last comment that can be a line of names."""
    for comment in reversed(comments):
        for fields in (comment.split(","), comment.split(";"), comment.split("\t"), comment.split()):
            names = [field.strip().strip(",;'\"") for field in fields]
            known = {parsed(name).base for name in names}
            waves = {*NAMES["wave"], *NAMES["log10"], *NAMES["ln"]}
            if len(names) == width and known & waves and known & set(NAMES["flux"]):
                return names
    return None


def _column(values: Sequence[str]) -> np.ndarray:
    """Numbers; texts where one of them is no number."""
    whole = values[0].strip().isdecimal()  # identifiers have more digits than a float64
    for kind in (np.int64, np.float64) if whole else (np.float64,):
        try:
            return np.array(values).astype(kind)
        except (ValueError, OverflowError):
            continue
    words = [value.strip() for value in values]
    try:
        return np.array([_number(word) for word in words])
    except ValueError:
        return np.array(words)


def _number(word: str) -> float:
    """A number, also with the exponent D of Fortran; NaN for the words that say "none"."""
    if word.lower() in NO_NUMBER or not word.strip("*"):
        return float("nan")
    try:
        return float(word)
    except ValueError:
        return float(re.sub(r"[dD]", "e", word))
