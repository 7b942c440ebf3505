"""Files of noiseless spectra in the pfsspec layout, one or many, read as if they were one.

Nothing is mapped into memory: spectra are read by contiguous slices, so that what is held is what was asked
for. Labels and magnitudes are small and are read once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float, Int

from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files import pfsspec
from crlb.files.folders import check_links
from crlb.files.hdf5 import dataset, open_input
from crlb.files.spectra import check_noiseless, check_plausible
from crlb.files.text_input import read_text
from crlb.labels import LABEL_NAMES

DATASET, INDEX = "dataset.h5", "shard_index.txt"
KIND = "spectra"  # what an error calls such a file
GAP = 8  # rows that are read and dropped rather than sought over: 128 kB
SLICE = 256  # rows read at once: 4 MB


def find_shards(source: str) -> list[Path]:
    """The files that ``data.source`` names.

    Args:
        source: an .h5 file, several with commas between, a folder that holds dataset.h5 or shard_index.txt,
            or a shard_index.txt: a folder per line, relative to the index, each holding dataset.h5; what
            follows # is a comment.

    Raises:
        MissingInputError: one of them does not exist.
        DataError: an index that names no folder; or a file or folder that an index or a folder leads to is a
            symbolic link.
        UsageError: a file named twice.
    """
    names = (
        [source] if Path(source).exists() else [name.strip() for name in source.split(",") if name.strip()]
    )
    paths = [path for name in names for path in _expand(Path(name))]
    if not paths:
        raise UsageError(f"data.source must name files of spectra, found {source!r}")
    seen: set[Path] = set()
    for path in paths:
        if (resolved := path.resolve()) in seen:
            raise UsageError(f"data.source names {path} twice, and its spectra would count double")
        seen.add(resolved)
    return paths


def _expand(path: Path) -> list[Path]:
    if not path.exists():
        raise MissingInputError(f"{KIND} file {path} does not exist")
    if path.is_dir():
        found = next((path / name for name in (INDEX, DATASET) if (path / name).is_file()), None)
        if found is None:
            raise MissingInputError(f"folder {path} of spectra must hold {INDEX} or {DATASET}")
        check_links([found], DataError)
        return _expand(found)
    if path.suffix != ".txt":
        return [path]
    lines = [line.partition("#")[0].strip() for line in read_text(path, "list of shards").splitlines()]
    folders = [path.parent / line for line in lines if line]
    if not folders:
        raise DataError(f"{path} names no shard; it must have a folder per line")
    files = [folder / DATASET for folder in folders]
    check_links((*folders, *files), DataError)
    return files


@dataclass(frozen=True, eq=False)
class Shards:
    """Spectra of several files under one numbering, in the order of the files.

    Args:
        paths: the files.
        starts: first row of every file, and the number of all rows.
        wave: pixel centres, vacuum Å.
        label_names: columns of `labels`, in the order of `crlb.labels`.
        labels: labels in their units.
        mag: AB magnitude in the i band.
        lengths: rows that every file has, of which the last one may be used in part.
    """

    paths: tuple[Path, ...]
    starts: Int[np.ndarray, " n_shards_plus_1"]
    wave: Float[np.ndarray, " n_pix"]
    label_names: tuple[str, ...]
    labels: Float[np.ndarray, "n n_labels"]
    mag: Float[np.ndarray, " n"]
    lengths: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Number of spectra."""
        return int(self.starts[-1])

    @property
    def row_bytes(self) -> int:
        """Bytes that one spectrum takes in memory, with its labels and magnitude."""
        return 4 * (len(self.wave) + len(self.label_names) + 1)

    def read(
        self, rows: Int[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "n n_pix"], Float[np.ndarray, "n n_labels"], Float[np.ndarray, " n"]]:
        """Noiseless flux, labels and magnitudes of these rows, in the order asked for; float32.

        Raises:
            MissingInputError, DataError: a file has gone, or changed; flux that no star without noise has.
        """
        clean = np.empty((len(rows), len(self.wave)), np.float32)
        order = np.argsort(rows, kind="stable")
        shard = np.searchsorted(self.starts, rows[order], side="right") - 1
        for places in _runs(order, shard):
            number = int(np.searchsorted(self.starts, rows[places[0]], side="right")) - 1
            self._read_one(number, rows[places] - self.starts[number], places, clean)
        return clean, self.labels[rows], self.mag[rows]

    def _read_one(self, number: int, rows: np.ndarray, places: np.ndarray, clean: np.ndarray) -> None:
        """Fills `clean[places]` with these rows, sorted, of one file."""
        with open_input(self.paths[number], KIND) as file:
            flux = _flux(file, self.lengths[number], len(self.wave))
            far = (np.diff(rows) > GAP) | (np.diff(rows // SLICE) > 0)
            for part in np.split(np.arange(len(rows)), np.flatnonzero(far) + 1):
                first, last = int(rows[part[0]]), int(rows[part[-1]])
                piece = flux[first : last + 1][rows[part] - first]
                _check_finite("flux", piece, rows[part])
                check_noiseless(piece, rows[part])
                clean[places[part]] = piece


def _runs(order: np.ndarray, shard: np.ndarray) -> Iterator[np.ndarray]:
    """`order` cut where the shard changes."""
    yield from (run for run in np.split(order, np.flatnonzero(np.diff(shard)) + 1) if len(run))


@dataclass(frozen=True, eq=False)
class FileRows:
    """Spectra by the places they have in their files.

    Args:
        shards: the files.
        rows: their numbers in all of the files.
    """

    shards: Shards
    rows: Int[np.ndarray, " n"]

    def place(self, number: int) -> tuple[Path, int]:
        """The file of one of these spectra, and its row there."""
        shard = int(np.searchsorted(self.shards.starts, self.rows[number], side="right")) - 1
        return self.shards.paths[shard], int(self.rows[number] - self.shards.starts[shard])

    def by_file(self) -> list[tuple[Path, Int[np.ndarray, " n"]]]:
        """The files that hold some of them, and their rows there, in order."""
        starts, rows = self.shards.starts, np.sort(self.rows)
        parts = np.split(rows, np.searchsorted(rows, starts[1:-1]))
        found = zip(self.shards.paths, starts, parts, strict=False)
        return [(path, part - start) for path, start, part in found if len(part)]


def open_shards(paths: Sequence[Path], wave: Float[np.ndarray, " n_pix"], rows: int | None = None) -> Shards:
    """Opens files of noiseless spectra and checks that they belong together.

    Args:
        paths: the files.
        wave: pixel centres they must have, vacuum Å.
        rows: spectra to use, from the first; those after them, and files that hold none of them, are not
            read; None: all. Fewer than that are all there are.

    Raises:
        MissingInputError: a file does not exist.
        DataError: not HDF5, damaged, links to elsewhere, other wavelengths, no flux or column mag, other
            labels than the first file, or labels that are not finite or that no star has.
    """
    lengths: list[int] = []
    tables: list[np.ndarray] = []
    names: tuple[str, ...] = ()
    for path in paths:
        left = None if rows is None else rows - sum(map(len, tables))
        if left == 0:
            break
        with open_input(path, KIND) as file:
            pfsspec.read_wave(file, wave)
            found, table = _read_labels(file, slice(left))
            _check_noiseless(file)
            if names and found != names:
                raise DataError(
                    f"labels must be {', '.join(names)} as in {paths[0]}, found {', '.join(found)}"
                )
            names = found
            lengths.append(pfsspec.table_length(file))
            _flux(file, lengths[-1], len(wave))
        tables.append(table)
    columns, starts = np.concatenate(tables), np.cumsum([0, *map(len, tables)])
    return Shards(
        tuple(paths[: len(tables)]), starts, wave, names, columns[:, :-1], columns[:, -1], tuple(lengths)
    )


def count_rows(paths: Sequence[Path], rows: int | None = None) -> list[int]:
    """How many rows of every file are used where `rows` are, from the first; None: all.

    Raises:
        MissingInputError: a file does not exist.
        DataError: not HDF5, damaged, or no table of labels.
    """
    used: list[int] = []
    for path in paths:
        with open_input(path, KIND) as file:
            length = pfsspec.table_length(file)
        used.append(length if rows is None else min(length, rows - sum(used)))
    return used


def _read_labels(file: h5py.File, part: slice) -> tuple[tuple[str, ...], Float[np.ndarray, "n n_columns"]]:
    """The names of the labels, and a part of their columns with the magnitude as the last one."""
    table = pfsspec.read_table(file, part)
    names = tuple(name for name in LABEL_NAMES if name in table)
    if not names or "mag" not in table:
        raise DataError(
            f"the label table must have mag and a column of {', '.join(LABEL_NAMES)}, "
            f"found {', '.join(table)}"
        )
    columns = np.stack([table[name].astype(np.float32) for name in (*names, "mag")], axis=1)
    _check_finite("labels and mag", columns, np.arange(len(columns)))
    check_plausible(table)
    return names, columns


def _check_noiseless(file: h5py.File) -> None:
    if (conditions := pfsspec.read_conditions(file)) not in (None, "published"):
        raise DataError(
            "spectra to train on must be noiseless, at rest and on the grid's scale, but these were drawn "
            f"under the conditions {conditions}; leave --conditions out to train on them"
        )


def _flux(file: h5py.File, rows: int, n_pix: int) -> h5py.Dataset:
    """The noiseless flux, not yet read; its shape and type are checked."""
    name = pfsspec.ARRAYS["flux"]
    flux = dataset(file, name)
    if flux.shape != (rows, n_pix) or flux.dtype.kind not in "fiu":
        raise DataError(
            f"'{name}' must hold numbers in the shape {(rows, n_pix)} (labels, wave), "
            f"found {flux.dtype} in the shape {flux.shape}"
        )
    return flux


def _check_finite(name: str, values: np.ndarray, rows: np.ndarray) -> None:
    good = np.isfinite(values)
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise DataError(f"{name} must be finite, found {values[row, column]} at row {rows[row]}")
