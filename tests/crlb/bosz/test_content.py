"""What a file holds, told by its first bytes: unpacked within a limit, or named for what it is."""

import bz2
import gzip
import lzma

import pytest

from crlb.bosz.content import unpacked
from crlb.errors import DataError

WORDS = b"1 2\n" * 100


def packed_twice(raw):
    return gzip.compress(bz2.compress(raw))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, packed_twice])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.asc.bz2"])
def test_the_content_counts_not_the_suffix(pack, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(pack(WORDS))
    assert unpacked(path, 1000) == WORDS


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_no_more_than_the_limit_is_unpacked(pack, tmp_path):
    (tmp_path / "bomb").write_bytes(pack(b"0" * 2_000_000))
    with pytest.raises(DataError, match=r"more than 1\.0 MB when unpacked"):
        unpacked(tmp_path / "bomb", 1_000_000)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is empty: 0 bytes"),
        (b" \n\n", "is empty: 3 bytes"),
        (gzip.compress(b""), "is empty: 20 bytes"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\n <html>", "a web page"),
        (gzip.compress(b"<html>"), "a web page"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"PK\x03\x04...", "a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"x" * 257 + b"ustar" + b"y" * 200, "a tar archive"),
        (gzip.compress(WORDS)[:-4], "truncated or damaged"),
        (bz2.compress(WORDS)[:-4], "truncated or damaged"),
        (lzma.compress(WORDS)[:-4], "truncated or damaged"),
        (gzip.compress(gzip.compress(gzip.compress(WORDS))), "more than 2 times"),
    ],
    ids=[str(i) for i in range(14)],  # the bytes hold the time
)
def test_other_kinds_are_named(raw, words, tmp_path):
    (tmp_path / "file").write_bytes(raw)
    with pytest.raises(DataError, match=words):
        unpacked(tmp_path / "file", 10_000)
