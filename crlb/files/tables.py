"""Tables of stars that grow row by row, survive an interruption and appear whole or not at all."""

import csv
import fcntl
import io
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from crlb.errors import DataError, Interrupted, Locked, MissingInputError, OutputError
from crlb.files.flags import NONE
from crlb.files.folders import check_links
from crlb.files.output import check_output, hidden, new_file, writing
from crlb.files.records import Record, write_json
from crlb.files.table_formats import About as About  # handed on: what a table is made of
from crlb.files.table_formats import Column as Column
from crlb.files.table_formats import Kind, partial_of, write_table
from crlb.files.table_formats import check_table as check_table
from crlb.files.text_input import read_json

COMMIT_S = 2.0  # between two moments from which an interrupted run can go on
MOST_STATE = 2**20  # bytes of the note on partial rows


@dataclass(frozen=True)
class _State(Record):
    """How far the partial rows of a table are good, and what decides them."""

    fingerprint: dict[str, str]
    rows: int
    bytes: int

    def __post_init__(self) -> None:
        if self.rows < 0 or self.bytes < 0:
            raise DataError(f"rows and bytes must be 0 or more, found {self.rows} and {self.bytes}")


class TableFile:
    """A table of stars that is being written; use it in a ``with``.

    Rows go to `.NAME.partial` beside the table, and every two seconds it is noted how far they are good. At
    the end of the ``with`` the table is made of them and appears under its name. After an error, a Ctrl-C or
    a kill the partial rows stay; the same command takes them up again: `rows` says how many there are.

    Args:
        path: the table; .csv, .ecsv, .fits or .fits.gz chooses the format.
        columns: of the table.
        about: provenance and legends, for the header of ECSV and FITS (CSV has none).
        fingerprint: what decides the rows (inputs, options, weights), by name. Partial rows of another
            fingerprint are refused, or thrown away where `overwrite` is True.
        overwrite: allow the table to be replaced.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[Column],
        *,
        about: About,
        fingerprint: Mapping[str, str],
        overwrite: bool = False,
    ) -> None:
        self.path, self.columns, self.overwrite = Path(path), tuple(columns), overwrite
        self.about: dict[str, Any] = dict(about)
        self.fingerprint = dict(fingerprint) | {"columns": ",".join(one.name for one in columns)}
        self.partial = partial_of(self.path)
        self.state = hidden(self.path, ".partial.json")
        self.good = (0, 0)  # rows and their bytes; one value, which no Ctrl-C can tear apart
        self.committed_at = 0.0
        self.file: IO[bytes] | None = None

    @property
    def rows(self) -> int:
        """Rows so far, those of an earlier run of the same command included."""
        return self.good[0]

    def check(self) -> None:
        """Refuses, within milliseconds, what entering would refuse.

        Raises:
            UsageError: the name says no format.
            OutputError: the table exists already or cannot be created; partial rows of another command, or a
                symbolic link in their place.
        """
        check_table("the table", self.path)
        check_output(self.path, self.overwrite)
        check_links([self.partial, self.state])
        self._kept()

    def __enter__(self) -> "TableFile":
        self.check()
        with ExitStack() as undo, writing(self.path):
            self.file = undo.enter_context(self.partial.open("ab"))
            self._lock(self.file)
            if (kept := self._kept()) is not None:  # read again: now nobody else writes it
                self.good = kept
            self.file.truncate(self.good[1])
            if not self.good[1]:
                self._write(_lines([[one.name for one in self.columns]]), 0)
            self._commit()
            undo.pop_all()
        return self

    def append(self, columns: Mapping[str, Sequence[object] | Iterable[object]]) -> None:
        """Adds rows: every column of the table by name, all of one length.

        Raises:
            ValueError: a column is missing, unknown, or of another length.
            DiskError: the disk is full, read-only or failing.
        """
        if set(columns) != {one.name for one in self.columns}:
            raise ValueError(f"columns must be {self.fingerprint['columns']}, found {','.join(columns)}")
        cells = [list(map(_FORMATS[one.kind], columns[one.name])) for one in self.columns]
        with writing(self.path):
            self._write(_lines(zip(*cells, strict=True)), len(cells[0]))
            if time.monotonic() - self.committed_at > COMMIT_S:
                self._commit()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.file is not None
        try:
            self._end(whole=error is None)
        except KeyboardInterrupt as late:
            error = late
        finally:
            self.file.close()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(self.interrupted()) from None

    def interrupted(self) -> str:
        """What to say of a run that was stopped."""
        return f"stopped after {self.rows} rows of {self.path}; the same command goes on from there"

    def _end(self, whole: bool) -> None:
        with writing(self.path):
            self._commit()
        if whole:
            with new_file(self.path, self.overwrite) as temporary:
                write_table(self.partial, temporary, self.columns, self.about)
        if whole or not self.rows:
            self._remove()

    def _write(self, text: str, rows: int) -> None:
        assert self.file is not None
        self.file.write(text.encode())
        self.file.flush()
        self.good = (self.rows + rows, self.file.tell())

    def _commit(self) -> None:
        """Notes how far the rows are good, once they are on the disk."""
        assert self.file is not None
        os.fsync(self.file.fileno())
        write_json(_State(self.fingerprint, *self.good), self.state, overwrite=True)
        self.committed_at = time.monotonic()

    def _kept(self) -> tuple[int, int] | None:
        """Rows and bytes that an earlier run of the same command has left; None: nothing."""
        try:
            state = _State.from_json(read_json(self.state, "state of a table", MOST_STATE))
        except MissingInputError:
            return None
        except DataError:
            state = _State({"state": "unreadable"}, 0, 0)
        rows, length, found = state.rows, state.bytes, state.fingerprint
        if found == self.fingerprint and self.partial.is_file() and self.partial.stat().st_size >= length:
            return rows, length
        if self.overwrite or not rows:
            return None
        names = [name for name in self.fingerprint | found if self.fingerprint.get(name) != found.get(name)]
        raise OutputError(
            f"{self.partial} holds {rows} rows of an interrupted command that differs in "
            f"{', '.join(names) or 'its length'}; repeat that command, delete the file, or allow it to be "
            "thrown away with --overwrite"
        )

    def _lock(self, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"{self.path} is being written by another process; wait for it or stop it") from None
        except OSError:  # a file system without flock
            pass

    def _remove(self) -> None:
        for path in (self.state, self.partial):
            with suppress(FileNotFoundError):
                path.unlink()


def as_read(columns: Sequence[Column], row: Mapping[str, object]) -> dict[str, object]:
    """A row of a table with its numbers and texts as they are read again: of 8 digits, `-` for no text.

    Args:
        columns: of the table.
        row: value of every column by name, or its cell, as text.
    """
    return {one.name: _READERS[one.kind](_cell(one.kind, row[one.name])) for one in columns}


def _cell(kind: Kind, value: object) -> str:
    return value if isinstance(value, str) else _FORMATS[kind](value)


def _number(value: object) -> str:
    return f"{value:.8g}"


def _integer(value: object) -> str:
    return f"{value:d}"


def _flag(value: object) -> str:
    return "True" if value else "False"


def _text(value: object) -> str:
    """One line of printable text, never empty."""
    words = " ".join(str(value).encode("utf-8", "backslashreplace").decode().split())
    return "".join(one for one in words if one.isprintable()) or NONE


_FORMATS: Mapping[Kind, Callable[[object], str]] = {
    "number": _number,
    "integer": _integer,
    "flag": _flag,
    "text": _text,
}

_READERS: Mapping[Kind, Callable[[str], object]] = {
    "number": float,
    "integer": int,
    "flag": lambda cell: cell == "True",
    "text": _text,
}


def _lines(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
