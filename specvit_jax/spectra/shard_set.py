"""A set of simulated spectra as a folder of shards, with the checksum of each.

    OUT/shard_000/dataset.h5 ...   the spectra; a shard appears whole or not at all
    OUT/manifest.json              settings, and the SHA-256 of every finished shard
    OUT/shard_index.txt            the folders, one a line; written last

A shard holds the spectra of a range of global indices: the same ones however many shards there are.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crlb.detector import DEFAULT_INSTRUMENT
from crlb.errors import DataError, MissingInputError, OutputError, UsageError
from crlb.files.folders import DELETED, check_links, tree
from crlb.files.input import sha256
from crlb.files.memory import GIB
from crlb.files.output import is_temporary, new_file
from crlb.files.records import Json, write_json
from crlb.files.text_input import read_json, shown
from crlb.instruments.find import instrument_file
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra.shards import DATASET, INDEX

MANIFEST = "manifest.json"
MOST_SHARDS = 100_000  # of a set: files that a folder bears
MOST_SPECTRA = 2**31 - 2**16  # their index has 32 bits, and they are drawn in pieces
ARRAYS = ("flux", "error", "noisy", "mask")
# Of a DataConfig.
CONTENT = (
    "labels",
    "ranges",
    "prior",
    "beta",
    "mag",
    "snr",
    "grid",
    "instrument",
    "noise",
    "noise_level",
    "conditions",
)
YOUNGER = {"conditions": "published", "instrument": DEFAULT_INSTRUMENT, "snr": None}
OF_TABLE = ("population", "population_mag", "population_outside")  # where there is a table of stars
Spans = dict[str, tuple[int, int]]  # shard -> global index of its first spectrum, and the one after its last


@dataclass(frozen=True)
class Recipe:
    """All that a sharded set depends on.

    Args:
        n: number of spectra.
        seed: seed of labels, magnitudes and noise.
        data: prior, magnitudes, grid and noise.
        shards: number of files.
        arrays: arrays to store, of `ARRAYS`.
    """

    n: int
    seed: int
    data: DataConfig
    shards: int = 1
    arrays: tuple[str, ...] = ARRAYS

    def __post_init__(self) -> None:
        check(self.n, self.arrays)
        if not 1 <= self.shards <= min(self.n, MOST_SHARDS):
            raise UsageError(
                f"shards must be between 1 and the {self.n} spectra, found {self.shards}; "
                f"at most {MOST_SHARDS:,}"
            )

    def settings(self) -> dict[str, Json]:
        """The recipe as plain JSON values, files with their checksums."""
        content = CONTENT if self.data.population is None else (*CONTENT, *OF_TABLE)
        data = {name: value for name, value in asdict(self.data).items() if name in content}
        for name, default in YOUNGER.items():  # sets that were begun before there were others
            if data[name] == default:
                del data[name]
        files = {name: data.get(name) for name in ("grid", "noise", "population")}
        files["instrument"] = instrument_file(self.data.instrument)
        sums = {f"{name}_sha256": sha256(path) for name, path in files.items() if path is not None}
        own = {"n": self.n, "seed": self.seed, "shards": self.shards, "arrays": self.arrays}
        return dict(json.loads(json.dumps(own | data | sums)))


def spans(n: int, shards: int) -> Spans:
    """Global index of the first spectrum of every shard, and the one after its last, by its folder."""
    edges = [round(i * n / shards) for i in range(shards + 1)]
    width = max(3, len(str(shards - 1)))
    return {f"shard_{i:0{width}}": (edges[i], edges[i + 1]) for i in range(shards)}


@dataclass(frozen=True)
class ShardSet:
    """A folder of shards, as its manifest describes it.

    Args:
        path: the folder.
        settings: settings of its recipe.
        done: SHA-256 of every finished shard, by its folder.
    """

    path: Path
    settings: dict[str, Any]
    done: dict[str, str]

    @property
    def spans(self) -> Spans:
        """Global indices of every shard."""
        return spans(self.settings["n"], self.settings["shards"])

    def file(self, name: str) -> Path:
        """The file of a shard."""
        return self.path / name / DATASET

    def wrong(self, name: str) -> str:
        """Says what is wrong with a shard; empty if nothing is."""
        if name not in self.done:
            return "not finished"
        for path in (self.path / name, self.file(name)):
            if path.is_symlink():
                return f"{path} is a symbolic link, which is not followed"
        if not self.file(name).is_file():
            return f"{self.file(name)} is missing"
        sound = sha256(self.file(name)) == self.done[name]
        return "" if sound else f"{self.file(name)} is not as it was written (SHA-256 differs)"

    def write_manifest(self) -> None:
        """Makes the manifest say what is finished."""
        content = {"settings": self.settings, "sha256": dict(sorted(self.done.items()))}
        write_json(content, self.path / MANIFEST, overwrite=True)

    def write_index(self) -> None:
        """Makes the folder one that `data.source` may name; for when all shards are finished."""
        with new_file(self.path / INDEX, overwrite=True) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in self.spans))


def read_set(path: str | Path) -> ShardSet:
    """The set in a folder.

    Raises:
        MissingInputError: there is none.
        DataError: a damaged manifest.
    """
    manifest = Path(path) / MANIFEST
    if not manifest.is_file():
        raise MissingInputError(f"{path} holds no set of shards: {manifest} does not exist")
    try:
        return _as_written(Path(path), read_json(manifest, "manifest"))
    except DataError as error:
        raise DataError(f"{manifest} is damaged ({error}); write the set again to another folder") from error


def _as_written(path: Path, content: Mapping[str, Json]) -> ShardSet:
    """The set that a manifest describes.

    Raises:
        DataError: it lacks something, or holds what no set has.
    """
    settings, sums = content.get("settings"), content.get("sha256")
    if not isinstance(settings, dict) or not isinstance(sums, dict):
        raise DataError("it must hold settings and sha256")
    n, shards = settings.get("n"), settings.get("shards")
    if type(n) is not int or type(shards) is not int or not 1 <= shards <= min(n, MOST_SHARDS):
        raise DataError(
            f"shards must be 1 to {MOST_SHARDS:,} of n spectra, found {shown(shards)} of {shown(n)}"
        )
    if not all(isinstance(digest, str) for digest in sums.values()):
        raise DataError("sha256 must hold texts")
    return ShardSet(path, dict(settings), {name: str(digest) for name, digest in sums.items()})


def verify(path: str | Path) -> list[str]:
    """The faults of a set, one line per shard: not finished, missing, or not as it was written.

    Raises:
        MissingInputError, DataError: as `read_set`.
    """
    found = read_set(path)
    wrong = {name: found.wrong(name) for name in found.spans}
    return [f"{name}: {what}" for name, what in wrong.items() if what]


def check_folder(path: Path, *, resume: bool = False, overwrite: bool = False) -> list[str]:
    """What lies in the folder of a set that is to be written, sorted; empty: a set begins there.

    Raises:
        UsageError: both resume and overwrite.
        OutputError: it is a file, holds something else than a set, or a set and neither was asked for; or a
            file or folder of the set is a symbolic link.
    """
    if resume and overwrite:
        raise UsageError("--resume continues a set and --overwrite deletes it; give one of the two")
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file, but shards need a folder; choose another --out")
    found = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    found = [name for name in found if name != DELETED and not is_temporary(name)]
    if found and MANIFEST not in found:
        raise OutputError(f"{path} holds {found[0]} and is not a set of shards; choose an empty --out")
    if found and not (resume or overwrite):
        raise OutputError(
            f"{path} holds a set already; continue it with --resume, delete it with --overwrite"
        )
    own = (name for name in found if name.startswith("shard_") or name in (MANIFEST, INDEX))
    check_links(inner for name in own for inner in tree(path / name))
    return found


def check_space(path: Path, n: int, n_pix: int, arrays: Sequence[str], there: int = 0) -> None:
    """Refuses spectra that the disk has no room for, before any of them is written.

    Args:
        path: where they go.
        n: number of spectra.
        n_pix: pixels of each.
        arrays: those stored, of `ARRAYS`.
        there: bytes of a set that is continued or replaced.

    Raises:
        OutputError: they take more than is free.
    """
    needed = n * n_pix * sum(1 if name == "mask" else 4 for name in arrays)
    free = shutil.disk_usage(next(one for one in path.absolute().parents if one.exists())).free + there
    if needed > free:
        raise OutputError(
            f"cannot create {path}: {n} spectra take {needed / GIB:.3g} GiB, but {free / GIB:.3g} GiB are "
            "free there; write fewer, fewer arrays (--arrays flux), or to another disk"
        )


def check(n: int, arrays: Sequence[str]) -> None:
    """Refuses a set without spectra, or with more than their index can count, or with unknown arrays.

    Raises:
        UsageError: naming the argument.
    """
    if n < 1:
        raise UsageError(f"n must be at least 1 spectrum, found {n}")
    if n > MOST_SPECTRA:
        raise UsageError(
            f"n must be at most {MOST_SPECTRA:,} spectra, found {n}; write sets of several seeds"
        )
    unknown = [name for name in arrays if name not in ARRAYS]
    if unknown or not arrays:
        raise UsageError(f"arrays must be of {', '.join(ARRAYS)}, found {', '.join(unknown) or 'none'}")
