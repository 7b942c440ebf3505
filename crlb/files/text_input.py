"""The one door for text from anywhere: JSON, lists, tables, locks.

What comes through it is a regular file, of bounded size, UTF-8 without NUL, and of bounded depth; everything
else is an error that names the file. YAML has the rest of its door in `crlb.files.yaml_input`.
"""

import json
import os
import reprlib
import stat
from pathlib import Path
from typing import Any

from crlb.errors import DataError, DiskError, MissingInputError, disk_refusal
from crlb.files.records import Json

MOST_BYTES = 256 * 2**20  # of a text; the largest that is written here, metrics of a long run, has some MB
DEPTH = 64  # of lists and mappings inside each other; no result is deeper than ten
LONGEST = 301  # characters of a value in a message
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 100, 100


def shown(value: object) -> str:
    """Returns a value from a file for a message: a line of at most `LONGEST` characters, whatever it is."""
    text = _SHORT.repr(value)
    half = (LONGEST - 3) // 2
    return text if len(text) <= LONGEST else f"{text[:half]}...{text[-half:]}"


def read_bytes(path: str | Path, kind: str, most: int = MOST_BYTES) -> bytes:
    """Returns what is in a regular file; a pipe or a device is refused instead of waited for.

    Args:
        path: the file.
        kind: what it is, for the message ("sweep").
        most: bytes that it may have.

    Raises:
        MissingInputError: it is not there, not a regular file, or may not be read.
        DataError: it is larger.
        DiskError: the disk fails.
    """
    try:
        with open(path, "rb", opener=without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise MissingInputError(f"{kind} {path} is not a regular file; give one that is")
            content = file.read(most + 1)
    except MissingInputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if refusal := disk_refusal(error):
            raise DiskError(f"cannot read {kind} {path}: {refusal}") from error
        raise MissingInputError(f"cannot read {kind} {path}: {_words(error)}") from error
    if len(content) > most:
        raise DataError(f"{kind} {path} must have at most {most:,} bytes, but is larger")
    return content


def without_waiting(path: str, flags: int) -> int:
    """Opens a file, as the `opener` of `open`; the other end of a pipe is not waited for."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def read_text(path: str | Path, kind: str, most: int = MOST_BYTES) -> str:
    r"""Returns the text in a file, with \n at the ends of its lines; arguments and errors as `read_bytes`.

    Raises:
        DataError: it is not UTF-8, or holds NUL.
    """
    content = read_bytes(path, kind, most)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{kind} {path} must be text in UTF-8, but byte {error.start} is not") from error
    if "\0" in text:
        raise DataError(f"{kind} {path} must be text, but character {text.index(chr(0))} is NUL")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | Path, kind: str, most: int = MOST_BYTES) -> dict[str, Json]:
    """Returns the JSON object in a file; arguments and errors as `read_text`.

    Raises:
        DataError: it is not JSON, something else than an object, or deeper than `DEPTH`.
    """
    text = read_text(path, kind, most)
    try:
        return parse_json(text)
    except DataError as error:
        raise DataError(f"{kind} {path}: {error}") from error


def parse_json(text: str) -> dict[str, Json]:
    """Returns the JSON object in a text.

    Raises:
        DataError: it is not JSON, something else than an object, or deeper than `DEPTH`.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise DataError(_too_deep()) from error
    except ValueError as error:
        raise DataError(f"must be JSON, but: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"must hold a JSON object, found {type(found).__name__}")
    _check_depth(found)
    return found


def _check_depth(value: Json) -> None:
    level: list[Any] = [value]
    for _ in range(DEPTH):
        parts = [one.values() if isinstance(one, dict) else one for one in level]
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list)]
        if not level:
            return
    raise DataError(_too_deep())


def _too_deep() -> str:
    return f"must have at most {DEPTH} lists and mappings inside each other, found more"


def _words(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
