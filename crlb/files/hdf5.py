"""HDF5 input, read with care: damage is reported in words, and no file leads to another one."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np

from crlb.errors import DataError, UsageError
from crlb.files.input import check_file
from crlb.files.memory import check_memory

# What h5py raises for damaged metadata, found by flipping bytes of a good file.
H5PY_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError)


MOST_PACKED = 1100  # bytes that a stored byte can stand for where it is compressed; deflate reaches 1032
KNOWN_FILTERS = frozenset({h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})
WORKING = 8  # bytes per number that is read: the same once more, in double precision
SMALL = 2**24  # bytes: what is declared below that is not compared with what is stored


@contextmanager
def open_input(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Opens a file for reading; whatever is wrong inside the block is reported with its kind and name.

    Raises:
        MissingInputError: there is no such file, or it may not be read.
        DataError: it is not HDF5, is truncated or damaged, or a check inside the block failed.
    """
    path = Path(path)
    check_file(path, f"{kind} file")
    if not h5py.is_hdf5(path):
        raise DataError(f"{kind} file {path} is not an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DataError as error:
        raise DataError(f"{kind} file {path}: {error}") from None
    except UsageError:  # not the file's fault
        raise
    except MemoryError as error:
        raise DataError(f"{kind} file {path} needs more memory than there is: {error}") from error
    except H5PY_ERRORS as error:
        raise DataError(f"{kind} file {path} is truncated or damaged: {error}") from error


def dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """The dataset called `name`, whose data must lie inside this very file.

    Raises:
        DataError: the dataset is missing or a group; it is a link, external or virtual (these can lead to
            any file of the reader's machine); it is compressed in a way that cannot be read here; or it is
            larger than what is stored can fill.
    """
    node: h5py.Group | h5py.Dataset = group
    for part in name.split("/"):
        names = list(node) if isinstance(node, h5py.Group) else []
        if part not in names:
            raise DataError(f"dataset '{name}' is missing; the file holds {', '.join(names) or 'nothing'}")
        if not isinstance(node.get(part, getlink=True), h5py.HardLink):
            raise DataError(
                f"'{part}' of '{name}' is a link to elsewhere, which is refused; store the data itself"
            )
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        raise DataError(f"'{name}' must be a dataset, found a group")
    if node.external or node.is_virtual:
        raise DataError(f"'{name}' keeps its data in another file, which is refused; store the data itself")
    _check_filters(node, name)
    _check_declared(node, name)
    return node


def _check_filters(data: h5py.Dataset, name: str) -> None:
    """Refuses data compressed by a filter that HDF5 lacks here: reading them would look like damage."""
    for code, told in _filters(data):
        if not _has_filter(code):
            raise DataError(
                f"'{name}' is compressed by the HDF5 filter {told or 'of number'} ({code}), which is missing "
                "here; pip install hdf5plugin, or store the data with gzip"
            )


def _filters(data: h5py.Dataset) -> list[tuple[int, str]]:
    """Number and name of every filter between the numbers and what is stored."""
    created = data.id.get_create_plist()
    found = map(created.get_filter, range(created.get_nfilters()))
    return [(code, told.decode(errors="replace")) for code, _, _, told in found]


def _has_filter(code: int) -> bool:
    """Whether HDF5 can undo a filter, with those that the package hdf5plugin brings if it is installed."""
    if h5py.h5z.filter_avail(code):
        return True
    try:
        import_module("hdf5plugin")
    except ImportError:
        return False
    return bool(h5py.h5z.filter_avail(code))


def _check_declared(values: h5py.Dataset, name: str) -> None:
    """Refuses a shape that what is stored cannot fill: it was never written, or is damaged.

    Nothing is known of how far filters other than deflate can pack.
    """
    declared = math.prod(values.shape or ()) * values.dtype.itemsize
    stored = min(values.id.get_storage_size(), values.file.id.get_filesize())
    packed = {code for code, _ in _filters(values)} if values.chunks else set()
    if packed - KNOWN_FILTERS:
        return
    chunk = math.prod(values.chunks or ()) * values.dtype.itemsize
    if max(declared, chunk) > max(stored * (MOST_PACKED if packed else 1), SMALL):
        raise DataError(
            f"'{name}' of shape {values.shape} would have {max(declared, chunk):,} bytes, but {stored:,} are "
            "stored: it was never written, is truncated or damaged"
        )


def read_numbers(
    group: h5py.Group, name: str, dims: tuple[str, ...], rows: np.ndarray | slice | None = None
) -> np.ndarray:
    """A dataset of numbers as stored, checked to have these dimensions and not to be empty.

    Args:
        group: where it lies.
        name: of the dataset.
        dims: names of its dimensions.
        rows: increasing indices, or a slice; only these rows are read.

    Raises:
        DataError: as `dataset`; or the dataset holds something else than numbers, has another shape, or is
            larger than the free memory.
    """
    values = dataset(group, name)
    if values.dtype.kind not in "fiu" or values.ndim != len(dims) or 0 in values.shape:
        raise DataError(
            f"'{name}' must hold numbers in the shape ({', '.join(dims)}), "
            f"found {values.dtype} in the shape {values.shape}"
        )
    rows = slice(None) if rows is None else rows
    read = len(range(*rows.indices(len(values)))) if isinstance(rows, slice) else len(rows)
    size = read * math.prod(values.shape[1:])
    check_memory(size * (values.dtype.itemsize + WORKING), f"'{name}' of shape {(read, *values.shape[1:])}")
    numbers: np.ndarray = values[rows]
    return numbers
