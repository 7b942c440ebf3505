"""What a run reads, told apart by content: files that changed between two starts of it are found.

Large files are not read whole: their size, their labels and blocks of bytes spread evenly over them count.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crlb.errors import DataError, MissingInputError
from crlb.files.records import Record
from crlb.instruments.find import instrument_file
from specvit_jax.settings.config import Config

BLOCK = 65_536  # bytes read at one place of a file
BLOCKS = 64  # places in one file ...
ALL_BLOCKS = 1024  # ... and in all files of a run: 64 MiB; at least four in each


@dataclass(frozen=True)
class Input(Record):
    """A file that a run reads.

    Args:
        name: the setting that names it.
        path: as it is named there.
        size: bytes.
        modified: time of the last change, ns since 1970.
        sample: SHA-256 of blocks of bytes spread over the file.
        labels: SHA-256 of its labels; empty where it holds none.
    """

    name: str
    path: str
    size: int
    modified: int
    sample: str
    labels: str = ""

    def __str__(self) -> str:
        """Its content in words, the same wherever a copy of it lies."""
        content = f"content {self.sample[:8]}, labels {self.labels[:8] or 'none'}"
        return f"{self.name} {self.path} of {self.size} bytes, {content}"

    def difference(self, now: "Input") -> str:
        """What of it is another now, in words; empty if only the time is."""
        parts = [name for name in ("size", "labels") if getattr(self, name) != getattr(now, name)]
        if self.sample != now.sample:
            parts.append("content")
        return " and ".join(parts)


def describe_inputs(config: Config) -> tuple[Input, ...]:
    """The files a run with this config reads.

    Raises:
        MissingInputError, DataError: as `find_shards`; or one is not there, or holds no labels.
    """
    from specvit_jax.spectra.shards import find_shards  # loads h5py, which lists of runs do not need

    data, train = config.data, config.train
    spectra = [] if data.source == "emulator" else find_shards(data.source)
    labelled = [("data.source", path) for path in spectra]
    if data.validation is not None:
        labelled.append(("data.validation", Path(data.validation)))
    others = {
        "data.grid": data.grid,
        "data.instrument": instrument_file(data.instrument),
        "data.noise": data.noise,
        "train.init_weights": train.init_weights,
        "train.teacher": train.teacher,
    }
    plain = [(name, Path(path)) for name, path in others.items() if path is not None]
    blocks = max(4, min(BLOCKS, ALL_BLOCKS // max(len(labelled) + len(plain), 1)))
    found = [replace(_input(*one, blocks), labels=_labels(one[1])) for one in labelled]
    return (*found, *(_input(*one, blocks) for one in plain))


def check_inputs_same(before: Sequence[Input], now: Sequence[Input]) -> list[str]:
    """Lines on files that were written again with the same content since a run began.

    Raises:
        DataError: one holds something else, or others are read.
    """
    then, lines = {(one.name, one.path): one for one in before}, []
    for one in now:
        old = then.pop((one.name, one.path), None)
        change = "it was not read then" if old is None else old.difference(one)
        if old is None or change:
            raise DataError(_changed(one, change))
        if old.modified != one.modified:
            lines.append(f"{one.path} was written again since the run began, with the same content")
    for gone in then.values():
        raise DataError(_changed(gone, "it is not read any more"))
    return lines


def _changed(one: Input, change: str) -> str:
    return (
        f"--resume needs the files the run began with, but {one.name} {one.path} changed ({change}); put the "
        "old file back, or train anew: --overwrite, or another --out"
    )


def _input(name: str, path: Path, blocks: int) -> Input:
    try:
        stat = path.stat()
        return Input(name, str(path), stat.st_size, stat.st_mtime_ns, _sample(path, stat.st_size, blocks))
    except OSError as error:
        raise MissingInputError(f"{name} {path} cannot be read: {error.strerror}") from error


def _sample(path: Path, size: int, blocks: int) -> str:
    """SHA-256 of blocks that are spread evenly from the first byte to the last; of a small file, of all."""
    digest = hashlib.sha256()
    whole = size <= blocks * BLOCK
    places = range(0, size, BLOCK) if whole else np.linspace(0, size - BLOCK, blocks).astype(int).tolist()
    with path.open("rb") as file:
        for place in places:
            file.seek(place)
            digest.update(file.read(BLOCK))
    return digest.hexdigest()


def _labels(path: Path) -> str:
    """SHA-256 of all columns of a label table."""
    from crlb.files import pfsspec
    from crlb.files.hdf5 import open_input

    digest = hashlib.sha256()
    with open_input(path, "spectra") as file:
        for name, column in sorted(pfsspec.read_table(file).items()):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
