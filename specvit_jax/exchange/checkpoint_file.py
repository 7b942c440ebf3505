"""Files of `torch.save`, read without PyTorch: an archive of a pickle and of the numbers of its tensors."""

import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from crlb.errors import DataError
from crlb.files.input import check_file
from crlb.files.memory import check_memory
from specvit_jax.exchange.pickles import MOST_BYTES, Made, Storage, Tensor, load_pickle

ZIP, LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the latter: torch.save before 1.6
MOST_ENTRIES = 100_000  # of an archive
COPIES = 2  # of the tensors in memory: in float32, and as they are used
MOST_STEPS = 2**53
# Classes of storages and how their numbers are read; bfloat16 is the upper half of float32.
KINDS = {"FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "u2"}
PREFIXES = ("model.", "module.", "_orig_mod.")  # of Lightning, of data parallelism, of torch.compile
# What zipfile raises for damaged archives.
ERRORS = (zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError, OSError)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds.

    Args:
        path: of its file.
        tensors: of the network, float32, by their names without `model.` and the like.
        scaler: of the input, float32, where this project wrote the file.
        settings: `hyper_parameters` of Lightning; values that are neither text, number, list nor dictionary
            are of kind `Made`.
        counts: `epoch` and `global_step`, where they are there.
    """

    path: Path
    tensors: Mapping[str, np.ndarray]
    scaler: Mapping[str, np.ndarray]
    settings: Mapping[str, object]
    counts: Mapping[str, int]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """What a checkpoint of Lightning, or a state dict of PyTorch, holds; nothing in it is run.

    Raises:
        MissingInputError: no such file, or it may not be read.
        DataError: another format, damaged, hostile, or more than the free memory.
    """
    path = Path(path)
    check_file(path, "checkpoint")
    try:
        _check_format(path)
        with zipfile.ZipFile(path) as archive:
            return _read(path, _Archive(archive, path.stat().st_size))
    except DataError as error:
        raise DataError(f"checkpoint {path}: {error}") from error
    except ERRORS as error:
        raise DataError(f"checkpoint {path} is damaged, or cut: {error}; copy it again") from error


def _check_format(path: Path) -> None:
    """Refuses what is no archive."""
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(LEGACY) or start[257:262] == b"ustar":
        raise DataError(
            "it is in the format of PyTorch before 1.6; load and save it once with a newer one: "
            'torch.save(torch.load(file, map_location="cpu"), newer)'
        )
    if not start.startswith(ZIP):
        raise DataError("it is no checkpoint: torch.save writes an archive, which begins with PK")


@dataclass(eq=False)
class _Archive:
    """The entries of a checkpoint, none of them packed, in a file of so many bytes."""

    file: zipfile.ZipFile
    n_bytes: int
    kept: dict[Storage, np.ndarray] = field(default_factory=dict)

    @cached_property
    def folder(self) -> str:
        """The folder that all entries lie in, with a slash."""
        names = [name for name in self.file.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(names) != 1 or len(self.file.namelist()) > MOST_ENTRIES:
            raise DataError("it holds no data.pkl, or several: it is no checkpoint of torch.save")
        return names[0].removesuffix("data.pkl")

    @cached_property
    def order(self) -> str:
        """Order of the bytes of a number: little endian where nothing is said."""
        name = f"{self.folder}byteorder"
        return ">" if name in self.file.namelist() and self.read(name, 16) == b"big" else "<"

    def read(self, name: str, most: int) -> bytes:
        """An entry of at most so many bytes."""
        entry = self.file.getinfo(name)
        packed = entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size
        if packed or entry.file_size > most:
            raise DataError(f"{name} is packed, or has more than {most:,} bytes; torch.save writes no such")
        return self.file.read(entry)


def _read(path: Path, archive: _Archive) -> Checkpoint:
    root = load_pickle(archive.read(f"{archive.folder}data.pkl", MOST_BYTES))
    if not isinstance(root, dict):
        raise DataError(f"it holds a {_kind(root)}, not the dictionary of a checkpoint or a state dict")
    state, scaler = root.get("state_dict", root), root.get("input_scaler", {})
    settings = root.get("hyper_parameters", {})
    if not isinstance(state, dict) or not isinstance(scaler, dict):
        raise DataError(f"its state_dict is a {_kind(state)}, not a dictionary of tensors")
    found, scales = dict(_tensors(state)), dict(_tensors(scaler))
    _check_budget(archive, [*found.values(), *scales.values()])
    counts = {name: root.get(name) for name in ("epoch", "global_step")}
    return Checkpoint(
        path,
        {name: _numbers(archive, tensor) for name, tensor in found.items()},
        {name: _numbers(archive, tensor) for name, tensor in scales.items()},
        settings if isinstance(settings, dict) else {},
        {name: count for name, count in counts.items() if isinstance(count, int) and 0 <= count < MOST_STEPS},
    )


def _tensors(state: Mapping[object, object]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a state dict by their names without prefixes."""
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise DataError(f"its state dict holds a {_kind(value)} under {str(key)[:80]!r}, not a tensor")
        name = key
        while start := next((prefix for prefix in PREFIXES if name.startswith(prefix)), ""):
            name = name.removeprefix(start)
        yield name, value


def _check_budget(archive: _Archive, tensors: list[Tensor]) -> None:
    """Refuses tensors that are larger than their storages, and more than the file or the memory holds."""
    for tensor in tensors:
        _check_size(tensor)
    total = sum(storage.count * _item(storage) for storage in {tensor.storage for tensor in tensors})
    if total > archive.n_bytes:
        raise DataError(f"its tensors need {total:,} bytes, but the file has {archive.n_bytes:,}")
    numbers = sum(math.prod(tensor.shape) for tensor in tensors)
    check_memory(total + COPIES * 4 * numbers, "all that is in it")


def _check_size(tensor: Tensor) -> None:
    count, storage = math.prod(tensor.shape), tensor.storage
    steps = zip(tensor.shape, tensor.stride, strict=True)
    last = tensor.offset + sum((size - 1) * stride for size, stride in steps) if count else 0
    if count > storage.count or last >= max(storage.count, 1):
        raise DataError(f"a tensor of shape {tensor.shape} is larger than its {storage.count} numbers")


def _item(storage: Storage) -> int:
    """Bytes of a number of a storage."""
    if storage.kind not in KINDS:
        raise DataError(f"it holds numbers of kind {storage.kind}; {', '.join(KINDS)} are read")
    return np.dtype(KINDS[storage.kind]).itemsize


def _numbers(archive: _Archive, tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, in float32."""
    if tensor.storage not in archive.kept:
        archive.kept[tensor.storage] = _stored(archive, tensor.storage)
    flat = archive.kept[tensor.storage]
    strides = [stride * flat.itemsize for stride in tensor.stride]
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.array(view, np.float32)


def _stored(archive: _Archive, storage: Storage) -> np.ndarray:
    """The numbers of a storage."""
    n_bytes = storage.count * _item(storage)
    raw = archive.read(f"{archive.folder}data/{storage.key}", n_bytes)
    if len(raw) != n_bytes:
        raise DataError(f"storage {storage.key} needs {n_bytes:,} bytes, found {len(raw):,}")
    flat = np.frombuffer(raw, archive.order + KINDS[storage.kind])
    if storage.kind == "BFloat16Storage":
        return (flat.astype(np.uint32) << 16).view(np.float32)
    return flat


def _kind(value: object) -> str:
    return value.name if isinstance(value, Made) else type(value).__name__
