"""SHA-256 of what an HDF5 file holds, kept in it: flipped bytes of a data set read silently otherwise.

It covers the attributes of the root and all data sets there, with names, types and shapes, as they read.
"""

import hashlib
import math

import h5py
import numpy as np

from crlb.errors import DataError
from crlb.files.hdf5 import dataset
from crlb.files.hdf5_attributes import attribute, text, write_texts

CHECKSUM = "sha256"  # attribute of the root
BLOCK = 2**24  # bytes read at a time


def seal(file: h5py.File) -> None:
    """Keeps the checksum of all that was written; for when nothing more will be."""
    write_texts(file, **{CHECKSUM: content_digest(file)})


def check_seal(file: h5py.File) -> bool:
    """Whether a file has a checksum, which then agrees.

    Raises:
        DataError: it does not: something was changed, on purpose or by a damaged disk.
    """
    known = text(file, CHECKSUM)
    if known is not None and known != content_digest(file):
        raise DataError(
            "what it holds is not what was written (SHA-256 differs): make or fetch it again; if it was "
            f"changed on purpose, delete its attribute {CHECKSUM}"
        )
    return known is not None


def content_digest(file: h5py.File) -> str:
    """SHA-256 of attributes and data sets of the root, as they read."""
    found = hashlib.sha256()
    for name in sorted(set(file.attrs) - {CHECKSUM}):
        value = np.asarray(attribute(file, name))
        found.update(f"{name} {value.dtype.str} {value.shape}\n".encode("utf-8", "replace"))
        found.update(value.tobytes())
    for name in sorted(file):
        values = dataset(file, name)
        found.update(f"{name} {values.dtype.str} {values.shape}\n".encode("utf-8", "replace"))
        for start in range(0, len(values) if values.ndim else 0, _rows(values)):
            found.update(np.ascontiguousarray(values[start : start + _rows(values)]).tobytes())
    return found.hexdigest()


def _rows(values: h5py.Dataset) -> int:
    """Rows of a block: whole chunks, where there are some."""
    row = max(1, math.prod(values.shape[1:]) * values.dtype.itemsize)
    chunk: int = values.chunks[0] if values.chunks else 1
    rows: int = max(1, BLOCK // row // chunk) * chunk
    return rows
