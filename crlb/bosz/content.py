"""What a file holds, whatever it is called: unpacked within a limit, and told apart by its first bytes."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path
from typing import IO, cast

from crlb.errors import DataError
from crlb.files.text_input import without_waiting

FITS_MAGIC = b"SIMPLE  ="


def _open_xz(file: BufferedIOBase) -> BufferedIOBase:
    return lzma.LZMAFile(cast(IO[bytes], file))


OPENERS: dict[bytes, Callable[[BufferedIOBase], BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": _open_xz,
}
MAX_LAYERS = 2  # of compression, one inside the other
# First bytes of files that are whole but of another kind, and what they are.
OTHER_KINDS = {
    b"\x89HDF": "an HDF5 file",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"\x1f\x9d": "a file packed by `compress`: unpack it with `gunzip`",
    b"\x28\xb5\x2f\xfd": "a file packed by `zstd`: unpack it",
    b"%PDF": "a PDF document",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself with `git lfs pull`",
    b"<": "a web page or XML (an answer of a server that was saved under this name?): fetch the file itself",
    b"{": "JSON",
}
TAR_MAGIC = slice(257, 262)  # where a tar archive says `ustar`


def unpacked(path: Path, limit: int) -> bytes:
    """Returns what a file holds, decompressed if its first bytes are those of gzip, bzip2 or xz.

    Args:
        path: the file; its suffix does not matter.
        limit: bytes, more than a whole spectrum has; no more are unpacked.

    Raises:
        DataError: it is empty, truncated or damaged, larger than the limit, or of a kind that is no spectrum.
    """
    with open(path, "rb", opener=without_waiting) as file:
        try:
            raw = _unpack(file, limit, MAX_LAYERS)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise DataError(f"it is truncated or damaged ({error}); download it again") from error
    if not raw.strip():
        raise DataError(f"it is empty: {path.stat().st_size} bytes on disk, nothing in them")
    _check_kind(raw)
    return raw


def _unpack(file: BufferedIOBase, limit: int, layers: int) -> bytes:
    magic = file.read(6)
    file.seek(0)
    open_packed = next((opener for start, opener in OPENERS.items() if magic.startswith(start)), None)
    if open_packed is None:
        return _read(file, limit)
    if not layers:
        raise DataError(f"it is compressed more than {MAX_LAYERS} times; unpack it")
    return _unpack(open_packed(file), limit, layers - 1)


def _read(file: BufferedIOBase, limit: int) -> bytes:
    raw = file.read(limit + 1)
    if len(raw) > limit:
        raise DataError(
            f"it holds more than {limit / 1e6:.1f} MB when unpacked, more than a spectrum of its name has"
        )
    return raw


def _check_kind(raw: bytes) -> None:
    start = raw[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, kind in OTHER_KINDS.items():
        if start.startswith(magic):
            raise DataError(f"it holds {kind}; no spectrum")
    if raw[TAR_MAGIC] == b"ustar":
        raise DataError("it holds a tar archive: unpack it; no spectrum")
