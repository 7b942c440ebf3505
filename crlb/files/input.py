"""Input files that are looked for before anything else is done."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from crlb.errors import MissingInputError


def check_inputs(inputs: Mapping[str, Path | None]) -> None:
    """Refuses inputs that are not there, before any of them is read.

    Args:
        inputs: option or argument ("--grid", "SPECTRA") -> the file it reads; None: not given.

    Raises:
        MissingInputError: one does not exist, is not a file, or may not be read.
    """
    for name, path in inputs.items():
        if path is not None:
            check_file(path, name)


def check_file(path: str | Path, name: str) -> None:
    """Refuses what is not a regular file that this user may read.

    Args:
        path: the file.
        name: what it is, for the message ("--grid").

    Raises:
        MissingInputError: it is not.
    """
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise MissingInputError(f"{name} {path} cannot be read: {error.strerror}") from error
        regular = False
    if not regular:
        raise MissingInputError(f"{name} {path} does not exist or is not a file; give one that does")
    if not os.access(path, os.R_OK):
        raise MissingInputError(f"{name} {path} cannot be read: {os.strerror(errno.EACCES)}")


def identity(paths: Iterable[Path]) -> str:
    """A short text that changes when one of these files, their order, sizes or times of change do.

    Raises:
        FileNotFoundError: one is not there.
    """
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def sha256(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
