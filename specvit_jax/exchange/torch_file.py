"""Files that `torch.load` reads, written without PyTorch: an archive of a pickle and of its tensors' numbers.

It is that of `torch.save` since PyTorch 1.6 (torch/serialization.py): NAME/data.pkl, NAME/data/0 and so on,
nothing packed, numbers at multiples of 64 bytes.
"""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from crlb.files.output import new_file

FOLDER = "archive/"
ALIGNMENT = 64  # bytes: what torch.load maps into memory lies there
DATE = (1980, 1, 1, 0, 0, 0)  # equal content gives equal files
LARGE = 2**31  # whole numbers from here on take another opcode
Value = object  # text, number, flag, None, list, mapping, array of float32


def save_torch(path: Path, content: Mapping[str, Value], overwrite: bool = False) -> None:
    """Writes texts, numbers, lists, dictionaries and arrays for `torch.load`, whole or not at all.

    Raises:
        OutputError: the file exists and `overwrite` is False, or cannot be created.
        DiskError: the disk is full, read-only or failing.
        TypeError: a value of another kind.
    """
    pickle = _Pickle()
    entries = {"data.pkl": pickle.of(content), "byteorder": b"little"}
    entries |= {f"data/{i}": array.tobytes() for i, array in enumerate(pickle.arrays)}
    with (
        new_file(path, overwrite) as temporary,
        temporary.open("wb") as file,
        zipfile.ZipFile(file, "w") as archive,
    ):
        for name, raw in {**entries, "version": b"3\n"}.items():
            _write(archive, file, FOLDER + name, raw)


def _write(archive: zipfile.ZipFile, file: IO[bytes], name: str, raw: bytes) -> None:
    """Adds an entry whose content begins at a multiple of `ALIGNMENT` bytes."""
    entry = zipfile.ZipInfo(name, DATE)
    start = file.tell() + 30 + len(name) + 4  # local header, name, head of the extra field
    fill = -start % ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", fill) + b"Z" * fill  # as PyTorch does
    archive.writestr(entry, raw)


class _Pickle:
    """A pickle of protocol 2 as it is written; arrays become tensors, whose numbers are kept in `arrays`."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []

    def of(self, value: Value) -> bytes:
        """The whole pickle."""
        return b"\x80\x02" + self.part(value) + b"."

    def part(self, value: Value) -> bytes:
        """The opcodes that push a value."""
        if value is None or isinstance(value, bool):
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, str):
            raw = value.encode("utf-8", "surrogatepass")
            return b"X" + struct.pack("<I", len(raw)) + raw
        if isinstance(value, int):
            return _whole(value)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, list | tuple):
            return self.sequence(value)
        if isinstance(value, Mapping):
            return self.mapping(value)
        if isinstance(value, np.ndarray) and value.dtype == np.float32:
            return self.tensor(np.ascontiguousarray(value, "<f4"))
        raise TypeError(f"a value of kind {type(value).__name__} cannot be written for PyTorch")

    def sequence(self, values: list[Value] | tuple[Value, ...]) -> bytes:
        """A list or a tuple."""
        inner = b"".join(map(self.part, values))
        return b"(" + inner + b"t" if isinstance(values, tuple) else b"](" + inner + b"e"

    def mapping(self, values: Mapping[str, Value]) -> bytes:
        """A dictionary."""
        return b"}(" + b"".join(self.part(key) + self.part(value) for key, value in values.items()) + b"u"

    def tensor(self, array: np.ndarray) -> bytes:
        """A tensor, whose numbers become the next file of the archive."""
        key = str(len(self.arrays))
        self.arrays.append(array)
        strides = tuple(stride // array.itemsize for stride in array.strides)
        storage = b"(" + self.part("storage") + b"ctorch\nFloatStorage\n"
        storage += b"".join(map(self.part, (key, "cpu", array.size))) + b"tQ"
        hooks = b"ccollections\nOrderedDict\n)R"
        parts = storage + b"".join(map(self.part, (0, array.shape, strides, False))) + hooks
        return b"ctorch._utils\n_rebuild_tensor_v2\n(" + parts + b"tR"


def _whole(value: int) -> bytes:
    if -LARGE <= value < LARGE:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + struct.pack("<B", len(raw)) + raw
