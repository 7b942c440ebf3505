"""HDF5 input, read with care: damage is reported in words, and no file leads to another one."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np

from crlb.errors import DataError, MissingInputError, UsageError

# What h5py raises for damaged metadata, found by flipping bytes of a good file.
H5PY_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError)


@contextmanager
def open_input(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Opens a file for reading; whatever is wrong inside the block is reported with its kind and name.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is not HDF5, is truncated or damaged, or a check inside the block failed.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"{kind} file {path} does not exist or is not a file")
    if not h5py.is_hdf5(path):
        raise DataError(f"{kind} file {path} is not an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DataError as error:
        raise DataError(f"{kind} file {path}: {error}") from None
    except UsageError:  # not the file's fault
        raise
    except H5PY_ERRORS as error:
        raise DataError(f"{kind} file {path} is truncated or damaged: {error}") from error


def dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """The dataset called `name`, whose data must lie inside this very file.

    Raises:
        DataError: the dataset is missing or a group; or it is a link, external or virtual (these can lead to
            any file of the reader's machine); or it is compressed in a way that cannot be read here.
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
    return node


def _check_filters(data: h5py.Dataset, name: str) -> None:
    """Refuses data compressed by a filter that HDF5 lacks here: reading them would look like damage."""
    created = data.id.get_create_plist()
    for code, _, _, told in map(created.get_filter, range(created.get_nfilters())):
        if not _has_filter(code):
            raise DataError(
                f"'{name}' is compressed by the HDF5 filter {told.decode(errors='replace') or 'of number'} "
                f"({code}), which is missing here; pip install hdf5plugin, or store the data with gzip"
            )


def _has_filter(code: int) -> bool:
    """Whether HDF5 can undo a filter, with those that the package hdf5plugin brings if it is installed."""
    if h5py.h5z.filter_avail(code):
        return True
    try:
        import_module("hdf5plugin")
    except ImportError:
        return False
    return bool(h5py.h5z.filter_avail(code))


def read_numbers(
    group: h5py.Group, name: str, dims: tuple[str, ...], rows: np.ndarray | None = None
) -> np.ndarray:
    """A dataset of numbers as stored, checked to have these dimensions and not to be empty.

    Args:
        group: where it lies.
        name: of the dataset.
        dims: names of its dimensions.
        rows: increasing indices; only these rows are read.

    Raises:
        DataError: as `dataset`; or the dataset holds something else than numbers, or has another shape.
    """
    values = dataset(group, name)
    if values.dtype.kind not in "fiu" or values.ndim != len(dims) or 0 in values.shape:
        raise DataError(
            f"'{name}' must hold numbers in the shape ({', '.join(dims)}), "
            f"found {values.dtype} in the shape {values.shape}"
        )
    numbers: np.ndarray = values[()] if rows is None else values[rows]
    return numbers
