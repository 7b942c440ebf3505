"""SHA-256 of what an HDF5 file holds, kept in it: flipped bytes of a data set read silently otherwise.

It covers all attributes and data sets, with names, types and shapes, as they read.
"""

import hashlib
import math
from collections.abc import Iterator

import h5py
import numpy as np

from crlb.errors import DataError
from crlb.files.checksum import CHECKSUM, check_name, said_of
from crlb.files.hdf5 import dataset
from crlb.files.hdf5_attributes import Node, attribute, text, write_texts

DIGEST_SIZE = 64  # characters of a SHA-256
BLOCK = 2**24  # bytes read at a time
MOST_NODES = 1000  # groups and data sets of a file; those written here hold some 20
AFFORDABLE = 2**30  # bytes: a file of spectra that is larger is not read once more for its checksum: 2 s


def seal(file: h5py.File) -> None:
    """Keeps the checksum of all that was written; for when nothing more will be."""
    write_texts(file, **{CHECKSUM: content_digest(file)})


def check_seal(file: h5py.File) -> bool:
    """Whether a file has a checksum, which then agrees.

    Raises:
        DataError: it does not: something was changed, on purpose or by a damaged disk; or its name was.
    """
    known = text(file, CHECKSUM)
    if known is None:
        check_name({name: text(file, name) for name in file.attrs if _may_be_digest(file, name)})
    if known is not None and known != content_digest(file):
        raise DataError(
            "what it holds is not what was written (SHA-256 differs): make or fetch it again; if it was "
            f"changed on purpose, delete its attribute {CHECKSUM}"
        )
    return known is not None


def _may_be_digest(file: h5py.File, name: str) -> bool:
    """Whether an attribute has the type of a checksum written here; names and texts of others may hang."""
    return bool(file.attrs.get_id(name).dtype == np.dtype(f"S{DIGEST_SIZE}"))


def check_affordable_seal(file: h5py.File) -> str:
    """As `check_seal`, for files that are not read whole; returns in words whether it was compared."""
    if CHECKSUM in file.attrs and file.id.get_filesize() > AFFORDABLE:
        return f"checksum not compared, since the file has more than {AFFORDABLE:,} bytes"
    return said_of(check_seal(file))


def content_digest(file: h5py.File) -> str:
    """SHA-256 of all attributes and data sets, as they read.

    Raises:
        DataError: a link, or another thing that no file of this project holds.
    """
    found = hashlib.sha256()
    for place, node in _nodes(file):
        for name in sorted(set(node.attrs) - {CHECKSUM}):
            found.update(_told(f"{place}@{name}" if place else name, _attribute(node, name)))
        if isinstance(node, h5py.Dataset):
            _add(found, place, node)
    return found.hexdigest()


def _nodes(file: h5py.File) -> Iterator[tuple[str, Node]]:
    """The root, then all groups and data sets below it, each with its place, in a fixed order."""
    waiting: list[tuple[str, Node]] = [("", file)]
    for _ in range(MOST_NODES):
        if not waiting:
            return
        place, node = waiting.pop()
        yield place, node
        if isinstance(node, h5py.Group):
            waiting += [(f"{place}/{name}".lstrip("/"), _child(node, name)) for name in sorted(node)[::-1]]
    raise DataError(f"it holds more than {MOST_NODES} groups and data sets: it is damaged")


def _child(group: h5py.Group, name: str) -> Node:
    is_group = isinstance(group.get(name, getlink=True), h5py.HardLink) and isinstance(
        group[name], h5py.Group
    )
    return group[name] if is_group else dataset(group, name)


def _attribute(node: Node, name: str) -> np.ndarray:
    value = attribute(node, name)
    return np.empty(0) if isinstance(value, h5py.Empty) else np.asarray(value)


def _told(name: str, value: np.ndarray) -> bytes:
    head = f"{name} {value.dtype.str} {value.shape}\n".encode("utf-8", "replace")
    return head + (
        str(value.tolist()).encode("utf-8", "replace") if value.dtype.hasobject else value.tobytes()
    )


def _add(found: "hashlib._Hash", place: str, values: h5py.Dataset) -> None:
    """Adds a data set, block by block."""
    if values.dtype.hasobject:
        raise DataError(f"'{place}' must hold numbers, found {values.dtype}")
    kind = values.dtype.descr if values.dtype.names else values.dtype.str
    found.update(f"{place} {kind} {values.shape}\n".encode("utf-8", "replace"))
    for start in range(0, len(values) if values.ndim else 0, _rows(values)):
        found.update(np.ascontiguousarray(values[start : start + _rows(values)]).tobytes())


def _rows(values: h5py.Dataset) -> int:
    """Rows of a block: whole chunks, where there are some."""
    row = max(1, math.prod(values.shape[1:]) * values.dtype.itemsize)
    chunk: int = values.chunks[0] if values.chunks else 1
    rows: int = max(1, BLOCK // row // chunk) * chunk
    return rows
