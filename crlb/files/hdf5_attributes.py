"""Attributes of HDF5 files: written with a fixed length, read without ever waiting for a damaged file.

HDF5 keeps texts of variable length in a heap, and in a damaged heap it runs in circles for ever; Ctrl-C does
nothing then. Such texts, which h5py and others write by default, are read by a process of its own, which the
system ends after some seconds of computing. This module is also the program of that process:

    python -m crlb.files.hdf5_attributes FILE NODE     -> JSON: attribute -> its texts
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np

from crlb.errors import DataError

CPU_S = 1  # of computing that reading texts may take; it takes milliseconds
WALL_S = 120.0  # the same on the clock, on a machine that is busy
MOST_BYTES = 2**24  # of an attribute
PACKAGE = Path(__file__).resolve().parents[1]  # whose own files are as they were installed
Node: TypeAlias = h5py.Group | h5py.Dataset


def attribute(node: Node, name: str) -> object:
    """Returns an attribute as h5py does, texts as str or bytes or arrays of them; None: there is none.

    Raises:
        DataError: it cannot be read, is too large, or holds something else than numbers and texts.
    """
    if name not in node.attrs:
        return None
    found = node.attrs.get_id(name)
    if h5py.check_string_dtype(found.dtype) and found.dtype.hasobject and not _is_own(node):
        return _texts(node, name)
    if found.dtype.hasobject and not h5py.check_string_dtype(found.dtype):
        raise DataError(f"attribute '{name}' must hold numbers or text, found another kind ({found.dtype})")
    if found.dtype.itemsize * int(np.prod(found.shape or (), dtype=object)) > MOST_BYTES:
        raise DataError(f"attribute '{name}' must have at most {MOST_BYTES:,} bytes, but is larger")
    return node.attrs[name]


def text(node: Node, name: str) -> str | None:
    """Returns an attribute that is one text; None: there is none.

    Raises:
        DataError: as `attribute`; or it is something else, or not UTF-8.
    """
    found = attribute(node, name)
    if found is None:
        return None
    if not isinstance(found, str | bytes):
        raise DataError(f"attribute '{name}' must be one text, found {np.asarray(found).dtype}")
    return _decoded(found, name)


def texts(node: Node, name: str) -> tuple[str, ...] | None:
    """Returns an attribute that is a text or a list of some; None: there is none.

    Raises:
        DataError: as `text`.
    """
    found = attribute(node, name)
    if found is None:
        return None
    values = np.atleast_1d(np.asarray(found, object)).ravel().tolist()
    if not all(isinstance(value, str | bytes) for value in values):
        raise DataError(f"attribute '{name}' must hold texts, found {np.asarray(found).dtype}")
    return tuple(_decoded(value, name) for value in values)


def write_texts(node: Node, **values: str | bytes | Sequence[str]) -> None:
    """Writes attributes that are texts, or lists of texts, with a fixed length.

    PyTables reads such an attribute as text if it is UTF-8, and as bytes otherwise. Lone surrogates (names
    of files that are not UTF-8) are escaped.
    """
    for name, value in values.items():
        kind = "ascii" if isinstance(value, bytes) else "utf-8"
        parts = [value] if isinstance(value, str | bytes) else value
        raw = [part if isinstance(part, bytes) else part.encode(errors="backslashreplace") for part in parts]
        dtype = h5py.string_dtype(kind, max([1, *map(len, raw)]))
        array = np.array(raw, f"S{dtype.itemsize}")
        node.attrs.create(name, array[0] if isinstance(value, str | bytes) else array, dtype=dtype)


def _decoded(value: str | bytes, name: str) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else value.encode().decode()
    except UnicodeError as error:
        raise DataError(f"attribute '{name}' must be text in UTF-8, but is not") from error


def _is_own(node: Node) -> bool:
    return Path(node.file.filename).resolve().is_relative_to(PACKAGE)


def _texts(node: Node, name: str) -> object:
    """A text of variable length, or an array of some, as the other process finds it."""
    path = Path(node.file.filename).resolve()
    stat = path.stat()
    found = _read_elsewhere(str(path), node.name or "/", stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if name not in found:
        raise DataError(f"attribute '{name}' is damaged: its text cannot be read")
    value = found[name]
    return np.array(value, object) if isinstance(value, list) else value


@lru_cache(maxsize=64)
def _read_elsewhere(path: str, node: str, *version: int) -> dict[str, str | list[str]]:
    """All texts of variable length of a node; `version` tells a file from one written later in its place."""
    command = [sys.executable, "-m", "crlb.files.hdf5_attributes", path, node]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path])}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WALL_S, env=environment
        )
    except subprocess.TimeoutExpired:
        raise DataError(_hangs()) from None
    if done.returncode:
        raise DataError(_hangs())
    found: dict[str, str | list[str]] = json.loads(done.stdout)
    return found


def _hangs() -> str:
    return (
        "texts of its attributes do not come back: it is damaged; write it again, with texts of fixed length"
    )


def _all_texts(node: Node) -> dict[str, str | list[str]]:
    """All texts of variable length of a node; bytes that are not UTF-8 as lone surrogates."""
    found: dict[str, str | list[str]] = {}
    for name in node.attrs:
        kind = node.attrs.get_id(name).dtype
        if kind.hasobject and h5py.check_string_dtype(kind):
            value = node.attrs[name]
            found[name] = value if isinstance(value, str) else [_as_str(one) for one in np.ravel(value)]
    return found


def _as_str(value: str | bytes) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _main(path: str, node: str) -> None:
    import resource

    used = int(sum(os.times()[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_S, used + CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with h5py.File(path, "r") as file:
        print(json.dumps(_all_texts(file[node])))


if __name__ == "__main__":
    _main(*sys.argv[1:])
