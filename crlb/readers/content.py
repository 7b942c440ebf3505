"""The bytes of a file, decompressed where it is compressed, within a limit of memory."""

import bz2
import gzip
import lzma
import zlib
from pathlib import Path

from crlb.errors import DataError, MissingInputError
from crlb.files.memory import free_memory

GZIP, BZIP2, XZ, ZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"PK\x03\x04"
HDF5_SIGN = b"\x89HDF\r\n\x1a\n"
MOST = 2 * 2**30  # bytes: of a file in memory, decompressed
MOST_PACKED, BESIDE = 1000, 2**26  # bytes out of one packed byte, spectra reach 6; and beside that
COPIES = 3  # of a file in memory at once: its pieces, the whole, the arrays made of it
PIECE = 2**22  # bytes read at a time


def head_of(path: Path, n_bytes: int) -> bytes:
    """Returns the first bytes of a file.

    Raises:
        MissingInputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(n_bytes)
    except OSError as error:
        raise MissingInputError(f"file of spectra {path} cannot be read: {error.strerror}") from error


def content_of(path: Path) -> bytes:
    """Returns the bytes of a file, decompressed by gzip or bzip2 where it is so compressed.

    Raises:
        MissingInputError: it cannot be read.
        DataError: it is empty, larger than `MOST` bytes, a third of the free memory or what a spectrum can be
            packed into once decompressed, damaged, or compressed otherwise.
    """
    head = head_of(path, 8)
    if not head:
        raise DataError("the file is empty")
    if head.startswith((XZ, ZIP)):
        raise DataError("compressed by xz or zip, which is not read; decompress it first")
    opened = gzip.open if head.startswith(GZIP) else bz2.open if head.startswith(BZIP2) else open
    try:
        with opened(path, "rb") as file:
            packed = MOST_PACKED * path.stat().st_size + BESIDE
            pieces, n_bytes, most = [], 0, min(MOST, packed, free_memory() // COPIES)
            while piece := file.read(PIECE):
                n_bytes += len(piece)
                if n_bytes > most:
                    raise DataError(f"more than {most:,} bytes once decompressed, which is too much to read")
                pieces.append(piece)
    except (EOFError, zlib.error, lzma.LZMAError, ValueError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"truncated or damaged: {error}") from error
    return b"".join(pieces)
