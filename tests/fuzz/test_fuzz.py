"""Damaged files get a documented answer from every reader; those that do not are seen."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

from crlb.errors import DataError, MissingInputError, UsageError
from tests.fuzz.__main__ import Fuzz, table
from tests.fuzz.guard import OutOfTime, in_memory, in_time
from tests.fuzz.mutate import KINDS, mutated
from tests.fuzz.readers import READERS, ROOT, Reader
from tests.fuzz.trial import ANSWERS, Trial, digest, try_reader

FEW, MANY = 12, 500  # damaged files for each reader
GOOD = b"a good file of 27 bytes ..."


@pytest.mark.parametrize("name", READERS)
def test_few_damaged_files_get_a_documented_answer(tmp_path, name):
    found = try_reader(name, READERS[name], FEW, 12, tmp_path)
    assert (found.tried, found.wrong(READERS[name]), found.worst) == (FEW, 0, ())


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_get_a_documented_answer(tmp_path, name):
    found = try_reader(name, READERS[name], MANY, 500, tmp_path)
    assert (found.tried, found.wrong(READERS[name]), found.worst) == (MANY, 0, ())
    assert found.counts["refused"] or name == "text: lock"  # a damaged lock is somebody's all the same


@pytest.mark.parametrize("damage", KINDS)
def test_every_kind_of_damage_changes_a_file_and_bears_an_empty_one(damage):
    chance = random.Random(1)
    contents = [bytearray(GOOD) for _ in range(20)]
    for content in (*contents, bytearray()):
        damage(content, chance)
    assert sum(content != GOOD for content in contents) > 10


def test_the_same_seed_damages_alike():
    one, two, other = (mutated(GOOD * 9, random.Random(seed)) for seed in (1, 1, 2))
    assert one == two != other


def test_readers_that_do_wrong_are_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzz.trial.LIMIT_S", 1.0)

    def read(path: Path) -> object:
        first = path.read_bytes()[:1]
        if first == b"h":
            time.sleep(60)
        if first == b"m":
            return np.ones(2**40)
        if first in b"der":
            raise {b"d": DataError, b"e": MissingInputError, b"r": KeyError}[first]("x")
        return None if first == b"n" else path.read_bytes()

    files = iter([*b"h m d e r n c g".split(), b""])
    damage = lambda good, chance: {b"g": good}.get(one := next(files), one)  # noqa: E731
    reader = Reader("a", lambda path: path.write_bytes(b"good"), read, True, damage)
    found = try_reader("x", reader, 8, 0, tmp_path)
    assert list(found.counts.values()) == [3, 1, 1, 2, 1]
    assert (found.wrong(reader), len(found.worst), len(list(tmp_path.iterdir()))) == (4, 4, 5)
    assert found.worst[0].startswith("x 0: hang: OutOfTime: no answer within")


def test_guards_end_with_their_block_and_leave_those_around_them():
    with in_time(0.3):
        with in_time(0.05), pytest.raises(OutOfTime):
            time.sleep(5)
        with in_time(5):
            pass
        with pytest.raises(OutOfTime):
            time.sleep(5)
    with in_memory(2**26), pytest.raises(MemoryError):
        np.ones(2**25)
    assert np.ones(2**25).size == 2**25


def test_contents_are_told_apart_and_equal_ones_are_not():
    nan = np.array([np.nan, 1.0])
    same = [{"a": nan, "b": (1, "x")}, {"b": (1, "x"), "a": nan.copy()}]
    assert digest(same[0]) == digest(same[1])
    others = [[1], [1, 1], [[1], 1], (1.0,), nan, nan[::-1], nan.astype("f4"), nan[:, None], None, "1"]
    assert len({digest(other) for other in others}) == len(others)


def test_the_command_writes_its_table_and_fails_where_a_reader_does(tmp_path, monkeypatch, capsys):
    Fuzz(3, readers=("text: shards",), out=tmp_path / "t.md")()
    assert "| text: shards | 3 |" in (tmp_path / "t.md").read_text()
    assert "--per-reader 3 --seed 0 --readers" in (tmp_path / "t.md").read_text()
    for wrong in (Fuzz(0), Fuzz(1, readers=("x",))):
        with pytest.raises(UsageError):
            wrong()
    monkeypatch.setitem(
        READERS, "bad", Reader("a", lambda path: path.write_text("a"), lambda path: path.read_text()[5])
    )
    with pytest.raises(IndexError):
        Fuzz(1, readers=("bad",))()
    bad = lambda path: int(path.read_text() == "a") or 1 / 0  # noqa: E731
    bad = lambda path: int(path.read_text() == "a") or 1 / 0  # noqa: E731
    monkeypatch.setitem(READERS, "bad", Reader("a", lambda path: path.write_text("a"), bad))
    with pytest.raises(SystemExit, match="no documented answer"):
        Fuzz(5, readers=("bad",))()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_the_committed_table_is_of_all_readers_without_a_traceback_or_a_hang():
    lines = (ROOT / "docs" / "fuzz.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0] == ["reader", "tried", *ANSWERS]
    assert {row[0].removesuffix(" (checksum)") for row in rows[2:-1]} == set(READERS)
    for name, tried, *counts in rows[2:]:
        numbers = [int(count.replace(",", "")) for count in counts]
        assert (sum(numbers), numbers[3:]) == (int(tried.replace(",", "")), [0, 0])
        assert numbers[2] == 0 or "checksum" not in name


def test_a_table_has_a_row_for_each_reader_and_their_sum():
    counts = dict(zip(ANSWERS, (1000, 2, 3, 4, 5), strict=True))
    lines = table([Trial("grid", counts, ()), Trial("ECSV", counts, ())]).splitlines()
    assert lines[2] == "| grid (checksum) | 1,014 | 1,000 | 2 | 3 | 4 | 5 |"
    assert lines[4] == "| all | 2,028 | 2,000 | 4 | 6 | 8 | 10 |"
