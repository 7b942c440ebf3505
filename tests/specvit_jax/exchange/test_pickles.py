"""Pickles are read as data: nothing of them runs, and hostile or damaged ones are refused within seconds."""

import collections
import os
import pathlib
import pickle
import struct
import time
import zipfile

import numpy as np
import pytest

from crlb.errors import DataError, MissingInputError
from specvit_jax.exchange.checkpoint_file import read_checkpoint
from specvit_jax.exchange.pickles import MOST_BYTES, MOST_OPCODES, Made, Name, Storage, Tensor, load_pickle
from tests.specvit_jax.exchange import theirs


class Calls:
    """Pickled as a call of a function."""

    def __init__(self, function: object, *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple:
        return self.function, self.args


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back(protocol):
    value = {"a": [1, -2, 2**40, 2.5, None, True], "b": (("x", b"y"), {}), 3: collections.OrderedDict(c="ü")}
    if protocol < 2:
        value.pop(3)
    assert load_pickle(pickle.dumps(value, protocol)) == value


def test_numbers_of_numpy_come_back_and_other_objects_are_noted():
    value = {"mean": np.float64(2.9975), "where": pathlib.PurePosixPath("/a"), "set": {"x"}}
    found = load_pickle(pickle.dumps(value, 2))
    assert found["mean"] == 2.9975
    assert isinstance(found["where"], Made)
    assert found["where"].name == "pathlib.PurePosixPath"
    assert found["set"] == ["x"]


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (os.system, ("touch {}",)),
        (eval, ("open({!r}, 'w')",)),
        (exec, ("open({!r}, 'w')",)),
        (__import__, ("os",)),
        (getattr, (os, "system")),
        (os.mkdir, ("{}",)),
        (pickle.loads, (b"",)),
        (pathlib.Path.touch, (pathlib.PurePosixPath("{}"),)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_programs_of_python_are_refused_and_never_run(tmp_path, function, args, protocol):
    mark = tmp_path / "ran"
    args = tuple(arg.format(str(mark)) if isinstance(arg, str) else arg for arg in args)
    if function is getattr:
        content = b"\x80\x02cbuiltins\ngetattr\n(cos\npath\nX\x06\x00\x00\x00systemtR."
    else:
        content = pickle.dumps(Calls(function, *args), protocol)
    path = tmp_path / "a.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", content)
    with pytest.raises(DataError, match="may be hostile"):
        read_checkpoint(path)
    assert not mark.exists()


def test_names_of_other_packages_are_noted_and_never_imported(tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    found = load_pickle(b"\x80\x02cevil_module\nrun\nX\x01\x00\x00\x00x\x85R.")
    assert (found.name, found.args) == ("evil_module.run", ("x",))
    assert load_pickle(b"\x80\x02cevil_module\nrun\n.") == Name("evil_module.run")


BOMBS = {
    "recursion": b"\x80\x02" + b"]" + b"\x85" * 150_000 + b"}\x85h\x00.",
    "a key as deep as a stack": b"\x80\x02})" + b"\x85" * 120_000 + b"K\x01s.",
    "too many opcodes": b"\x80\x02" + b"N0" * MOST_OPCODES + b"N.",
    "too large": b"\x80\x02" + b" " * MOST_BYTES,
    "a number under a huge index": b"\x80\x02Nr\xff\xff\xff\xff.",
    "a text that is not there": b"\x80\x02X" + struct.pack("<I", 2**31) + b"x.",
    "a number of 2^31 bytes": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "a call of a text": b"\x80\x02X\x01\x00\x00\x00x)R.",
    "no end": b"\x80\x02]",
    "nothing": b"",
    "no pickle": b"hello",
    "an empty stack": b"\x80\x020.",
    "a registered extension": b"\x80\x02\x82\x01.",
    "an old instance": b"(icos\nsystem\n.",
    "no storage": b"\x80\x02X\x01\x00\x00\x00xQ.",
    "many axes": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
    b"ctorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00(" + b"K\x01" * 99 + b"t)tR.",
    "long decimal": b"L" + b"9" * 100_000 + b"L\n.",
    "keys that collide": b"\x80\x02}(" + b"\x8a\x09" + (2**61 - 1).to_bytes(9, "little") + b"Nu.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_within_seconds(name):
    start = time.monotonic()
    with pytest.raises(DataError, match="its pickle"):
        load_pickle(BOMBS[name])
    assert time.monotonic() - start < 120  # a second; types are checked at every call of a test


def test_a_list_that_holds_itself_is_read_and_not_followed(tmp_path):
    loop: list = []
    loop.append(loop)
    assert load_pickle(pickle.dumps(loop, 2))[0] is not None
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt")
    assert read_checkpoint(path).settings["config"]["model"]["hidden_size"] == 12


def test_tensors_are_places_in_storages():
    content = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89N" + b"tR."
    )
    assert load_pickle(content) == Tensor(Storage("0", "FloatStorage", 6), 0, (2, 3), (3, 1))


def pieces(path, **changes):
    """A checkpoint with entries of its archive changed; None: left out."""
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    found |= {name.replace("__", "/"): value for name, value in changes.items()}
    with zipfile.ZipFile(path, "w", changes.get("packed", zipfile.ZIP_STORED)) as archive:
        for name, content in found.items():
            if isinstance(content, bytes):
                archive.writestr(name, content)


def test_damaged_archives_are_refused(tmp_path):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt")
    whole = path.read_bytes()
    for end in (10, 1000, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match="damaged, or cut"):
            read_checkpoint(path)
    at = whole.index(b"epoch=1/data/3") + 60
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(DataError, match="CRC"):
        read_checkpoint(path)


def test_archives_that_lie_are_refused(tmp_path):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt")
    whole = path.read_bytes()
    pieces(path, **{"epoch=1__data__0": b"1234"})
    with pytest.raises(DataError, match="bytes, found 4"):
        read_checkpoint(path)
    path.write_bytes(whole)
    pieces(path, packed=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="is packed"):
        read_checkpoint(path)
    path.write_bytes(whole)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("epoch=1/data.pkl")
    count = content.index(b"cpu") + 5  # the number of a storage, after its memo
    large = content[:count] + b"J\xff\xff\xff\x7f" + content[count + 2 :]
    pieces(path, **{"epoch=1__data.pkl": large})
    with pytest.raises(DataError, match="but the file has"):
        read_checkpoint(path)


def test_tensors_larger_than_their_storage_are_refused(tmp_path):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt")

    def tensor(count: bytes, shape: bytes, stride: bytes) -> bytes:
        return (
            b"\x80\x02}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
            b"FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
            + count
            + b"tQK\x00"
            + shape
            + stride
            + b"\x89NtRs."
        )

    big, one = b"J\xff\xff\xff\x7f", b"K\x01"
    for content in (
        tensor(one, big + b"\x85", b"K\x00\x85"),  # one number, read 2^31 times
        tensor(b"K\x04", b"K\x02\x85", b"K\x09\x85"),  # beyond its end
        tensor(big, big + b"\x85", b"K\x01\x85"),  # more than the file has
    ):
        pieces(path, **{"epoch=1__data.pkl": content})
        with pytest.raises(DataError, match=r"larger than its|but the file has"):
            read_checkpoint(path)


def test_other_formats_are_told_apart(tmp_path):
    path = tmp_path / "a.ckpt"
    with pytest.raises(MissingInputError):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"more")
    with pytest.raises(DataError, match=r"before 1\.6"):
        read_checkpoint(path)
    path.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(DataError, match="begins with PK"):
        read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/other", b"")
    with pytest.raises(DataError, match=r"no data\.pkl"):
        read_checkpoint(path)
    for content, words in (
        (b"\x80\x02].", "a list"),
        (b"\x80\x02}X\x01\x00\x00\x00xK\x01s.", "not a tensor"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", content)
        with pytest.raises(DataError, match=words):
            read_checkpoint(path)


def test_an_entry_that_declares_more_bytes_than_it_has_is_refused(tmp_path):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt")
    raw = bytearray(path.read_bytes())
    place = raw.index(b"PK\x01\x02") + 20  # size as packed, of the first entry in the directory
    raw[place : place + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(raw)
    with pytest.raises(DataError, match="is packed"):
        read_checkpoint(path)
