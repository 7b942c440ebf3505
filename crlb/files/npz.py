"""Archives of numpy arrays, read with care: no pickles, and no array that is larger than it may be."""

import hashlib
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from crlb.errors import DataError, MissingInputError
from crlb.files.checksum import CHECKSUM
from crlb.files.memory import check_memory

# What zipfile and numpy raise for damaged archives, found by changing bytes of good ones.
ERRORS = (
    *(ValueError, OSError, EOFError, KeyError, TypeError, SyntaxError, OverflowError, NotImplementedError),
    *(RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error, MemoryError, RecursionError),
)
COPIES = 2  # of an array in memory: as it is read and as it is used
MOST_HEADER = 10_000  # bytes; numpy allows no more, either


def write_npz(file: IO[bytes], arrays: Mapping[str, npt.ArrayLike], compressed: bool = True) -> None:
    """Writes arrays of text, numbers and flags as an npz archive, beside the SHA-256 of them all."""
    save = np.savez_compressed if compressed else np.savez
    given = {name: np.asarray(array) for name, array in arrays.items()}
    save(file, allow_pickle=False, **given, **{CHECKSUM: np.array(content_digest(given))})


def content_digest(arrays: Mapping[str, np.ndarray], about: bytes = b"") -> str:
    """SHA-256 of what is said about arrays, and of their names, types, shapes and values."""
    found = hashlib.sha256(about)
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode("utf-8", "replace"))
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def read_npz(path: str | Path, kind: str) -> dict[str, np.ndarray]:
    """Returns all arrays of an npz file, by name; text, numbers and flags only.

    The checksum of files that `write_npz` wrote is compared, and left out.

    Args:
        path: the file.
        kind: what it is, for the message ("baseline").

    Raises:
        MissingInputError: there is no such file.
        DataError: not an npz file, a damaged one, one that holds objects, or more than the free memory; or
            its arrays are not those of its checksum.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"{kind} {path} does not exist or is not a file")
    try:
        with zipfile.ZipFile(path) as archive:
            n_bytes = sum(map(partial(_checked, archive), archive.infolist()))
            check_memory(COPIES * n_bytes, "all that is in it")
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except ERRORS as error:
        raise DataError(f"{kind} {path} is not a readable npz file: {error}") from error
    known = found.pop(CHECKSUM, None)
    if known is not None and str(known) != content_digest(found):
        raise DataError(f"{kind} {path} is not what was written (SHA-256 differs); make it again")
    return found


def _checked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Bytes of one array; its header must declare as many as the archive says that there are."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream, max_header_size=MOST_HEADER)
        declared, there = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
    if dtype.hasobject:
        raise DataError(f"{member.filename} holds objects, which can run any program; they are refused")
    if declared != there:
        raise DataError(f"{member.filename} declares {declared:,} bytes, but {there:,} are there")
    return declared
