"""Tables of numbers in text: blanks, commas, semicolons or tabs between, headings, Fortran's exponents."""

import csv
import io
import re
from array import array

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError

COMMENTS = ("#", "!", "%", "//")
MAX_HEADER = 1000  # lines
NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eEdD]([+-]?\d+))?")
NO_LETTER = re.compile(r"([+-]?\d*\.\d+)([+-]\d{3})")  # Fortran leaves out the E of 1.5E-101
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?([eEdD][+-]?\d+)?")
PRECISE = re.compile(r"[+-]?\d+\.\d*[eEdD][+-]?\d+")  # what stands in tables, not in headings


def parse_text(raw: bytes) -> tuple[tuple[str, ...], Float[np.ndarray, "n_rows n_columns"]]:
    """Returns the names of the columns, as many as the last heading has, and the numbers.

    Thousands separators are taken for such only where they can be nothing else.

    Raises:
        DataError: there are no numbers, or a line holds something else; it is named by its number.
    """
    text = _decode(raw)
    names, start, n_lines = _heading(text)
    body = text[start:]
    try:
        table: np.ndarray = np.loadtxt(io.StringIO(body), ndmin=2)
    except ValueError:
        table = _by_lines(body, n_lines + 1)
    return names, table


def _decode(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = raw.decode("utf-16", errors="replace")
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")  # Å in a comment
    if "\0" in text[:10000]:
        raise DataError("it holds neither FITS nor text, but other binary data")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\N{MINUS SIGN}", "-")


def _heading(text: str) -> tuple[tuple[str, ...], int, int]:
    """Returns the last heading's words, where the first line of numbers starts, and the lines before it."""
    names: tuple[str, ...] = ()
    start = 0
    for n_lines in range(MAX_HEADER):
        end = text.find("\n", start)
        line = text[start : None if end < 0 else end].strip()
        if line and not line.startswith(COMMENTS):
            if _starts_with_number(line):
                return names, start, n_lines
            _refuse_numbers(line, n_lines + 1)
        words = _words(line)
        names = words or names
        if end < 0:
            break
        start = end + 1
    raise DataError(f"it holds text, but no table of numbers; it begins with '{text.strip()[:60]}'")


def _starts_with_number(line: str) -> bool:
    return _number(re.split(r"[\s,;|]", line.lstrip('| "'))[0].strip('"')) is not None


def _refuse_numbers(line: str, at: int) -> None:
    """A heading has no numbers with exponents: a line with text and such numbers is a damaged row."""
    words = line.split()
    if line[0].isdigit() or any(PRECISE.fullmatch(word) for word in words):
        raise DataError(f"line {at} holds '{words[0][:40]}' where a number is needed")


def _words(line: str) -> tuple[str, ...]:
    """The words of a heading, without units in brackets."""
    line = re.sub(r"[\(\[][^\(\[\)\]]*[\)\]]", "", line.lstrip("#!%/ "))
    words = re.split(r"[,;\t|]" if re.search(r"[,;\t|]", line) else r"\s+", line)
    return tuple(word.strip().strip('"') for word in words if word.strip())


def _separator(line: str) -> str | None:
    """What stands between the numbers; None for blanks."""
    for mark in (";", "|", "\t"):
        if mark in line:
            return mark
    if "," not in line:
        return None
    blanks = re.search(r"\S\s+\S", line.strip()) is not None
    return None if blanks and not re.search(r",\s|\s,", line) and '"' not in line else ","


def _split(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    words = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    words = [word.strip() for word in words]
    inside = words[1:] if words and not words[0] else words  # |1|2|
    return inside[:-1] if inside and not inside[-1] else inside


def _by_lines(body: str, first: int) -> Float[np.ndarray, "n_rows n_columns"]:
    """The numbers line by line, for what numpy does not take; `first` is the number of the first line."""
    numbers, commas, width, separator = array("d"), _Commas(), 0, None
    for at, whole in enumerate(io.StringIO(body), first):
        line = whole.split("#")[0].strip()
        if not line or line.startswith(COMMENTS):
            continue
        separator = separator if width else _separator(line)
        words = _split(line, separator)
        if width and len(words) != width:
            raise DataError(
                f"line {at} has {len(words)} columns where the lines before it have {width}: "
                "it is cut off, or a number is missing"
            )
        width = len(words)
        for column, word in enumerate(words):
            number = _number(word)
            numbers.append(commas.number(word, at, column) if number is None else number)
    commas.check()
    return np.array(numbers).reshape(-1, width)


def _number(word: str) -> float | None:
    if match := NUMBER.fullmatch(word) or NO_LETTER.fullmatch(word):
        return float(f"{match[1]}e{match[2] or 0}")
    return float(word) if NOT_FINITE.fullmatch(word) else None


class _Commas:
    """Numbers with commas in them: thousands, if some number of the column can be nothing else."""

    def __init__(self) -> None:
        self.clear: set[int] = set()
        self.first: dict[int, tuple[int, str]] = {}

    def number(self, word: str, line: int, column: int) -> float:
        """The number without its commas.

        Raises:
            DataError: it is no number.
        """
        match = THOUSANDS.fullmatch(word)
        if match is None:
            why = ": a decimal comma; write points" if re.fullmatch(r"[\d+-]+,\d+([eEdD].*)?", word) else ""
            raise DataError(f"line {line} holds '{word[:40]}' where a number is needed{why}")
        if match[2] or word.count(",") > 1:
            self.clear.add(column)
        self.first.setdefault(column, (line, word))
        number = _number(word.replace(",", ""))
        assert number is not None
        return number

    def check(self) -> None:
        """Raises DataError where a column's commas may be decimal ones as well."""
        for column, (line, word) in self.first.items():
            if column not in self.clear:
                raise DataError(
                    f"line {line} holds '{word}', which may have a thousands separator or a decimal comma; "
                    "write numbers without commas"
                )
