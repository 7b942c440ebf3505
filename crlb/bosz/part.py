"""A file that has come in part: what it is a part of, when it is whole, and how it gets its name."""

import bz2
import gzip
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from crlb.bosz.answer import words
from crlb.bosz.fits_headers import check_headers
from crlb.bosz.tries import MayPass, NoAnswer, Refused, Stopped
from crlb.errors import DataError, MissingInputError
from crlb.files.output import writing
from crlb.files.records import Record
from crlb.files.text_input import read_json

CHUNK = 1 << 16  # bytes
MOST_NOTE = 2**16  # bytes
MOST_PACKED, BESIDE = 100, 2**20  # bytes out of one packed byte, spectra reach 6; and beside that
FITS_BLOCK = 2880  # bytes; a FITS file is a whole number of them


@dataclass(frozen=True)
class Part(Record):
    """What is known of a file of which a part lies here; a part is only continued by the very same file."""

    url: str
    size: int | None
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """What If-Range may hold: a strong ETag, else the date."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


def part_path(target: Path) -> Path:
    """Returns where a file lies while only a part of it has come."""
    return target.with_name(target.name + ".part")


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def read_note(part: Path, url: str) -> Part | None:
    """What is known of a part; None if nothing usable, or if it came from another place."""
    try:
        known = Part.from_json(read_json(_note_path(part), "note", MOST_NOTE))
    except (MissingInputError, DataError):
        return None
    return known if known.url == url else None


def write_note(part: Path, known: Part) -> None:
    """Starts a part anew. The old one goes first, so that no kill leaves it with a new note."""
    with writing(part):
        part.unlink(missing_ok=True)
        temporary = _note_path(part).with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(known)))
        os.replace(temporary, _note_path(part))


def forget(part: Path) -> None:
    """Removes a part and what is known of it."""
    with writing(part):
        part.unlink(missing_ok=True)
        _note_path(part).unlink(missing_ok=True)


def pour(
    chunks: Iterator[bytes],
    part: Path,
    append: bool,
    most: int,
    stop: threading.Event,
    received: Callable[[int], None],
) -> None:
    """Writes what comes to a part as it comes, so that little is lost by a kill.

    Args:
        chunks: content of an answer of a server, or of a file.
        part: where it goes.
        append: to what is there already.
        most: bytes that the part may have.
        stop: when set, no more is read.
        received: called with the number of bytes of every chunk.

    Raises:
        NoAnswer: the connection is lost, or too slow.
        MayPass: the source ended before its time.
        Refused: more than `most` came.
        Stopped: `stop` was set.
        OutputError, DiskError: the disk refused.
    """
    with writing(part), part.open("ab" if append else "wb") as file:
        while chunk := _receive(chunks):
            check_size(file.tell() + len(chunk), most)
            file.write(chunk)
            file.flush()
            received(len(chunk))
            if stop.is_set():
                raise Stopped("stopped")


def check_size(size: int, most: int) -> None:
    """Raises Refused where a file has more bytes than it may have."""
    if size > most:
        raise Refused(f"it has more than {most:,} bytes, which no spectrum of this name has")


def _receive(chunks: Iterator[bytes]) -> bytes:
    try:
        return next(chunks, b"")
    except httpx.RemoteProtocolError as error:
        raise MayPass(f"connection lost: {words(error)}") from error
    except (OSError, httpx.TransportError) as error:
        raise NoAnswer(f"connection lost: {words(error)}") from error


def finish(part: Path, target: Path, size: int | None) -> None:
    """Gives a part its name if it is whole."""
    have = part.stat().st_size
    if size is not None and have < size:
        raise MayPass(f"connection dropped after {have} of {size} bytes")
    try:
        if size is not None and have != size:
            raise DataError(f"{have} bytes came where {size} were announced")
        check_whole(part, target.name)
    except DataError as error:
        forget(part)
        raise MayPass(str(error)) from error
    with writing(target):
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
        _note_path(part).unlink(missing_ok=True)


def check_whole(path: Path, name: str) -> None:
    """Decompresses a .gz or .bz2 file to its end; checks that all of a .fits file is there.

    Args:
        path: the file.
        name: what it will be called.

    Raises:
        DataError: it is not whole.
    """
    try:
        if name.endswith((".gz", ".bz2")):
            with gzip.open(path) if name.endswith(".gz") else bz2.open(path) as file:
                if not _drain(file, MOST_PACKED * path.stat().st_size + BESIDE):
                    raise DataError(f"{name} is truncated or damaged: it is empty")
        elif name.endswith(".fits"):
            _check_fits(path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is truncated or damaged: {error}") from error


def _drain(file: gzip.GzipFile | bz2.BZ2File, most: int) -> int:
    """Reads to the end, where the checksum is verified; returns the number of bytes.

    Raises:
        DataError: there are more than `most`.
    """
    total = 0
    while block := file.read(1 << 20):
        total += len(block)
        if total > most:
            raise DataError(f"more than {most:,} bytes come out of it: no spectrum is packed so well")
    return total


def _check_fits(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size == 0 or size % FITS_BLOCK or file.read(6) != b"SIMPLE":
            raise DataError(f"{path.name}: no FITS file of whole {FITS_BLOCK}-byte blocks ({size} bytes)")
        file.seek(0)
        check_headers(file.read())
